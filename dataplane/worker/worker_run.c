/* The loop. Here, and nowhere else, the stations are called, in the order of dataplane/path. */
#include "base_time.h"
#include "worker_private.h"

#include <rte_ethdev.h>
#include <rte_pause.h>

#define HEARTBEAT_NS (50 * BASE_NS_PER_MS)
#define HELD_NS      (10 * BASE_NS_PER_MS)
#define DRAIN_NS     BASE_NS_PER_S
#define EXPIRE_MAX   16U /* flows looked at in a turn */
#define BIG_BURSTS   8U  /* of pieces in a turn */

/* ---- the way of a burst ---- */

/* The cipher: here and now, or as a batch that turn_assist() goes on with; then b is empty. */
static void open_burst(struct worker *w, struct path_burst *b)
{
	if (unlikely(assist_is_used(&w->assist)))
		assist_open(&w->assist, &w->st, b);
	else
		in_open(&w->st, b);
}

static void seal_burst(struct worker *w, struct path_burst *b)
{
	/* here, where all that peers get comes by, whatever its way was */
	if (unlikely(w->st.capture.head.what & ABI_CAPTURE_PACKETS))
		capture_burst(&w->st, b, ABI_CAPTURE_TO_PEER);
	if (unlikely(assist_is_used(&w->assist)))
		assist_seal(&w->assist, &w->st, b);
	else
		out_seal(&w->st, b);
}

/* What was opened, on to where it turns round. */
static void go_on_in(struct state *st, struct path_burst *b)
{
	in_accept(st, b);
	if (unlikely(st->capture.head.what & ABI_CAPTURE_PACKETS))
		capture_burst(st, b, ABI_CAPTURE_FROM_PEER);
	limit_in(st, b);
	policy(st, b);
	if (unlikely(st->hub.clamps_mss))
		clamp_mss(st, b);
	in_deliver(st, b);
}

/* Ciphertext in, plaintext out. */
static void go_in(struct worker *w, struct path_burst *b)
{
	in_session(&w->st, b);
	open_burst(w, b);
	go_on_in(&w->st, b);
}

/* Plaintext in, ciphertext out. */
static void go_out(struct worker *w, struct path_burst *b)
{
	out_route(&w->st, b);
	limit_out(&w->st, b);
	seal_burst(w, b);
	out_wrap(&w->st, b);
}

/* The same for what was not judged by the policy here. */
static void go_out_late(struct worker *w, struct path_burst *b)
{
	out_route(&w->st, b);
	policy_late(&w->st, b);
	if (unlikely(w->st.hub.clamps_mss))
		clamp_mss(&w->st, b);
	limit_out(&w->st, b);
	seal_burst(w, b);
	out_wrap(&w->st, b);
}

static void transmit_on(struct worker *w, uint32_t port, struct rte_mbuf **mbufs, uint32_t n)
{
	uint32_t n_sent;

	if (unlikely(w->ports_off >> port & 1)) {
		for (uint32_t i = 0; i < n; i++)
			path_drop(&w->st, mbufs[i], ABI_COUNTER_DROP_STRAY);
		return;
	}
	n_sent = rte_eth_tx_burst(w->setup.ethdev[port], w->setup.queue[port], mbufs, (uint16_t)n);
	state_count(&w->st, ABI_COUNTER_TX_WAN, n_sent);
	for (uint32_t i = n_sent; i < n; i++)
		path_drop(&w->st, mbufs[i], ABI_COUNTER_DROP_TX_FULL);
}

/* Frames to their ports, in order: one pass a port that occurs, nearly always one. */
static void transmit(struct worker *w, struct path_burst *b)
{
	struct rte_mbuf *mbufs[PATH_BURST_MAX];

	while (b->n > 0) {
		uint32_t port = b->pkt[0].mbuf->port;
		uint32_t n = 0;
		uint32_t n_left = 0;

		for (uint32_t i = 0; i < b->n; i++) {
			if (b->pkt[i].mbuf->port == port)
				mbufs[n++] = b->pkt[i].mbuf;
			else
				b->pkt[n_left++] = b->pkt[i];
		}
		b->n = n_left;
		transmit_on(w, port, mbufs, n);
	}
}

/* Let everything leave that the burst has put somewhere. */
static void finish(struct worker *w, struct path_burst *b)
{
	transmit(w, b);
	punt(&w->st);
	handoff(&w->st);
}

