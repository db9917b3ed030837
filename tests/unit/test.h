/* What every unit test includes: cmocka wants its four headers first, and the include sorter must
 * not see them. */
#ifndef TEST_H
#define TEST_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Random input that can be had again: the seed is printed, and TEST_SEED=... repeats the run.
 * SplitMix64; not for keys that matter. */
struct test_random {
	uint64_t state;
};

static inline struct test_random test_random_start(void)
{
	const char *text = getenv("TEST_SEED");
	struct timespec now;
	uint64_t seed;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = (uint64_t)now.tv_sec * 1000000007U + (uint64_t)now.tv_nsec;
	if (text != NULL)
		seed = strtoull(text, NULL, 0);
	printf("# TEST_SEED=0x%llx repeats this run\n", (unsigned long long)seed);
	return (struct test_random){.state = seed};
}

static inline uint64_t test_random_next(struct test_random *random)
{
	uint64_t x = random->state += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* 0 .. below - 1. */
static inline uint64_t test_random_below(struct test_random *random, uint64_t below)
{
	return test_random_next(random) % below;
}

static inline void test_random_bytes(struct test_random *random, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)test_random_next(random);
}

#endif
