/* trace: what the workers would do with a packet, step by step in their order, from what control knows and
 * the flows that the workers have. Nothing is sent. */
#include "model_trace.h"

#include "base_text.h"
#include "base_time.h"
#include "grant_part.h"
#include "grant_when.h"
#include "program.h"
#include "session.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSION_LIVES_NS (180 * BASE_NS_PER_S) /* whitepaper 6.1: reject after time */
#define TEXT_LEN         320

void model__trace_step(struct trace *trace, const char *name, enum trace_verdict verdict,
                       const char *reason, const char *format, ...)
{
	static const char *const verdicts[] = {"passes", "drops", "note"};
	char text[TEXT_LEN];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	base_utf8_repair(text); /* the reason of a list may be cut */
	if (verdict == TRACE_DROPS && !trace->dropped)
		trace->dropped = reason;
	json_array_append_new(trace->steps,
	                      json_pack("{s:s, s:s, s:s?, s:s}", "step", name, "verdict",
	                                verdicts[verdict], "reason", reason, "text", text));
}

/* ---- the packet ---------------------------------------------------------------------------------- */

static const char *text_of(const json_t *params, const char *key)
{
	return json_string_value(json_object_get(params, key));
}

/* The first address of this family (NONE = any). Returns 0 or -ENOENT. */
static int pick(const struct base_ip *ips, uint32_t n, uint8_t family, struct base_ip *out)
{
	for (uint32_t i = 0; i < n; i++) {
		*out = ips[i];
		if (family == BASE_IP_NONE || family == out->family)
			return 0;
	}
	return -ENOENT;
}

static int address_of(const struct grant_world *world, const struct grant_peer *peer,
                      uint8_t family, struct base_ip *out)
{
	return peer ? pick(peer->addresses, peer->n_addresses, family, out)
	            : pick(world->hub, world->n_hub, family, out);
}

static int read_address(const json_t *params, const char *field, struct base_ip *out,
                        struct model_error *error)
{
	const char *text = text_of(params, field);

	*out = (struct base_ip){.family = BASE_IP_NONE};
	if (!text || base_ip_parse(text, out) == 0)
		return 0;
	return model__refuse(error, -EINVAL, "invalid", field,
	                     "%s is \"%.60s\", must be an IP address", field, text);
}

/* A name that "peer" or "to" gives: a peer, or the hub (*peer = NULL). */
static int read_name(const struct grant_world *world, const char *field, const char *name,
                     const struct grant_peer **peer, struct model_error *error)
{
	*peer = grant_world_peer(world, name);
	if (*peer || strcmp(name, "hub") == 0)
		return 0;
	return model__refuse(error, -ENOENT, "not_found", field,
	                     "%s: no peer is called \"%.63s\"; must be a peer or hub", field, name);
}

/* "to" may be an address, too. */
static int read_to(const struct grant_world *world, const json_t *params,
                   const struct grant_peer **peer, struct base_ip *ip, struct model_error *error)
{
	const char *to = text_of(params, "to");
	struct base_ip named;
	int err = read_address(params, "to_address", ip, error);

	*peer = NULL;
	if (err < 0)
		return err;
	if (to && ip->family == BASE_IP_NONE && base_ip_parse(to, &named) == 0) {
		*ip = named;
		return 0;
	}
	if (to)
		return read_name(world, "to", to, peer, error);
	if (ip->family != BASE_IP_NONE)
		return 0;
	return model__refuse(error, -EINVAL, "invalid", "to",
	                     "to is missing, must be a peer, hub or an address");
}

static int complete(const struct grant_world *world, const struct grant_peer *to,
                    struct grant_packet *packet, struct model_error *error)
{
	struct base_ip *from = &packet->from.ip;
	struct base_ip *at = &packet->to.ip;
	int err = 0;

	if (from->family == BASE_IP_NONE)
		err = address_of(world, packet->from.peer, at->family, from);
	if (err == 0 && at->family == BASE_IP_NONE)
		err = address_of(world, to, from->family, at);
	/* the sender's first address was of a family that the receiver has not */
	if (err == -ENOENT && from->family != BASE_IP_NONE && at->family != from->family
	    && address_of(world, to, BASE_IP_NONE, at) == 0)
		err = address_of(world, packet->from.peer, at->family, from);
	if (err == 0 && from->family == at->family)
		return 0;
	return model__refuse(error, -EINVAL, "invalid", "to",
	                     "to: must have an address of the same family as the sender's");
}

static int read_proto(const json_t *params, struct grant_packet *packet, struct model_error *error)
{
	enum grant_protocol protocol = GRANT_ANY_PROTOCOL;
	int err = grant_protocol_parse(text_of(params, "proto"), &protocol);

	packet->protocol = model__protocol_number(protocol, packet->to.ip.family);
	packet->port = (uint16_t)json_integer_value(json_object_get(params, "port"));
	if (err == 0 && packet->port == 0 && (protocol == GRANT_TCP || protocol == GRANT_UDP))
		return model__refuse(error, -EINVAL, "invalid", "port",
		                     "port is missing, must be 1 to 65535 with proto %s",
		                     grant_protocol_format(protocol));
	packet->now_s = base_time_wall_ns() / BASE_NS_PER_S;
	if (err == 0 && text_of(params, "at"))
		err = grant_time_parse(text_of(params, "at"), &packet->now_s);
	return err;
}

