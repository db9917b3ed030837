/* Large tables: zeroed, on large pages where the kernel has them, since they are read at random. */
#ifndef PKTGEN_MEMORY_H
#define PKTGEN_MEMORY_H

#include <stddef.h>

/* NULL when there is none. Caller: free(). */
void *pktgen_memory_get(size_t len);

#endif
