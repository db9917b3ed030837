/* control/block: entries against a dumb model, over a real store that is closed and opened again; and that
 * texts are read as the general parser reads each line. */
#include "base_bytes.h"
#include "block_naive.h"
#include "blocklist.h"
#include "store_dir.h"

#include <sqlite3.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define NOW 1800000000U

static char error_text[512];
static struct store *store;
static struct blocklist *list;

static void open_all(void)
{
	if (store_open(path, (uid_t)-1, (gid_t)-1, &store, error_text, sizeof(error_text)) < 0)
		fail_msg("%s", error_text);
	if (blocklist_create(store, &list) < 0)
		fail_msg("%s", store_error(store));
}

static void close_all(void)
{
	blocklist_destroy(list);
	store_close(store);
}

static int set_up(void **state)
{
	(void)state;
	if (store_dir_make() < 0)
		return -1;
	open_all();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close_all();
	return store_dir_remove();
}

/* ---- against a model ----------------------------------------------------------------------------- */

#define LISTED_MAX 20000U

/* A prefix that is listed: one of an entry. */
struct listed {
	uint32_t source;
	bool is_list;
	bool goes; /* in the change under way */
	uint64_t until_s;
	struct block_prefix prefix;
};

static struct listed listed[LISTED_MAX];
static size_t n_listed;

static const char *const sources[] = {"manual", "feed", "geo"};

static size_t model_drop(void)
{
	size_t n = 0;
	size_t before = n_listed;

	for (size_t i = 0; i < before; i++)
		if (!listed[i].goes)
			listed[n++] = listed[i];
	n_listed = n;
	return before - n;
}

static bool is_same(const struct block_prefix *a, const struct block_prefix *b)
{
	return block_prefix_compare(a, b) == 0;
}

static int compare(const void *a, const void *b)
{
	const struct block_prefix *x = a;
	const struct block_prefix *y = b;
	int order = block_prefix_compare(x, y);

	return order != 0 ? order : (int)x->scopes - (int)y->scopes;
}

static void expect_same(void)
{
	struct block_prefix expected[LISTED_MAX];
	struct block_prefix *found;
	size_t n;

	assert_int_equal(blocklist_collect(list, &found, &n), 0);
	assert_int_equal(n, n_listed);
	assert_int_equal(blocklist_n_prefixes(list), n_listed);
	for (size_t i = 0; i < n; i++)
		expected[i] = listed[i].prefix;
	if (n > 0) {
		qsort(expected, n, sizeof(expected[0]), compare);
		qsort(found, n, sizeof(found[0]), compare);
		assert_memory_equal(expected, found, n * sizeof(found[0]));
	}
	free(found);
}

static size_t sort_unique(struct block_prefix *prefixes, size_t n)
{
	size_t kept = 0;

	qsort(prefixes, n, sizeof(prefixes[0]), compare);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || !is_same(&prefixes[kept - 1], &prefixes[i]))
			prefixes[kept++] = prefixes[i];
	return kept;
}

/* One prefix of few, so that they meet again. */
static struct block_prefix pick(struct test_random *random)
{
	struct naive_shape shape = {
		.fixed_v4 = 28, .fixed_v6 = 124, .len_min_v4 = 26, .len_min_v6 = 122};

	return naive_random_prefix(random, &shape);
}

