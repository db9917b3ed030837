/* Templates, and packets made from and checked against them. */
#include "pktgen_wire.h"

#include "wg_message.h"

#include <rte_branch_prediction.h>
#include <rte_ip.h>

#include <string.h>

#define ETHER_TYPE_V4   0x0800U
#define ETHER_TYPE_V6   0x86ddU
#define PROTOCOL_UDP    17U
#define PROTOCOL_ICMP   1U
#define PROTOCOL_ICMPV6 58U
#define ECHO_REQUEST    8U
#define ECHO_REPLY      0U
#define ECHO_REQUEST_V6 128U
#define ECHO_REPLY_V6   129U
#define HOP_LIMIT       64U
#define INNER_PORT      20000U /* and the flow's number below it: 10000 source ports */

static uint16_t sum_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	return (uint16_t)~sum;
}

/* Sum of big-endian words. */
static uint32_t sum_words(const uint8_t *bytes, uint32_t len)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < len; i += 2)
		sum += base_load_be16(bytes + i);
	return sum;
}

/* ---- templates ---------------------------------------------------------------------------------- */

static void set_ip4(uint8_t *ip, uint8_t protocol)
{
	ip[0] = 0x45;
	ip[6] = 0x40; /* do not fragment */
	ip[8] = HOP_LIMIT;
	ip[9] = protocol;
}

static void set_ip6(uint8_t *ip, uint8_t protocol)
{
	ip[0] = 0x60;
	ip[6] = protocol;
	ip[7] = HOP_LIMIT;
}

static void init_outer(struct pktgen_wire *wire, const uint8_t mac[static 6])
{
	uint8_t *ip = wire->header + PKTGEN_WIRE_ETHER_LEN;
	uint8_t *udp;

	memcpy(wire->header + 6, mac, 6);
	base_store_be16(wire->header + 12, wire->is_v6 ? ETHER_TYPE_V6 : ETHER_TYPE_V4);
	if (wire->is_v6) {
		set_ip6(ip, PROTOCOL_UDP);
		memcpy(ip + 24, wire->hub.ip.bytes, 16);
		udp = ip + PKTGEN_WIRE_IP6_LEN;
	} else {
		set_ip4(ip, PROTOCOL_UDP);
		memcpy(ip + 16, wire->hub.ip.bytes, 4);
		wire->sum = sum_words(ip, PKTGEN_WIRE_IP4_LEN);
		udp = ip + PKTGEN_WIRE_IP4_LEN;
	}
	base_store_be16(udp + 2, wire->hub.port);
	wire->header_len = (uint32_t)(udp - wire->header) + PKTGEN_WIRE_UDP_LEN;
}

static void init_inner(struct pktgen_wire *wire)
{
	uint8_t *l4;

	if (wire->inner_is_v6) {
		set_ip6(wire->inner, wire->is_echo ? PROTOCOL_ICMPV6 : PROTOCOL_UDP);
		l4 = wire->inner + PKTGEN_WIRE_IP6_LEN;
		if (wire->is_echo)
			l4[0] = ECHO_REQUEST_V6;
	} else {
		set_ip4(wire->inner, wire->is_echo ? PROTOCOL_ICMP : PROTOCOL_UDP);
		wire->inner_sum = sum_words(wire->inner, PKTGEN_WIRE_IP4_LEN);
		l4 = wire->inner + PKTGEN_WIRE_IP4_LEN;
		if (wire->is_echo)
			l4[0] = ECHO_REQUEST;
	}
	if (!wire->is_echo)
		base_store_be16(l4 + 2, 9); /* discard */
	wire->inner_len = (uint32_t)(l4 - wire->inner) + PKTGEN_WIRE_UDP_LEN;
}

void pktgen_wire_init(struct pktgen_wire *wire, const struct pktgen_options *options,
                      const uint8_t mac[static 6])
{
	uint64_t x = 1;

	memset(wire, 0, sizeof(*wire));
	wire->hub = options->hub;
	wire->is_v6 = options->hub.ip.family == BASE_IP_V6;
	wire->inner_is_v6 = options->inner.family == BASE_IP_V6;
	wire->is_echo = options->pattern == PKTGEN_HUB;
	wire->inner_first = options->inner;
	wire->inner_hub = options->inner_hub;
	init_outer(wire, mac);
	init_inner(wire);
	for (uint32_t i = 0; i < PKTGEN_WIRE_PATTERN_LEN; i++) {
		x = x * UINT64_C(6364136223846793005) + 1;
		wire->pattern[i] = (uint8_t)(x >> 56);
	}
}

