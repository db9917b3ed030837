/* The walk over the places of the table, in their order. */
#include "state_flow_show.h"

#include "base_bytes.h"
#include "base_time.h"
#include "state.h"

#include <errno.h>

/* A slice: places looked at. Each that is used costs two cache lines, and a report. */
#define SLICE_PLACES      512U
#define SLICE_PLACES_BUSY 32U
/* With packets to move, one slice in so long. */
#define SLICE_EVERY_NS    (100 * BASE_NS_PER_US)
/* The ring is for samples of drops too: no flow is told while more than this wait. */
#define DEPTH_MAX         (ABI_REPORT_SLOTS / 2)

int state_flow_show_begin(struct state *st, const struct abi_cmd_flows *cmd)
{
	bool is_peer = cmd->peer < st->n_peers && cmd->peer < POLICY_HUB;

	if (cmd->token == 0
	    || (!is_peer && cmd->peer != ABI_PEER_HUB && cmd->peer != ABI_PEER_NONE))
		return -EINVAL;
	st->flow_show = (struct state_flow_show){
		.token = cmd->token,
		.peer = cmd->peer == ABI_PEER_HUB ? POLICY_HUB : cmd->peer,
		.limit = cmd->limit,
		.is_all = cmd->peer == ABI_PEER_NONE,
	};
	return 0;
}

static bool has_room(const struct state *st)
{
	return abi_ring_depth(&st->report_ring) < DEPTH_MAX;
}

static struct base_ip ip_of(struct policy_address address)
{
	uint8_t bytes[16];

	base_store_be64(bytes, address.high);
	base_store_be64(bytes + 8, address.low);
	if (policy_address_is_v4(address))
		return base_ip_make(BASE_IP_V4, bytes + 12);
	return base_ip_make(BASE_IP_V6, bytes);
}

static uint32_t peer_of(uint32_t peer)
{
	return peer == POLICY_HUB ? ABI_PEER_HUB : peer;
}

static void tell(struct state *st, const struct policy_flow_info *info)
{
	const struct policy_packet *opener = &info->opener;
	struct abi_report_flow flow = {
		.token = st->flow_show.token,
		.peer = peer_of(opener->in_peer),
		.to_peer = peer_of(opener->out_peer),
		.source = ip_of(opener->src),
		.destination = ip_of(opener->dst),
		.sport = opener->sport,
		.dport = opener->dport,
		.proto = opener->proto,
		.state = (uint8_t)info->state,
		.grant = info->grant,
		.silent_s = st->clock.now_s - info->seen_s,
	};

	/* There is room: has_room() was asked, and nobody else writes. */
	(void)!abi_ring_push(&st->report_ring, ABI_REPORT_FLOW, &flow, sizeof(flow), NULL);
	st->flow_show.limit--;
}

/* The flow at the next place, if there is one. Returns false when it has to wait. */
static bool show_place(struct state *st)
{
	struct state_flow_show *show = &st->flow_show;
	struct policy_flow_info info;

	if (policy_flow_get(st->flows, show->place, st->clock.now_s, &info)
	    && (show->is_all || info.opener.in_peer == show->peer
	        || info.opener.out_peer == show->peer)) {
		if (show->limit > 0) {
			if (!has_room(st))
				return false;
			tell(st, &info);
		}
		show->n_flows++;
	}
	show->place++;
	return true;
}

/* Returns true when that was said. */
static bool show_end(struct state *st)
{
	struct abi_report_flows_end end = {
		.token = st->flow_show.token,
		.n_flows = st->flow_show.n_flows,
	};

	if (!has_room(st))
		return false;
	(void)!abi_ring_push(&st->report_ring, ABI_REPORT_FLOWS_END, &end, sizeof(end), NULL);
	st->flow_show = (struct state_flow_show){0};
	return true;
}

bool state_flow_show_step(struct state *st, bool is_busy)
{
	struct state_flow_show *show = &st->flow_show;
	uint32_t n_slice = is_busy ? SLICE_PLACES_BUSY : SLICE_PLACES;

	if (show->token == 0)
		return false;
	if (is_busy && st->now_ns < show->next_ns)
		return true;
	show->next_ns = st->now_ns + SLICE_EVERY_NS;
	for (uint32_t i = 0; i < n_slice && show->place < policy_flow_places(st->flows); i++)
		if (!show_place(st))
			return false;
	if (show->place < policy_flow_places(st->flows))
		return true;
	(void)show_end(st);
	return false;
}