static int read_packet(const struct grant_world *world, const json_t *params,
                       struct grant_packet *packet, struct model_error *error)
{
	const struct grant_peer *to;
	int err = read_name(world, "peer", text_of(params, "peer"), &packet->from.peer, error);

	if (err == 0)
		err = read_address(params, "from_address", &packet->from.ip, error);
	if (err == 0)
		err = read_to(world, params, &to, &packet->to.ip, error);
	if (err == 0)
		err = complete(world, to, packet, error);
	return err == 0 ? read_proto(params, packet, error) : err;
}

/* ---- the steps ----------------------------------------------------------------------------------- */

/* "3 s old" and so on; false when there is no session that packets could use. */
static bool session_text(const struct model *model, uint32_t number, char *buf, size_t size)
{
	struct session_peer_info info;
	uint64_t now_ns = base_time_monotonic_ns();
	uint64_t age_ns;

	if (session_peer_info(model->setup.session, number, &info) < 0
	    || info.last_handshake_ns == 0) {
		snprintf(buf, size, "it never had a session");
		return false;
	}
	age_ns = now_ns > info.last_handshake_ns ? now_ns - info.last_handshake_ns : 0;
	snprintf(buf, size, "its last handshake was %llu s ago",
	         (unsigned long long)(age_ns / BASE_NS_PER_S));
	return age_ns < SESSION_LIVES_NS;
}

static const struct peer *known(const struct trace *trace, const struct grant_peer *peer)
{
	return peer_numbered(trace->model->setup.peers, peer->number);
}

static void step_sender(struct trace *trace)
{
	const struct grant_peer *peer = trace->packet.from.peer;
	char text[80];
	const struct peer *sender;

	if (!peer) {
		model__trace_step(trace, "sender", TRACE_PASSES, NULL, "the hub's own packet");
		return;
	}
	sender = known(trace, peer);
	if (sender && sender->row.disabled)
		model__trace_step(
			trace, "sender", TRACE_DROPS, "unknown_index",
			"peer \"%s\" is disabled: it has no session, and its handshakes are not answered",
			peer->name);
	else if (session_text(trace->model, peer->number, text, sizeof(text)))
		model__trace_step(trace, "sender", TRACE_PASSES, NULL,
		                  "peer \"%s\" has a session; %s", peer->name, text);
	else
		model__trace_step(trace, "sender", TRACE_NOTE, NULL,
		                  "peer \"%s\" has no session now (%s): it begins with a handshake",
		                  peer->name, text);
}

/* H1: the source must be the sender's. */
static void step_source(struct trace *trace)
{
	const struct grant_side *from = &trace->packet.from;
	char text[BASE_IP_STRLEN];
	const struct grant_peer *holder;
	bool is_hub = false;

	base_ip_format(&from->ip, text);
	holder = grant_world_holder(trace->world, &from->ip, &is_hub);
	if (!from->peer)
		model__trace_step(trace, "source", TRACE_PASSES, NULL,
		                  "%s: nothing is checked of the hub's own", text);
	else if (holder == from->peer)
		model__trace_step(trace, "source", TRACE_PASSES, NULL, "%s is of peer \"%s\"", text,
		                  from->peer->name);
	else if (holder || is_hub)
		model__trace_step(trace, "source", TRACE_DROPS, "inner_source",
		                  "%s is of %s%s%s, not of the sender", text,
		                  is_hub ? "the hub" : "peer \"", is_hub ? "" : holder->name,
		                  is_hub ? "" : "\"");
	else
		model__trace_step(trace, "source", TRACE_DROPS, "inner_source", "%s is nobody's",
		                  text);
}

static void step_route(struct trace *trace)
{
	struct grant_side *to = &trace->packet.to;
	char text[BASE_IP_STRLEN];
	const struct peer *receiver;

	base_ip_format(&to->ip, text);
	to->peer = grant_world_holder(trace->world, &to->ip, &trace->to_hub);
	receiver = to->peer ? known(trace, to->peer) : NULL;
	if (trace->to_hub)
		model__trace_step(trace, "route", TRACE_PASSES, NULL, "%s is the hub's own", text);
	else if (!to->peer || (receiver && receiver->row.disabled))
		model__trace_step(trace, "route", TRACE_DROPS, "no_route", "%s is %s", text,
		                  to->peer ? "of a peer that is disabled" : "nobody's");
	else
		model__trace_step(trace, "route", TRACE_PASSES, NULL, "%s leads to peer \"%s\"%s",
		                  text, to->peer->name,
		                  grant_peer_is_at(to->peer, &to->ip) ? ""
		                                                      : ", as a network behind it");
}

