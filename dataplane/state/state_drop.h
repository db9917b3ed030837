/* How many packets of each peer were dropped, by reason, and which of them control is shown. Counts are
 * exact and lie in the region (struct abi_drop_pair); samples are few, whatever is dropped: a burst of
 * STATE_DROP_BURST of each peer and reason, then one a second, and of all STATE_DROP_ALL a second. */
#ifndef STATE_DROP_H
#define STATE_DROP_H

#include "abi_layout.h"
#include "base_bucket.h"
#include "base_fetch.h"

#include <stdbool.h>
#include <stdint.h>

struct state;

#define STATE_DROP_BURST     8U
#define STATE_DROP_ALL       1000U /* samples a second and worker */
#define STATE_DROP_ALL_BURST 256U

/* All zero but pairs and mask is right. */
struct state_drops {
	struct abi_drop_pair *pairs; /* [mask + 1], in the region: this worker writes */
	uint32_t mask;
	uint32_t pad;
	struct base_bucket samples;
};

/* What is counted under a packet's peer and reason, as in struct abi_report_drop. */
struct state_drop_noted {
	uint64_t count;
	uint32_t place;
};

/* A packet of this peer (or ABI_PEER_NONE, ABI_PEER_HUB) was dropped for this reason, an abi_counter:
 * count it. True when a sample of it is due. Cost: one line of the table. */
bool state_drop_note(struct state *st, uint32_t peer, uint32_t reason,
                     struct state_drop_noted *noted);

/* It may be about to be: reach for that line. */
static BASE_FETCHES void state_drop_prefetch(const struct state_drops *drops, uint32_t peer,
                                             uint32_t reason)
{
	__builtin_prefetch(&drops->pairs[abi_drop_place(abi_drop_key(peer, reason)) & drops->mask],
	                   1);
}

/* The peer is gone, and its number may be given to another: its counts begin anew. */
void state_drop_forget(struct state *st, uint32_t peer);

#endif
