/* When to ask for help, and when to give it.
 *
 * On: the owner's bursts were full for 32 turns (with few exceptions), so what waits for it does not
 * become less, and a mate has little to do. A full burst says that as well as the length of the
 * queue does, which not every port can tell; 32 of them are 2048 packets, 1 to 2 ms of work.
 *
 * Off: for 10 ms the owner was busy for less than 40 % of the time. A helper takes up to about half of the
 * work, so alone it would be busy for less than 80 %: it does not come on again at once. Also off
 * when no helper took anything for as long. And off for a second when a helper was so late that all
 * batches waited for its one: somebody else has its core, and it does more harm than good.
 *
 * A worker is willing while it moves less than 256 packets a millisecond, some 5 to 15 % of a core. */
#include "assist.h"
#include "base_time.h"

#define FULL_ON           32U
#define FULL_FORGIVE      4U /* a turn without a full burst takes back so many */
#define WINDOW_NS         (10 * BASE_NS_PER_MS)
#define BUSY_OFF_PERCENT  40U
#define STALL_NS          BASE_NS_PER_S
#define WILLING_WINDOW_NS BASE_NS_PER_MS
#define WILLING_MAX       256U

static void publish(_Atomic uint32_t *word, uint32_t value)
{
	if (atomic_load_explicit(word, memory_order_relaxed) != value)
		atomic_store_explicit(word, value, memory_order_relaxed);
}

static struct assist_mate *self(const struct assist *assist)
{
	return &assist->shared->mate[assist->id];
}

void assist_note_idle(struct assist *assist)
{
	if (assist->batches)
		publish(&self(assist)->willing, 1);
}

static void note_willing(struct assist *assist, uint32_t n, uint64_t now_ns)
{
	assist->n_moved += n;
	if (now_ns - assist->willing_ns < WILLING_WINDOW_NS)
		return;
	publish(&self(assist)->willing, assist->n_moved < WILLING_MAX);
	assist->n_moved = 0;
	assist->willing_ns = now_ns;
}

static bool is_mate_willing(const struct assist *assist)
{
	for (uint32_t i = 0; i < assist->n_workers; i++)
		if (i != assist->id
		    && atomic_load_explicit(&assist->shared->mate[i].willing, memory_order_relaxed))
			return true;
	return false;
}

static void begin_window(struct assist *assist, uint64_t now_ns)
{
	assist->window_ns = now_ns;
	assist->busy_ns = 0;
	assist->n_given = 0;
}

static bool consider_on(struct assist *assist, struct state *st, bool is_full)
{
	if (!is_full) {
		assist->n_full -= assist->n_full < FULL_FORGIVE ? assist->n_full : FULL_FORGIVE;
		return false;
	}
	if (assist->n_full < FULL_ON)
		assist->n_full++;
	if (assist->n_full < FULL_ON || st->now_ns < assist->again_ns || !is_mate_willing(assist))
		return false;
	assist->on = 1;
	assist->n_full = 0;
	publish(&self(assist)->wants, 1);
	begin_window(assist, st->now_ns);
	state_count(st, ABI_COUNTER_ASSIST_ON, 1);
	return true;
}

static void switch_off(struct assist *assist)
{
	assist->on = 0;
	atomic_store_explicit(&self(assist)->wants, 0, memory_order_release);
}

void assist_note_stall(struct assist *assist, struct state *st)
{
	if (!assist->on || assist->mode == ASSIST_ALWAYS)
		return;
	switch_off(assist);
	assist->again_ns = st->now_ns + STALL_NS;
	state_count(st, ABI_COUNTER_ASSIST_LATE, 1);
}

static void consider_off(struct assist *assist, uint64_t now_ns)
{
	uint64_t window_ns = now_ns - assist->window_ns;

	if (window_ns < WINDOW_NS)
		return;
	if (assist->busy_ns * 100 < window_ns * BUSY_OFF_PERCENT || assist->n_given == 0)
		switch_off(assist);
	begin_window(assist, now_ns);
}

bool assist_note_turn(struct assist *assist, struct state *st, uint32_t n, bool is_full)
{
	bool is_new = false;

	if (assist->batches == NULL)
		return false;
	note_willing(assist, n, st->now_ns);
	if (assist->mode == ASSIST_ALWAYS)
		return false;
	if (!assist->on) {
		is_new = consider_on(assist, st, is_full);
	} else {
		/* The time since the last turn began was the last turn's. */
		if (assist->was_busy)
			assist->busy_ns += st->now_ns - assist->last_ns;
		consider_off(assist, st->now_ns);
	}
	assist->last_ns = st->now_ns;
	assist->was_busy = n > 0;
	return is_new;
}
