/* Underlay routes in one longest-prefix table a port, neighbours in a hash table. */
#include "state_wan.h"

#include "state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NEIGHBOUR_BITS_MIN 6U

int state_wan_init(struct state_wan *wan)
{
	*wan = (struct state_wan){.generation = 1, .neighbour_bits = NEIGHBOUR_BITS_MIN};
	wan->neighbours = calloc(1U << NEIGHBOUR_BITS_MIN, sizeof(*wan->neighbours));
	if (!wan->neighbours)
		return -ENOMEM;
	for (uint32_t i = 0; i < ABI_PORTS_MAX; i++) {
		wan->by_port[i] = wg_allowedips_create(NULL);
		if (!wan->by_port[i]) {
			state_wan_fini(wan);
			return -ENOMEM;
		}
	}
	return 0;
}

void state_wan_fini(struct state_wan *wan)
{
	for (uint32_t i = 0; i < ABI_PORTS_MAX; i++)
		wg_allowedips_destroy(wan->by_port[i]);
	free(wan->routes);
	free(wan->neighbours);
	*wan = (struct state_wan){0};
}

void state_wan_changed(struct state *st)
{
	if (++st->wan.generation == 0)
		st->wan.generation = 1;
}

/* ---- routes ---- */

static struct state_wan_route *find_route(struct state_wan *wan,
                                          const struct abi_cmd_wan_route *cmd)
{
	for (uint32_t i = 0; i < wan->n_routes; i++)
		if (wan->routes[i].used && wan->routes[i].route.port == cmd->port
		    && base_prefix_equal(&wan->routes[i].route.prefix, &cmd->prefix))
			return &wan->routes[i];
	return NULL;
}

/* A free entry; grows the array. NULL: limit or memory. */
static struct state_wan_route *new_route(struct state_wan *wan)
{
	for (uint32_t i = 0; i < wan->n_routes; i++)
		if (!wan->routes[i].used)
			return &wan->routes[i];

	uint32_t n = wan->n_routes ? wan->n_routes * 2 : 16;

	if (n > STATE_WAN_ROUTES_MAX)
		return NULL;

	struct state_wan_route *grown = realloc(wan->routes, n * sizeof(*grown));

	if (!grown)
		return NULL;

	struct state_wan_route *fresh = &grown[wan->n_routes];

	memset(fresh, 0, (n - wan->n_routes) * sizeof(*grown));
	wan->routes = grown;
	wan->n_routes = n;
	return fresh;
}

static bool same_way(const struct abi_cmd_wan_route *a, const struct abi_cmd_wan_route *b)
{
	return base_ip_equal(&a->gateway, &b->gateway) && base_ip_equal(&a->source, &b->source);
}

int state_wan_route_put(struct state *st, const struct abi_cmd_wan_route *cmd)
{
	struct state_wan *wan = &st->wan;

	if (cmd->port >= wan->n_ports)
		return -EINVAL;

	struct state_wan_route *entry = find_route(wan, cmd);

	if (entry) {
		entry->sync = st->sync;
		if (same_way(&entry->route, cmd))
			return 0;
		entry->route = *cmd;
		state_wan_changed(st);
		return 0;
	}
	entry = new_route(wan);
	if (!entry)
		return -ENOSPC;

	int rc = wg_allowedips_insert(wan->by_port[cmd->port], &cmd->prefix,
	                              (uint32_t)(entry - wan->routes), NULL);

	if (rc < 0)
		return rc;
	*entry = (struct state_wan_route){.route = *cmd, .sync = st->sync, .used = 1};
	state_wan_changed(st);
	return 0;
}

static void remove_route(struct state *st, struct state_wan_route *entry)
{
	(void)wg_allowedips_remove(st->wan.by_port[entry->route.port], &entry->route.prefix,
	                           (uint32_t)(entry - st->wan.routes));
	entry->used = 0;
	state_wan_changed(st);
}

int state_wan_route_drop(struct state *st, const struct abi_cmd_wan_route *cmd)
{
	if (cmd->port >= st->wan.n_ports)
		return -EINVAL;

	struct state_wan_route *entry = find_route(&st->wan, cmd);

	/* When the kernel replaces a route, the old one's end may be told after the new one's
	 * beginning: then this is not the route that goes. */
	if (entry && same_way(&entry->route, cmd))
		remove_route(st, entry);
	return 0;
}

/* ---- neighbours ---- */

/* FNV-1a over address and port. */
static uint32_t hash_of(const struct base_ip *ip, uint32_t port, uint32_t bits)
{
	uint32_t hash = 2166136261U ^ port;

	for (uint32_t i = 0; i < sizeof(ip->bytes); i++)
		hash = (hash ^ ip->bytes[i]) * 16777619U;
	return (hash ^ hash >> 16) & ((1U << bits) - 1);
}

/* The entry of (ip, port), or the free place where it would go. The table is never full. */
static struct state_wan_neighbour *probe(const struct state_wan *wan, const struct base_ip *ip,
                                         uint32_t port)
{
	uint32_t mask = (1U << wan->neighbour_bits) - 1;
	uint32_t at = hash_of(ip, port, wan->neighbour_bits);

	while (wan->neighbours[at].used
	       && (wan->neighbours[at].entry.port != port
	           || !base_ip_equal(&wan->neighbours[at].entry.ip, ip)))
		at = (at + 1) & mask;
	return &wan->neighbours[at];
}

