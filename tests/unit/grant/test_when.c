/* control/grant: time zones against known facts and libc, windows as intervals against the clocks. */
#include "base_bytes.h"
#include "grant_part.h"
#include "grant_when.h"
#include "grant_zone.h"
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t at(const char *text)
{
	uint64_t time_s;

	assert_int_equal(grant_time_parse(text, &time_s), 0);
	return time_s;
}

static void berlin_changes_its_clocks_when_it_does(void **state)
{
	const struct grant_zone *zone = grant_zone_find("Europe/Berlin");
	int64_t until;

	(void)state;
	assert_non_null(zone);
	assert_ptr_equal(grant_zone_find("Europe/Berlin"), zone);
	assert_int_equal(grant_zone_offset(zone, (int64_t)at("2026-03-29T00:59:59Z"), &until),
	                 3600);
	assert_int_equal(until, (int64_t)at("2026-03-29T01:00:00Z"));
	assert_int_equal(grant_zone_offset(zone, (int64_t)at("2026-03-29T01:00:00Z"), &until),
	                 7200);
	assert_int_equal(until, (int64_t)at("2026-10-25T01:00:00Z"));
	/* behind the last entry of the file, by its rule */
	assert_int_equal(grant_zone_offset(zone, (int64_t)at("2060-03-28T00:59:59Z"), &until),
	                 3600);
	assert_int_equal(until, (int64_t)at("2060-03-28T01:00:00Z"));
	assert_int_equal(grant_zone_offset(zone, (int64_t)at("2060-07-01T00:00:00Z"), &until),
	                 7200);
	assert_int_equal(until, (int64_t)at("2060-10-31T01:00:00Z"));
}

static void every_zone_agrees_with_libc(void **state)
{
	static const char *const names[] = {
		"Europe/Berlin",     "America/New_York",  "Australia/Lord_Howe", "Asia/Kolkata",
		"Africa/Casablanca", "America/Sao_Paulo", "Pacific/Apia",        "Europe/Dublin",
		"Antarctica/Troll",  "Asia/Kathmandu",    "America/St_Johns",    "Pacific/Auckland",
		"Africa/Cairo",      "America/Godthab",   "Asia/Jerusalem",      "UTC",
	};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(names); i++) {
		const struct grant_zone *zone = grant_zone_find(names[i]);

		assert_non_null(zone);
		setenv("TZ", names[i], 1);
		tzset();
		/* 1975 to 2100 in steps that walk through the day */
		for (int64_t t = 157766400; t < 4102444800; t += 86400 * 3 + 3571) {
			time_t libc = (time_t)t;
			struct tm tm;

			localtime_r(&libc, &tm);
			if (grant_zone_offset(zone, t, NULL) != (int32_t)tm.tm_gmtoff)
				fail_msg("%s at %lld: %d, libc %ld", names[i], (long long)t,
				         grant_zone_offset(zone, t, NULL), tm.tm_gmtoff);
		}
	}
	unsetenv("TZ");
}

static struct grant windowed(const char *a, const char *b)
{
	struct grant grant = {.name = "g"};

	assert_int_equal(grant_window_parse(a, &grant.windows[grant.n_windows++]), 0);
	if (b)
		assert_int_equal(grant_window_parse(b, &grant.windows[grant.n_windows++]), 0);
	return grant;
}

static void a_window_over_midnight_belongs_to_the_day_it_begins_on(void **state)
{
	struct grant grant = windowed("fri 22:00-06:00 Europe/Berlin", NULL);
	struct grant_interval intervals[4];

	(void)state;
	assert_false(grant_holds(&grant, at("2026-11-20T20:59:59Z"))); /* a Friday */
	assert_true(grant_holds(&grant, at("2026-11-20T21:00:00Z")));
	assert_true(grant_holds(&grant, at("2026-11-21T04:59:59Z")));
	assert_false(grant_holds(&grant, at("2026-11-21T05:00:00Z")));
	assert_false(grant_holds(&grant, at("2026-11-21T21:00:00Z")));
	assert_false(grant_holds(&grant, at("2026-11-20T04:00:00Z")));
	assert_int_equal(grant_intervals(&grant, at("2026-11-20T00:00:00Z"),
	                                 at("2026-11-24T00:00:00Z"), intervals, 4),
	                 1);
	assert_int_equal(intervals[0].from_s, at("2026-11-20T21:00:00Z"));
	assert_int_equal(intervals[0].until_s, at("2026-11-21T05:00:00Z"));
}