static void change_add(struct test_random *random)
{
	struct block_prefix prefixes[40];
	bool is_list = test_random_below(random, 4) == 0;
	size_t n = is_list ? 1 + test_random_below(random, 40) : 1;
	uint32_t source = (uint32_t)test_random_below(random, BASE_ARRAY_LEN(sources));
	struct blocklist_request request = {
		.source = sources[source],
		.author = "root",
		.reason = "because",
		.now_s = NOW,
		.until_s = test_random_below(random, 2) ? 0 : NOW + test_random_below(random, 100),
		.scopes = (uint8_t)(1 + test_random_below(random, BLOCK_SCOPES)),
		.is_list = is_list,
		.replaces = !is_list || test_random_below(random, 2) == 0,
		.prefixes = prefixes,
	};
	size_t n_replaced;

	for (size_t i = 0; i < n; i++)
		prefixes[i] = pick(random);
	request.n = sort_unique(prefixes, n);
	for (size_t i = 0; i < n_listed; i++)
		listed[i].goes = request.replaces && listed[i].source == source
		                 && (is_list
		                     || (!listed[i].is_list
		                         && is_same(&listed[i].prefix, prefixes)));
	(void)model_drop();
	assert_int_equal(blocklist_add(list, &request, &n_replaced), 0);
	for (size_t i = 0; i < request.n; i++) {
		prefixes[i].scopes = request.scopes;
		listed[n_listed++] = (struct listed){source, is_list, false, request.until_s,
		                                     prefixes[i]};
	}
}

static void change_remove(struct test_random *random)
{
	struct block_prefix prefix = pick(random);
	bool whole = test_random_below(random, 8) == 0;
	bool any = !whole && test_random_below(random, 2) == 0;
	uint32_t source = (uint32_t)test_random_below(random, BASE_ARRAY_LEN(sources));
	size_t n_removed;

	for (size_t i = 0; i < n_listed; i++)
		listed[i].goes = (any || listed[i].source == source)
		                 && (whole || is_same(&listed[i].prefix, &prefix));
	assert_int_equal(blocklist_remove(list, any ? NULL : sources[source],
	                                  whole ? NULL : &prefix, &n_removed),
	                 0);
	assert_int_equal(n_removed, model_drop());
}

static void change_expire(struct test_random *random)
{
	uint64_t now_s = NOW + test_random_below(random, 30);
	uint64_t next_s = 0;
	size_t n_removed, n_ended, n_back;

	/* What only ended comes back with the time, and nothing is changed. */
	assert_int_equal(
		blocklist_expire(list, now_s + test_random_below(random, 100), false, &n_ended), 0);
	assert_int_equal(blocklist_has_ended(list), n_ended > 0);
	assert_int_equal(blocklist_expire(list, 0, false, &n_back), 0);
	assert_int_equal(n_back, n_ended);
	assert_false(blocklist_has_ended(list));
	expect_same();
	for (size_t i = 0; i < n_listed; i++)
		listed[i].goes = listed[i].until_s != 0 && listed[i].until_s <= now_s;
	if (test_random_below(random, 2))
		assert_int_equal(blocklist_expire(list, now_s, false, &n_ended), 0);
	else
		n_ended = 0;
	assert_int_equal(blocklist_expire(list, now_s, true, &n_removed), 0);
	n_removed += n_ended;
	assert_int_equal(model_drop() > 0, n_removed > 0);
	for (size_t i = 0; i < n_listed; i++)
		if (listed[i].until_s != 0 && (next_s == 0 || listed[i].until_s < next_s))
			next_s = listed[i].until_s;
	assert_int_equal(blocklist_next_end(list), next_s);
}

static void random_changes_leave_what_a_plain_list_has_also_after_a_restart(void **state)
{
	struct test_random random = test_random_start();

	(void)state;
	n_listed = 0;
	for (unsigned int i = 0; i < 600; i++) {
		uint64_t dice = test_random_below(&random, 20);

		if (dice < 10)
			change_add(&random);
		else if (dice < 17)
			change_remove(&random);
		else if (dice < 18)
			change_expire(&random);
		else if (dice < 19) {
			close_all();
			open_all();
		}
		expect_same();
	}
}

/* ---- a store that refuses -------------------------------------------------------------------------- */

static void restart_with(const char *sql)
{
	sqlite3 *db;

	close_all(); /* nobody else may write while it is open */
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	open_all();
}

