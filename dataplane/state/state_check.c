/* The walk: hub, addresses, peers, limits, sessions, routes, underlay; then the sums, then the end. */
#include "state_check.h"

#include "base_bytes.h"
#include "state.h"

#include <errno.h>

/* Entries a slice; empty places cost less. Measured: a slice takes 2 to 7 us, as its memory is near. */
#define SLICE_ENTRIES  32U
#define SLICE_PLACES   512U
/* With packets to move, one slice in so long: 4 % of the worker at most while a check is under way. */
#define SLICE_EVERY_NS (100 * BASE_NS_PER_US)
/* The event ring is others' too: no answer goes out while more than this wait. */
#define DEPTH_MAX      (ABI_EVENT_SLOTS / 4)

enum stage {
	STAGE_HUB = 0,
	STAGE_ADDRESSES,
	STAGE_PEERS,
	STAGE_LIMITS,
	STAGE_SESSIONS,
	STAGE_ROUTES,
	STAGE_WAN_ROUTES,
	STAGE_NEIGHBOURS,
	STAGE_SUMS,
	STAGE_END,
};

int state_check_begin(struct state *st, const struct abi_cmd_check *cmd)
{
	struct state_check *check = &st->check;

	if (cmd->token == 0 || cmd->dump > 1)
		return -EINVAL;
	*check = (struct state_check){
		.token = cmd->token,
		.key = {cmd->key[0], cmd->key[1]},
		.is_dump = cmd->dump == 1,
	};
	memcpy(check->wanted, cmd->wanted, sizeof(check->wanted));
	return 0;
}

/* ---- answers ---- */

/* Returns false when it has to wait. */
static bool send(struct state *st, uint16_t type, const void *event, uint16_t len)
{
	return abi_ring_depth(&st->event_ring) < DEPTH_MAX
	       && abi_ring_push(&st->event_ring, type, event, len, &st->wake_control) == 0;
}

static bool send_entries(struct state *st)
{
	struct abi_event_check_entries *entries = &st->check.entries;

	if (entries->n == 0)
		return true;
	entries->token = st->check.token;
	if (!send(st, ABI_EVENT_CHECK_ENTRIES, entries, sizeof(*entries)))
		return false;
	*entries = (struct abi_event_check_entries){.type = entries->type};
	return true;
}

/* From part number check->at on. */
static bool send_sums(struct state *st)
{
	struct state_check *check = &st->check;

	while (!check->is_dump && check->at < ABI_CHECK_N_PARTS) {
		struct abi_event_check_sums event = {.token = check->token, .first = check->at};
		uint32_t n_left = ABI_CHECK_N_PARTS - check->at;

		event.n = n_left < ABI_CHECK_SUMS_MAX ? n_left : ABI_CHECK_SUMS_MAX;
		memcpy(event.sums, &check->sums[check->at], event.n * sizeof(event.sums[0]));
		if (!send(st, ABI_EVENT_CHECK_SUMS, &event, sizeof(event)))
			return false;
		check->at += event.n;
	}
	return true;
}

static bool send_end(struct state *st)
{
	struct state_check *check = &st->check;
	struct abi_event_check_end event = {
		.token = check->token,
		.is_stale = check->is_stale,
		.n_entries = check->n_entries,
	};

	if (!send(st, ABI_EVENT_CHECK_END, &event, sizeof(event)))
		return false;
	*check = (struct state_check){0};
	return true;
}

/* ---- entries ---- */

/* No room for another of its kind. */
static bool is_full(const struct abi_event_check_entries *entries)
{
	return (entries->n + 1U) * abi_check_entry_len(entries->type) > sizeof(entries->entries);
}

/* One entry of a table; into the sum of its part, or into the answer if it is wanted. The answer has
 * room. Returns true when it has none for another. */
static bool tell(struct state *st, uint16_t type, uint32_t peer, const void *entry)
{
	struct state_check *check = &st->check;
	struct abi_event_check_entries *entries = &check->entries;
	uint32_t part = abi_check_part(type, peer);
	uint16_t len = abi_check_entry_len(type);

	check->n_entries++;
	if (!check->is_dump) {
		check->sums[part] += abi_check_hash(check->key, type, entry);
		return false;
	}
	if (!abi_check_is_wanted(check->wanted, part))
		return false;
	entries->type = type;
	memcpy(&entries->entries[(size_t)entries->n++ * len], entry, len);
	return is_full(entries);
}

/* ---- stages: each returns true when it is at its end ---- */

static bool walk_hub(struct state *st)
{
	const struct state_hub *hub = &st->hub;
	struct abi_cmd_hub entry = {
		.listen_port = hub->listen_port,
		.tunnel_mtu = hub->tunnel_mtu,
		.n_keys = (uint8_t)st->gate.n_keys,
		.copy_dscp = hub->copies_dscp,
		.dscp = hub->dscp,
		.clamp_mss = hub->clamps_mss,
	};

	for (uint32_t i = 0; i < st->gate.n_keys; i++)
		memcpy(entry.public_keys[i], st->gate.keys[i].public_key,
		       sizeof(entry.public_keys[i]));
	if (hub->listen_port != 0)
		tell(st, ABI_CMD_HUB, 0, &entry);
	return true;
}

