/* What the tests of the policy share: inner packets of any protocol, sent by a peer or the hub, and what
 * becomes of them. */
#ifndef POLICY_LAB_H
#define POLICY_LAB_H

#include "base_bytes.h"
#include "flow.h"

#include <string.h>

#define TCP  6U
#define UDP  17U
#define ICMP 1U

#define FIN 0x01U
#define SYN 0x02U
#define RST 0x04U
#define ACK 0x10U

/* Sketches say only what matters. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define HUB 0U /* as an end of a sketch: 10.0.0.1 */

/* An IPv4 packet from peer to peer; zeros are left out. */
struct sketch {
	uint32_t from;
	uint32_t to;
	uint8_t proto;
	uint8_t flags; /* TCP */
	uint16_t sport;
	uint16_t dport;
	uint8_t type;       /* ICMP */
	uint16_t fragment;  /* flags and offset as in the header */
	uint16_t id;        /* of the datagram */
	uint32_t len;       /* behind the IP header; 0 = 40 */
	const char *source; /* instead of from's own address */
	const char *destination;
};

static inline struct base_ip lab_address(uint32_t end, const char *other)
{
	if (other)
		return flow_ip(other);
	return end == HUB ? flow_ip("10.0.0.1") : flow_inner_ip(end, BASE_IP_V4);
}

