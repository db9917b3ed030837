/* The sections of IPv6: directory and search trees. The /64s: block_build_nets.c. */
#include "block_build_private.h"

#include <errno.h>
#include <stdlib.h>

#define FAN_OUT 8U

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

static void fill_leaf(struct block_v6_line *leaf, const struct row *row, size_t first)
{
	for (size_t i = 0; i < FAN_OUT; i++) {
		if (i < BLOCK_V6_ENDS)
			leaf->ends[i] = end_of(row, first + i);
		leaf->answers[i] = answer_of(row, first + i);
	}
}

/* Lines of a tree that lie side by side, each over width intervals. */
struct level {
	uint32_t first; /* line */
	size_t n;
	size_t width;
	uint8_t number; /* 0: leaves */
};

static int add_leaves(struct block_builder *builder, const struct row *row, struct level *level)
{
	struct block_v6_line *leaf;

	*level = (struct level){
		.first = (uint32_t)builder->v6_lines.n, .n = groups_of(row->n), .width = FAN_OUT};
	leaf = block__array_add(&builder->v6_lines, level->n);
	for (size_t i = 0; i < level->n && leaf; i++)
		fill_leaf(&leaf[i], row, i * FAN_OUT);
	return leaf ? 0 : -ENOMEM;
}

/* The level above, in lines. */
static int add_branches(struct block_array *lines, const struct row *row, struct level *level)
{
	struct level above = {.first = (uint32_t)lines->n,
	                      .n = groups_of(level->n),
	                      .width = level->width * FAN_OUT,
	                      .number = (uint8_t)(level->number + 1)};
	struct block_v6_line *branch = block__array_add(lines, above.n);

	for (size_t i = 0; i < above.n && branch; i++) {
		for (size_t j = 0; j < BLOCK_V6_ENDS; j++)
			branch[i].ends[j] = end_of(row, (i * FAN_OUT + j + 1) * level->width - 1);
		branch[i].child = level->first + (uint32_t)(i * FAN_OUT);
		branch[i].level = above.number;
		branch[i].is_branch = BLOCK_IS_BRANCH;
	}
	*level = above;
	return branch ? 0 : -ENOMEM;
}

/* Its top becomes the last of roots, what is below it lies in v6_lines. */
static int add_tree(struct block_builder *builder, const struct row *row, struct block_array *roots)
{
	struct level level;
	int err;

	if (row->n <= FAN_OUT) {
		struct block_v6_line *leaf = block__array_add(roots, 1);

		if (leaf)
			fill_leaf(leaf, row, 0);
		return leaf ? 0 : -ENOMEM;
	}
	err = add_leaves(builder, row, &level);
	while (level.n > 1 && err == 0)
		err = add_branches(level.n <= FAN_OUT ? roots : &builder->v6_lines, row, &level);
	if (level.number > builder->header.v6_levels)
		builder->header.v6_levels = level.number;
	return err;
}

/* ---- the directory ------------------------------------------------------------------------------ */

/* So that of addresses from anywhere a quarter or less are in a slot that has cuts: the others need no
 * line. A slot is half a byte. */
#define SLOTS_A_CUT 8U

static void cut_slots(struct block_table *header, size_t n_max, uint64_t base, uint64_t range)
{
	header->v6_base = base;
	header->v6_shift = 0;
	while (range >> header->v6_shift >= n_max)
		header->v6_shift++;
	header->n_v6_slots = (uint32_t)(range >> header->v6_shift) + 1;
}

/* Slots are there from the first cut to the last, if all outside has one answer, and what comes before the
 * first does not get into the last. */
static void choose_slots(struct block_table *header, const struct block_cuts *cuts)
{
	size_t last = cuts->n - 1;
	size_t n_max = cuts->n * SLOTS_A_CUT;

	if (last == 0)
		return;
	if (n_max > BLOCK_V6_SLOTS_MAX)
		n_max = BLOCK_V6_SLOTS_MAX;
	if (cuts->answers[0] == cuts->answers[last]) {
		uint64_t base = cuts->starts[1];

		cut_slots(header, n_max, base, cuts->starts[last] - 1 - base);
		if ((UINT64_MAX - base) >> header->v6_shift >= header->n_v6_slots)
			return;
	}
	cut_slots(header, n_max, 0, UINT64_MAX);
}

/* From slot to slot. */
struct walk {
	const struct block_table *header;
	const struct block_cuts *cuts;
	size_t at; /* cut */
	uint8_t answer;
};

/* What is in a slot, of which none but the last come before it. */
static struct row next_row(struct walk *walk, uint32_t slot)
{
	const struct block_table *header = walk->header;
	const struct block_cuts *cuts = walk->cuts;
	struct row row = {.cuts = cuts, .first = walk->at, .n = 1, .answer = cuts->answers[0]};
	uint64_t start = header->v6_base + ((uint64_t)slot << header->v6_shift);

