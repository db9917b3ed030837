/* May this packet pass? Today: to the hub always, to another peer if the hub forwards at all. The
 * stateful rules per peer group, destination, protocol and ports belong here (DESIGN.md section 2):
 * the sender is known and authentic, the packet is decrypted, nothing has been changed yet. */
#include "path.h"
#include "path_inner.h"

static uint32_t judge_packet(struct state *st, struct path_pkt *p)
{
	p->to_hub = state_address_has(&st->addresses.tunnel, path_inner_version(p),
	                              path_inner_destination(p));
	if (p->to_hub || likely(st->hub.peer_to_peer))
		return PATH_KEEP;
	p->session->drops++;
	return ABI_COUNTER_DROP_POLICY_FORWARD;
}

void policy(struct state *st, struct path_burst *b)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n; i++)
		path_judge(st, b, i, judge_packet(st, &b->pkt[i]), &n);
	b->n = n;
}
