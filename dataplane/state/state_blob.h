/* Whole tables that all workers read (abi_blob.h), as the dataplane's main thread publishes them: one
 * pointer a kind, stored by it and loaded by each worker between two bursts. What it takes out of use it
 * frees when every worker has been between two bursts since (dataplane/blob). */
#ifndef STATE_BLOB_H
#define STATE_BLOB_H

#include "abi_layout.h"

#include <stddef.h>
#include <stdint.h>

/* Nothing of it changes while it is published. */
struct state_blob {
	void *data; /* checked, and mapped to be written only if its kind is */
	size_t len;
	size_t map_len; /* of the mapping that it lies in */
	uint64_t generation;
	uint64_t hash; /* as in struct abi_blob_status */
};

struct state_blobs {
	const struct state_blob *current[ABI_N_BLOBS]; /* NULL = none */
};

/* Thread: a worker, between two bursts. What it returns may be used until the next time that the worker
 * says it is quiet, or asks for commands (state_route_quiet(), state_route_passed()). */
static inline const struct state_blob *state_blob_get(const struct state_blobs *blobs,
                                                      enum abi_blob kind)
{
	return __atomic_load_n(&blobs->current[kind], __ATOMIC_ACQUIRE);
}

#endif
