/* Token buckets by source address, an IPv4 address or an IPv6 /64 (what one customer gets), in a table of
 * fixed size. An entry belongs to a source while its bucket is not full; then whoever comes next may have
 * it. When all entries that a source may have are others', it gets nothing and the answer says so: whoever
 * has addresses enough to fill the table shuts out those that come later, never those that are in it. The
 * hash is keyed, so that nobody can choose whose place to fill. */
#ifndef BASE_SOURCE_H
#define BASE_SOURCE_H

#include "base_bucket.h"
#include "base_ip.h"
#include "base_siphash.h"

#include <stdint.h>

#define BASE_SOURCE_SETS 512U /* power of two */
#define BASE_SOURCE_WAYS 8U

enum base_source_verdict {
	BASE_SOURCE_OK = 0,   /* a token was taken */
	BASE_SOURCE_OVER = 1, /* the source has none left */
	BASE_SOURCE_FULL = 2, /* no entry is left for it */
};

struct base_source {
	uint64_t tag; /* of the source, by the hash */
	struct base_bucket bucket;
};

/* 64 KB. All zero is empty; key and rate are the owner's to set. */
struct base_source_table {
	struct base_siphash_key key; /* random */
	struct base_bucket_rate rate;
	struct base_source sets[BASE_SOURCE_SETS][BASE_SOURCE_WAYS];
};

/* Take one token of ip's. Cost: a SipHash and two cache lines. Thread: one a table. */
enum base_source_verdict base_source_take(struct base_source_table *table, const struct base_ip *ip,
                                          uint64_t now_ns);

/* The same for a port of the source's alone: a table that counts by these counts by nothing else. */
enum base_source_verdict base_source_take_port(struct base_source_table *table,
                                               const struct base_endpoint *endpoint,
                                               uint64_t now_ns);

#endif
