/* What a peer's own configuration needs to let through: with whom grants connect it. */
#ifndef GRANT_REACH_H
#define GRANT_REACH_H

#include "grant_world.h"

/* The hub's addresses, and those of everything that the peer may reach or that may reach it (its
 * replies go there, and the peer's own AllowedIPs must not refuse what opens), at whatever time,
 * but for grants that are over: ascending, each once, none inside another. nets: the hub's tunnel
 * nets, [n_nets], which stand for "any".
 * Returns 0 with *out [*n_out], which the caller frees, or -ENOMEM. */
int grant_reach(const struct grant_policy *policy, const struct grant_world *world,
                const struct grant_peer *peer, const struct base_prefix *nets, uint32_t n_nets,
                uint64_t now_s, struct base_prefix **out, size_t *n_out)
	__attribute__((warn_unused_result));

#endif
