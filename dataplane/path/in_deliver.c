/* The end of the way in: the hub's own packets leave for the kernel, the others turn round. */
#include "path_inner.h"
#include "path_rest.h"

#define HOP_LIMIT_V4 8U
#define HOP_LIMIT_V6 7U

static uint32_t to_hub(struct state *st, struct path_pkt *p)
{
	path_fit(p);
	p->mbuf->port = PORT_LINK_TUN;
	path_aside(&st->to_kernel, p->mbuf);
	return PATH_GONE;
}

static uint32_t deliver(struct state *st, struct path_pkt *p)
{
	bool v4 = path_inner_version(p) == 4;
	uint8_t *hop_limit = p->data + (v4 ? HOP_LIMIT_V4 : HOP_LIMIT_V6);

	if (p->to_hub)
		return to_hub(st, p);
	if (unlikely(*hop_limit <= 1)) {
		p->session->drops++;
		return ABI_COUNTER_DROP_HOP_LIMIT;
	}
	if (v4)
		path_inner_hop_v4(p->data);
	else
		(*hop_limit)--;
	return likely(p->len <= st->hub.tunnel_mtu) ? PATH_KEEP : too_big_put(st, p);
}

void in_deliver(struct state *st, struct path_burst *b)
{
	struct path_pkt *end = path_end(b);
	struct path_pkt *to = b->pkt;

	path_open_hub_rests(st, b);
	for (struct path_pkt *p = b->pkt; p < end; p++)
		path_settle(st, p, deliver(st, p), &to);
	path_close(b, to);
	state_count(st, ABI_COUNTER_FORWARDED, b->n);
}
