/* Look-ups on a CPU with AVX-512: one instruction looks at a line. */
#include "block_find.h"

void block__find_avx512(const struct block_table *table, const struct block_sources *sources)
{
	find(table, sources);
}
