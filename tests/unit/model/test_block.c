/* When the workers get which table of drop lists: at once, not too often, none lost, again when an entry
 * ends or when they could not take it; and none at all when nothing is listed. */
#include "block_table.h"
#include "model_lab.h"
#include "store_block.h"
#include "test_clock.h"

/* What the workers have. */
static struct {
	void *table; /* NULL = none */
	uint64_t generation;
	uint32_t n_sets;
	int err;
} droppers;

static int block_set(void *arg, const void *table, size_t len, uint64_t generation)
{
	(void)arg;
	droppers.n_sets++;
	if (droppers.err < 0)
		return droppers.err;
	free(droppers.table);
	droppers.table = NULL;
	if (table) {
		droppers.table = aligned_alloc(64, (len + 63) / 64 * 64);
		assert_non_null(droppers.table);
		memcpy(droppers.table, table, len);
		assert_non_null(block_table_check(droppers.table, len, NULL));
		assert_int_equal(block_table_generation(droppers.table), generation);
		/* Each content has a number of its own. */
		assert_true(generation > droppers.generation);
		droppers.generation = generation;
	}
	return 0;
}

static int set_up_with_workers(void **state)
{
	int err = set_up(state);

	memset(&droppers, 0, sizeof(droppers));
	ahead_s = 0;
	passed_s = 0;
	config.n_https = 1;
	config.https[0].port = 8443;
	block_taker = block_set;
	if (err == 0)
		start(false);
	return err;
}

static int tear_down_with_workers(void **state)
{
	stop();
	free(droppers.table);
	return tear_down(state);
}

/* What the workers say of 192.0.2.LAST; 0 also without a table. */
static uint8_t scopes_of(uint32_t last)
{
	uint32_t address = 0xc0000200 + last;
	uint8_t scopes = 0;

	if (droppers.table)
		block_find_v4(droppers.table, &address, &scopes, 1);
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
	assert_null(droppers.table);
	call_ok("block.add", "{\"prefix\": \"192.0.2.7\"}");
	wait_until_scopes(7, BLOCK_ALL);
	assert_true(block_table_publishes(droppers.table, 6, 8443));
	assert_false(block_table_publishes(droppers.table, 6, 443));
	call_ok("block.remove", "{\"prefix\": \"192.0.2.7\"}");
	wait_until_scopes(7, 0);
	assert_null(droppers.table);
}

static void is_in_force(bool expected)
{
	json_t *list = call("block.list", "{}");

	assert_int_equal(json_is_true(json_object_get(list, "in_force")), expected);
	json_decref(list);
}

/* As the dataplane says it: of no table the generation is 0. */
static void they_use(uint64_t generation)
{
	model_block_done(model, generation, 0, "");
}

static void lists_are_in_force_when_the_workers_say_so_also_the_empty_one(void **state)
{
	(void)state;
	is_in_force(false);
	they_use(0);
	is_in_force(true);
	call_ok("block.add", "{\"prefix\": \"192.0.2.7\"}");
	is_in_force(false);
	wait_until_scopes(7, BLOCK_ALL);
	is_in_force(false);
	they_use(0); /* of what was before */
	is_in_force(false);
	they_use(droppers.generation);
	is_in_force(true);
	model_dataplane_gone(model);
	is_in_force(false);
	they_use(droppers.generation);
	call_ok("block.remove", "{\"prefix\": \"192.0.2.7\"}");
	wait_until_scopes(7, 0);
	is_in_force(false);
	they_use(0);
	is_in_force(true);
}

static void many_changes_in_a_row_make_few_tables_and_none_is_lost(void **state)
{
	char params[64];
	uint32_t before = droppers.n_sets;

	(void)state;
	for (uint32_t i = 0; i < 200; i++) {
		snprintf(params, sizeof(params), "{\"prefix\": \"192.0.2.%u\"}", i);
		call_ok("block.add", params);
	}
	wait_until_scopes(199, BLOCK_ALL);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(scopes_of(i), BLOCK_ALL);
	assert_true(droppers.n_sets - before <= 2);
}

