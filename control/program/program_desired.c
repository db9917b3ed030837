/* Four keyed tables, an array of peers, and for each peer the chain of its routes. */
#include "program_desired.h"

#include "base_bytes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define NO_PORT 0

int program_desired_init(struct program_desired *desired, uint32_t n_peers)
{
	uint8_t bytes[16];

	*desired = (struct program_desired){.n_peers = n_peers};
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return -errno;

	struct base_siphash_key key = base_siphash_key(bytes);

	desired->sums.key = key;
	desired->peers = calloc(n_peers, sizeof(*desired->peers));
	if (desired->peers == NULL)
		return -ENOMEM;
	program_table_init(&desired->addresses, sizeof(struct abi_cmd_address), NO_PORT, key);
	program_table_init(&desired->routes, sizeof(struct abi_cmd_route), NO_PORT, key);
	program_table_init(&desired->wan_routes, sizeof(struct abi_cmd_wan_route),
	                   offsetof(struct abi_cmd_wan_route, port), key);
	program_table_init(&desired->neighbours, sizeof(struct abi_cmd_neighbour), NO_PORT, key);
	return 0;
}

void program_desired_fini(struct program_desired *desired)
{
	program_table_fini(&desired->addresses);
	program_table_fini(&desired->routes);
	program_table_fini(&desired->wan_routes);
	program_table_fini(&desired->neighbours);
	for (uint32_t i = 0; desired->peers && i < desired->n_peers; i++)
		free(desired->peers[i].limits);
	free(desired->peers);
	free(desired->sums.limits);
	free(desired->route_links);
	*desired = (struct program_desired){0};
}

/* ---- sums ------------------------------------------------------------------------------------- */

/* An entry has come or gone. */
static void note(struct program_desired *desired, uint16_t type, uint32_t peer, const void *entry,
                 bool has_come)
{
	struct program_sums *sums = &desired->sums;
	uint64_t hash = abi_check_hash(sums->key, type, entry);
	uint32_t part = abi_check_part(type, peer);
	uint64_t *sum = type == ABI_CMD_ROUTE_PUT ? &sums->routes[part] : &sums->all[part];

	*sum += has_come ? hash : -hash;
	sums->changed_at[part] = ++sums->n_changes;
}

uint64_t program_desired_sum(const struct program_desired *desired, uint32_t worker, uint32_t part)
{
	const struct program_sums *sums = &desired->sums;
	bool has_routes = worker == ABI_ROUTE_WORKER && part < ABI_CHECK_PEER_PARTS;

	bool has_limits = sums->limits && part < ABI_CHECK_PEER_PARTS;

	return sums->all[part] + (has_routes ? sums->routes[part] : 0)
	       + (has_limits ? sums->limits[worker][part] : 0);
}

/* ---- entries that stand alone ------------------------------------------------------------------- */

/* Drop the entry with this key, if there is one. Returns 1 or 0. */
static int drop_by_key(struct program_desired *desired, struct program_table *table, uint16_t type,
                       const void *entry)
{
	uint32_t position;

	if (program_table_find(table, entry, &position) != 0)
		return 0;
	note(desired, type, 0, program_table_at(table, position), false);
	program_table_drop(table, position);
	return 1;
}

/* Put it in place of one with its key, if there is one. Returns 1, 0 or -ENOMEM. */
static int put_by_key(struct program_desired *desired, struct program_table *table, uint16_t type,
                      const void *entry)
{
	uint8_t old[sizeof(struct abi_cmd_wan_route)];
	uint32_t position;
	bool is_there = program_table_find(table, entry, &position) == 0;
	int changed;

	if (is_there)
		memcpy(old, program_table_at(table, position), table->entry_len);
	changed = program_table_put(table, entry, &position);
	if (changed != 1)
		return changed;
	if (is_there)
		note(desired, type, 0, old, false);
	note(desired, type, 0, entry, true);
	return 1;
}

/* ---- hub, addresses, WAN routes, neighbours ---------------------------------------------------- */

