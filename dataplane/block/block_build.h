/* From prefixes to a block_table. For control and tests: allocates, takes milliseconds. */
#ifndef BLOCK_BUILD_H
#define BLOCK_BUILD_H

#include "base_ip.h"
#include "block_table.h"

#include <stddef.h>
#include <stdint.h>

/* A prefix in the form in which lists of a million are kept: the address as two words in host order,
 * IPv4 in the upper half of the first, bits behind len zero. */
struct block_prefix {
	uint64_t high;
	uint64_t low;
	uint8_t family; /* enum base_ip_family, V4 or V6 */
	uint8_t len;
	uint8_t scopes; /* set of enum block_scope, not empty */
	uint8_t pad[5];
};

/* Host bits are cleared. */
struct block_prefix block_prefix_make(const struct base_prefix *prefix, uint8_t scopes);
struct base_prefix block_prefix_text(const struct block_prefix *prefix); /* the way back */
bool block_prefix_contains(const struct block_prefix *prefix, const struct block_prefix *inner);

/* By family, address, length: a prefix stands before all that lie in it. < 0, 0, > 0. */
int block_prefix_compare(const struct block_prefix *a, const struct block_prefix *b);

/* Sort. What is sorted already costs one pass, a few sorted runs one pass more for each time their
 * number halves. Returns 0 or -ENOMEM, and then nothing has changed. */
int block_prefix_sort(struct block_prefix *prefixes, size_t n) __attribute__((warn_unused_result));

struct block_port {
	uint16_t port;    /* host order */
	uint8_t protocol; /* IP protocol: 6 or 17 */
	uint8_t pad;
};

struct block_source {
	uint64_t generation;           /* not 0 */
	uint64_t seed;                 /* of the hash of /64s: not known to those who are listed */
	struct block_prefix *prefixes; /* [n], sorted here (block_prefix_sort()) */
	size_t n;                      /* <= BLOCK_ENTRIES_MAX */
	struct block_port ports[BLOCK_PORTS_MAX]; /* of published services */
	uint32_t n_ports;
};

/* Compile. *out is made by aligned_alloc(64), *len bytes, and passes block_table_check(); caller
 * frees. Returns 0; -EINVAL (generation 0, too many, or a prefix that is none: nothing an operator can
 * do); -E2BIG when the table would be longer than BLOCK_TABLE_LEN_MAX; -ENOMEM. On error *out is NULL.
 * The same source gives the same bytes. Cost: see bench/README.md. */
int block_build(struct block_source *source, void **out, size_t *len)
	__attribute__((warn_unused_result));

#endif