static void an_entry_that_ends_is_taken_out_in_time(void **state)
{
	(void)state;
	call_ok("block.add", "{\"prefix\": \"192.0.2.7\", \"for\": \"1s\"}");
	call_ok("block.add", "{\"prefix\": \"192.0.2.0/24\", \"scope\": [\"wireguard\"]}");
	wait_until_scopes(7, BLOCK_ALL);
	wait_until_scopes(7, BLOCK_WIREGUARD);
	assert_int_equal(scopes_of(8), BLOCK_WIREGUARD);
}

/* Rows of the block table in the store. */
static int count_row(void *arg, const struct store_block_row *row)
{
	(void)row;
	++*(uint32_t *)arg;
	return 0;
}

static uint32_t n_stored(void)
{
	uint32_t n = 0;

	assert_int_equal(store_block_each(store, count_row, &n), 0);
	return n;
}

static json_int_t n_shown(void)
{
	json_t *result = call("block.list", "{}");
	json_int_t n = (json_int_t)json_array_size(json_object_get(result, "entries"));

	assert_int_equal(json_integer_value(json_object_get(result, "total")), n);
	json_decref(result);
	return n;
}

static void an_entry_that_ended_because_the_clock_was_set_comes_back_with_it(void **state)
{
	const time_t steps_s[] = {3600, 3652 * 86400};

	(void)state;
	call_ok("block.add", "{\"prefix\": \"192.0.2.7\", \"for\": \"10m\"}");
	wait_until_scopes(7, BLOCK_ALL);
	for (size_t i = 0; i < BASE_ARRAY_LEN(steps_s); i++) {
		ahead_s = steps_s[i];
		wait_until_scopes(7, 0);
		assert_int_equal(n_shown(), 0);
		assert_int_equal(n_stored(), 1);
		stop(); /* as if it was killed under the new clock */
		start(false);
		assert_int_equal(scopes_of(7), 0);
		ahead_s = 0;
		wait_until_scopes(7, BLOCK_ALL);
		assert_int_equal(n_shown(), 1);
	}
}

static void a_step_that_control_has_not_seen_yet_forgets_nothing(void **state)
{
	int64_t ahead_ns;

	(void)state;
	call_ok("block.add", "{\"prefix\": \"192.0.2.7\", \"for\": \"3h\"}");
	wait_until_scopes(7, BLOCK_ALL);
	passed_s += 7200; /* settled */
	ahead_s = 3652 * 86400;
	ahead_ns = model->clock.ahead_ns;
	/* The table is made anew by a change, before anybody looks at the clock. */
	call_ok("block.add", "{\"prefix\": \"192.0.2.8\"}");
	wait_until_scopes(7, 0);
	assert_int_equal(n_stored(), 2);
	while (model->clock.ahead_ns - ahead_ns < MODEL_CLOCK_STEP_NS)
		event_base_loop(base, EVLOOP_ONCE);
	ahead_s = 0;
	wait_until_scopes(7, BLOCK_ALL);
}

static void what_ended_is_forgotten_when_the_clock_was_not_set_for_an_hour(void **state)
{
	(void)state;
	call_ok("block.add", "{\"prefix\": \"192.0.2.7\", \"for\": \"10m\"}");
	wait_until_scopes(7, BLOCK_ALL);
	passed_s += 1800;
	call_ok("block.add", "{\"prefix\": \"192.0.2.8\"}");
	wait_until_scopes(7, 0);
	assert_int_equal(n_stored(), 2);
	call_refused("block.remove", "{\"prefix\": \"192.0.2.7\"}", "not_found", "prefix",
	             "prefix: 192.0.2.7 is not listed; block check says what an address is dropped "
	             "by");
	passed_s += 1800;
	call_ok("block.add", "{\"prefix\": \"192.0.2.9\"}");
	wait_until_scopes(9, BLOCK_ALL);
	assert_int_equal(n_stored(), 2);
	assert_int_equal(n_shown(), 2);
}

static void what_the_workers_could_not_take_is_handed_over_again(void **state)
{
	uint32_t before = droppers.n_sets;

	(void)state;
	droppers.err = -ENOMEM;
	call_ok("block.add", "{\"prefix\": \"192.0.2.7\"}");
	while (droppers.n_sets == before)
		event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(scopes_of(7), 0);
	droppers.err = 0;
	wait_until_scopes(7, BLOCK_ALL);
}

