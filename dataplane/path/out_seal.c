/* Counter, padding, and one AEAD call over the whole burst. Counters are taken in the order of the
 * packets, here and nowhere else; a packet dropped after this leaves a gap, which is harmless. */
#include "path_inner.h"
#include "path_rest.h"
#include "wg_message.h"

#include <rte_prefetch.h>

#include <errno.h>

static uint32_t may_send(struct state *st, struct path_pkt *p)
{
	int rc = state_session_before_send(st, p->session);

	if (rc == 0)
		return PATH_KEEP;
	state_event_wanted(st, p->session->peer);
	if (rc != -EKEYEXPIRED)
		return ABI_COUNTER_DROP_NO_SESSION;
	/* Before the timer scan saw it. Its keys stay until then: the burst may use them. */
	state_current_clear(&st->current[p->session->peer], p->session->index);
	if (p->waited || p->len == 0)
		return ABI_COUNTER_DROP_SESSION_EXPIRED;
	return wait_put(st, p);
}

/* Length with padding: to 16 bytes, but not beyond the tunnel's MTU, as the kernel does; what is
 * larger already is not padded. */
static uint32_t padded_len(const struct state *st, uint32_t len)
{
	uint32_t padded = (len + WG_PAD_MULTIPLE - 1) & ~(WG_PAD_MULTIPLE - 1);

	if (likely(padded <= st->hub.tunnel_mtu))
		return padded;
	return len > st->hub.tunnel_mtu ? len : st->hub.tunnel_mtu;
}

/* DSCP and ECN of the outer header: ECN as inside (RFC 6040 4.1, normal mode), DSCP as inside or as
 * configured. A keepalive has nothing inside. */
static inline uint8_t tos_of(const struct state *st, const struct path_pkt *p)
{
	uint32_t tos = p->len != 0 ? path_inner_tos(p) : 0;

	if (!st->hub.copies_dscp)
		tos = (tos & PATH_ECN_MASK) | (uint32_t)st->hub.dscp << 2;
	return (uint8_t)tos;
}

_Static_assert(WG_PAD_MULTIPLE <= WG_TAG_LEN, "padding that is too long stays in the packet");

static uint32_t prepare(struct state *st, struct path_pkt *p, struct aead_op *op, uint32_t coarse)
{
	struct state_session *session = p->session;

	if (unlikely(state_session_is_at_limit(session, coarse))) {
		uint32_t verdict = may_send(st, p);

		if (verdict != PATH_KEEP)
			return verdict;
	}

	uint32_t len = padded_len(st, p->len);
	const uint8_t *end = (uint8_t *)p->mbuf->buf_addr + p->mbuf->buf_len;

	if (unlikely(len > AEAD_LEN_MAX || p->data + len + WG_TAG_LEN > end))
		return ABI_COUNTER_DROP_TOO_BIG;
	p->tos = tos_of(st, p);
	/* fewer bytes than 16; those too many are where the tag will be */
	memset(p->data + p->len, 0, WG_PAD_MULTIPLE);
	p->len = len + WG_TAG_LEN;
	p->counter = session->send_counter++;
	*op = (struct aead_op){
		.data = p->data,
		.key = session->send_key,
		.counter = p->counter,
		.len = len,
		/* IPv6's header lies in two lines */
		.after = {session->header, session->header_len > STATE_HEADER_LINE
	                                           ? session->header_front
	                                           : session->header},
	};
	return PATH_KEEP;
}

void out_seal_begin(struct state *st, struct path_burst *b, struct aead_op *ops)
{
	struct path_pkt *end = path_end(b);
	struct path_pkt *to = b->pkt;
	uint32_t coarse = state_coarse(st->now_ns);

	for (struct path_pkt *p = b->pkt; p < end; p++) {
		struct path_pkt *at = to;

		path_settle(st, p, prepare(st, p, ops, coarse), &to);
		ops += to != at;
	}
	path_close(b, to);
}

/* Timers and counters of what is sent now; tick: now, as they have it. */
static inline uint32_t note_sent(struct state *st, struct path_pkt *p, const struct aead_op *op,
                                 uint32_t tick)
{
	struct state_session *session = p->session;

	if (unlikely(op->verdict != AEAD_OK))
		return ABI_COUNTER_DROP_AUTH;
	session->tx_bytes += WG_DATA_HEADER_LEN + p->len;
	if (unlikely(p->len == WG_TAG_LEN)) {
		state_count(st, ABI_COUNTER_KEEPALIVE_OUT, 1);
		wg_timers_sent_empty(&session->sent, tick);
	} else {
		wg_timers_sent_data(&session->sent, tick);
	}
	return PATH_KEEP;
}

void out_seal_end(struct state *st, struct path_burst *b, const struct aead_op *ops)
{
	struct path_pkt *end = path_end(b);
	struct path_pkt *to = b->pkt;
	uint32_t tick = wg_timers_tick(st->now_ns);

	for (struct path_pkt *p = b->pkt; p < end; p++, ops++)
		path_settle(st, p, note_sent(st, p, ops, tick), &to);
	path_close(b, to);
	state_count(st, ABI_COUNTER_SEALED, b->n);
}

static void seal_over(struct state *st, struct path_burst *b)
{
	struct aead_rest rests[PATH_BURST_MAX];

	for (uint32_t i = 0; i < b->n; i++)
		rests[i] = path_take_rest(st, &b->pkt[i]);
	b->has_rests = false;
	aead_seal_over(st->aead, st->ops, rests, b->n);
}

void out_seal(struct state *st, struct path_burst *b)
{
	out_seal_begin(st, b, st->ops);
	if (b->n == 0)
		return;
	if (b->has_rests)
		seal_over(st, b);
	else
		aead_seal(st->aead, st->ops, b->n);
	out_seal_end(st, b, st->ops);
}
