/* What policy_flow_index.c has of buckets, free entries, accounts and lists: inline, since policy_open.c makes the
 * entries of a whole burst with it. */
#ifndef POLICY_FLOW_INDEX_H
#define POLICY_FLOW_INDEX_H

#include "policy_flow_private.h"

#include <emmintrin.h>

/* Places that are value where mask has bits, as bits. */
static inline uint32_t flow_bucket_match(const struct flow_bucket *bucket, uint32_t mask,
                                         uint32_t value)
{
	const __m128i *lines = (const __m128i *)(const void *)bucket->place;
	__m128i masks = _mm_set1_epi32((int)mask);
	__m128i wanted = _mm_set1_epi32((int)value);
	__m128i equal[4];

	for (unsigned int i = 0; i < 4; i++)
		equal[i] = _mm_cmpeq_epi32(_mm_and_si128(_mm_load_si128(lines + i), masks), wanted);
	equal[0] = _mm_packs_epi32(equal[0], equal[1]);
	equal[2] = _mm_packs_epi32(equal[2], equal[3]);
	return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(equal[0], equal[2]))
	       & ((1U << FLOW_PLACES) - 1);
}

/* The number of the entry that is made after so many others, or 0: first those that were used before, whose
 * lines are the likeliest to be in a cache. */
static inline uint32_t flow_next_free(const struct policy_flow *flow, uint32_t ahead)
{
	uint32_t n_free = flow->n_touched - flow->n_used;
	uint32_t fresh = flow->n_touched + 1 + (ahead - n_free);

	if (ahead < n_free)
		return flow->free[n_free - 1 - ahead];
	return fresh <= flow->n_flows ? fresh : 0;
}

/* This one, of flow_next_free(), is free no longer. */
static inline void flow_use(struct policy_flow *flow, uint32_t number)
{
	if (number > flow->n_touched)
		flow->n_touched = number;
	flow->n_used++;
}

static inline struct flow_charge *flow_charge_of(const struct policy_flow *flow, uint32_t peer)
{
	return &flow->charges[peer < flow->n_peers ? peer : flow->n_peers];
}

/* May this peer open one more? */
static inline enum policy_flow_verdict flow_charge_check(const struct policy_flow *flow,
                                                         uint32_t peer)
{
	const struct flow_charge *charge = flow_charge_of(flow, peer);

	if (peer >= flow->n_peers && peer != POLICY_HUB)
		return POLICY_FLOW_NO_SOURCE;
	if (charge->n >= flow->peer_max)
		return POLICY_FLOW_PEER_FULL;
	return charge->n_half >= flow->half_max ? POLICY_FLOW_PEER_HALF : POLICY_FLOW_PASS;
}

/* Fetch what the opener's entry, made after so many others, will be written to. */
static BASE_FETCHES void flow_make_prefetch(const struct policy_flow *flow, uint32_t opener,
                                            uint32_t ahead)
{
	__builtin_prefetch(&flow->entries[flow_next_free(flow, ahead)], 1);
	__builtin_prefetch(flow_charge_of(flow, opener), 1);
}

/* The list of entries that may time out in this second. */
static inline uint32_t *flow_wheel_list(struct policy_flow *flow, uint32_t at_s)
{
	if ((int32_t)(at_s - flow->wheel_s) < 0)
		at_s = flow->wheel_s;
	if (at_s - flow->wheel_s >= FLOW_WHEEL_SLOTS)
		at_s = flow->wheel_s + FLOW_WHEEL_SLOTS - 1;
	return &flow->wheel[at_s % FLOW_WHEEL_SLOTS];
}

#endif
