/* The replay window: 8192 bits in a ring of 64-bit words, of which 8128 counters behind the
 * newest are distinguished (RFC 6479's algorithm; the word being filled is not relied on). */
#ifndef WG_REPLAY_H
#define WG_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#define WG_REPLAY_BITS   8192U
#define WG_REPLAY_WINDOW 8128U /* WG_REPLAY_BITS - 64 */
#define WG_REPLAY_WORDS  (WG_REPLAY_BITS / 64U)

struct wg_replay {
	uint64_t next; /* 1 + highest counter accepted; 0 = none */
	uint64_t words[WG_REPLAY_WORDS];
};

/* Empty window. */
void wg_replay_init(struct wg_replay *replay);

/* A window after a restart that remembers only that everything below next may have been seen. */
void wg_replay_resume(struct wg_replay *replay, uint64_t next);

/* Could counter still be accepted? Cheap look before the tag is verified; changes nothing. */
bool wg_replay_may_accept(const struct wg_replay *replay, uint64_t counter);

/* Accept counter if it is new: call only after the tag was verified. False = replay, nothing
 * changed. Counters at or above 2^64 - 2^13 - 1 are refused. */
bool wg_replay_accept(struct wg_replay *replay, uint64_t counter);

#endif
