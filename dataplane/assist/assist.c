/* Making, giving and retiring batches. */
#include "assist.h"

#include "base_bytes.h"
#include "path_rest.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define BATCHES_LEN (ASSIST_BATCHES * sizeof(struct assist_batch))

int assist_init(struct assist *assist, uint32_t id, uint32_t n_workers, enum assist_mode mode,
                struct assist_shared *shared)
{
	void *batches;

	*assist = (struct assist){.id = id, .n_workers = n_workers, .mode = mode, .shared = shared};
	if (n_workers < 2 || mode == ASSIST_NEVER)
		return 0;
	/* Touched when used, half a megabyte; with keys, which no core dump shall have. */
	batches = mmap(NULL, BATCHES_LEN, PROT_READ | PROT_WRITE,
	               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (batches == MAP_FAILED)
		return -ENOMEM;
	(void)madvise(batches, BATCHES_LEN, MADV_DONTDUMP);
	assist->batches = batches;
	for (uint32_t i = 0; i < ASSIST_BATCHES; i++)
		assist->free[assist->n_free++] = &assist->batches[i];
	atomic_store_explicit(&shared->mate[id].willing, 1, memory_order_relaxed);
	atomic_store_explicit(&shared->mate[id].drained, 0, memory_order_relaxed);
	atomic_store_explicit(&shared->mate[id].wants, mode == ASSIST_ALWAYS, memory_order_relaxed);
	assist->on = mode == ASSIST_ALWAYS;
	return 0;
}

/* ---- sessions of a batch ---- */

/* Copy the keys and let the ops point at the copies. */
static void keep_keys(struct assist_batch *batch)
{
	const struct state_session *last = NULL;

	batch->n_keys = 0;
	for (uint32_t i = 0; i < batch->burst.n; i++) {
		const struct state_session *session = batch->burst.pkt[i].session;

		if (session != last)
			memcpy(batch->keys[batch->n_keys++], batch->ops[i].key, AEAD_KEY_LEN);
		last = session;
		batch->ops[i].key = batch->keys[batch->n_keys - 1];
	}
}

/* The session of the packet is what it was, or the counter to drop the packet under. The index tells:
 * control gives a slot out again after all others, so the same one does not come back while a batch
 * is out. */
static uint32_t session_verdict(enum assist_kind kind, const struct path_pkt *p)
{
	if (p->session->index != p->index)
		return kind == ASSIST_OPEN ? ABI_COUNTER_DROP_UNKNOWN_INDEX
		                           : ABI_COUNTER_DROP_NO_SESSION;
	return p->session->expired ? ABI_COUNTER_DROP_SESSION_EXPIRED : PATH_KEEP;
}

/* Sessions have ended since the batch was made: drop the packets of those. */
static void drop_ended(struct state *st, struct assist_batch *batch)
{
	struct path_burst *b = &batch->burst;
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		uint32_t verdict = session_verdict(batch->kind, &b->pkt[i]);

		if (verdict == PATH_KEEP)
			batch->ops[n] = batch->ops[i];
		path_judge(st, b, i, verdict, &n);
	}
	b->n = n;
}

/* ---- making ---- */

static void run_cipher(struct aead *aead, struct assist_batch *batch)
{
	if (batch->kind == ASSIST_OPEN)
		aead_open(aead, batch->ops, batch->burst.n);
	else
		aead_seal(aead, batch->ops, batch->burst.n);
}

/* The lane to the willing mate that has least to do, or NULL. */
static struct assist_lane *pick_lane(const struct assist *assist)
{
	struct assist_lane *best = NULL;
	uint32_t best_out = ASSIST_LANE_MAX;

	for (uint32_t i = 0; i < assist->n_workers; i++) {
		struct assist_lane *lane = &assist->shared->lane[assist->id][i];
		uint32_t n_out;

		if (i == assist->id
		    || atomic_load_explicit(&assist->shared->mate[i].willing, memory_order_relaxed)
		               == 0)
			continue;
		n_out = assist_lane_out(lane);
		if (n_out < best_out) {
			best = lane;
			best_out = n_out;
		}
	}
	return best;
}

static void submit(struct assist *assist, struct state *st, struct assist_batch *batch)
{
	batch->n_ended = st->n_ended;
	keep_keys(batch);
	assist->fifo[(assist->first + assist->n_out++) % ASSIST_BATCHES] = batch;
	batch->lane = assist->on ? pick_lane(assist) : NULL;
	if (batch->lane) {
		aead_reach(batch->ops, batch->burst.n);
		batch->ticket = assist_lane_give(batch->lane, batch);
		assist->n_given++;
		state_count(st, ABI_COUNTER_ASSIST_BATCHES, 1);
		return;
	}
	run_cipher(st->aead, batch);
}

