/* Jobs are run in the order in which they came, and each comes back once: done, or dropped at the end. */
#include "test.h"
#include "work.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define N_JOBS 200

struct test_job {
	struct work_job job;
	uint32_t number;
	int gate[2]; /* run() waits until there is something to read; not used when 0 */
	bool was_run;
};

static struct event_base *base;
static struct work *work;
static uint32_t n_run, n_done, n_dropped; /* n_run: the thread's until the job is back */

static void run(struct work_job *job)
{
	struct test_job *test = (struct test_job *)job;
	char byte;

	if (test->gate[0] != 0 && read(test->gate[0], &byte, 1) != 1)
		abort();
	test->was_run = test->number == n_run++;
}

static void done(struct work_job *job)
{
	const struct test_job *test = (const struct test_job *)job;

	assert_true(test->was_run);
	assert_int_equal(test->number, n_done);
	n_done++;
}

static void drop(struct work_job *job)
{
	(void)job;
	n_dropped++;
}

static int set_up(void **state)
{
	(void)state;
	n_run = n_done = n_dropped = 0;
	base = event_base_new();
	return base ? work_create(base, &work) : -1;
}

static int tear_down(void **state)
{
	(void)state;
	work_destroy(work);
	event_base_free(base);
	return 0;
}

static void submit(struct test_job *test, uint32_t number)
{
	test->number = number;
	test->job = (struct work_job){.run = run, .done = done, .drop = drop};
	work_submit(work, &test->job);
}

static void jobs_come_back_in_the_order_in_which_they_were_submitted(void **state)
{
	struct test_job jobs[N_JOBS] = {0};

	(void)state;
	for (uint32_t i = 0; i < N_JOBS; i++)
		submit(&jobs[i], i);
	while (n_done < N_JOBS)
		event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(n_dropped, 0);
}

static void the_loop_goes_on_while_a_job_runs(void **state)
{
	struct test_job job = {0};

	(void)state;
	assert_int_equal(pipe(job.gate), 0);
	submit(&job, 0);
	for (int i = 0; i < 10; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(n_done, 0);
	assert_int_equal(write(job.gate[1], "", 1), 1);
	while (n_done == 0)
		event_base_loop(base, EVLOOP_ONCE);
	close(job.gate[0]);
	close(job.gate[1]);
}

static void what_is_not_done_at_the_end_is_dropped_once(void **state)
{
	struct test_job jobs[N_JOBS] = {0};

	(void)state;
	assert_int_equal(pipe(jobs[0].gate), 0);
	for (uint32_t i = 0; i < N_JOBS; i++)
		submit(&jobs[i], i);
	assert_int_equal(write(jobs[0].gate[1], "", 1), 1);
	work_destroy(work);
	work = NULL;
	assert_int_equal(n_done, 0);
	assert_int_equal(n_dropped, N_JOBS);
	close(jobs[0].gate[0]);
	close(jobs[0].gate[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			jobs_come_back_in_the_order_in_which_they_were_submitted, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(the_loop_goes_on_while_a_job_runs, set_up,
	                                        tear_down),
		cmocka_unit_test_setup_teardown(what_is_not_done_at_the_end_is_dropped_once, set_up,
	                                        tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
