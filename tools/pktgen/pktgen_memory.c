/* Aligned to a large page and of whole large pages, or the kernel cannot use them. */
#include "pktgen_memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE ((size_t)2 << 20)

void *pktgen_memory_get(size_t len)
{
	size_t rounded = (len + PAGE - 1) / PAGE * PAGE;
	void *memory = aligned_alloc(PAGE, rounded);

	if (memory == NULL)
		return NULL;
	/* Refused by a kernel that has none: then pages are small. */
	(void)madvise(memory, rounded, MADV_HUGEPAGE);
	memset(memory, 0, len);
	return memory;
}
