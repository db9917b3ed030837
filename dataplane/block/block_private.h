/* The bytes of a block_table: what block_build.c writes, block_check.c proves and block_find.c reads.
 * All fields little endian, offsets in bytes from the start of the blob, each section aligned to 64.
 *
 *   header
 *   v4_dir   [2^v4_bits]   by the first bits of an address: which part of which line
 *   v4_lines [n_v4_lines]  parts: ends u16[count], answers u8[count + 1]; line 0 is one constant a word
 *   runs     [n_runs]      of parts with more ends than fit a line: steps
 *   steps    [n_steps]     ends and answers of a run, the last one ends at 0xffff
 *   v6_dir   [2^v6_bits]   by the first bits of an address: a line
 *   v6_lines [n_v6_lines]  the first n_v6_leaves are leaves, the others branches
 *   deep     [n_deep]      open addressing: a /64 with longer prefixes -> a line, for its low half
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
#define BLOCK_V6_BITS_MIN  1U
#define BLOCK_V6_BITS_MAX  21U
#define BLOCK_V4_COUNT_MAX 21U /* 21 * 2 + 22 bytes fill a line */
#define BLOCK_V4_LONG      31U /* as count: the rest is the number of a run */
#define BLOCK_V6_ENDS      7U
#define BLOCK_LEVELS_MAX   9U
#define BLOCK_ANSWER_DEEP  0x80U /* in a leaf: look into deep; beside it the answer of the rest */

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

/* A line of IPv6. Unused ends are UINT64_MAX, behind which nothing is. */
struct block_v6_line {
	_Alignas(64) uint64_t ends[BLOCK_V6_ENDS];
	union {
		uint8_t answers[8]; /* of a leaf */
		struct {            /* of a branch: the eight lines from child on */
			uint32_t child;
			uint8_t level; /* 1: its children are leaves */
			uint8_t pad[3];
		};
	};
};
_Static_assert(sizeof(struct block_v6_line) == BLOCK_LINE, "");

struct block_deep {
	uint64_t high;
	uint32_t line;
	uint32_t used; /* 0: free, ends a search */
};
_Static_assert(sizeof(struct block_deep) == 16, "");

struct block_table {
	uint64_t magic;
	uint32_t version;
	uint32_t header_len;
	uint64_t len;
	uint64_t generation;
	uint32_t n_entries; /* prefixes it was made of */
	uint32_t v4_bits;
	uint32_t v6_bits;
	uint32_t v6_levels; /* branches on the longest way to a leaf */
	uint64_t v4_dir_at;
	uint64_t v4_lines_at;
	uint64_t runs_at;
	uint64_t steps_at;
	uint64_t v6_dir_at;
	uint64_t v6_lines_at;
	uint64_t deep_at;
	uint64_t seed;
	uint32_t n_v4_lines;
	uint32_t n_runs;
	uint32_t n_steps;
	uint32_t n_v6_lines;
	uint32_t n_v6_leaves;
	uint32_t n_deep; /* 0 or a power of two, of which one is free */
	uint32_t n_ports;
	uint32_t pad[13];
	struct block_port ports[BLOCK_PORTS_MAX];
};
_Static_assert(sizeof(struct block_table) % BLOCK_ALIGN == 0, "");

static inline const void *block__at(const struct block_table *table, uint64_t at)
{
	return (const uint8_t *)table + at;
}

/* Where the search for a /64 in deep begins. */
static inline uint32_t block__deep_slot(uint64_t seed, uint64_t high, uint32_t n_deep)
{
	uint64_t x = (high ^ seed) * UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 32 ^ seed) * UINT64_C(0xd6e8feb86659fd93);
	return (uint32_t)(x >> 32) & (n_deep - 1);
}

/* The two builds of block_find.c's loops: for any CPU, and for one with AVX-512. */
void block__find_v4_plain(const struct block_table *table, const uint32_t *address, uint8_t *scopes,
                          uint32_t n);
void block__find_v6_plain(const struct block_table *table, const uint64_t *high,
                          const uint64_t *low, uint8_t *scopes, uint32_t n);
void block__find_v4_avx512(const struct block_table *table, const uint32_t *address,
                           uint8_t *scopes, uint32_t n);
void block__find_v6_avx512(const struct block_table *table, const uint64_t *high,
                           const uint64_t *low, uint8_t *scopes, uint32_t n);

#endif