void pktgen_wire_set_hub_mac(struct pktgen_wire *wire, const uint8_t mac[static 6])
{
	memcpy(wire->header, mac, 6);
}

/* ---- outside ------------------------------------------------------------------------------------ */

static void wrap_v4(const struct pktgen_wire *wire, const struct base_ip *source, uint8_t *ip,
                    uint32_t len)
{
	uint32_t ip_len = PKTGEN_WIRE_IP4_LEN + PKTGEN_WIRE_UDP_LEN + len;
	uint32_t sum = wire->sum + ip_len + base_load_be16(source->bytes)
	               + base_load_be16(source->bytes + 2);

	base_store_be16(ip + 2, (uint16_t)ip_len);
	base_store_be16(ip + 10, sum_fold(sum));
	memcpy(ip + 12, source->bytes, 4);
}

uint32_t pktgen_wire_wrap(const struct pktgen_wire *wire, const struct pktgen_peers *peers,
                          const struct pktgen_peer *from, uint8_t *frame, uint32_t len)
{
	const struct base_ip *source = &peers->own[pktgen_peer_address(from->port_address)];
	uint8_t *ip = frame + PKTGEN_WIRE_ETHER_LEN;
	uint8_t *udp = frame + wire->header_len - PKTGEN_WIRE_UDP_LEN;

	memcpy(frame, wire->header, wire->header_len);
	base_store_be16(udp, pktgen_peer_port(from->port_address));
	base_store_be16(udp + 4, (uint16_t)(PKTGEN_WIRE_UDP_LEN + len));
	if (!wire->is_v6) {
		wrap_v4(wire, source, ip, len);
	} else {
		base_store_be16(ip + 4, (uint16_t)(PKTGEN_WIRE_UDP_LEN + len));
		memcpy(ip + 8, source->bytes, 16);
		/* Not optional with IPv6 (RFC 8200 8.1). */
		uint16_t sum = rte_ipv6_udptcp_cksum((const struct rte_ipv6_hdr *)(void *)ip, udp);

		memcpy(udp + 6, &sum, sizeof(sum));
	}
	return wire->header_len + len;
}

/* ---- inside ------------------------------------------------------------------------------------- */

static void inner_address(const struct pktgen_wire *wire, uint32_t peer, uint8_t *out)
{
	uint32_t len = wire->inner_is_v6 ? 16 : 4;
	const struct base_ip *ip = peer == PKTGEN_FLOW_HUB ? &wire->inner_hub : &wire->inner_first;

	memcpy(out, ip->bytes, len);
	if (peer != PKTGEN_FLOW_HUB)
		base_store_be32(out + len - 4, base_load_be32(out + len - 4) + peer);
}

static const uint8_t *pattern_at(const struct pktgen_wire *wire, uint64_t seq)
{
	return wire->pattern + (seq & 63) * 8;
}

/* The sum of an echo request, which the hub's kernel checks. */
static void fill_echo_sum(const struct pktgen_wire *wire, uint8_t *packet, uint32_t len)
{
	uint8_t *icmp = packet + wire->inner_len - PKTGEN_WIRE_UDP_LEN;
	uint16_t sum;

	if (wire->inner_is_v6)
		sum = rte_ipv6_udptcp_cksum((const struct rte_ipv6_hdr *)(void *)packet, icmp);
	else
		sum = (uint16_t)~rte_raw_cksum(icmp, len - PKTGEN_WIRE_IP4_LEN);
	memcpy(icmp + 2, &sum, sizeof(sum));
}

