/* The underlay as the kernel sees it, mirrored by control: ports, routes, neighbours. Consulted when
 * a header template is made, not for every packet: a template remembers the generation it was made
 * in, and any change here starts a new one. */
#ifndef STATE_WAN_H
#define STATE_WAN_H

#include "abi_layout.h"
#include "wg_allowedips.h"

#include <stdint.h>

struct state;

#define STATE_WAN_ROUTES_MAX     4096U
#define STATE_WAN_NEIGHBOURS_MAX 65536U

struct state_wan_port {
	uint8_t mac[6];
	uint16_t mtu;     /* bytes of IP packet */
	uint8_t sums_udp; /* 1: completes UDP checksums of what is sent on it, if asked to */
};

struct state_wan_route {
	struct abi_cmd_wan_route route;
	uint32_t sync;
	uint32_t used;
};

struct state_wan_neighbour {
	struct abi_cmd_neighbour entry;
	uint32_t sync;
	uint32_t used;
};

struct state_wan {
	uint32_t generation; /* of everything here and of the hub's addresses; never 0 */
	uint32_t n_ports;
	struct state_wan_port ports[ABI_PORTS_MAX];
	struct wg_allowedips *by_port[ABI_PORTS_MAX]; /* prefix -> position in routes */
	struct state_wan_route *routes;               /* [n_routes], holes are not used */
	uint32_t n_routes;
	struct state_wan_neighbour *neighbours; /* [1 << bits], open addressing, linear probing */
	uint32_t neighbour_bits;
	uint32_t n_neighbours;
};

/* Where a datagram to an endpoint leaves, and as what. */
struct state_hop {
	uint32_t port;
	uint8_t mac[6]; /* of the next hop */
	uint16_t pad;
	struct base_ip source;
	struct base_ip next; /* next hop; filled in for -EHOSTUNREACH too, port likewise */
};

int state_wan_init(struct state_wan *wan) __attribute__((warn_unused_result));
void state_wan_fini(struct state_wan *wan);

/* Make every header template stale. */
void state_wan_changed(struct state *st);

/* Commands. Return 0, -EINVAL (port that is not there), -ENOMEM, -ENOSPC. Dropping what is not there
 * is done already. */
int state_wan_route_put(struct state *st, const struct abi_cmd_wan_route *cmd)
	__attribute__((warn_unused_result));
int state_wan_route_drop(struct state *st, const struct abi_cmd_wan_route *cmd)
	__attribute__((warn_unused_result));
int state_wan_neighbour_put(struct state *st, const struct abi_cmd_neighbour *cmd)
	__attribute__((warn_unused_result));
int state_wan_neighbour_drop(struct state *st, const struct abi_cmd_neighbour *cmd)
	__attribute__((warn_unused_result));

/* Remove what the sync which just ended did not repeat. */
void state_wan_sweep(struct state *st);

/* Find the way to remote.
 * local  source address wanted, family NONE = the route's or the port's
 * port   port wanted (that of the packet which this answers), UINT32_MAX = by the routes
 * Returns 0, -ENETUNREACH (no route, or no address to send from), -EHOSTUNREACH (the next hop has no
 * neighbour entry: hop->next and hop->port say which). */
int state_wan_resolve(const struct state *st, const struct base_ip *remote,
                      const struct base_ip *local, uint32_t port, struct state_hop *hop)
	__attribute__((warn_unused_result));

#endif
