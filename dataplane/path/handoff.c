/* Packets for sessions of other workers, over the mesh: one ring for each ordered pair of workers,
 * so each has one producer and one consumer, and packets of one flow keep their order. */
#include "path.h"

#include <rte_ring.h>

static void hand_over(struct state *st, uint32_t worker)
{
	struct state_side *side = &st->to_worker[worker];
	uint32_t n_sent = 0;

	if (st->mesh_out[worker])
		n_sent = rte_ring_sp_enqueue_burst(st->mesh_out[worker], (void **)side->mbuf,
		                                   side->n, NULL);
	if (n_sent > 0 && port_bell_is_due(&st->bells[worker].sleeps))
		st->wake_workers |= 1U << worker;
	state_count(st, ABI_COUNTER_TO_HANDOFF, n_sent);
	for (uint32_t i = n_sent; i < side->n; i++)
		path_drop(st, side->mbuf[i], ABI_COUNTER_DROP_HANDOFF_FULL);
	side->n = 0;
}

void handoff(struct state *st)
{
	for (uint32_t i = 0; i < st->n_workers; i++)
		if (st->to_worker[i].n > 0)
			hand_over(st, i);
}

void handoff_receive(struct state *st, struct rte_mbuf *const mbufs[], uint32_t n,
                     struct path_burst *in, struct path_burst *out)
{
	state_count(st, ABI_COUNTER_RX_HANDOFF, n);
	for (uint32_t i = 0; i < n; i++) {
		const struct path_label *label = path_label(mbufs[i]);
		struct path_pkt *p = path_append(label->station == PATH_AT_IN_SESSION ? in : out,
		                                 mbufs[i]);

		p->data += label->offset;
		p->len = label->len;
		p->peer = label->peer;
		p->note = label->note;
		p->from_hub = label->from_hub != 0;
		p->handed_by = (uint8_t)(label->from + 1);
		if (label->station == PATH_AT_IN_SESSION)
			path_reach_session(st, p->data);
	}
}
