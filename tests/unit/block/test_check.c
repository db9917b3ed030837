/* block_table_check(): each number that would lead a look-up out of the table, or round and round in it, is
 * refused, and for what it is. */
#include "base_bytes.h"
#include "block_build.h"
#include "block_private.h"
#include "test.h"

#include <string.h>

#define N_HOSTS 40U

/* A list that fills every section: a run of IPv4, a slot that is listed as a whole, roots, branches, hosts
 * and trees of /64s. */
static uint32_t make_list(struct block_prefix *prefixes)
{
	const uint64_t net = UINT64_C(0x20010db800000000);
	uint32_t n = 0;

	for (uint32_t i = 0; i < N_HOSTS; i++) {
		prefixes[n++] = (struct block_prefix){.high = (uint64_t)(0xc6336400 + 2 * i) << 32,
		                                      .family = BASE_IP_V4,
		                                      .len = 32,
		                                      .scopes = BLOCK_ALL};
		prefixes[n++] = (struct block_prefix){.high = net,
		                                      .low = 2 * i,
		                                      .family = BASE_IP_V6,
		                                      .len = 128,
		                                      .scopes = BLOCK_WIREGUARD};
		prefixes[n++] = (struct block_prefix){.high = net + (2 * i << 16),
		                                      .family = BASE_IP_V6,
		                                      .len = 48,
		                                      .scopes = BLOCK_PUBLISHED};
	}
	prefixes[n++] = (struct block_prefix){.high = UINT64_C(0x3000000000000000),
	                                      .family = BASE_IP_V6,
	                                      .len = 5,
	                                      .scopes = BLOCK_ALL};
	return n;
}

static void *section(struct block_table *table, uint64_t at)
{
	return (uint8_t *)table + at;
}

/* ---- wounds: each says whether there was what it is about ---------------------------------------- */

static bool wound_version(struct block_table *table)
{
	table->version--;
	return true;
}

static bool wound_v4_dir(struct block_table *table)
{
	uint32_t *dir = section(table, table->v4_dir_at);

	dir[0] = block__entry(1, 0, table->n_v4_lines);
	return true;
}

static bool wound_run(struct block_table *table)
{
	struct block_run *runs = section(table, table->runs_at);

	if (table->n_runs == 0)
		return false;
	runs[0].first = table->n_steps;
	return true;
}

static bool wound_pair(struct block_table *table)
{
	struct block_bucket *buckets = section(table, table->buckets_at);

	for (uint32_t i = 0; i < table->n_buckets; i++)
		for (uint32_t j = 0; j < BLOCK_BUCKET_WORDS; j += 2)
			if (block__is_tree(buckets[i].words[j])) {
				buckets[i].words[j + 1] = (uint64_t)table->n_v6_lines << 32;
				return true;
			}
	return false;
}

static bool wound_all_buckets(struct block_table *table)
{
	struct block_bucket *buckets = section(table, table->buckets_at);

	for (uint32_t i = 0; i < table->n_buckets; i++)
		buckets[i].words[BLOCK_BUCKET_WORDS - 1] |= BLOCK_ANSWER_MORE;
	return true;
}

static bool wound_roots(struct block_table *table)
{
	struct block_v6_entry *dir = section(table, table->v6_dir_at);

	for (uint32_t i = 0; i <= table->n_v6_slots / BLOCK_V6_SLOTS; i++)
		if (dir[i].some != 0 && !(dir[i].first & BLOCK_V6_MIXED)) {
			dir[i].first = table->n_v6_roots;
			return true;
		}
	return false;
}

/* The last that an entry names is there, but no longer said to be. */
static bool wound_mixed(struct block_table *table)
{
	if (table->n_v6_mixed == 0)
		return false;
	table->n_v6_mixed--;
	return true;
}

static bool wound_roots_of_mixed(struct block_table *table)
{
	struct block_v6_mixed *mixed = section(table, table->v6_mixed_at);

	if (table->n_v6_mixed == 0)
		return false;
	mixed[0].first = table->n_v6_roots + 1;
	return true;
}

/* Its children are behind the last line; or one of them is itself. */
static bool wound_branch(struct block_table *table, bool is_loop)
{
	struct block_v6_line *lines = section(table, table->v6_lines_at);

	for (uint32_t i = 0; i < table->n_v6_lines; i++)
		if (block__is_branch(&lines[i])) {
			lines[i].child = is_loop ? i : table->n_v6_lines;
			return true;
		}
	return false;
}

static bool wound_child(struct block_table *table)
{
	return wound_branch(table, false);
}

static bool wound_way_down(struct block_table *table)
{
	return wound_branch(table, true);
}

static void each_number_that_leads_astray_is_refused_by_name(void **state)
{
	static const struct {
		bool (*wound)(struct block_table *table);
		const char *why;
	} cases[] = {
		{wound_version, "another version of the drop list"},
		{wound_v4_dir, "entry of v4_dir"},
		{wound_run, "run"},
		{wound_pair, "line of a pair"},
		{wound_all_buckets, "every bucket goes on"},
		{wound_roots, "entry of v6_dir"},
		{wound_mixed, "entry of v6_dir"},
		{wound_roots_of_mixed, "entry of v6_dir"},
		{wound_child, "branch"},
		{wound_way_down, "branch"},
	};
	struct block_prefix prefixes[3 * N_HOSTS + 1];
	struct block_source source = {.generation = 1, .seed = 1, .prefixes = prefixes};
	void *blob, *copy;
	size_t len;

	(void)state;
	source.n = make_list(prefixes);
	assert_int_equal(block_build(&source, &blob, &len), 0);
	copy = aligned_alloc(64, len);
	assert_non_null(copy);
	assert_non_null(block_table_check(blob, len, NULL));
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		const char *why = NULL;

		memcpy(copy, blob, len);
		if (!cases[i].wound(copy))
			fail_msg("case %zu: nothing to wound", i);
		assert_null(block_table_check(copy, len, &why));
		assert_string_equal(why, cases[i].why);
	}
	free(copy);
	free(blob);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_number_that_leads_astray_is_refused_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
