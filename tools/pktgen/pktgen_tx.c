/* Packets are made in bursts: all inner packets, one seal, all headers. */
#include "pktgen_tx.h"

#include "wg_message.h"

#include <rte_ethdev.h>
#include <rte_prefetch.h>

#include <string.h>

#define BATCH_WAIT_NS 20000U /* how long a due packet may wait for others, to be sealed with them */
#define LATE_NS       1000000U /* what was due longer ago is skipped, not sent in one heap */
#define AHEAD         8U
#define PAD           (WG_PAD_MULTIPLE - 1)

/* 7 : 4 : 1, mixed, as the sizes of neighbours differ on a real link. */
static const uint16_t imix[12] = {64, 570, 64, 64, 570, 64, 1420, 64, 570, 64, 570, 64};

uint32_t pktgen_tx_size(const struct pktgen_options *options, uint32_t i)
{
	return options->size != 0 ? options->size : imix[i % BASE_ARRAY_LEN(imix)];
}

/* ---- a burst ------------------------------------------------------------------------------------ */

struct burst {
	uint32_t n;
	uint16_t queue;
	struct rte_mbuf *mbuf[PKTGEN_BURST];
	struct pktgen_peer *peer[PKTGEN_BURST];
	uint32_t len[PKTGEN_BURST]; /* inner */
	struct aead_op op[PKTGEN_BURST];
};

/* Inner packet and WireGuard header, not sealed yet. */
static void make_packet(struct pktgen_run *run, struct burst *b, uint32_t flow_id,
                        struct pktgen_flow *flow, struct pktgen_peer *peer)
{
	struct pktgen_stamp stamp = {flow_id, flow->next++, run->now_ns};
	uint8_t *message = rte_pktmbuf_mtod(b->mbuf[b->n], uint8_t *) + run->wire.header_len;
	uint8_t *inner = message + WG_DATA_HEADER_LEN;
	uint32_t len = pktgen_tx_size(run->options, run->next_size++);
	uint32_t padded = (len + PAD) & ~PAD;

	pktgen_wire_fill(&run->wire, flow, &stamp, inner, len);
	memset(inner + len, 0, padded - len);
	base_store_le32(message, WG_MESSAGE_DATA);
	base_store_le32(message + WG_DATA_RECEIVER, peer->remote_index);
	base_store_le64(message + WG_DATA_COUNTER, peer->send_counter);
	b->op[b->n] = (struct aead_op){.data = inner,
	                               .key = peer->send_key,
	                               .counter = peer->send_counter++,
	                               .len = padded};
	b->peer[b->n] = peer;
	b->len[b->n] = len;
	b->n++;
}

/* The flow's line is fetched well before the peer's, whose number lies in it. */
static uint32_t next_flow(struct pktgen_run *run, uint32_t queue)
{
	uint32_t first = run->flows.first[queue];
	uint32_t last = run->flows.first[queue + 1] - 1;
	uint32_t flow = first + run->queue[queue].next_flow;
	uint32_t far = flow + 2 * AHEAD < last ? flow + 2 * AHEAD : last;
	uint32_t near = flow + AHEAD < last ? flow + AHEAD : last;

	run->queue[queue].next_flow = flow < last ? flow + 1 - first : 0;
	rte_prefetch0(&run->flows.flow[far]);
	rte_prefetch0(&run->peers.peer[run->flows.flow[near].source]);
	return flow;
}

static void fill_burst(struct pktgen_run *run, struct burst *b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t id = next_flow(run, b->queue);
		struct pktgen_flow *flow = &run->flows.flow[id];
		struct pktgen_peer *peer = &run->peers.peer[flow->source];

		if (unlikely(peer->remote_index == 0)) {
			run->stats.no_session++;
			continue;
		}
		make_packet(run, b, id, flow, peer);
	}
}

static void wrap_burst(struct pktgen_run *run, struct burst *b)
{
	for (uint32_t i = 0; i < b->n; i++) {
		struct rte_mbuf *m = b->mbuf[i];
		uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);
		uint32_t len = pktgen_wire_wrap(&run->wire, &run->peers, b->peer[i], frame,
		                                WG_DATA_HEADER_LEN + b->op[i].len + WG_TAG_LEN);

		m->data_len = (uint16_t)len;
		m->pkt_len = len;
		b->peer[i]->last_sent_ns = run->now_ns;
	}
}

static void count_sent(struct pktgen_run *run, const uint32_t *len, uint32_t n)
{
	run->stats.sent += n;
	for (uint32_t i = 0; i < n; i++)
		run->stats.sent_bytes += len[i];
}

/* What the port does not take is held: it is sealed, and goes first when there is room. */
static void send_burst(struct pktgen_run *run, struct burst *b)
{
	struct pktgen_queue *queue = &run->queue[b->queue];
	uint32_t n = rte_eth_tx_burst(run->port.id, b->queue, b->mbuf, (uint16_t)b->n);

	count_sent(run, b->len, n);
	if (likely(n == b->n))
		return;
	queue->n_held = b->n - n;
	memcpy(queue->held, b->mbuf + n, queue->n_held * sizeof(queue->held[0]));
	memcpy(queue->held_len, b->len + n, queue->n_held * sizeof(queue->held_len[0]));
}

/* True when nothing is held any more. */
static bool send_held(struct pktgen_run *run, uint16_t id)
{
	struct pktgen_queue *queue = &run->queue[id];
	uint32_t n;

	if (likely(queue->n_held == 0))
		return true;
	n = rte_eth_tx_burst(run->port.id, id, queue->held, (uint16_t)queue->n_held);
	count_sent(run, queue->held_len, n);
	queue->n_held -= n;
	memmove(queue->held, queue->held + n, queue->n_held * sizeof(queue->held[0]));
	memmove(queue->held_len, queue->held_len + n, queue->n_held * sizeof(queue->held_len[0]));
	return queue->n_held == 0;
}