int program_desired_hub(struct program_desired *desired, const struct abi_cmd_hub *hub)
{
	if (desired->has_hub && memcmp(&desired->hub, hub, sizeof(*hub)) == 0)
		return 0;
	if (desired->has_hub)
		note(desired, ABI_CMD_HUB, 0, &desired->hub, false);
	note(desired, ABI_CMD_HUB, 0, hub, true);
	desired->hub = *hub;
	desired->has_hub = true;
	return 1;
}

int program_desired_address(struct program_desired *desired, const struct abi_cmd_address *address)
{
	if (address->present == 0)
		return drop_by_key(desired, &desired->addresses, ABI_CMD_ADDRESS, address);
	return put_by_key(desired, &desired->addresses, ABI_CMD_ADDRESS, address);
}

bool program_desired_is_own(const struct program_desired *desired, const struct base_ip *ip)
{
	struct abi_cmd_address key = {.ip = base_ip_make(ip->family, ip->bytes)};
	uint32_t position;

	for (key.port = 0; key.port <= ABI_PORTS_MAX; key.port++)
		if (program_table_find(&desired->addresses, &key, &position) == 0)
			return true;
	return false;
}

int program_desired_wan_route_put(struct program_desired *desired,
                                  const struct abi_cmd_wan_route *route)
{
	return put_by_key(desired, &desired->wan_routes, ABI_CMD_WAN_ROUTE_PUT, route);
}

int program_desired_wan_route_drop(struct program_desired *desired,
                                   const struct abi_cmd_wan_route *route)
{
	return drop_by_key(desired, &desired->wan_routes, ABI_CMD_WAN_ROUTE_PUT, route);
}

int program_desired_neighbour_put(struct program_desired *desired,
                                  const struct abi_cmd_neighbour *neighbour)
{
	return put_by_key(desired, &desired->neighbours, ABI_CMD_NEIGHBOUR_PUT, neighbour);
}

int program_desired_neighbour_drop(struct program_desired *desired,
                                   const struct abi_cmd_neighbour *neighbour)
{
	return drop_by_key(desired, &desired->neighbours, ABI_CMD_NEIGHBOUR_PUT, neighbour);
}

/* ---- peers and their routes -------------------------------------------------------------------- */

bool program_desired_has_peer(const struct program_desired *desired, uint32_t peer)
{
	return desired->peers[peer].present != 0;
}

static struct abi_cmd_peer peer_entry(const struct program_desired *desired, uint32_t peer)
{
	return (struct abi_cmd_peer){
		.peer = peer,
		.keepalive_s = desired->peers[peer].keepalive_s,
	};
}

/* The peer, as it is now, has come or goes. */
static void note_peer(struct program_desired *desired, uint32_t peer, bool has_come)
{
	struct abi_cmd_peer entry = peer_entry(desired, peer);

	if (desired->peers[peer].present != 0)
		note(desired, ABI_CMD_PEER_PUT, peer, &entry, has_come);
}

int program_desired_peer_put(struct program_desired *desired, uint32_t peer, uint16_t keepalive_s)
{
	struct program_desired_peer *p = &desired->peers[peer];

	if (p->present != 0 && p->keepalive_s == keepalive_s)
		return 0;
	note_peer(desired, peer, false);
	p->present = 1;
	p->keepalive_s = keepalive_s;
	note_peer(desired, peer, true);
	if (desired->n_peers_used <= peer)
		desired->n_peers_used = peer + 1;
	return 1;
}

int program_desired_peer_drop(struct program_desired *desired, uint32_t peer)
{
	struct program_desired_peer *p = &desired->peers[peer];

	assert(p->first_route == 0);
	if (p->present == 0)
		return 0;
	note_peer(desired, peer, false);
	(void)program_desired_limit(desired, peer, NULL, 0);
	*p = (struct program_desired_peer){.was_another = 1, .unsaid = p->unsaid};
	return 1;
}

void program_desired_peer_unsaid(struct program_desired *desired, uint32_t peer, uint32_t worker)
{
	desired->peers[peer].unsaid |= (uint16_t)(1U << worker);
}

