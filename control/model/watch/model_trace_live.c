/* What changes while the hub runs and a trace has to know: drop lists, limits and quotas, flows. */
#include "base_time.h"
#include "model_block.h"
#include "model_limit.h"
#include "model_trace.h"
#include "policy_flow.h"
#include "program.h"
#include "session.h"
#include "watch.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* ---- drop lists --------------------------------------------------------------------------------- */

/* The outer source of what the sender sends; false when it is not known. */
static bool outer_source(const struct trace *trace, struct base_ip *out)
{
	struct session_peer_info info;

	*out = trace->from_wan;
	if (out->family != BASE_IP_NONE)
		return true;
	if (session_peer_info(trace->model->setup.session, trace->packet.from.peer->number, &info)
	            < 0
	    || info.endpoint.port == 0)
		return false;
	*out = info.endpoint.ip;
	return true;
}

void model__trace_block(struct trace *trace)
{
	const struct blocklist_entry *entry;
	char text[BASE_IP_STRLEN];
	struct base_ip source;

	if (!trace->packet.from.peer)
		return;
	if (!outer_source(trace, &source)) {
		model__trace_step(
			trace, "lists", TRACE_NOTE, NULL,
			"where peer \"%s\" sends from is not known (--from-wan asks for an "
			"address)",
			trace->packet.from.peer->name);
		return;
	}
	base_ip_format(&source, text);
	entry = model__block_holding(trace->model, &source, BLOCK_ALL | BLOCK_WIREGUARD);
	if (!entry)
		model__trace_step(trace, "lists", TRACE_PASSES, NULL,
		                  "%s, where it comes from, is on no drop list", text);
	else
		model__trace_step(trace, "lists", TRACE_DROPS,
		                  entry->scopes & BLOCK_ALL ? "block_all" : "block_wireguard",
		                  "%s, where it comes from, is on a drop list of \"%s\": %s", text,
		                  entry->source, entry->reason[0] ? entry->reason : "no reason");
}

/* ---- limits ------------------------------------------------------------------------------------- */

/* "1000 packets/s, 2500000 bytes/s", or "no rate". */
static void rate_text(const struct abi_limit_rate *rate, char *buf, size_t size)
{
	int n = 0;

	if (rate->packets > 0)
		n = snprintf(buf, size, "%llu packets/s", (unsigned long long)rate->packets);
	if (rate->bytes > 0)
		snprintf(buf + n, size - (size_t)n, "%s%llu bytes/s", n > 0 ? ", " : "",
		         (unsigned long long)rate->bytes);
	if (rate->packets == 0 && rate->bytes == 0)
		snprintf(buf, size, "no rate");
}

/* The quota that stops this way, and what is used of it; false when there is none. */
static bool quota_of(const struct model_limit_state *state, bool is_rx, uint64_t *used,
                     uint64_t *quota)
{
	uint64_t one_used = is_rx ? state->meter.rx : state->meter.tx;
	uint64_t one = is_rx ? state->spec.quota_rx : state->spec.quota_tx;

	*used = state->meter.rx + state->meter.tx;
	*quota = state->spec.quota;
	if (one != 0 && (*quota == 0 || one_used >= one || *used < *quota)) {
		*used = one_used;
		*quota = one;
	}
	return *quota != 0;
}

static void trace_limit(struct trace *trace, const struct grant_peer *peer, bool is_rx)
{
	const char *name = is_rx ? "limit-in" : "limit-out";
	struct model_limit_state state;
	char rate[80];
	uint64_t used, quota;
	bool has_quota;

	if (!peer || !model__limit_state(trace->model, peer->number, &state))
		return;
	rate_text(is_rx ? &state.spec.rx : &state.spec.tx, rate, sizeof(rate));
	has_quota = quota_of(&state, is_rx, &used, &quota);
	if (has_quota && used >= quota)
		model__trace_step(trace, name, TRACE_DROPS, "quota",
		                  "peer \"%s\" has used up its quota of the month: %llu of %llu "
		                  "bytes",
		                  peer->name, (unsigned long long)used, (unsigned long long)quota);
	else if (has_quota)
		model__trace_step(trace, name, TRACE_PASSES, NULL,
		                  "peer \"%s\" has used %llu of %llu bytes of the month; %s, by "
		                  "which %llu packets were dropped",
		                  peer->name, (unsigned long long)used, (unsigned long long)quota,
		                  rate, (unsigned long long)state.drops);
	else
		model__trace_step(trace, name, TRACE_PASSES, NULL,
		                  "within the limits of peer \"%s\": %s, by which %llu packets "
		                  "were dropped",
		                  peer->name, rate, (unsigned long long)state.drops);
}

void model__trace_limit_in(struct trace *trace)
{
	trace_limit(trace, trace->packet.from.peer, true);
}

void model__trace_limit_out(struct trace *trace)
{
	if (!trace->dropped && !trace->to_hub)
		trace_limit(trace, trace->packet.to.peer, false);
}

/* ---- flows -------------------------------------------------------------------------------------- */

int model__trace_flows(struct trace *trace, uint64_t *id)
{
	const struct grant_peer *from = trace->packet.from.peer;
	int err = 0;

	if (!trace->model->setup.watch)
		err = -ENOTCONN;
	else if (*id == 0)
		err = watch_flows_begin(trace->model->setup.watch,
		                        from ? from->number : ABI_PEER_HUB, WATCH_FLOWS_MAX, id);
	if (err == 0)
		err = watch_flows_read(trace->model->setup.watch, *id, &trace->flows);
	trace->flows_err = err;
	return err == -EINPROGRESS ? err : 0;
}

