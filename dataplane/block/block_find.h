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

#pragma GCC unroll 4
	for (uint32_t i = 0; i < n; i++)
		__builtin_prefetch(&dir[address[i] >> shift]);
}

static inline void enter_v4(const struct block_table *table, const uint32_t *address,
                            uint32_t *entry, uint32_t n)
{
	const uint32_t *dir = block__at(table, table->v4_dir_at);
	const struct block_v4_line *lines = block__at(table, table->v4_lines_at);
	const uint32_t shift = 32 - table->v4_bits;

#pragma GCC unroll 4
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

#pragma GCC unroll 4
	for (uint32_t i = 0; i < n; i++) {
		uint16_t x = (uint16_t)(address[i] << bits >> bits);

		if (__builtin_expect((entry[i] & 31) == BLOCK_V4_LONG, 0))
			scopes[i] = answer_of_run(table, entry[i], x) & BLOCK_SCOPES;
		else
			scopes[i] = answer_of_part(lines, entry[i], x) & BLOCK_SCOPES;
	}
}

/* ---- IPv6: lines of trees ----------------------------------------------------------------------- */

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

/* What the tree below this line says of x. */
static inline uint8_t answer_of_tree(const struct block_table *table,
                                     const struct block_v6_line *line, uint64_t x)
{
	const struct block_v6_line *lines = block__at(table, table->v6_lines_at);

	while (block__is_branch(line))
		line = &lines[line->child + rank_v6(line, x)];
	return line->answers[rank_v6(line, x)];
}

/* Answers that were put together, as one: where all is dropped nothing else is said. */
static inline uint8_t join(uint32_t answers)
{
	return answers & BLOCK_ALL ? BLOCK_ALL : answers & BLOCK_SCOPES;
}

/* ---- IPv6: /64s and what is longer -------------------------------------------------------------- */

/* Bit i: word i of the bucket may be the key's: its net, or a second word that looks like it. Or it is free
 * and the key 0. */
static inline uint32_t words_of_key(const struct block_bucket *bucket, uint64_t key)
{
#if defined(__AVX512F__)
	const __m512i differs = _mm512_xor_si512(_mm512_load_si512(bucket),
	                                         _mm512_set1_epi64((long long)key));

	return _mm512_cmplt_epu64_mask(differs, _mm512_set1_epi64(BLOCK_ANSWERS));
#elif defined(__SSE2__)
	const __m128i *at = (const __m128i *)bucket;
	const __m128i all = _mm_set1_epi64x((long long)key);
	const __m128i answers = _mm_set1_epi64x(BLOCK_ANSWERS - 1);
	const __m128i zero = _mm_setzero_si128();
	const __m128i ones = _mm_set1_epi32(-1);
	__m128i halves[4];
	__m128i low, high;

	for (unsigned int i = 0; i < 4; i++) {
		__m128i differs = _mm_xor_si128(_mm_load_si128(&at[i]), all);

		halves[i] = _mm_cmpeq_epi32(_mm_andnot_si128(answers, differs), zero);
	}
	/* Both halves of a word must be the same. */
	low = _mm_cmpeq_epi32(_mm_packs_epi32(halves[0], halves[1]), ones);
	high = _mm_cmpeq_epi32(_mm_packs_epi32(halves[2], halves[3]), ones);
	return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(low, high), zero));
#else
	uint32_t mask = 0;

	for (uint32_t i = 0; i < BLOCK_BUCKET_WORDS; i++)
		mask |= (uint32_t)((bucket->words[i] ^ key) < BLOCK_ANSWERS) << i;
	return mask;
#endif
}

/* The bucket's answer for the net of this key, 0 when it has none; with BLOCK_ANSWER_PAIR it takes a closer
 * look, which is also what one says that does not have the net and goes on. Higher bits mean nothing. */
static inline uint8_t answer_of_bucket(const struct block_bucket *bucket, uint64_t key)
{
	uint32_t mask = words_of_key(bucket, key);
	uint32_t answer;
#if defined(__AVX512F__)
	/* What is free has no answer and stands behind what is not. */
	__m512i found = _mm512_maskz_compress_epi64((__mmask8)mask, _mm512_load_si512(bucket));

	answer = (uint32_t)_mm_cvtsi128_si32(_mm512_castsi512_si128(found));
#else
	uint32_t first = (uint32_t)__builtin_ctz(mask | 1U << (BLOCK_BUCKET_WORDS - 1));

	answer = (uint32_t)bucket->words[first] & -(uint32_t)(mask != 0);
#endif
	if (__builtin_expect(block__goes_on(bucket), 0) && mask == 0)
		return BLOCK_ANSWER_PAIR;
	return (uint8_t)answer;
}

