/* How much memory in hugepages is free on this machine, how much a pool of packets takes with and
 * without them, and memory for tables in large pages that need no pool. */
#ifndef BASE_HUGEPAGE_H
#define BASE_HUGEPAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes in hugepages of all sizes that are free and promised to nobody; 0 when the kernel does not say. */
uint64_t base_hugepage_free_len(void);

/* Who asks how much is free, and then takes it, holds this from the question until it is taken: no other process of
 * ours asks in between. Returns a descriptor for the caller to close; -1 = somebody has held it for patience_ms, or
 * there is no such thing here: whoever goes on all the same may find less than was free. */
int base_hugepage_lock(uint32_t patience_ms);
/* Enough: DPDK takes its memory within a second, also when that is much. */
#define BASE_HUGEPAGE_PATIENCE_MS 5000U

/* Bytes for n objects, of which none crosses a page unless it is larger than one: on ordinary pages
 * a packet of 2.4 KB takes 4 KB. object_len > 0. */
uint64_t base_hugepage_pool_len(uint32_t n, uint32_t object_len, bool hugepages);

/* Private zeroed memory of *len bytes for a table that is read at random: its pages are large ones, taken
 * from ordinary memory (transparent hugepages), where the kernel has them, and small ones where it has
 * not. *len is rounded up to whole large pages. Returns NULL when there is none. */
void *base_hugepage_map(size_t *len) __attribute__((warn_unused_result));

/* Give it back: len as it was asked for, or as it was rounded up. NULL is fine.
 * Only what base_hugepage_map() gave: another mapping may end within a large page. */
void base_hugepage_unmap(void *memory, size_t len);

#define BASE_HUGEPAGE_LEN ((size_t)2 << 20)

/* Whether the kernel makes large pages of ordinary memory for those who ask, as base_hugepage_map()
 * does. */
bool base_hugepage_is_transparent(void);

#endif
