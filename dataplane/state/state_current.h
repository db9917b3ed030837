/* The session that a peer is sent to on, as one word a peer: the session's birth (in units of 2^24
 * ns, 17 ms) above, its index below, so that one compare-and-swap lets only a newer session replace
 * an older one, whichever worker owns which. Index ABI_INDEX_NONE: no session.
 *
 * Shared by all workers: the owner of a session writes, everybody reads, once for each packet. The
 * index names the owner, so a reader who is not it hands the packet over and needs nothing else. An
 * owner that frees a session first takes its index out of the word; only it does so; therefore an
 * index in the word whose owner is the reader itself is always alive. */
#ifndef STATE_CURRENT_H
#define STATE_CURRENT_H

#include "abi_layout.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct state_current {
	_Atomic uint64_t word;
};

#define STATE_CURRENT_STAMP_SHIFT 24U

static inline uint64_t state_current_word(uint32_t index, uint64_t birth_ns)
{
	return (birth_ns >> STATE_CURRENT_STAMP_SHIFT) << 32 | index;
}

/* Index of the peer's current session or ABI_INDEX_NONE. Acquire: pairs with state_current_set(). */
static inline uint32_t state_current_get(struct state_current *current)
{
	return (uint32_t)atomic_load_explicit(&current->word, memory_order_acquire);
}

/* Make index the peer's current session unless a newer one is. Returns true when it is now. */
static inline bool state_current_set(struct state_current *current, uint32_t index,
                                     uint64_t birth_ns)
{
	uint64_t fresh = state_current_word(index, birth_ns);
	uint64_t seen = atomic_load_explicit(&current->word, memory_order_relaxed);

	do {
		/* Stamps wrap after two years of uptime: compare their distance. */
		if ((int32_t)((uint32_t)(fresh >> 32) - (uint32_t)(seen >> 32)) < 0
		    && (uint32_t)seen != ABI_INDEX_NONE)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&current->word, &seen, fresh, memory_order_release, memory_order_relaxed));
	return true;
}

/* Make index the peer's current session, whichever was. */
static inline void state_current_take(struct state_current *current, uint32_t index,
                                      uint64_t birth_ns)
{
	if (state_current_get(current) != index)
		atomic_store_explicit(&current->word, state_current_word(index, birth_ns),
		                      memory_order_release);
}

/* The peer has no current session any more, if it was index. Returns true when it was. */
static inline bool state_current_clear(struct state_current *current, uint32_t index)
{
	uint64_t seen = atomic_load_explicit(&current->word, memory_order_relaxed);

	do {
		if ((uint32_t)seen != index)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&current->word, &seen, 0, memory_order_release, memory_order_relaxed));
	return true;
}

#endif