/* ---- where bursts come from ---- */

static uint32_t turn_wan(struct worker *w, uint32_t port)
{
	struct path_burst *b = &w->in;
	struct rte_mbuf *mbufs[PATH_BURST_MAX];
	uint32_t n;

	if (unlikely(w->ports_off >> port & 1))
		return 0;
	n = rte_eth_rx_burst(w->setup.ethdev[port], w->setup.queue[port], mbufs, PATH_BURST_MAX);
	if (n == 0)
		return 0;
	state_count(&w->st, ABI_COUNTER_RX_WAN, n);
	w->st.gate.is_behind = n == PATH_BURST_MAX;
	b->n = 0;
	for (uint32_t i = 0; i < n; i++) {
		mbufs[i]->port = (uint16_t)port;
		path_append(b, mbufs[i]);
	}
	if (unlikely(w->st.block != NULL))
		block(&w->st, b);
	in_parse(&w->st, b);
	if (unlikely(w->st.gate.n_waiting > 0))
		in_handshake(&w->st, b);
	go_in(w, b);
	go_out(w, b);
	if (unlikely(w->st.replies.n > 0))
		inject_replies(&w->st, b);
	finish(w, b);
	return n;
}

/* From the exception thread: packets of the TUN and frames of the TAPs, mixed. */
static uint32_t turn_kernel(struct worker *w)
{
	struct rte_mbuf *mbufs[PATH_BURST_MAX];
	uint32_t n;

	if (!w->setup.link)
		return 0;
	n = rte_ring_sc_dequeue_burst(w->setup.link->from_kernel, (void **)mbufs, PATH_BURST_MAX,
	                              NULL);
	if (n == 0)
		return 0;
	w->in.n = 0;
	w->out.n = 0;
	for (uint32_t i = 0; i < n; i++)
		path_append(mbufs[i]->port == PORT_LINK_TUN ? &w->out : &w->in, mbufs[i]);
	state_count(&w->st, ABI_COUNTER_RX_TUN, w->out.n);
	state_count(&w->st, ABI_COUNTER_RX_TAP, w->in.n);
	inject_frames(&w->st, &w->in);
	finish(w, &w->in);
	out_parse(&w->st, &w->out);
	go_out_late(w, &w->out);
	finish(w, &w->out);
	return n;
}

/* From another worker: packets for sessions that are ours. */
static uint32_t turn_mesh(struct worker *w, struct rte_ring *ring)
{
	struct rte_mbuf *mbufs[PATH_BURST_MAX];
	uint32_t n = rte_ring_sc_dequeue_burst(ring, (void **)mbufs, PATH_BURST_MAX, NULL);

	if (n == 0)
		return 0;
	w->in.n = 0;
	w->out.n = 0;
	handoff_receive(&w->st, mbufs, n, &w->in, &w->out);
	go_in(w, &w->in);
	go_out(w, &w->in);
	finish(w, &w->in);
	go_out_late(w, &w->out);
	finish(w, &w->out);
	return n;
}

/* From before: what waited for a session that is there now. */
static uint32_t turn_wait(struct worker *w)
{
	uint32_t n;

	w->out.n = 0;
	n = wait_release(&w->st, &w->out);
	if (w->out.n > 0)
		go_out_late(w, &w->out);
	finish(w, &w->out);
	return n;
}

/* From peers to peers, what is too big for the tunnel: pieces, and errors to senders. A batch a turn, when others
 * do the cipher. */
static void turn_big(struct worker *w)
{
	uint32_t n = assist_is_used(&w->assist) ? 1 : BIG_BURSTS;

	for (; n > 0 && w->st.big.n > 0; n--) {
		w->out.n = 0;
		too_big(&w->st, &w->out);
		go_out(w, &w->out);
		finish(w, &w->out);
	}
}

/* From control: commands, of which some send handshake messages. */
static uint32_t turn_commands(struct worker *w)
{
	struct state *st = &w->st;
	uint32_t n;

	w->out.n = 0;
	n = worker__cmd_poll(w, &w->out);
	if (st->n_held > 0 && st->now_ns >= w->held_ns + HELD_NS) {
		w->held_ns = st->now_ns;
		inject_held(st, &w->out);
	}
	if (w->out.n > 0)
		finish(w, &w->out);
	return n;
}

