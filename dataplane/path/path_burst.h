/* What travels from station to station: up to 64 packets with what is known about each. A station
 * keeps a packet by leaving it in the burst, in order; the others it drops, counted by name, or
 * sends sideways (struct state: to_kernel, to_control, to_worker). */
#ifndef PATH_BURST_H
#define PATH_BURST_H

#include "state.h"
#include "wg_message.h"

#include <rte_branch_prediction.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include <stdint.h>

#define PATH_BURST_MAX 64U

#define PATH_REST_BITS 5

struct path_pkt {
	struct rte_mbuf *mbuf; /* owned by the burst */
	/* data[len]: the frame before in_parse; then the WireGuard message; from in_open on the inner
	 * packet with its padding (but for a rest), from in_accept on without; after out_seal ciphertext and tag; after
	 * out_wrap the frame again. Always inside mbuf's one segment. */
	uint8_t *data;
	struct state_session *session; /* in_session to in_deliver: where it came in;
	                                  out_route to out_wrap: where it goes out */
	uint64_t counter;              /* of the message */
	uint32_t len;
	uint32_t peer; /* policy: the receiver; ABI_PEER_NONE = out_route finds it by address */
	uint8_t to_hub : 1;   /* policy: the inner destination is the hub itself */
	uint8_t from_hub : 1; /* out_parse: its kernel sends it */
	uint8_t waited : 1;   /* wait.c, too_big.c: it was kept for a while */
	uint8_t rest
	    : PATH_REST_BITS; /* in_open to out_seal: so much of the payload is still encrypted, in
	                                  units of AEAD_REST_UNIT (rest.c) */
	uint8_t tos;          /* out_seal: traffic class of the outer header: DSCP and ECN */
	uint8_t handed_by;    /* 1 + the worker at which it arrived; 0 = here */
	uint8_t note;         /* policy: for the receiver's owner, if that is another worker */
	uint32_t
		index; /* of session, when it was found; of what was kept, until then, its sender */
};
_Static_assert(sizeof(struct path_pkt) == 48, "");

struct path_burst {
	uint32_t n;
	bool has_rests; /* in_open: some may have one */
	struct path_pkt pkt[PATH_BURST_MAX];
};

/* Where a packet that was handed to another worker goes on. */
enum path_station {
	PATH_AT_IN_SESSION = 0,
	PATH_AT_OUT_ROUTE = 1,
};

/* A packet's label while it is in a ring, in the private area of its mbuf. */
struct path_label {
	uint32_t station; /* enum path_station */
	uint32_t peer;
	uint32_t offset; /* of data from the mbuf's data */
	uint32_t len;
	uint16_t from; /* worker */
	uint8_t note;  /* as in struct path_pkt; to control: key, and PATH_PROVEN */
	uint8_t from_hub;
	uint32_t sender; /* of what is kept */
};
_Static_assert(sizeof(struct path_label) <= PORT_LINK_PRIV_LEN, "label fits the private area");

/* Verdicts on one packet: stay, gone (sideways), or the counter to drop it under. */
#define PATH_KEEP ABI_N_COUNTERS
#define PATH_GONE (ABI_N_COUNTERS + 1U)

/* Frames have their Ethernet header at the start of the buffer and the IP header right behind it;
 * this holds until in_deliver, since the outer header is left where it is. */
#define PATH_ETHER_LEN 14U

static inline uint8_t *path_outer_ip(const struct path_pkt *p)
{
	return rte_pktmbuf_mtod_offset(p->mbuf, uint8_t *, PATH_ETHER_LEN);
}

static inline struct path_label *path_label(struct rte_mbuf *mbuf)
{
	return (struct path_label *)rte_mbuf_to_priv(mbuf);
}

/* Make the mbuf's data what p->data[len] is, for rings and ports. */
static inline void path_fit(struct path_pkt *p)
{
	p->mbuf->data_off = (uint16_t)(p->data - (uint8_t *)p->mbuf->buf_addr);
	p->mbuf->data_len = (uint16_t)p->len;
	p->mbuf->pkt_len = p->len;
	p->mbuf->ol_flags = 0;
}

/* Count the packet as dropped for this reason and free it. */
static inline void path_drop(struct state *st, struct rte_mbuf *mbuf, uint32_t counter)
{
	state_count(st, counter, 1);
	rte_pktmbuf_free(mbuf);
}

/* sample.c: control is told of one packet out of many that are dropped; all are counted by peer and
 * reason. The packet is still whole. Part of path_refuse(). */
void path_sample(struct state *st, const struct path_pkt *p, uint32_t counter);

/* sample.c: all that there is to do about a packet that is dropped. */
void path_refuse(struct state *st, const struct path_pkt *p, uint32_t counter);

/* The packet p, judged: it stays (where *to is, which moves on), or it is gone, or it is dropped. A station
 * takes the packets of its burst in order, from and to the first on, and leaves those in front of *to: see
 * path_end() and path_close(). */
