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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_step_is_told_once_and_slewing_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