void pktgen_wire_fill(const struct pktgen_wire *wire, const struct pktgen_flow *flow,
                      const struct pktgen_stamp *stamp, uint8_t *packet, uint32_t len)
{
	uint8_t *l4 = packet + wire->inner_len - PKTGEN_WIRE_UDP_LEN;
	uint8_t *payload = packet + wire->inner_len;

	memcpy(packet, wire->inner, wire->inner_len);
	if (wire->inner_is_v6) {
		base_store_be16(packet + 4, (uint16_t)(len - PKTGEN_WIRE_IP6_LEN));
		inner_address(wire, flow->source, packet + 8);
		inner_address(wire, flow->destination, packet + 24);
	} else {
		inner_address(wire, flow->source, packet + 12);
		inner_address(wire, flow->destination, packet + 16);
		base_store_be16(packet + 2, (uint16_t)len);
		base_store_be16(packet + 10,
		                sum_fold(wire->inner_sum + len + sum_words(packet + 12, 8)));
	}
	if (wire->is_echo) {
		base_store_be16(l4 + 4, (uint16_t)stamp->flow);
		base_store_be16(l4 + 6, (uint16_t)stamp->seq);
	} else {
		base_store_be16(l4, (uint16_t)(INNER_PORT + stamp->flow % 10000));
		base_store_be16(l4 + 4, (uint16_t)(len - (uint32_t)(l4 - packet)));
	}
	pktgen_stamp_write(payload, stamp);
	memcpy(payload + PKTGEN_STAMP_LEN, pattern_at(wire, stamp->seq),
	       len - wire->inner_len - PKTGEN_STAMP_LEN);
	if (wire->is_echo)
		fill_echo_sum(wire, packet, len);
	else if (wire->inner_is_v6)
		base_store_be16(l4 + 6, 0xffff); /* not checked by anybody, but not "none" */
}

/* Version, length and protocol of what came; the length goes to *len. */
static bool header_fits(const struct pktgen_wire *wire, const uint8_t *packet, uint32_t room,
                        uint32_t *len)
{
	const uint8_t *l4 = packet + wire->inner_len - PKTGEN_WIRE_UDP_LEN;

	if (unlikely(room < wire->inner_len + PKTGEN_STAMP_LEN || packet[0] != wire->inner[0]))
		return false;
	*len = wire->inner_is_v6 ? PKTGEN_WIRE_IP6_LEN + base_load_be16(packet + 4)
	                         : base_load_be16(packet + 2);
	/* Padding is less than a multiple: a shorter length is not what was sent. */
	if (unlikely(*len > room || room - *len >= WG_PAD_MULTIPLE
	             || *len < wire->inner_len + PKTGEN_STAMP_LEN))
		return false;
	if (packet[wire->inner_is_v6 ? 6 : 9] != wire->inner[wire->inner_is_v6 ? 6 : 9])
		return false;
	return !wire->is_echo || l4[0] == (wire->inner_is_v6 ? ECHO_REPLY_V6 : ECHO_REPLY);
}

enum pktgen_wire_verdict pktgen_wire_check(const struct pktgen_wire *wire,
                                           const struct pktgen_flows *flows, uint32_t to,
                                           const uint8_t *packet, uint32_t room,
                                           struct pktgen_stamp *stamp, uint32_t *len)
{
	const uint8_t *payload = packet + wire->inner_len;
	uint32_t address_len = wire->inner_is_v6 ? 16 : 4;
	const uint8_t *source = packet + (wire->inner_is_v6 ? 8 : 12);
	uint8_t expected[32];
	const struct pktgen_flow *flow;
	uint32_t receiver;

	if (unlikely(!header_fits(wire, packet, room, len)))
		return PKTGEN_WIRE_OTHER;
	if (unlikely(!pktgen_stamp_read(payload, stamp) || stamp->flow >= flows->n
	             || *len > wire->inner_len + PKTGEN_SIZE_MAX))
		return PKTGEN_WIRE_CORRUPTED;
	flow = &flows->flow[stamp->flow];
	/* An echo comes back to whoever sent it. */
	receiver = wire->is_echo ? flow->source : flow->destination;
	if (unlikely(receiver != to))
		return PKTGEN_WIRE_MISDELIVERED;
	inner_address(wire, wire->is_echo ? flow->destination : flow->source, expected);
	inner_address(wire, receiver, expected + address_len);
	if (unlikely(memcmp(source, expected, 2 * address_len) != 0))
		return PKTGEN_WIRE_CORRUPTED;
	if (unlikely(memcmp(payload + PKTGEN_STAMP_LEN, pattern_at(wire, stamp->seq),
	                    *len - wire->inner_len - PKTGEN_STAMP_LEN)
	             != 0))
		return PKTGEN_WIRE_CORRUPTED;
	return PKTGEN_WIRE_OK;
}
