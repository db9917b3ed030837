/* Reading an inner packet: addresses, protocol, ports, flags; what an ICMP error speaks of. Every
 * length is checked before it is used; nothing is read beyond data + len. */
#include "policy_packet.h"

#define V4_MIN         20U
#define V6_LEN         40U
#define TCP_MIN        20U
#define TCP_FLAGS_AT   13U
#define UDP_LEN        8U
#define ICMP_LEN       8U
#define EXTENSIONS_MAX 8U
#define DATAGRAM_MAX   65535U /* IPv4: with its header; IPv6: without */

#define NEXT_HOP_BY_HOP  0U
#define NEXT_ROUTING     43U
#define NEXT_FRAGMENT    44U
#define NEXT_DESTINATION 60U

#define ICMP_ECHO_REPLY   0U
#define ICMP_ECHO_REQUEST 8U
#define ICMP_UNREACHABLE  3U
#define ICMP_TIME         11U
#define ICMP_PARAMETER    12U

#define ICMPV6_UNREACHABLE  1U
#define ICMPV6_PARAMETER    4U
#define ICMPV6_ECHO_REQUEST 128U
#define ICMPV6_ECHO_REPLY   129U

/* Behind the IP headers. */
struct upper {
	const uint8_t *data;
	size_t len;
	uint32_t offset; /* of a fragment, bytes */
	size_t room;     /* for all fragments of a datagram together */
};

struct policy_address policy_address_make(const struct base_ip *ip)
{
	if (ip->family == BASE_IP_V4)
		return policy_address_v4(ip->bytes);
	if (ip->family == BASE_IP_V6)
		return policy_address_v6(ip->bytes);
	return (struct policy_address){0};
}

static enum policy_parse parse_v4(const uint8_t *data, size_t len, struct policy_packet *out,
                                  struct upper *upper)
{
	size_t header_len = (data[0] & 15U) * 4U;
	uint32_t fragment;

	if (len < V4_MIN || header_len < V4_MIN || header_len > len)
		return POLICY_PARSE_HEADER;
	out->src = policy_address_v4(data + 12);
	out->dst = policy_address_v4(data + 16);
	out->proto = data[9];
	fragment = base_load_be16(data + 6);
	out->datagram = base_load_be16(data + 4);
	out->is_fragment = (fragment & 0x3fff) != 0;
	upper->offset = (fragment & 0x1fff) * 8U;
	upper->data = data + header_len;
	upper->len = len - header_len;
	upper->room = DATAGRAM_MAX - header_len;
	return POLICY_PARSE_OK;
}

/* Step over one IPv6 extension header of kind *next. */
static enum policy_parse parse_extension(struct policy_packet *out, struct upper *upper,
                                         uint8_t *next)
{
	size_t header_len = ICMP_LEN;

	if (upper->len < header_len)
		return POLICY_PARSE_SHORT;
	if (*next == NEXT_FRAGMENT) {
		uint32_t word = base_load_be16(upper->data + 2);

		if (out->is_fragment != 0)
			return POLICY_PARSE_HEADER; /* a fragment of a fragment */
		out->is_fragment = (word & 0xfff9) != 0;
		out->datagram = base_load_be32(upper->data + 4);
		upper->offset = word & 0xfff8;
	} else {
		header_len += upper->data[1] * 8U;
		if (upper->len < header_len)
			return POLICY_PARSE_SHORT;
	}
	*next = upper->data[0];
	upper->data += header_len;
	upper->len -= header_len;
	return POLICY_PARSE_OK;
}

static bool is_extension(uint8_t next)
{
	return next == NEXT_HOP_BY_HOP || next == NEXT_ROUTING || next == NEXT_FRAGMENT
	       || next == NEXT_DESTINATION;
}

static enum policy_parse parse_v6(const uint8_t *data, size_t len, struct policy_packet *out,
                                  struct upper *upper)
{
	uint8_t next;

	if (len < V6_LEN)
		return POLICY_PARSE_HEADER;
	out->src = policy_address_v6(data + 8);
	out->dst = policy_address_v6(data + 24);
	next = out->proto = data[6];
	upper->data = data + V6_LEN;
	upper->len = len - V6_LEN;
	upper->room = DATAGRAM_MAX;
	/* such an address would be taken for an IPv4 one */
	if (policy_address_is_v4(out->src) || policy_address_is_v4(out->dst))
		return POLICY_PARSE_HEADER;
	for (unsigned int i = 0; is_extension(next); i++) {
		enum policy_parse parse = i < EXTENSIONS_MAX ? parse_extension(out, upper, &next)
		                                             : POLICY_PARSE_HEADER;

		out->proto = next;
		if (parse != POLICY_PARSE_OK)
			return parse;
		if (upper->offset != 0) /* what follows is not a header */
			break;
	}
	return POLICY_PARSE_OK;
}

static enum policy_parse parse_ip(const uint8_t *data, size_t len, struct policy_packet *out,
                                  struct upper *upper)
{
	if (len == 0)
		return POLICY_PARSE_HEADER;
	if (data[0] >> 4 == 4)
		return parse_v4(data, len, out, upper);
	return data[0] >> 4 == 6 ? parse_v6(data, len, out, upper) : POLICY_PARSE_HEADER;
}

/* What lies where an IPv4 packet has one protocol and an IPv6 one the other. */
static bool is_icmp(const struct policy_packet *out)
{
	return out->proto
	       == (policy_address_is_v4(out->src) ? POLICY_PROTO_ICMP : POLICY_PROTO_ICMPV6);
}

