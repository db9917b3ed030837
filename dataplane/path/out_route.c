/* Inner destination -> peer -> the session it is sent to on, and that session's owner. */
#include "path_inner.h"
#include "path_rest.h"

#include <rte_prefetch.h>

/* First pass: the line of the routes, of what policy has not seen yet. */
static void prefetch(const struct state *st, const struct path_pkt *p)
{
	if (p->peer == ABI_PEER_NONE)
		state_route_prefetch(st->routes, path_inner_version(p), path_inner_destination(p));
}

/* Second pass: whose address is it? What policy or another worker has seen knows already. */
static void find_peer(struct state *st, struct path_pkt *p)
{
	if (p->peer == ABI_PEER_NONE)
		p->peer = state_route_lookup(st->routes, path_inner_version(p),
		                             path_inner_destination(p));
	if (likely(p->peer != ABI_PEER_NONE))
		rte_prefetch0(&st->current[p->peer]);
}

/* Third pass: which session, and is it ours? */
static uint32_t find_session(struct state *st, struct path_pkt *p)
{
	if (unlikely(p->peer == ABI_PEER_NONE))
		return ABI_COUNTER_DROP_NO_ROUTE;

	uint32_t index = state_current_get(&st->current[p->peer]);

	if (unlikely(index == ABI_INDEX_NONE)) {
		state_event_wanted(st, p->peer);
		return wait_put(st, p);
	}
	if (unlikely(st->wait.n != 0) && !p->waited && state_wait_find(&st->wait, p->peer))
		return wait_put(st, p);
	if (abi_index_worker(index) != st->id) {
		path_open_whole(st, p);
		path_hand_to(st, abi_index_worker(index), p, PATH_AT_OUT_ROUTE);
		return PATH_GONE;
	}
	/* Ours, and in the word: alive (state_current.h). */
	p->session = &st->sessions[abi_index_slot(index)];
	p->index = index;
	rte_prefetch1(p->session->send_key);
	return PATH_KEEP;
}

void out_route(struct state *st, struct path_burst *b)
{
	struct path_pkt *end = path_end(b);
	struct path_pkt *to = b->pkt;

	if (state_route_is_cold(st->routes))
		for (const struct path_pkt *p = b->pkt; p < end; p++)
			prefetch(st, p);
	for (struct path_pkt *p = b->pkt; p < end; p++)
		find_peer(st, p);
	for (struct path_pkt *p = b->pkt; p < end; p++)
		path_settle(st, p, find_session(st, p), &to);
	path_close(b, to);
}