static void a_restart_hands_over_what_is_stored_before_anything_else(void **state)
{
	(void)state;
	call_ok("block.add", "{\"prefix\": \"192.0.2.7\"}");
	wait_until_scopes(7, BLOCK_ALL);
	stop();
	free(droppers.table);
	droppers.table = NULL;
	start(false);
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
	json_t *result = call("block.list", "{}");
	const json_t *entry;
	json_int_t hits;

	entry = json_array_get(json_object_get(result, "entries"), row);
	hits = json_integer_value(json_object_get(entry, "hits"));
	assert_int_equal(hits != 0, json_is_string(json_object_get(entry, "last_hit_at")));
	json_decref(result);
	return hits;
}

static void what_is_dropped_counts_for_the_entries_that_it_is_on(void **state)
{
	(void)state;
	call_ok("block.add", "{\"prefix\": \"192.0.2.7\"}");
	call_ok("block.add", "{\"prefix\": \"192.0.2.0/24\", \"source\": \"feed\"}");
	call_ok("block.add", "{\"prefix\": \"2001:db8::/32\", \"scope\": [\"wireguard\"]}");
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

/* block.import of n addresses of 10.0.0.0/8, one a line, and what follows them. */
static json_t *import_params(uint32_t n, const char *tail)
{
	char *text = malloc((size_t)n * 16 + strlen(tail) + 1);
	size_t len = 0;
	json_t *params;

	assert_non_null(text);
	for (uint32_t i = 0; i < n; i++)
		len += (size_t)sprintf(&text[len], "10.%u.%u.%u\n", i >> 16 & 255, i >> 8 & 255,
		                       i & 255);
	len += (size_t)sprintf(&text[len], "%s", tail);
	params = json_pack("{s:{s:s, s:s%}, s:b, s:s, s:s}", "file", "name", "x", "text", text, len,
	                   "replace", 1, "source", "feed", "why", "as every night");
	assert_non_null(params);
	free(text);
	return params;
}

struct answer {
	json_t *result;
	json_t *error;
};

static uint32_t n_answers;

static void on_reply(void *arg, json_t *result, json_t *error)
{
	struct answer *answer = arg;

	assert_null(answer->result);
	assert_null(answer->error);
	assert_true(!result != !error);
	*answer = (struct answer){result, error};
	n_answers++;
}

static void import_begin(json_t *params, struct answer *answer)
{
	json_t *result = NULL;
	json_t *error = NULL;

	*answer = (struct answer){NULL, NULL};
	assert_int_equal(model_call_later(model, "block.import", params, on_reply, answer, &result,
	                                  &error),
	                 MODEL_LATER);
	assert_null(result);
	assert_null(error);
	json_decref(params);
}

static void answer_wait(const struct answer *answer)
{
	while (!answer->result && !answer->error)
		event_base_loop(base, EVLOOP_ONCE);
}

static size_t n_listed(void)
{
	json_t *result = call("block.list", "{}");
	size_t n = (size_t)json_integer_value(json_object_get(result, "total"));

	json_decref(result);
	return n;
}

#define LONG_N 40000U

static void a_long_import_comes_later_at_once_and_after_what_was_done_meanwhile(void **state)
{
	struct answer answer;

	(void)state;
	import_begin(import_params(LONG_N, ""), &answer);
	call_ok("block.add", "{\"prefix\": \"192.0.2.6\", \"source\": \"feed\"}");
	call_ok("block.add", "{\"prefix\": \"192.0.2.7\", \"source\": \"feed\"}");
	call_ok("block.remove", "{\"prefix\": \"192.0.2.6\", \"source\": \"feed\"}");
	call_ok("block.add", "{\"prefix\": \"192.0.2.8\"}");
	assert_int_equal(n_listed(), 2);
	while (!answer.result) {
		assert_null(answer.error);
		assert_int_equal(n_listed(), 2);
		event_base_loop(base, EVLOOP_ONCE);
	}
	/* 192.0.2.7 was the same source's before it */
	assert_int_equal(json_integer_value(json_object_get(answer.result, "replaced")), 1);
	assert_int_equal(n_listed(), LONG_N + 1);
	wait_until_scopes(7, 0);
	wait_until_scopes(8, BLOCK_ALL);
	/* A change while the long table is made is in the next one. */
	call_ok("block.add", "{\"prefix\": \"192.0.2.9\"}");
	wait_until_scopes(9, BLOCK_ALL);
	json_decref(answer.result);
}

static size_t trail_length(void)
{
	json_t *result = call("audit.trail", "{}");
	size_t n = json_array_size(json_object_get(result, "records"));

	json_decref(result);
	return n;
}

static void a_long_import_that_is_refused_changes_nothing(void **state)
{
	static const struct {
		const char *tail;
		const char *code;
		const char *text;
	} cases[] = {
		{"192.0.2.300\n", "invalid", "x:40001: "},
		{"10.77.0.1\n", "locked_out", "10.77.0.1/32 has 10.77.0.1 in it"},
		{"0.0.0.0/0\n", "locked_out", "0.0.0.0/0 is everybody"},
	};
	struct answer answer;

	(void)state;
	call_ok("block.add", "{\"prefix\": \"192.0.2.7\", \"source\": \"feed\"}");
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		const char *text;

		import_begin(import_params(LONG_N, cases[i].tail), &answer);
		answer_wait(&answer);
		assert_null(answer.result);
		text = json_string_value(json_object_get(answer.error, "message"));
		if (strncmp(text, cases[i].text, strlen(cases[i].text)) != 0)
			fail_msg("%s instead of %s", text, cases[i].text);
		assert_string_equal(json_string_value(json_object_get(answer.error, "code")),
		                    cases[i].code);
		json_decref(answer.error);
		assert_int_equal(n_listed(), 1);
	}
	assert_int_equal(trail_length(), 1);
}

