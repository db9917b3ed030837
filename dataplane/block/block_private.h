/* The bytes of a block_table: what block_build.c writes, block_check.c proves and block_find.c reads.
 * All fields little endian, offsets in bytes from the start of the blob, each section aligned to 64.
 *
 *   header
 *   v4_dir   [2^v4_bits]   by the first bits of an address: which part of which line
 *   v4_lines [n_v4_lines]  parts: ends u16[count], answers u8[count + 1]; line 0 is one constant a word
 *   runs     [n_runs]      of parts with more ends than fit a line: steps
 *   steps    [n_steps]     ends and answers of a run, the last one ends at 0xffff
 *   buckets  [n_buckets]   hash of the /64s that are listed, or have longer prefixes
 *   v6_dir   [n_v6_slots / 32 + 1]  of what is wider than /64: which slots have something
 *   v6_mixed [n_v6_mixed]  of entries with slots that are listed as a whole: which, and their answer
 *   v6_roots [n_v6_roots]  lines: of each other such slot the top of its search tree, in order
 *   v6_lines [n_v6_lines]  the lines below them, and the trees for the low halves of /64s
 *
 * A slot of IPv6 is 2^v6_shift /64s from v6_base on; slot number n_v6_slots is everything outside of them.
 *
 * Ends belong to their intervals. */
#ifndef BLOCK_PRIVATE_H
#define BLOCK_PRIVATE_H

#include "block_build.h"
#include "block_table.h"

#define BLOCK_ALIGN        64U
#define BLOCK_LINE         64U
#define BLOCK_V4_BITS_MIN  16U /* what is left of an address fits an end of 16 bits */
#define BLOCK_V4_BITS_MAX  20U
#define BLOCK_V6_SLOTS_MAX (1U << 24)
#define BLOCK_V6_SLOTS     32U /* of an entry of the directory */
#define BLOCK_V4_COUNT_MAX 21U /* 21 * 2 + 22 bytes fill a line */
#define BLOCK_V4_LONG      31U /* as count: the rest is the number of a run */
#define BLOCK_V6_ENDS      7U
#define BLOCK_LEVELS_MAX   9U
#define BLOCK_BUCKET_WORDS 8U
#define BLOCK_BUCKETS_MIN  64U
#define BLOCK_ANSWER_BITS  5U
#define BLOCK_ANSWERS      (1U << BLOCK_ANSWER_BITS)
#define BLOCK_ANSWER_HOST  0x01U /* these: see struct block_bucket */
#define BLOCK_ANSWER_LOW   0x08U
#define BLOCK_ANSWER_MORE  0x08U
#define BLOCK_ANSWER_PAIR  0x10U

/* Entry of v4_dir: count (5 bits), place of the part in its line in u16 (5), line (22). A run: 31, and
 * its number (27). */
static inline uint32_t block__entry(uint32_t count, uint32_t at, uint32_t line)
{
	return count | at << 5 | line << 10;
}

struct block_v4_line {
	_Alignas(64) union {
		uint16_t ends[32];
		uint8_t bytes[64];
	};
};
_Static_assert(sizeof(struct block_v4_line) == BLOCK_LINE, "");

struct block_run {
	uint32_t first;
	uint32_t n; /* not 0 */
};

struct block_step {
	uint16_t end;
	uint8_t answer;
	uint8_t pad;
};

struct block_v6_entry {
	uint32_t some;  /* bit i: slot i of these has a root, or is listed as a whole */
	uint32_t first; /* root of the first; the others follow. Or BLOCK_V6_MIXED and which */
};
_Static_assert(sizeof(struct block_v6_entry) == 8, "");

#define BLOCK_V6_MIXED (1U << 31) /* some slots of the entry have no root, all of them has answer */

struct block_v6_mixed {
	uint32_t listed; /* bit i: slot i is such a one */
	uint32_t first;  /* root of the first that has one */
	uint8_t answer;
	uint8_t pad[7];
};
_Static_assert(sizeof(struct block_v6_mixed) == 16, "");

#define BLOCK_IS_BRANCH 0x80U /* no answer is */

/* A line of IPv6. Unused ends are UINT64_MAX, behind which nothing is. */
struct block_v6_line {
	_Alignas(64) uint64_t ends[BLOCK_V6_ENDS];
	union {
		uint8_t answers[8]; /* of a leaf */
		struct {            /* of a branch: the eight lines from child on */
			uint32_t child;
			uint8_t level; /* 1: its children are leaves */
			uint8_t pad[2];
			uint8_t is_branch; /* & BLOCK_IS_BRANCH */
		};
	};
};
_Static_assert(sizeof(struct block_v6_line) == BLOCK_LINE, "");

