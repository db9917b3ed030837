/* Which packets of a burst are cheaper one by one than side by side: few packets leave lanes empty, and
 * one that is much longer than the others keeps their lanes waiting. A model in TSC cycles whose
 * constants each backend has measured (bench/README.md says how well it fits); lengths only, so public. */
#ifndef AEAD_CROSSOVER_H
#define AEAD_CROSSOVER_H

#include "aead_lanes.h"

#include <stdbool.h>

struct aead_costs {
	unsigned int n_group;     /* packets a call of Poly1305 */
	unsigned int block;       /* a ChaCha20 block, when all lanes are full */
	unsigned int blocks_min;  /* blocks that a burst pays for at least */
	unsigned int group;       /* a call of Poly1305, without what follows */
	unsigned int group_block; /* 64 bytes more of its longest packet */
	unsigned int open;      /* opening, once: its keys have to be ready before anything else */
	unsigned int one;       /* the other way: a packet */
	unsigned int one_block; /* 64 bytes of it */
};

#define AEAD_CROSSOVER_INLINE static inline __attribute__((always_inline))

AEAD_CROSSOVER_INLINE unsigned int aead_crossover_blocks(uint32_t len)
{
	return (len + AEAD_BLOCK_LEN - 1) / AEAD_BLOCK_LEN;
}

AEAD_CROSSOVER_INLINE unsigned int aead_crossover_one(const struct aead_costs *costs, uint32_t len)
{
	return costs->one + costs->one_block * aead_crossover_blocks(len);
}

/* How many of the first packets of len[n], longest first, to take out: those that cost less one by one
 * than what their length beyond the next packet's costs the first group. */
AEAD_CROSSOVER_INLINE unsigned int aead_crossover_head(const struct aead_costs *costs,
                                                       const uint32_t *len, unsigned int n)
{
	unsigned int longest = aead_crossover_blocks(len[0]);
	unsigned int extra = 0; /* that k packets cost more by themselves */

	for (unsigned int k = 1; k < costs->n_group && k < n; k++) {
		unsigned int blocks = aead_crossover_blocks(len[k - 1]);
		unsigned int saved = costs->group_block * (longest - aead_crossover_blocks(len[k]));

		extra += aead_crossover_one(costs, len[k - 1]);
		extra -= costs->block * (blocks + 1) < extra ? costs->block * (blocks + 1) : extra;
		if (saved > extra)
			return k;
	}
	return 0;
}

/* How many of the last packets of len[n] to take out: none, or all of a last group that is not full. */
AEAD_CROSSOVER_INLINE unsigned int aead_crossover_tail(const struct aead_costs *costs,
                                                       const uint32_t *len, unsigned int n,
                                                       bool opening)
{
	unsigned int n_last = n % costs->n_group;
	unsigned int blocks = 0;
	unsigned int one_by_one = 0;
	unsigned int together;

	for (unsigned int i = n - n_last; i < n; i++) {
		blocks += aead_crossover_blocks(len[i]) + 1;
		one_by_one += aead_crossover_one(costs, len[i]);
	}
	if (n_last == 0)
		return 0;
	together = costs->group + costs->group_block * (aead_crossover_blocks(len[n - n_last]) + 1);
	if (n == n_last) {
		blocks = blocks < costs->blocks_min ? costs->blocks_min : blocks;
		together += opening ? costs->open : 0;
	}
	together += costs->block * blocks;
	return one_by_one < together ? n_last : 0;
}

#endif
