/* What the hub itself sends: handshake messages of control's, keepalives, and the kernel's frames. */
#include "path.h"
#include "path_header.h"

#include <errno.h>

#define HOLD_NS (2 * BASE_NS_PER_S)

static uint32_t check_frame(const struct state *st, const struct path_pkt *p)
{
	if (unlikely(p->mbuf->nb_segs != 1))
		return ABI_COUNTER_DROP_FRAME_CHAINED;
	if (unlikely(p->mbuf->port >= st->wan.n_ports || p->len < PATH_ETHER_LEN))
		return ABI_COUNTER_DROP_STRAY;
	if (unlikely(p->len - PATH_ETHER_LEN > st->wan.ports[p->mbuf->port].mtu))
		return ABI_COUNTER_DROP_TOO_BIG;
	return PATH_KEEP;
}

void inject_frames(struct state *st, struct path_burst *b)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n; i++)
		path_judge(st, b, i, check_frame(st, &b->pkt[i]), &n);
	b->n = n;
}

/* Append the datagram's frame to b. False: no buffer. */
static bool append_frame(struct state *st, struct path_burst *b, const struct abi_cmd_inject *cmd,
                         const struct state_hop *hop)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(st->pool);

	if (unlikely(!mbuf)) {
		state_count(st, ABI_COUNTER_NO_MBUF, 1);
		return false;
	}

	/* The message lies at the mbuf's data; the header goes into the headroom. */
	struct path_pkt *p = path_append(b, mbuf);

	memcpy(p->data, cmd->message, cmd->len);
	p->len = cmd->len;
	path_header_frame(st, p, hop, &cmd->remote);
	state_count(st, ABI_COUNTER_RX_INJECT, 1);
	return true;
}

static void drop_message(struct state *st, uint32_t counter)
{
	state_count(st, ABI_COUNTER_RX_INJECT, 1);
	state_count(st, counter, 1);
}

static void hold(struct state *st, const struct abi_cmd_inject *cmd)
{
	for (uint32_t i = 0; i < STATE_HELD_MAX; i++) {
		if (st->held[i].until_ns != 0)
			continue;
		st->held[i] = (struct state_held){.until_ns = st->now_ns + HOLD_NS, .inject = *cmd};
		st->n_held++;
		return;
	}
	drop_message(st, ABI_COUNTER_DROP_NO_NEIGHBOUR);
}

/* Try to send. Returns 0 (sent, or dropped and counted) or -EHOSTUNREACH (neighbour is wanted). */
static int try_message(struct state *st, struct path_burst *b, const struct abi_cmd_inject *cmd)
{
	struct state_hop hop;

	if (state_address_is_own(&st->addresses, &cmd->remote.ip)) {
		drop_message(st, ABI_COUNTER_DROP_ENDPOINT_LOOP);
		return 0;
	}
	switch (state_wan_resolve(st, &cmd->remote.ip, &cmd->local, cmd->port, &hop)) {
	case 0:
		append_frame(st, b, cmd, &hop);
		return 0;
	case -EHOSTUNREACH:
		state_event_neighbour(st, &hop.next, hop.port);
		return -EHOSTUNREACH;
	default:
		drop_message(st, ABI_COUNTER_DROP_NO_WAN_ROUTE);
		return 0;
	}
}

void inject_message(struct state *st, struct path_burst *b, const struct abi_cmd_inject *cmd)
{
	/* A handshake lost for want of a neighbour would come again after 5 s only. */
	if (try_message(st, b, cmd) < 0)
		hold(st, cmd);
}

void inject_held(struct state *st, struct path_burst *b)
{
	for (uint32_t i = 0; i < STATE_HELD_MAX && st->n_held > 0; i++) {
		struct state_held *held = &st->held[i];

		if (held->until_ns == 0 || b->n == PATH_BURST_MAX)
			continue;
		if (try_message(st, b, &held->inject) < 0) {
			if (st->now_ns < held->until_ns)
				continue;
			drop_message(st, ABI_COUNTER_DROP_NO_NEIGHBOUR);
		}
		held->until_ns = 0;
		st->n_held--;
	}
}

void inject_replies(struct state *st, struct path_burst *b)
{
	for (uint32_t i = 0; i < st->replies.n; i++) {
		if (likely(b->n < PATH_BURST_MAX))
			path_append(b, st->replies.mbuf[i]);
		else
			path_drop(st, st->replies.mbuf[i], ABI_COUNTER_DROP_TX_FULL);
	}
	st->replies.n = 0;
}

void inject_keepalives(struct state *st, struct path_burst *b)
{
	for (uint32_t i = 0; i < st->n_keepalives && b->n < PATH_BURST_MAX; i++) {
		struct state_session *session = &st->sessions[st->keepalives[i]];
		struct rte_mbuf *mbuf;

		if (session->index == ABI_INDEX_NONE)
			continue; /* retired since */
		mbuf = rte_pktmbuf_alloc(st->pool);
		if (unlikely(!mbuf)) {
			state_count(st, ABI_COUNTER_NO_MBUF, 1);
			break;
		}

		struct path_pkt *p = path_append(b, mbuf);

		p->session = session;
		p->index = session->index;
		p->peer = session->peer;
		p->len = 0;
		state_count(st, ABI_COUNTER_RX_INJECT, 1);
	}
	st->n_keepalives = 0;
}
