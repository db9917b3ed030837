/* Limits of peers in the store, and what was used of their quotas. Both go with the peer's row. */
#ifndef STORE_LIMIT_H
#define STORE_LIMIT_H

#include "store.h"

#include <stdint.h>

/* As limit_spec_format() writes it; NULL = the peer has none of its own. Returns 0 or -errno. */
int store_limit_put(struct store *store, uint32_t peer, const char *text)
	__attribute__((warn_unused_result));
/* Call fn for every peer that has some; text is valid during the call. Stops with fn's value when that is
 * not 0. Returns 0 or -errno. */
typedef int store_limit_fn(void *arg, uint32_t peer, const char *text);
int store_limit_each(struct store *store, store_limit_fn *fn, void *arg)
	__attribute__((warn_unused_result));

#define STORE_USAGE_KEPT 3U

/* As struct limit_meter. */
struct store_usage_month {
	int64_t period_s; /* 0 = none */
	uint64_t rx;
	uint64_t tx;
};
struct store_usage {
	int64_t period_s;
	uint64_t rx;
	uint64_t tx;
	uint64_t epoch;
	uint64_t rx_seen;
	uint64_t tx_seen;
	struct store_usage_month kept[STORE_USAGE_KEPT];
};

/* Best within store_begin_unsynced(). Returns 0 or -errno. */
int store_usage_put(struct store *store, uint32_t peer, const struct store_usage *usage)
	__attribute__((warn_unused_result));
/* Call fn for every peer that has one. Stops with fn's value when that is not 0. Returns 0, -EUCLEAN or -errno. */
typedef int store_usage_fn(void *arg, uint32_t peer, const struct store_usage *usage);
int store_usage_each(struct store *store, store_usage_fn *fn, void *arg)
	__attribute__((warn_unused_result));

#endif
