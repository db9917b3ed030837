/* Making, changing and ending limits of peers. */
#include "state_limit.h"

#include "state.h"

#include <errno.h>

static bool rate_ok(const struct abi_limit_rate *rate)
{
	bool packets = rate->packets == 0
	                       ? rate->packets_burst == 0
	                       : rate->packets <= ABI_LIMIT_PACKETS_MAX && rate->packets_burst >= 1
	                                 && rate->packets_burst <= ABI_LIMIT_PACKETS_MAX;
	bool bytes = rate->bytes == 0 ? rate->bytes_burst == 0
	                              : rate->bytes <= ABI_LIMIT_BYTES_MAX
	                                        && rate->bytes_burst >= ABI_LIMIT_BYTES_BURST_MIN
	                                        && rate->bytes_burst <= ABI_LIMIT_BYTES_BURST_MAX;

	return packets && bytes;
}

static bool has_rate(const struct abi_limit_rate *rate)
{
	return rate->packets != 0 || rate->bytes != 0;
}

static uint8_t limits_of(const struct abi_cmd_peer_limit *cmd)
{
	bool quota = cmd->rx_until != ABI_QUOTA_NONE || cmd->tx_until != ABI_QUOTA_NONE
	             || cmd->total_until != ABI_QUOTA_NONE;

	return (uint8_t)((has_rate(&cmd->rx) ? ABI_LIMIT_RX : 0)
	                 | (has_rate(&cmd->tx) ? ABI_LIMIT_TX : 0) | (quota ? ABI_LIMIT_QUOTA : 0));
}

/* What the old rate brought until now stays; from now on the new one brings. */
static void set_way(struct abi_limit_way *way, const struct abi_limit_rate *rate, uint64_t now_ns)
{
	uint64_t elapsed_ns = now_ns > way->refilled_ns ? now_ns - way->refilled_ns : 0;

	base_tokens_refill(&way->packets, elapsed_ns);
	base_tokens_refill(&way->bytes, elapsed_ns);
	way->refilled_ns += elapsed_ns;
	base_tokens_set(&way->packets, rate->packets, rate->packets_burst);
	base_tokens_set(&way->bytes, rate->bytes, rate->bytes_burst);
}

void state_limit_apply(struct state *st, struct state_session *session)
{
	uint8_t limits = st->peers[session->peer].limits;

	session->rx_limits = limits & (ABI_LIMIT_RX | ABI_LIMIT_QUOTA);
	session->tx_limits = limits & (ABI_LIMIT_TX | ABI_LIMIT_QUOTA);
	st->mirror[abi_index_slot(session->index)].limits = limits;
}

static void set_limits(struct state *st, uint32_t number, uint8_t limits)
{
	struct state_peer *peer = &st->peers[number];

	st->n_limited += (limits != 0) - (peer->limits != 0);
	peer->limits = limits;
	for (uint32_t slot = peer->first_slot; slot != STATE_SLOT_NONE;
	     slot = st->sessions[slot].next_of_peer)
		state_limit_apply(st, &st->sessions[slot]);
}

int state_limit_put(struct state *st, const struct abi_cmd_peer_limit *cmd)
{
	struct abi_limit *limit;

	if (cmd->peer >= st->n_peers || !st->peers[cmd->peer].present || !rate_ok(&cmd->rx)
	    || !rate_ok(&cmd->tx))
		return -EINVAL;
	if (limits_of(cmd) == 0) {
		state_limit_forget(st, cmd->peer);
		return 0;
	}
	limit = &st->limits_of[cmd->peer];
	set_way(&limit->rx, &cmd->rx, st->now_ns);
	set_way(&limit->tx, &cmd->tx, st->now_ns);
	limit->rx_until = cmd->rx_until;
	limit->tx_until = cmd->tx_until;
	limit->total_until = cmd->total_until;
	limit->flags = limits_of(cmd);
	st->peers[cmd->peer].limit_sync = st->sync;
	set_limits(st, cmd->peer, limits_of(cmd));
	return 0;
}

void state_limit_forget(struct state *st, uint32_t peer)
{
	if (st->peers[peer].limits == 0)
		return;
	set_limits(st, peer, 0);
	st->limits_of[peer] = (struct abi_limit){0};
}

static struct abi_limit_rate rate_of(const struct abi_limit_way *way)
{
	struct abi_limit_rate rate = {0};

	if (base_tokens_is_limited(&way->packets)) {
		rate.packets = way->packets.rate;
		rate.packets_burst = base_tokens_burst(&way->packets);
	}
	if (base_tokens_is_limited(&way->bytes)) {
		rate.bytes = way->bytes.rate;
		rate.bytes_burst = base_tokens_burst(&way->bytes);
	}
	return rate;
}

bool state_limit_entry(const struct state *st, uint32_t peer, struct abi_cmd_peer_limit *out)
{
	const struct abi_limit *limit = &st->limits_of[peer];

	if (st->peers[peer].limits == 0)
		return false;
	*out = (struct abi_cmd_peer_limit){
		.peer = peer,
		.rx = rate_of(&limit->rx),
		.tx = rate_of(&limit->tx),
		.rx_until = limit->rx_until,
		.tx_until = limit->tx_until,
		.total_until = limit->total_until,
	};
	return true;
}

void state_limit_sweep(struct state *st)
{
	for (uint32_t i = 0; st->n_limited > 0 && i < st->n_peers; i++)
		if (st->peers[i].limits != 0 && st->peers[i].limit_sync != st->sync)
			state_limit_forget(st, i);
}

void state_limit_resume(struct state *st, uint32_t peer, uint32_t limits)
{
	set_limits(st, peer, limits & (ABI_LIMIT_RX | ABI_LIMIT_TX | ABI_LIMIT_QUOTA));
}