/* What the workers' table would say of a packet that no grant allows. */
static const char *refusal(const struct trace *trace)
{
	const struct grant_policy *policy = &trace->model->policy;
	bool who = false;
	bool to = false;

	for (uint32_t i = 0; i < policy->n_grants; i++) {
		uint32_t misses = grant_misses(policy, trace->world, &policy->grants[i],
		                               &trace->packet);

		if (misses == GRANT_MISS_TIME)
			return "policy_not_now";
		who |= !(misses & GRANT_MISS_WHO);
		to |= !(misses & GRANT_MISS_TO);
	}
	return !who ? "policy_no_source" : !to ? "policy_no_destination" : "policy_no_grant";
}

/* Of a flow whose grant is gone, the next packet is refused. */
static void step_policy_refused(struct trace *trace)
{
	const struct grant_policy *policy = &trace->model->policy;

	if (trace->flow)
		model__trace_step(trace, "policy", TRACE_DROPS, "policy_revoked",
		                  "no grant allows this flow any more (generation %llu)",
		                  (unsigned long long)policy->generation);
	else
		model__trace_step(trace, "policy", TRACE_DROPS, refusal(trace),
		                  "none of %u grants allows it (generation %llu)", policy->n_grants,
		                  (unsigned long long)policy->generation);
}

static void step_policy(struct trace *trace)
{
	const struct grant_policy *policy = &trace->model->policy;
	struct grant_packet opener = model__trace_opener(trace);
	bool allowed = false;

	if (trace->dropped)
		return;
	trace->grant = grant_decide(policy, trace->world, &opener, &allowed);
	if (trace->grant)
		model__trace_step(
			trace, "policy", TRACE_PASSES, NULL,
			"grant \"%s\" allows it (generation %llu); replies pass while the "
			"flow lives",
			trace->grant->name, (unsigned long long)policy->generation);
	else if (allowed && opener.from.peer)
		model__trace_step(trace, "policy", TRACE_PASSES, NULL,
		                  "no grant allows it, hub.peer_to_peer does, as everything else");
	else if (allowed)
		model__trace_step(trace, "policy", TRACE_PASSES, NULL,
		                  "the hub may open connections to its peers; replies pass while "
		                  "the flow lives");
	else
		step_policy_refused(trace);
}

static void step_receiver(struct trace *trace)
{
	const struct grant_peer *peer = trace->packet.to.peer;
	char text[80];

	if (trace->dropped)
		return;
	if (trace->to_hub)
		model__trace_step(trace, "receiver", TRACE_PASSES, NULL,
		                  "to the hub's kernel, by its TUN");
	else if (session_text(trace->model, peer->number, text, sizeof(text)))
		model__trace_step(trace, "receiver", TRACE_PASSES, NULL,
		                  "peer \"%s\" has a session; %s", peer->name, text);
	else
		model__trace_step(
			trace, "receiver", TRACE_DROPS, "no_session",
			"peer \"%s\" has no session (%s): one is asked for, and until it is there "
			"packets are dropped",
			peer->name, text);
}

static void walk(struct trace *trace)
{
	model__trace_block(trace);
	step_sender(trace);
	step_source(trace);
	model__trace_limit_in(trace);
	step_route(trace);
	model__trace_flow(trace);
	step_policy(trace);
	model__trace_limit_out(trace);
	step_receiver(trace);
	model__trace_back(trace);
}

static json_t *answer(struct trace *trace)
{
	return json_pack("{s:b, s:b, s:s?, s:s?, s:o, s:o, s:o, s:o}", "checking", false, "allowed",
	                 !trace->dropped, "reason", trace->dropped, "grant",
	                 trace->grant ? trace->grant->name : NULL, "from",
	                 model__side_json(&trace->packet.from), "to",
	                 model__side_json(&trace->packet.to), "steps", trace->steps, "grants",
	                 model__grant_steps(&trace->model->policy, trace->world, &trace->packet));
}

int model__trace(struct model *model, const json_t *params, json_t **result,
                 struct model_error *error)
{
	uint64_t id = (uint64_t)json_integer_value(json_object_get(params, "snapshot"));
	struct trace trace = {.model = model};
	struct model_world world;
	int err = model__world_init(model, &world, error);

	if (err < 0)
		return err;
	trace.world = &world.world;
	trace.from_port = (uint16_t)json_integer_value(json_object_get(params, "from_port"));
	err = read_packet(trace.world, params, &trace.packet, error);
	if (err == 0)
		err = read_address(params, "from_wan", &trace.from_wan, error);
	if (err == 0 && model__trace_flows(&trace, &id) == -EINPROGRESS) {
		*result = json_pack("{s:b, s:I}", "checking", true, "snapshot", (json_int_t)id);
	} else if (err == 0) {
		trace.steps = json_array();
		walk(&trace);
		*result = answer(&trace);
		free(trace.flows.list);
	}
	model__world_fini(&world);
	return err;
}
