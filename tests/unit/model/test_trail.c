/* The audit trail as a whole: a long one is read bit by bit while others are answered, and it does not grow beyond what
 * it may. */
#include "model_lab.h"
#include "store_block.h"
#include "store_trail.h"
#include "test_clock.h"

#include <sqlite3.h>

#include <time.h>

#define LONG_N 7000U

/* So many records, of lists that come and go, in one transaction. */
static void add_records(uint32_t n)
{
	struct store_block_row row = {
		.source = "feed", .reason = "", .author = "root", .prefixes = "x", .len = 1};

	assert_int_equal(store_begin(store), 0);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(store_block_add(store, &row), 0);
		assert_int_equal(store_block_drop(store, row.id), 0);
	}
	assert_int_equal(store_end(store, true), 0);
}

static uint64_t n_records(void)
{
	uint64_t n, first_ns;

	assert_int_equal(store_trail_size(store, &n, &first_ns), 0);
	return n;
}

static json_int_t number_of(const json_t *json, const char *name)
{
	return json_integer_value(json_object_get(json, name));
}

/* It is as it was written, and so long. */
static void is_good(uint64_t n)
{
	json_t *result = call("audit.verify", "{}");

	assert_true(json_is_false(json_object_get(result, "failed")));
	assert_int_equal(number_of(result, "records"), n);
	assert_int_equal(n_records(), n);
	json_decref(result);
}

static json_t *answered;

static void on_reply(void *arg, json_t *result, json_t *error)
{
	(void)arg;
	assert_true(!result != !error);
	answered = result ? result : error;
}

static void begin(const char *method, const char *params_text)
{
	json_t *params = json_loads(params_text, 0, NULL);
	json_t *result = NULL;
	json_t *error = NULL;

	answered = NULL;
	assert_int_equal(model_call_later(model, method, params, on_reply, NULL, &result, &error),
	                 MODEL_LATER);
	json_decref(params);
}

static uint32_t turns_until_answered(void)
{
	uint32_t n = 0;

	for (; !answered; n++)
		event_base_loop(base, EVLOOP_ONCE);
	return n;
}

static int set_up_with_model(void **state)
{
	int err = set_up(state);

	if (err == 0)
		start(false);
	return err;
}

static int tear_down_with_model(void **state)
{
	stop();
	return tear_down(state);
}

static void a_long_trail_is_verified_while_others_are_answered(void **state)
{
	(void)state;
	add_records(LONG_N);
	begin("audit.verify", "{}");
	event_base_loop(base, EVLOOP_ONCE);
	event_base_loop(base, EVLOOP_ONCE);
	assert_null(answered);
	call_ok("block.add", "{\"prefix\": \"192.0.2.7\"}");
	assert_true(turns_until_answered() >= 4);
	assert_int_equal(number_of(answered, "records"), LONG_N + 1);
	assert_true(json_is_false(json_object_get(answered, "failed")));
	assert_true(json_is_null(json_object_get(answered, "taken_out")));
	json_decref(answered);
	/* Whoever cannot wait gets the same. */
	is_good(LONG_N + 1);
}

static void a_long_part_is_taken_out_later_and_is_a_record_of_who_asked(void **state)
{
	json_t *trail;
	const json_t *last;

	(void)state;
	add_records(LONG_N);
	model_caller_set(model, 1000, 77);
	begin("audit.prune", "{\"keep\": 100, \"why\": \"disk\"}");
	model_caller_set(model, 0, 99);
	call_ok("block.add", "{\"prefix\": \"192.0.2.7\"}");
	turns_until_answered();
	assert_int_equal(number_of(answered, "taken_out"), LONG_N - 100);
	assert_int_equal(number_of(answered, "sequence"), LONG_N - 100);
	is_good(102); /* with that of the drop list, and that of taking out */
	trail = call("audit.trail", "{\"last\": 1}");
	last = json_array_get(json_object_get(trail, "records"), 0);
	assert_string_equal(json_string_value(json_object_get(last, "actor")), "uid=1000 pid=77");
	assert_string_equal(json_string_value(json_object_get(last, "operation")), "audit.prune");
	assert_string_equal(json_string_value(json_object_get(last, "comment")), "disk");
	assert_non_null(strstr(json_string_value(json_object_get(last, "summary")),
	                       json_string_value(json_object_get(answered, "hash"))));
	json_decref(trail);
	json_decref(answered);
	/* The next start frees what was not yet, and finds the same. */
	stop();
	start(false);
	for (int i = 0; i < 40; i++)
		event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	is_good(102);
}

static void what_is_cut_short_by_the_end_has_taken_out_nothing(void **state)
{
	(void)state;
	add_records(LONG_N);
	begin("audit.prune", "{\"keep\": 100}");
	begin("audit.verify", "{}");
	event_base_loop(base, EVLOOP_ONCE);
	stop();
	assert_null(answered);
	start(false);
	is_good(LONG_N);
}

static void two_at_once_take_out_what_both_want(void **state)
{
	(void)state;
	add_records(LONG_N);
	begin("audit.prune", "{\"keep\": 1000}");
	event_base_loop(base, EVLOOP_ONCE);
	call_ok("audit.prune", "{\"keep\": 5000}");
	turns_until_answered();
	assert_int_equal(number_of(answered, "sequence"), LONG_N - 1000);
	json_decref(answered);
	is_good(1002);
	/* What is gone already is not taken out again. */
	add_records(LONG_N);
	begin("audit.prune", "{\"keep\": 6000}");
	event_base_loop(base, EVLOOP_ONCE);
	call_ok("audit.prune", "{\"keep\": 100}");
	turns_until_answered();
	assert_string_equal(json_string_value(json_object_get(answered, "code")), "not_found");
	json_decref(answered);
	is_good(101);
}

