/* What comes: data for the simulated peers, their handshakes, and what a neighbour asks. */
#include "pktgen_rx.h"

#include "pktgen_tx.h"
#include "wg_message.h"

#include <rte_ethdev.h>
#include <rte_prefetch.h>

#define RX_BURST      64U
#define ETHER_TYPE_V4 0x0800U
#define ETHER_TYPE_V6 0x86ddU
#define PROTOCOL_UDP  17U

_Static_assert(RX_BURST <= AEAD_BURST_MAX, "one call opens a burst");

struct burst {
	uint32_t n;
	struct aead_op op[RX_BURST];
	uint32_t peer[RX_BURST];
};

/* A UDP datagram for a port of ours. */
struct datagram {
	const uint8_t *to; /* address */
	uint16_t to_port;
	uint8_t *payload;
	uint32_t len;
};

/* ---- outside ------------------------------------------------------------------------------------ */

/* Returns false when the frame is not a datagram from the hub. */
static bool read_datagram(const struct pktgen_wire *wire, uint8_t *frame, uint32_t frame_len,
                          struct datagram *out)
{
	uint8_t *ip = frame + PKTGEN_WIRE_ETHER_LEN;
	uint8_t *udp = frame + wire->header_len - PKTGEN_WIRE_UDP_LEN;
	uint16_t type = wire->is_v6 ? ETHER_TYPE_V6 : ETHER_TYPE_V4;
	const uint8_t *from = ip + (wire->is_v6 ? 8 : 12);
	uint32_t address_len = wire->is_v6 ? 16 : 4, udp_len;

	if (frame_len < wire->header_len || base_load_be16(frame + 12) != type
	    || ip[wire->is_v6 ? 6 : 9] != PROTOCOL_UDP || (!wire->is_v6 && ip[0] != 0x45)
	    || base_load_be16(udp) != wire->hub.port
	    || memcmp(from, wire->hub.ip.bytes, address_len) != 0)
		return false;
	udp_len = base_load_be16(udp + 4);
	if (udp_len < PKTGEN_WIRE_UDP_LEN
	    || udp_len - PKTGEN_WIRE_UDP_LEN > frame_len - wire->header_len)
		return false;
	out->to = from + address_len;
	out->to_port = base_load_be16(udp + 2);
	out->payload = frame + wire->header_len;
	out->len = udp_len - PKTGEN_WIRE_UDP_LEN;
	return true;
}

/* Did it come to where this peer is? */
static bool is_at_home(const struct pktgen_run *run, const struct pktgen_peer *peer,
                       const struct datagram *d)
{
	const struct base_ip *own = &run->peers.own[pktgen_peer_address(peer->home)];

	return d->to_port == pktgen_peer_port(peer->home)
	       && memcmp(d->to, own->bytes, run->wire.is_v6 ? 16 : 4) == 0;
}

/* ---- data --------------------------------------------------------------------------------------- */

static void take_data(struct pktgen_run *run, struct burst *b, const struct datagram *d)
{
	uint32_t index = base_load_le32(d->payload + WG_DATA_RECEIVER);
	uint32_t id = pktgen_peer_of_index(index);
	struct pktgen_peer *peer = &run->peers.peer[id < run->peers.n ? id : 0];
	bool is_current = peer->local_index == index;

	/* The first packet on a session that the hub began. */
	if (unlikely(!is_current && id < run->peers.n && index == peer->next_index)) {
		pktgen_peer_promote(peer);
		is_current = true;
	}
	if (id >= run->peers.n || (!is_current && peer->previous_index != index) || index == 0) {
		run->stats.unknown++;
		return;
	}
	if (!is_at_home(run, peer, d)) {
		run->stats.misdelivered++;
		return;
	}
	if (d->len == WG_DATA_MIN_LEN) {
		peer->last_keepalive_ns = run->now_ns;
		return;
	}
	peer->last_data_ns = run->now_ns;
	if (run->options->open_every > 1 && ++run->n_come < run->options->open_every) {
		run->stats.received++;
		run->stats.received_bytes += d->len - WG_DATA_MIN_LEN;
		return;
	}
	run->n_come = 0;
	b->op[b->n] = (struct aead_op){
		.data = d->payload + WG_DATA_HEADER_LEN,
		.key = is_current ? peer->receive_key : peer->previous_key,
		.counter = base_load_le64(d->payload + WG_DATA_COUNTER),
		.len = d->len - WG_DATA_MIN_LEN,
	};
	b->peer[b->n++] = id;
}

static void count_arrival(struct pktgen_run *run, const struct pktgen_stamp *stamp, uint32_t len)
{
	switch (pktgen_flow_arrive(&run->flows.flow[stamp->flow], stamp->seq)) {
	case PKTGEN_FLOW_DUPLICATE:
		run->stats.duplicated++;
		return;
	case PKTGEN_FLOW_STALE:
		run->stats.stale++;
		return;
	case PKTGEN_FLOW_NEVER:
		run->stats.corrupted++;
		return;
	case PKTGEN_FLOW_REORDERED:
	case PKTGEN_FLOW_LATE:
		run->stats.reordered++;
		break;
	case PKTGEN_FLOW_IN_ORDER:
		break;
	}
	run->stats.received++;
	run->stats.received_bytes += len;
	pktgen_hist_add(&run->stats.latency, run->now_ns - stamp->sent_ns);
}