/* Entry number i of a table of n places, if there is one. Returns true when the answer is full. */
typedef bool place_fn(struct state *st, uint32_t i);

static bool walk_places(struct state *st, uint32_t n, place_fn *fn)
{
	struct state_check *check = &st->check;
	uint32_t last_entry = check->n_entries + SLICE_ENTRIES;

	for (uint32_t i = 0; i < SLICE_PLACES && check->at < n; i++)
		if (fn(st, check->at++) || check->n_entries == last_entry)
			break;
	return check->at >= n;
}

static bool tell_address(struct state *st, uint32_t i)
{
	const struct state_address *address = &st->addresses.list[i];
	struct abi_cmd_address entry = {.ip = address->ip, .port = address->port, .present = 1};

	return tell(st, ABI_CMD_ADDRESS, 0, &entry);
}

static bool tell_peer(struct state *st, uint32_t i)
{
	struct abi_cmd_peer entry = {.peer = i, .keepalive_s = st->peers[i].keepalive_s};

	return st->peers[i].present && tell(st, ABI_CMD_PEER_PUT, i, &entry);
}

static bool tell_limit(struct state *st, uint32_t i)
{
	struct abi_cmd_peer_limit entry;

	return state_limit_entry(st, i, &entry) && tell(st, ABI_CMD_PEER_LIMIT, i, &entry);
}

static bool tell_session(struct state *st, uint32_t i)
{
	const struct state_session *session = &st->sessions[st->active[i]];
	struct abi_cmd_session entry = {.index = session->index, .peer = session->peer};

	return !st->peers[session->peer].present
	       && tell(st, ABI_CMD_SESSION_RETIRE, session->peer, &entry);
}

static bool tell_wan_route(struct state *st, uint32_t i)
{
	const struct state_wan_route *route = &st->wan.routes[i];

	return route->used && tell(st, ABI_CMD_WAN_ROUTE_PUT, 0, &route->route);
}

static bool tell_neighbour(struct state *st, uint32_t i)
{
	const struct state_wan_neighbour *neighbour = &st->wan.neighbours[i];

	return neighbour->used && tell(st, ABI_CMD_NEIGHBOUR_PUT, 0, &neighbour->entry);
}

static int tell_route(void *arg, const struct base_prefix *prefix, uint32_t value)
{
	struct abi_cmd_route entry = {.prefix = *prefix, .peer = value};

	return tell(arg, ABI_CMD_ROUTE_PUT, value, &entry);
}

/* One worker writes the routes, and shows them. */
static bool walk_routes(struct state *st)
{
	struct state_check *check = &st->check;
	int more;

	if (st->id != ABI_ROUTE_WORKER)
		return true;
	if (check->at == 0)
		check->n_swaps = st->routes->n_swaps;
	check->at = 1;
	if (check->n_swaps != st->routes->n_swaps) {
		check->is_stale = true; /* a sync has put another table in its place */
		return true;
	}
	more = wg_allowedips_walk(state_route_table(st->routes), &check->cursor, SLICE_ENTRIES,
	                          tell_route, st);
	check->is_stale = more < 0;
	return more <= 0;
}

static bool walk(struct state *st)
{
	switch ((enum stage)st->check.stage) {
	case STAGE_HUB:
		return walk_hub(st);
	case STAGE_ADDRESSES:
		return walk_places(st, st->addresses.n, tell_address);
	case STAGE_PEERS:
		return walk_places(st, st->n_peers, tell_peer);
	case STAGE_LIMITS:
		return st->n_limited == 0 || walk_places(st, st->n_peers, tell_limit);
	case STAGE_SESSIONS:
		return walk_places(st, st->n_active, tell_session);
	case STAGE_ROUTES:
		return walk_routes(st);
	case STAGE_WAN_ROUTES:
		return walk_places(st, st->wan.n_routes, tell_wan_route);
	case STAGE_NEIGHBOURS:
		return walk_places(st, 1U << st->wan.neighbour_bits, tell_neighbour);
	case STAGE_SUMS:
		return send_sums(st);
	case STAGE_END:
		return send_end(st);
	}
	return true;
}

bool state_check_step(struct state *st, bool is_busy)
{
	struct state_check *check = &st->check;

	if (check->token == 0)
		return false;
	if (is_busy && st->now_ns < check->next_ns)
		return true;
	check->next_ns = st->now_ns + SLICE_EVERY_NS;
	if (check->is_due && !send_entries(st))
		return false;
	check->is_due = false;
	if (!walk(st)) {
		check->is_due = is_full(&check->entries);
		return check->stage < STAGE_SUMS; /* else the ring is full: control's turn */
	}
	if (check->token == 0) /* that was the end */
		return false;
	check->is_due = true;
	check->stage++;
	check->at = 0;
	return true;
}
