/* Which address of a tunnel net is free. Pure. */
#ifndef PEER_POOL_H
#define PEER_POOL_H

#include "base_ip.h"

#include <stdbool.h>
#include <stddef.h>

/* Find the lowest free address of a net.
 * hub   the hub's own address with the net's length; it, the net's first address and, for IPv4,
 *       its last are never given
 * used  [n] prefixes of peers; those that cover the whole net (a default route) do not count
 * Returns 0, -ENOSPC (none is free), -ENOMEM. Cost: a sort of the prefixes in the net. */
int peer_pool_pick(const struct base_prefix *hub, const struct base_prefix *used, size_t n,
                   struct base_ip *out) __attribute__((warn_unused_result));

/* True when a peer may have this address of the net. */
bool peer_pool_allows(const struct base_prefix *hub, const struct base_ip *ip);

#endif
