/* Commands -> state. A record was copied out of the ring before it is looked at; every field is
 * checked here, so that the state can trust what it holds; a bad one is counted, logged (a few a
 * minute) and changes nothing. Every command may come twice. */
#include "wg_message.h"
#include "worker_private.h"

#include <errno.h>
#include <string.h>

#define TUNNEL_MTU_MIN 576U
#define DSCP_MAX       63U

/* ---- fields ---- */

static bool is_ip(const struct base_ip *ip)
{
	static const uint8_t zero[12];

	return ip->family == BASE_IP_V6
	       || (ip->family == BASE_IP_V4 && memcmp(ip->bytes + 4, zero, sizeof(zero)) == 0);
}

static bool is_ip_or_none(const struct base_ip *ip)
{
	return ip->family == BASE_IP_NONE || is_ip(ip);
}

/* An endpoint, or none at all, and a local address that fits it. */
static bool is_way(const struct base_endpoint *remote, const struct base_ip *local)
{
	if (!is_ip_or_none(&remote->ip) || !is_ip_or_none(local))
		return false;
	if ((remote->ip.family == BASE_IP_NONE) != (remote->port == 0))
		return false;
	return local->family == BASE_IP_NONE || local->family == remote->ip.family;
}

/* A prefix; bits behind its length are cleared. */
static bool take_prefix(struct base_prefix *prefix)
{
	if (!is_ip(&prefix->ip) || prefix->len > base_ip_len(prefix->ip.family) * 8)
		return false;
	base_prefix_mask(prefix);
	return true;
}

/* ---- commands: 0 or -errno ---- */

static int apply_hub(struct worker *w, struct abi_cmd_hub *cmd)
{
	struct state_hub *hub = &w->st.hub;

	if (cmd->listen_port == 0 || cmd->tunnel_mtu < TUNNEL_MTU_MIN
	    || cmd->tunnel_mtu > AEAD_LEN_MAX || cmd->n_keys > ABI_HUB_KEYS || cmd->copy_dscp > 1
	    || cmd->dscp > DSCP_MAX || cmd->clamp_mss > 1)
		return -EINVAL;
	if (hub->listen_port != cmd->listen_port)
		state_wan_changed(&w->st);
	state_gate_keys(&w->st.gate, cmd);
	hub->listen_port = cmd->listen_port;
	hub->tunnel_mtu = cmd->tunnel_mtu;
	hub->copies_dscp = cmd->copy_dscp != 0;
	hub->dscp = cmd->dscp;
	hub->clamps_mss = cmd->clamp_mss != 0;
	return 0;
}

static int apply_address(struct worker *w, struct abi_cmd_address *cmd)
{
	if (!is_ip(&cmd->ip) || cmd->present > 1
	    || (cmd->port >= w->setup.n_ports && cmd->port != ABI_PORTS_MAX))
		return -EINVAL;
	return state_address_put(&w->st, cmd);
}

static int apply_peer_put(struct worker *w, struct abi_cmd_peer *cmd)
{
	if (cmd->flags != 0)
		return -EINVAL;
	return state_peer_put(&w->st, cmd);
}

static int apply_peer_drop(struct worker *w, struct abi_cmd_peer *cmd)
{
	return state_peer_drop(&w->st, cmd->peer);
}

static int apply_handshake_over(struct worker *w, const struct abi_cmd_peer *cmd)
{
	if (cmd->peer >= w->st.n_peers || cmd->flags != 0)
		return -EINVAL;
	state_wait_end(&w->st.wait, cmd->peer);
	w->st.peers[cmd->peer].is_given_up = 1;
	return 0;
}

static int apply_route_put(struct worker *w, struct abi_cmd_route *cmd)
{
	return take_prefix(&cmd->prefix) ? state_route_put(&w->st, cmd) : -EINVAL;
}

static int apply_route_drop(struct worker *w, struct abi_cmd_route *cmd)
{
	return take_prefix(&cmd->prefix) ? state_route_drop(&w->st, cmd) : -EINVAL;
}

