/* control/limit: amounts and limits as text, months, and what was used of a quota over restarts. */
#include "base_text.h"
#include "limit.h"
#include "test.h"

#include <errno.h>
#include <string.h>

static void amounts_have_units(void **state)
{
	static const struct {
		const char *text;
		bool bits;
		int err;
		uint64_t value;
	} cases[] = {
		{"0", false, 0, 0},
		{"5000", false, 0, 5000},
		{"20k", false, 0, 20000},
		{"20K", false, 0, 20000},
		{"1M", false, 0, 1000000},
		{"64Ki", false, 0, 65536},
		{"2Gi", false, 0, UINT64_C(2) << 30},
		{"1Ti", false, 0, UINT64_C(1) << 40},
		{"20Mbit", true, 0, 2500000},
		{"400Gbit", true, 0, ABI_LIMIT_BYTES_MAX},
		{"8bit", true, 0, 1},
		{"9223372036854775807", false, 0, INT64_MAX},
		{"9bit", true, -EINVAL, 0},
		{"20Mbit", false, -EINVAL, 0},
		{"", true, -EINVAL, 0},
		{"k", true, -EINVAL, 0},
		{"-1", true, -EINVAL, 0},
		{" 1", true, -EINVAL, 0},
		{"1.5M", true, -EINVAL, 0},
		{"1MM", true, -EINVAL, 0},
		{"1Mb", true, -EINVAL, 0},
		{"9223372036854775808", false, -ERANGE, 0},
		{"99999999999999999999", false, -ERANGE, 0},
		{"9999999999T", false, -ERANGE, 0},
	};
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		value = 0;
		assert_int_equal(base_amount_parse(cases[i].text, cases[i].bits, &value),
		                 cases[i].err);
		assert_int_equal(value, cases[i].value);
	}
}

static void fields_have_ranges(void **state)
{
	struct limit_spec spec = {0};

	(void)state;
	for (size_t i = 0; i < LIMIT_N_FIELDS; i++) {
		const struct limit_field *field = &limit_fields[i];

		assert_ptr_equal(limit_field_find(field->name), field);
		assert_int_equal(limit_field_set(field, &spec, field->max), 0);
		assert_int_equal(limit_field_get(field, &spec), field->max);
		assert_int_equal(limit_field_set(field, &spec, field->max + 1), -ERANGE);
		assert_int_equal(limit_field_set(field, &spec, field->min), 0);
		if (field->min > 1)
			assert_int_equal(limit_field_set(field, &spec, field->min - 1), -ERANGE);
		assert_int_equal(limit_field_get(field, &spec), field->min);
		assert_int_equal(limit_field_set(field, &spec, 0), 0);
	}
	assert_true(limit_spec_is_none(&spec));
	assert_null(limit_field_find("rx"));
}

static void limits_are_read_as_they_were_written(void **state)
{
	struct limit_spec spec = {.rx.bytes = 2500000, .tx.packets = 7, .quota = 1}, back;
	char text[LIMIT_TEXT_LEN];

	(void)state;
	limit_spec_format(&spec, text);
	assert_string_equal(text, "rx_bytes=2500000 tx_packets=7 quota=1");
	assert_int_equal(limit_spec_read(text, &back), 0);
	assert_memory_equal(&back, &spec, sizeof(spec));
	for (size_t i = 0; i < LIMIT_N_FIELDS; i++)
		assert_int_equal(limit_field_set(&limit_fields[i], &spec, limit_fields[i].max), 0);
	limit_spec_format(&spec, text);
	assert_int_equal(limit_spec_read(text, &back), 0);
	assert_memory_equal(&back, &spec, sizeof(spec));
	assert_int_equal(limit_spec_read("rx_bytes=1 tx=2", &back), -EUCLEAN);
	assert_int_equal(limit_spec_read("rx_bytes", &back), -EUCLEAN);
	assert_int_equal(limit_spec_read("rx_bytes_burst=9216", &back), -EUCLEAN);
	assert_int_equal(limit_spec_read("", &back), 0);
	assert_true(limit_spec_is_none(&back));
}

static void a_burst_is_a_tenth_of_a_second_unless_it_is_said(void **state)
{
	struct limit_spec spec = {.rx = {.packets = 5, .bytes = 10000000},
	                          .tx = {.packets = 1000, .bytes = 1, .bytes_burst = 9216}};
	struct limit_spec whole = limit_spec_complete(&spec);

	(void)state;
	assert_int_equal(whole.rx.packets_burst, 32);
	assert_int_equal(whole.rx.bytes_burst, 1000000);
	assert_int_equal(whole.tx.packets_burst, 100);
	assert_int_equal(whole.tx.bytes_burst, 9216);
	assert_null(limit_spec_stray(&spec));
	spec.tx.bytes = 0;
	assert_string_equal(limit_spec_stray(&spec)->name, "tx_bytes_burst");
}

#define DAY 86400

static void months_begin_at_midnight_utc_of_the_day(void **state)
{
	static const int64_t nov_21 = 1795250000; /* 2026-11-21 08:33:20 UTC */
	static const int64_t nov_1 = 1793491200;
	static const int64_t jan_1 = 1798761600; /* 2027 */

	(void)state;
	assert_int_equal(limit_period_start(nov_21, 1), nov_1);
	assert_int_equal(limit_period_start(nov_1, 1), nov_1);
	assert_int_equal(limit_period_start(nov_1 - 1, 1), nov_1 - 31 * DAY);
	assert_int_equal(limit_period_start(nov_21, 21), nov_1 + 20 * DAY);
	assert_int_equal(limit_period_start(nov_21, 22), nov_1 - 10 * DAY); /* October 22 */
	assert_int_equal(limit_period_start(jan_1 + DAY, 28), jan_1 - 4 * DAY);
	assert_int_equal(limit_period_end(nov_1), nov_1 + 30 * DAY);
	assert_int_equal(limit_period_end(jan_1 - 31 * DAY), jan_1);
}

