/* Inner packets that the kernel sends into the tunnel. The kernel is not distrusted, but what it
 * sends is looked at like the rest: later stations rely on it. */
#include "path.h"
#include "path_inner.h"

#include <rte_prefetch.h>

static uint32_t parse_packet(struct path_pkt *p)
{
	if (unlikely(p->mbuf->nb_segs != 1))
		return ABI_COUNTER_DROP_FRAME_CHAINED;
	if (unlikely(p->len == 0))
		return ABI_COUNTER_DROP_INNER_HEADER;
	p->peer = ABI_PEER_NONE;
	p->from_hub = 1;
	return path_inner_check(p);
}

void out_parse(struct state *st, struct path_burst *b)
{
	struct path_pkt *end = path_end(b);
	struct path_pkt *to = b->pkt;

	for (const struct path_pkt *p = b->pkt; p < end; p++)
		rte_prefetch0(p->data);
	for (struct path_pkt *p = b->pkt; p < end; p++)
		path_settle(st, p, parse_packet(p), &to);
	path_close(b, to);
}
