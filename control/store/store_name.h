/* Endpoints of peers by name. The row goes with the peer's. */
#ifndef STORE_NAME_H
#define STORE_NAME_H

#include "base_host.h"
#include "base_ip.h"
#include "store.h"

#include <stdint.h>

#define STORE_ANSWER_MAX 8U

struct store_name {
	struct base_host_port name;
	struct base_ip answer[STORE_ANSWER_MAX]; /* what it said last, in that order */
	uint32_t n_answer;
	uint64_t resolved_wall_ns; /* when; 0 = never */
};

/* Insert, or replace what the peer has: a change that the audit trail has under peer_name. Returns 0, -errno. */
int store_name_put(struct store *store, uint32_t peer, const char *peer_name,
                   const struct store_name *name) __attribute__((warn_unused_result));
/* The same with a peer that is found by address from now on. Returns 0, -ENOENT (it was before), -errno. */
int store_name_drop(struct store *store, uint32_t peer, const char *peer_name)
	__attribute__((warn_unused_result));
/* The answer alone, not synced: it can be had again. Returns 0, -ENOENT, -errno. */
int store_name_answer_put(struct store *store, uint32_t peer, const struct store_name *name)
	__attribute__((warn_unused_result));

/* Call fn for every row, by peer. Stops with fn's value when that is not 0. Returns 0, -EUCLEAN, -errno. */
typedef int store_name_fn(void *arg, uint32_t peer, const struct store_name *name);
int store_name_each(struct store *store, store_name_fn *fn, void *arg)
	__attribute__((warn_unused_result));

#endif
