/* Adding, changing and dropping peers. */
#include "state_peer.h"

#include "state.h"

#include <errno.h>

int state_peer_put(struct state *st, const struct abi_cmd_peer *cmd)
{
	if (cmd->peer >= st->n_peers || cmd->peer == POLICY_HUB) /* that number is the hub's */
		return -EINVAL;

	struct state_peer *peer = &st->peers[cmd->peer];
	bool begins = peer->keepalive_s == 0 && cmd->keepalive_s != 0;

	peer->present = 1;
	peer->sync = st->sync;
	peer->keepalive_s = cmd->keepalive_s;
	for (uint32_t slot = peer->first_slot; begins && slot != STATE_SLOT_NONE;
	     slot = st->sessions[slot].next_of_peer)
		wg_timers_data_begin_persistent(&st->sessions[slot].timers);
	return 0;
}

static void forget_peer(struct state *st, uint32_t number)
{
	struct state_peer *peer = &st->peers[number];

	while (peer->first_slot != STATE_SLOT_NONE)
		state_session_retire(st, &st->sessions[peer->first_slot]);
	state_limit_forget(st, number);
	state_wait_end(&st->wait, number);
	state_route_remove_peer(st, number);
	/* Control gives the number to another peer, which must not inherit traffic and times. */
	st->peer_counters[number] = (struct abi_peer_counters){0};
	state_drop_forget(st, number);
	*peer = (struct state_peer){0};
}

int state_peer_drop(struct state *st, uint32_t peer)
{
	if (peer >= st->n_peers)
		return -EINVAL;
	if (st->peers[peer].present)
		forget_peer(st, peer);
	return 0;
}

void state_peer_sweep(struct state *st)
{
	for (uint32_t i = 0; i < st->n_peers; i++)
		if (st->peers[i].present && st->peers[i].sync != st->sync)
			forget_peer(st, i);
}
