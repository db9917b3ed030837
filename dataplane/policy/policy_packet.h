/* What the policy knows of one inner packet: who, to whom, which ports, which flags. Filled by
 * policy_packet_parse() on the workers, by hand in control (weir trace) and in tests. */
#ifndef POLICY_PACKET_H
#define POLICY_PACKET_H

#include "base_bytes.h"
#include "base_ip.h"

#include <stdbool.h>
#include <stdint.h>

/* Peers have numbers below POLICY_HUB; that number itself means the hub: its tunnel addresses, and
 * what its kernel sends. */
#define POLICY_PEER_BITS 20U
#define POLICY_HUB       ((UINT32_C(1) << POLICY_PEER_BITS) - 1)

/* An address of either family as two words in host order; IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2),
 * which no packet may carry as an IPv6 address. All zero: none. */
struct policy_address {
	uint64_t high;
	uint64_t low;
};

#define POLICY_V4_LOW UINT64_C(0xffff00000000)

static inline struct policy_address policy_address_v4(const uint8_t bytes[static 4])
{
	return (struct policy_address){.low = POLICY_V4_LOW | base_load_be32(bytes)};
}

static inline struct policy_address policy_address_v6(const uint8_t bytes[static 16])
{
	return (struct policy_address){.high = base_load_be64(bytes),
	                               .low = base_load_be64(bytes + 8)};
}

static inline bool policy_address_is_v4(struct policy_address address)
{
	return address.high == 0 && address.low >> 32 == 0xffff;
}

static inline bool policy_address_equal(struct policy_address a, struct policy_address b)
{
	return ((a.high ^ b.high) | (a.low ^ b.low)) == 0;
}

/* BASE_IP_NONE gives all zero. */
struct policy_address policy_address_make(const struct base_ip *ip);

#define POLICY_PROTO_ICMP   1U
#define POLICY_PROTO_TCP    6U
#define POLICY_PROTO_UDP    17U
#define POLICY_PROTO_ICMPV6 58U

/* What a packet does to a flow. */
enum policy_kind {
	POLICY_KIND_OTHER = 0, /* a protocol without ports: a flow by addresses alone */
	POLICY_KIND_TCP = 1,   /* by tcp_flags */
	POLICY_KIND_UDP = 2,
	POLICY_KIND_ECHO_REQUEST = 3, /* ICMP or ICMPv6 */
	POLICY_KIND_ECHO_REPLY = 4,
	POLICY_KIND_ERROR = 5,    /* ICMP error about a packet of the flow that src, dst .. name */
	POLICY_KIND_FRAGMENT = 6, /* not the first of its datagram: no ports, see datagram */
	POLICY_N_KINDS = 7,
};

#define POLICY_TCP_FIN 0x01U
#define POLICY_TCP_SYN 0x02U
#define POLICY_TCP_RST 0x04U
#define POLICY_TCP_ACK 0x10U

struct policy_packet {
	/* An ICMP error has here the packet it quotes, turned round: as a reply of that flow would look
	 * that came instead of the error. Its own source is a router's and says nothing. */
	struct policy_address src;
	struct policy_address dst;
	uint32_t
		in_peer; /* sent it, or POLICY_HUB; the caller's, who has checked that src is its */
	uint32_t out_peer; /* will get it, or POLICY_HUB; the caller's, by route */
	uint16_t sport; /* host order; echo: the identifier on the side that asks, 0 on the other */
	uint16_t dport;
	uint8_t proto;       /* of the upper layer, as in the IP header */
	uint8_t kind;        /* enum policy_kind */
	uint8_t tcp_flags;   /* POLICY_TCP_... and others, as in byte 13 of the header */
	uint8_t is_fragment; /* 1: the first or a later fragment; datagram counts */
	uint32_t datagram;   /* identification of a fragment's datagram */
	uint32_t pad;
};
_Static_assert(sizeof(struct policy_packet) == 56, "");

/* Why a packet cannot be judged at all. */
enum policy_parse {
	POLICY_PARSE_OK = 0,
	POLICY_PARSE_HEADER = 1, /* IP version, lengths, extension headers, or an address of ours */
	POLICY_PARSE_SHORT = 2,  /* the upper header is cut off, also by a small first fragment */
	POLICY_PARSE_FRAGMENT = 3, /* a fragment that would overwrite the header of the first */
	POLICY_PARSE_ICMP =
		4, /* an ICMP type that is neither echo nor an error; an error that quotes
	                          nothing that its receiver could have sent */
	POLICY_N_PARSE = 5,
};

/* Read an inner packet, data[len] from the IP header on. Trusts nothing in it; at most eight IPv6
 * extension headers. Fills all of *out but in_peer and out_peer. On any other result than
 * POLICY_PARSE_OK *out has what was read so far, for a drop sample: src, dst and proto once the IP
 * header was whole, else zeros. Cost: about 10 cycles for IPv4 with ports. */
enum policy_parse policy_packet_parse(const uint8_t *data, size_t len, struct policy_packet *out);

#endif
