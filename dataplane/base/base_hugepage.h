/* How much memory in hugepages is free on this machine, and how much a pool of packets takes with and
 * without them. */
#ifndef BASE_HUGEPAGE_H
#define BASE_HUGEPAGE_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes in free hugepages of all sizes; 0 when the kernel does not say. */
uint64_t base_hugepage_free_len(void);

/* Bytes for n objects, of which none crosses a page unless it is larger than one: on ordinary pages
 * a packet of 2.4 KB takes 4 KB. object_len > 0. */
uint64_t base_hugepage_pool_len(uint32_t n, uint32_t object_len, bool hugepages);

#endif
