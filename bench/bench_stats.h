/* Samples of one measurement, and the order statistics that survive a noisy machine. */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <stdint.h>
#include <x86intrin.h>

struct bench_samples {
	unsigned int n;
	unsigned int room;
	uint64_t *cycles; /* [room] */
};

struct bench_summary {
	unsigned int n;
	double min;       /* cycles a packet */
	double twentieth; /* of the samples are faster */
	double median;
	double max;
};

/* Returns 0 or -ENOMEM. */
int bench_samples_init(struct bench_samples *samples, unsigned int room)
	__attribute__((warn_unused_result));
void bench_samples_fini(struct bench_samples *samples);

/* Add one measurement; ignored when all room is taken. */
void bench_samples_add(struct bench_samples *samples, uint64_t cycles);

/* Order the samples and divide by the packets that each of them covers. All zero when empty. */
struct bench_summary bench_samples_summary(struct bench_samples *samples, unsigned int n_packets);

/* Time stamp counter with what was issued before it done. About 30 cycles. */
static inline uint64_t bench_tsc(void)
{
	unsigned int aux;
	uint64_t now = __rdtscp(&aux);

	_mm_lfence();
	return now;
}

#endif
