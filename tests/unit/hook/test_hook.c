/* control/hook: the queue, with a receiver that is not there. What goes over the wire: tests/api/test_hook.py. */
#include "hook.h"
#include "test.h"

#include <sched.h>
#include <stdio.h>

/* Nobody listens on port 1, and a refusal comes at once. */
static struct hook *make(uint32_t n_queue, uint32_t retry_ms)
{
	const struct hook_setup setup = {
		.url = "https://127.0.0.1:1/", .n_queue = n_queue, .retry_ms = retry_ms};
	struct hook *hook = NULL;

	assert_int_equal(hook_create(&setup, &hook), 0);
	return hook;
}

static void a_full_queue_loses_the_oldest_and_counts_them(void **state)
{
	struct hook *hook = make(4, 60000);
	struct hook_counters counters;
	char line[32];

	(void)state;
	for (int i = 0; i < 200; i++) {
		snprintf(line, sizeof(line), "{\"number\":%d}", i);
		hook_post(hook, line);
	}
	counters = hook_counters(hook);
	assert_int_equal(counters.posted, 0);
	assert_int_equal(counters.dropped + counters.waiting, 200);
	assert_true(counters.waiting >= 4 && counters.waiting <= 68);
	hook_destroy(hook);
}

static void what_is_not_taken_is_tried_again_and_not_lost(void **state)
{
	struct hook *hook = make(16, 1);
	struct hook_counters counters;

	(void)state;
	hook_post(hook, "{}");
	do {
		sched_yield();
		counters = hook_counters(hook);
	} while (counters.failures < 3);
	assert_int_equal(counters.waiting, 1);
	assert_int_equal(counters.posted + counters.dropped + counters.refused, 0);
	hook_destroy(hook);
}

static void the_end_waits_for_no_pause_and_frees_what_waits(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		struct hook *hook = make(8, 3600000);

		for (int k = 0; k < i; k++)
			hook_post(hook, "{}");
		hook_destroy(hook);
	}
	hook_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_queue_loses_the_oldest_and_counts_them),
		cmocka_unit_test(what_is_not_taken_is_tried_again_and_not_lost),
		cmocka_unit_test(the_end_waits_for_no_pause_and_frees_what_waits),
	};

	return cmocka_run_group_tests_name("hook", tests, NULL, NULL);
}