static bool is_icmp_error(const struct policy_packet *out, uint8_t type)
{
	if (out->proto == POLICY_PROTO_ICMP)
		return type == ICMP_UNREACHABLE || type == ICMP_TIME || type == ICMP_PARAMETER;
	return type >= ICMPV6_UNREACHABLE && type <= ICMPV6_PARAMETER;
}

/* ICMP of either version, icmp[ICMP_LEN], that is echo or nothing. */
static enum policy_parse parse_echo(struct policy_packet *out, const uint8_t *icmp)
{
	bool is_v4 = out->proto == POLICY_PROTO_ICMP;
	uint16_t identifier = base_load_be16(icmp + 4);

	if (icmp[0] == (is_v4 ? ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST)) {
		out->kind = POLICY_KIND_ECHO_REQUEST;
		out->sport = identifier;
		return POLICY_PARSE_OK;
	}
	if (icmp[0] == (is_v4 ? ICMP_ECHO_REPLY : ICMPV6_ECHO_REPLY)) {
		out->kind = POLICY_KIND_ECHO_REPLY;
		out->dport = identifier;
		return POLICY_PARSE_OK;
	}
	return POLICY_PARSE_ICMP;
}

/* The ports of the packet that an error quotes, as far as eight bytes of it show them. */
static enum policy_parse parse_quoted_ports(struct policy_packet *quoted, const struct upper *upper)
{
	if (upper->offset != 0)
		return POLICY_PARSE_ICMP;
	if (quoted->proto == POLICY_PROTO_TCP || quoted->proto == POLICY_PROTO_UDP) {
		if (upper->len < 4)
			return POLICY_PARSE_SHORT;
		quoted->sport = base_load_be16(upper->data);
		quoted->dport = base_load_be16(upper->data + 2);
	} else if (is_icmp(quoted)) {
		if (upper->len < ICMP_LEN)
			return POLICY_PARSE_SHORT;
		return parse_echo(quoted, upper->data);
	}
	return POLICY_PARSE_OK;
}

/* data[len] is what the error quotes: the beginning of a packet that this one's receiver sent. */
static enum policy_parse parse_error(const uint8_t *data, size_t len, struct policy_packet *out)
{
	struct policy_packet quoted = {0};
	struct upper upper = {0};
	enum policy_parse parse = parse_ip(data, len, &quoted, &upper);

	if (parse != POLICY_PARSE_OK)
		return parse;
	if (!policy_address_equal(quoted.src, out->dst))
		return POLICY_PARSE_ICMP;
	parse = parse_quoted_ports(&quoted, &upper);
	if (parse != POLICY_PARSE_OK)
		return parse;
	out->kind = POLICY_KIND_ERROR;
	out->src = quoted.dst;
	out->proto = quoted.proto;
	out->sport = quoted.dport;
	out->dport = quoted.sport;
	return POLICY_PARSE_OK;
}

static enum policy_parse parse_icmp(struct policy_packet *out, const struct upper *upper)
{
	if (upper->len < ICMP_LEN)
		return POLICY_PARSE_SHORT;
	if (!is_icmp_error(out, upper->data[0]))
		return parse_echo(out, upper->data);
	if (out->is_fragment != 0)
		return POLICY_PARSE_ICMP;
	return parse_error(upper->data + ICMP_LEN, upper->len - ICMP_LEN, out);
}

/* A whole packet or the first fragment of one. */
static enum policy_parse parse_upper(struct policy_packet *out, const struct upper *upper)
{
	if (out->proto == POLICY_PROTO_TCP) {
		if (upper->len < TCP_MIN)
			return POLICY_PARSE_SHORT;
		out->kind = POLICY_KIND_TCP;
		out->tcp_flags = upper->data[TCP_FLAGS_AT];
	} else if (out->proto == POLICY_PROTO_UDP) {
		if (upper->len < UDP_LEN)
			return POLICY_PARSE_SHORT;
		out->kind = POLICY_KIND_UDP;
	} else if (out->proto == POLICY_PROTO_ICMP || out->proto == POLICY_PROTO_ICMPV6) {
		/* each with its own IP version only: grants for ICMP speak of both */
		return is_icmp(out) ? parse_icmp(out, upper) : POLICY_PARSE_ICMP;
	} else {
		return POLICY_PARSE_OK;
	}
	out->sport = base_load_be16(upper->data);
	out->dport = base_load_be16(upper->data + 2);
	return POLICY_PARSE_OK;
}

enum policy_parse policy_packet_parse(const uint8_t *data, size_t len, struct policy_packet *out)
{
	struct upper upper = {0};
	enum policy_parse parse;
	uint32_t in_peer = out->in_peer;
	uint32_t out_peer = out->out_peer;

	memset(out, 0, sizeof(*out));
	out->in_peer = in_peer;
	out->out_peer = out_peer;
	parse = parse_ip(data, len, out, &upper);
	if (parse != POLICY_PARSE_OK)
		return parse;
	if (upper.offset == 0)
		return parse_upper(out, &upper);
	out->kind = POLICY_KIND_FRAGMENT;
	/* of no datagram: whoever cuts it again, or puts it together, gets an offset from the beginning */
	if (upper.offset + upper.len > upper.room)
		return POLICY_PARSE_FRAGMENT;
	/* it would replace ports or flags that were judged (RFC 1858, RFC 3128) */
	return upper.offset < TCP_MIN && out->proto == POLICY_PROTO_TCP ? POLICY_PARSE_FRAGMENT
	                                                                : POLICY_PARSE_OK;
}