/* The peer's limits, as they are now, have come or go. */
static void note_limits(struct program_desired *desired, uint32_t peer, bool has_come)
{
	const struct abi_cmd_peer_limit *limits = desired->peers[peer].limits;
	struct program_sums *sums = &desired->sums;
	uint32_t part = abi_check_peer_part(peer);

	for (uint32_t i = 0; limits && i < sums->n_workers; i++) {
		uint64_t hash = abi_check_hash(sums->key, ABI_CMD_PEER_LIMIT, &limits[i]);

		sums->limits[i][part] += has_come ? hash : -hash;
	}
	if (limits)
		sums->changed_at[part] = ++sums->n_changes;
}

/* Room for the peer's, and for the sums of all. Returns 0 or -ENOMEM. */
static int make_limits(struct program_desired *desired, struct program_desired_peer *p,
                       uint32_t n_workers)
{
	struct program_sums *sums = &desired->sums;

	if (!sums->limits)
		sums->limits = calloc(n_workers, sizeof(sums->limits[0]));
	if (!sums->limits)
		return -ENOMEM;
	sums->n_workers = n_workers;
	if (p->limits)
		return 0;
	p->limits = calloc(n_workers, sizeof(*p->limits));
	if (!p->limits)
		return -ENOMEM;
	desired->n_limited++;
	return 0;
}

int program_desired_limit(struct program_desired *desired, uint32_t peer,
                          const struct abi_cmd_peer_limit *limits, uint32_t n_workers)
{
	struct program_desired_peer *p = &desired->peers[peer];
	size_t len = n_workers * sizeof(*limits);

	if (p->present == 0)
		return -ENOENT;
	if (!limits) {
		if (!p->limits)
			return 0;
		note_limits(desired, peer, false);
		free(p->limits);
		p->limits = NULL;
		desired->n_limited--;
		return 1;
	}
	if (p->limits && memcmp(p->limits, limits, len) == 0)
		return 0;
	note_limits(desired, peer, false);
	if (make_limits(desired, p, n_workers) < 0)
		return -ENOMEM;
	memcpy(p->limits, limits, len);
	note_limits(desired, peer, true);
	return 1;
}

static uint32_t holder_at(const struct program_desired *desired, uint32_t position)
{
	struct abi_cmd_route route;

	memcpy(&route, program_table_at(&desired->routes, position), sizeof(route));
	return route.peer;
}

static void chain(struct program_desired *desired, uint32_t position, uint32_t peer)
{
	struct program_route_link *links = desired->route_links;
	uint32_t *first = &desired->peers[peer].first_route;

	links[position] = (struct program_route_link){.next = *first};
	if (*first != 0)
		links[*first - 1].previous = position + 1;
	*first = position + 1;
}

static void unchain(struct program_desired *desired, uint32_t position, uint32_t peer)
{
	struct program_route_link *links = desired->route_links;
	struct program_route_link link = links[position];

	if (link.next != 0)
		links[link.next - 1].previous = link.previous;
	if (link.previous != 0)
		links[link.previous - 1].next = link.next;
	else
		desired->peers[peer].first_route = link.next;
}

/* One link for every position that the table may hand out next. Returns 0 or -ENOMEM. */
static int grow_links(struct program_desired *desired)
{
	uint32_t n = desired->n_route_links == 0 ? 16 : 2 * desired->n_route_links;
	struct program_route_link *links;

	if (desired->routes.n_positions < desired->n_route_links)
		return 0;
	links = reallocarray(desired->route_links, n, sizeof(*links));
	if (links == NULL)
		return -ENOMEM;
	desired->route_links = links;
	desired->n_route_links = n;
	return 0;
}

int program_desired_route_put(struct program_desired *desired, const struct abi_cmd_route *route)
{
	uint32_t position;
	int changed = grow_links(desired);

	if (changed != 0)
		return changed;
	if (program_table_find(&desired->routes, route, &position) == 0) {
		uint32_t holder = holder_at(desired, position);

		if (holder == route->peer)
			return 0;
		unchain(desired, position, holder);
		note(desired, ABI_CMD_ROUTE_PUT, holder,
		     program_table_at(&desired->routes, position), false);
	}
	changed = program_table_put(&desired->routes, route, &position);
	if (changed != 1)
		return changed;
	chain(desired, position, route->peer);
	note(desired, ABI_CMD_ROUTE_PUT, route->peer, route, true);
	return 1;
}