static void nonsense_is_refused_and_leaves_no_record(void **state)
{
	static const char either[] = "give either before or keep";
	static const char none[] = "there are no records that old, or that many";

	(void)state;
	add_records(10);
	call_refused("audit.prune", "{}", "bad_argument", "before", either);
	call_refused("audit.prune", "{\"keep\": 1, \"before\": \"2026-01-01T00:00:00Z\"}",
	             "bad_argument", "keep", either);
	call_refused("audit.prune", "{\"before\": \"2999-01-01T00:00:00Z\"}", "bad_argument",
	             "before", "before is 2999-01-01T00:00:00Z, must be a time that has been");
	/* beyond what nanoseconds can say */
	call_refused("audit.prune", "{\"before\": \"2560-01-01T00:00:00Z\"}", "bad_argument",
	             "before", "before is 2560-01-01T00:00:00Z, must be a time that has been");
	call_refused("audit.prune", "{\"before\": \"2001-01-01T00:00:00Z\"}", "not_found", "",
	             none);
	call_refused("audit.prune", "{\"keep\": 10}", "not_found", "", none);
	is_good(10);
	call_ok("audit.prune", "{\"keep\": 0}");
	is_good(1);
}

static void a_trail_that_was_changed_is_not_taken_out(void **state)
{
	sqlite3 *db;

	(void)state;
	config.trail_records = 5;
	add_records(10);
	stop();
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db,
	                              "DROP TRIGGER trail_update;"
	                              "UPDATE trail SET actor = 'x' WHERE sequence = 2",
	                              NULL, NULL, NULL),
	                 SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	start(false);
	for (int i = 0; i < 20; i++) /* the hub would, by itself */
		event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	call_refused("audit.prune", "{\"keep\": 5}", "invalid", "",
	             "record 2: it is not as it was written; nothing is taken out of a trail that "
	             "is not as it was written");
	assert_int_equal(n_records(), 10);
}

static void the_hub_keeps_it_as_short_as_it_is_told(void **state)
{
	static const struct {
		uint32_t records;
		uint32_t n;
		uint64_t left;
	} cases[] = {{100, 100, 100}, {100, 101, 90}, {20, 7000, 18}, {1, 50, 1}, {0, 300, 300}};
	json_t *trail;

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		if (n_records() > 0 && cases[i].n > 0) {
			tear_down_with_model(state);
			set_up_with_model(state);
		}
		add_records(cases[i].n);
		stop();
		config.trail_records = cases[i].records;
		start(false);
		for (int turn = 0; turn < 60; turn++)
			event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		is_good(cases[i].left);
		if (cases[i].left == cases[i].n)
			continue;
		trail = call("audit.trail", "{\"last\": 1}");
		assert_string_equal(
			json_string_value(json_object_get(
				json_array_get(json_object_get(trail, "records"), 0), "actor")),
			"hub");
		json_decref(trail);
	}
}

/* Start again, let so much time pass, and give the hub the time to look. */
static void look_after(time_t seconds)
{
	stop();
	start(false);
	passed_s += seconds;
	for (int turn = 0; turn < 20; turn++)
		event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void look(void)
{
	look_after(86400);
}

static void what_is_too_old_goes_once_a_day(void **state)
{
	const time_t day_s = 86400;

	(void)state;
	config.trail_records = 1000000;
	config.trail_days = 30;
	add_records(10);
	ahead_s = 20 * day_s;
	add_records(5);
	ahead_s = 29 * day_s + 3600;
	look();
	is_good(15); /* too old, but not for a day */
	look_after(86399);
	is_good(15);
	ahead_s += 1;
	look();
	is_good(6); /* five, and the record of it */
	look();
	is_good(6);
	ahead_s = 0; /* the clock is set back: nothing is old */
	look();
	is_good(6);
	config.trail_days = 0;
	ahead_s = 40000 * day_s;
	look();
	is_good(6);
	ahead_s = 0;
}

static void a_clock_that_was_set_takes_nothing_out_for_a_day(void **state)
{
	const time_t ten_years_s = 3652 * 86400;

	(void)state;
	config.trail_records = 1000000;
	config.trail_days = 30;
	add_records(10);
	/* Set before control starts, and while it runs. */
	ahead_s = ten_years_s;
	look_after(0);
	look_after(86399);
	is_good(10);
	ahead_s = 0;
	stop();
	start(false);
	passed_s += 2 * 86400;
	ahead_s = ten_years_s;
	for (int turn = 0; turn < 20; turn++)
		event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	is_good(10);
	look(); /* it is the right time, then */
	is_good(1);
	config.trail_days = 0;
	ahead_s = 0;
}

#define WITH_MODEL(f) cmocka_unit_test_setup_teardown(f, set_up_with_model, tear_down_with_model)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_MODEL(a_long_trail_is_verified_while_others_are_answered),
		WITH_MODEL(a_long_part_is_taken_out_later_and_is_a_record_of_who_asked),
		WITH_MODEL(what_is_cut_short_by_the_end_has_taken_out_nothing),
		WITH_MODEL(two_at_once_take_out_what_both_want),
		WITH_MODEL(nonsense_is_refused_and_leaves_no_record),
		WITH_MODEL(a_trail_that_was_changed_is_not_taken_out),
		WITH_MODEL(what_is_too_old_goes_once_a_day),
		WITH_MODEL(a_clock_that_was_set_takes_nothing_out_for_a_day),
		WITH_MODEL(the_hub_keeps_it_as_short_as_it_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
