/* Look-ups on any CPU. */
#include "block_find.h"

void block__find_plain(const struct block_table *table, const struct block_sources *sources)
{
	find(table, sources);
}
