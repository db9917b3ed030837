/* What control is told of a packet that is dropped: who, whence, where to, why. path_refuse() calls it with
 * the packet as its station has left it, so what it begins with follows from the reason. Nothing that is
 * read here has been checked by anybody: every length is. */
#include "path.h"

#define IP4_LEN     20U
#define IP6_LEN     40U
#define PORTS_LEN   4U
#define PROTO_ICMP  1U
#define PROTO_TCP   6U
#define PROTO_UDP   17U
#define PROTO_ICMP6 58U

/* Found before there is an inner packet: what can be shown is the frame, and who sent it is not known.
 * Of an expired session it may be either. */
static const bool is_outer[ABI_N_COUNTERS] = {
	[ABI_COUNTER_DROP_FRAME_TRUNCATED] = true, [ABI_COUNTER_DROP_FRAME_CHAINED] = true,
	[ABI_COUNTER_DROP_OUTER_HEADER] = true,    [ABI_COUNTER_DROP_OUTER_FRAGMENT] = true,
	[ABI_COUNTER_DROP_WG_SHORT] = true,        [ABI_COUNTER_DROP_WG_TYPE] = true,
	[ABI_COUNTER_DROP_WG_RESERVED] = true,     [ABI_COUNTER_DROP_WG_LENGTH] = true,
	[ABI_COUNTER_DROP_WG_MAC1] = true,         [ABI_COUNTER_DROP_MAC1_LIMIT] = true,
	[ABI_COUNTER_DROP_CONTROL_LIMIT] = true,   [ABI_COUNTER_DROP_COOKIE_LIMIT] = true,
	[ABI_COUNTER_DROP_SOURCE_LIMIT] = true,    [ABI_COUNTER_DROP_SOURCE_FULL] = true,
	[ABI_COUNTER_DROP_UNKNOWN_INDEX] = true,   [ABI_COUNTER_DROP_AUTH] = true,
	[ABI_COUNTER_DROP_REPLAY] = true,          [ABI_COUNTER_DROP_STRAY] = true,
	[ABI_COUNTER_DROP_BLOCK_ALL] = true,       [ABI_COUNTER_DROP_BLOCK_WIREGUARD] = true,
	[ABI_COUNTER_DROP_BLOCK_PUBLISHED] = true,
};

/* Both ports, or type and code, from the upper header, of which room bytes are there. */
static void read_ports(struct abi_report_drop *out, const uint8_t *upper, size_t room)
{
	if (room < PORTS_LEN)
		return;
	switch (out->proto) {
	case PROTO_TCP:
	case PROTO_UDP:
		out->sport = base_load_be16(upper);
		out->dport = base_load_be16(upper + 2);
		break;
	case PROTO_ICMP:
	case PROTO_ICMP6:
		out->sport = upper[0];
		out->dport = upper[1];
		break;
	default:
		return;
	}
	out->has_ports = 1;
}

static void read_v4(struct abi_report_drop *out, const uint8_t *ip, size_t room)
{
	size_t header_len = (ip[0] & 0x0fU) * 4U;
	bool is_later_fragment = (base_load_be16(ip + 6) & 0x1fff) != 0;

	out->source = base_ip_make(BASE_IP_V4, ip + 12);
	out->destination = base_ip_make(BASE_IP_V4, ip + 16);
	out->proto = ip[9];
	if (!is_later_fragment && header_len >= IP4_LEN && header_len <= room)
		read_ports(out, ip + header_len, room - header_len);
}

/* Extension headers are not followed: proto is the first of them then. */
static void read_v6(struct abi_report_drop *out, const uint8_t *ip, size_t room)
{
	out->source = base_ip_make(BASE_IP_V6, ip + 8);
	out->destination = base_ip_make(BASE_IP_V6, ip + 24);
	out->proto = ip[6];
	read_ports(out, ip + IP6_LEN, room - IP6_LEN);
}

static void read_ip(struct abi_report_drop *out, const uint8_t *ip, size_t room)
{
	if (room >= IP4_LEN && ip[0] >> 4 == 4)
		read_v4(out, ip, room);
	else if (room >= IP6_LEN && ip[0] >> 4 == 6)
		read_v6(out, ip, room);
}

/* Out of the hub, the session is the receiver's, who was found by route. */
static bool is_on_its_way_out(const struct path_pkt *p)
{
	return p->session && p->session->peer == p->peer;
}

static uint32_t sender(const struct path_pkt *p)
{
	if (p->session)
		return p->session->peer;
	if (p->waited)
		return p->index;
	return p->from_hub || p->handed_by == 0 ? ABI_PEER_HUB : ABI_PEER_NONE;
}

/* What is shown of it, from an IP header on: the packet, or what is behind the frame's Ethernet header. */
struct shown {
	const uint8_t *data;
	uint32_t len;
};

static struct shown shown_of(const struct path_pkt *p, bool outer)
{
	const struct rte_mbuf *mbuf = p->mbuf;

	if (!outer)
		return (struct shown){p->data, p->len};
	if (mbuf->data_len < PATH_ETHER_LEN)
		return (struct shown){p->data, 0};
	return (struct shown){
		rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, PATH_ETHER_LEN),
		mbuf->data_len - PATH_ETHER_LEN,
	};
}

static uint8_t flags_of(bool outer, bool leaves)
{
	if (outer)
		return ABI_DROP_OUTER;
	return leaves ? ABI_DROP_TO_PEER : 0;
}

/* Somebody looks at it: control, or who captures. */
static __attribute__((noinline)) void show(struct state *st, const struct path_pkt *p, bool outer,
                                           struct abi_report_drop sample, bool is_due)
{
	struct shown shown = shown_of(p, outer);

	if (st->capture.head.what & ABI_CAPTURE_DROPS)
		capture_drop(st, &sample, shown.data, shown.len);
	if (!is_due)
		return;
	sample.len = shown.len;
	read_ip(&sample, shown.data, shown.len);
	/* Full: a sample the less, and the next one bears the count. */
	(void)!abi_ring_push(&st->report_ring, ABI_REPORT_DROP, &sample, sizeof(sample), NULL);
}

void path_sample(struct state *st, const struct path_pkt *p, uint32_t counter)
{
	bool leaves = is_on_its_way_out(p);
	bool outer = is_outer[counter] || (counter == ABI_COUNTER_DROP_SESSION_EXPIRED && !leaves);
	uint32_t peer = outer ? ABI_PEER_NONE : sender(p);
	struct state_drop_noted noted;
	bool is_due = state_drop_note(st, peer, counter, &noted);

	if (likely(!is_due && !(st->capture.head.what & ABI_CAPTURE_DROPS)))
		return;
	show(st, p, outer,
	     (struct abi_report_drop){.time_ns = st->now_ns,
	                              .count = noted.count,
	                              .peer = peer,
	                              .place = noted.place,
	                              .reason = counter,
	                              .flags = flags_of(outer, leaves)},
	     is_due);
}

void path_refuse(struct state *st, const struct path_pkt *p, uint32_t counter)
{
	path_sample(st, p, counter);
	path_drop(st, p->mbuf, counter);
}
