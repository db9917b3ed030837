#include "pktgen_search.h"
#include "test.h"

#include <stdbool.h>

/* Search a device that passes every rate up to `limit`. Returns what was found. */
static double search(double limit, double begin, double resolution, uint32_t *n_trials)
{
	struct pktgen_search s;
	double rate;

	pktgen_search_init(&s, begin, resolution);
	while ((rate = pktgen_search_next(&s)) > 0)
		pktgen_search_judge(&s, rate <= limit);
	*n_trials = s.n_trials;
	return s.passed;
}

static void finds_the_limit_to_its_resolution(void **state)
{
	uint32_t n;

	(void)state;
	for (double limit = 1e3; limit < 1e7; limit *= 1.7) {
		double found = search(limit, 1e7, 0.01, &n);

		assert_true(found <= limit);
		assert_true(found >= limit * 0.99);
		assert_true(n <= 22);
	}
}

static void ends_at_once_when_the_highest_rate_passes(void **state)
{
	uint32_t n;

	(void)state;
	assert_true(search(1e9, 5e6, 0.01, &n) >= 5e6);
	assert_int_equal(n, 1);
}

static void finds_nothing_when_nothing_passes(void **state)
{
	uint32_t n;

	(void)state;
	assert_true(search(0, 1e6, 0.01, &n) <= 0);
	assert_in_range(n, 10, 64);
}

static bool passes(uint64_t offered, uint64_t received, double allowed)
{
	const struct pktgen_search_trial trial = {.offered = offered, .received = received};

	return pktgen_search_passes(&trial, allowed);
}

static void a_trial_passes_with_no_more_loss_than_allowed(void **state)
{
	(void)state;
	assert_true(passes(1000, 1000, 0));
	assert_false(passes(1000, 999, 0));
	assert_true(passes(1000, 999, 0.001));
	assert_false(passes(1000, 998, 0.001));
	assert_true(passes(1000, 0, 1));
	assert_false(passes(0, 0, 0)); /* nothing was sent: nothing was shown */
}

static void a_trial_with_wrong_packets_or_a_late_generator_does_not_pass(void **state)
{
	struct pktgen_search_trial trial = {.offered = 1000, .received = 1000, .skipped = 20};

	(void)state;
	assert_true(pktgen_search_passes(&trial, 0));
	trial.skipped = 21;
	assert_false(pktgen_search_passes(&trial, 1));
	trial.skipped = 0;
	trial.wrong = 1;
	assert_false(pktgen_search_passes(&trial, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_limit_to_its_resolution),
		cmocka_unit_test(ends_at_once_when_the_highest_rate_passes),
		cmocka_unit_test(finds_nothing_when_nothing_passes),
		cmocka_unit_test(a_trial_passes_with_no_more_loss_than_allowed),
		cmocka_unit_test(a_trial_with_wrong_packets_or_a_late_generator_does_not_pass),
	};

	return cmocka_run_group_tests_name("pktgen_search", tests, NULL, NULL);
}
