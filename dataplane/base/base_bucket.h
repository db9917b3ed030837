/* Token bucket in nanoseconds: the bucket remembers when it will be full again, so it is one word,
 * needs no refill and no clock of its own, and all zero is a full bucket. */
#ifndef BASE_BUCKET_H
#define BASE_BUCKET_H

#include "base_time.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

/* A rate as time: one token comes back every cost_ns, and burst of them fit. */
struct base_bucket_rate {
	uint64_t cost_ns;
	uint64_t capacity_ns; /* burst * cost_ns */
};

struct base_bucket {
	uint64_t full_ns; /* when it will be full if nothing more is taken */
};

/* tokens per_second 1..10^9 (the cost is rounded up, so the rate is never exceeded), burst >= 1. Of constants
 * it is one: no division on a packet's way. */
static inline struct base_bucket_rate base_bucket_rate(uint32_t per_second, uint32_t burst)
{
	assert(per_second >= 1 && per_second <= BASE_NS_PER_S && burst >= 1);

	uint64_t cost_ns = (BASE_NS_PER_S + per_second - 1) / per_second;

	return (struct base_bucket_rate){.cost_ns = cost_ns, .capacity_ns = burst * cost_ns};
}

/* Take n tokens at once, or none. now_ns may go back: that gives no tokens. Thread: one a bucket.*/
static inline bool base_bucket_take(struct base_bucket *bucket, const struct base_bucket_rate *rate,
                                    uint32_t n, uint64_t now_ns)
{
	uint64_t from_ns = bucket->full_ns > now_ns ? bucket->full_ns : now_ns;
	uint64_t full_ns;

	if (__builtin_mul_overflow(n, rate->cost_ns, &full_ns)
	    || __builtin_add_overflow(full_ns, from_ns, &full_ns)
	    || full_ns - now_ns > rate->capacity_ns)
		return false;
	bucket->full_ns = full_ns;
	return true;
}

/* True when nothing was taken lately: the entry of a table may be dropped. */
static inline bool base_bucket_is_full(const struct base_bucket *bucket, uint64_t now_ns)
{
	return bucket->full_ns <= now_ns;
}

#endif
