/* Commands down: changes of the desired state to every worker, sessions and messages to one. */
#include "base_bytes.h"
#include "base_log.h"
#include "base_time.h"
#include "program_private.h"

#include <errno.h>
#include <string.h>

/* ---- desired state ---------------------------------------------------------------------------- */

/* changed: what the change of the desired state returned. To every worker when it was one. */
static int broadcast(struct program *program, int changed, uint16_t type, const void *payload,
                     uint16_t len)
{
	if (changed <= 0)
		return changed;
	for (uint32_t i = 0; i < program->setup.dataplane.n_workers; i++)
		(void)program_pipe_change(&program->pipes[i], type, payload, len);
	program__flush_later(program);
	return 0;
}

/* Canonical forms: they are compared as bytes, and padding does not count. Return false for what
 * is no address, no prefix or no port. */
static bool canonical_ip(struct base_ip *out, const struct base_ip *ip)
{
	if (base_ip_len(ip->family) == 0)
		return false;
	*out = base_ip_make(ip->family, ip->bytes);
	return true;
}

static bool canonical_prefix(struct base_prefix *out, const struct base_prefix *prefix)
{
	*out = (struct base_prefix){.len = prefix->len};
	if (!canonical_ip(&out->ip, &prefix->ip)
	    || prefix->len > 8 * base_ip_len(prefix->ip.family))
		return false;
	base_prefix_mask(out);
	return true;
}

static bool is_port(const struct program *program, uint32_t port)
{
	return port < program->setup.dataplane.n_ports;
}

/* The same for routes: the one worker that writes the table of all. */
static int tell_route(struct program *program, int changed, uint16_t type,
                      const struct abi_cmd_route *route)
{
	if (changed <= 0)
		return changed;
	(void)program_pipe_change(&program->pipes[ABI_ROUTE_WORKER], type, route, sizeof(*route));
	program__flush_later(program);
	return 0;
}

int program_hub_set(struct program *program, const struct abi_cmd_hub *hub)
{
	return broadcast(program, program_desired_hub(&program->desired, hub), ABI_CMD_HUB, hub,
	                 sizeof(*hub));
}

int program_address_set(struct program *program, const struct abi_cmd_address *address)
{
	struct abi_cmd_address cmd = {.port = address->port, .present = address->present != 0};

	if (!canonical_ip(&cmd.ip, &address->ip)
	    || (address->port != ABI_PORTS_MAX && !is_port(program, address->port)))
		return -EINVAL;
	return broadcast(program, program_desired_address(&program->desired, &cmd), ABI_CMD_ADDRESS,
	                 &cmd, sizeof(cmd));
}

bool program_address_is_own(const struct program *program, const struct base_ip *ip)
{
	return program_desired_is_own(&program->desired, ip);
}

int program_peer_put(struct program *program, uint32_t peer, uint16_t keepalive_s)
{
	struct abi_cmd_peer cmd = {.peer = peer, .keepalive_s = keepalive_s};

	if (peer >= program->setup.n_peers)
		return -EINVAL;
	return broadcast(program, program_desired_peer_put(&program->desired, peer, keepalive_s),
	                 ABI_CMD_PEER_PUT, &cmd, sizeof(cmd));
}

int program_peer_drop(struct program *program, uint32_t peer)
{
	struct abi_cmd_peer cmd = {.peer = peer};
	struct abi_cmd_route route;

	if (peer >= program->setup.n_peers)
		return -EINVAL;
	while (program_desired_peer_route(&program->desired, peer, &route))
		(void)tell_route(program, program_desired_route_drop(&program->desired, &route),
		                 ABI_CMD_ROUTE_DROP, &route);
	if (program_desired_peer_drop(&program->desired, peer) == 0)
		return 0;
	/* Its number may be another's at once, who must not inherit sessions and times. */
	for (uint32_t i = 0; i < program->setup.dataplane.n_workers; i++)
		if (!program_pipe_change(&program->pipes[i], ABI_CMD_PEER_DROP, &cmd, sizeof(cmd)))
			program_desired_peer_unsaid(&program->desired, peer, i);
	program__flush_later(program);
	return 0;
}

