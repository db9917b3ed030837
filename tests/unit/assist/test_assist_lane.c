/* The lane between an owner and its helper: two threads at full speed, jobs whose bytes both write in
 * turn. Under a thread sanitizer this shows that nothing is read before it was published. */
#include "assist_lane.h"
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#define N_JOBS 200000U

struct job {
	uint32_t ticket;
	uint32_t bytes[64];
};

static void jobs_under_way_are_counted_and_done_in_order(void **state)
{
	struct assist_lane lane = {0};
	int jobs[3];

	(void)state;
	assert_null(assist_lane_take(&lane));
	for (uint32_t i = 0; i < ASSIST_LANE_MAX; i++) {
		assert_int_equal(assist_lane_out(&lane), i);
		assert_int_equal(assist_lane_give(&lane, &jobs[i]), i);
	}
	assert_int_equal(assist_lane_out(&lane), ASSIST_LANE_MAX);
	for (uint32_t i = 0; i < ASSIST_LANE_MAX; i++) {
		assert_ptr_equal(assist_lane_take(&lane), &jobs[i]);
		assert_ptr_equal(assist_lane_take(&lane), &jobs[i]);
		assert_false(assist_lane_is_done(&lane, i));
		assist_lane_finish(&lane);
		assert_true(assist_lane_is_done(&lane, i));
	}
	assert_null(assist_lane_take(&lane));
	assert_int_equal(assist_lane_out(&lane), 0);
}

static void counts_may_wrap(void **state)
{
	struct assist_lane lane = {.given = UINT32_MAX - 1, .done = UINT32_MAX - 1};
	int jobs[ASSIST_LANE_MAX];
	uint32_t tickets[ASSIST_LANE_MAX];

	(void)state;
	for (uint32_t i = 0; i < ASSIST_LANE_MAX; i++)
		tickets[i] = assist_lane_give(&lane, &jobs[i]);
	assert_int_equal(assist_lane_out(&lane), ASSIST_LANE_MAX);
	for (uint32_t i = 0; i < ASSIST_LANE_MAX; i++) {
		assert_false(assist_lane_is_done(&lane, tickets[i]));
		assert_ptr_equal(assist_lane_take(&lane), &jobs[i]);
		assist_lane_finish(&lane);
		assert_true(assist_lane_is_done(&lane, tickets[i]));
	}
}

static struct assist_lane shared_lane;

static void *help(void *arg)
{
	for (uint32_t n = 0; n < N_JOBS;) {
		struct job *job = assist_lane_take(&shared_lane);

		if (job == NULL) {
			sched_yield();
			continue;
		}
		for (uint32_t i = 0; i < 64; i++)
			job->bytes[i] += 1;
		assist_lane_finish(&shared_lane);
		n++;
	}
	return arg;
}

static void owner_and_helper_see_each_others_bytes(void **state)
{
	static struct job jobs[ASSIST_LANE_MAX];
	pthread_t thread;
	uint32_t n_given = 0;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, help, NULL), 0);
	for (uint32_t n_back = 0; n_back < N_JOBS;) {
		struct job *job = &jobs[n_back % ASSIST_LANE_MAX];

		if (n_given < N_JOBS && assist_lane_out(&shared_lane) < ASSIST_LANE_MAX
		    && n_given - n_back < ASSIST_LANE_MAX) {
			struct job *next = &jobs[n_given % ASSIST_LANE_MAX];

			for (uint32_t i = 0; i < 64; i++)
				next->bytes[i] = n_given + i;
			next->ticket = assist_lane_give(&shared_lane, next);
			n_given++;
		}
		if (n_back == n_given || !assist_lane_is_done(&shared_lane, job->ticket)) {
			sched_yield();
			continue;
		}
		for (uint32_t i = 0; i < 64; i++)
			assert_int_equal(job->bytes[i], n_back + i + 1);
		n_back++;
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jobs_under_way_are_counted_and_done_in_order),
		cmocka_unit_test(counts_may_wrap),
		cmocka_unit_test(owner_and_helper_see_each_others_bytes),
	};

	return cmocka_run_group_tests_name("assist/lane", tests, NULL, NULL);
}