	if (slot >= header->n_v6_slots) /* outside; what fills the last entry is not asked */
		return row;
	if (walk->at < cuts->n && cuts->starts[walk->at] == start)
		walk->answer = cuts->answers[walk->at++];
	row.first = walk->at;
	row.answer = walk->answer;
	while (walk->at < cuts->n
	       && (cuts->starts[walk->at] - header->v6_base) >> header->v6_shift == slot)
		walk->answer = cuts->answers[walk->at++];
	row.n = walk->at - row.first + 1;
	return row;
}

/* The answer that most slots without cuts have, but 0; 0 when all have that. */
static uint8_t common_answer(const struct row *rows)
{
	uint32_t count[BLOCK_SCOPES + 1] = {0};
	uint8_t best = 0;

	for (uint32_t i = 0; i < BLOCK_V6_SLOTS; i++)
		count[rows[i].answer] += rows[i].n == 1;
	for (uint8_t answer = 1; answer <= BLOCK_SCOPES; answer++)
		if (count[answer] > (best == 0 ? 0 : count[best]))
			best = answer;
	return best;
}

/* Slots of which all is listed need no root, when they have one answer. */
static int set_mixed(struct block_builder *builder, struct block_v6_entry *entry,
                     const struct block_v6_mixed *mixed)
{
	struct block_v6_mixed *added;

	entry->first = mixed->first;
	if (mixed->listed == 0)
		return 0;
	entry->first = BLOCK_V6_MIXED | (uint32_t)builder->v6_mixed.n;
	added = block__array_add(&builder->v6_mixed, 1);
	if (!added)
		return -ENOMEM;
	*added = *mixed;
	return 0;
}

static int fill_entry(struct block_builder *builder, struct block_v6_entry *entry,
                      const struct row *rows)
{
	struct block_v6_mixed mixed = {.first = (uint32_t)builder->v6_roots.n,
	                               .answer = common_answer(rows)};
	int err = 0;

	for (uint32_t i = 0; i < BLOCK_V6_SLOTS && err == 0; i++) {
		bool is_one = rows[i].n == 1;

		if (is_one && rows[i].answer == 0)
			continue;
		entry->some |= 1U << i;
		if (is_one && rows[i].answer == mixed.answer)
			mixed.listed |= 1U << i;
		else
			err = add_tree(builder, &rows[i], &builder->v6_roots);
	}
	return err == 0 ? set_mixed(builder, entry, &mixed) : err;
}

static int add_slots(struct block_builder *builder, const struct block_cuts *cuts)
{
	struct block_table *header = &builder->header;
	struct walk walk = {.header = header, .cuts = cuts, .at = 1, .answer = cuts->answers[0]};
	struct block_v6_entry *dir;
	uint32_t n_entries;
	int err = 0;

	choose_slots(header, cuts);
	n_entries = header->n_v6_slots / BLOCK_V6_SLOTS + 1;
	dir = block__array_add(&builder->v6_dir, n_entries);
	if (!dir)
		return -ENOMEM;
	for (uint32_t i = 0; i < n_entries && err == 0; i++) {
		struct row rows[BLOCK_V6_SLOTS];

		for (uint32_t j = 0; j < BLOCK_V6_SLOTS; j++)
			rows[j] = next_row(&walk, i * BLOCK_V6_SLOTS + j);
		err = fill_entry(builder, &dir[i], rows);
	}
	return err;
}

/* ---- what is longer than /64 -------------------------------------------------------------------- */

int block__build_tree(struct block_builder *builder, const struct block_prefix *prefixes, size_t n,
                      uint32_t *line)
{
	struct block_cuts cuts = {
		.starts = malloc((2 * n + 1) * sizeof(*cuts.starts)),
		.answers = malloc(2 * n + 1),
	};
	struct row row = {.cuts = &cuts, .first = 1};
	int err = -ENOMEM;

	if (cuts.starts && cuts.answers) {
		block__cut(prefixes, n, BLOCK_CUT_LONG, &cuts);
		row.n = cuts.n;
		row.answer = cuts.answers[0];
		err = add_tree(builder, &row, &builder->v6_lines);
		*line = (uint32_t)builder->v6_lines.n - 1;
	}
	free(cuts.starts);
	free(cuts.answers);
	return err;
}

/* ---- all of it ---------------------------------------------------------------------------------- */

int block__build_v6(struct block_builder *builder, const struct block_prefix *prefixes, size_t n,
                    struct block_cuts *cuts)
{
	int err;

	block__cut(prefixes, n, BLOCK_CUT_WIDE, cuts);
	err = add_slots(builder, cuts);
	return err == 0 ? block__build_nets(builder, prefixes, n) : err;
}
