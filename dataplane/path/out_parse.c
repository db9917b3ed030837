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
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n; i++)
		rte_prefetch0(b->pkt[i].data);
	for (uint32_t i = 0; i < b->n; i++)
		path_judge(st, b, i, parse_packet(&b->pkt[i]), &n);
	b->n = n;
}
