/* The tables that control handed over whole: what this worker uses of each kind, and telling so. Each is
 * taken anew every turn, one load a kind, since the main thread frees an old one as soon as we were quiet
 * (state_blob.h). */
#include "worker_private.h"

/* Say what is in use, for whoever compares it with what should be: hash first, so that a reader who finds
 * a generation finds its hash, or a newer one. Returns true when it is another than before; the same one sent
 * again is another, for its memory is. */
static bool publish(struct worker *w, enum abi_blob kind, const struct state_blob *blob)
{
	struct abi_blob_status *status = &w->status->blobs[kind];
	uint64_t generation = blob ? blob->generation : 0;

	if (likely(blob == w->blobs[kind] && generation == w->blob_generations[kind]))
		return false;
	w->blobs[kind] = blob;
	w->blob_generations[kind] = generation;
	__atomic_store_n(&status->hash, blob ? blob->hash : 0, __ATOMIC_RELAXED);
	__atomic_store_n(&status->generation, generation, __ATOMIC_RELEASE);
	return true;
}

void worker__blob_init(struct worker *w)
{
	for (uint32_t kind = 0; kind < ABI_N_BLOBS; kind++) {
		__atomic_store_n(&w->status->blobs[kind].generation, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&w->status->blobs[kind].hash, 0, __ATOMIC_RELAXED);
	}
}

static void *take(struct worker *w, enum abi_blob kind)
{
	const struct state_blob *blob = state_blob_get(w->st.blobs, kind);

	(void)publish(w, kind, blob);
	return blob ? blob->data : NULL;
}

/* What we have of it is our own copy, so it is looked at only when it is another. */
static void take_capture(struct worker *w)
{
	const struct state_blob *blob = state_blob_get(w->st.blobs, ABI_BLOB_CAPTURE);

	if (unlikely(publish(w, ABI_BLOB_CAPTURE, blob)))
		state_capture_set(&w->st.capture, blob, w->setup.id);
}

void worker__blob_take(struct worker *w)
{
	w->st.policy = take(w, ABI_BLOB_POLICY);
	w->st.block = take(w, ABI_BLOB_BLOCK);
	take_capture(w);
}
