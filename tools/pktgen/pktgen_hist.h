/* Histogram of times for percentiles, HDR style: log-linear buckets, 64 of equal width in each
 * doubling, so that a value is known to 1.6 % from 1 ns to 68 s in 31 KB. Adding is a shift and an
 * increment. Larger values count in the last bucket; the maximum is kept exactly. */
#ifndef PKTGEN_HIST_H
#define PKTGEN_HIST_H

#include <stdint.h>

#define PKTGEN_HIST_SUB_BITS  6U
#define PKTGEN_HIST_SUB       (1U << PKTGEN_HIST_SUB_BITS)
#define PKTGEN_HIST_DOUBLINGS 30U
#define PKTGEN_HIST_BUCKETS   ((PKTGEN_HIST_DOUBLINGS + 1) * PKTGEN_HIST_SUB)

struct pktgen_hist {
	uint64_t n;
	uint64_t sum_ns;
	uint64_t min_ns; /* of nothing: 0 */
	uint64_t max_ns;
	uint64_t buckets[PKTGEN_HIST_BUCKETS];
};

/* Bucket of a value: below 64 ns one each, then 64 of each power of two. */
static inline uint32_t pktgen_hist_bucket(uint64_t ns)
{
	uint32_t doubling, bucket;

	if (ns < PKTGEN_HIST_SUB)
		return (uint32_t)ns;
	doubling = 63U - (uint32_t)__builtin_clzll(ns) - PKTGEN_HIST_SUB_BITS;
	if (doubling >= PKTGEN_HIST_DOUBLINGS)
		return PKTGEN_HIST_BUCKETS - 1;
	bucket = (uint32_t)(ns >> doubling) - PKTGEN_HIST_SUB;
	return (doubling + 1) * PKTGEN_HIST_SUB + bucket;
}

static inline void pktgen_hist_add(struct pktgen_hist *hist, uint64_t ns)
{
	if (hist->n == 0 || ns < hist->min_ns)
		hist->min_ns = ns;
	if (ns > hist->max_ns)
		hist->max_ns = ns;
	hist->n++;
	hist->sum_ns += ns;
	hist->buckets[pktgen_hist_bucket(ns)]++;
}

/* Largest value that falls into a bucket. */
uint64_t pktgen_hist_bucket_max(uint32_t bucket);

/* The value that a share (0..1) of all values does not exceed, to the width of its bucket, never
 * above the maximum; 0 of nothing. */
uint64_t pktgen_hist_percentile(const struct pktgen_hist *hist, double share);

double pktgen_hist_mean(const struct pktgen_hist *hist);

#endif
