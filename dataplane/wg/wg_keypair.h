/* Rotation of a peer's keypairs: previous, current, next (whitepaper 6; kernel noise.c keeps the
 * same three). Pure book-keeping over indices: the keys themselves are elsewhere. Every change
 * answers with the keypairs to retire, so that the caller cannot forget one. */
#ifndef WG_KEYPAIR_H
#define WG_KEYPAIR_H

#include "base_time.h"

#include <stdbool.h>
#include <stdint.h>

#define WG_REKEY_AFTER_MESSAGES  (UINT64_C(1) << 60)
#define WG_REJECT_AFTER_MESSAGES (UINT64_MAX - (UINT64_C(1) << 13)) /* 2^64 - 2^13 - 1 */
#define WG_REKEY_AFTER_TIME_NS   (120 * BASE_NS_PER_S)
#define WG_REJECT_AFTER_TIME_NS  (180 * BASE_NS_PER_S)
#define WG_REKEY_TIMEOUT_NS      (5 * BASE_NS_PER_S)
#define WG_REKEY_ATTEMPT_TIME_NS (90 * BASE_NS_PER_S)
#define WG_KEEPALIVE_TIMEOUT_NS  (10 * BASE_NS_PER_S)
#define WG_ZERO_AFTER_NS         (540 * BASE_NS_PER_S)
#define WG_JITTER_MAX_NS         (333 * BASE_NS_PER_MS)

struct wg_keypair {
	uint32_t index; /* ours, 0 = slot empty */
	bool initiator;
	uint64_t birth_ns;
};

struct wg_keypair_ring {
	struct wg_keypair previous;
	struct wg_keypair current;
	struct wg_keypair next; /* responder's, not yet confirmed */
};

struct wg_keypair_retired {
	uint32_t n;
	uint32_t index[3];
};

/* A handshake produced a keypair. Initiator: it becomes current at once, and previous is retired;
 * an unconfirmed next becomes previous, since the peer may already send with it, and the old
 * current is retired; without a next the old current becomes previous. Responder: it becomes next;
 * previous and an older next are retired. fresh.index is not 0. */
struct wg_keypair_retired wg_keypair_add(struct wg_keypair_ring *ring, struct wg_keypair fresh);

/* First authenticated packet on index: if it is next, it becomes current, and current previous.
 * *switched tells. Any other index changes nothing. */
struct wg_keypair_retired wg_keypair_confirm(struct wg_keypair_ring *ring, uint32_t index,
                                             bool *switched);

/* Retire every keypair of 180 s or more. */
struct wg_keypair_retired wg_keypair_expire(struct wg_keypair_ring *ring, uint64_t now_ns);

/* Retire all (peer removed, or 540 s without a new one). */
struct wg_keypair_retired wg_keypair_clear(struct wg_keypair_ring *ring);

/* Predicates for every packet. birth_ns may lie a little ahead of now_ns: it was read on another
 * thread. A counter is good below 2^64 - 2^13 - 1, a keypair until it is 180 s old. */

/* send_counter: the next to be used. */
static inline bool wg_keypair_may_send(uint64_t birth_ns, uint64_t send_counter, uint64_t now_ns)
{
	return send_counter < WG_REJECT_AFTER_MESSAGES
	       && now_ns < birth_ns + WG_REJECT_AFTER_TIME_NS;
}

/* receive_counter: the received packet's. */
static inline bool wg_keypair_may_receive(uint64_t birth_ns, uint64_t receive_counter,
                                          uint64_t now_ns)
{
	return receive_counter < WG_REJECT_AFTER_MESSAGES
	       && now_ns < birth_ns + WG_REJECT_AFTER_TIME_NS;
}

/* After sending: is a rekey due? (initiator 120 s old, or 2^60 messages sent in either role) */
static inline bool wg_keypair_rekey_after_send(uint64_t birth_ns, bool initiator,
                                               uint64_t send_counter, uint64_t now_ns)
{
	return send_counter >= WG_REKEY_AFTER_MESSAGES
	       || (initiator && now_ns >= birth_ns + WG_REKEY_AFTER_TIME_NS);
}

/* After receiving: initiator 180 - 10 - 5 s old, the last moment for a rekey in time. */
static inline bool wg_keypair_rekey_after_receive(uint64_t birth_ns, bool initiator,
                                                  uint64_t now_ns)
{
	return initiator
	       && now_ns >= birth_ns + WG_REJECT_AFTER_TIME_NS - WG_KEEPALIVE_TIMEOUT_NS
	                            - WG_REKEY_TIMEOUT_NS;
}

#endif
