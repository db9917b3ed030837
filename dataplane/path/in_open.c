/* One AEAD call over the whole burst: mixed peers, mixed sizes (DESIGN.md section 2). */
#include "path_rest.h"
#include "wg_message.h"

#include <rte_prefetch.h>

void in_open_begin(const struct state *st, struct path_burst *b, struct aead_op *ops)
{
	const struct path_pkt *end = path_end(b);

	for (struct path_pkt *p = b->pkt; p < end; p++, ops++) {
		wg_replay_prefetch(&p->session->window, &st->rings[abi_index_slot(p->index)],
		                   p->counter);
		p->data += WG_DATA_HEADER_LEN;
		p->len -= WG_DATA_MIN_LEN;
		*ops = (struct aead_op){.data = p->data,
		                        .key = p->session->receive_key,
		                        .counter = p->counter,
		                        .len = p->len,
		                        .after = {&p->session->timers,
		                                  &st->receive_next[abi_index_slot(p->index)]}};
	}
}

void in_open_end(struct state *st, struct path_burst *b, const struct aead_op *ops)
{
	struct path_pkt *end = path_end(b);
	struct path_pkt *to = b->pkt;

	for (struct path_pkt *p = b->pkt; p < end; p++, ops++)
		path_settle(st, p,
		            likely(ops->verdict == AEAD_OK) ? PATH_KEEP : ABI_COUNTER_DROP_AUTH,
		            &to);
	path_close(b, to);
	state_count(st, ABI_COUNTER_OPENED, b->n);
}

void in_open(struct state *st, struct path_burst *b)
{
	b->has_rests = false;
	if (b->n == 0)
		return;
	in_open_begin(st, b, st->ops);
	if (likely(st->capture.head.what == 0))
		path_keep_rests(st, b, aead_open_head(st->aead, st->ops, b->n));
	else /* somebody looks at all of it */
		aead_open(st->aead, st->ops, b->n);
	in_open_end(st, b, st->ops);
}