int program_desired_route_drop(struct program_desired *desired, const struct abi_cmd_route *route)
{
	uint32_t position;

	if (program_table_find(&desired->routes, route, &position) != 0
	    || holder_at(desired, position) != route->peer)
		return 0;
	unchain(desired, position, route->peer);
	note(desired, ABI_CMD_ROUTE_PUT, route->peer, program_table_at(&desired->routes, position),
	     false);
	program_table_drop(&desired->routes, position);
	return 1;
}

bool program_desired_peer_route(const struct program_desired *desired, uint32_t peer,
                                struct abi_cmd_route *out)
{
	uint32_t first = desired->peers[peer].first_route;

	if (first == 0)
		return false;
	memcpy(out, program_table_at(&desired->routes, first - 1), sizeof(*out));
	return true;
}

/* ---- look-up ----------------------------------------------------------------------------------- */

static int64_t find_peer(const struct program_desired *desired, const void *entry, void *out)
{
	struct abi_cmd_peer peer;

	memcpy(&peer, entry, sizeof(peer));
	if (peer.peer >= desired->n_peers || desired->peers[peer.peer].present == 0)
		return -ENOENT;
	peer = peer_entry(desired, peer.peer);
	memcpy(out, &peer, sizeof(peer));
	return peer.peer;
}

static int64_t find_in_table(const struct program_table *table, const void *entry, void *out)
{
	uint32_t position;

	if (program_table_find(table, entry, &position) != 0)
		return -ENOENT;
	memcpy(out, program_table_at(table, position), table->entry_len);
	return position;
}

static int64_t find_limit(const struct program_desired *desired, uint32_t worker, const void *entry,
                          void *out)
{
	struct abi_cmd_peer_limit limit;

	memcpy(&limit, entry, sizeof(limit));
	if (limit.peer >= desired->n_peers || !desired->peers[limit.peer].limits)
		return -ENOENT;
	memcpy(out, &desired->peers[limit.peer].limits[worker], sizeof(limit));
	return limit.peer;
}

int64_t program_desired_find(const struct program_desired *desired, uint32_t worker, uint16_t type,
                             const void *entry, void *out)
{
	switch (type) {
	case ABI_CMD_HUB:
		memcpy(out, &desired->hub, sizeof(desired->hub));
		return desired->has_hub ? 0 : -ENOENT;
	case ABI_CMD_PEER_PUT:
		return find_peer(desired, entry, out);
	case ABI_CMD_PEER_LIMIT:
		return find_limit(desired, worker, entry, out);
	case ABI_CMD_ADDRESS:
		return find_in_table(&desired->addresses, entry, out);
	case ABI_CMD_ROUTE_PUT:
		return find_in_table(&desired->routes, entry, out);
	case ABI_CMD_WAN_ROUTE_PUT:
		return find_in_table(&desired->wan_routes, entry, out);
	case ABI_CMD_NEIGHBOUR_PUT:
		return find_in_table(&desired->neighbours, entry, out);
	default:
		return -ENOENT;
	}
}

/* ---- walk ------------------------------------------------------------------------------------- */

/* Order: a worker must know a peer before its limits and routes. */
enum stage {
	STAGE_BEGIN = 0,
	STAGE_HUB = 1,
	STAGE_ADDRESSES = 2,
	STAGE_PEERS = 3,
	STAGE_LIMITS = 4,
	STAGE_ROUTES = 5,
	STAGE_WAN_ROUTES = 6,
	STAGE_NEIGHBOURS = 7,
	STAGE_END = 8,
	STAGE_DONE = 9,
};

static bool single_at(struct program_cursor *cursor, bool present, uint16_t type,
                      const void *payload, uint16_t len, struct program_command *out)
{
	if (!present || cursor->position != 0)
		return false;
	out->type = type;
	out->payload = payload;
	out->len = len;
	return true;
}

