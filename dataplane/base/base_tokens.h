/* Token bucket that is exact for any rate up to 2^63 tokens a second: it counts in billionths of a token,
 * so a nanosecond brings exactly `rate` of them, and what a rate leaves over when it does not divide
 * the clock is never lost. No division, no rounding; the products are checked for overflow.
 *
 * In T seconds in which there is always more to take than there are tokens, what was taken is
 * capacity + rate * T, less than one taking short. (base_bucket.h is one word instead of three, and
 * enough where the rate is ours to choose.) */
#ifndef BASE_TOKENS_H
#define BASE_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

#define BASE_TOKEN             UINT64_C(1000000000) /* billionths in one */
#define BASE_TOKENS_BURST_MAX  (UINT64_C(1) << 33)  /* tokens; with it a level stays below 2^63 */
#define BASE_TOKENS_RATE_NONE  (UINT64_C(1) << 63)  /* full again after a nanosecond: no limit */
#define BASE_TOKENS_LEVEL_NONE ((UINT64_C(1) << 63) - 1)

struct base_tokens {
	uint64_t level;    /* billionths */
	uint64_t rate;     /* tokens a second = billionths a nanosecond */
	uint64_t capacity; /* billionths */
};
_Static_assert(sizeof(struct base_tokens) == 24, "");

static inline bool base_tokens_is_limited(const struct base_tokens *b)
{
	return b->rate != BASE_TOKENS_RATE_NONE && b->rate != 0;
}

/* Set rate, tokens a second, and burst, tokens, 1 .. BASE_TOKENS_BURST_MAX; rate 0 = no limit. A bucket
 * of that rate and burst stays as it is; another one is filled up to its new burst when it had no
 * limit, and never above it. Refill it first. */
static inline void base_tokens_set(struct base_tokens *b, uint64_t rate, uint64_t burst)
{
	bool was_none = !base_tokens_is_limited(b);

	b->rate = rate == 0 ? BASE_TOKENS_RATE_NONE : rate;
	b->capacity = rate == 0 ? BASE_TOKENS_LEVEL_NONE : burst * BASE_TOKEN;
	if (was_none || b->level > b->capacity)
		b->level = b->capacity;
}

/* The burst that was set, tokens; of a bucket that is limited. */
static inline uint64_t base_tokens_burst(const struct base_tokens *b)
{
	return b->capacity / BASE_TOKEN;
}

/* Time has passed: any number of nanoseconds. */
static inline void base_tokens_refill(struct base_tokens *b, uint64_t elapsed_ns)
{
	uint64_t level;

	if (__builtin_mul_overflow(elapsed_ns, b->rate, &level)
	    || __builtin_add_overflow(level, b->level, &level) || level > b->capacity)
		level = b->capacity;
	b->level = level;
}

/* n below 2^33. */
static inline bool base_tokens_has(const struct base_tokens *b, uint64_t n)
{
	return b->level >= n * BASE_TOKEN;
}

/* Only after base_tokens_has(). */
static inline void base_tokens_take(struct base_tokens *b, uint64_t n)
{
	b->level -= n * BASE_TOKEN;
}

#endif
