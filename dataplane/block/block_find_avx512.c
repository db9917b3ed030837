/* Look-ups on a CPU with AVX-512: one instruction looks at a line. */
#include "block_find.h"

void block__find_v4_avx512(const struct block_table *table, const uint32_t *address,
                           uint8_t *scopes, uint32_t n)
{
	find_v4(table, address, scopes, n);
}

void block__find_v6_avx512(const struct block_table *table, const uint64_t *high,
                           const uint64_t *low, uint8_t *scopes, uint32_t n)
{
	find_v6(table, high, low, scopes, n);
}
