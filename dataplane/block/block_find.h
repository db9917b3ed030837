/* The loops of a look-up, compiled twice: block_find_plain.c, block_find_avx512.c. Each pass goes over
 * the whole burst, reads what the pass before has fetched, and fetches for the next; none branches on
 * what it finds but for what is rare. */
#ifndef BLOCK_FIND_H
#define BLOCK_FIND_H

#include "block_private.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* ---- IPv4 --------------------------------------------------------------------------------------- */

/* Bit i: ends[i] of the line lies before x. */
static inline uint32_t ends_before_v4(const struct block_v4_line *line, uint16_t x)
{
#if defined(__AVX512BW__)
	return _mm512_cmplt_epu16_mask(_mm512_load_si512(line), _mm512_set1_epi16((short)x));
#elif defined(__SSE2__)
	/* Unsigned a < x is x - a, held at 0, not 0; bytes of a mask from two vectors at a time. */
	const __m128i *at = (const __m128i *)line;
	const __m128i all = _mm_set1_epi16((short)x);
	const __m128i zero = _mm_setzero_si128();
	__m128i not_before[4];
	uint32_t low, high;

	for (unsigned int i = 0; i < 4; i++)
		not_before[i] = _mm_cmpeq_epi16(_mm_subs_epu16(all, _mm_load_si128(&at[i])), zero);
	low = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(not_before[0], not_before[1]));
	high = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(not_before[2], not_before[3]));
	return ~(low | high << 16);
#else
	uint32_t mask = 0;

	for (uint32_t i = 0; i < 32; i++)
		mask |= (uint32_t)(line->ends[i] < x) << i;
	return mask;
#endif
}

static inline uint8_t answer_of_part(const struct block_v4_line *lines, uint32_t entry, uint16_t x)
{
	const struct block_v4_line *line = &lines[entry >> 10];
	uint32_t count = entry & 31;
	uint32_t at = entry >> 5 & 31;
	uint32_t mask = ends_before_v4(line, x) >> at & ((1U << count) - 1);

	return line->bytes[2 * (at + count) + (uint32_t)__builtin_popcount(mask)];
}

/* A binary search among more ends than fit a line. */
static __attribute__((noinline)) uint8_t answer_of_run(const struct block_table *table,
                                                       uint32_t entry, uint16_t x)
{
	const struct block_run *runs = block__at(table, table->runs_at);
	const struct block_run *run = &runs[entry >> 5];
	const struct block_step *steps = block__at(table, table->steps_at);
	uint32_t first = run->first;
	uint32_t n = run->n;

	while (n > 1) {
		uint32_t half = n / 2;

		if (steps[first + half - 1].end < x)
			first += half;
		n -= half;
	}
	return steps[first].answer;
}

static inline void find_v4(const struct block_table *table, const uint32_t *address,
                           uint8_t *scopes, uint32_t n)
{
	const uint32_t *dir = block__at(table, table->v4_dir_at);
	const struct block_v4_line *lines = block__at(table, table->v4_lines_at);
	const uint32_t bits = table->v4_bits;
	uint32_t entry[BLOCK_BURST_MAX];

	for (uint32_t i = 0; i < n; i++)
		__builtin_prefetch(&dir[address[i] >> (32 - bits)]);
	for (uint32_t i = 0; i < n; i++) {
		entry[i] = dir[address[i] >> (32 - bits)];
		/* Of a run this is some line or none: a prefetch goes nowhere wrong. */
		__builtin_prefetch(&lines[entry[i] >> 10]);
	}
	for (uint32_t i = 0; i < n; i++) {
		uint16_t x = (uint16_t)(address[i] << bits >> bits);

		if (__builtin_expect((entry[i] & 31) == BLOCK_V4_LONG, 0))
			scopes[i] = answer_of_run(table, entry[i], x) & BLOCK_SCOPES;
		else
			scopes[i] = answer_of_part(lines, entry[i], x) & BLOCK_SCOPES;
	}
}

/* ---- IPv6 --------------------------------------------------------------------------------------- */

/* Number of the line's ends that lie before x. */
static inline uint32_t rank_v6(const struct block_v6_line *line, uint64_t x)
{
#if defined(__AVX512F__)
	__mmask8 mask = _mm512_cmplt_epu64_mask(_mm512_load_si512(line),
	                                        _mm512_set1_epi64((long long)x));

	return (uint32_t)__builtin_popcount(mask & 0x7fU);
#else
	uint32_t rank = 0;

	for (uint32_t i = 0; i < BLOCK_V6_ENDS; i++)
		rank += line->ends[i] < x;
	return rank;
#endif
}

/* From a line to the leaf below it. */
static inline const struct block_v6_line *descend(const struct block_table *table,
                                                  const struct block_v6_line *lines, uint32_t line,
                                                  uint64_t x)
{
	while (line >= table->n_v6_leaves)
		line = lines[line].child + rank_v6(&lines[line], x);
	return &lines[line];
}

/* The /64 has prefixes longer than that. */
static __attribute__((noinline)) uint8_t answer_of_deep(const struct block_table *table,
                                                        uint64_t high, uint64_t low)
{
	const struct block_deep *deep = block__at(table, table->deep_at);
	const struct block_v6_line *lines = block__at(table, table->v6_lines_at);
	uint32_t i;

	if (table->n_deep == 0)
		return 0;
	i = block__deep_slot(table->seed, high, table->n_deep);
	while (deep[i].used != 0) {
		if (deep[i].high == high) {
			const struct block_v6_line *leaf = descend(table, lines, deep[i].line, low);

			return leaf->answers[rank_v6(leaf, low)];
		}
		i = (i + 1) & (table->n_deep - 1);
	}
	return 0;
}

static inline void find_v6(const struct block_table *table, const uint64_t *high,
                           const uint64_t *low, uint8_t *scopes, uint32_t n)
{
	const uint32_t *dir = block__at(table, table->v6_dir_at);
	const struct block_v6_line *lines = block__at(table, table->v6_lines_at);
	const uint32_t shift = 64 - table->v6_bits;
	const uint32_t n_leaves = table->n_v6_leaves;
	uint32_t line[BLOCK_BURST_MAX];

	for (uint32_t i = 0; i < n; i++)
		__builtin_prefetch(&dir[high[i] >> shift]);
	for (uint32_t i = 0; i < n; i++) {
		line[i] = dir[high[i] >> shift];
		__builtin_prefetch(&lines[line[i]]);
	}
	for (uint32_t level = 0; level < table->v6_levels; level++) {
		for (uint32_t i = 0; i < n; i++) {
			const struct block_v6_line *at = &lines[line[i]];
			uint32_t next = at->child + rank_v6(at, high[i]);

			line[i] = line[i] >= n_leaves ? next : line[i];
			__builtin_prefetch(&lines[line[i]]);
		}
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct block_v6_line *leaf = &lines[line[i]];
		uint8_t answer = leaf->answers[rank_v6(leaf, high[i])];

		if (__builtin_expect((answer & BLOCK_ANSWER_DEEP) != 0, 0))
			answer = answer_of_deep(table, high[i], low[i]);
		scopes[i] = answer & BLOCK_SCOPES;
	}
}

#endif
