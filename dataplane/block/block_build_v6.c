/* The sections of IPv6: directory, search trees, the hash of /64s with longer prefixes. */
#include "block_build_private.h"

#include <errno.h>
#include <stdlib.h>

#define FAN_OUT   8U
#define IS_BRANCH 0x80000000U /* in a line's number, until it is known how many leaves there are */

/* ---- a tree ------------------------------------------------------------------------------------- */

/* Intervals in a row: the first has answer, the others those of the cuts [first, first + n - 1). */
struct row {
	const struct block_cuts *cuts;
	size_t first;
	size_t n; /* not 0 */
	uint8_t answer;
};

/* Nothing of the row is behind its last interval. */
static uint64_t end_of(const struct row *row, size_t i)
{
	return i < row->n - 1 ? row->cuts->starts[row->first + i] - 1 : UINT64_MAX;
}

static uint8_t answer_of(const struct row *row, size_t i)
{
	if (i >= row->n)
		i = row->n - 1;
	return i == 0 ? row->answer : row->cuts->answers[row->first + i - 1];
}

static size_t groups_of(size_t n)
{
	return (n + FAN_OUT - 1) / FAN_OUT;
}

static int add_leaves(struct block_builder *builder, const struct row *row, uint32_t *first)
{
	size_t n = groups_of(row->n);
	struct block_v6_line *leaf;

	*first = (uint32_t)builder->v6_leaves.n;
	leaf = block__array_add(&builder->v6_leaves, n);
	if (!leaf)
		return -ENOMEM;
	for (size_t i = 0; i < n * FAN_OUT; i++) {
		if (i % FAN_OUT < BLOCK_V6_ENDS)
			leaf[i / FAN_OUT].ends[i % FAN_OUT] = end_of(row, i);
		leaf[i / FAN_OUT].answers[i % FAN_OUT] = answer_of(row, i);
	}
	return 0;
}

/* The level above n lines from child on, each of which is over width intervals. */
static int add_branches(struct block_builder *builder, const struct row *row, uint8_t level,
                        uint32_t child, size_t n, size_t width, uint32_t *first)
{
	struct block_v6_line *branch;

	*first = (uint32_t)builder->v6_branches.n | IS_BRANCH;
	branch = block__array_add(&builder->v6_branches, groups_of(n));
	if (!branch)
		return -ENOMEM;
	for (size_t i = 0; i < groups_of(n); i++) {
		for (size_t j = 0; j < BLOCK_V6_ENDS; j++)
			branch[i].ends[j] = end_of(row, (i * FAN_OUT + j + 1) * width - 1);
		branch[i].child = child + (uint32_t)(i * FAN_OUT);
		branch[i].level = level;
	}
	return 0;
}

/* *root: the line at its top. */
static int add_tree(struct block_builder *builder, const struct row *row, uint32_t *root)
{
	size_t n = groups_of(row->n);
	size_t width = FAN_OUT;
	uint8_t level = 0;
	int err = add_leaves(builder, row, root);

	while (n > 1 && err == 0) {
		err = add_branches(builder, row, ++level, *root, n, width, root);
		n = groups_of(n);
		width *= FAN_OUT;
	}
	if (level > builder->header.v6_levels)
		builder->header.v6_levels = level;
	return err;
}

/* ---- the directory ------------------------------------------------------------------------------ */

/* Global addresses fill an eighth of the directory at most, so a slot that is used has 32 cuts: four leaves
 * under a branch. Finer slots have no branch, but leaves that are half empty: a million /64s took 50 MB
 * instead of 31, and were found no faster. */
#define CUTS_A_SLOT 4U

static uint32_t choose_bits(const struct block_cuts *cuts)
{
	uint32_t bits = BLOCK_V6_BITS_MIN;

	while (bits < BLOCK_V6_BITS_MAX && cuts->n > 1 && cuts->n > (size_t)CUTS_A_SLOT << bits)
		bits++;
	return bits;
}

/* Leaf v has the answer v for slots that have one only. */
static int add_constants(struct block_builder *builder)
{
	struct row row = {.n = 1};
	uint32_t leaf;
	int err = 0;

	for (; row.answer <= BLOCK_SCOPES && err == 0; row.answer++)
		err = add_leaves(builder, &row, &leaf);
	return err;
}

static int add_slots(struct block_builder *builder, const struct block_cuts *cuts, uint32_t *dir)
{
	uint32_t shift = 64 - builder->header.v6_bits;
	struct row row = {.cuts = cuts};
	size_t i = 0;
	int err = 0;

	for (uint32_t slot = 0; slot >> builder->header.v6_bits == 0 && err == 0; slot++) {
		if (i < cuts->n && cuts->starts[i] == (uint64_t)slot << shift)
			row.answer = cuts->answers[i++];
		row.first = i;
		while (i < cuts->n && cuts->starts[i] >> shift == slot)
			i++;
		row.n = i - row.first + 1;
		if (row.n == 1)
			dir[slot] = row.answer;
		else
			err = add_tree(builder, &row, &dir[slot]);
		if (i > row.first)
			row.answer = cuts->answers[i - 1];
	}
	return err;
}

