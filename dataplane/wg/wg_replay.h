/* The replay window: 8192 bits in a ring of 64-bit words, of which 8128 counters behind the
 * newest are distinguished (RFC 6479's algorithm; the word being filled is not relied on). */
#ifndef WG_REPLAY_H
#define WG_REPLAY_H

#include "base_fetch.h"
#include "wg_keypair.h"

#include <stdbool.h>
#include <stdint.h>

#define WG_REPLAY_BITS   8192U
#define WG_REPLAY_WINDOW 8128U /* WG_REPLAY_BITS - 64 */
#define WG_REPLAY_WORDS  (WG_REPLAY_BITS / 64U)

/* What each packet touches. */
struct wg_replay {
	uint64_t next; /* 1 + highest counter accepted; 0 = none */
	uint64_t
		newest; /* the word that next is in: the one in the ring waits to be overwritten by it, so
	                    that packets in order touch the ring once in 64 times */
};

/* The rest of the same window: apart, so that what each packet touches lies close together even with very
 * many windows. */
struct wg_replay_ring {
	uint64_t words[WG_REPLAY_WORDS];
};

/* Empty window. */
void wg_replay_init(struct wg_replay *replay, struct wg_replay_ring *ring);

/* A window after a restart that remembers only that everything below next may have been seen. */
void wg_replay_resume(struct wg_replay *replay, struct wg_replay_ring *ring, uint64_t next);

/* The word with the bit at this position, which is not above next. */
static inline const uint64_t *wg_replay_word(const struct wg_replay *replay,
                                             const struct wg_replay_ring *ring, uint64_t position)
{
	return position / 64 == replay->next / 64 ? &replay->newest
	                                          : &ring->words[position / 64 % WG_REPLAY_WORDS];
}

/* Could counter still be accepted? Cheap look before the tag is verified; changes nothing. */
static inline bool wg_replay_may_accept(const struct wg_replay *replay,
                                        const struct wg_replay_ring *ring, uint64_t counter)
{
	/* As next does, the bits count from 1, so that an empty window needs no case of its own. */
	uint64_t position = counter + 1;

	if (counter >= WG_REJECT_AFTER_MESSAGES)
		return false;
	if (position > replay->next)
		return true;
	if (replay->next - position > WG_REPLAY_WINDOW)
		return false;
	return (*wg_replay_word(replay, ring, position) >> position % 64 & 1) == 0;
}

/* Reach for what wg_replay_accept() will write, if it is not the newest word. */
static BASE_FETCHES void wg_replay_prefetch(const struct wg_replay *replay,
                                            const struct wg_replay_ring *ring, uint64_t counter)
{
	uint64_t word = (counter + 1) / 64;
	uint64_t newest = replay->next / 64;

	if (word != newest)
		__builtin_prefetch(&ring->words[(word < newest ? word : newest) % WG_REPLAY_WORDS],
		                   1);
}

/* The window moves up to position. */
static inline void wg_replay_advance(struct wg_replay *replay, struct wg_replay_ring *ring,
                                     uint64_t position)
{
	uint64_t newest = replay->next / 64;
	uint64_t n = position / 64 - newest;

	replay->next = position;
	if (n == 0)
		return;
	ring->words[newest % WG_REPLAY_WORDS] = replay->newest;
	replay->newest = 0;
	if (n > WG_REPLAY_WORDS + 1)
		n = WG_REPLAY_WORDS + 1;
	for (uint64_t i = 1; i < n; i++)
		ring->words[(newest + i) % WG_REPLAY_WORDS] = 0;
}

/* Accept counter if it is new: call only after the tag was verified. False = replay, nothing
 * changed. Counters at or above 2^64 - 2^13 - 1 are refused. */
static inline bool wg_replay_accept(struct wg_replay *replay, struct wg_replay_ring *ring,
                                    uint64_t counter)
{
	uint64_t position = counter + 1;
	uint64_t *word = &replay->newest;

	/* Mostly it is the next one, and of the same word. */
	if (__builtin_expect(counter == replay->next && position % 64 != 0
	                             && counter < WG_REJECT_AFTER_MESSAGES,
	                     1)) {
		replay->next = position;
		replay->newest |= UINT64_C(1) << position % 64;
		return true;
	}
	if (!wg_replay_may_accept(replay, ring, counter))
		return false;
	if (position > replay->next)
		wg_replay_advance(replay, ring, position);
	else if (position / 64 != replay->next / 64)
		word = &ring->words[position / 64 % WG_REPLAY_WORDS];
	*word |= UINT64_C(1) << position % 64;
	return true;
}

#endif