static inline uint8_t answer_of_host(uint64_t first, uint64_t second, uint64_t low)
{
	uint64_t differs = ((low | BLOCK_ANSWER_PAIR) ^ second)
	                   | ((low >> 1 ^ first) & BLOCK_ANSWER_LOW);
	uint8_t scopes = first & (BLOCK_SCOPES & ~BLOCK_ANSWER_HOST);

	scopes |= scopes == 0 ? BLOCK_ALL : 0;
	return differs == 0 ? scopes : 0;
}

static uint8_t answer_of_words(const struct block_table *table, uint64_t first, uint64_t second,
                               uint64_t low)
{
	const struct block_v6_line *lines = block__at(table, table->v6_lines_at);

	if (!block__is_tree(first))
		return answer_of_host(first, second, low);
	return join((uint32_t)first | answer_of_tree(table, &lines[second >> 32], low));
}

/* Word by word, from this bucket on. */
static __attribute__((noinline)) uint8_t answer_of_search(const struct block_table *table,
                                                          uint32_t at, uint64_t key, uint64_t low)
{
	const struct block_bucket *buckets = block__at(table, table->buckets_at);

	for (;; at = at + 1 == table->n_buckets ? 0 : at + 1) {
		const uint64_t *words = buckets[at].words;
		uint32_t i = 0;

		while (i < BLOCK_BUCKET_WORDS) {
			bool is_pair = i % 2 == 0 && (words[i] & BLOCK_ANSWER_PAIR) != 0;

			if ((words[i] ^ key) < BLOCK_ANSWERS)
				return is_pair ? answer_of_words(table, words[i], words[i + 1], low)
				               : words[i] & BLOCK_SCOPES;
			i += is_pair ? 2 : 1;
		}
		if (!block__goes_on(&buckets[at]))
			return 0;
	}
}

/* A closer look. Mostly it is a host, found by its first word. */
static inline uint8_t answer_of_pair(const struct block_table *table, uint32_t at, uint64_t key,
                                     uint64_t low)
{
	const struct block_bucket *bucket = block__at(table, table->buckets_at);
	uint32_t mask = words_of_key(bucket + at, key) | 1U << (BLOCK_BUCKET_WORDS - 1);
	uint32_t i = (uint32_t)__builtin_ctz(mask);
	const uint64_t *words = &bucket[at].words[i & ~1U];

	if (__builtin_expect(i % 2 == 0 && (words[0] & BLOCK_ANSWER_PAIR)
	                             && (words[0] & BLOCK_ANSWER_HOST),
	                     1))
		return answer_of_host(words[0], words[1], low);
	return answer_of_search(table, at, key, low);
}

/* ---- IPv6: all of it ---------------------------------------------------------------------------- */

/* Those of a burst whose slot has something. */
struct v6_wide {
	uint32_t n;
	uint8_t i[BLOCK_BURST_MAX];     /* positions in the burst */
	uint32_t root[BLOCK_BURST_MAX]; /* or V6_LISTED and scopes */
};

#define V6_LISTED (1U << 31)

/* What a burst's passes hand on. */
struct v6_way {
	uint64_t key[BLOCK_BURST_MAX];
	uint32_t bucket[BLOCK_BURST_MAX];
	uint32_t slot[BLOCK_BURST_MAX];
	struct v6_wide wide;
	_Alignas(64) uint8_t answers[BLOCK_BURST_MAX]; /* of the buckets */
};

/* The directory is read at once, not fetched first: these loads wait for nothing, and there are no others
 * between them. A position is written for each source and counts if its slot has something. */
static inline void reach_v6(const struct block_table *table, const struct block_sources *s,
                            struct v6_way *way)
{
	const struct block_bucket *buckets = block__at(table, table->buckets_at);
	const struct block_v6_entry *dir = block__at(table, table->v6_dir_at);
	const uint64_t base = table->v6_base;
	const uint64_t seed = table->seed;
	const uint64_t n_slots = table->n_v6_slots;
	const uint32_t shift = table->v6_shift;
	const uint32_t n_buckets = table->n_buckets;
	uint32_t n_wide = 0;

#pragma GCC unroll 4
	for (uint32_t i = 0; i < s->n_v6; i++) {
		uint64_t mixed = block__mix(seed, s->high[i]);
		uint64_t slot = (s->high[i] - base) >> shift;

		way->key[i] = block__key(mixed);
		way->bucket[i] = block__place(mixed, n_buckets);
		way->slot[i] = (uint32_t)(slot < n_slots ? slot : n_slots);
	}
#pragma GCC unroll 4
	for (uint32_t i = 0; i < s->n_v6; i++) {
		uint32_t slot = way->slot[i];

		__builtin_prefetch(&buckets[way->bucket[i]]);
		way->wide.i[n_wide] = (uint8_t)i;
		n_wide += dir[slot / BLOCK_V6_SLOTS].some >> slot % BLOCK_V6_SLOTS & 1U;
	}
	way->wide.n = n_wide;
}