static void what_passed_is_counted_over_restarts(void **state)
{
	struct limit_meter meter = {0};

	(void)state;
	assert_true(limit_meter_look(&meter, 7, 100, 10, 1000));
	assert_false(limit_meter_look(&meter, 7, 100, 10, 1000));
	assert_true(limit_meter_look(&meter, 7, 150, 10, 1000));
	assert_int_equal(meter.rx, 150);
	/* Control was away: the counters went on. */
	assert_true(limit_meter_look(&meter, 7, 400, 20, 1000));
	assert_int_equal(meter.rx, 400);
	/* Both were: another region, whose counters began at nothing. */
	assert_true(limit_meter_look(&meter, 8, 50, 0, 1000));
	assert_int_equal(meter.rx, 450);
	assert_int_equal(meter.tx, 20);
	/* The peer went and came back. */
	assert_true(limit_meter_look(&meter, 8, 5, 0, 1000));
	assert_int_equal(meter.rx, 455);
}

static void a_month_begins_with_what_passed_since_the_last_look(void **state)
{
	struct limit_meter meter = {0};

	(void)state;
	assert_true(limit_meter_look(&meter, 7, 100, 10, 1000));
	assert_true(limit_meter_look(&meter, 7, 130, 10, 2000));
	assert_int_equal(meter.rx, 30);
	assert_int_equal(meter.tx, 0);
}

static void expect_use(struct limit_meter *meter, int64_t period_s, uint64_t rx_seen, uint64_t rx,
                       uint64_t tx)
{
	(void)limit_meter_look(meter, 7, rx_seen, 10, period_s);
	assert_int_equal(meter->period_s, period_s);
	assert_int_equal(meter->rx, rx);
	assert_int_equal(meter->tx, tx);
	assert_false(limit_meter_look(meter, 7, rx_seen, 10, period_s));
}

static void a_month_that_comes_again_has_what_was_used_in_it(void **state)
{
	struct limit_meter meter = {0};

	(void)state;
	expect_use(&meter, 5000, 100, 100, 10);
	/* Set ten years on, and back: every byte is of one month. */
	expect_use(&meter, 90000, 100, 0, 0);
	expect_use(&meter, 90000, 130, 30, 0);
	expect_use(&meter, 5000, 130, 100, 10);
	expect_use(&meter, 5000, 150, 120, 10);
	expect_use(&meter, 90000, 150, 30, 0);
	expect_use(&meter, 5000, 150, 120, 10);
	/* Ten years back, where it never was: nobody has a quota anew. */
	expect_use(&meter, 1000, 150, 120, 10);
	expect_use(&meter, 1000, 200, 170, 10);
	expect_use(&meter, 0, 200, 170, 10); /* 1970 */
	expect_use(&meter, 5000, 200, 120, 10);
	/* Months come as they do. */
	for (int64_t month = 6000; month < 20000; month += 1000)
		expect_use(&meter, month, 200, 0, 0);
	expect_use(&meter, 19000, 300, 100, 0);
	expect_use(&meter, 20000, 300, 0, 0);
	expect_use(&meter, 19000, 300, 100, 0);
}

static void a_hub_that_began_in_a_time_to_come_goes_on_in_the_right_one(void **state)
{
	struct limit_meter meter = {0};

	(void)state;
	expect_use(&meter, 90000, 100, 100, 10);
	expect_use(&meter, 5000, 100, 100, 10);
	expect_use(&meter, 6000, 100, 0, 0);
}

static void workers_stop_where_the_quota_ends(void **state)
{
	struct limit_spec spec = {.quota_rx = 1000, .quota = 1500};
	struct limit_meter meter = {.rx = 400, .tx = 600};

	(void)state;
	assert_int_equal(limit_until(0, 400, 77), ABI_QUOTA_NONE);
	assert_int_equal(limit_until(1000, 400, 5000), 5600);
	assert_int_equal(limit_until(1000, 1000, 5000), 5000);
	assert_int_equal(limit_until(1000, 2000, 5000), 5000);
	assert_false(limit_is_reached(&spec, &meter));
	meter.tx = 1100;
	assert_true(limit_is_reached(&spec, &meter));
	meter = (struct limit_meter){.rx = 1000};
	assert_true(limit_is_reached(&spec, &meter));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(amounts_have_units),
		cmocka_unit_test(fields_have_ranges),
		cmocka_unit_test(limits_are_read_as_they_were_written),
		cmocka_unit_test(a_burst_is_a_tenth_of_a_second_unless_it_is_said),
		cmocka_unit_test(months_begin_at_midnight_utc_of_the_day),
		cmocka_unit_test(what_passed_is_counted_over_restarts),
		cmocka_unit_test(a_month_begins_with_what_passed_since_the_last_look),
		cmocka_unit_test(a_month_that_comes_again_has_what_was_used_in_it),
		cmocka_unit_test(a_hub_that_began_in_a_time_to_come_goes_on_in_the_right_one),
		cmocka_unit_test(workers_stop_where_the_quota_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