/* From nobody but time, and control's wish: keepalives. */
static uint32_t turn_timers(struct worker *w)
{
	struct state *st = &w->st;
	uint32_t n;

	state_timer_scan(st);
	w->out.n = 0;
	inject_keepalives(st, &w->out);
	n = w->out.n;
	seal_burst(w, &w->out);
	out_wrap(st, &w->out);
	finish(w, &w->out);
	return n;
}

/* From the cipher, when it ran elsewhere: bursts in the order in which they went there. */
static uint32_t turn_assist(struct worker *w)
{
	struct assist_batch *batch;
	uint32_t n = 0;

	while ((batch = assist_retire(&w->assist, &w->st)) != NULL) {
		n += batch->burst.n;
		if (batch->kind == ASSIST_OPEN) {
			go_on_in(&w->st, &batch->burst);
			go_out(w, &batch->burst);
		} else {
			out_wrap(&w->st, &batch->burst);
		}
		finish(w, &batch->burst);
		assist_put(&w->assist, batch);
	}
	return n;
}

/* ---- the turn ---- */

static void kick_sleepers(struct worker *w)
{
	if (w->st.wake_control)
		port_bell_ring(w->setup.control_wake_fd);
	if (w->st.wake_exception)
		port_bell_ring(w->setup.link->wake_fd);
	for (uint32_t i = 0; w->st.wake_workers >> i != 0; i++)
		if (w->st.wake_workers >> i & 1)
			port_bell_ring(w->st.bells[i].fd);
	w->st.wake_workers = 0;
	w->st.wake_control = false;
	w->st.wake_exception = false;
}

