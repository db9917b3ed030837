/* Cryptokey routing: inner prefix -> peer. During a sync a second table is built beside the one in
 * use, and replaces it at the end; so nothing that control repeats is ever away. */
#ifndef STATE_ROUTE_H
#define STATE_ROUTE_H

#include "abi_layout.h"
#include "wg_allowedips.h"

#include <stdint.h>

struct state;

struct state_routes {
	struct wg_allowedips *table;
	struct wg_allowedips *fresh; /* being built by a sync, else NULL */
};

/* Give the prefix to the peer, or take it away if it is the peer's. Return 0, -EINVAL, -ENOMEM. */
int state_route_put(struct state *st, const struct abi_cmd_route *cmd)
	__attribute__((warn_unused_result));
int state_route_drop(struct state *st, const struct abi_cmd_route *cmd)
	__attribute__((warn_unused_result));

/* Remove all prefixes of a peer. */
void state_route_remove_peer(struct state *st, uint32_t peer);

int state_route_sync_begin(struct state *st) __attribute__((warn_unused_result));
void state_route_sync_end(struct state *st);

/* Peer of an inner packet's address; version is that of its header, 4 or 6. ABI_PEER_NONE = none. */
static inline uint32_t state_route_lookup(const struct state_routes *routes, uint32_t version,
                                          const uint8_t *address)
{
	return version == 4 ? wg_allowedips_lookup_v4(routes->table, address)
	                    : wg_allowedips_lookup_v6(routes->table, address);
}

_Static_assert(WG_ALLOWEDIPS_NONE == ABI_PEER_NONE, "a miss is no peer");

#endif
