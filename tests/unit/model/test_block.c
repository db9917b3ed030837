/* When the workers get which table of drop lists: at once, not too often, none lost, again when an entry
 * ends or when they could not take it; and none at all when nothing is listed. */
#include "base_bytes.h"
#include "base_time.h"
#include "block_table.h"
#include "fakes.h"
#include "model.h"
#include "model_method.h"
#include "store.h"
#include "test.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64];
static char path[128];
static char error_text[512];
static struct config config;
static struct event_base *base;
static struct store *store;
static struct peer_table *peers;
static struct model *model;

/* What the workers have. */
static struct {
	void *table; /* NULL = none */
	uint64_t generation;
	uint32_t n_sets;
	int err;
} workers;

static int block_set(void *arg, const void *table, size_t len, uint64_t generation)
{
	(void)arg;
	workers.n_sets++;
	if (workers.err < 0)
		return workers.err;
	free(workers.table);
	workers.table = NULL;
	if (table) {
		workers.table = aligned_alloc(64, (len + 63) / 64 * 64);
		assert_non_null(workers.table);
		memcpy(workers.table, table, len);
		assert_non_null(block_table_check(workers.table, len, NULL));
		assert_int_equal(block_table_generation(workers.table), generation);
		/* Each content has a number of its own. */
		assert_true(generation > workers.generation);
		workers.generation = generation;
	}
	return 0;
}

static void start(void)
{
	struct peer_setup peer_setup = {.config = &config};
	struct model_setup setup = {.config = &config, .block_set = block_set};

	memset(&fake, 0, sizeof(fake));
	base = event_base_new();
	assert_non_null(base);
	if (store_open(path, (uid_t)-1, (gid_t)-1, &store, error_text, sizeof(error_text)) < 0)
		fail_msg("%s", error_text);
	peer_setup.base = base;
	peer_setup.store = store;
	if (peer_table_create(&peer_setup, &peers, error_text, sizeof(error_text)) < 0)
		fail_msg("%s", error_text);
	setup.base = base;
	setup.store = store;
	setup.peers = peers;
	if (model_create(&setup, &model, error_text, sizeof(error_text)) < 0)
		fail_msg("%s", error_text);
}

static void stop(void)
{
	model_destroy(model);
	peer_table_destroy(peers);
	store_close(store);
	event_base_free(base);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/weir-test-model-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/weir.db", dir);
	memset(&config, 0, sizeof(config));
	memset(&workers, 0, sizeof(workers));
	config.max_peers = 8;
	config.n_https = 1;
	config.https[0].port = 8443;
	start();
	return 0;
}

static int tear_down(void **state)
{
	static const char *const files[] = {"weir.db", "weir.db-wal", "weir.db-shm", "store.key"};
	char name[160];

	(void)state;
	stop();
	free(workers.table);
	for (size_t i = 0; i < BASE_ARRAY_LEN(files); i++) {
		snprintf(name, sizeof(name), "%s/%s", dir, files[i]);
		(void)unlink(name);
	}
	return rmdir(dir);
}

static void call(const char *method, const char *params_text)
{
	json_t *params = json_loads(params_text, 0, NULL);
	json_t *result = NULL;
	json_t *error = NULL;

	assert_non_null(params);
	if (model_call(model, method, params, &result, &error) < 0)
		fail_msg("%s %s: %s", method, params_text,
		         json_string_value(json_object_get(error, "message")));
	json_decref(params);
	json_decref(result);
}

/* What the workers say of 192.0.2.LAST; 0 also without a table. */
static uint8_t scopes_of(uint32_t last)
{
	uint32_t address = 0xc0000200 + last;
	uint8_t scopes = 0;

	if (workers.table)
		block_find_v4(workers.table, &address, &scopes, 1);
	return scopes;
}

static void wait_until_scopes(uint32_t last, uint8_t scopes)
{
	uint64_t end_ns = base_time_monotonic_ns() + 10 * BASE_NS_PER_S;

	while (scopes_of(last) != scopes && base_time_monotonic_ns() < end_ns)
		event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(scopes_of(last), scopes);
}

static void without_entries_the_workers_have_no_table(void **state)
{
	(void)state;
	assert_null(workers.table);
	call("block.add", "{\"prefix\": \"192.0.2.7\"}");
	wait_until_scopes(7, BLOCK_ALL);
	assert_true(block_table_publishes(workers.table, 6, 8443));
	assert_false(block_table_publishes(workers.table, 6, 443));
	call("block.remove", "{\"prefix\": \"192.0.2.7\"}");
	wait_until_scopes(7, 0);
	assert_null(workers.table);
}

