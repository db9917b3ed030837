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

/* Which prefixes of a list are cut, and by which of their words. */
enum block_cut {
	BLOCK_CUT_WIDE, /* shorter than /64, by the first */
	BLOCK_CUT_LONG, /* longer than that, all of one /64: by the second */
};

/* The others are not looked at. cuts has room for 2 * n + 1. */
void block__cut(const struct block_prefix *prefixes, size_t n, enum block_cut which,
                struct block_cuts *cuts);

struct block_builder {
	struct block_table header;
	struct block_array v4_dir, v4_lines, runs, steps, buckets, v6_dir, v6_mixed, v6_roots,
		v6_lines;
};

/* block_build_v4.c, block_build_v6.c, block_build_nets.c: fill their sections. 0, -ENOMEM or -E2BIG. */
int block__build_v4(struct block_builder *builder, const struct block_cuts *cuts);
int block__build_v6(struct block_builder *builder, const struct block_prefix *prefixes, size_t n,
                    struct block_cuts *cuts);
int block__build_nets(struct block_builder *builder, const struct block_prefix *prefixes, size_t n);

/* A tree for the low half of a /64: the prefixes, n > 0, are longer than that and all in it. */
int block__build_tree(struct block_builder *builder, const struct block_prefix *prefixes, size_t n,
                      uint32_t *line);

#endif
