/* What of a table is asked on the packet path, and which build of the loops answers. */
#include "block_private.h"

#if defined(__x86_64__)
/* __builtin_cpu_supports() also asks whether the operating system saves the registers. */
static bool has_avx512(void)
{
	return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")
	       && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("bmi2")
	       && __builtin_cpu_supports("popcnt");
}
#endif

void block_find(const struct block_table *table, const struct block_sources *sources)
{
#if defined(__x86_64__)
	if (has_avx512()) {
		block__find_avx512(table, sources);
		return;
	}
#endif
	block__find_plain(table, sources);
}

void block_find_v4(const struct block_table *table, const uint32_t *address, uint8_t *scopes,
                   uint32_t n)
{
	const struct block_sources sources = {.v4 = address, .v4_scopes = scopes, .n_v4 = n};

	block_find(table, &sources);
}

void block_find_v6(const struct block_table *table, const uint64_t *high, const uint64_t *low,
                   uint8_t *scopes, uint32_t n)
{
	const struct block_sources sources = {
		.high = high, .low = low, .v6_scopes = scopes, .n_v6 = n};

	block_find(table, &sources);
}

bool block_table_publishes(const struct block_table *table, uint8_t protocol, uint16_t port)
{
	for (uint32_t i = 0; i < table->n_ports; i++)
		if (table->ports[i].port == port && table->ports[i].protocol == protocol)
			return true;
	return false;
}

uint64_t block_table_generation(const struct block_table *table)
{
	return table->generation;
}

uint32_t block_table_entries(const struct block_table *table)
{
	return table->n_entries;
}

size_t block_table_len(const struct block_table *table)
{
	return table->len;
}