static void put_list(const char *source, const char *const *texts, size_t n)
{
	struct block_prefix prefixes[4];
	struct blocklist_request request = {
		.source = source,
		.author = "root",
		.reason = "because",
		.scopes = BLOCK_ALL,
		.is_list = n > 1,
		.prefixes = prefixes,
		.n = n,
		.now_s = NOW,
	};
	size_t n_replaced;

	for (size_t i = 0; i < n; i++) {
		struct base_prefix prefix;

		assert_int_equal(base_prefix_parse(texts[i], &prefix), 0);
		prefixes[i] = block_prefix_make(&prefix, BLOCK_ALL);
	}
	assert_int_equal(blocklist_add(list, &request, &n_replaced), 0);
}

/* Two lists are shortened and an entry goes: the store takes the first change and not the second. */
static void a_prefix_leaves_all_entries_or_none(void **state)
{
	static const char *const texts[] = {"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"};
	static const char *const refusals[] = {
		"CREATE TRIGGER no_room BEFORE UPDATE ON block WHEN OLD.source = 'geo' "
		"BEGIN SELECT RAISE(ABORT, 'no room'); END",
		"CREATE TRIGGER no_room BEFORE DELETE ON block "
		"BEGIN SELECT RAISE(ABORT, 'no room'); END",
	};
	struct base_prefix prefix;
	struct block_prefix wanted;
	size_t n_removed;

	(void)state;
	put_list("feed", texts, 3);
	put_list("geo", &texts[1], 2);
	put_list("manual", &texts[1], 1);
	assert_int_equal(base_prefix_parse(texts[1], &prefix), 0);
	wanted = block_prefix_make(&prefix, BLOCK_ALL);
	for (size_t i = 0; i < BASE_ARRAY_LEN(refusals); i++) {
		restart_with(refusals[i]);
		assert_true(blocklist_remove(list, NULL, &wanted, &n_removed) < 0);
		assert_int_equal(n_removed, 0);
		assert_int_equal(blocklist_n_prefixes(list), 6);
		restart_with("DROP TRIGGER no_room");
		assert_int_equal(blocklist_n_prefixes(list), 6);
	}
	assert_int_equal(blocklist_remove(list, NULL, &wanted, &n_removed), 0);
	assert_int_equal(n_removed, 3);
	for (int turn = 0; turn < 2; turn++) {
		assert_int_equal(blocklist_n(list), 2);
		assert_int_equal(blocklist_n_prefixes(list), 3);
		close_all();
		open_all();
	}
}

/* ---- texts --------------------------------------------------------------------------------------- */

static int read_text(const char *text, struct block_prefix **out, size_t *n,
                     struct blocklist_text_error *error)
{
	return blocklist_text_read(text, strlen(text), BLOCK_ALL, out, n, error);
}

static void wrong_lines_are_named(void **state)
{
	static const struct {
		const char *text;
		unsigned int line;
		const char *says;
	} cases[] = {
		{"192.0.2.1\nx\n", 2, "\"x\" is not an address or a network"},
		{"192.0.2.256", 1, "\"192.0.2.256\" is not"},
		{"192.0.2", 1, "is not"},
		{"192.0.2.1.1", 1, "is not"},
		{"01.2.3.4", 1, "is not"},
		{"1.2.3.4/", 1, "is not"},
		{"1.2.3.4/33", 1, "is not"},
		{"\n\n10.0.0.1/8", 3, "has bits behind its length, is 10.0.0.0/8 meant?"},
		{"2001:db8::1/64", 1, "is 2001:db8::/64 meant?"},
		{"1.2.3.4 5.6.7.8", 1, "\"5.6.7.8\" is too much in a line"},
		{"add set", 1, "\"\" is not"},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 1,
	         "..."},
		{"\001\377", 1, "\"??\" is not"},
	};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		struct blocklist_text_error error;
		struct block_prefix *out;
		size_t n;

		assert_int_equal(read_text(cases[i].text, &out, &n, &error), -EINVAL);
		if (error.line != cases[i].line || !strstr(error.text, cases[i].says))
			fail_msg("case %zu: %u: %s", i, error.line, error.text);
	}
}

