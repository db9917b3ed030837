/* Ethernet, IP and UDP of a frame from a WAN port, and the part of WireGuard that needs no session.
 * Nothing here ever answers: bad input is counted and gone. */
#include "path.h"
#include "path_sum.h"
#include "wg_message.h"

#include <rte_prefetch.h>

#define ETHERTYPE_V4      0x0800U
#define ETHERTYPE_V6      0x86ddU
#define PROTOCOL_UDP      17U
#define PROTOCOL_FRAGMENT 44U
#define FRAGMENT_HEADER   8U
#define IP4_MIN           20U
#define IP4_OFFSET        0x1fffU
#define IP4_MORE          0x2000U
#define IP6_LEN           40U
#define UDP_LEN           8U

/* A plain frame (parse_plain()): type, version and header length; which bits of fragment, TTL and protocol
 * matter. */
#define PLAIN_LEN         (PATH_ETHER_LEN + IP4_MIN + UDP_LEN)
#define PLAIN_LEN_V6      (PATH_ETHER_LEN + IP6_LEN + UDP_LEN)
#define PLAIN_FIRST       0x080045U
#define PLAIN_SECOND_MASK 0x3fff00ffU

static uint32_t to_kernel(struct state *st, struct path_pkt *p)
{
	path_aside(&st->to_kernel, p->mbuf);
	return PATH_GONE;
}

/* Cookie replies have no mac1, the others wait for in_handshake(). */
static uint32_t check_handshake(struct state *st, struct path_pkt *p)
{
	if (p->data[0] != WG_MESSAGE_COOKIE) {
		st->gate.n_waiting++;
		return PATH_KEEP;
	}
	if (!state_gate_take(&st->gate.cookies, STATE_GATE_COOKIES_PER_S, STATE_GATE_COOKIES_BURST,
	                     1, st->now_ns))
		return ABI_COUNTER_DROP_CONTROL_LIMIT;
	path_to_control(st, p, 0, false);
	return PATH_GONE;
}

/* p->data[len] is a UDP payload for the listen port. */
static uint32_t check_message(struct state *st, struct path_pkt *p)
{
	switch (wg_message_check(p->data, p->len)) {
	case WG_MESSAGE_OK:
		break;
	case WG_MESSAGE_SHORT:
		return ABI_COUNTER_DROP_WG_SHORT;
	case WG_MESSAGE_BAD_TYPE:
		return ABI_COUNTER_DROP_WG_TYPE;
	case WG_MESSAGE_BAD_RESERVED:
		return ABI_COUNTER_DROP_WG_RESERVED;
	case WG_MESSAGE_BAD_LENGTH:
		return ABI_COUNTER_DROP_WG_LENGTH;
	}
	if (likely(p->data[0] == WG_MESSAGE_DATA))
		return PATH_KEEP;
	return check_handshake(st, p);
}

