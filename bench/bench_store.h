/* Both ends of what hands whole tables over, but for the socket between them: control's memfd, and a
 * dataplane with one worker, which asks for a table at once. */
#ifndef BENCH_STORE_H
#define BENCH_STORE_H

#include "blob.h"

struct bench_store {
	struct state_blobs published;
	struct state_routes *routes;
	struct blob_store *blobs;
	uint64_t generation;
};

/* Returns 0 or -errno; also on error bench_store_fini(). */
int bench_store_init(struct bench_store *store) __attribute__((warn_unused_result));
void bench_store_fini(struct bench_store *store); /* harmless when it was never made */

/* From a table that control has compiled to one that the worker uses: sealed, mapped, checked,
 * published; the one before is freed. *out (may be NULL) is borrowed until the next of the kind.
 * Returns 0 or -errno. */
int bench_store_put(struct bench_store *store, enum abi_blob kind, const void *data, size_t len,
                    const struct state_blob **out) __attribute__((warn_unused_result));

#endif