static json_int_t counter(const char *group, const char *name)
{
	json_t *result = call("counters", "{}");
	json_int_t n = json_integer_value(json_object_get(json_object_get(result, group), name));

	json_decref(result);
	return n;
}

static void imports_wait_for_each_other_and_too_many_are_refused(void **state)
{
	struct answer answers[8];
	json_t *params = import_params(LONG_N, "");
	json_t *result = NULL;
	json_t *error = NULL;

	(void)state;
	n_answers = 0;
	for (uint32_t i = 0; i < 8; i++)
		import_begin(import_params(LONG_N + i, ""), &answers[i]);
	assert_int_equal(counter("control", "refused_block_imports"), 0);
	assert_int_equal(model_call_later(model, "block.import", params, on_reply, NULL, &result,
	                                  &error),
	                 -EBUSY);
	assert_string_equal(json_string_value(json_object_get(error, "code")), "busy");
	json_decref(error);
	json_decref(params);
	assert_int_equal(counter("control", "refused_block_imports"), 1);
	assert_int_equal(counter("gauges", "block_imports"), 8);
	model_forget(model, &answers[3]);
	while (n_answers < 7)
		event_base_loop(base, EVLOOP_ONCE);
	assert_null(answers[3].result);
	assert_int_equal(n_listed(), LONG_N + 7);
	assert_int_equal(trail_length(), 8);
	assert_int_equal(counter("gauges", "block_imports"), 0);
	for (uint32_t i = 0; i < 8; i++)
		json_decref(answers[i].result);
}

static void an_import_that_is_cut_short_by_the_end_has_changed_nothing(void **state)
{
	struct answer answers[2];

	(void)state;
	call_ok("block.add", "{\"prefix\": \"192.0.2.7\", \"source\": \"feed\"}");
	import_begin(import_params(LONG_N, ""), &answers[0]);
	import_begin(import_params(LONG_N, ""), &answers[1]);
	stop();
	start(false);
	for (int i = 0; i < 2; i++)
		assert_true(!answers[i].result && !answers[i].error);
	assert_int_equal(n_listed(), 1);
	assert_int_equal(trail_length(), 1);
}