static bool peer_at(const struct program_desired *desired, struct program_cursor *cursor,
                    struct program_command *out)
{
	for (; cursor->position < desired->n_peers_used; cursor->position++) {
		const struct program_desired_peer *peer = &desired->peers[cursor->position];
		bool is_unsaid = cursor->says_drops && (peer->unsaid >> cursor->worker & 1) != 0;

		if (peer->present == 0 && !is_unsaid)
			continue;
		out->scratch = is_unsaid ? (struct abi_cmd_peer){.peer = cursor->position}
		                         : peer_entry(desired, cursor->position);
		out->type = is_unsaid ? ABI_CMD_PEER_DROP : ABI_CMD_PEER_PUT;
		out->payload = &out->scratch;
		out->len = sizeof(out->scratch);
		return true;
	}
	return false;
}

static bool limit_at(const struct program_desired *desired, struct program_cursor *cursor,
                     struct program_command *out)
{
	if (desired->n_limited == 0)
		return false;
	for (; cursor->position < desired->n_peers_used; cursor->position++) {
		const struct program_desired_peer *peer = &desired->peers[cursor->position];

		if (!peer->limits)
			continue;
		out->type = ABI_CMD_PEER_LIMIT;
		out->payload = &peer->limits[cursor->worker];
		out->len = sizeof(peer->limits[0]);
		return true;
	}
	return false;
}

static bool entry_at(const struct program_table *table, struct program_cursor *cursor,
                     uint16_t type, struct program_command *out)
{
	for (; cursor->position < table->n_positions; cursor->position++) {
		out->payload = program_table_at(table, cursor->position);
		if (out->payload == NULL)
			continue;
		out->type = type;
		out->len = (uint16_t)table->entry_len;
		return true;
	}
	return false;
}

/* The command at the cursor within its stage. Returns false when the stage is over. */
static bool in_stage(const struct program_desired *desired, struct program_cursor *cursor,
                     struct program_command *out)
{
	switch ((enum stage)cursor->stage) {
	case STAGE_BEGIN:
		return single_at(cursor, true, ABI_CMD_SYNC_BEGIN, NULL, 0, out);
	case STAGE_HUB:
		return single_at(cursor, desired->has_hub, ABI_CMD_HUB, &desired->hub,
		                 sizeof(desired->hub), out);
	case STAGE_ADDRESSES:
		return entry_at(&desired->addresses, cursor, ABI_CMD_ADDRESS, out);
	case STAGE_PEERS:
		return peer_at(desired, cursor, out);
	case STAGE_LIMITS:
		return limit_at(desired, cursor, out);
	case STAGE_ROUTES:
		return !cursor->without_routes
		       && entry_at(&desired->routes, cursor, ABI_CMD_ROUTE_PUT, out);
	case STAGE_WAN_ROUTES:
		return entry_at(&desired->wan_routes, cursor, ABI_CMD_WAN_ROUTE_PUT, out);
	case STAGE_NEIGHBOURS:
		return entry_at(&desired->neighbours, cursor, ABI_CMD_NEIGHBOUR_PUT, out);
	case STAGE_END:
		return single_at(cursor, true, ABI_CMD_SYNC_END, NULL, 0, out);
	case STAGE_DONE:
		break;
	}
	return false;
}

bool program_desired_at(const struct program_desired *desired, struct program_cursor *cursor,
                        struct program_command *out)
{
	while (cursor->stage < STAGE_DONE) {
		if (in_stage(desired, cursor, out))
			return true;
		cursor->stage++;
		cursor->position = 0;
	}
	return false;
}

void program_cursor_step(struct program_cursor *cursor)
{
	cursor->position++;
}

void program_desired_said(struct program_desired *desired, struct program_cursor *cursor,
                          const struct program_command *command)
{
	if (command->type == ABI_CMD_PEER_DROP)
		desired->peers[cursor->position].unsaid &= (uint16_t) ~(1U << cursor->worker);
	else
		program_cursor_step(cursor);
}