/* Was the peer another worker's until now? */
static bool is_arriving(const struct worker *w, uint32_t peer)
{
	uint32_t index = peer < w->st.n_peers ? state_current_get(&w->st.current[peer])
	                                      : ABI_INDEX_NONE;

	return index != ABI_INDEX_NONE && abi_index_worker(index) != w->st.id;
}

static int apply_session_install(struct worker *w, struct abi_cmd_session_install *cmd)
{
	bool arrives = is_arriving(w, cmd->peer);
	int rc = is_way(&cmd->remote, &cmd->local) ? state_session_install(&w->st, cmd) : -EINVAL;

	if (rc == 0 && arrives)
		policy_flow_arrive(w->st.flows, cmd->peer, w->st.clock.now_s);
	return rc;
}

static int apply_session_retire(struct worker *w, struct abi_cmd_session *cmd)
{
	struct state_session *session = state_session_find(&w->st, cmd->index);

	if (session)
		state_session_retire(&w->st, session);
	return 0;
}

static int apply_endpoint_set(struct worker *w, struct abi_cmd_endpoint *cmd)
{
	return is_way(&cmd->remote, &cmd->local) ? state_session_set_endpoint(&w->st, cmd)
	                                         : -EINVAL;
}

static int apply_prefer(struct worker *w, struct abi_cmd_prefer *cmd)
{
	if (cmd->when_heard > 1 || cmd->now > 1)
		return -EINVAL;
	state_session_prefer(&w->st, cmd);
	return 0;
}

static int apply_keepalive(struct worker *w, struct abi_cmd_session *cmd)
{
	const struct state_session *session = state_session_find(&w->st, cmd->index);

	if (session)
		w->st.keepalives[w->st.n_keepalives++] = abi_index_slot(cmd->index);
	return 0;
}

static bool is_wan_route(struct abi_cmd_wan_route *cmd)
{
	return take_prefix(&cmd->prefix) && is_ip_or_none(&cmd->gateway)
	       && is_ip_or_none(&cmd->source)
	       && (cmd->source.family == BASE_IP_NONE
	           || cmd->source.family == cmd->prefix.ip.family);
}

static int apply_wan_route_put(struct worker *w, struct abi_cmd_wan_route *cmd)
{
	return is_wan_route(cmd) ? state_wan_route_put(&w->st, cmd) : -EINVAL;
}

static int apply_wan_route_drop(struct worker *w, struct abi_cmd_wan_route *cmd)
{
	return is_wan_route(cmd) ? state_wan_route_drop(&w->st, cmd) : -EINVAL;
}

static int apply_neighbour_put(struct worker *w, struct abi_cmd_neighbour *cmd)
{
	int rc = is_ip(&cmd->ip) ? state_wan_neighbour_put(&w->st, cmd) : -EINVAL;

	w->held_ns = 0; /* somebody may wait for it */
	return rc;
}

static int apply_neighbour_drop(struct worker *w, struct abi_cmd_neighbour *cmd)
{
	return is_ip(&cmd->ip) ? state_wan_neighbour_drop(&w->st, cmd) : -EINVAL;
}

static int apply_inject(struct worker *w, struct path_burst *b, struct abi_cmd_inject *cmd)
{
	if (!is_way(&cmd->remote, &cmd->local) || cmd->remote.port == 0
	    || (cmd->port >= w->setup.n_ports && cmd->port != UINT32_MAX)
	    || cmd->len > ABI_HANDSHAKE_MAX
	    || wg_message_check(cmd->message, cmd->len) != WG_MESSAGE_OK
	    || cmd->message[0] == WG_MESSAGE_DATA)
		return -EINVAL;
	inject_message(&w->st, b, cmd);
	return 0;
}

static int apply_barrier(struct worker *w, struct abi_cmd_barrier *cmd)
{
	w->barrier_token = cmd->token;
	w->barrier_grace = state_route_token(&w->st);
	w->barrier_due = true;
	return 0;
}

static int apply_check(struct worker *w, struct abi_cmd_check *cmd)
{
	return state_check_begin(&w->st, cmd);
}

/* ---- records ---- */

