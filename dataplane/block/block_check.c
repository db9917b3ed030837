/* Proof that a blob can be read: every number that block_find.h follows stays inside, and every walk
 * ends. Arithmetic on what the blob says is in 64 bits and cannot overflow: counts have 32 bits,
 * elements are small. Whether the answers are right is not asked. */
#include "base_bytes.h"
#include "block_private.h"

static bool section_fits(const struct block_table *table, uint64_t at, uint64_t n, uint64_t element)
{
	return at % BLOCK_ALIGN == 0 && at >= sizeof(*table) && at <= table->len
	       && n <= (table->len - at) / element;
}

static const char *check_header(const struct block_table *table, size_t len)
{
	if (table->magic != BLOCK_TABLE_MAGIC)
		return "not a drop list";
	if (table->version != BLOCK_TABLE_VERSION || table->header_len != sizeof(*table))
		return "another version of the drop list";
	if (table->len != len || len > BLOCK_TABLE_LEN_MAX)
		return "length";
	if (table->generation == 0)
		return "generation 0";
	if (table->v4_bits < BLOCK_V4_BITS_MIN || table->v4_bits > BLOCK_V4_BITS_MAX
	    || table->v6_shift > 63 || table->n_v6_slots > BLOCK_V6_SLOTS_MAX
	    || table->v6_levels > BLOCK_LEVELS_MAX)
		return "shape of a directory";
	if (table->n_v4_lines == 0)
		return "number of lines";
	if (table->n_buckets < BLOCK_BUCKETS_MIN)
		return "number of buckets";
	if (table->n_ports > BLOCK_PORTS_MAX)
		return "number of ports";
	return NULL;
}

static uint32_t n_v6_entries(const struct block_table *table)
{
	return table->n_v6_slots / BLOCK_V6_SLOTS + 1;
}

static const char *check_sections(const struct block_table *table)
{
	if (!section_fits(table, table->v4_dir_at, UINT64_C(1) << table->v4_bits, 4))
		return "v4_dir";
	if (!section_fits(table, table->v4_lines_at, table->n_v4_lines, BLOCK_LINE))
		return "v4_lines";
	if (!section_fits(table, table->runs_at, table->n_runs, sizeof(struct block_run)))
		return "runs";
	if (!section_fits(table, table->steps_at, table->n_steps, sizeof(struct block_step)))
		return "steps";
	if (!section_fits(table, table->buckets_at, table->n_buckets, sizeof(struct block_bucket)))
		return "buckets";
	if (!section_fits(table, table->v6_dir_at, n_v6_entries(table),
	                  sizeof(struct block_v6_entry)))
		return "v6_dir";
	if (!section_fits(table, table->v6_mixed_at, table->n_v6_mixed,
	                  sizeof(struct block_v6_mixed)))
		return "v6_mixed";
	if (!section_fits(table, table->v6_roots_at, table->n_v6_roots, BLOCK_LINE))
		return "v6_roots";
	if (!section_fits(table, table->v6_lines_at, table->n_v6_lines, BLOCK_LINE))
		return "v6_lines";
	return NULL;
}

static bool entry_is_good(const struct block_table *table, uint32_t entry)
{
	uint32_t count = entry & 31;
	uint32_t at = entry >> 5 & 31;

	if (count == BLOCK_V4_LONG)
		return entry >> 5 < table->n_runs;
	return count <= BLOCK_V4_COUNT_MAX && 2 * at + 3 * count + 1 <= BLOCK_LINE
	       && entry >> 10 < table->n_v4_lines;
}

static const char *check_v4(const struct block_table *table)
{
	const uint32_t *dir = block__at(table, table->v4_dir_at);
	const struct block_run *runs = block__at(table, table->runs_at);

	for (uint32_t i = 0; i >> table->v4_bits == 0; i++)
		if (!entry_is_good(table, dir[i]))
			return "entry of v4_dir";
	for (uint32_t i = 0; i < table->n_runs; i++)
		if (runs[i].n == 0 || runs[i].first > table->n_steps
		    || runs[i].n > table->n_steps - runs[i].first)
			return "run";
	return NULL;
}

