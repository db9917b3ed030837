/* Entries of one kind of desired state, found by their key and walked by position. A position stays
 * with its entry until the entry is dropped, so that a walk in several steps meets every entry that
 * was there all the time, whatever comes and goes meanwhile.
 *
 * An entry is the payload of its command (struct abi_cmd_...). Its key: the first 24 bytes (an
 * address or a prefix), and the uint32_t at port_offset. Padding must be zero. */
#ifndef PROGRAM_TABLE_H
#define PROGRAM_TABLE_H

#include "base_siphash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct program_table {
	uint32_t entry_len;
	uint32_t port_offset; /* 0 = the key has no port */
	uint32_t n_positions; /* 0 .. n_positions - 1 were ever used */
	uint32_t n_used;
	uint32_t capacity;   /* of entries and used */
	uint32_t first_hole; /* 1 + position, chained through the holes; 0 = none */
	uint8_t *entries;    /* [capacity][entry_len] */
	uint8_t *used;       /* [capacity], 0 = hole */
	uint32_t *index;     /* [n_index] 1 + position, 0 = empty; linear probing */
	uint32_t n_index;    /* power of two */
	struct base_siphash_key hash_key;
};

/* entry_len at least 28 or 24 plus what port_offset needs. Allocates nothing yet. */
void program_table_init(struct program_table *table, uint32_t entry_len, uint32_t port_offset,
                        struct base_siphash_key hash_key);
void program_table_fini(struct program_table *table);

/* Position of the entry with this one's key. Returns 0 or -ENOENT. */
int program_table_find(const struct program_table *table, const void *entry, uint32_t *position)
	__attribute__((warn_unused_result));

/* Put or replace. Returns 1 when the table changed, 0 when the same entry was there, -ENOMEM. */
int program_table_put(struct program_table *table, const void *entry, uint32_t *position)
	__attribute__((warn_unused_result));

/* Drop what is at position. */
void program_table_drop(struct program_table *table, uint32_t position);

/* Borrowed until the table changes; NULL for a hole. position < n_positions. */
const void *program_table_at(const struct program_table *table, uint32_t position);

#endif