static void from_and_until_alone_are_one_interval(void **state)
{
	struct grant grant = {.from_s = at("2030-01-01T00:00:00Z")};
	struct grant_interval interval;

	(void)state;
	assert_int_equal(grant_intervals(&grant, 1, 2, &interval, 1), 1);
	assert_int_equal(interval.from_s, grant.from_s);
	assert_int_equal(interval.until_s, UINT64_MAX);
	assert_false(grant_holds(&grant, grant.from_s - 1));
	assert_true(grant_holds(&grant, grant.from_s));
	grant.until_s = grant.from_s + 10;
	assert_true(grant_holds(&grant, grant.from_s + 9));
	assert_false(grant_holds(&grant, grant.from_s + 10));
}

static void too_many_intervals_are_an_answer(void **state)
{
	struct grant grant = windowed("mon-sun 08:00-09:00 UTC", NULL);
	struct grant_interval intervals[4];

	(void)state;
	assert_int_equal(grant_intervals(&grant, at("2026-11-20T00:00:00Z"),
	                                 at("2026-11-30T00:00:00Z"), intervals, 4),
	                 -E2BIG);
}

/* Random windows in zones that change their clocks in the stretch: at each minute, the intervals say
 * what the clocks say. */
static void intervals_agree_with_the_clocks_minute_by_minute(void **state)
{
	static const char *const zones[] = {"Europe/Berlin", "America/New_York", "UTC",
	                                    "Australia/Lord_Howe", "Asia/Kolkata"};
	struct test_random random = test_random_start();

	(void)state;
	for (int round = 0; round < 60; round++) {
		struct grant grant = {.name = "g",
		                      .n_windows = (uint32_t)(1 + test_random_below(&random, 3))};
		struct grant_interval intervals[200];
		/* around the changes of March or October and November */
		uint64_t begin = at(test_random_below(&random, 2) ? "2026-03-20T00:00:00Z"
		                                                  : "2026-10-22T00:00:00Z");
		uint64_t end = begin + 14 * 86400;
		int n, i = 0;

		for (uint32_t w = 0; w < grant.n_windows; w++) {
			struct grant_window *window = &grant.windows[w];

			window->days = (uint8_t)(1 + test_random_below(&random, 127));
			window->from_min = (uint16_t)(test_random_below(&random, 1440));
			window->until_min = (uint16_t)(test_random_below(&random, 4)
			                                       ? test_random_below(&random, 1441)
			                                       : window->from_min);
			snprintf(window->zone, sizeof(window->zone), "%s",
			         zones[test_random_below(&random, 5)]);
		}
		if (test_random_below(&random, 3) == 0)
			grant.from_s = begin + (uint64_t)(test_random_below(&random, 1000000));
		if (test_random_below(&random, 3) == 0)
			grant.until_s = begin + (uint64_t)(test_random_below(&random, 1000000))
			                + grant.from_s % 7;
		if (grant.until_s != 0 && grant.until_s <= grant.from_s)
			grant.until_s = 0;
		n = grant_intervals(&grant, begin, end, intervals, BASE_ARRAY_LEN(intervals));
		assert_true(n >= 0);
		for (uint64_t t = begin; t < end; t += 60) {
			bool inside;

			while (i < n && intervals[i].until_s <= t)
				i++;
			inside = i < n && intervals[i].from_s <= t;
			if (inside != grant_holds(&grant, t))
				fail_msg("round %d at %llu: interval %d, clocks %d", round,
				         (unsigned long long)t, inside, grant_holds(&grant, t));
		}
		for (int k = 1; k < n; k++)
			assert_true(intervals[k - 1].until_s < intervals[k].from_s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(berlin_changes_its_clocks_when_it_does),
		cmocka_unit_test(every_zone_agrees_with_libc),
		cmocka_unit_test(a_window_over_midnight_belongs_to_the_day_it_begins_on),
		cmocka_unit_test(from_and_until_alone_are_one_interval),
		cmocka_unit_test(too_many_intervals_are_an_answer),
		cmocka_unit_test(intervals_agree_with_the_clocks_minute_by_minute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
