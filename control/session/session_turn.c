/* Time and the main loop: when to look at which peer, and the jobs that come back. */
#include "base_bytes.h"
#include "base_log.h"
#include "program.h"
#include "session_table.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <unistd.h>

void session__timer_arm(struct session_table *table)
{
	const struct session_peer *peer = session__heap_first(&table->heap);
	uint64_t now_ns, delay_ns;
	struct timeval delay;

	if (peer == NULL) {
		event_del(table->timer);
		table->timer_ns = WG_TIMER_NEVER;
		return;
	}
	if (table->timer_ns == peer->wake_ns)
		return;
	now_ns = session__now(table);
	delay_ns = peer->wake_ns > now_ns ? peer->wake_ns - now_ns : 0;
	delay.tv_sec = (time_t)(delay_ns / BASE_NS_PER_S);
	delay.tv_usec = (suseconds_t)(delay_ns % BASE_NS_PER_S / 1000 + 1);
	if (delay.tv_usec >= 1000000)
		delay.tv_usec = 999999;
	if (event_add(table->timer, &delay) == 0)
		table->timer_ns = peer->wake_ns;
	else
		log_err("session", "timer cannot be set: handshakes are not repeated");
}

void session__tick(struct session_table *table, uint64_t now_ns)
{
	struct session_peer *peer;

	while ((peer = session__heap_first(&table->heap)) != NULL && peer->wake_ns <= now_ns)
		session__peer_turn(table, peer, now_ns);
	session__timer_arm(table);
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
	struct session_table *table = arg;

	(void)fd;
	(void)what;
	table->timer_ns = WG_TIMER_NEVER;
	session__tick(table, session__now(table));
}

/* When the oldest keypair of the ring has to go. */
static uint64_t ring_expiry_ns(const struct wg_keypair_ring *ring)
{
	const struct wg_keypair *pairs[] = {&ring->previous, &ring->current, &ring->next};
	uint64_t first_ns = WG_TIMER_NEVER;

	for (size_t i = 0; i < BASE_ARRAY_LEN(pairs); i++) {
		uint64_t end_ns = pairs[i]->birth_ns + WG_REJECT_AFTER_TIME_NS;

		if (pairs[i]->index != 0 && end_ns < first_ns)
			first_ns = end_ns;
	}
	return first_ns;
}

static void give_up(struct session_table *table, struct session_peer *peer)
{
	session__abandon(table, peer);
	/* Not told, the workers find out after as long a time by themselves. */
	(void)program_handshake_over(table->program, peer->id);
	program_count(table->program, ABI_COUNTER_HS_GAVE_UP, 1);
	log_info("session", "peer does not answer handshakes, given up after 90 s peer=%u",
	         peer->id);
}

/* What the handshake timers ask for. Returns when they want to be asked again. */
static uint64_t timers_turn(struct session_table *table, struct session_peer *peer, uint64_t now_ns)
{
	uint64_t next_ns = WG_TIMER_NEVER;

	/* While an initiation is being made the timers rest: they go on when it was sent. */
	while (peer->creating == 0 && peer->wanted_ns == 0) {
		switch (wg_timers_handshake_poll(&peer->timers, now_ns, &next_ns)) {
		case WG_TIMERS_HANDSHAKE_NOTHING:
			return next_ns;
		case WG_TIMERS_HANDSHAKE_SEND_INITIATION:
			if (table->on_unanswered != NULL)
				table->on_unanswered(table->on_unanswered_arg, peer->id);
			session__initiate(table, peer, now_ns);
			break;
		case WG_TIMERS_HANDSHAKE_GIVE_UP:
			give_up(table, peer);
			break;
		case WG_TIMERS_HANDSHAKE_ZERO_KEYS:
			session__keys_retire(table, peer, wg_keypair_clear(&peer->ring));
			session__abandon(table, peer);
			break;
		}
	}
	return WG_TIMER_NEVER;
}

void session__peer_turn(struct session_table *table, struct session_peer *peer, uint64_t now_ns)
{
	uint64_t wake_ns, expiry_ns;

	session__keys_retire(table, peer, wg_keypair_expire(&peer->ring, now_ns));
	if (peer->wanted_ns != 0 && peer->wanted_ns <= now_ns && peer->creating == 0)
		session__initiate(table, peer, now_ns);
	wake_ns = timers_turn(table, peer, now_ns);
	expiry_ns = ring_expiry_ns(&peer->ring);
	if (expiry_ns < wake_ns)
		wake_ns = expiry_ns;
	if (peer->wanted_ns != 0 && peer->wanted_ns < wake_ns)
		wake_ns = peer->wanted_ns;
	/* Never before now: one turn for each peer in one tick. */
	if (wake_ns <= now_ns)
		wake_ns = now_ns + 1;
	session__heap_set(&table->heap, peer, wake_ns);
}

/* ---- to the threads and back --------------------------------------------------------------------- */

struct session_peer *session__job_peer(const struct session_table *table,
                                       const struct session_job *job)
{
	struct session_peer *peer = session__peer(table, job->peer);

	if (peer != NULL && peer->generation != job->generation)
		peer = peer->next;
	if (peer == NULL || peer->generation != job->generation || table->epoch != job->epoch)
		return NULL;
	return peer;
}

static void jobs_submitted(evutil_socket_t fd, short what, void *arg)
{
	struct session_table *table = arg;

	(void)fd;
	(void)what;
	session__jobs_flush(&table->jobs);
}

/* The event runs in this turn of the loop, behind the callbacks that are due before it. */
void session__submit(struct session_table *table, struct session_job *job)
{
	if (table->jobs.n_new == 0)
		event_active(table->submit_event, EV_TIMEOUT, 0);
	session__jobs_submit(&table->jobs, job);
}

static void jobs_finished(evutil_socket_t fd, short what, void *arg)
{
	struct session_table *table = arg;
	uint64_t now_ns = session__now(table);
	struct session_job *job;
	uint64_t n;

	(void)what;
	/* Nothing to read means another turn has taken the results already. */
	if (read(fd, &n, sizeof(n)) != sizeof(n) && errno != EAGAIN)
		log_err("session", "eventfd of the handshake threads err=%s", strerror(errno));
	while ((job = session__jobs_done(&table->jobs)) != NULL) {
		switch (job->kind) {
		case SESSION_JOB_OPEN:
			session__initiation_opened(table, job, now_ns);
			break;
		case SESSION_JOB_RESPOND:
			session__response_made(table, job, now_ns);
			break;
		case SESSION_JOB_INITIATE:
			session__initiation_made(table, job, now_ns);
			break;
		case SESSION_JOB_FINISH:
			session__response_consumed(table, job, now_ns);
			break;
		}
	}
	session__timer_arm(table);
}

int session__events_add(struct session_table *table, struct event_base *base)
{
	table->done_event = event_new(base, table->jobs.done_fd, EV_READ | EV_PERSIST,
	                              jobs_finished, table);
	table->submit_event = event_new(base, -1, 0, jobs_submitted, table);
	table->timer = evtimer_new(base, timer_fired, table);
	if (table->done_event == NULL || table->submit_event == NULL || table->timer == NULL
	    || event_add(table->done_event, NULL) != 0)
		return -ENOMEM;
	return 0;
}

void session__events_free(struct session_table *table)
{
	if (table->done_event != NULL)
		event_free(table->done_event);
	if (table->submit_event != NULL)
		event_free(table->submit_event);
	if (table->timer != NULL)
		event_free(table->timer);
}