/* Did the port find the UDP checksum wrong? 0 means none over IPv4, which some ports take for wrong. */
static bool is_sum_bad(const struct rte_mbuf *mbuf, const uint8_t *udp)
{
	return (mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_BAD
	       && base_load_be16(udp + 6) != 0;
}

/* udp[room]: UDP header and what the IP header says is behind it, for our address and port. */
static uint32_t check_udp(struct state *st, struct path_pkt *p, uint8_t *udp, uint32_t room)
{
	uint32_t len = base_load_be16(udp + 4);

	/* Source port 0 cannot be answered. The checksum is not computed: every message carries its
	 * own, stronger one. But where the port did, nothing is spent on what it found wrong. */
	if (unlikely(len < UDP_LEN || len > room || base_load_be16(udp) == 0
	             || is_sum_bad(p->mbuf, udp)))
		return ABI_COUNTER_DROP_OUTER_HEADER;
	p->data = udp + UDP_LEN;
	p->len = len - UDP_LEN;
	return check_message(st, p);
}

/* Addresses that no datagram comes from: this network, loopback, multicast, reserved. */
static bool source_bad_v4(const uint8_t *address)
{
	return address[0] == 0 || address[0] == 127 || address[0] >= 224;
}

static bool source_bad_v6(const uint8_t *address)
{
	static const uint8_t loopback[16] = {[15] = 1};
	static const uint8_t unspecified[16];

	return address[0] == 0xff || memcmp(address, loopback, 16) == 0
	       || memcmp(address, unspecified, 16) == 0;
}

/* Is this UDP header for our WireGuard port? */
static bool is_ours(const struct state *st, const uint8_t *udp)
{
	return base_load_be16(udp + 2) == st->hub.listen_port && st->hub.listen_port != 0;
}

static uint32_t parse_v4(struct state *st, struct path_pkt *p, uint8_t *ip, uint32_t room)
{
	if (unlikely(room < IP4_MIN))
		return ABI_COUNTER_DROP_FRAME_TRUNCATED;

	uint32_t header_len = (ip[0] & 0x0fU) * 4U;
	uint32_t total_len = base_load_be16(ip + 2);
	uint32_t fragment = base_load_be16(ip + 6);

	if (unlikely(ip[0] >> 4 != 4 || header_len < IP4_MIN || total_len < header_len))
		return ABI_COUNTER_DROP_OUTER_HEADER;
	if (unlikely(total_len > room))
		return ABI_COUNTER_DROP_FRAME_TRUNCATED;
	/* A later fragment names no port. The kernel gets it, and waits in vain if its first went
	 * to our port. */
	if (ip[9] != PROTOCOL_UDP || !state_address_has_v4(&st->addresses.wan, ip + 16)
	    || (fragment & IP4_OFFSET) != 0 || total_len < header_len + UDP_LEN
	    || !is_ours(st, ip + header_len))
		return to_kernel(st, p);
	if (unlikely(fragment & IP4_MORE))
		return ABI_COUNTER_DROP_OUTER_FRAGMENT;
	if (unlikely(path_sum_fold(path_sum_add(0, ip, header_len)) != 0xffff
	             || source_bad_v4(ip + 12)))
		return ABI_COUNTER_DROP_OUTER_HEADER;
	return check_udp(st, p, ip + header_len, total_len - header_len);
}

/* A fragment header in front of a UDP header for our port? */
static bool is_our_fragment_v6(const struct state *st, const uint8_t *ip, uint32_t payload_len)
{
	const uint8_t *fragment = ip + IP6_LEN;

	return payload_len >= FRAGMENT_HEADER + UDP_LEN && fragment[0] == PROTOCOL_UDP
	       && base_load_be16(fragment + 2) >> 3 == 0 && is_ours(st, fragment + FRAGMENT_HEADER)
	       && state_address_has_v6(&st->addresses.wan, ip + 24);
}

static uint32_t parse_v6(struct state *st, struct path_pkt *p, uint8_t *ip, uint32_t room)
{
	if (unlikely(room < IP6_LEN))
		return ABI_COUNTER_DROP_FRAME_TRUNCATED;

	uint32_t payload_len = base_load_be16(ip + 4);

	if (unlikely(ip[0] >> 4 != 6))
		return ABI_COUNTER_DROP_OUTER_HEADER;
	if (unlikely(IP6_LEN + payload_len > room))
		return ABI_COUNTER_DROP_FRAME_TRUNCATED;
	if (unlikely(ip[6] == PROTOCOL_FRAGMENT && is_our_fragment_v6(st, ip, payload_len)))
		return ABI_COUNTER_DROP_OUTER_FRAGMENT;
	/* Other extension headers are the kernel's: WireGuard sends none. */
	if (ip[6] != PROTOCOL_UDP || payload_len < UDP_LEN || !is_ours(st, ip + IP6_LEN)
	    || !state_address_has_v6(&st->addresses.wan, ip + 24))
		return to_kernel(st, p);
	if (unlikely(source_bad_v6(ip + 8)))
		return ABI_COUNTER_DROP_OUTER_HEADER;
	return check_udp(st, p, ip + IP6_LEN, payload_len);
}

/* Nearly every frame: Ethernet, an IPv4 header without options that is no fragment, UDP to us, a data
 * message, and nothing wrong with any of them. Words of the headers are compared at once; true = the
 * packet stays, and p is set. False says nothing: look at it field by field. */
static inline bool parse_plain(const struct state *st, struct path_pkt *p)
{
	const uint8_t *frame = p->data;

	if (unlikely(p->len < PLAIN_LEN + WG_DATA_MIN_LEN || p->mbuf->nb_segs != 1
	             || (p->mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_BAD) != 0))
		return false;

	uint64_t first = base_load_be64(frame + 12);  /* type, version, length, TOS, total, id */
	uint32_t second = base_load_be32(frame + 20); /* fragment, TTL, protocol */
	uint64_t ports = base_load_be64(frame + 34);  /* UDP: ports, length, sum */
	uint32_t total_len = (first >> 16) & 0xffff;
	uint32_t udp_len = (ports >> 16) & 0xffff;

	if (unlikely(first >> 40 != PLAIN_FIRST || (second & PLAIN_SECOND_MASK) != PROTOCOL_UDP
	             || base_load_le32(frame + PLAIN_LEN) != WG_MESSAGE_DATA))
		return false;
	if (unlikely(PATH_ETHER_LEN + total_len > p->len || IP4_MIN + udp_len > total_len
	             || udp_len < UDP_LEN + WG_DATA_MIN_LEN || ports >> 48 == 0
	             || ((ports >> 32) & 0xffff) != st->hub.listen_port
	             || st->hub.listen_port == 0))
		return false;
	if (unlikely(!state_address_has_v4(&st->addresses.wan, frame + 30)
	             || source_bad_v4(frame + 26) || !path_sum_ok_v4(frame + PATH_ETHER_LEN)))
		return false;
	p->data += PLAIN_LEN;
	p->len = udp_len - UDP_LEN;
	return true;
}

/* Whatever is not plain. Not inlined, so that parse_plain() has the registers. */
static __attribute__((noinline)) uint32_t parse_any(struct state *st, struct path_pkt *p)
{
	if (unlikely(p->mbuf->nb_segs != 1))
		return ABI_COUNTER_DROP_FRAME_CHAINED;
	if (unlikely(p->len < PATH_ETHER_LEN))
		return ABI_COUNTER_DROP_FRAME_TRUNCATED;

	uint8_t *ip = p->data + PATH_ETHER_LEN;
	uint32_t room = p->len - PATH_ETHER_LEN;

	switch (base_load_be16(p->data + 12)) {
	case ETHERTYPE_V4:
		return parse_v4(st, p, ip, room);
	case ETHERTYPE_V6:
		return parse_v6(st, p, ip, room);
	default:
		return to_kernel(st, p);
	}
}

static inline uint32_t parse_frame(struct state *st, struct path_pkt *p)
{
	return likely(parse_plain(st, p)) ? PATH_KEEP : parse_any(st, p);
}

/* First pass: reach for the session of what looks like a data message behind headers without options. What is
 * none says any line, which is harmless. Apart from the parsing, since a look into a page that the processor does
 * not know now holds up what follows: so these wait together. */
static inline void reach(const struct state *st, const struct path_pkt *p)
{
	_Static_assert(PLAIN_LEN_V6 + WG_DATA_COUNTER <= PLAIN_LEN + WG_DATA_MIN_LEN,
	               "the index is inside");

	if (likely(p->len >= PLAIN_LEN + WG_DATA_MIN_LEN)) {
		bool is_v6 = base_load_be16(p->data + 12) == ETHERTYPE_V6;

		path_reach_session(st, p->data + (is_v6 ? PLAIN_LEN_V6 : PLAIN_LEN));
	}
}

void in_parse(struct state *st, struct path_burst *b)
{
	struct path_pkt *end = path_end(b);
	struct path_pkt *to = b->pkt;

	for (const struct path_pkt *p = b->pkt; p < end; p++)
		rte_prefetch0(p->data);
	for (const struct path_pkt *p = b->pkt; p < end; p++)
		reach(st, p);
	for (struct path_pkt *p = b->pkt; p < end; p++)
		path_settle(st, p, parse_frame(st, p), &to);
	path_close(b, to);
}
