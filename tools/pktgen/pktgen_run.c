/* The loop, and what a run does one after the other: find the hub, shake hands, trials. */
#include "pktgen_run.h"

#include "base_log.h"
#include "base_time.h"
#include "pktgen_report.h"
#include "pktgen_rx.h"
#include "pktgen_tx.h"

#include <rte_cycles.h>
#include <rte_pause.h>
#include <sodium.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define SLOW_NS      (50 * BASE_NS_PER_US)
#define LINK_WAIT_NS (20 * BASE_NS_PER_S)
#define ASK_NS       (200 * BASE_NS_PER_MS)
#define INTRODUCE_NS (5 * BASE_NS_PER_MS)
#define DRAIN_NS     (100 * BASE_NS_PER_MS) /* of silence, after which nothing more will come */
#define DRAIN_MAX_NS (3 * BASE_NS_PER_S)
#define IDLE_POLLS   64U
#define NAP_NS       20000
#define SCAN         128U                  /* peers looked at each slow turn */
#define NOTHING_NS   (100 * BASE_NS_PER_S) /* as long as an initiator tries, and some more */

static volatile sig_atomic_t interrupted;

void pktgen_run_interrupt(void)
{
	interrupted = 1;
}

/* ---- clock -------------------------------------------------------------------------------------- */

static void clock_begin(struct pktgen_run *run)
{
	run->tsc_begin = rte_rdtsc();
	run->ns_begin = base_time_monotonic_ns();
	run->ns_per_tsc = (uint64_t)((double)BASE_NS_PER_S / (double)rte_get_tsc_hz()
	                             * (double)(UINT64_C(1) << 32));
	run->now_ns = run->ns_begin;
}

static void clock_read(struct pktgen_run *run)
{
	unsigned __int128 delta = rte_rdtsc() - run->tsc_begin;

	run->now_ns = run->ns_begin + (uint64_t)(delta * run->ns_per_tsc >> 32);
}

/* ---- the slow part of the loop ------------------------------------------------------------------- */

static void scan_peer(struct pktgen_run *run, uint32_t id)
{
	struct pktgen_peer *peer = &run->peers.peer[id];
	uint32_t due = pktgen_peer_due(peer, run->now_ns);

	if ((due & PKTGEN_PEER_EXPIRED) != 0)
		peer->remote_index = 0;
	if ((due & PKTGEN_PEER_HANDSHAKE) != 0)
		pktgen_handshakes_want(&run->handshakes, id);
	if ((due & PKTGEN_PEER_KEEPALIVE) != 0)
		pktgen_tx_keepalive(run, id);
}

static void scan_peers(struct pktgen_run *run)
{
	for (uint32_t i = 0; i < SCAN && i < run->peers.n; i++) {
		scan_peer(run, run->next_scan);
		run->next_scan = run->next_scan + 1 < run->peers.n ? run->next_scan + 1 : 0;
	}
}

static void slow_turn(struct pktgen_run *run)
{
	if (run->now_ns < run->slow_ns)
		return;
	run->slow_ns = run->now_ns + SLOW_NS;
	if (!run->handshakes.measured)
		scan_peers(run);
	pktgen_handshakes_turn(&run->handshakes, run->now_ns);
	if (run->options->quiet || run->now_ns < run->progress_ns + BASE_NS_PER_S)
		return;
	pktgen_report_progress(run, (double)(run->now_ns - run->progress_ns) * 1e-9);
	run->progress_ns = run->now_ns;
	run->before = run->stats;
}

static void nap(struct pktgen_run *run)
{
	static const struct timespec period = {.tv_nsec = NAP_NS};

	rte_pause();
	if (run->options->nap && ++run->n_idle >= IDLE_POLLS)
		nanosleep(&period, NULL);
}

/* One turn of the loop. */
static void turn(struct pktgen_run *run, bool sends)
{
	uint32_t n;

	clock_read(run);
	n = pktgen_rx_turn(run);
	if (sends)
		n += pktgen_tx_turn(run);
	slow_turn(run);
	if (n > 0)
		run->n_idle = 0;
	else
		nap(run);
}

/* ---- finding the hub ---------------------------------------------------------------------------- */

static void set_next_hop(struct pktgen_run *run)
{
	const struct pktgen_options *o = run->options;

	run->resolve = (struct pktgen_resolve){
		.own = run->peers.own,
		.n_own = run->peers.n_own,
		.next_hop = base_prefix_contains(&o->source, &o->hub.ip) ? o->hub.ip : o->gateway,
		.is_known = o->has_hub_mac,
	};
	memcpy(run->resolve.mac, run->port.mac, 6);
	memcpy(run->resolve.next_mac, o->hub_mac, 6);
}

