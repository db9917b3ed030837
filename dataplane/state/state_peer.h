/* Peers as a worker knows them: whether they exist, their keepalive, and their sessions here. */
#ifndef STATE_PEER_H
#define STATE_PEER_H

#include "abi_layout.h"

#include <stdint.h>

struct state;

#define STATE_SLOT_NONE 0U /* slot 0 is never used */

struct state_peer {
	uint32_t first_slot; /* chain of this peer's sessions on this worker (next_of_peer) */
	uint32_t sync;       /* sync that repeated it last */
	uint64_t wanted_ns;  /* when control was last told that a session is wanted */
	uint16_t keepalive_s;
	uint8_t present : 1;
	uint8_t is_given_up : 1; /* control will not get a session, and was not asked since */
	uint8_t limits;          /* ABI_LIMIT_... */
	uint32_t limit_sync;     /* sync that repeated them last */
};
_Static_assert(sizeof(struct state_peer) == 24, "");

/* Add or change a peer. Returns 0 or -EINVAL (number out of range). */
int state_peer_put(struct state *st, const struct abi_cmd_peer *cmd)
	__attribute__((warn_unused_result));

/* Forget a peer with its routes and sessions. Unknown peers are forgotten already. Returns 0 or
 * -EINVAL (number out of range). */
int state_peer_drop(struct state *st, uint32_t peer) __attribute__((warn_unused_result));

/* Drop the peers that the sync which just ended did not repeat. */
void state_peer_sweep(struct state *st);

#endif
