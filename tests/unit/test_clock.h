/* The clocks of a test, which the linker makes ours (clock_dep): the wall clock is so many seconds ahead of the true
 * one, and so many have passed by both clocks beside those that did. Timers of the event loop go by the true one. Include
 * once in a test file. */
#ifndef TEST_CLOCK_H
#define TEST_CLOCK_H

#include <time.h>

static time_t ahead_s;
static time_t passed_s;

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	int err = __real_clock_gettime(clock, now);

	if (clock == CLOCK_REALTIME)
		now->tv_sec += ahead_s;
	now->tv_sec += passed_s;
	return err;
}

#endif