static int wait_for_link(struct pktgen_run *run)
{
	static const struct timespec period = {.tv_nsec = 10000000};
	uint64_t end_ns = base_time_monotonic_ns() + LINK_WAIT_NS;

	while (!pktgen_port_is_up(&run->port)) {
		if (interrupted)
			return -EINTR;
		if (base_time_monotonic_ns() >= end_ns) {
			log_err("run",
			        "--port \"%s\" has no link after 20 s: is the other side up?",
			        run->options->port);
			return -ETIMEDOUT;
		}
		nanosleep(&period, NULL);
	}
	return 0;
}

static void ask(struct pktgen_run *run, uint32_t from)
{
	uint8_t frame[PKTGEN_RESOLVE_FRAME_MAX];

	pktgen_tx_frame(run, frame, pktgen_resolve_ask(&run->resolve, from, frame));
}

/* Let the hub know all other addresses before it has to answer them, as slowly as a hub takes what is
 * for its kernel. */
static void introduce(struct pktgen_run *run)
{
	for (uint32_t i = 1; i < run->peers.n_own && !interrupted; i++) {
		uint64_t next_ns = run->now_ns + INTRODUCE_NS;

		ask(run, i);
		while (run->now_ns < next_ns)
			turn(run, false);
	}
}

int pktgen_run_resolve(struct pktgen_run *run)
{
	char text[BASE_IP_STRLEN];
	uint64_t end_ns, ask_ns = 0;
	int r = wait_for_link(run);

	if (r < 0)
		return r;
	clock_read(run);
	end_ns = run->now_ns + LINK_WAIT_NS;
	while (!run->resolve.is_known) {
		if (interrupted)
			return -EINTR;
		if (run->now_ns >= end_ns) {
			log_err("run",
			        "nobody answers for %s after 20 s: check --hub, --gateway and "
			        "--source, or give --hub-mac",
			        base_ip_format(&run->resolve.next_hop, text));
			return -ETIMEDOUT;
		}
		if (run->now_ns >= ask_ns) {
			ask(run, 0);
			ask_ns = run->now_ns + ASK_NS;
		}
		turn(run, false);
	}
	pktgen_wire_set_hub_mac(&run->wire, run->resolve.next_mac);
	introduce(run);
	return 0;
}

/* ---- handshakes --------------------------------------------------------------------------------- */

static void send_message(void *arg, uint32_t peer, const uint8_t *message, uint32_t len)
{
	pktgen_tx_message((struct pktgen_run *)arg, peer, message, len);
}

/* The responder may not send before it has heard us on the new keys. */
static void established(void *arg, uint32_t peer)
{
	pktgen_tx_keepalive((struct pktgen_run *)arg, peer);
}

static bool is_measured(const struct pktgen_run *run)
{
	return run->options->command == PKTGEN_HANDSHAKE;
}

/* Before anything is sent: the time that it takes is ours, not the hub's. */
static void prepare_all(struct pktgen_run *run)
{
	for (uint32_t i = 0; i < run->peers.n && !interrupted; i++)
		pktgen_handshakes_prepare(&run->handshakes, i);
	clock_read(run);
}

static void verify_all(struct pktgen_run *run)
{
	for (uint32_t i = 0; i < run->peers.n; i++)
		(void)pktgen_handshakes_verify(&run->handshakes, i);
}

int pktgen_run_handshakes(struct pktgen_run *run)
{
	const struct pktgen_handshake_stats *stats = &run->handshakes.stats;
	uint64_t done = 0, since_ns;

	if (is_measured(run))
		prepare_all(run);
	for (uint32_t i = 0; i < run->peers.n; i++)
		pktgen_handshakes_want(&run->handshakes, i);
	since_ns = run->now_ns;
	while (pktgen_handshakes_open(&run->handshakes) > 0 && !interrupted) {
		turn(run, false);
		/* Handshakes need no slow turn to be woken: at high rates they are the traffic. */
		if (run->options->handshake_rate <= 0 || is_measured(run))
			pktgen_handshakes_turn(&run->handshakes, run->now_ns);
		if (stats->completed > done) {
			done = stats->completed;
			since_ns = run->now_ns;
		} else if (run->now_ns >= since_ns + NOTHING_NS) {
			break;
		}
	}
	if (is_measured(run))
		verify_all(run);
	run->first_handshakes = *stats;
	if (interrupted)
		return -EINTR;
	if (stats->completed == run->peers.n)
		return 0;
	log_err("run",
	        "%llu of %u peers got no session: does the hub have them (weir-pktgen config), and "
	        "is --hub-key its key?",
	        (unsigned long long)(run->peers.n - stats->completed), run->peers.n);
	return -ETIMEDOUT;
}

