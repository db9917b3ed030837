/* How much may a peer send, and be sent? Packets and bytes a second with a burst, and a quota of bytes,
 * as struct abi_limit has them; bytes are those of the inner packet, as in its header. A packet takes
 * one token and its bytes, or nothing; what is dropped here is counted by name and by peer. The packet
 * that reaches a quota still passes, so that it is clear when it is used up. Keepalives are free.
 *
 * The peer's session names its owner, who is the only writer here. While nobody has limits this is a
 * branch a burst, and a peer without them a flag in a line that is read anyway. */
#include "path.h"

#include <rte_prefetch.h>

/* What one direction counts under. */
struct way {
	uint32_t flag; /* ABI_LIMIT_RX or ABI_LIMIT_TX */
	uint32_t drop_packets;
	uint32_t drop_bytes;
};

static const struct way rx = {ABI_LIMIT_RX, ABI_COUNTER_DROP_LIMIT_RX_PACKETS,
                              ABI_COUNTER_DROP_LIMIT_RX_BYTES};
static const struct way tx = {ABI_LIMIT_TX, ABI_COUNTER_DROP_LIMIT_TX_PACKETS,
                              ABI_COUNTER_DROP_LIMIT_TX_BYTES};

/* Tokens that time brought: once a turn, for the clock stands still meanwhile. */
static inline void refill(struct abi_limit_way *way, uint64_t now_ns)
{
	if (now_ns <= way->refilled_ns)
		return;
	base_tokens_refill(&way->packets, now_ns - way->refilled_ns);
	base_tokens_refill(&way->bytes, now_ns - way->refilled_ns);
	way->refilled_ns = now_ns;
}

static inline uint32_t take(struct abi_limit_way *way, const struct way *of, uint32_t len,
                            uint64_t now_ns)
{
	uint32_t verdict = PATH_KEEP;

	refill(way, now_ns);
	if (unlikely(!base_tokens_has(&way->packets, 1)))
		verdict = of->drop_packets;
	else if (unlikely(!base_tokens_has(&way->bytes, len)))
		verdict = of->drop_bytes;
	if (unlikely(verdict != PATH_KEEP)) {
		way->drops++;
		return verdict;
	}
	base_tokens_take(&way->packets, 1);
	base_tokens_take(&way->bytes, len);
	return PATH_KEEP;
}

static inline bool is_used_up(const struct abi_limit *limit, uint64_t used, uint64_t until)
{
	return used >= until || limit->rx_used + limit->tx_used >= limit->total_until;
}

/* The words are read by control meanwhile, which adds them up: whole words, in no order. */
static inline void add(uint64_t *used, uint32_t len)
{
	__atomic_store_n(used, *used + len, __ATOMIC_RELAXED);
}

static uint32_t judge_rx(struct state *st, const struct path_pkt *p)
{
	struct abi_limit *limit = &st->limits_of[p->session->peer];
	uint32_t limits = p->session->rx_limits;
	uint32_t verdict = PATH_KEEP;

	if ((limits & ABI_LIMIT_QUOTA) && is_used_up(limit, limit->rx_used, limit->rx_until)) {
		limit->rx_drops++;
		verdict = ABI_COUNTER_DROP_QUOTA;
	} else if (limits & ABI_LIMIT_RX) {
		verdict = take(&limit->rx, &rx, p->len, st->now_ns);
	}
	if (unlikely(verdict != PATH_KEEP))
		p->session->drops++;
	else if (limits & ABI_LIMIT_QUOTA)
		add(&limit->rx_used, p->len);
	return verdict;
}

static uint32_t judge_tx(struct state *st, const struct path_pkt *p)
{
	struct abi_limit *limit = &st->limits_of[p->peer];
	uint32_t limits = p->session->tx_limits;
	uint32_t verdict = PATH_KEEP;

	if ((limits & ABI_LIMIT_QUOTA) && is_used_up(limit, limit->tx_used, limit->tx_until)) {
		limit->tx_drops++;
		verdict = ABI_COUNTER_DROP_QUOTA;
	} else if (limits & ABI_LIMIT_TX) {
		verdict = take(&limit->tx, &tx, p->len, st->now_ns);
	}
	if (likely(verdict == PATH_KEEP) && (limits & ABI_LIMIT_QUOTA))
		add(&limit->tx_used, p->len);
	return verdict;
}

void limit_in(struct state *st, struct path_burst *b)
{
	uint32_t n = 0;

	if (likely(st->n_limited == 0))
		return;
	for (uint32_t i = 0; i < b->n; i++) {
		const struct path_pkt *p = &b->pkt[i];

		path_judge(st, b, i, p->session->rx_limits == 0 ? PATH_KEEP : judge_rx(st, p), &n);
	}
	b->n = n;
}

void limit_out(struct state *st, struct path_burst *b)
{
	uint32_t n = 0;

	if (likely(st->n_limited == 0))
		return;
	for (uint32_t i = 0; i < b->n; i++) {
		const struct path_pkt *p = &b->pkt[i];

		path_judge(st, b, i, p->session->tx_limits == 0 ? PATH_KEEP : judge_tx(st, p), &n);
	}
	b->n = n;
}
