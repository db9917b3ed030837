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

static inline void reach_v4(const struct block_table *table, const uint32_t *address, uint32_t n)
{
	const uint32_t *dir = block__at(table, table->v4_dir_at);
	const uint32_t shift = 32 - table->v4_bits;

	for (uint32_t i = 0; i < n; i++)
		__builtin_prefetch(&dir[address[i] >> shift]);
}

static inline void enter_v4(const struct block_table *table, const uint32_t *address,
                            uint32_t *entry, uint32_t n)
{
	const uint32_t *dir = block__at(table, table->v4_dir_at);
	const struct block_v4_line *lines = block__at(table, table->v4_lines_at);
	const uint32_t shift = 32 - table->v4_bits;

	for (uint32_t i = 0; i < n; i++) {
		entry[i] = dir[address[i] >> shift];
		/* Of a run this is some line or none: a prefetch goes nowhere wrong. */
		__builtin_prefetch(&lines[entry[i] >> 10]);
	}
}

static inline void answer_v4(const struct block_table *table, const uint32_t *address,
                             const uint32_t *entry, uint8_t *scopes, uint32_t n)
{
	const struct block_v4_line *lines = block__at(table, table->v4_lines_at);
	const uint32_t bits = table->v4_bits;

	for (uint32_t i = 0; i < n; i++) {
		uint16_t x = (uint16_t)(address[i] << bits >> bits);

		if (__builtin_expect((entry[i] & 31) == BLOCK_V4_LONG, 0))
			scopes[i] = answer_of_run(table, entry[i], x) & BLOCK_SCOPES;
		else
			scopes[i] = answer_of_part(lines, entry[i], x) & BLOCK_SCOPES;
	}
}

/* ---- IPv6: /64s --------------------------------------------------------------------------------- */

/* The bucket's answer for the net of this key, 0 when it has none. Returns whether the search is over. */
static inline bool answer_of_bucket(const struct block_bucket *bucket, uint64_t key,
                                    uint32_t *answer)
{
	bool is_full = bucket->nets[BLOCK_BUCKET_NETS - 1] != 0;
#if defined(__AVX512F__)
	const __m512i nets = _mm512_load_si512(bucket);
	const __m512i differs = _mm512_xor_si512(nets, _mm512_set1_epi64((long long)key));
	__mmask8 mask = _mm512_cmplt_epu64_mask(differs, _mm512_set1_epi64(BLOCK_ANSWERS));
	/* What is free has no answer and stands behind what is not, so it may be taken for key 0. */
	__m512i found = _mm512_maskz_compress_epi64(mask, nets);

	*answer = (uint32_t)_mm_cvtsi128_si32(_mm512_castsi512_si128(found)) & (BLOCK_ANSWERS - 1);
	return !((mask == 0) & is_full);
#else
	bool is_there = false;

	*answer = 0;
	for (uint32_t i = 0; i < BLOCK_BUCKET_NETS; i++) {
		uint64_t differs = bucket->nets[i] ^ key;

		is_there |= differs < BLOCK_ANSWERS;
		*answer |= differs < BLOCK_ANSWERS ? (uint32_t)differs : 0;
	}
	return is_there || !is_full;
#endif
}

/* On from a full bucket. */
static __attribute__((noinline)) uint32_t answer_of_next(const struct block_table *table,
                                                         uint32_t at, uint64_t key)
{
	const struct block_bucket *buckets = block__at(table, table->buckets_at);
	uint32_t answer;

	do
		at = at + 1 == table->n_buckets ? 0 : at + 1;
	while (!answer_of_bucket(&buckets[at], key, &answer));
	return answer;
}

/* ---- IPv6: what is wider ------------------------------------------------------------------------ */

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
                                                  const struct block_v6_line *line, uint64_t x)
{
	const struct block_v6_line *lines = block__at(table, table->v6_lines_at);

	while (block__is_branch(line))
		line = &lines[line->child + rank_v6(line, x)];
	return line;
}

/* ---- IPv6: what is longer ----------------------------------------------------------------------- */

