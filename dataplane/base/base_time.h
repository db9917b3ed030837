/* Units of time. Everywhere inside, a point in time is monotonic nanoseconds in a uint64_t named
 * now_ns or ..._ns; 0 means "never". Reading the clock is left to the programs' loops: wg, aead
 * and path take the time as an argument. */
#ifndef BASE_TIME_H
#define BASE_TIME_H

#include <stdint.h>
#include <time.h>

#define BASE_NS_PER_US UINT64_C(1000)
#define BASE_NS_PER_MS UINT64_C(1000000)
#define BASE_NS_PER_S  UINT64_C(1000000000)

/* Monotonic clock, nanoseconds; never 0. Costs one vDSO call (about 25 ns). */
static inline uint64_t base_time_monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * BASE_NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* Wall clock, nanoseconds since 1970. For TAI64N, logs and files, never for timers. */
static inline uint64_t base_time_wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * BASE_NS_PER_S + (uint64_t)ts.tv_nsec;
}

#endif
