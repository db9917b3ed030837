/* Help for a worker that has more to encrypt than its core can do: idle workers (helpers) run the
 * cipher over batches of its packets. The owner keeps everything else, and the order:
 *
 *   - A batch is a burst after in_open_begin() or out_seal_begin(): counters of what is sent are taken,
 *     in order, when the batch is made.
 *   - It goes to a helper that has less than three, or else the owner runs the cipher itself at once.
 *   - Batches are retired in the order in which they were made, whoever was done first: so packets of
 *     a session never overtake each other. What counts as a replay is decided at retirement, by
 *     in_accept, after the tag was verified.
 *   - A batch carries copies of its keys, so a session may be expired or retired meanwhile. Its packets
 *     are dropped at retirement then, as in_session or out_seal would drop them now.
 *   - While one batch is out, every burst goes this way, so none overtakes one of the same session.
 *
 * Bursts are not split by peer: all of the owner's packets go this way, of the heavy peer and of the
 * others in the same burst, since a full burst is what the cipher likes best.
 *
 * It switches on when the owner's receive bursts were full for a while and a mate is idle, and off when
 * the owner could do it alone (assist_switch.c). Off, it costs one branch a burst. */
#ifndef ASSIST_H
#define ASSIST_H

#include "assist_lane.h"
#include "path.h"

#include <stdbool.h>
#include <stdint.h>

/* Batches of one owner, of which so many may wait for the first. */
#define ASSIST_BATCHES 64U

enum assist_mode {
	ASSIST_AUTO = 0,
	ASSIST_NEVER = 1,
	ASSIST_ALWAYS = 2, /* for tests and benches */
};

enum assist_kind {
	ASSIST_OPEN = 0,
	ASSIST_SEAL = 1,
};

/* What all workers may see of one. */
struct assist_mate {
	_Alignas(64) _Atomic uint32_t willing; /* written by it: it has little to do */
	_Atomic uint32_t wants;                /* written by it: it is being helped */
	_Atomic uint32_t drained; /* written by it: it has ended, no batch of it is out */
};

/* Shared by all workers of a dataplane; zeroed memory is a valid beginning. */
struct assist_shared {
	struct assist_mate mate[ABI_WORKERS_MAX];
	struct assist_lane lane[ABI_WORKERS_MAX][ABI_WORKERS_MAX]; /* [owner][helper] */
};

/* The owner's, but from assist_lane_give() until the helper is done: then the helper's, which touches
 * ops[] and the payloads. Holds keys; wiped when it is given back. */
struct assist_batch {
	enum assist_kind kind;
	uint32_t ticket;
	struct assist_lane *lane; /* NULL: the owner has done it */
	uint64_t n_ended;         /* state.n_ended when it was made */
	struct path_burst burst;
	struct aead_op ops[PATH_BURST_MAX];
	uint32_t n_keys;
	/* copies, since the sessions' may be wiped; consecutive packets of a session share one */
	uint8_t keys[PATH_BURST_MAX][AEAD_KEY_LEN];
};

/* Of one worker, as owner and as helper. */
struct assist {
	uint32_t on;    /* helpers are asked */
	uint32_t n_out; /* batches made and not retired */
	uint32_t id;
	uint32_t n_workers;
	enum assist_mode mode;
	struct assist_shared *shared;
	struct assist_batch *batches; /* [ASSIST_BATCHES]; NULL when there is nobody to help */
	uint32_t n_free;
	struct assist_batch
		*free[ASSIST_BATCHES]; /* the last one used is the next, it is in cache */
	uint32_t first;                /* of fifo */
	struct assist_batch *fifo[ASSIST_BATCHES]; /* [n_out] from first, round */
	/* assist_switch.c */
	uint32_t n_full;     /* turns with a full burst, less those without */
	uint32_t n_given;    /* batches given in this window */
	uint32_t n_moved;    /* packets moved in this window, as helper */
	bool was_busy;       /* the last turn moved packets */
	uint64_t last_ns;    /* of the last turn */
	uint64_t busy_ns;    /* in this window */
	uint64_t window_ns;  /* when the owner's window began */
	uint64_t willing_ns; /* when the helper's window began */
	uint64_t again_ns;   /* not on before, after a helper was late */
};

/* Worker id of n_workers. shared is borrowed. Returns 0 or -ENOMEM. */
int assist_init(struct assist *assist, uint32_t id, uint32_t n_workers, enum assist_mode mode,
                struct assist_shared *shared) __attribute__((warn_unused_result));
/* Drop what is still out (DROP_STOPPED) and wipe the keys. All workers' threads have ended. */
void assist_fini(struct assist *assist, struct state *st);

/* ---- owner ---- */

/* Shall bursts go this way? The one branch on the path. */
static inline bool assist_is_used(const struct assist *assist)
{
	return (assist->on | assist->n_out) != 0;
}

/* Is there room for n batches? Without it the caller takes in no more packets. */
static inline bool assist_has_room(const struct assist *assist, uint32_t n)
{
	return assist->n_free >= n;
}

/* In place of in_open and out_seal: make a batch of the burst, which is empty afterwards. */
void assist_open(struct assist *assist, struct state *st, struct path_burst *b);
void assist_seal(struct assist *assist, struct state *st, struct path_burst *b);

/* The oldest batch if it is done, or NULL; it is out no more, and its burst is as in_open or out_seal
 * would have left it. Give it back with assist_put(). */
struct assist_batch *assist_retire(struct assist *assist, struct state *st);
void assist_put(struct assist *assist, struct assist_batch *batch);

/* ---- helper ---- */

/* Run the cipher over at most one batch of each owner. Returns how many. */
uint32_t assist_serve(struct assist *assist, struct state *st);

/* Is somebody being helped, or a batch here that is not done, so that we should not sleep? */
bool assist_is_wanted(const struct assist *assist);

/* ---- switch ---- */

/* At the end of each turn: it moved n packets, and is_full when a source gave a full burst. Returns
 * true when help was switched on just now, and helpers may have to be woken. */
bool assist_note_turn(struct assist *assist, struct state *st, uint32_t n, bool is_full);
/* Batches are used up, because a helper that has the oldest one does not come to it. */
void assist_note_stall(struct assist *assist, struct state *st);
/* We are about to sleep, so we have nothing to do. */
void assist_note_idle(struct assist *assist);

/* ---- end ---- */

/* The thread is about to end: ask nobody any more. */
void assist_stop(struct assist *assist);
/* Nothing of ours is out any more, and nobody can give us anything. Call assist_retire() and
 * assist_serve() until then, for a limited time. */
bool assist_is_drained(struct assist *assist);

#endif