/* Not the host that the first slot has. */
static __attribute__((noinline)) uint8_t answer_of_search(const struct block_table *table,
                                                          uint64_t high, uint64_t low, uint32_t at)
{
	const struct block_deep *deep = block__at(table, table->deep_at);
	const struct block_v6_line *lines = block__at(table, table->v6_lines_at);

	for (; deep[at].kind != BLOCK_DEEP_FREE; at = at + 1 == table->n_deep ? 0 : at + 1) {
		const struct block_v6_line *leaf;

		if (deep[at].high != high)
			continue;
		if (deep[at].kind == BLOCK_DEEP_HOST)
			return deep[at].low == low ? deep[at].answer : 0;
		leaf = descend(table, &lines[deep[at].line], low);
		return leaf->answers[rank_v6(leaf, low)];
	}
	return 0;
}

/* at: the first of the two slots of a line. */
static inline uint8_t answer_of_deep(const struct block_table *table, uint64_t high, uint64_t low,
                                     uint32_t at)
{
	const struct block_deep *deep = block__at(table, table->deep_at);
	const struct block_deep *slot = &deep[at + (deep[at + 1].high == high)];

	if (__builtin_expect(slot->high == high && slot->kind == BLOCK_DEEP_HOST, 1))
		return slot->low == low ? slot->answer : 0;
	return answer_of_search(table, high, low, at);
}

/* ---- IPv6: all of it ---------------------------------------------------------------------------- */

/* Those of a burst for which there is more to read. */
struct v6_rest {
	uint32_t n;
	uint8_t i[BLOCK_BURST_MAX]; /* positions in the burst */
};

static inline void rest_add(struct v6_rest *rest, uint32_t i, bool there_is)
{
	rest->i[rest->n] = (uint8_t)i;
	rest->n += there_is;
}

/* What a burst's passes hand on. Offsets are in bytes, of sections that are shorter than 1 GB. */
struct v6_way {
	uint64_t key[BLOCK_BURST_MAX];
	uint32_t deep_at[BLOCK_BURST_MAX];
	uint32_t bucket[BLOCK_BURST_MAX]; /* offset */
	uint32_t slot[BLOCK_BURST_MAX];
	struct v6_rest wide; /* in a slot that has a root, or one answer */
	uint32_t root[BLOCK_BURST_MAX];
	struct v6_rest deep; /* in a /64 that has longer prefixes */
};

static inline void reach_v6(const struct block_table *table, const struct block_sources *s,
                            struct v6_way *way)
{
	const uint8_t *buckets = block__at(table, table->buckets_at);
	const struct block_v6_entry *dir = block__at(table, table->v6_dir_at);
	const uint64_t base = table->v6_base;
	const uint64_t seed = table->seed;
	const uint64_t n_slots = table->n_v6_slots;
	const uint32_t shift = table->v6_shift;
	const uint32_t n_buckets = table->n_buckets;
	const uint32_t n_deep = table->n_deep;

	for (uint32_t i = 0; i < s->n_v6; i++) {
		uint64_t mixed = block__mix(seed, s->high[i]);
		uint64_t slot = (s->high[i] - base) >> shift;

		way->key[i] = block__key(mixed);
		way->deep_at[i] = block__deep_at(mixed, n_deep);
		way->bucket[i] = block__place(mixed, n_buckets) * (uint32_t)BLOCK_LINE;
		way->slot[i] = (uint32_t)(slot < n_slots ? slot : n_slots);
	}
	for (uint32_t i = 0; i < s->n_v6; i++) {
		__builtin_prefetch(&dir[way->slot[i] / BLOCK_V6_SLOTS]);
		__builtin_prefetch(&buckets[way->bucket[i]]);
	}
}

/* Who is in what is wider than /64, or may be, and then in which root. */
static inline void enter_v6(const struct block_table *table, const struct block_sources *s,
                            struct v6_way *way)
{
	const struct block_v6_entry *dir = block__at(table, table->v6_dir_at);
	const struct block_v6_line *roots = block__at(table, table->v6_roots_at);

