#include "pktgen_hist.h"
#include "test.h"

#include <string.h>

static struct pktgen_hist hist;

static int reset(void **state)
{
	(void)state;
	memset(&hist, 0, sizeof(hist));
	return 0;
}

static void nothing_has_no_percentile(void **state)
{
	(void)state;
	assert_int_equal(pktgen_hist_percentile(&hist, 0.5), 0);
	assert_true(pktgen_hist_mean(&hist) < 1e-9);
}

static void buckets_follow_each_other_without_gap(void **state)
{
	uint64_t value = 0;

	(void)state;
	for (uint32_t i = 0; i < PKTGEN_HIST_BUCKETS - 1; i++) {
		assert_int_equal(pktgen_hist_bucket(value), i);
		value = pktgen_hist_bucket_max(i);
		assert_int_equal(pktgen_hist_bucket(value), i);
		value++;
	}
}

static void a_bucket_is_no_wider_than_a_64th_of_its_values(void **state)
{
	(void)state;
	for (uint32_t i = 1; i < PKTGEN_HIST_BUCKETS - 1; i++) {
		uint64_t low = pktgen_hist_bucket_max(i - 1) + 1, high = pktgen_hist_bucket_max(i);

		assert_true((high - low) * PKTGEN_HIST_SUB <= low);
	}
}

static void values_beyond_the_last_bucket_count_in_it(void **state)
{
	(void)state;
	assert_int_equal(pktgen_hist_bucket(UINT64_MAX), PKTGEN_HIST_BUCKETS - 1);
	pktgen_hist_add(&hist, UINT64_MAX);
	assert_int_equal(pktgen_hist_percentile(&hist, 0.5), UINT64_MAX);
}

static void percentiles_of_one_to_a_hundred(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= 100; i++)
		pktgen_hist_add(&hist, i);
	assert_int_equal(hist.min_ns, 1);
	assert_int_equal(hist.max_ns, 100);
	assert_int_equal(pktgen_hist_percentile(&hist, 0), 1);
	assert_int_equal(pktgen_hist_percentile(&hist, 0.5), 50);
	assert_int_equal(pktgen_hist_percentile(&hist, 0.501), 51);
	assert_in_range(pktgen_hist_percentile(&hist, 0.99), 99, 100);
	assert_int_equal(pktgen_hist_percentile(&hist, 1), 100);
	assert_true(pktgen_hist_mean(&hist) > 50.4 && pktgen_hist_mean(&hist) < 50.6);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void percentiles_agree_with_sorting(void **state)
{
	static uint64_t values[5120];
	struct test_random random = test_random_start();

	(void)state;
	for (size_t i = 0; i < 5120; i++) {
		values[i] = test_random_next(&random) >> (30 + test_random_below(&random, 33));
		pktgen_hist_add(&hist, values[i]);
	}
	qsort(values, 5120, sizeof(values[0]), by_value);
	for (uint32_t i = 1; i <= 1024; i++) {
		uint64_t exact = values[(i * 5120 + 1023) / 1024 - 1];
		uint64_t got = pktgen_hist_percentile(&hist, (double)i / 1024);

		assert_true(got >= exact && got - exact <= exact / PKTGEN_HIST_SUB);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nothing_has_no_percentile, reset),
		cmocka_unit_test_setup(buckets_follow_each_other_without_gap, reset),
		cmocka_unit_test_setup(a_bucket_is_no_wider_than_a_64th_of_its_values, reset),
		cmocka_unit_test_setup(values_beyond_the_last_bucket_count_in_it, reset),
		cmocka_unit_test_setup(percentiles_of_one_to_a_hundred, reset),
		cmocka_unit_test_setup(percentiles_agree_with_sorting, reset),
	};

	return cmocka_run_group_tests_name("pktgen_hist", tests, NULL, NULL);
}
