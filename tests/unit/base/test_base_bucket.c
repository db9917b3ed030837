/* The token bucket: rate, burst, clocks that stand still or go back, and against a counting one. */
#include "base_bucket.h"
#include "base_time.h"
#include "test.h"

#define S BASE_NS_PER_S

static void zero_is_a_full_bucket_of_burst_tokens(void **state)
{
	const struct base_bucket_rate rate = base_bucket_rate(10, 5);
	struct base_bucket bucket = {0};

	(void)state;
	for (int i = 0; i < 5; i++)
		assert_true(base_bucket_take(&bucket, &rate, 1, 100 * S));
	assert_false(base_bucket_take(&bucket, &rate, 1, 100 * S));
	assert_false(base_bucket_is_full(&bucket, 100 * S));
}

static void tokens_come_back_at_the_rate_and_not_beyond_the_burst(void **state)
{
	const struct base_bucket_rate rate = base_bucket_rate(10, 5);
	struct base_bucket bucket = {0};
	uint64_t now = 100 * S;

	(void)state;
	assert_true(base_bucket_take(&bucket, &rate, 5, now));
	assert_false(base_bucket_take(&bucket, &rate, 1, now + S / 10 - 1));
	assert_true(base_bucket_take(&bucket, &rate, 1, now + S / 10));
	assert_false(base_bucket_take(&bucket, &rate, 1, now + S / 10));
	assert_false(base_bucket_is_full(&bucket, now + 6 * S / 10 - 1));
	assert_true(base_bucket_is_full(&bucket, now + 6 * S / 10));
	now += 1000 * S;
	assert_false(base_bucket_take(&bucket, &rate, 6, now));
	assert_true(base_bucket_take(&bucket, &rate, 5, now));
	assert_false(base_bucket_take(&bucket, &rate, 1, now));
}

static void taking_several_is_all_or_nothing(void **state)
{
	const struct base_bucket_rate rate = base_bucket_rate(1, 5);
	struct base_bucket bucket = {0};

	(void)state;
	assert_true(base_bucket_take(&bucket, &rate, 3, S));
	assert_false(base_bucket_take(&bucket, &rate, 3, S));
	assert_true(base_bucket_take(&bucket, &rate, 2, S));
	assert_true(base_bucket_take(&bucket, &rate, 0, S));
}

static void clock_that_goes_back_gives_no_tokens(void **state)
{
	const struct base_bucket_rate rate = base_bucket_rate(1, 2);
	struct base_bucket bucket = {0};

	(void)state;
	assert_true(base_bucket_take(&bucket, &rate, 2, 100 * S));
	assert_false(base_bucket_take(&bucket, &rate, 1, 50 * S));
	assert_false(base_bucket_take(&bucket, &rate, 1, 100 * S));
	assert_true(base_bucket_take(&bucket, &rate, 1, 101 * S));
}

static void absurd_amounts_are_refused_without_overflow(void **state)
{
	const struct base_bucket_rate rate = base_bucket_rate(1, UINT32_MAX);
	const struct base_bucket_rate huge = {.cost_ns = UINT64_MAX / 2, .capacity_ns = UINT64_MAX};
	struct base_bucket bucket = {0};

	(void)state;
	assert_true(base_bucket_take(&bucket, &rate, UINT32_MAX, S));
	assert_false(base_bucket_take(&bucket, &rate, 1, S));
	bucket = (struct base_bucket){0};
	assert_false(base_bucket_take(&bucket, &huge, 3, S));
	assert_false(base_bucket_take(&bucket, &huge, 2, S));
	assert_true(base_bucket_is_full(&bucket, 0));
}

static void rate_is_never_exceeded_when_it_does_not_divide_a_second(void **state)
{
	static const uint32_t rates[] = {1, 3, 7, 50, 333, 1000, 999983, 1000000000};

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		const struct base_bucket_rate rate = base_bucket_rate(rates[i], 1);

		assert_true(rate.cost_ns * rates[i] >= S);
		assert_true((rate.cost_ns - 1) * rates[i] < S);
	}
}

/* The dumb version: how many nanoseconds' worth of tokens there are, counted up. */
static void random_takes_agree_with_a_counting_bucket(void **state)
{
	struct test_random random = test_random_start();

	(void)state;
	for (int round = 0; round < 50; round++) {
		uint32_t burst = 1 + (uint32_t)test_random_below(&random, 20);
		const struct base_bucket_rate rate = base_bucket_rate(
			1 + (uint32_t)test_random_below(&random, 1000), burst);
		struct base_bucket bucket = {0};
		uint64_t fill = rate.capacity_ns;
		uint64_t now = S;

		for (int i = 0; i < 2000; i++) {
			uint64_t step = test_random_below(&random, 2 * rate.cost_ns);
			uint32_t n = (uint32_t)test_random_below(&random, 4);
			bool expected;

			now += step;
			fill = fill + step < rate.capacity_ns ? fill + step : rate.capacity_ns;
			expected = n * rate.cost_ns <= fill;
			if (expected)
				fill -= n * rate.cost_ns;
			assert_int_equal(base_bucket_take(&bucket, &rate, n, now), expected);
			assert_int_equal(base_bucket_is_full(&bucket, now),
			                 fill == rate.capacity_ns);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zero_is_a_full_bucket_of_burst_tokens),
		cmocka_unit_test(tokens_come_back_at_the_rate_and_not_beyond_the_burst),
		cmocka_unit_test(taking_several_is_all_or_nothing),
		cmocka_unit_test(clock_that_goes_back_gives_no_tokens),
		cmocka_unit_test(absurd_amounts_are_refused_without_overflow),
		cmocka_unit_test(rate_is_never_exceeded_when_it_does_not_divide_a_second),
		cmocka_unit_test(random_takes_agree_with_a_counting_bucket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