	way->wide.n = 0;
	for (uint32_t i = 0; i < s->n_v6; i++) {
		const struct block_v6_entry *entry = &dir[way->slot[i] / BLOCK_V6_SLOTS];
		uint32_t slot = way->slot[i] % BLOCK_V6_SLOTS;

		rest_add(&way->wide, i, (entry->roots | entry->listed) >> slot & 1U);
	}
	for (uint32_t k = 0; k < way->wide.n; k++) {
		uint32_t slot = way->slot[way->wide.i[k]];
		const struct block_v6_entry *entry = &dir[slot / BLOCK_V6_SLOTS];
		uint32_t before = entry->roots & ((1U << slot % BLOCK_V6_SLOTS) - 1);

		way->root[k] = entry->first + (uint32_t)__builtin_popcount(before);
		__builtin_prefetch(&roots[way->root[k]]);
	}
}

/* The /64s. */
static inline void answer_nets(const struct block_table *table, const struct block_sources *s,
                               struct v6_way *way)
{
	const uint8_t *buckets = block__at(table, table->buckets_at);
	const struct block_deep *deep = block__at(table, table->deep_at);

	way->deep.n = 0;
	for (uint32_t i = 0; i < s->n_v6; i++) {
		const void *bucket = &buckets[way->bucket[i]];
		uint32_t answer;

		if (__builtin_expect(!answer_of_bucket(bucket, way->key[i], &answer), 0))
			answer = answer_of_next(table, way->bucket[i] / BLOCK_LINE, way->key[i]);
		s->v6_scopes[i] = answer & BLOCK_SCOPES;
		rest_add(&way->deep, i, (answer & BLOCK_ANSWER_DEEP) != 0);
	}
	if (table->n_deep == 0) /* whatever a bucket says */
		way->deep.n = 0;
	for (uint32_t k = 0; k < way->deep.n; k++)
		__builtin_prefetch(&deep[way->deep_at[way->deep.i[k]]]);
}

static inline void join(uint8_t *scopes, uint32_t answer)
{
	answer |= *scopes;
	*scopes = answer & BLOCK_ALL ? BLOCK_ALL : answer & BLOCK_SCOPES;
}

static inline void answer_wide(const struct block_table *table, const struct block_sources *s,
                               const struct v6_way *way)
{
	const struct block_v6_entry *dir = block__at(table, table->v6_dir_at);
	const struct block_v6_line *roots = block__at(table, table->v6_roots_at);

	for (uint32_t k = 0; k < way->wide.n; k++) {
		uint32_t i = way->wide.i[k];
		const struct block_v6_entry *entry = &dir[way->slot[i] / BLOCK_V6_SLOTS];
		const struct block_v6_line *leaf;

		if (entry->listed >> way->slot[i] % BLOCK_V6_SLOTS & 1U) {
			join(&s->v6_scopes[i], entry->answer);
			continue;
		}
		leaf = descend(table, &roots[way->root[k]], s->high[i]);
		join(&s->v6_scopes[i], leaf->answers[rank_v6(leaf, s->high[i])]);
	}
}

static inline void answer_deep(const struct block_table *table, const struct block_sources *s,
                               const struct v6_way *way)
{
	for (uint32_t k = 0; k < way->deep.n; k++) {
		uint32_t i = way->deep.i[k];

		join(&s->v6_scopes[i],
		     answer_of_deep(table, s->high[i], s->low[i], way->deep_at[i]));
	}
}

/* ---- a burst ------------------------------------------------------------------------------------ */

static __attribute__((noinline)) void find_v4(const struct block_table *table,
                                              const struct block_sources *sources)
{
	const struct block_sources s = *sources; /* which the answers do not overwrite */
	uint32_t entry[BLOCK_BURST_MAX];

	reach_v4(table, s.v4, s.n_v4);
	enter_v4(table, s.v4, entry, s.n_v4);
	answer_v4(table, s.v4, entry, s.v4_scopes, s.n_v4);
}

static inline void find(const struct block_table *table, const struct block_sources *sources)
{
	const struct block_sources s = *sources;
	uint32_t entry[BLOCK_BURST_MAX];
	struct v6_way way;

	if (s.n_v6 == 0) {
		find_v4(table, sources);
		return;
	}
	reach_v6(table, &s, &way);
	reach_v4(table, s.v4, s.n_v4);
	enter_v6(table, &s, &way);
	enter_v4(table, s.v4, entry, s.n_v4);
	answer_nets(table, &s, &way);
	answer_v4(table, s.v4, entry, s.v4_scopes, s.n_v4);
	answer_wide(table, &s, &way);
	answer_deep(table, &s, &way);
}

#endif
