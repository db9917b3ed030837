/* Limits of peers: token buckets for packets and bytes each way, and what is left of quotas. The words
 * that change lie in the region (struct abi_limit), one set a worker and peer, written by the worker
 * that owns the peer's session; path/limit.c takes from them.
 *
 * Control leaves a peer with limits at the worker that has it, so at any time one worker's buckets
 * count. Where two have live sessions of a peer (it moved in the minutes before it got its limits),
 * each grants the rate and the burst. */
#ifndef STATE_LIMIT_H
#define STATE_LIMIT_H

#include "abi_layout.h"

#include <stdbool.h>

struct state;
struct state_session;

/* Set, change or take away a peer's limits; the same again changes nothing. Buckets keep their level.
 * Returns 0 or -EINVAL (no such peer, a rate or a burst out of range). */
int state_limit_put(struct state *st, const struct abi_cmd_peer_limit *cmd)
	__attribute__((warn_unused_result));

/* Take away what the peer has, when the peer goes or control says so by a sync. */
void state_limit_forget(struct state *st, uint32_t peer);
void state_limit_sweep(struct state *st);

/* A session of an earlier dataplane says which limits (ABI_LIMIT_...) its peer had: they hold from the
 * first packet on, until control says more. */
void state_limit_resume(struct state *st, uint32_t peer, uint32_t limits);

/* What the peer has, as the command that makes it. False: nothing. */
bool state_limit_entry(const struct state *st, uint32_t peer, struct abi_cmd_peer_limit *out);

/* Tell a session, and its mirror in the region, of its peer's limits. */
void state_limit_apply(struct state *st, struct state_session *session);

#endif
