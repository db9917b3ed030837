#include "bench_stats.h"

#include <errno.h>
#include <stdlib.h>

int bench_samples_init(struct bench_samples *samples, unsigned int room)
{
	samples->n = 0;
	samples->room = 0;
	samples->cycles = calloc(room, sizeof(*samples->cycles));
	if (samples->cycles == NULL)
		return -ENOMEM;
	samples->room = room;
	return 0;
}

void bench_samples_fini(struct bench_samples *samples)
{
	free(samples->cycles);
	samples->cycles = NULL;
	samples->room = 0;
	samples->n = 0;
}

void bench_samples_add(struct bench_samples *samples, uint64_t cycles)
{
	if (samples->n < samples->room)
		samples->cycles[samples->n++] = cycles;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

struct bench_summary bench_samples_summary(struct bench_samples *samples, unsigned int n_packets)
{
	unsigned int n = samples->n;
	double scale = 1.0 / n_packets;

	if (n == 0)
		return (struct bench_summary){0};
	qsort(samples->cycles, n, sizeof(*samples->cycles), compare);
	return (struct bench_summary){
		.n = n,
		.min = (double)samples->cycles[0] * scale,
		.twentieth = (double)samples->cycles[n / 20] * scale,
		.median = ((double)samples->cycles[(n - 1) / 2] + (double)samples->cycles[n / 2])
	                  / 2 * scale,
		.max = (double)samples->cycles[n - 1] * scale,
	};
}
