/* The exact token bucket against one that counts in 128 bits, and at the ends of what it may hold. */
#include "base_tokens.h"
#include "test.h"

static struct base_tokens make(uint64_t rate, uint64_t burst)
{
	struct base_tokens b = {0};

	base_tokens_set(&b, rate, burst);
	return b;
}

static bool take(struct base_tokens *b, uint64_t n)
{
	if (!base_tokens_has(b, n))
		return false;
	base_tokens_take(b, n);
	return true;
}

static void a_fresh_bucket_is_full_and_fills_no_further(void **state)
{
	struct base_tokens b = make(3, 5);

	(void)state;
	assert_true(take(&b, 5));
	assert_false(take(&b, 1));
	base_tokens_refill(&b, 333333333);
	assert_false(take(&b, 1));
	base_tokens_refill(&b, 1);
	assert_true(take(&b, 1)); /* 3 * 333333334 is two billionths more than one */
	assert_int_equal(b.level, 2);
	base_tokens_refill(&b, UINT64_MAX);
	assert_int_equal(b.level, 5 * BASE_TOKEN);
}

static void no_limit_is_never_empty(void **state)
{
	struct base_tokens b = make(0, 0);

	(void)state;
	for (int i = 0; i < 100000; i++)
		assert_true(take(&b, 1500));
	base_tokens_refill(&b, 1);
	assert_int_equal(b.level, BASE_TOKENS_LEVEL_NONE);
	base_tokens_set(&b, 10, 7); /* from now on there is one, and it begins full */
	assert_true(take(&b, 7));
	assert_false(take(&b, 1));
	base_tokens_set(&b, 10, 9);
	assert_false(take(&b, 1));
}

static void the_ends_do_not_overflow(void **state)
{
	static const uint64_t rates[] = {1, 2, 999999937, UINT64_C(1) << 32, UINT64_C(50000000000)};
	static const uint64_t gaps[] = {0, 1, 999999999, UINT64_C(1) << 40, UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		for (size_t k = 0; k < sizeof(gaps) / sizeof(gaps[0]); k++) {
			struct base_tokens b = make(rates[i], BASE_TOKENS_BURST_MAX);
			unsigned __int128 level = b.level - BASE_TOKENS_BURST_MAX / 2 * BASE_TOKEN;

			base_tokens_take(&b, BASE_TOKENS_BURST_MAX / 2);
			base_tokens_refill(&b, gaps[k]);
			level += (unsigned __int128)rates[i] * gaps[k];
			if (level > b.capacity)
				level = b.capacity;
			assert_true(b.level == level);
		}
	}
}

static uint64_t next(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random;
}

/* Rates and gaps of any size: what was taken in all is burst + rate * T while it is never full. */
static void what_passes_is_the_burst_and_the_rate_times_time(void **state)
{
	uint64_t random = 0x9e3779b97f4a7c15;

	(void)state;
	print_message("# seed %#lx\n", random);
	for (int round = 0; round < 2000; round++) {
		uint64_t rate = 1 + (next(&random) >> (next(&random) % 35 + 29));
		uint64_t burst = BASE_TOKENS_BURST_MAX;
		struct base_tokens b = make(rate, burst);
		uint64_t taken = 0;
		unsigned __int128 time_ns = 0;

		for (int i = 0; i < 200; i++) {
			uint64_t gap = next(&random) % 70000001;
			uint64_t n = b.level / BASE_TOKEN;

			base_tokens_take(&b, n);
			taken += n;
			assert_false(base_tokens_has(&b, 1));
			base_tokens_refill(&b, gap);
			time_ns += gap;
		}
		taken += b.level / BASE_TOKEN;
		assert_true(taken == burst + (uint64_t)(time_ns * rate / BASE_TOKEN));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fresh_bucket_is_full_and_fills_no_further),
		cmocka_unit_test(no_limit_is_never_empty),
		cmocka_unit_test(the_ends_do_not_overflow),
		cmocka_unit_test(what_passes_is_the_burst_and_the_rate_times_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