static void many_changes_in_a_row_make_few_tables_and_none_is_lost(void **state)
{
	char params[64];
	uint32_t before = workers.n_sets;

	(void)state;
	for (uint32_t i = 0; i < 200; i++) {
		snprintf(params, sizeof(params), "{\"prefix\": \"192.0.2.%u\"}", i);
		call("block.add", params);
	}
	wait_until_scopes(199, BLOCK_ALL);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(scopes_of(i), BLOCK_ALL);
	assert_true(workers.n_sets - before <= 2);
}

static void an_entry_that_ends_is_taken_out_in_time(void **state)
{
	(void)state;
	call("block.add", "{\"prefix\": \"192.0.2.7\", \"for\": \"1s\"}");
	call("block.add", "{\"prefix\": \"192.0.2.0/24\", \"scope\": [\"wireguard\"]}");
	wait_until_scopes(7, BLOCK_ALL);
	wait_until_scopes(7, BLOCK_WIREGUARD);
	assert_int_equal(scopes_of(8), BLOCK_WIREGUARD);
}

static void what_the_workers_could_not_take_is_handed_over_again(void **state)
{
	uint32_t before = workers.n_sets;

	(void)state;
	workers.err = -ENOMEM;
	call("block.add", "{\"prefix\": \"192.0.2.7\"}");
	while (workers.n_sets == before)
		event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(scopes_of(7), 0);
	workers.err = 0;
	wait_until_scopes(7, BLOCK_ALL);
}

static void a_restart_hands_over_what_is_stored_before_anything_else(void **state)
{
	(void)state;
	call("block.add", "{\"prefix\": \"192.0.2.7\"}");
	wait_until_scopes(7, BLOCK_ALL);
	stop();
	free(workers.table);
	workers.table = NULL;
	start();
	assert_int_equal(scopes_of(7), BLOCK_ALL);
}

static void hit(uint32_t worker, const char *source, uint32_t reason, uint64_t count)
{
	struct abi_report_drop drop = {.reason = reason, .count = count};

	assert_int_equal(base_ip_parse(source, &drop.source), 0);
	model_block_hit(model, worker, &drop);
}

/* Hits of the entry in this row. */
static json_int_t hits_of(size_t row)
{
	json_t *result = NULL;
	json_t *error = NULL;
	const json_t *entry;
	json_int_t hits;

	assert_int_equal(model_call(model, "block.list", NULL, &result, &error), 0);
	entry = json_array_get(json_object_get(result, "entries"), row);
	hits = json_integer_value(json_object_get(entry, "hits"));
	assert_int_equal(hits != 0, json_is_string(json_object_get(entry, "last_hit_at")));
	json_decref(result);
	return hits;
}

static void what_is_dropped_counts_for_the_entries_that_it_is_on(void **state)
{
	(void)state;
	call("block.add", "{\"prefix\": \"192.0.2.7\"}");
	call("block.add", "{\"prefix\": \"192.0.2.0/24\", \"source\": \"feed\"}");
	call("block.add", "{\"prefix\": \"2001:db8::/32\", \"scope\": [\"wireguard\"]}");
	hit(0, "192.0.2.7", ABI_COUNTER_DROP_BLOCK_ALL, 1);
	hit(0, "192.0.2.8", ABI_COUNTER_DROP_BLOCK_ALL, 2);
	assert_int_equal(hits_of(0), 1);
	assert_int_equal(hits_of(1), 2);
	/* what came between two samples, of this worker, for this reason */
	hit(0, "192.0.2.8", ABI_COUNTER_DROP_BLOCK_ALL, 102);
	hit(1, "192.0.2.8", ABI_COUNTER_DROP_BLOCK_ALL, 5000); /* from before this control */
	assert_int_equal(hits_of(1), 103);
	hit(0, "2001:db8::1", ABI_COUNTER_DROP_BLOCK_WIREGUARD, 1);
	hit(0, "2001:db8::1", ABI_COUNTER_DROP_BLOCK_PUBLISHED, 1);
	hit(0, "192.0.2.7", ABI_COUNTER_DROP_AUTH, 9);
	assert_int_equal(hits_of(2), 1);
	assert_int_equal(hits_of(0), 1);
}

