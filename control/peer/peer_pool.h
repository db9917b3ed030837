/* Which address of a tunnel net is free. Pure. */
#ifndef PEER_POOL_H
#define PEER_POOL_H

#include "base_ip.h"

#include <stdbool.h>
#include <stddef.h>

/* Is this address of the net taken? by gets a prefix in the net that covers it; one that covers the whole
 * net (a default route) does not count. */
typedef bool peer_pool_used_fn(void *arg, const struct base_ip *ip, struct base_prefix *by);

/* Find the lowest free address of a net.
 * hub   the hub's own address with the net's length; it, the net's first address and, for IPv4,
 *       its last are never given
 * from  begin with this one, since all below are known to be taken; family NONE = with the first
 * Returns 0 or -ENOSPC (none is free). Cost: a question for each prefix in the way. */
int peer_pool_pick(const struct base_prefix *hub, const struct base_ip *from,
                   peer_pool_used_fn *used, void *arg, struct base_ip *out)
	__attribute__((warn_unused_result));

/* True when a peer may have this address of the net. */
bool peer_pool_allows(const struct base_prefix *hub, const struct base_ip *ip);

#endif
