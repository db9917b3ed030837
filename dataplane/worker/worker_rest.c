/* What a worker does that has nothing to do: it polls on for a moment, naps, and at last sleeps until
 * somebody has something for it: a port, the exception thread, another worker, control. */
#include "base_time.h"
#include "worker_private.h"

#include <rte_pause.h>

#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#define N_BUSY_POLLS 64U /* empty turns before the first nap */

/* Longest sleep when everybody can wake us: for the heartbeat (abi_worker_status, 100 ms), and for the
 * timer scan, which then makes up for the time in one go and shall not take longer than bursts do. */
#define SLEEP_MAX_US    40000U
#define SLEEP_SESSIONS  512U
#define SLEEP_HELD_US   10000U /* held handshake messages are tried again */
#define SLEEP_ANSWER_US 1000U  /* a barrier's answer waits for something */

void worker__rest_init(struct worker *w)
{
	/* Naps shall last what they say, not 50 us more. */
	if (prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL) < 0)
		log_warn("worker", "timer slack stays at its default, idle latency grows worker=%u",
		         w->setup.id);
	w->n_wake = 0;
	for (uint32_t i = 0; i < w->setup.n_wake_fds; i++)
		w->wake[w->n_wake++] = (struct pollfd){.fd = w->setup.wake_fds[i],
		                                       .events = POLLIN};
	if (w->setup.wake_fd >= 0)
		w->wake[w->n_wake++] = (struct pollfd){.fd = w->setup.wake_fd, .events = POLLIN};
}

/* An interface that goes down leaves an error on its socket, which polls ready until it is read. */
static void forget_errors(struct worker *w)
{
	for (uint32_t i = 0; i < w->setup.n_wake_fds; i++) {
		int error;
		socklen_t len = sizeof(error);

		if (w->wake[i].fd >= 0 && (w->wake[i].revents & ~POLLIN) != 0)
			(void)getsockopt(w->wake[i].fd, SOL_SOCKET, SO_ERROR, &error, &len);
	}
}

static void nap(uint32_t us)
{
	const struct timespec limit = {.tv_nsec = (long)(us * BASE_NS_PER_US)};

	/* Woken early by a signal: all the better. */
	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &limit, NULL);
}

/* How long may we sleep? */
static uint32_t sleep_limit_us(const struct worker *w)
{
	uint32_t limit_us = SLEEP_MAX_US;
	uint64_t scan_us;

	if (w->is_deaf || w->setup.wake_fd < 0 || w->setup.n_wake_fds < w->setup.n_ports)
		return w->idle_cap_us;
	if (w->barrier_due)
		return SLEEP_ANSWER_US;
	if (w->st.n_held > 0)
		limit_us = SLEEP_HELD_US;
	if (w->st.n_active > SLEEP_SESSIONS) {
		scan_us = STATE_TIMER_PERIOD_NS / BASE_NS_PER_US * SLEEP_SESSIONS / w->st.n_active;
		limit_us = scan_us < limit_us ? (uint32_t)scan_us : limit_us;
	}
	return limit_us > w->idle_cap_us ? limit_us : w->idle_cap_us;
}

/* Does any ring hold something for us? The command ring is abi_ring_sleep()'s to look at. */
static bool is_work_waiting(const struct worker *w)
{
	for (uint32_t i = 0; i < w->st.n_workers; i++)
		if (w->setup.mesh_in[i] && !rte_ring_empty(w->setup.mesh_in[i]))
			return true;
	return (w->setup.link && !rte_ring_empty(w->setup.link->from_kernel))
	       || assist_is_wanted(&w->assist);
}

/* Until a port or our bell wakes us, or the time is over. */
static void wait_for_wake(struct worker *w, uint32_t us)
{
	const struct timespec limit = {.tv_nsec = (long)(us * BASE_NS_PER_US)};
	uint32_t n_woke = 0;

	if (ppoll(w->wake, w->n_wake, &limit, NULL) <= 0)
		return;
	for (uint32_t i = 0; i < w->setup.n_wake_fds; i++)
		n_woke += w->wake[i].revents != 0;
	w->woke_in_vain = n_woke > 0; /* until the next turn finds something */
	if (n_woke > 0)
		forget_errors(w);
	if (w->n_wake > w->setup.n_wake_fds && w->wake[w->n_wake - 1].revents != 0)
		port_bell_silence(w->setup.wake_fd);
}

/* First say that we sleep, then look once more, then sleep (port_bell.h). */
static void sleep_until_woken(struct worker *w)
{
	struct port_bell *bell = &w->st.bells[w->setup.id];

	if (w->n_wake == 0 || w->woke_in_vain) {
		w->woke_in_vain = false;
		nap(w->idle_cap_us);
		return;
	}
	port_bell_announce(&bell->sleeps);
	if (!is_work_waiting(w) && abi_ring_sleep(&w->cmd_ring)) {
		wait_for_wake(w, sleep_limit_us(w));
		abi_ring_awake(&w->cmd_ring);
	}
	port_bell_withdraw(&bell->sleeps);
}

/* After 64 empty turns naps of 1, 10 and 50 us, from which no frame wakes us: in the gaps of a busy
 * minute bursts gather meanwhile, and whoever shares the core gets it (woken at once by each frame,
 * TCP between two wireguard-go on two cores came to 308-498 Mbit/s instead of 469-547). Then
 * there is no traffic to speak of, and the next frame ends the sleep. Any work begins anew. */
void worker__rest(struct worker *w)
{
	static const uint32_t naps_us[] = {1, 10, 50};
	uint32_t step;

	/* A batch of ours is about to be done, or somebody is about to give us one. */
	if (w->assist.n_out > 0 || assist_is_wanted(&w->assist))
		w->n_empty = 0;
	step = w->n_empty++;
	if (step < N_BUSY_POLLS || w->idle_cap_us == 0) {
		rte_pause();
		return;
	}
	assist_note_idle(&w->assist);
	step -= N_BUSY_POLLS;
	state_route_offline(w->st.routes, w->setup.id); /* nobody waits for a sleeper */
	if (step < BASE_ARRAY_LEN(naps_us) && naps_us[step] < w->idle_cap_us)
		nap(naps_us[step]);
	else
		sleep_until_woken(w);
	state_route_online(w->st.routes, w->setup.id);
}