static void generate(struct pktgen_run *run, uint16_t queue, uint32_t n)
{
	struct burst b = {.queue = queue};

	if (rte_pktmbuf_alloc_bulk(run->port.pool, b.mbuf, n) != 0) {
		run->stats.unsent += n; /* all buffers lie in the port's queues */
		return;
	}
	fill_burst(run, &b, n);
	if (unlikely(b.n < n))
		rte_pktmbuf_free_bulk(b.mbuf + b.n, n - b.n);
	if (unlikely(b.n == 0))
		return;
	aead_seal(run->aead, b.op, b.n);
	wrap_burst(run, &b);
	send_burst(run, &b);
}

/* ---- pace --------------------------------------------------------------------------------------- */

/* Packets that are due now; those that were due long ago are skipped. */
static uint64_t due(struct pktgen_run *run)
{
	struct pktgen_pace *pace = &run->pace;
	uint64_t elapsed_ns = run->now_ns - pace->begin_ns;
	uint64_t should = (uint64_t)((double)elapsed_ns * pace->pps * 1e-9);
	uint64_t late = (uint64_t)(pace->pps * LATE_NS * 1e-9) + 2 * PKTGEN_BURST;
	uint64_t n = should > pace->offered ? should - pace->offered : 0;

	if (unlikely(n > late)) {
		run->stats.skipped += n - late;
		pace->offered += n - late;
		n = late;
	}
	return n;
}

/* In front of a full port what is due is lost, as it would be in front of a NIC's: so it need not
 * be made, and any overload can be offered. */
static uint32_t paced_turn(struct pktgen_run *run, uint16_t queue, bool has_room)
{
	struct pktgen_pace *pace = &run->pace;
	uint64_t n = due(run);

	if (!has_room) {
		run->stats.unsent += n;
		pace->offered += n;
		return 0;
	}
	if (n == 0 || (n < PKTGEN_BURST && run->now_ns - pace->last_ns < BATCH_WAIT_NS))
		return 0;
	if (n > PKTGEN_BURST)
		n = PKTGEN_BURST;
	pace->offered += n;
	pace->last_ns = run->now_ns;
	generate(run, queue, (uint32_t)n);
	return (uint32_t)n;
}

/* Each queue in turn; one without senders, when there are more queues than peers, is left out. */
static uint16_t take_queue(struct pktgen_run *run)
{
	uint32_t queue;

	do {
		queue = run->next_queue;
		run->next_queue = queue + 1 < run->flows.n_queues ? queue + 1 : 0;
	} while (unlikely(run->flows.first[queue] == run->flows.first[queue + 1]));
	return (uint16_t)queue;
}

uint32_t pktgen_tx_turn(struct pktgen_run *run)
{
	uint16_t queue = take_queue(run);
	bool has_room = send_held(run, queue);

	run->stats.turns++;
	run->stats.waited += !has_room;
	if (run->pace.pps > 0)
		return paced_turn(run, queue, has_room);
	if (!has_room)
		return 0;
	generate(run, queue, PKTGEN_BURST);
	return PKTGEN_BURST;
}

void pktgen_tx_drop_held(struct pktgen_run *run)
{
	for (uint32_t i = 0; i < run->flows.n_queues; i++) {
		struct pktgen_queue *queue = &run->queue[i];

		run->stats.unsent += queue->n_held;
		rte_pktmbuf_free_bulk(queue->held, queue->n_held);
		queue->n_held = 0;
	}
}

/* ---- single messages ---------------------------------------------------------------------------- */

static void send_one(struct pktgen_run *run, uint32_t queue, struct rte_mbuf *m, uint32_t len)
{
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
	if (rte_eth_tx_burst(run->port.id, (uint16_t)queue, &m, 1) == 0)
		rte_pktmbuf_free(m); /* lost, as on a wire; whoever needs it repeats it */
}

void pktgen_tx_message(struct pktgen_run *run, uint32_t peer, const uint8_t *message, uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(run->port.pool);
	uint8_t *frame;

	if (m == NULL)
		return;
	frame = rte_pktmbuf_mtod(m, uint8_t *);
	memcpy(frame + run->wire.header_len, message, len);
	send_one(run, peer % run->options->n_queues, m,
	         pktgen_wire_wrap(&run->wire, &run->peers, &run->peers.peer[peer], frame, len));
}

void pktgen_tx_frame(struct pktgen_run *run, const uint8_t *frame, uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(run->port.pool);

	if (m == NULL)
		return;
	memcpy(rte_pktmbuf_mtod(m, uint8_t *), frame, len);
	send_one(run, 0, m, len);
}

void pktgen_tx_keepalive(struct pktgen_run *run, uint32_t peer)
{
	struct pktgen_peer *p = &run->peers.peer[peer];
	uint8_t message[WG_DATA_MIN_LEN] = {WG_MESSAGE_DATA};
	struct aead_op op = {.data = message + WG_DATA_HEADER_LEN,
	                     .key = p->send_key,
	                     .counter = p->send_counter++};

	base_store_le32(message + WG_DATA_RECEIVER, p->remote_index);
	base_store_le64(message + WG_DATA_COUNTER, op.counter);
	aead_seal(run->aead, &op, 1);
	pktgen_tx_message(run, peer, message, sizeof(message));
	p->last_sent_ns = run->now_ns;
}
