/* Drop lists the dumb way: every prefix is looked at for every address. And lists of every shape. */
#ifndef BLOCK_NAIVE_H
#define BLOCK_NAIVE_H

#include "block_build.h"
#include "test.h"

#include <string.h>

static inline uint8_t naive_find(const struct block_prefix *prefixes, size_t n, uint8_t family,
                                 uint64_t high, uint64_t low)
{
	struct block_prefix address = {.high = high, .low = low, .family = family};
	uint8_t scopes = 0;

	address.len = family == BASE_IP_V4 ? 32 : 128;
	for (size_t i = 0; i < n; i++)
		if (block_prefix_contains(&prefixes[i], &address))
			scopes |= prefixes[i].scopes;
	return scopes & BLOCK_ALL ? BLOCK_ALL : scopes;
}

/* Lists differ in how their addresses bunch: from anywhere to a few bits that vary. */
struct naive_shape {
	uint64_t base_high;
	uint64_t base_low;
	uint32_t fixed_v4; /* first bits that all have in common */
	uint32_t fixed_v6;
	uint32_t len_min_v4, len_min_v6; /* of prefixes */
};

static inline struct naive_shape naive_random_shape(struct test_random *random)
{
	return (struct naive_shape){
		.base_high = test_random_next(random),
		.base_low = test_random_next(random),
		.fixed_v4 = (uint32_t)test_random_below(random, 27),
		.fixed_v6 = (uint32_t)test_random_below(random, 123),
		.len_min_v4 = (uint32_t)test_random_below(random, 33),
		.len_min_v6 = (uint32_t)test_random_below(random, 129),
	};
}

static inline uint64_t naive_mix(uint64_t base, uint64_t x, uint32_t fixed)
{
	uint64_t mask = fixed == 0 ? UINT64_MAX : fixed >= 64 ? 0 : UINT64_MAX >> fixed;

	return (base & ~mask) | (x & mask);
}

/* An address of the shape; now and then from the edge of everything. */
static inline struct block_prefix
naive_random_address(struct test_random *random, const struct naive_shape *shape, uint8_t family)
{
	struct block_prefix p = {.family = family};
	bool is_v4 = family == BASE_IP_V4;
	uint32_t fixed = is_v4 ? shape->fixed_v4 : shape->fixed_v6;
	uint64_t dice = test_random_below(random, 64);

	p.high = naive_mix(shape->base_high, test_random_next(random), fixed);
	p.low = naive_mix(shape->base_low, test_random_next(random), fixed > 64 ? fixed - 64 : 0);
	if (dice < 2)
		p.high = p.low = dice == 0 ? 0 : UINT64_MAX;
	p.len = is_v4 ? 32 : 128;
	if (is_v4) {
		p.high &= ~(uint64_t)UINT32_MAX;
		p.low = 0;
	}
	return p;
}

static inline struct block_prefix naive_random_prefix(struct test_random *random,
                                                      const struct naive_shape *shape)
{
	uint8_t family = test_random_below(random, 2) == 0 ? BASE_IP_V4 : BASE_IP_V6;
	struct block_prefix address = naive_random_address(random, shape, family);
	uint32_t min = family == BASE_IP_V4 ? shape->len_min_v4 : shape->len_min_v6;
	struct base_prefix prefix = block_prefix_text(&address);

	prefix.len = (uint8_t)(min + test_random_below(random, address.len - min + 1U));
	return block_prefix_make(&prefix, (uint8_t)(1 + test_random_below(random, BLOCK_SCOPES)));
}

#endif
