/* What the files of the builder share: intervals of equal answer, and growing arrays. */
#ifndef BLOCK_BUILD_PRIVATE_H
#define BLOCK_BUILD_PRIVATE_H

#include "block_private.h"

#include <stddef.h>

/* A section in the making. */
struct block_array {
	uint8_t *data; /* aligned to BLOCK_ALIGN */
	size_t n;
	size_t room;
	size_t element; /* bytes */
};

/* Room for n more elements, zeroed; NULL when memory is short. Valid until the next call. */
void *block__array_add(struct block_array *array, size_t n);

/* Ascending: from starts[i] on the answer is answers[i]. The first starts at 0; neighbours differ. */
struct block_cuts {
	uint64_t *starts;
	uint8_t *answers;
	size_t n;
};

/* Positions lie in the first word of a prefix, or (is_low) in the second, for prefixes of one /64 that
 * are longer. Those of another length are not looked at, but that a /64 with longer ones is cut out
 * with BLOCK_ANSWER_DEEP added to its answer.
 * below: the answer outside of all. cuts has room for 2 * n + 1. */
void block__cut(const struct block_prefix *prefixes, size_t n, bool is_low, uint8_t below,
                struct block_cuts *cuts);

struct block_builder {
	struct block_table header;
	struct block_array v4_dir, v4_lines, runs, steps, v6_dir, v6_leaves, v6_branches, deep;
};

/* block_build_v4.c, block_build_v6.c: fill their sections. 0, -ENOMEM or -E2BIG. */
int block__build_v4(struct block_builder *builder, const struct block_cuts *cuts);
int block__build_v6(struct block_builder *builder, const struct block_prefix *prefixes, size_t n,
                    struct block_cuts *cuts);

#endif