/* The line of the flow that an opened packet names, if it is one of ours. */
static void fetch_flow(const struct pktgen_run *run, const struct aead_op *op)
{
	uint32_t flow;

	if (op->len < run->wire.inner_len + PKTGEN_STAMP_LEN)
		return;
	flow = pktgen_stamp_flow(op->data + run->wire.inner_len);
	if (flow < run->flows.n)
		rte_prefetch0(&run->flows.flow[flow]);
}

static void check_opened(struct pktgen_run *run, const struct aead_op *op, uint32_t peer)
{
	struct pktgen_stamp stamp;
	uint32_t len;

	if (unlikely(op->verdict != AEAD_OK)) {
		run->stats.forged++;
		return;
	}
	switch (pktgen_wire_check(&run->wire, &run->flows, peer, op->data, op->len, &stamp, &len)) {
	case PKTGEN_WIRE_OK:
		count_arrival(run, &stamp, len);
		break;
	case PKTGEN_WIRE_CORRUPTED:
		run->stats.corrupted++;
		break;
	case PKTGEN_WIRE_MISDELIVERED:
		run->stats.misdelivered++;
		break;
	case PKTGEN_WIRE_OTHER:
		run->stats.other++;
		break;
	}
}

/* ---- the rest ----------------------------------------------------------------------------------- */

static void take_initiation(struct pktgen_run *run, const struct datagram *d)
{
	uint32_t peer = pktgen_peers_at(&run->peers, d->to, d->to_port);

	if (peer < run->peers.n)
		pktgen_handshakes_initiation(&run->handshakes, peer, d->payload, run->now_ns);
	else
		run->stats.other++;
}

static void take_frame(struct pktgen_run *run, uint8_t *frame, uint32_t len)
{
	uint8_t answer[PKTGEN_RESOLVE_FRAME_MAX];
	uint32_t answer_len = pktgen_resolve_take(&run->resolve, frame, len, answer);

	if (answer_len > 0)
		pktgen_tx_frame(run, answer, answer_len);
}

/* The line of the peer that a message names, whatever message it is. */
static void fetch_peer(const struct pktgen_run *run, const struct rte_mbuf *m)
{
	uint32_t at = run->wire.header_len + WG_DATA_RECEIVER, peer;

	if (m->data_len < at + 4)
		return;
	peer = pktgen_peer_of_index(base_load_le32(rte_pktmbuf_mtod(m, const uint8_t *) + at));
	if (peer < run->peers.n)
		rte_prefetch0(run->peers.peer[peer].receive_key);
}

static void take(struct pktgen_run *run, struct burst *b, struct rte_mbuf *m)
{
	uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);
	struct datagram d;

	if (unlikely(m->nb_segs != 1)) {
		run->stats.other++;
		return;
	}
	if (!read_datagram(&run->wire, frame, m->data_len, &d)) {
		take_frame(run, frame, m->data_len);
		return;
	}
	if (wg_message_check(d.payload, d.len) != WG_MESSAGE_OK) {
		run->stats.other++;
		return;
	}
	switch (d.payload[0]) {
	case WG_MESSAGE_DATA:
		take_data(run, b, &d);
		break;
	case WG_MESSAGE_RESPONSE:
		pktgen_handshakes_response(&run->handshakes, d.payload, run->now_ns);
		break;
	case WG_MESSAGE_COOKIE:
		pktgen_handshakes_cookie(&run->handshakes, d.payload, run->now_ns);
		break;
	default:
		take_initiation(run, &d);
		break;
	}
}

static uint32_t take_burst(struct pktgen_run *run, uint16_t queue)
{
	struct rte_mbuf *mbufs[RX_BURST];
	struct burst b = {.n = 0};
	uint32_t n = rte_eth_rx_burst(run->port.id, queue, mbufs, RX_BURST);

	if (n == 0)
		return 0;
	for (uint32_t i = 0; i < n; i++)
		rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], uint8_t *));
	for (uint32_t i = 0; i < n; i++)
		fetch_peer(run, mbufs[i]);
	for (uint32_t i = 0; i < n; i++)
		take(run, &b, mbufs[i]);
	if (b.n > 0)
		aead_open(run->aead, b.op, b.n);
	for (uint32_t i = 0; i < b.n; i++)
		fetch_flow(run, &b.op[i]);
	for (uint32_t i = 0; i < b.n; i++)
		check_opened(run, &b.op[i], b.peer[i]);
	rte_pktmbuf_free_bulk(mbufs, n);
	return n;
}

uint32_t pktgen_rx_turn(struct pktgen_run *run)
{
	uint32_t n = 0;

	for (uint16_t queue = 0; queue < run->options->n_queues; queue++)
		n += take_burst(run, queue);
	return n;
}