static inline void path_settle(struct state *st, struct path_pkt *p, uint32_t verdict,
                               struct path_pkt **to)
{
	if (likely(verdict == PATH_KEEP)) {
		if (unlikely(*to != p))
			**to = *p;
		(*to)++;
		return;
	}
	if (verdict != PATH_GONE)
		path_refuse(st, p, verdict);
}

static inline struct path_pkt *path_end(struct path_burst *b)
{
	return b->pkt + b->n;
}

static inline void path_close(struct path_burst *b, const struct path_pkt *to)
{
	b->n = (uint32_t)(to - b->pkt);
}

/* The same by numbers, for stations that know something of each packet by its number: the packet at i stays
 * as number *n of the burst, or it is gone, or dropped. */
static inline void path_judge(struct state *st, struct path_burst *b, uint32_t i, uint32_t verdict,
                              uint32_t *n)
{
	struct path_pkt *to = &b->pkt[*n];

	path_settle(st, &b->pkt[i], verdict, &to);
	*n += to != &b->pkt[*n];
}

/* Put a packet into a side. A side holds a whole burst and is emptied after each. */
static inline void path_aside(struct state_side *side, struct rte_mbuf *mbuf)
{
	side->mbuf[side->n++] = mbuf;
}

/* The same, to another worker, where it goes on at station. */
static inline void path_hand_to(struct state *st, uint32_t worker, const struct path_pkt *p,
                                enum path_station station)
{
	*path_label(p->mbuf) = (struct path_label){
		.station = station,
		.peer = p->peer,
		.offset = (uint32_t)(p->data - rte_pktmbuf_mtod(p->mbuf, uint8_t *)),
		.len = p->len,
		.from = (uint16_t)st->id,
		.note = p->note,
		.from_hub = p->from_hub,
	};
	path_aside(&st->to_worker[worker], p->mbuf);
}

/* The same, to control: a handshake message, with the key of the hub's that it is meant for, and whether
 * it has answered a cookie. */
#define PATH_PROVEN 0x80U

static inline void path_to_control(struct state *st, const struct path_pkt *p, uint32_t key,
                                   bool proven)
{
	*path_label(p->mbuf) = (struct path_label){
		.offset = (uint32_t)(p->data - rte_pktmbuf_mtod(p->mbuf, uint8_t *)),
		.len = p->len,
		.note = (uint8_t)(key | (proven ? PATH_PROVEN : 0)),
	};
	path_aside(&st->to_control, p->mbuf);
}

/* Write on a packet what path_kept() needs to make it again, but for its session; sender: a peer or
 * ABI_PEER_HUB. */
static inline void path_keep(const struct path_pkt *p, uint32_t sender)
{
	*path_label(p->mbuf) = (struct path_label){
		.peer = p->peer,
		.offset = (uint32_t)(p->data - rte_pktmbuf_mtod(p->mbuf, uint8_t *)),
		.len = p->len,
		.from = p->handed_by,
		.note = p->note,
		.from_hub = p->from_hub,
		.sender = sender,
	};
}

static inline struct path_pkt path_kept(struct rte_mbuf *mbuf)
{
	const struct path_label *label = path_label(mbuf);

	return (struct path_pkt){
		.mbuf = mbuf,
		.data = rte_pktmbuf_mtod_offset(mbuf, uint8_t *, label->offset),
		.len = label->len,
		.peer = label->peer,
		.from_hub = label->from_hub != 0,
		.waited = 1,
		.handed_by = (uint8_t)label->from,
		.note = label->note,
		.index = label->sender,
	};
}

/* Reach for the line of a data message's session that in_session() reads. For who passes packets on to
 * that, as early as the message is known: the whole burst comes together. (The other line that a packet needs is
 * reached for while the cipher runs: struct aead_op.)
 *
 * A core's first cache has room for some two dozen waits for memory, and with more under way whatever reads
 * memory stands still. Lines asked into the second cache wait elsewhere: 32 of them, from memory and with work
 * behind, cost 12 cycles each here, not 30. So the lines of sessions, of which few are near when there are many,
 * are reached for that way; what is likely to be in the second cache already is asked into the first. */
static inline void path_reach_session(const struct state *st, const uint8_t *message)
{
	uint32_t index = base_load_le32(message + WG_DATA_RECEIVER);
	uint32_t slot = abi_index_slot(index);

	if (likely(abi_index_worker(index) == st->id && slot < st->n_slots))
		rte_prefetch1(&st->sessions[slot].index);
}

/* Append a packet whose data is the mbuf's. Only while b->n < PATH_BURST_MAX. */
static inline struct path_pkt *path_append(struct path_burst *b, struct rte_mbuf *mbuf)
{
	struct path_pkt *p = &b->pkt[b->n++];

	p->mbuf = mbuf;
	p->data = rte_pktmbuf_mtod(mbuf, uint8_t *);
	p->len = mbuf->data_len;
	p->peer = ABI_PEER_NONE;
	p->session = NULL;
	p->handed_by = 0;
	p->note = 0;
	p->from_hub = 0;
	p->waited = 0;
	p->rest = 0;
	return p;
}

#endif
