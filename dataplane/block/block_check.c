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
	    || table->v6_bits < BLOCK_V6_BITS_MIN || table->v6_bits > BLOCK_V6_BITS_MAX
	    || table->v6_levels > BLOCK_LEVELS_MAX)
		return "bits of a directory";
	if (table->n_v4_lines == 0 || table->n_v6_leaves == 0
	    || table->n_v6_leaves > table->n_v6_lines)
		return "number of lines";
	if ((table->n_deep & (table->n_deep - 1)) != 0)
		return "number of deep slots";
	if (table->n_ports > BLOCK_PORTS_MAX)
		return "number of ports";
	return NULL;
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
	if (!section_fits(table, table->v6_dir_at, UINT64_C(1) << table->v6_bits, 4))
		return "v6_dir";
	if (!section_fits(table, table->v6_lines_at, table->n_v6_lines, BLOCK_LINE))
		return "v6_lines";
	if (!section_fits(table, table->deep_at, table->n_deep, sizeof(struct block_deep)))
		return "deep";
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
static uint32_t level_of(const struct block_table *table, uint32_t line)
{
	const struct block_v6_line *lines = block__at(table, table->v6_lines_at);

	return line < table->n_v6_leaves ? 0 : lines[line].level;
}

/* Children to which ends can lead are there, one level lower: so a way down ends. */
static bool branch_is_good(const struct block_table *table, uint32_t i)
{
	const struct block_v6_line *lines = block__at(table, table->v6_lines_at);
	const struct block_v6_line *branch = &lines[i];
	uint32_t n_children = 1;

	if (branch->level == 0 || branch->level > table->v6_levels)
		return false;
	for (uint32_t j = 0; j < BLOCK_V6_ENDS; j++)
		n_children += branch->ends[j] != UINT64_MAX;
	if (branch->child > table->n_v6_lines || n_children > table->n_v6_lines - branch->child)
		return false;
	for (uint32_t j = 0; j < n_children; j++)
		if (level_of(table, branch->child + j) != branch->level - 1U)
			return false;
	return true;
}

static const char *check_v6(const struct block_table *table)
{
	const uint32_t *dir = block__at(table, table->v6_dir_at);

	for (uint32_t i = table->n_v6_leaves; i < table->n_v6_lines; i++)
		if (!branch_is_good(table, i))
			return "branch";
	for (uint32_t i = 0; i >> table->v6_bits == 0; i++)
		if (dir[i] >= table->n_v6_lines)
			return "entry of v6_dir";
	return NULL;
}

static const char *check_deep(const struct block_table *table)
{
	const struct block_deep *deep = block__at(table, table->deep_at);
	uint32_t n_free = 0;

	for (uint32_t i = 0; i < table->n_deep; i++) {
		if (deep[i].line >= table->n_v6_lines)
			return "line of a deep slot";
		n_free += deep[i].used == 0;
	}
	return table->n_deep == 0 || n_free > 0 ? NULL : "no deep slot is free";
}

static const char *check(const struct block_table *table, size_t len)
{
	static const char *(*const checks[])(const struct block_table *table) = {
		check_sections,
		check_v4,
		check_v6,
		check_deep,
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
