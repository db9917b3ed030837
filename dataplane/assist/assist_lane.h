/* From one owner to one helper: batches to be done, in order, at most three under way. Two words, each
 * with one writer; no DPDK, no lock, no read-modify-write.
 *
 * The owner fills a job, puts it into a slot and stores `given` with release; the helper loads `given`
 * with acquire, so it sees the whole job. The helper works on it and stores `done` with release; the
 * owner loads `done` with acquire before it looks at the job again, so it sees what was done. In
 * between the job is the helper's alone. There are more slots than jobs under way, so a slot is
 * written anew only after its job was done. The counts wrap, which their differences do not mind. */
#ifndef ASSIST_LANE_H
#define ASSIST_LANE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ASSIST_LANE_MAX   3U /* jobs under way */
#define ASSIST_LANE_SLOTS 4U

struct assist_lane {
	_Alignas(64) _Atomic uint32_t given; /* written by the owner: jobs ever given */
	uint32_t pad;
	void *slot[ASSIST_LANE_SLOTS];      /* written by the owner */
	_Alignas(64) _Atomic uint32_t done; /* written by the helper: jobs ever done */
};
_Static_assert(sizeof(struct assist_lane) == 128, "a line for each writer");

/* Owner: how many jobs are under way. */
static inline uint32_t assist_lane_out(const struct assist_lane *lane)
{
	return atomic_load_explicit(&lane->given, memory_order_relaxed)
	       - atomic_load_explicit(&lane->done, memory_order_acquire);
}

/* Owner: give a job; only while fewer than ASSIST_LANE_MAX are under way. Returns its ticket. */
static inline uint32_t assist_lane_give(struct assist_lane *lane, void *job)
{
	uint32_t ticket = atomic_load_explicit(&lane->given, memory_order_relaxed);

	lane->slot[ticket % ASSIST_LANE_SLOTS] = job;
	atomic_store_explicit(&lane->given, ticket + 1, memory_order_release);
	return ticket;
}

/* Owner: has the job with this ticket been done? */
static inline bool assist_lane_is_done(const struct assist_lane *lane, uint32_t ticket)
{
	return (int32_t)(atomic_load_explicit(&lane->done, memory_order_acquire) - ticket) > 0;
}

/* Helper: the oldest job that is not done, or NULL. */
static inline void *assist_lane_take(const struct assist_lane *lane)
{
	uint32_t done = atomic_load_explicit(&lane->done, memory_order_relaxed);

	if (atomic_load_explicit(&lane->given, memory_order_acquire) == done)
		return NULL;
	return lane->slot[done % ASSIST_LANE_SLOTS];
}

/* Helper: the job that was taken is done; it is the owner's again. */
static inline void assist_lane_finish(struct assist_lane *lane)
{
	atomic_store_explicit(&lane->done,
	                      atomic_load_explicit(&lane->done, memory_order_relaxed) + 1,
	                      memory_order_release);
}

#endif
