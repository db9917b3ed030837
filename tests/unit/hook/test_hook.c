/* control/hook: the queue, with a receiver that is not there. What goes over the wire: tests/api/test_hook.py. */
#include "hook.h"
#include "test.h"

#include <dirent.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#define SILENT_S 4 /* less than the 5 s after which libcurl itself gives up */

static struct hook *make_for(const char *url, uint32_t n_queue, uint32_t retry_ms)
{
	const struct hook_setup setup = {.url = url, .n_queue = n_queue, .retry_ms = retry_ms};
	struct hook *hook = NULL;

	assert_int_equal(hook_create(&setup, &hook), 0);
	return hook;
}

/* Nobody listens on port 1, and a refusal comes at once. */
static struct hook *make(uint32_t n_queue, uint32_t retry_ms)
{
	return make_for("https://127.0.0.1:1/", n_queue, retry_ms);
}

/* ---- the resolver ------------------------------------------------------------------------------- */

enum resolver_state {
	RESOLVER_UNASKED = 0,
	RESOLVER_ASKED = 1,
	RESOLVER_RELEASED = 2, /* by the test */
	RESOLVER_GAVE_UP = 3,  /* nobody did within SILENT_S */
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t change;
	enum resolver_state state;
} resolver = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};

/* libcurl's calls end here, not in libc. Addresses are none of its business: only names get here. */
int getaddrinfo(const char *restrict name, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict out)
{
	struct timespec until;
	int err = 0;

	(void)name;
	(void)service;
	(void)hints;
	(void)out;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += SILENT_S;
	pthread_mutex_lock(&resolver.lock);
	resolver.state = RESOLVER_ASKED;
	pthread_cond_broadcast(&resolver.change);
	while (resolver.state == RESOLVER_ASKED && err == 0)
		err = pthread_cond_timedwait(&resolver.change, &resolver.lock, &until);
	if (resolver.state == RESOLVER_ASKED)
		resolver.state = RESOLVER_GAVE_UP;
	pthread_mutex_unlock(&resolver.lock);
	return EAI_AGAIN;
}

static uint32_t n_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	uint32_t n = 0;

	assert_non_null(tasks);
	for (const struct dirent *task = readdir(tasks); task; task = readdir(tasks))
		n += task->d_name[0] != '.';
	closedir(tasks);
	return n;
}

/* ---- cases -------------------------------------------------------------------------------------- */

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

static void the_end_waits_for_no_resolver_that_is_silent(void **state)
{
	uint32_t n_before = n_threads();
	struct hook *hook = make_for("https://silent.example/", 8, 3600000);
	enum resolver_state found;

	(void)state;
	hook_post(hook, "{}");
	pthread_mutex_lock(&resolver.lock);
	while (resolver.state == RESOLVER_UNASKED)
		pthread_cond_wait(&resolver.change, &resolver.lock);
	pthread_mutex_unlock(&resolver.lock);
	hook_destroy(hook);

	pthread_mutex_lock(&resolver.lock);
	found = resolver.state;
	resolver.state = RESOLVER_RELEASED;
	pthread_cond_broadcast(&resolver.change);
	pthread_mutex_unlock(&resolver.lock);
	assert_int_equal(found, RESOLVER_ASKED);
	/* An answer that comes too late finds what it needs, and frees it: see ASan. */
	while (n_threads() > n_before)
		sched_yield();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_queue_loses_the_oldest_and_counts_them),
		cmocka_unit_test(what_is_not_taken_is_tried_again_and_not_lost),
		cmocka_unit_test(the_end_waits_for_no_pause_and_frees_what_waits),
		cmocka_unit_test(the_end_waits_for_no_resolver_that_is_silent),
	};

	return cmocka_run_group_tests_name("hook", tests, NULL, NULL);
}
