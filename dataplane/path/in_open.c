/* One AEAD call over the whole burst: mixed peers, mixed sizes (DESIGN.md section 2). */
#include "path.h"
#include "wg_message.h"

#include <rte_prefetch.h>

void in_open_begin(const struct state *st, struct path_burst *b, struct aead_op *ops)
{
	for (uint32_t i = 0; i < b->n; i++) {
		struct path_pkt *p = &b->pkt[i];

		wg_replay_prefetch(&p->session->window, p->counter);
		p->data += WG_DATA_HEADER_LEN;
		p->len -= WG_DATA_MIN_LEN;
		ops[i] = (struct aead_op){.data = p->data,
		                          .key = p->session->receive_key,
		                          .counter = p->counter,
		                          .len = p->len,
		                          .after = {&p->session->timers,
		                                    &st->receive_next[abi_index_slot(p->index)]}};
	}
}

void in_open_end(struct state *st, struct path_burst *b, const struct aead_op *ops)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n; i++)
		path_judge(st, b, i,
		           likely(ops[i].verdict == AEAD_OK) ? PATH_KEEP : ABI_COUNTER_DROP_AUTH,
		           &n);
	state_count(st, ABI_COUNTER_OPENED, n);
	b->n = n;
}

void in_open(struct state *st, struct path_burst *b)
{
	if (b->n == 0)
		return;
	in_open_begin(st, b, st->ops);
	aead_open(st->aead, st->ops, b->n);
	in_open_end(st, b, st->ops);
}
