/* Packets for a peer with which there is no session yet: they wait until its handshake is done, and then go in
 * the order in which they came. 128 for a peer, as the kernel module keeps, and a bounded number in all; the
 * oldest make room. They are dropped when control gives the handshake up, when the peer is removed, or after
 * the time that an attempt lasts, in case control is away.
 *
 * What waits may be overtaken by the world: another policy, a prefix that has moved. So who gets a packet, and
 * whether it may pass, is asked anew when it goes. And while packets of a peer wait here, those that come after
 * them stand behind them, though there may be a session by now. */
#include "path_inner.h"
#include "path_rest.h"
#include "wg_keypair.h"

#define LOOK_MAX 32U /* queues looked at in a turn */

/* ---- keeping ------------------------------------------------------------------------------------- */

static void drop_first(struct state *st, struct state_wait_queue *queue, uint32_t counter)
{
	struct path_pkt p = path_kept(state_wait_pop(&st->wait, queue));

	state_count(st, ABI_COUNTER_RX_WAIT, 1);
	path_refuse(st, &p, counter);
}

/* As in_accept found. */
static uint32_t sender_of(const struct state *st, const struct path_pkt *p)
{
	return p->from_hub ? ABI_PEER_HUB
	                   : state_route_lookup(st->routes, path_inner_version(p),
	                                        path_inner_source(p));
}

uint32_t wait_put(struct state *st, struct path_pkt *p)
{
	struct state_wait *wait = &st->wait;
	struct state_wait_queue *queue = state_wait_find(wait, p->peer);

	if (wait->room == 0 || p->waited || p->len == 0 || st->peers[p->peer].is_given_up)
		return ABI_COUNTER_DROP_NO_SESSION;
	if (queue && queue->n >= STATE_WAIT_PEER_MAX)
		drop_first(st, queue, ABI_COUNTER_DROP_WAIT_FULL);
	else if (wait->n >= wait->room)
		drop_first(st, state_wait_oldest(wait), ABI_COUNTER_DROP_WAIT_FULL);
	path_open_whole(st, p);
	path_keep(p, sender_of(st, p));
	state_wait_push(wait, p->peer, p->mbuf, st->now_ns);
	state_count(st, ABI_COUNTER_TO_WAIT, 1);
	return PATH_GONE;
}

/* ---- going --------------------------------------------------------------------------------------- */

/* Who gets it now, and does the sender still have its address? May it pass, policy says; what the hub sends it
 * judges behind out_route. */
static uint32_t look_again(struct state *st, struct path_pkt *p)
{
	uint32_t version = path_inner_version(p);

	p->peer = state_route_lookup(st->routes, version, path_inner_destination(p));
	if (p->peer == ABI_PEER_NONE)
		return ABI_COUNTER_DROP_NO_ROUTE;
	if (p->from_hub)
		return PATH_KEEP;
	if (state_route_lookup(st->routes, version, path_inner_source(p)) != p->index)
		return ABI_COUNTER_DROP_INNER_SOURCE;
	return policy_again(st, p, p->index);
}

static uint32_t release(struct state *st, struct path_burst *b, struct state_wait_queue *queue)
{
	uint32_t room = PATH_BURST_MAX - b->n;
	uint32_t n = queue->n < room ? queue->n : room;

	for (uint32_t i = 0; i < n; i++) {
		struct path_pkt *p = &b->pkt[b->n];

		*p = path_kept(state_wait_pop(&st->wait, queue));
		state_count(st, ABI_COUNTER_RX_WAIT, 1);
		path_judge(st, b, b->n, look_again(st, p), &b->n);
	}
	return n;
}

static bool is_over(const struct state *st, const struct state_wait_queue *queue)
{
	return queue->is_over
	       || st->now_ns >= state_wait_since_ns(&st->wait, queue) + WG_REKEY_ATTEMPT_TIME_NS;
}

uint32_t wait_release(struct state *st, struct path_burst *b)
{
	struct state_wait *wait = &st->wait;
	uint32_t n_taken = 0;

	for (uint32_t n = LOOK_MAX; n > 0 && wait->n_active > 0 && b->n < PATH_BURST_MAX; n--) {
		struct state_wait_queue *queue;

		if (wait->turn >= wait->n_active)
			wait->turn = 0;
		queue = &wait->queues[wait->active[wait->turn]];
		/* A queue that ends leaves its place to another. */
		if (is_over(st, queue)) {
			drop_first(st, queue, ABI_COUNTER_DROP_WAIT_OVER);
			n_taken++;
		} else if (state_current_get(&st->current[queue->peer]) != ABI_INDEX_NONE) {
			n_taken += release(st, b, queue);
		} else {
			wait->turn++;
		}
	}
	return n_taken;
}

void wait_stop(struct state *st)
{
	while (st->wait.n > 0)
		drop_first(st, state_wait_oldest(&st->wait), ABI_COUNTER_DROP_STOPPED);
}
