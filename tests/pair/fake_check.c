/* A desired state of its own, from commands, and walks over it. */
#include "fake_check.h"

#include <stdlib.h>
#include <string.h>

static void forget(struct fake_check *check, uint32_t n_peers)
{
	if (check->has_held)
		program_desired_fini(&check->held);
	check->has_held = program_desired_init(&check->held, n_peers) == 0;
}

static void drop_peer(struct program_desired *held, uint32_t peer)
{
	struct abi_cmd_route route;

	while (program_desired_peer_route(held, peer, &route))
		(void)program_desired_route_drop(held, &route);
	(void)program_desired_peer_drop(held, peer);
}

static bool limits_nothing(const struct abi_cmd_peer_limit *limit)
{
	const struct abi_limit_rate none = {0};

	return memcmp(&limit->rx, &none, sizeof(none)) == 0
	       && memcmp(&limit->tx, &none, sizeof(none)) == 0 && limit->rx_until == ABI_QUOTA_NONE
	       && limit->tx_until == ABI_QUOTA_NONE && limit->total_until == ABI_QUOTA_NONE;
}

void fake_check_apply(struct fake_check *check, uint32_t n_peers, const struct abi_record *record)
{
	struct program_desired *held = &check->held;
	union {
		struct abi_cmd_hub hub;
		struct abi_cmd_address address;
		struct abi_cmd_peer peer;
		struct abi_cmd_route route;
		struct abi_cmd_wan_route wan_route;
		struct abi_cmd_neighbour neighbour;
		struct abi_cmd_peer_limit limit;
	} cmd;

	if (!check->has_held || record->type == ABI_CMD_SYNC_BEGIN)
		forget(check, n_peers);
	memcpy(&cmd, record->payload, sizeof(cmd));
	switch (record->type) {
	case ABI_CMD_HUB:
		(void)program_desired_hub(held, &cmd.hub);
		break;
	case ABI_CMD_ADDRESS:
		(void)program_desired_address(held, &cmd.address);
		break;
	case ABI_CMD_PEER_PUT:
		(void)program_desired_peer_put(held, cmd.peer.peer, cmd.peer.keepalive_s);
		break;
	case ABI_CMD_PEER_DROP:
		drop_peer(held, cmd.peer.peer);
		break;
	case ABI_CMD_PEER_LIMIT:
		(void)program_desired_limit(held, cmd.limit.peer,
		                            limits_nothing(&cmd.limit) ? NULL : &cmd.limit, 1);
		break;
	case ABI_CMD_ROUTE_PUT:
		(void)program_desired_route_put(held, &cmd.route);
		break;
	case ABI_CMD_ROUTE_DROP:
		(void)program_desired_route_drop(held, &cmd.route);
		break;
	case ABI_CMD_WAN_ROUTE_PUT:
		(void)program_desired_wan_route_put(held, &cmd.wan_route);
		break;
	case ABI_CMD_WAN_ROUTE_DROP:
		(void)program_desired_wan_route_drop(held, &cmd.wan_route);
		break;
	case ABI_CMD_NEIGHBOUR_PUT:
		(void)program_desired_neighbour_put(held, &cmd.neighbour);
		break;
	case ABI_CMD_NEIGHBOUR_DROP:
		(void)program_desired_neighbour_drop(held, &cmd.neighbour);
		break;
	default:
		break;
	}
}

static uint32_t part_of(const struct program_command *command)
{
	struct abi_cmd_peer peer = {0};
	struct abi_cmd_route route = {0};

	/* limits, too, begin with their peer */
	if (command->type == ABI_CMD_PEER_PUT || command->type == ABI_CMD_PEER_LIMIT)
		memcpy(&peer, command->payload, sizeof(peer));
	if (command->type == ABI_CMD_ROUTE_PUT)
		memcpy(&route, command->payload, sizeof(route));
	return abi_check_part(command->type, peer.peer | route.peer);
}

static struct abi_record record_of(uint16_t type, const void *event, size_t len)
{
	struct abi_record record = {.type = type, .len = (uint16_t)len};

	memcpy(record.payload, event, len);
	return record;
}

/* One entry an event: as good as many. */
static void show(const struct abi_cmd_check *cmd, const struct program_command *command,
                 fake_check_send_fn *send, void *arg)
{
	struct abi_event_check_entries event = {.token = cmd->token, .type = command->type, .n = 1};
	struct abi_record record;

	memcpy(event.entries, command->payload, command->len);
	record = record_of(ABI_EVENT_CHECK_ENTRIES, &event, sizeof(event));
	send(arg, &record);
}

static void send_sums(const struct abi_cmd_check *cmd, const uint64_t *sums,
                      fake_check_send_fn *send, void *arg)
{
	for (uint32_t first = 0; first < ABI_CHECK_N_PARTS;) {
		struct abi_event_check_sums event = {.token = cmd->token, .first = first};
		struct abi_record record;

		while (event.n < ABI_CHECK_SUMS_MAX && first < ABI_CHECK_N_PARTS)
			event.sums[event.n++] = sums[first++];
		record = record_of(ABI_EVENT_CHECK_SUMS, &event, sizeof(event));
		send(arg, &record);
	}
}

void fake_check_answer(const struct fake_check *check, const struct abi_cmd_check *cmd,
                       fake_check_send_fn *send, void *arg)
{
	const struct base_siphash_key key = {cmd->key[0], cmd->key[1]};
	struct program_cursor cursor = {.without_routes = !check->writes_routes};
	struct abi_event_check_end end = {.token = cmd->token};
	uint64_t sums[ABI_CHECK_N_PARTS] = {0};
	struct program_command command;
	struct abi_record record;

	for (; check->has_held && program_desired_at(&check->held, &cursor, &command);
	     program_cursor_step(&cursor)) {
		uint32_t part = part_of(&command);

		if (abi_check_entry_len(command.type) == 0)
			continue;
		sums[part] += abi_check_hash(key, command.type, command.payload);
		if (cmd->dump != 0 && abi_check_is_wanted(cmd->wanted, part))
			show(cmd, &command, send, arg);
	}
	if (cmd->dump == 0)
		send_sums(cmd, sums, send, arg);
	record = record_of(ABI_EVENT_CHECK_END, &end, sizeof(end));
	send(arg, &record);
}