int program_limit_put(struct program *program, uint32_t peer,
                      const struct abi_cmd_peer_limit *limits)
{
	struct abi_cmd_peer_limit none = {.peer = peer,
	                                  .rx_until = ABI_QUOTA_NONE,
	                                  .tx_until = ABI_QUOTA_NONE,
	                                  .total_until = ABI_QUOTA_NONE};
	uint32_t n_workers = program->setup.dataplane.n_workers;
	int changed;

	if (peer >= program->setup.n_peers)
		return -EINVAL;
	changed = program_desired_limit(&program->desired, peer, limits, n_workers);
	if (changed <= 0)
		return changed;
	for (uint32_t i = 0; i < n_workers; i++)
		(void)program_pipe_change(&program->pipes[i], ABI_CMD_PEER_LIMIT,
		                          limits ? &limits[i] : &none, sizeof(none));
	program__flush_later(program);
	return 0;
}

int program_route_put(struct program *program, const struct base_prefix *prefix, uint32_t peer)
{
	struct abi_cmd_route cmd = {.peer = peer};

	if (!canonical_prefix(&cmd.prefix, prefix) || peer >= program->setup.n_peers)
		return -EINVAL;
	if (!program_desired_has_peer(&program->desired, peer))
		return -ENOENT;
	return tell_route(program, program_desired_route_put(&program->desired, &cmd),
	                  ABI_CMD_ROUTE_PUT, &cmd);
}

int program_route_drop(struct program *program, const struct base_prefix *prefix, uint32_t peer)
{
	struct abi_cmd_route cmd = {.peer = peer};

	if (!canonical_prefix(&cmd.prefix, prefix) || peer >= program->setup.n_peers)
		return -EINVAL;
	return tell_route(program, program_desired_route_drop(&program->desired, &cmd),
	                  ABI_CMD_ROUTE_DROP, &cmd);
}

/* gateway and source may be absent. */
static bool canonical_wan_route(const struct program *program, struct abi_cmd_wan_route *out,
                                const struct abi_cmd_wan_route *route)
{
	*out = (struct abi_cmd_wan_route){.port = route->port};
	if (route->gateway.family != BASE_IP_NONE && !canonical_ip(&out->gateway, &route->gateway))
		return false;
	if (route->source.family != BASE_IP_NONE && !canonical_ip(&out->source, &route->source))
		return false;
	return canonical_prefix(&out->prefix, &route->prefix) && is_port(program, route->port);
}

int program_wan_route_put(struct program *program, const struct abi_cmd_wan_route *route)
{
	struct abi_cmd_wan_route cmd;

	if (!canonical_wan_route(program, &cmd, route))
		return -EINVAL;
	return broadcast(program, program_desired_wan_route_put(&program->desired, &cmd),
	                 ABI_CMD_WAN_ROUTE_PUT, &cmd, sizeof(cmd));
}

int program_wan_route_drop(struct program *program, const struct abi_cmd_wan_route *route)
{
	struct abi_cmd_wan_route cmd;

	if (!canonical_wan_route(program, &cmd, route))
		return -EINVAL;
	return broadcast(program, program_desired_wan_route_drop(&program->desired, &cmd),
	                 ABI_CMD_WAN_ROUTE_DROP, &cmd, sizeof(cmd));
}

static bool canonical_neighbour(const struct program *program, struct abi_cmd_neighbour *out,
                                const struct abi_cmd_neighbour *neighbour)
{
	*out = (struct abi_cmd_neighbour){.port = neighbour->port};
	memcpy(out->mac, neighbour->mac, sizeof(out->mac));
	return canonical_ip(&out->ip, &neighbour->ip) && is_port(program, neighbour->port);
}

int program_neighbour_put(struct program *program, const struct abi_cmd_neighbour *neighbour)
{
	struct abi_cmd_neighbour cmd;

	if (!canonical_neighbour(program, &cmd, neighbour))
		return -EINVAL;
	return broadcast(program, program_desired_neighbour_put(&program->desired, &cmd),
	                 ABI_CMD_NEIGHBOUR_PUT, &cmd, sizeof(cmd));
}