/* The short way for dotted quads must read what the general one reads, and refuse what it refuses. */
static void lines_are_read_as_the_general_parser_reads_them(void **state)
{
	struct test_random random = test_random_start();
	uint32_t n_good = 0;

	(void)state;
	for (unsigned int i = 0; i < 200000; i++) {
		static const char alphabet[] = "0123456789..../:af";
		char text[24] = "";
		size_t len = 1 + test_random_below(&random, sizeof(text) - 2);
		struct blocklist_text_error error;
		struct base_prefix prefix;
		struct block_prefix *out = NULL;
		size_t n;
		bool is_good;

		if (i % 2 == 0)
			snprintf(text, sizeof(text), "%u.%u.%u.%u%s",
			         (unsigned int)test_random_below(&random, 300),
			         (unsigned int)test_random_below(&random, 260),
			         (unsigned int)test_random_below(&random, 12),
			         (unsigned int)test_random_below(&random, 256),
			         i % 4 == 0 ? "" : "/32");
		else
			for (size_t j = 0; j < len; j++)
				text[j] =
					alphabet[test_random_below(&random, sizeof(alphabet) - 1)];
		is_good = base_prefix_parse(text, &prefix) == 0 && !base_prefix_mask(&prefix);
		n_good += is_good;
		if ((read_text(text, &out, &n, &error) == 0) != is_good)
			fail_msg("\"%s\": %s", text, error.text);
		if (is_good) {
			struct block_prefix expected = block_prefix_make(&prefix, BLOCK_ALL);

			assert_int_equal(n, 1);
			assert_memory_equal(out, &expected, sizeof(expected));
			free(out);
		}
	}
	assert_true(n_good > 1000);
}

/* The search in a long list says what a look at each prefix says. */
static void addresses_are_found_in_long_lists_as_in_short_ones(void **state)
{
	struct block_prefix prefixes[600];
	struct blocklist_entry entry = {.prefixes = prefixes, .n = 600};
	uint32_t n_found = 0;

	(void)state;
	for (uint32_t i = 0; i < 600; i++) {
		struct base_prefix p = {.ip = {.bytes = {10, (uint8_t)(i / 20), (uint8_t)(i * 7)},
		                               .family = i % 2 ? BASE_IP_V4 : BASE_IP_V6},
		                        .len = (uint8_t)(i % 3 == 0 ? 16 : 20 + i % 13)};

		base_prefix_mask(&p);
		prefixes[i] = block_prefix_make(&p, BLOCK_ALL);
	}
	assert_int_equal(block_prefix_sort(prefixes, 600), 0);
	for (uint32_t i = 0; i < 20000; i++) {
		struct base_prefix a = {
			.ip = {.bytes = {10, (uint8_t)(i % 40), (uint8_t)(i / 40), (uint8_t)i},
		               .family = i % 2 ? BASE_IP_V4 : BASE_IP_V6},
			.len = i % 2 ? 32 : 128};
		struct block_prefix address = block_prefix_make(&a, BLOCK_ALL);
		bool is_in = false;

		for (uint32_t k = 0; k < 600 && !is_in; k++)
			is_in = block_prefix_contains(&prefixes[k], &address);
		assert_int_equal(blocklist_entry_has(&entry, &address), is_in);
		n_found += is_in;
	}
	assert_in_range(n_found, 100, 19900);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			random_changes_leave_what_a_plain_list_has_also_after_a_restart, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_prefix_leaves_all_entries_or_none, set_up,
	                                        tear_down),
		cmocka_unit_test(wrong_lines_are_named),
		cmocka_unit_test(addresses_are_found_in_long_lists_as_in_short_ones),
		cmocka_unit_test(lines_are_read_as_the_general_parser_reads_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