/* ---- trials ------------------------------------------------------------------------------------- */

double pktgen_run_mean_len(const struct pktgen_options *options)
{
	double sum = 0;

	for (uint32_t i = 0; i < 12; i++)
		sum += pktgen_tx_size(options, i);
	return sum / 12;
}

static void send_for(struct pktgen_run *run, double seconds)
{
	uint64_t end_ns = run->now_ns + (uint64_t)(seconds * 1e9);

	while (run->now_ns < end_ns && !interrupted)
		turn(run, true);
}

/* Until all has come, or nothing more will. */
static void drain(struct pktgen_run *run)
{
	uint64_t end_ns, quiet_ns, seen;

	pktgen_tx_drop_held(run);
	end_ns = run->now_ns + DRAIN_MAX_NS;
	quiet_ns = run->now_ns + DRAIN_NS;
	seen = run->stats.received;
	while (run->now_ns < end_ns && run->now_ns < quiet_ns
	       && run->stats.received < run->stats.sent) {
		turn(run, false);
		if (run->stats.received != seen)
			quiet_ns = run->now_ns + DRAIN_NS;
		seen = run->stats.received;
	}
}

int pktgen_run_trial(struct pktgen_run *run, double rate_pps, struct pktgen_trial *trial)
{
	uint64_t begin_ns;

	clock_read(run);
	run->pace = (struct pktgen_pace){.pps = rate_pps, .begin_ns = run->now_ns};
	run->progress_ns = run->now_ns;
	send_for(run, run->options->warm_up);

	pktgen_tx_drop_held(run);
	memset(&run->stats, 0, sizeof(run->stats));
	run->before = run->stats;
	pktgen_flows_begin(&run->flows);
	begin_ns = run->now_ns;
	send_for(run, run->options->seconds);
	trial->seconds = (double)(run->now_ns - begin_ns) * 1e-9;
	drain(run);
	trial->rate_pps = rate_pps;
	trial->stats = run->stats;
	return interrupted ? -EINTR : 0;
}

/* ---- start and end ------------------------------------------------------------------------------ */

static int init_peers(struct pktgen_run *run)
{
	const struct pktgen_options *o = run->options;
	const struct pktgen_handshake_calls calls = {run, send_message, established};
	int r;

	if (sodium_init() < 0)
		return -EIO;
	r = pktgen_peers_init(&run->peers, o);
	if (r == -EINVAL)
		log_err("run", "--hub-key is no public key");
	if (r == 0)
		r = pktgen_handshakes_init(&run->handshakes, &run->peers, o->window,
		                           o->handshake_rate, is_measured(run), &calls);
	if (r == 0 && !is_measured(run))
		r = pktgen_flows_init(&run->flows, o);
	if (r == -ENOMEM)
		log_err("run", "no memory for %u peers", o->n_peers);
	return r;
}

int pktgen_run_init(struct pktgen_run *run, const struct pktgen_options *options)
{
	int r;

	memset(run, 0, sizeof(*run));
	run->options = options;
	/* The default slack of timers is longer than a nap. */
	(void)prctl(PR_SET_TIMERSLACK, 1000UL);
	r = init_peers(run);
	if (r == 0) {
		r = aead_create(options->backend, &run->aead);
		if (r < 0)
			log_err("run", "--backend: this CPU cannot, or the self-test failed: %s",
			        strerror(-r));
	}
	if (r == 0)
		r = pktgen_port_start(options, &run->port);
	if (r < 0)
		return r;
	pktgen_wire_init(&run->wire, options, run->port.mac);
	pktgen_wire_set_hub_mac(&run->wire, options->hub_mac);
	set_next_hop(run);
	clock_begin(run);
	run->progress_ns = run->now_ns;
	return 0;
}

void pktgen_run_fini(struct pktgen_run *run)
{
	pktgen_port_stop(&run->port);
	aead_destroy(run->aead);
	pktgen_handshakes_fini(&run->handshakes);
	pktgen_flows_fini(&run->flows);
	pktgen_peers_fini(&run->peers);
}