/* /64s; 0 = free. A net that has no longer prefixes is a word, its block__key() with BLOCK_SCOPES below.
 * One that has some is a pair of words, the first of them with BLOCK_ANSWER_PAIR below its key and
 *   BLOCK_ANSWER_HOST  one address is listed, with the other scopes (none: BLOCK_ALL): the second word is its
 *                      low half, where the bit of BLOCK_ANSWER_PAIR is set; what it was is BLOCK_ANSWER_LOW
 *   otherwise          scopes of the /64 itself; the second word has the line of a tree for the low half,
 *                      from bit 32 on, and the bit of BLOCK_ANSWER_PAIR
 * So a second word that looks like a net says, as a first one does, that it takes a closer look.
 * Pairs stand in front, what is free behind. Where there was no room for a net it stands in a bucket behind;
 * then the last word is of a pair, or has BLOCK_ANSWER_MORE. */
struct block_bucket {
	_Alignas(64) uint64_t words[BLOCK_BUCKET_WORDS];
};
_Static_assert(sizeof(struct block_bucket) == BLOCK_LINE, "");

struct block_table {
	uint64_t magic;
	uint32_t version;
	uint32_t header_len;
	uint64_t len;
	uint64_t generation;
	uint32_t n_entries; /* prefixes it was made of */
	uint32_t v4_bits;
	uint32_t v6_shift;
	uint32_t v6_levels; /* branches on the longest way to a leaf */
	uint64_t v4_dir_at;
	uint64_t v4_lines_at;
	uint64_t runs_at;
	uint64_t steps_at;
	uint64_t v6_dir_at;
	uint64_t v6_lines_at;
	uint64_t v6_mixed_at;
	uint64_t buckets_at;
	uint64_t v6_roots_at;
	uint64_t v6_base;
	uint64_t seed;
	uint32_t n_v4_lines;
	uint32_t n_runs;
	uint32_t n_steps;
	uint32_t n_v6_lines;
	uint32_t n_v6_roots;
	uint32_t n_v6_slots;
	uint32_t n_v6_mixed;
	uint32_t n_buckets; /* BLOCK_BUCKETS_MIN or more; not all go on */
	uint32_t n_ports;
	uint32_t pad[5];
	struct block_port ports[BLOCK_PORTS_MAX];
};
_Static_assert(sizeof(struct block_table) % BLOCK_ALIGN == 0, "");

static inline const void *block__at(const struct block_table *table, uint64_t at)
{
	return (const uint8_t *)table + at;
}

static inline bool block__is_branch(const struct block_v6_line *line)
{
	return (line->is_branch & BLOCK_IS_BRANCH) != 0;
}

/* A /64 in another order, that nobody knows who does not know the seed. No two become the same, so what
 * of it does not follow from its place need not be kept. */
static inline uint64_t block__mix(uint64_t seed, uint64_t high)
{
	uint64_t x = (high ^ seed) * UINT64_C(0x9e3779b97f4a7c15);

	return (x ^ x >> 32 ^ seed) * UINT64_C(0xd6e8feb86659fd93);
}

/* Where the search for a mixed /64 begins, among n: the n-th part of all that it is in. */
static inline uint32_t block__place(uint64_t mixed, uint32_t n)
{
	return (uint32_t)((mixed >> 32) * n >> 32);
}

/* Which it is among those that begin at the same place or at one nearby: less than one in BLOCK_ANSWERS of
 * all places away, the first BLOCK_ANSWER_BITS say nothing new. */
static inline uint64_t block__key(uint64_t mixed)
{
	return mixed << BLOCK_ANSWER_BITS;
}

/* Of two words, the second for more than one address? For words at even places: elsewhere no pair begins. */
static inline bool block__is_tree(uint64_t word)
{
	return (word & (BLOCK_ANSWER_PAIR | BLOCK_ANSWER_HOST)) == BLOCK_ANSWER_PAIR;
}

/* May a net that is not in the bucket be in the next one? */
static inline bool block__goes_on(const struct block_bucket *bucket)
{
	return (bucket->words[BLOCK_BUCKET_WORDS - 1] & (BLOCK_ANSWER_MORE | BLOCK_ANSWER_PAIR))
	       != 0;
}

/* The two builds of block_find.c's loops: for any CPU, and for one with AVX-512. */
void block__find_plain(const struct block_table *table, const struct block_sources *sources);
void block__find_avx512(const struct block_table *table, const struct block_sources *sources);

#endif
