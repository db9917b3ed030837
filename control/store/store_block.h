/* Drop lists in the store: one row an entry, which is one prefix or a whole imported list. A million rows
 * would take SQLite seconds to write and to read; one row of 5 MB takes it some milliseconds, and a list
 * is changed as a whole anyway. */
#ifndef STORE_BLOCK_H
#define STORE_BLOCK_H

#include "store.h"

#include <stddef.h>
#include <stdint.h>

struct store_block_row {
	uint64_t id; /* given by store_block_add() */
	const char *source;
	const char *reason;
	const char *author;
	uint8_t scopes;
	uint8_t is_list;
	uint64_t created_s; /* since 1970 */
	uint64_t until_s;   /* 0 = for ever */
	const void *prefixes;
	size_t len;
};

/* Sets row->id. Returns 0 or -errno. */
int store_block_add(struct store *store, struct store_block_row *row)
	__attribute__((warn_unused_result));
/* Other prefixes in a row. Returns 0, -ENOENT, -errno. */
int store_block_change(struct store *store, uint64_t id, const void *prefixes, size_t len)
	__attribute__((warn_unused_result));
/* Returns 0, -ENOENT, -errno. */
int store_block_drop(struct store *store, uint64_t id) __attribute__((warn_unused_result));
/* Call fn for every row, by id; row is valid during the call. Stops with fn's value when that is not 0.
 * Returns 0, -EUCLEAN, -errno. */
typedef int store_block_fn(void *arg, const struct store_block_row *row);
int store_block_each(struct store *store, store_block_fn *fn, void *arg)
	__attribute__((warn_unused_result));

#endif