static bool has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP;
}

static bool port_fits(uint16_t asked, uint16_t port)
{
	return asked == 0 || asked == port;
}

/* The packet goes the way of the one that opened the flow. */
static bool is_forth(const struct trace *trace, const struct abi_report_flow *flow)
{
	const struct grant_packet *p = &trace->packet;

	return flow->proto == p->protocol && base_ip_equal(&flow->source, &p->from.ip)
	       && base_ip_equal(&flow->destination, &p->to.ip)
	       && (!has_ports(p->protocol)
	           || (flow->dport == p->port && port_fits(trace->from_port, flow->sport)));
}

static bool is_back(const struct trace *trace, const struct abi_report_flow *flow)
{
	const struct grant_packet *p = &trace->packet;

	return flow->proto == p->protocol && base_ip_equal(&flow->source, &p->to.ip)
	       && base_ip_equal(&flow->destination, &p->from.ip)
	       && (!has_ports(p->protocol)
	           || (flow->sport == p->port && port_fits(trace->from_port, flow->dport)));
}

/* Does it let packets pass? One that is over only waits to be forgotten. */
static bool stands(const struct abi_report_flow *flow)
{
	return flow->state != POLICY_FLOW_TCP_CLOSED && flow->state != POLICY_FLOW_TCP_RESET;
}

/* The one heard of last. */
static void find_flow(struct trace *trace)
{
	for (uint32_t i = 0; i < trace->flows.n && !trace->flow; i++) {
		const struct abi_report_flow *flow = &trace->flows.list[i].flow;

		if (!stands(flow) || !(is_forth(trace, flow) || is_back(trace, flow)))
			continue;
		trace->flow = flow;
		trace->flow_is_back = !is_forth(trace, flow);
	}
}

static bool is_cut(const struct trace *trace)
{
	for (uint32_t i = 0; i < ABI_WORKERS_MAX; i++)
		if (trace->flows.n_of[i] > WATCH_FLOWS_MAX)
			return true;
	return false;
}

static const char *unknown_text(int err)
{
	return err == -EBUSY      ? "somebody else looks at the flows right now: try again"
	       : err == -ENOTCONN ? "no dataplane is there to ask for flows"
	                          : "the flows are not known: a worker did not answer";
}

static const char *grant_name(const struct trace *trace, uint32_t number)
{
	const struct grant_policy *policy = &trace->model->policy;

	for (uint32_t i = 0; i < policy->n_grants; i++)
		if (policy->grants[i].number == number)
			return policy->grants[i].name;
	return NULL;
}

void model__trace_flow(struct trace *trace)
{
	const struct abi_report_flow *flow;
	const char *grant;

	if (trace->dropped)
		return;
	find_flow(trace);
	flow = trace->flow;
	if (trace->flows_err < 0) {
		model__trace_step(trace, "flow", TRACE_NOTE, NULL, "%s",
		                  unknown_text(trace->flows_err));
	} else if (!flow) {
		model__trace_step(trace, "flow", TRACE_NOTE, NULL,
		                  "of no flow that stands%s: it would open one",
		                  is_cut(trace) ? " (there are more flows than were looked at)"
		                                : "");
	} else {
		grant = grant_name(trace, flow->grant);
		model__trace_step(trace, "flow", TRACE_PASSES, NULL,
		                  "of a flow that stands%s: port %u to %u, %s, last packet %u s "
		                  "ago%s%s%s",
		                  trace->flow_is_back ? ", opened by the other side" : "",
		                  flow->sport, flow->dport,
		                  policy_flow_state_text((enum policy_flow_state)flow->state),
		                  flow->silent_s, grant ? ", by grant \"" : "", grant ? grant : "",
		                  grant ? "\"" : "");
	}
}

struct grant_packet model__trace_opener(const struct trace *trace)
{
	struct grant_packet opener = trace->packet;

	if (trace->flow && trace->flow_is_back) {
		opener.from = trace->packet.to;
		opener.to = trace->packet.from;
		opener.port = has_ports(opener.protocol) ? trace->flow->dport : 0;
	}
	return opener;
}

/* ---- the other way ------------------------------------------------------------------------------ */

void model__trace_back(struct trace *trace)
{
	struct grant_packet back = trace->packet;
	const struct grant *grant;
	bool allowed = false;
	char port[16] = "";

	if (trace->dropped && !trace->packet.to.peer && !trace->to_hub)
		return;
	back.from = trace->packet.to;
	back.to = trace->packet.from;
	grant = grant_decide(&trace->model->policy, trace->world, &back, &allowed);
	if (has_ports(back.protocol))
		snprintf(port, sizeof(port), " on port %u", back.port);
	model__trace_step(trace, "back", TRACE_NOTE, NULL,
	                  "%s%s%s opening the same to the sender%s: %s%s%s",
	                  back.from.peer ? "peer \"" : "",
	                  back.from.peer ? back.from.peer->name : "the hub",
	                  back.from.peer ? "\"" : "", port,
	                  grant     ? "grant \""
	                  : allowed ? "allowed without a grant"
	                            : "no grant allows it; replies need none",
	                  grant ? grant->name : "", grant ? "\" allows it" : "");
}