static void publish_word(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static void publish_status(struct worker *w)
{
	if (w->st.now_ns < w->heartbeat_ns + HEARTBEAT_NS)
		return;
	w->heartbeat_ns = w->st.now_ns;
	publish_word(&w->status->heartbeat_ns, w->st.now_ns);
	publish_word(&w->status->n_loops, w->n_loops);
	publish_word(&w->status->busy_ns, w->busy_ns);
	publish_word(&w->status->idle_ns, w->idle_ns);
	publish_word(&w->status->longest_loop_ns, w->longest_loop_ns);
	publish_word(&w->status->n_sessions, w->st.n_active);
	publish_word(&w->status->n_flows, policy_flow_count(w->st.flows));
}

struct turn {
	uint32_t n;          /* packets moved, ours */
	uint32_t n_commands; /* applied */
	uint32_t n_served;   /* bursts of other workers, for the cipher */
	bool is_full;        /* a source had a whole burst */
	bool is_checking;    /* control is being shown the tables */
	uint32_t n_expired;  /* flows looked at because their time may have come */
};

static void add_source(struct turn *turn, uint32_t n)
{
	turn->n += n;
	turn->is_full |= n == PATH_BURST_MAX;
}

static void turn_sources(struct worker *w, struct turn *turn)
{
	if (unlikely(w->st.wait.n > 0)) /* before what comes after it */
		turn->n += turn_wait(w);
	for (uint32_t i = 0; i < w->setup.n_ports; i++)
		add_source(turn, turn_wan(w, i));
	add_source(turn, turn_kernel(w));
	for (uint32_t i = 0; i < w->st.n_workers; i++)
		if (w->setup.mesh_in[i])
			add_source(turn, turn_mesh(w, w->setup.mesh_in[i]));
	if (unlikely(w->st.big.n > 0))
		turn_big(w);
	turn->n += turn_timers(w);
}

/* Batches that the sources of one turn may make: one a port, one for the kernel's packets, two for
 * each other worker's, one for keepalives, one for what waited, one for pieces; and one for what is opened
 * and sealed meanwhile. */
static uint32_t batches_a_turn(const struct worker *w)
{
	return w->setup.n_ports + 2 * (w->st.n_workers - 1) + 5;
}

/* They may sleep; while they are wanted they will not again. */
static void wake_helpers(struct worker *w)
{
	for (uint32_t i = 0; i < w->st.n_workers; i++)
		if (i != w->setup.id && port_bell_is_due(&w->st.bells[i].sleeps))
			w->st.wake_workers |= 1U << i;
}

/* Seconds, for the policy: of our own clock for timeouts, and of the wall's for grants with times. */
static void set_clock(struct worker *w, uint64_t now_ns)
{
	w->st.now_ns = now_ns;
	w->st.clock.now_s = (uint32_t)(now_ns / BASE_NS_PER_S);
	w->st.clock.wall_s = (now_ns + w->wall_ahead_ns) / BASE_NS_PER_S;
}

static bool is_busy(const struct turn *turn)
{
	return turn->n + turn->n_commands + turn->n_served + turn->n_expired > 0
	       || turn->is_checking;
}

/* Returns true when the turn found anything to do. */
static bool turn(struct worker *w, uint64_t now_ns, struct turn *out)
{
	uint32_t n_retired = 0, n_picked_up;

	*out = (struct turn){0};
	set_clock(w, now_ns);
	w->n_loops++;
	if (unlikely(worker__ports_changed(w)))
		worker__ports_take(w);
	worker__blob_take(w);
	out->n_served = assist_serve(&w->assist, &w->st);
	if (unlikely(assist_is_used(&w->assist)))
		n_retired = turn_assist(w);
	/* Control is always heard: its messages need no cipher. */
	out->n_commands = turn_commands(w);
	worker__blob_take(w);
	/* While helpers lag so far behind, packets wait in front of us, where too many are lost
	 * before they have cost anything. */
	if (likely(!assist_is_used(&w->assist)) || assist_has_room(&w->assist, batches_a_turn(w)))
		turn_sources(w, out);
	else
		assist_note_stall(&w->assist, &w->st);
	if (unlikely(assist_is_used(&w->assist)))
		n_retired += turn_assist(w);
	if (assist_note_turn(&w->assist, &w->st, out->n, out->is_full))
		wake_helpers(w);
	out->n += n_retired;
	out->is_checking = state_check_step(&w->st, out->n > 0);
	if (state_flow_show_step(&w->st, out->n > 0))
		out->is_checking = true;
	n_picked_up = policy_flow_picked_up(w->st.flows);
	if (unlikely(n_picked_up != 0))
		state_count(&w->st, ABI_COUNTER_FLOWS_PICKED_UP, n_picked_up);
	out->n_expired = policy_flow_expire(w->st.flows, w->st.clock.now_s, EXPIRE_MAX);
	kick_sleepers(w);
	publish_status(w);
	state_route_quiet(w->st.routes, w->setup.id);
	return is_busy(out);
}

uint32_t worker_turn(struct worker *w, uint64_t now_ns)
{
	struct turn done;

	(void)turn(w, now_ns, &done);
	return done.n + done.n_served;
}

/* ---- the loop ---- */

/* Account for the turn that began at w->loop_ns and ends now. */
static void account(struct worker *w, uint64_t now_ns, bool was_busy)
{
	uint64_t took_ns = now_ns - w->loop_ns;

	w->loop_ns = now_ns;
	if (!was_busy) {
		w->idle_ns += took_ns;
		return;
	}
	w->busy_ns += took_ns;
	if (took_ns > w->longest_loop_ns)
		w->longest_loop_ns = took_ns;
}

/* The last batches: ours come back, and those of others are done, until nobody has any. A mate that
 * hangs holds this up for a second at most; what it keeps is dropped by worker_destroy(). */
static void drain(struct worker *w)
{
	uint64_t end_ns = base_time_monotonic_ns() + DRAIN_NS;

	assist_stop(&w->assist);
	while (!assist_is_drained(&w->assist)) {
		w->st.now_ns = base_time_monotonic_ns();
		if (w->st.now_ns >= end_ns) {
			log_warn("worker", "a worker hangs, packets it has are lost worker=%u",
			         w->setup.id);
			return;
		}
		assist_serve(&w->assist, &w->st);
		turn_assist(w);
		rte_pause();
	}
}

void worker_run(struct worker *w, const _Atomic uint32_t *stop)
{
	bool was_busy = false;

	worker__rest_init(w);
	w->loop_ns = base_time_monotonic_ns();
	while (atomic_load_explicit(stop, memory_order_relaxed) == 0) {
		uint64_t now_ns = base_time_monotonic_ns();
		struct turn done;

		account(w, now_ns, was_busy);
		worker__follow_wall(w, now_ns);
		was_busy = turn(w, now_ns, &done);
		if (was_busy) {
			w->n_empty = 0;
			w->woke_in_vain = false;
		} else {
			worker__rest(w);
		}
	}
	drain(w);
}