static void a_long_import_is_one_record_of_who_asked_and_reads_as_a_short_one(void **state)
{
	static const char *const same[] = {"actor", "operation", "object", "summary", "comment"};
	json_t *params = import_params(LONG_N, "");
	json_t *result = NULL;
	json_t *error = NULL;
	struct answer answer;
	json_t *trail;

	(void)state;
	/* At once, as without anybody who can wait; the list is empty before both. */
	model_caller_set(model, 1000, 77);
	assert_int_equal(model_call(model, "block.import", params, &result, &error), 0);
	json_decref(result);
	json_decref(params);
	call_ok("block.clear", "{\"source\": \"feed\"}");

	import_begin(import_params(LONG_N, ""), &answer);
	assert_int_equal(trail_length(), 2);
	model_caller_set(model, 0, 99); /* somebody else asks for something else meanwhile */
	call_ok("block.add", "{\"prefix\": \"192.0.2.7\"}");
	answer_wait(&answer);
	json_decref(answer.result);
	assert_int_equal(trail_length(), 4);
	trail = call("audit.trail", "{}");
	for (size_t i = 0; i < BASE_ARRAY_LEN(same); i++) {
		const json_t *records = json_object_get(trail, "records");
		const char *at_once = json_string_value(
			json_object_get(json_array_get(records, 0), same[i]));
		const char *later = json_string_value(
			json_object_get(json_array_get(records, 3), same[i]));

		assert_string_equal(at_once, later);
		if (i == 0)
			assert_string_equal(later, "uid=1000 pid=77");
		if (i == 3)
			assert_non_null(strstr(later, " sha256="));
		if (i == 4)
			assert_string_equal(later, "as every night");
	}
	json_decref(trail);
	trail = call("audit.verify", "{}");
	assert_true(json_is_false(json_object_get(trail, "failed")));
	json_decref(trail);
}

#define WITH_WORKERS(f)                                                                            \
	cmocka_unit_test_setup_teardown(f, set_up_with_workers, tear_down_with_workers)

static void an_end_in_a_thousand_years_is_shown_as_it_was_said(void **state)
{
	json_t *result;

	(void)state;
	result = call("block.add",
	              "{\"prefix\": \"192.0.2.7\", \"until\": \"2999-01-01T00:00:00Z\"}");
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(result, "entry"), "until")),
		"2999-01-01T00:00:00Z");
	json_decref(result);
}

/* And leaves nothing behind (which AddressSanitizer sees). */
static void a_cursor_that_is_none_is_refused(void **state)
{
	(void)state;
	call_refused("block.list", "{\"cursor\": \"here\"}", "bad_argument", "cursor",
	             "cursor is \"here\", must be \"next\" of the page before");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_WORKERS(without_entries_the_workers_have_no_table),
		WITH_WORKERS(lists_are_in_force_when_the_workers_say_so_also_the_empty_one),
		WITH_WORKERS(many_changes_in_a_row_make_few_tables_and_none_is_lost),
		WITH_WORKERS(what_is_dropped_counts_for_the_entries_that_it_is_on),
		WITH_WORKERS(an_entry_that_ends_is_taken_out_in_time),
		WITH_WORKERS(an_entry_that_ended_because_the_clock_was_set_comes_back_with_it),
		WITH_WORKERS(a_step_that_control_has_not_seen_yet_forgets_nothing),
		WITH_WORKERS(what_ended_is_forgotten_when_the_clock_was_not_set_for_an_hour),
		WITH_WORKERS(what_the_workers_could_not_take_is_handed_over_again),
		WITH_WORKERS(a_restart_hands_over_what_is_stored_before_anything_else),
		WITH_WORKERS(a_long_import_comes_later_at_once_and_after_what_was_done_meanwhile),
		WITH_WORKERS(a_long_import_that_is_refused_changes_nothing),
		WITH_WORKERS(imports_wait_for_each_other_and_too_many_are_refused),
		WITH_WORKERS(an_import_that_is_cut_short_by_the_end_has_changed_nothing),
		WITH_WORKERS(a_long_import_is_one_record_of_who_asked_and_reads_as_a_short_one),
		WITH_WORKERS(an_end_in_a_thousand_years_is_shown_as_it_was_said),
		WITH_WORKERS(a_cursor_that_is_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
