/* The section of the /64s: buckets. */
#include "block_build_private.h"

#include <errno.h>
#include <stdlib.h>

/* So that 3.5 of a bucket's 8 places are taken on average: one in 40 is full. */
#define HALF_NETS_A_BUCKET 7U

/* ---- which -------------------------------------------------------------------------------------- */

/* The next /64 from *at on that is listed or has longer prefixes, which stand behind it. Returns its
 * answer, 0 at the end. */
static uint32_t next_net(const struct block_prefix *prefixes, size_t n, size_t *at, uint64_t *high)
{
	uint32_t answer = 0;

	while (*at < n && prefixes[*at].len < 64)
		(*at)++;
	if (*at == n)
		return 0;
	*high = prefixes[*at].high;
	for (; *at < n && prefixes[*at].high == *high && prefixes[*at].len >= 64; (*at)++)
		answer |= prefixes[*at].len == 64 ? prefixes[*at].scopes : BLOCK_ANSWER_DEEP;
	/* Where all is dropped nothing is left to tell apart. */
	return answer & BLOCK_ALL ? BLOCK_ALL : answer;
}

static size_t count_nets(const struct block_prefix *prefixes, size_t n)
{
	size_t n_nets = 0;
	uint64_t high;

	for (size_t at = 0; next_net(prefixes, n, &at, &high) != 0;)
		n_nets++;
	return n_nets;
}

/* ---- where -------------------------------------------------------------------------------------- */

static bool is_full(const struct block_bucket *bucket)
{
	return bucket->nets[BLOCK_BUCKET_NETS - 1] != 0;
}

static void put(struct block_bucket *buckets, uint32_t n_buckets, uint64_t mixed, uint32_t answer)
{
	uint32_t at = block__place(mixed, n_buckets);
	uint32_t i = 0;

	while (is_full(&buckets[at]))
		at = at + 1 == n_buckets ? 0 : at + 1;
	while (buckets[at].nets[i] != 0)
		i++;
	buckets[at].nets[i] = block__key(mixed) | answer;
}

/* Full buckets in a row, at most: so far a net can be from its place, and a search go on. */
static uint32_t longest_row(const struct block_bucket *buckets, uint32_t n_buckets)
{
	uint32_t longest = 0;
	uint32_t row = 0;

	/* Twice round: a row may go over the end. */
	for (uint32_t i = 0; i < 2 * n_buckets && row < n_buckets; i++) {
		row = is_full(&buckets[i % n_buckets]) ? row + 1 : 0;
		longest = row > longest ? row : longest;
	}
	return longest;
}

int block__build_nets(struct block_builder *builder, const struct block_prefix *prefixes, size_t n)
{
	size_t n_nets = count_nets(prefixes, n);
	uint32_t n_buckets = (uint32_t)(n_nets * 2 / HALF_NETS_A_BUCKET) + BLOCK_BUCKETS_MIN;
	struct block_bucket *buckets;

	for (;; n_buckets *= 2) {
		uint64_t high = 0;
		uint32_t answer;

		builder->buckets.n = 0;
		buckets = block__array_add(&builder->buckets, n_buckets);
		if (!buckets)
			return -ENOMEM;
		for (size_t at = 0; (answer = next_net(prefixes, n, &at, &high)) != 0;)
			put(buckets, n_buckets, block__mix(builder->header.seed, high), answer);
		/* Those that a search can meet begin so near to each other that their keys differ. */
		if ((longest_row(buckets, n_buckets) + 2) * BLOCK_ANSWERS <= n_buckets)
			return 0;
	}
}