static struct assist_batch *take_burst(struct assist *assist, struct path_burst *b,
                                       enum assist_kind kind)
{
	struct assist_batch *batch = assist->free[--assist->n_free];

	batch->kind = kind;
	batch->burst.n = b->n;
	batch->burst.has_rests = false;
	memcpy(batch->burst.pkt, b->pkt, b->n * sizeof(b->pkt[0]));
	b->n = 0;
	return batch;
}

void assist_open(struct assist *assist, struct state *st, struct path_burst *b)
{
	struct assist_batch *batch;

	if (b->n == 0)
		return;
	batch = take_burst(assist, b, ASSIST_OPEN);
	in_open_begin(st, &batch->burst, batch->ops);
	submit(assist, st, batch);
}

void assist_seal(struct assist *assist, struct state *st, struct path_burst *b)
{
	struct assist_batch *batch;

	if (b->n == 0)
		return;
	/* None is left while others run the cipher, and that does not change within a burst. A helper would seal
	 * what is left as it is. */
	path_open_rests(st, b);
	batch = take_burst(assist, b, ASSIST_SEAL);
	out_seal_begin(st, &batch->burst, batch->ops);
	if (batch->burst.n == 0)
		assist->free[assist->n_free++] = batch; /* no key was copied yet */
	else
		submit(assist, st, batch);
}

/* ---- retiring ---- */

struct assist_batch *assist_retire(struct assist *assist, struct state *st)
{
	struct assist_batch *batch;

	if (assist->n_out == 0)
		return NULL;
	batch = assist->fifo[assist->first];
	if (batch->lane && !assist_lane_is_done(batch->lane, batch->ticket))
		return NULL;
	assist->first = (assist->first + 1) % ASSIST_BATCHES;
	assist->n_out--;
	if (unlikely(batch->n_ended != st->n_ended))
		drop_ended(st, batch);
	if (batch->kind == ASSIST_OPEN)
		in_open_end(st, &batch->burst, batch->ops);
	else
		out_seal_end(st, &batch->burst, batch->ops);
	return batch;
}

void assist_put(struct assist *assist, struct assist_batch *batch)
{
	base_wipe(batch->keys, batch->n_keys * sizeof(batch->keys[0]));
	assist->free[assist->n_free++] = batch;
}

/* ---- helping ---- */

uint32_t assist_serve(struct assist *assist, struct state *st)
{
	uint32_t n = 0;

	if (assist->batches == NULL)
		return 0;
	for (uint32_t i = 0; i < assist->n_workers; i++) {
		struct assist_lane *lane = &assist->shared->lane[i][assist->id];
		struct assist_batch *batch = assist_lane_take(lane);

		if (likely(batch == NULL))
			continue;
		run_cipher(st->aead, batch);
		assist_lane_finish(lane);
		n++;
	}
	if (n > 0)
		state_count(st, ABI_COUNTER_ASSIST_HELPED, n);
	return n;
}

/* An owner gives its last batch before it says that it wants no more: who sees the second sees the
 * first. */
bool assist_is_wanted(const struct assist *assist)
{
	if (assist->batches == NULL)
		return false;
	for (uint32_t i = 0; i < assist->n_workers; i++) {
		if (i == assist->id)
			continue;
		if (atomic_load_explicit(&assist->shared->mate[i].wants, memory_order_acquire)
		    || assist_lane_take(&assist->shared->lane[i][assist->id]) != NULL)
			return true;
	}
	return false;
}

/* ---- end ---- */

void assist_stop(struct assist *assist)
{
	assist->on = 0;
	if (assist->batches)
		atomic_store_explicit(&assist->shared->mate[assist->id].wants, 0,
		                      memory_order_release);
}

bool assist_is_drained(struct assist *assist)
{
	if (assist->batches == NULL)
		return true;
	if (assist->n_out == 0)
		atomic_store_explicit(&assist->shared->mate[assist->id].drained, 1,
		                      memory_order_release);
	for (uint32_t i = 0; i < assist->n_workers; i++)
		if (!atomic_load_explicit(&assist->shared->mate[i].drained, memory_order_acquire))
			return false;
	return true;
}

void assist_fini(struct assist *assist, struct state *st)
{
	if (assist->batches == NULL)
		return;
	while (assist->n_out > 0) {
		struct assist_batch *batch = assist->fifo[assist->first];

		for (uint32_t i = 0; i < batch->burst.n; i++)
			path_drop(st, batch->burst.pkt[i].mbuf, ABI_COUNTER_DROP_STOPPED);
		assist->first = (assist->first + 1) % ASSIST_BATCHES;
		assist->n_out--;
	}
	base_wipe(assist->batches, BATCHES_LEN);
	(void)munmap(assist->batches, BATCHES_LEN);
	assist->batches = NULL;
}