/* Where the tree of a slot that has something begins. */
static inline uint32_t root_of(const struct block_table *table, const struct block_v6_entry *entry,
                               uint32_t slot)
{
	uint32_t roots = entry->some;
	uint32_t first = entry->first;

	if (first & BLOCK_V6_MIXED) {
		const struct block_v6_mixed *mixed = block__at(table, table->v6_mixed_at);

		mixed += first & ~BLOCK_V6_MIXED;
		if (mixed->listed >> slot & 1U)
			return V6_LISTED | mixed->answer;
		roots &= ~mixed->listed;
		first = mixed->first;
	}
	return first + (uint32_t)__builtin_popcount(roots & ((1U << slot) - 1));
}

/* Who may be in what is wider than /64, and then in which root. */
static inline void enter_v6(const struct block_table *table, struct v6_way *way)
{
	const struct block_v6_entry *dir = block__at(table, table->v6_dir_at);
	const struct block_v6_line *roots = block__at(table, table->v6_roots_at);
	struct v6_wide *wide = &way->wide;

	for (uint32_t k = 0; k < wide->n; k++) {
		uint32_t slot = way->slot[wide->i[k]];

		wide->root[k] = root_of(table, &dir[slot / BLOCK_V6_SLOTS], slot % BLOCK_V6_SLOTS);
		__builtin_prefetch(&roots[wide->root[k] & ~V6_LISTED]);
	}
}

/* The /64s. */
static inline void answer_nets(const struct block_table *table, const struct block_sources *s,
                               struct v6_way *way)
{
	const struct block_bucket *buckets = block__at(table, table->buckets_at);

#pragma GCC unroll 4
	for (uint32_t i = 0; i < s->n_v6; i++)
		way->answers[i] = answer_of_bucket(&buckets[way->bucket[i]], way->key[i]);
}

static inline void hand_out(const struct block_sources *s, const struct v6_way *way)
{
#pragma GCC unroll 4
	for (uint32_t i = 0; i < s->n_v6; i++)
		s->v6_scopes[i] = way->answers[i] & BLOCK_SCOPES;
}

/* Bit i: answer i of n > 0 has BLOCK_ANSWER_PAIR. */
static inline uint64_t pairs_among(const uint8_t answers[BLOCK_BURST_MAX], uint32_t n)
{
	uint64_t mask = 0;
#if defined(__AVX512BW__)
	mask = _mm512_test_epi8_mask(_mm512_load_si512(answers),
	                             _mm512_set1_epi8((char)BLOCK_ANSWER_PAIR));
#else
	for (uint32_t i = 0; i < BLOCK_BURST_MAX; i++)
		mask |= (uint64_t)((answers[i] & BLOCK_ANSWER_PAIR) != 0) << i;
#endif
	return mask & UINT64_MAX >> (BLOCK_BURST_MAX - n); /* behind n stands anything */
}

static inline void answer_pairs(const struct block_table *table, const struct block_sources *s,
                                const struct v6_way *way)
{
	uint64_t mask = pairs_among(way->answers, s->n_v6);

	for (; mask != 0; mask &= mask - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(mask);

		s->v6_scopes[i] = answer_of_pair(table, way->bucket[i], way->key[i], s->low[i]);
	}
}

static inline void answer_wide(const struct block_table *table, const struct block_sources *s,
                               const struct v6_way *way)
{
	const struct block_v6_line *roots = block__at(table, table->v6_roots_at);

	for (uint32_t k = 0; k < way->wide.n; k++) {
		uint32_t i = way->wide.i[k];
		uint32_t answer = way->wide.root[k];

		if (!(answer & V6_LISTED))
			answer = answer_of_tree(table, &roots[answer], s->high[i]);
		s->v6_scopes[i] = join(s->v6_scopes[i] | answer);
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
	enter_v6(table, &way);
	enter_v4(table, s.v4, entry, s.n_v4);
	answer_nets(table, &s, &way);
	hand_out(&s, &way);
	answer_v4(table, s.v4, entry, s.v4_scopes, s.n_v4);
	answer_pairs(table, &s, &way);
	answer_wide(table, &s, &way);
}

#endif