/* Payload of each command, bytes. */
static const uint16_t payload_len[ABI_N_CMD_TYPES] = {
	[ABI_CMD_HUB] = sizeof(struct abi_cmd_hub),
	[ABI_CMD_ADDRESS] = sizeof(struct abi_cmd_address),
	[ABI_CMD_PEER_PUT] = sizeof(struct abi_cmd_peer),
	[ABI_CMD_PEER_DROP] = sizeof(struct abi_cmd_peer),
	[ABI_CMD_ROUTE_PUT] = sizeof(struct abi_cmd_route),
	[ABI_CMD_ROUTE_DROP] = sizeof(struct abi_cmd_route),
	[ABI_CMD_SESSION_INSTALL] = sizeof(struct abi_cmd_session_install),
	[ABI_CMD_SESSION_RETIRE] = sizeof(struct abi_cmd_session),
	[ABI_CMD_ENDPOINT_SET] = sizeof(struct abi_cmd_endpoint),
	[ABI_CMD_KEEPALIVE] = sizeof(struct abi_cmd_session),
	[ABI_CMD_WAN_ROUTE_PUT] = sizeof(struct abi_cmd_wan_route),
	[ABI_CMD_WAN_ROUTE_DROP] = sizeof(struct abi_cmd_wan_route),
	[ABI_CMD_NEIGHBOUR_PUT] = sizeof(struct abi_cmd_neighbour),
	[ABI_CMD_NEIGHBOUR_DROP] = sizeof(struct abi_cmd_neighbour),
	[ABI_CMD_INJECT] = sizeof(struct abi_cmd_inject),
	[ABI_CMD_BARRIER] = sizeof(struct abi_cmd_barrier),
	[ABI_CMD_CHECK] = sizeof(struct abi_cmd_check),
	[ABI_CMD_PEER_LIMIT] = sizeof(struct abi_cmd_peer_limit),
	[ABI_CMD_FLOWS] = sizeof(struct abi_cmd_flows),
	[ABI_CMD_PREFER] = sizeof(struct abi_cmd_prefer),
	[ABI_CMD_HANDSHAKE_OVER] = sizeof(struct abi_cmd_peer),
};

/* A command's payload, aligned. */
union worker_cmd {
	struct abi_cmd_hub hub;
	struct abi_cmd_address address;
	struct abi_cmd_peer peer;
	struct abi_cmd_route route;
	struct abi_cmd_session_install install;
	struct abi_cmd_session session;
	struct abi_cmd_endpoint endpoint;
	struct abi_cmd_wan_route wan_route;
	struct abi_cmd_neighbour neighbour;
	struct abi_cmd_inject inject;
	struct abi_cmd_barrier barrier;
	struct abi_cmd_check check;
	struct abi_cmd_peer_limit limit;
	struct abi_cmd_flows flows;
	struct abi_cmd_prefer prefer;
};

