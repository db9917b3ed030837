/* Percentiles out of buckets. */
#include "pktgen_hist.h"

uint64_t pktgen_hist_bucket_max(uint32_t bucket)
{
	uint32_t doubling = bucket / PKTGEN_HIST_SUB;
	uint64_t sub = bucket % PKTGEN_HIST_SUB;

	if (doubling == 0)
		return sub;
	return ((PKTGEN_HIST_SUB + sub + 1) << (doubling - 1)) - 1;
}

uint64_t pktgen_hist_percentile(const struct pktgen_hist *hist, double share)
{
	/* The rank of the value, from 1; rounding up means "does not exceed" holds. */
	double exact = share * (double)hist->n;
	uint64_t rank = (uint64_t)exact, seen = 0;

	if ((double)rank < exact || rank == 0)
		rank++;
	if (rank >= hist->n)
		return hist->max_ns;
	for (uint32_t i = 0; i < PKTGEN_HIST_BUCKETS; i++) {
		seen += hist->buckets[i];
		if (seen >= rank) {
			uint64_t value = pktgen_hist_bucket_max(i);

			return value < hist->max_ns ? value : hist->max_ns;
		}
	}
	return hist->max_ns;
}

double pktgen_hist_mean(const struct pktgen_hist *hist)
{
	return hist->n > 0 ? (double)hist->sum_ns / (double)hist->n : 0;
}