/* block.import of n addresses of 10.0.0.0/8, one a line. */
static json_t *import_params(uint32_t n)
{
	char *text = malloc((size_t)n * 16 + 1);
	size_t len = 0;
	json_t *params;

	assert_non_null(text);
	for (uint32_t i = 0; i < n; i++)
		len += (size_t)sprintf(&text[len], "10.%u.%u.%u\n", i >> 16 & 255, i >> 8 & 255,
		                       i & 255);
	params = json_pack("{s:{s:s, s:s%}, s:b, s:s}", "file", "name", "x", "text", text, len,
	                   "replace", 1, "source", "feed");
	assert_non_null(params);
	free(text);
	return params;
}

static uint32_t n_replies;

static void on_reply(void *arg, json_t *result, json_t *error)
{
	json_t **out = arg;

	assert_null(error);
	assert_null(*out);
	*out = result;
	n_replies++;
}

static void import_later(uint32_t n, json_t **reply)
{
	json_t *params = import_params(n);
	json_t *result = NULL;
	json_t *error = NULL;

	assert_int_equal(model_call_later(model, "block.import", params, on_reply, reply, &result,
	                                  &error),
	                 MODEL_LATER);
	assert_null(result);
	assert_null(error);
	json_decref(params);
}

static size_t n_listed(void)
{
	json_t *result = NULL;
	json_t *error = NULL;
	size_t n;

	assert_int_equal(model_call(model, "block.list", NULL, &result, &error), 0);
	n = (size_t)json_integer_value(json_object_get(result, "total"));
	json_decref(result);
	return n;
}

#define LONG_N 40000U

static void a_long_import_comes_later_at_once_and_after_what_was_done_meanwhile(void **state)
{
	json_t *reply = NULL;

	(void)state;
	n_replies = 0;
	import_later(LONG_N, &reply);
	call("block.add", "{\"prefix\": \"192.0.2.7\", \"source\": \"feed\"}");
	call("block.add", "{\"prefix\": \"192.0.2.8\"}");
	assert_int_equal(n_listed(), 2);
	while (!reply) {
		assert_int_equal(n_listed(), 2);
		event_base_loop(base, EVLOOP_ONCE);
	}
	/* 192.0.2.7 was the same source's before it */
	assert_int_equal(json_integer_value(json_object_get(reply, "replaced")), 1);
	assert_int_equal(n_listed(), LONG_N + 1);
	wait_until_scopes(7, 0);
	wait_until_scopes(8, BLOCK_ALL);
	/* A change while the long table is made is in the next one. */
	call("block.add", "{\"prefix\": \"192.0.2.9\"}");
	wait_until_scopes(9, BLOCK_ALL);
	json_decref(reply);
}

static void imports_wait_for_each_other_and_too_many_are_refused(void **state)
{
	json_t *replies[9] = {NULL};
	json_t *params = import_params(LONG_N);
	json_t *result = NULL;
	json_t *error = NULL;

	(void)state;
	n_replies = 0;
	for (uint32_t i = 0; i < 8; i++)
		import_later(LONG_N + i, &replies[i]);
	assert_int_equal(model_call_later(model, "block.import", params, on_reply, &replies[8],
	                                  &result, &error),
	                 -EBUSY);
	assert_string_equal(json_string_value(json_object_get(error, "code")), "busy");
	json_decref(error);
	json_decref(params);
	model_forget(model, &replies[3]);
	while (n_replies < 7)
		event_base_loop(base, EVLOOP_ONCE);
	assert_null(replies[3]);
	assert_int_equal(n_listed(), LONG_N + 7);
	for (uint32_t i = 0; i < 8; i++)
		json_decref(replies[i]);
}

static void an_import_that_is_cut_short_by_the_end_has_changed_nothing(void **state)
{
	json_t *reply = NULL;

	(void)state;
	call("block.add", "{\"prefix\": \"192.0.2.7\", \"source\": \"feed\"}");
	import_later(LONG_N, &reply);
	import_later(LONG_N, &reply);
	stop();
	start();
	assert_null(reply);
	assert_int_equal(n_listed(), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(without_entries_the_workers_have_no_table, set_up,
	                                        tear_down),
		cmocka_unit_test_setup_teardown(
			many_changes_in_a_row_make_few_tables_and_none_is_lost, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_is_dropped_counts_for_the_entries_that_it_is_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_entry_that_ends_is_taken_out_in_time, set_up,
	                                        tear_down),
		cmocka_unit_test_setup_teardown(
			what_the_workers_could_not_take_is_handed_over_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_restart_hands_over_what_is_stored_before_anything_else, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_long_import_comes_later_at_once_and_after_what_was_done_meanwhile, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			imports_wait_for_each_other_and_too_many_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			an_import_that_is_cut_short_by_the_end_has_changed_nothing, set_up,
			tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