static int apply(struct worker *w, struct path_burst *b, uint16_t type, union worker_cmd *cmd)
{
	switch (type) {
	case ABI_CMD_HUB:
		return apply_hub(w, &cmd->hub);
	case ABI_CMD_ADDRESS:
		return apply_address(w, &cmd->address);
	case ABI_CMD_PEER_PUT:
		return apply_peer_put(w, &cmd->peer);
	case ABI_CMD_PEER_DROP:
		return apply_peer_drop(w, &cmd->peer);
	case ABI_CMD_PEER_LIMIT:
		return state_limit_put(&w->st, &cmd->limit);
	case ABI_CMD_ROUTE_PUT:
		return apply_route_put(w, &cmd->route);
	case ABI_CMD_ROUTE_DROP:
		return apply_route_drop(w, &cmd->route);
	case ABI_CMD_SESSION_INSTALL:
		return apply_session_install(w, &cmd->install);
	case ABI_CMD_SESSION_RETIRE:
		return apply_session_retire(w, &cmd->session);
	case ABI_CMD_ENDPOINT_SET:
		return apply_endpoint_set(w, &cmd->endpoint);
	case ABI_CMD_KEEPALIVE:
		return apply_keepalive(w, &cmd->session);
	case ABI_CMD_WAN_ROUTE_PUT:
		return apply_wan_route_put(w, &cmd->wan_route);
	case ABI_CMD_WAN_ROUTE_DROP:
		return apply_wan_route_drop(w, &cmd->wan_route);
	case ABI_CMD_NEIGHBOUR_PUT:
		return apply_neighbour_put(w, &cmd->neighbour);
	case ABI_CMD_NEIGHBOUR_DROP:
		return apply_neighbour_drop(w, &cmd->neighbour);
	case ABI_CMD_INJECT:
		return apply_inject(w, b, &cmd->inject);
	case ABI_CMD_BARRIER:
		return apply_barrier(w, &cmd->barrier);
	case ABI_CMD_CHECK:
		return apply_check(w, &cmd->check);
	case ABI_CMD_FLOWS:
		return state_flow_show_begin(&w->st, &cmd->flows);
	case ABI_CMD_PREFER:
		return apply_prefer(w, &cmd->prefer);
	case ABI_CMD_HANDSHAKE_OVER:
		return apply_handshake_over(w, &cmd->peer);
	case ABI_CMD_SYNC_BEGIN:
		return state_sync_begin(&w->st);
	case ABI_CMD_SYNC_END:
		state_sync_end(&w->st);
		return 0;
	default:
		return -EINVAL;
	}
}

static void report_bad(struct worker *w, const struct abi_record *record, int rc)
{
	uint32_t n_left_out;

	state_count(&w->st, ABI_COUNTER_CMD_BAD, 1);
	if (base_log_limit_pass(&w->cmd_log, w->st.now_ns, &n_left_out))
		log_warn("worker", "command refused worker=%u type=%u len=%u err=%s left_out=%u",
		         w->setup.id, record->type, record->len, strerrorname_np(-rc), n_left_out);
}

static void take_record(struct worker *w, struct path_burst *b, const struct abi_record *record)
{
	union worker_cmd cmd;
	int rc = -EINVAL;

	/* What a worker left that was killed while it gave the record back. */
	if (record->type == ABI_CMD_NONE)
		return;
	if (record->type < ABI_N_CMD_TYPES && record->len == payload_len[record->type]) {
		memcpy(&cmd, record->payload, record->len);
		rc = apply(w, b, record->type, &cmd);
		base_wipe(&cmd, sizeof(cmd));
	}
	if (rc < 0)
		report_bad(w, record, rc);
}

/* A barrier's answer is never lost: while it finds no room no further command is taken. That of the
 * worker which writes the routes is for all workers: it waits until each has begun a burst since. */
static bool answer_barrier(struct worker *w)
{
	struct abi_event_barrier event = {.token = w->barrier_token};

	if (!w->barrier_due)
		return true;
	if (w->setup.id == ABI_ROUTE_WORKER && !state_route_passed(&w->st, w->barrier_grace))
		return false;
	if (abi_ring_push(&w->st.event_ring, ABI_EVENT_BARRIER, &event, sizeof(event),
	                  &w->st.wake_control)
	    < 0)
		return false;
	w->barrier_due = false;
	return true;
}

/* Keepalives that were asked for are made when packets are taken in, which stands still while a helper hangs: then
 * there is room for so many, and further commands wait in the ring. */
static bool has_room(const struct worker *w)
{
	return w->st.n_keepalives < STATE_SIDE_MAX;
}

/* A command leaves the ring after it was applied: a worker killed in between finds it again, and
 * applying it twice does no harm. */
uint32_t worker__cmd_poll(struct worker *w, struct path_burst *b)
{
	struct abi_record record;
	uint32_t n = 0;

	while (n < WORKER_CMD_MAX && has_room(w) && answer_barrier(w)
	       && abi_ring_peek(&w->cmd_ring, &record) == 1) {
		take_record(w, b, &record);
		abi_ring_free(&w->cmd_ring);
		n++;
	}
	(void)answer_barrier(w);
	if (n > 0)
		base_wipe(&record, sizeof(record));
	return n;
}
