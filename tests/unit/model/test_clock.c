/* When the wall clock is said to have been set. */
#include "base_bytes.h"
#include "base_time.h"
#include "fakes.h"
#include "model_clock.h"
#include "test.h"

#define S   ((int64_t)BASE_NS_PER_S)
#define DAY (86400 * S)

static void a_step_is_told_once_and_slewing_is_not(void **state)
{
	static const struct {
		int64_t passes_ns;
		int64_t set_ns; /* beside what passes */
		bool is_step;
	} looks[] = {
		{S, 0, false},          {S, 3600 * S, true}, {S, 0, false},
		{S, -3600 * S, true},   {S, 0, false},       {S, 3652 * DAY, true},
		{S, -7304 * DAY, true}, {S, S / 2, false},   {S, S / 2, false},
		{S, -S, false},         {60 * S, 0, false},  {S, 2 * S, true},
		{S, 2 * S - 1, false},  {S, -2 * S, true},
	};
	struct model_clock clock = {0};
	uint64_t now_ns = 1000 * BASE_NS_PER_S;
	uint64_t wall_ns = 1700000000 * BASE_NS_PER_S;
	int64_t step_ns;

	(void)state;
	assert_false(model_clock_look(&clock, now_ns, wall_ns, &step_ns));
	for (size_t i = 0; i < BASE_ARRAY_LEN(looks); i++) {
		now_ns += (uint64_t)looks[i].passes_ns;
		wall_ns += (uint64_t)(looks[i].passes_ns + looks[i].set_ns);
		assert_int_equal(model_clock_look(&clock, now_ns, wall_ns, &step_ns),
		                 looks[i].is_step);
		assert_true(step_ns == looks[i].set_ns);
	}
}

static void it_is_settled_when_it_was_not_set_for_long_enough(void **state)
{
	const uint64_t hour_ns = 3600 * BASE_NS_PER_S;
	const uint64_t wall_ns = 1700000000 * BASE_NS_PER_S;
	const uint64_t step = (uint64_t)(3652 * DAY);
	struct model_clock clock = {0};
	uint64_t now_ns = 5 * hour_ns;
	int64_t step_ns;

	(void)state;
	assert_false(model_clock_is_settled(&clock, now_ns, wall_ns, 0));
	(void)model_clock_look(&clock, now_ns, wall_ns + now_ns, &step_ns);
	for (int i = 0; i < 2; i++) {
		uint64_t ahead_ns = wall_ns + (i == 1 ? step : 0);

		assert_false(model_clock_is_settled(&clock, now_ns + hour_ns - 1,
		                                    ahead_ns + now_ns + hour_ns - 1, hour_ns));
		now_ns += hour_ns;
		assert_true(model_clock_is_settled(&clock, now_ns, ahead_ns + now_ns, hour_ns));
		/* Set since the last look, which has not been. */
		assert_false(
			model_clock_is_settled(&clock, now_ns, ahead_ns + step + now_ns, hour_ns));
		assert_false(
			model_clock_is_settled(&clock, now_ns, ahead_ns - step + now_ns, hour_ns));
		/* A look that finds nothing changes nothing. */
		assert_false(model_clock_look(&clock, now_ns, ahead_ns + now_ns, &step_ns));
		assert_true(model_clock_is_settled(&clock, now_ns, ahead_ns + now_ns, hour_ns));
		assert_true(model_clock_look(&clock, now_ns, wall_ns + step * (i == 0) + now_ns,
		                             &step_ns));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_step_is_told_once_and_slewing_is_not),
		cmocka_unit_test(it_is_settled_when_it_was_not_set_for_long_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