/* ---- what is longer than /64 -------------------------------------------------------------------- */

/* Prefixes of one /64; is_deep: longer than that. */
static size_t group_end(const struct block_prefix *prefixes, size_t n, size_t first)
{
	size_t end = first;

	while (end < n && prefixes[end].high == prefixes[first].high)
		end++;
	return end;
}

/* The answer for a /64, from the cut that *at is on or before; it only goes on. */
static uint8_t answer_at(const struct block_cuts *cuts, uint64_t high, size_t *at)
{
	while (*at + 1 < cuts->n && cuts->starts[*at + 1] <= high)
		(*at)++;
	return cuts->answers[*at];
}

static int add_deep(struct block_builder *builder, const struct block_prefix *group, size_t n,
                    uint8_t below)
{
	struct block_deep *deep = block__array_add(&builder->deep, 1);
	struct block_cuts cuts = {
		.starts = malloc((2 * n + 1) * sizeof(*cuts.starts)),
		.answers = malloc(2 * n + 1),
	};
	struct row row = {.cuts = &cuts, .first = 1};
	int err = -ENOMEM;

	if (deep && cuts.starts && cuts.answers) {
		block__cut(group, n, true, below, &cuts);
		row.n = cuts.n;
		row.answer = cuts.answers[0];
		deep->high = group->high;
		deep->used = 1;
		err = add_tree(builder, &row, &deep->line);
	}
	free(cuts.starts);
	free(cuts.answers);
	return err;
}

static int add_deeps(struct block_builder *builder, const struct block_prefix *prefixes, size_t n,
                     const struct block_cuts *cuts)
{
	size_t at = 0;
	int err = 0;

	for (size_t first = 0, end; first < n && err == 0; first = end) {
		uint8_t answer = answer_at(cuts, prefixes[first].high, &at);

		end = group_end(prefixes, n, first);
		if (answer & BLOCK_ANSWER_DEEP)
			err = add_deep(builder, &prefixes[first], end - first,
			               answer & BLOCK_SCOPES);
	}
	return err;
}

/* A list of /64s into a hash that is at most half full. */
static int hash_deeps(struct block_builder *builder)
{
	struct block_array list = builder->deep;
	const struct block_deep *from = (const void *)list.data;
	struct block_deep *to;
	uint32_t n_slots = 2;

	if (list.n == 0)
		return 0;
	while (n_slots < 2 * list.n)
		n_slots *= 2;
	builder->deep = (struct block_array){.element = sizeof(struct block_deep)};
	to = block__array_add(&builder->deep, n_slots);
	for (size_t i = 0; i < list.n && to; i++) {
		uint32_t slot = block__deep_slot(builder->header.seed, from[i].high, n_slots);

		while (to[slot].used != 0)
			slot = (slot + 1) & (n_slots - 1);
		to[slot] = from[i];
	}
	free(list.data);
	return to ? 0 : -ENOMEM;
}

/* ---- all of it ---------------------------------------------------------------------------------- */

static uint32_t settle(uint32_t line, uint32_t n_leaves)
{
	return line & IS_BRANCH ? n_leaves + (line & ~IS_BRANCH) : line;
}

/* Branches stand behind the last leaf. */
static void settle_all(struct block_builder *builder)
{
	uint32_t n_leaves = (uint32_t)builder->v6_leaves.n;
	uint32_t *dir = (void *)builder->v6_dir.data;
	struct block_v6_line *branch = (void *)builder->v6_branches.data;
	struct block_deep *deep = (void *)builder->deep.data;

	for (size_t i = 0; i < builder->v6_dir.n; i++)
		dir[i] = settle(dir[i], n_leaves);
	for (size_t i = 0; i < builder->v6_branches.n; i++)
		branch[i].child = settle(branch[i].child, n_leaves);
	for (size_t i = 0; i < builder->deep.n; i++)
		deep[i].line = settle(deep[i].line, n_leaves);
}

int block__build_v6(struct block_builder *builder, const struct block_prefix *prefixes, size_t n,
                    struct block_cuts *cuts)
{
	uint32_t *dir;
	int err;

	block__cut(prefixes, n, false, 0, cuts);
	builder->header.v6_bits = choose_bits(cuts);
	dir = block__array_add(&builder->v6_dir, (size_t)1 << builder->header.v6_bits);
	err = dir ? add_constants(builder) : -ENOMEM;
	if (err == 0)
		err = add_slots(builder, cuts, dir);
	if (err == 0)
		err = add_deeps(builder, prefixes, n, cuts);
	if (err == 0)
		err = hash_deeps(builder);
	if (err == 0)
		settle_all(builder);
	return err;
}
