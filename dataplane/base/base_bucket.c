/* Rates of token buckets; taking is inline in the header. */
#include "base_bucket.h"

#include "base_time.h"

#include <assert.h>

struct base_bucket_rate base_bucket_rate(uint32_t per_second, uint32_t burst)
{
	assert(per_second >= 1 && per_second <= BASE_NS_PER_S && burst >= 1);

	uint64_t cost_ns = (BASE_NS_PER_S + per_second - 1) / per_second;

	return (struct base_bucket_rate){.cost_ns = cost_ns, .capacity_ns = burst * cost_ns};
}
