/* How much memory in hugepages is free on this machine. */
#ifndef BASE_HUGEPAGE_H
#define BASE_HUGEPAGE_H

#include <stdint.h>

/* Bytes in free hugepages of all sizes; 0 when the kernel does not say. */
uint64_t base_hugepage_free_len(void);

#endif
