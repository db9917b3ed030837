/* The sections of IPv4: directory, lines, runs. */
#include "block_build_private.h"

#include <errno.h>
#include <string.h>

/* Ends of a slot that a line should have on average; more are looked at as easily, but a line that
 * fits few slots wastes memory, and slots that overflow it are slow. */
#define ENDS_A_SLOT 8U

/* Of the ends so many may lie in runs before the directory is made finer. */
#define SHARE_LONG 16U

/* ---- how fine ----------------------------------------------------------------------------------- */

static uint64_t slot_of(uint64_t start, uint32_t bits)
{
	return start >> (64 - bits);
}

/* Ends in slots that have too many for a line. */
static size_t count_long(const struct block_cuts *cuts, uint32_t bits)
{
	size_t n_long = 0;
	size_t first = 0;

	for (size_t i = 1; i <= cuts->n; i++) {
		if (i < cuts->n
		    && slot_of(cuts->starts[i], bits) == slot_of(cuts->starts[first], bits))
			continue;
		if (i - first > BLOCK_V4_COUNT_MAX)
			n_long += i - first;
		first = i;
	}
	return n_long;
}

static uint32_t choose_bits(const struct block_cuts *cuts)
{
	uint32_t bits = BLOCK_V4_BITS_MIN;

	while (bits < BLOCK_V4_BITS_MAX && cuts->n > (size_t)ENDS_A_SLOT << bits)
		bits++;
	while (bits < BLOCK_V4_BITS_MAX && count_long(cuts, bits) > cuts->n / SHARE_LONG)
		bits++;
	return bits;
}

/* ---- the slots ---------------------------------------------------------------------------------- */

struct filling {
	struct block_builder *builder;
	const struct block_cuts *cuts;
	uint32_t bits;
	uint32_t used; /* words of the last line; 32 = full */
};

/* The last position of a slot that the cut at i ends, in the slot's own 16 bits. */
static uint16_t end_of(const struct filling *filling, size_t i)
{
	uint32_t last = (uint32_t)((filling->cuts->starts[i] - 1) >> 32);

	return (uint16_t)(last & (UINT32_MAX >> filling->bits));
}

/* Cuts [first, first + count) lie in a slot, whose first position has answer. */
static int add_part(struct filling *filling, size_t first, uint32_t count, uint8_t answer,
                    uint32_t *entry)
{
	struct block_array *lines = &filling->builder->v4_lines;
	uint32_t words = (3 * count + 2) / 2;
	struct block_v4_line *line;

	if (filling->used + words > 32) {
		if (!block__array_add(lines, 1))
			return -ENOMEM;
		filling->used = 0;
	}
	line = (struct block_v4_line *)(void *)lines->data + lines->n - 1;
	*entry = block__entry(count, filling->used, (uint32_t)(lines->n - 1));
	for (uint32_t i = 0; i < count; i++)
		line->ends[filling->used + i] = end_of(filling, first + i);
	line->bytes[2 * (filling->used + count)] = answer;
	memcpy(&line->bytes[2 * (filling->used + count) + 1], &filling->cuts->answers[first],
	       count);
	filling->used += words;
	return 0;
}

static int add_run(struct filling *filling, size_t first, uint32_t count, uint8_t answer,
                   uint32_t *entry)
{
	struct block_array *steps = &filling->builder->steps;
	uint32_t at = (uint32_t)steps->n;
	struct block_step *step = block__array_add(steps, (size_t)count + 1);
	struct block_run *run = block__array_add(&filling->builder->runs, 1);

	if (!step || !run)
		return -ENOMEM;
	*run = (struct block_run){.first = at, .n = count + 1};
	for (uint32_t i = 0; i < count; i++) {
		step[i] = (struct block_step){.end = end_of(filling, first + i), .answer = answer};
		answer = filling->cuts->answers[first + i];
	}
	step[count] = (struct block_step){.end = UINT16_MAX, .answer = answer};
	*entry = BLOCK_V4_LONG | (uint32_t)(filling->builder->runs.n - 1) << 5;
	return 0;
}

static int add_slot(struct filling *filling, size_t first, size_t n, uint8_t answer,
                    uint32_t *entry)
{
	if (n == 0) {
		*entry = block__entry(0, answer, 0);
		return 0;
	}
	if (n <= BLOCK_V4_COUNT_MAX)
		return add_part(filling, first, (uint32_t)n, answer, entry);
	return add_run(filling, first, (uint32_t)n, answer, entry);
}

/* Line 0: word v has the answer v for slots that have one only. */
static int add_constants(struct block_array *lines)
{
	struct block_v4_line *line = block__array_add(lines, 1);

	if (!line)
		return -ENOMEM;
	for (uint16_t v = 0; v <= BLOCK_SCOPES; v++)
		line->ends[v] = v;
	return 0;
}

int block__build_v4(struct block_builder *builder, const struct block_cuts *cuts)
{
	struct filling filling = {
		.builder = builder, .cuts = cuts, .bits = choose_bits(cuts), .used = 32};
	uint32_t n_slots = 1U << filling.bits;
	uint32_t *dir = block__array_add(&builder->v4_dir, n_slots);
	size_t i = 0; /* the first cut that no slot has looked at */
	uint8_t answer = 0;
	int err = dir ? add_constants(&builder->v4_lines) : -ENOMEM;

	builder->header.v4_bits = filling.bits;
	for (uint32_t slot = 0; slot < n_slots && err == 0; slot++) {
		size_t first;

		if (i < cuts->n && cuts->starts[i] == (uint64_t)slot << (64 - filling.bits))
			answer = cuts->answers[i++];
		first = i;
		while (i < cuts->n && slot_of(cuts->starts[i], filling.bits) == slot)
			i++;
		err = add_slot(&filling, first, i - first, answer, &dir[slot]);
		if (i > first)
			answer = cuts->answers[i - 1];
	}
	return err;
}