/* 0 = leaf. */
static uint32_t level_of(const struct block_v6_line *line)
{
	return block__is_branch(line) ? line->level : 0;
}

/* Children to which ends can lead are there, one level lower: so a way down ends. */
static bool line_is_good(const struct block_table *table, const struct block_v6_line *line)
{
	const struct block_v6_line *lines = block__at(table, table->v6_lines_at);
	uint32_t n_children = 1;

	if (!block__is_branch(line))
		return true;
	if (line->level == 0 || line->level > table->v6_levels)
		return false;
	for (uint32_t j = 0; j < BLOCK_V6_ENDS; j++)
		n_children += line->ends[j] != UINT64_MAX;
	if (line->child > table->n_v6_lines || n_children > table->n_v6_lines - line->child)
		return false;
	for (uint32_t j = 0; j < n_children; j++)
		if (level_of(&lines[line->child + j]) != line->level - 1U)
			return false;
	return true;
}

/* Slots that it has have their roots. */
static bool v6_entry_is_good(const struct block_table *table, const struct block_v6_entry *entry)
{
	const struct block_v6_mixed *mixed = block__at(table, table->v6_mixed_at);
	uint32_t first = entry->first;
	uint32_t roots = entry->some;

	if (first & BLOCK_V6_MIXED) {
		uint32_t which = first & ~BLOCK_V6_MIXED;

		if (which >= table->n_v6_mixed)
			return false;
		first = mixed[which].first;
		roots &= ~mixed[which].listed;
	}
	return first <= table->n_v6_roots
	       && (uint32_t)__builtin_popcount(roots) <= table->n_v6_roots - first;
}

static const char *check_v6(const struct block_table *table)
{
	const struct block_v6_entry *dir = block__at(table, table->v6_dir_at);
	const struct block_v6_line *roots = block__at(table, table->v6_roots_at);
	const struct block_v6_line *lines = block__at(table, table->v6_lines_at);

	for (uint32_t i = 0; i < table->n_v6_roots; i++)
		if (!line_is_good(table, &roots[i]))
			return "root";
	for (uint32_t i = 0; i < table->n_v6_lines; i++)
		if (!line_is_good(table, &lines[i]))
			return "branch";
	for (uint32_t i = 0; i < n_v6_entries(table); i++)
		if (!v6_entry_is_good(table, &dir[i]))
			return "entry of v6_dir";
	return NULL;
}

/* Pairs whose second word names a line: it is there. */
static bool bucket_is_good(const struct block_table *table, const struct block_bucket *bucket)
{
	for (uint32_t i = 0; i < BLOCK_BUCKET_WORDS; i += 2)
		if (block__is_tree(bucket->words[i])
		    && bucket->words[i + 1] >> 32 >= table->n_v6_lines)
			return false;
	return true;
}

/* A search that goes on from bucket to bucket ends. */
static const char *check_nets(const struct block_table *table)
{
	const struct block_bucket *buckets = block__at(table, table->buckets_at);
	bool ends = false;

	for (uint32_t i = 0; i < table->n_buckets; i++) {
		if (!bucket_is_good(table, &buckets[i]))
			return "line of a pair";
		ends |= !block__goes_on(&buckets[i]);
	}
	return ends ? NULL : "every bucket goes on";
}

static const char *check(const struct block_table *table, size_t len)
{
	static const char *(*const checks[])(const struct block_table *table) = {
		check_sections,
		check_v4,
		check_nets,
		check_v6,
	};
	const char *why = check_header(table, len);

	for (size_t i = 0; i < BASE_ARRAY_LEN(checks) && why == NULL; i++)
		why = checks[i](table);
	return why;
}

const struct block_table *block_table_check(const void *data, size_t len, const char **why)
{
	const char *wrong;

	if (data == NULL || (uintptr_t)data % BLOCK_ALIGN != 0)
		wrong = "alignment";
	else if (len < sizeof(struct block_table))
		wrong = "shorter than its header";
	else
		wrong = check(data, len);
	if (why != NULL)
		*why = wrong;
	return wrong == NULL ? data : NULL;
}