static inline void lab_sum(uint8_t *ip)
{
	uint32_t sum = 0;

	base_store_be16(ip + 10, 0);
	for (uint32_t i = 0; i < 20; i += 2)
		sum += base_load_be16(ip + i);
	sum = (sum & 0xffff) + (sum >> 16);
	base_store_be16(ip + 10, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
}

/* Returns its length. */
static inline uint32_t lab_packet(uint8_t *out, const struct sketch *sketch)
{
	struct base_ip source = lab_address(sketch->from, sketch->source);
	struct base_ip destination = lab_address(sketch->to, sketch->destination);
	uint32_t len = 20 + (sketch->len ? sketch->len : 40);
	uint8_t *upper = out + 20;

	memset(out, 0, len);
	out[0] = 0x45;
	base_store_be16(out + 2, (uint16_t)len);
	base_store_be16(out + 4, sketch->id);
	base_store_be16(out + 6, sketch->fragment);
	out[8] = 64;
	out[9] = sketch->proto;
	memcpy(out + 12, source.bytes, 4);
	memcpy(out + 16, destination.bytes, 4);
	lab_sum(out);
	if (len < 28)
		return len;
	base_store_be16(upper, sketch->sport);
	base_store_be16(upper + 2, sketch->dport);
	if (sketch->proto == TCP) {
		upper[12] = 0x50;
		upper[13] = sketch->flags;
	} else if (sketch->proto == ICMP) {
		base_store_be16(upper, (uint16_t)(sketch->type << 8));
		base_store_be16(upper + 4, sketch->sport);
	}
	return len;
}

/* An ICMP error of sketch->type (code 4) about quoted: what sketch->from says to sketch->to. */
static inline uint32_t lab_error(uint8_t *out, struct sketch sketch, const struct sketch *quoted)
{
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len;

	(void)lab_packet(inner, quoted);
	sketch.proto = ICMP;
	sketch.len = 8 + 28;
	len = lab_packet(out, &sketch);
	memset(out + 20, 0, 8);
	out[20] = sketch.type;
	out[21] = 4;
	memcpy(out + 28, inner, 28);
	return len;
}

/* Sessions of the peers 1 .. 4, and how many packets the hub has sent on each. */
struct lab {
	struct flow *flow;
	struct flow_session sessions[5];
	uint64_t sent[5];
};

/* Owner of each peer's session; the policy is the test's. */
static inline struct lab lab_create(const struct flow_options *options,
                                    const uint32_t owners[static 5])
{
	struct lab lab = {.flow = flow_create(options)};

	for (uint32_t peer = 1; peer <= 4; peer++)
		lab.sessions[peer] = flow_session(lab.flow, owners[peer], peer, peer, BASE_IP_V4);
	flow_policy_settle(lab.flow);
	flow_reset(lab.flow);
	return lab;
}

static inline void lab_destroy(struct lab *lab)
{
	flow_destroy(lab->flow);
}

/* Let the peer, or the hub's kernel, send it. */
static inline void lab_send(struct lab *lab, uint32_t from, const uint8_t *inner, uint32_t len)
{
	if (from == HUB)
		flow_from_kernel(lab->flow, 0, PORT_LINK_TUN, inner, len);
	else
		flow_rx_data(lab->flow, &lab->sessions[from], inner, len);
	flow_turn(lab->flow);
}

/* It arrives at to, byte by byte. */
static inline void lab_expect(struct lab *lab, uint32_t from, uint32_t to, uint8_t *inner,
                              uint32_t len)
{
	uint8_t out[FLOW_FRAME_MAX];
	uint16_t port;

	if (to == HUB) {
		assert_int_equal(flow_to_kernel(lab->flow, lab->sessions[from].worker, &port, out),
		                 len);
		assert_int_equal(port, PORT_LINK_TUN);
		assert_memory_equal(out, inner, len);
	} else {
		if (from != HUB)
			flow_hop(inner);
		flow_expect_data(lab->flow, &lab->sessions[to], lab->sent[to]++, inner, len);
	}
	flow_expect_silence(lab->flow);
}

static inline void lab_passes(struct lab *lab, const struct sketch *sketch)
{
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = lab_packet(inner, sketch);

	lab_send(lab, sketch->from, inner, len);
	lab_expect(lab, sketch->from, sketch->to, inner, len);
	flow_reset(lab->flow);
}
#define LAB_PASSES(lab, ...) lab_passes(lab, &(const struct sketch){__VA_ARGS__})

/* The counter grows by one, and no other drop does. */
static inline void lab_counted(struct lab *lab, enum abi_counter counter)
{
	for (uint32_t i = 0; i < ABI_N_COUNTERS; i++) {
		uint64_t grown = flow_counter(lab->flow, (enum abi_counter)i)
		                 - lab->flow->before[i];

		if (abi_counter_texts[i].kind == ABI_COUNTER_KIND_DROP && grown != (i == counter))
			fail_msg("%s: +%lu, expected %s", abi_counter_texts[i].name, grown,
			         abi_counter_texts[counter].name);
	}
	flow_expect_balance(lab->flow);
	flow_expect_silence(lab->flow);
	flow_reset(lab->flow);
}

static inline void lab_drops(struct lab *lab, enum abi_counter counter, const struct sketch *sketch)
{
	uint8_t inner[FLOW_FRAME_MAX];

	lab_send(lab, sketch->from, inner, lab_packet(inner, sketch));
	lab_counted(lab, counter);
}
#define LAB_DROPS(lab, counter, ...)                                                               \
	lab_drops(lab, ABI_COUNTER_DROP_##counter, &(const struct sketch){__VA_ARGS__})

/* Let time pass. What the hub sends meanwhile are keepalives. */
static inline void lab_wait(struct lab *lab, uint64_t ns)
{
	uint8_t frame[FLOW_FRAME_MAX];

	flow_pass(lab->flow, ns);
	for (uint32_t i = 0; i < lab->flow->options.n_workers; i++)
		while (flow_tx(lab->flow, i, 0, frame) > 0)
			lab->sent[base_load_be16(frame + 14 + 20 + 2) - 40000]++;
	flow_reset(lab->flow);
}

/* A connection of from's to to's port, up to its first data. */
static inline void lab_connect(struct lab *lab, uint32_t from, uint32_t to, uint16_t sport,
                               uint16_t dport)
{
	LAB_PASSES(lab, from, to, TCP, SYN, sport, dport);
	LAB_PASSES(lab, to, from, TCP, SYN | ACK, dport, sport);
	LAB_PASSES(lab, from, to, TCP, ACK, sport, dport);
}

/* Ends of grants. */
#define PEER(n)                                                                                    \
	{                                                                                          \
		.kind = POLICY_END_PEER, .number = n                                               \
	}
#define THE_HUB                                                                                    \
	{                                                                                          \
		.kind = POLICY_END_HUB                                                             \
	}
#define ANY                                                                                        \
	{                                                                                          \
		.kind = POLICY_END_ANY                                                             \
	}
#define PORT(n) .ports = (const struct policy_range[]){{n, n}}, .n_ports = 1

/* What most cases go by: 1 may reach 2 at tcp 443 and udp 53 and ping it. */
static inline void lab_hand_over_usual(struct lab *lab)
{
	FLOW_POLICY(lab->flow,
	            {.id = 1, .proto = POLICY_TCP, .from = PEER(1), .to = PEER(2), PORT(443)},
	            {.id = 2, .proto = POLICY_UDP, .from = PEER(1), .to = PEER(2), PORT(53)},
	            {.id = 3, .proto = POLICY_ICMP, .from = PEER(1), .to = PEER(2)});
	flow_policy_settle(lab->flow);
	flow_reset(lab->flow);
}

#endif
