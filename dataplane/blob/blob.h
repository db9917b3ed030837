/* Tables that control hands over whole (abi_blob.h): checked, mapped, published to the workers, and
 * taken away again when nobody reads them any more. What each kind must be stands in blob_kind.c, and
 * nowhere else.
 *
 * A blob that is refused changes nothing: the one before stays in force.
 * Thread: the dataplane's main thread, all functions. */
#ifndef BLOB_H
#define BLOB_H

#include "abi_blob.h"
#include "state_blob.h"
#include "state_route.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blob_store;

/* published: where the workers look; routes: whose quiet points are waited for. Both borrowed. Returns 0
 * or -ENOMEM. */
int blob_store_create(struct state_blobs *published, struct state_routes *routes,
                      struct blob_store **out) __attribute__((warn_unused_result));
/* When no worker runs: all are taken away. */
void blob_store_destroy(struct blob_store *store);

/* Control sent this; fd is taken, -1 = none of this kind any more. Its answer comes from
 * blob_store_answer(): at once when it is refused, which is logged, else when every worker uses it. */
void blob_store_put(struct blob_store *store, const struct abi_blob_message *message, int fd);

/* Free what nobody reads any more. Returns true and the next answer to be sent, or false. */
bool blob_store_answer(struct blob_store *store, struct abi_blob_message *out);

/* Is anything waited for? Then call blob_store_answer() again soon. */
bool blob_store_waits(const struct blob_store *store);

/* ---- kinds: blob_kind.c ---- */

struct blob_kind {
	const char *name; /* in logs and refusals */
	int seals;        /* that its memfd must bear */
	bool is_written;  /* workers write to it */
	size_t len_max;
	/* Can data[len] be read without leaving it, whatever is in it? Returns NULL or what is wrong, a
	 * literal. NULL here: this dataplane does not know the kind, and refuses it. */
	const char *(*check)(const void *data, size_t len);
};

/* By enum abi_blob. */
extern const struct blob_kind blob_kinds[ABI_N_BLOBS];

#endif