int program_neighbour_drop(struct program *program, const struct abi_cmd_neighbour *neighbour)
{
	struct abi_cmd_neighbour cmd;

	if (!canonical_neighbour(program, &cmd, neighbour))
		return -EINVAL;
	return broadcast(program, program_desired_neighbour_drop(&program->desired, &cmd),
	                 ABI_CMD_NEIGHBOUR_DROP, &cmd, sizeof(cmd));
}

/* ---- sessions and messages --------------------------------------------------------------------- */

static int send_to(struct program *program, uint32_t worker, uint16_t type, const void *payload,
                   uint16_t len)
{
	int err;

	if (worker >= program->setup.dataplane.n_workers)
		return -EINVAL;
	err = program_pipe_send(&program->pipes[worker], type, payload, len);
	program__flush_later(program);
	return err;
}

/* A peer's number was another's before, whose routes the one worker that writes them may not have
 * taken out yet, while the session's owner has long forgotten that peer. A session now would get the
 * other's packets. */
static bool may_have_old_routes(struct program *program,
                                const struct abi_cmd_session_install *install)
{
	struct program_desired_peer *peer;

	if (abi_index_worker(install->index) == ABI_ROUTE_WORKER
	    || install->peer >= program->setup.n_peers)
		return false;
	peer = &program->desired.peers[install->peer];
	if (peer->was_another != 0 && program_pipe_is_applied(&program->pipes[ABI_ROUTE_WORKER]))
		peer->was_another = 0;
	return peer->was_another != 0;
}

int program_session_install(struct program *program, const struct abi_cmd_session_install *install)
{
	if (may_have_old_routes(program, install))
		return -EAGAIN;
	return send_to(program, abi_index_worker(install->index), ABI_CMD_SESSION_INSTALL, install,
	               sizeof(*install));
}

int program_session_retire(struct program *program, uint32_t index, uint32_t peer)
{
	struct abi_cmd_session cmd = {.index = index, .peer = peer};

	return send_to(program, abi_index_worker(index), ABI_CMD_SESSION_RETIRE, &cmd, sizeof(cmd));
}

int program_endpoint_set(struct program *program, const struct abi_cmd_endpoint *endpoint)
{
	return send_to(program, abi_index_worker(endpoint->index), ABI_CMD_ENDPOINT_SET, endpoint,
	               sizeof(*endpoint));
}

int program_prefer(struct program *program, const struct abi_cmd_prefer *prefer)
{
	return send_to(program, abi_index_worker(prefer->index), ABI_CMD_PREFER, prefer,
	               sizeof(*prefer));
}

int program_keepalive(struct program *program, uint32_t index, uint32_t peer)
{
	struct abi_cmd_session cmd = {.index = index, .peer = peer};

	return send_to(program, abi_index_worker(index), ABI_CMD_KEEPALIVE, &cmd, sizeof(cmd));
}

int program_handshake_over(struct program *program, uint32_t peer)
{
	struct abi_cmd_peer cmd = {.peer = peer};
	int first = 0;

	for (uint32_t i = 0; i < program->setup.dataplane.n_workers; i++) {
		int r = send_to(program, i, ABI_CMD_HANDSHAKE_OVER, &cmd, sizeof(cmd));

		if (first == 0)
			first = r;
	}
	return first;
}

/* The worker drops what would come back to the hub, and counts it; here it is said. */
static void tell_loop(const struct program *program, const struct base_endpoint *remote)
{
	static struct base_log_limit limit;
	char text[BASE_ENDPOINT_STRLEN];
	uint32_t suppressed;

	if (program_address_is_own(program, &remote->ip)
	    && base_log_limit_pass(&limit, base_time_monotonic_ns(), &suppressed))
		log_warn(
			"program",
			"endpoint of a peer is an address of the hub itself: nothing is sent there, "
			"correct it (audit policy names the peer) endpoint=%s suppressed=%u",
			base_endpoint_format(remote, text), suppressed);
}

int program_inject(struct program *program, uint32_t worker, const struct abi_cmd_inject *inject)
{
	tell_loop(program, &inject->remote);
	return send_to(program, worker, ABI_CMD_INJECT, inject, sizeof(*inject));
}