static int grow_neighbours(struct state_wan *wan)
{
	struct state_wan old = *wan;
	uint32_t n = 1U << old.neighbour_bits;

	if (n * 2 > STATE_WAN_NEIGHBOURS_MAX)
		return -ENOSPC;

	struct state_wan_neighbour *grown = calloc((size_t)n * 2, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	wan->neighbours = grown;
	wan->neighbour_bits++;
	for (uint32_t i = 0; i < n; i++) {
		const struct state_wan_neighbour *entry = &old.neighbours[i];

		if (entry->used)
			*probe(wan, &entry->entry.ip, entry->entry.port) = *entry;
	}
	free(old.neighbours);
	return 0;
}

int state_wan_neighbour_put(struct state *st, const struct abi_cmd_neighbour *cmd)
{
	struct state_wan *wan = &st->wan;

	if (cmd->port >= wan->n_ports)
		return -EINVAL;

	struct state_wan_neighbour *place = probe(wan, &cmd->ip, cmd->port);

	if (place->used) {
		place->sync = st->sync;
		if (memcmp(place->entry.mac, cmd->mac, sizeof(cmd->mac)) == 0)
			return 0;
		place->entry = *cmd;
		state_wan_changed(st);
		return 0;
	}
	if ((wan->n_neighbours + 1) * 4 > 3U << wan->neighbour_bits) {
		int rc = grow_neighbours(wan);

		if (rc < 0)
			return rc;
		place = probe(wan, &cmd->ip, cmd->port);
	}
	*place = (struct state_wan_neighbour){.entry = *cmd, .sync = st->sync, .used = 1};
	wan->n_neighbours++;
	/* No template depends on it: one that lacked its next hop was not made. */
	return 0;
}

/* Empty the place and move up those behind it whose probe would stop there. */
static void remove_neighbour(struct state_wan *wan, struct state_wan_neighbour *place)
{
	uint32_t mask = (1U << wan->neighbour_bits) - 1;
	uint32_t hole = (uint32_t)(place - wan->neighbours);

	for (uint32_t at = (hole + 1) & mask; wan->neighbours[at].used; at = (at + 1) & mask) {
		const struct abi_cmd_neighbour *entry = &wan->neighbours[at].entry;
		uint32_t home = hash_of(&entry->ip, entry->port, wan->neighbour_bits);

		if (((at - home) & mask) < ((at - hole) & mask))
			continue;
		wan->neighbours[hole] = wan->neighbours[at];
		hole = at;
	}
	wan->neighbours[hole].used = 0;
	wan->n_neighbours--;
}

int state_wan_neighbour_drop(struct state *st, const struct abi_cmd_neighbour *cmd)
{
	if (cmd->port >= st->wan.n_ports)
		return -EINVAL;

	struct state_wan_neighbour *place = probe(&st->wan, &cmd->ip, cmd->port);

	if (place->used) {
		remove_neighbour(&st->wan, place);
		state_wan_changed(st);
	}
	return 0;
}

void state_wan_sweep(struct state *st)
{
	struct state_wan *wan = &st->wan;

	for (uint32_t i = 0; i < wan->n_routes; i++)
		if (wan->routes[i].used && wan->routes[i].sync != st->sync)
			remove_route(st, &wan->routes[i]);
	/* Removing moves entries towards the hole: look at the same place again. */
	for (uint32_t i = 0; i < 1U << wan->neighbour_bits;) {
		if (wan->neighbours[i].used && wan->neighbours[i].sync != st->sync) {
			remove_neighbour(wan, &wan->neighbours[i]);
			state_wan_changed(st);
		} else {
			i++;
		}
	}
}

/* ---- the way to an endpoint ---- */

static const struct abi_cmd_wan_route *route_on_port(const struct state_wan *wan, uint32_t port,
                                                     const struct base_ip *remote)
{
	uint32_t at = wg_allowedips_lookup(wan->by_port[port], remote);

	return at == WG_ALLOWEDIPS_NONE ? NULL : &wan->routes[at].route;
}

/* The wanted port's route if it has one, else the longest match of all. */
static const struct abi_cmd_wan_route *choose_route(const struct state_wan *wan,
                                                    const struct base_ip *remote, uint32_t port)
{
	const struct abi_cmd_wan_route *best = NULL;

	if (port < wan->n_ports)
		best = route_on_port(wan, port, remote);
	if (best)
		return best;
	for (uint32_t i = 0; i < wan->n_ports; i++) {
		const struct abi_cmd_wan_route *route = route_on_port(wan, i, remote);

		if (route && (!best || route->prefix.len > best->prefix.len))
			best = route;
	}
	return best;
}

static const struct base_ip *choose_source(const struct state *st,
                                           const struct abi_cmd_wan_route *route,
                                           const struct base_ip *local, uint8_t family)
{
	if (local->family == family && state_address_has(&st->addresses.wan, family, local->bytes))
		return local;
	if (route->source.family == family)
		return &route->source;
	return state_address_of_port(st, family, route->port);
}

int state_wan_resolve(const struct state *st, const struct base_ip *remote,
                      const struct base_ip *local, uint32_t port, struct state_hop *hop)
{
	const struct abi_cmd_wan_route *route = choose_route(&st->wan, remote, port);

	if (!route)
		return -ENETUNREACH;

	const struct base_ip *source = choose_source(st, route, local, remote->family);

	if (!source)
		return -ENETUNREACH;
	*hop = (struct state_hop){.port = route->port,
	                          .source = *source,
	                          .next = route->gateway.family == BASE_IP_NONE ? *remote
	                                                                        : route->gateway};

	const struct state_wan_neighbour *neighbour = probe(&st->wan, &hop->next, hop->port);

	if (!neighbour->used)
		return -EHOSTUNREACH;
	memcpy(hop->mac, neighbour->entry.mac, sizeof(hop->mac));
	return 0;
}
