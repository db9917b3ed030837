/* Packets by description for the tests of dataplane/port, with a checksum of its own: byte by byte,
 * as RFC 1071 reads, so that a mistake in port_sum.c cannot agree with itself. */
#ifndef TEST_PACKET_H
#define TEST_PACKET_H

#include "base_bytes.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define TEST_PACKET_MAX 70000

struct test_packet {
	uint32_t l3;       /* 0 or 14 */
	uint8_t version;   /* 4 or 6 */
	uint8_t protocol;  /* IPPROTO_TCP or IPPROTO_UDP */
	uint8_t tos;       /* also traffic class */
	uint8_t ttl;       /* also hop limit */
	uint16_t fragment; /* flags and offset of IPv4 */
	uint16_t id;
	uint32_t label;
	uint8_t host; /* last byte of the source address */
	uint8_t mac;  /* last byte of the source MAC */
	uint16_t sport;
	uint32_t seq;
	uint32_t ack;
	uint8_t reserved;
	uint8_t flags;
	uint16_t window;
	uint16_t urgent;
	uint8_t ip_option; /* 1: four bytes of NOPs in the IPv4 header */
	uint32_t stamp;    /* 0: no options; else a timestamp option with this value */
	uint32_t payload;  /* bytes; their contents follow from seq */
	uint32_t padding;  /* bytes behind the IP packet */
	bool bad_ip_sum;
	bool bad_sum;
};

static inline uint32_t test_sum_bytes(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Folded sum over pseudo header and transport; 0xffff when its checksum is right. */
static inline uint32_t test_transport_sum(const uint8_t *frame, uint32_t l3, uint32_t l4,
                                          uint32_t len)
{
	const uint8_t *ip = frame + l3;
	uint8_t protocol = ip[0] >> 4 == 4 ? ip[9] : ip[6];
	uint32_t sum = protocol + (len - l4);

	sum = ip[0] >> 4 == 4 ? test_sum_bytes(sum, ip + 12, 8) : test_sum_bytes(sum, ip + 8, 32);
	return test_sum_bytes(sum, frame + l4, len - l4);
}

static inline uint32_t test_packet_ip(const struct test_packet *p, uint8_t *ip, uint32_t left)
{
	uint32_t ip_len = p->version == 6 ? 40 : 20 + 4U * p->ip_option;

	memset(ip, 0, ip_len);
	if (p->version == 6) {
		base_store_be32(ip, 0x60000000U | (uint32_t)p->tos << 20 | p->label);
		base_store_be16(ip + 4, (uint16_t)left);
		ip[6] = p->protocol;
		ip[7] = p->ttl;
		ip[8] = ip[24] = 0xfd;
		ip[23] = p->host;
		ip[39] = 1;
		return ip_len;
	}
	ip[0] = (uint8_t)(0x40 | ip_len / 4);
	ip[1] = p->tos;
	base_store_be16(ip + 2, (uint16_t)(ip_len + left));
	base_store_be16(ip + 4, p->id);
	base_store_be16(ip + 6, p->fragment);
	ip[8] = p->ttl;
	ip[9] = p->protocol;
	ip[12] = ip[16] = 10;
	ip[15] = p->host;
	ip[19] = 1;
	memset(ip + 20, 1, ip_len - 20);
	base_store_be16(ip + 10, (uint16_t)~test_sum_bytes(0, ip, ip_len));
	if (p->bad_ip_sum)
		ip[10] ^= 1;
	return ip_len;
}

static inline uint32_t test_packet_transport(const struct test_packet *p, uint8_t *l4)
{
	base_store_be16(l4, p->sport);
	base_store_be16(l4 + 2, 443);
	if (p->protocol == IPPROTO_UDP) {
		base_store_be16(l4 + 4, (uint16_t)(8 + p->payload));
		base_store_be16(l4 + 6, 0);
		return 8;
	}
	base_store_be32(l4 + 4, p->seq);
	base_store_be32(l4 + 8, p->ack);
	l4[12] = (uint8_t)((p->stamp != 0 ? 8 : 5) << 4 | p->reserved);
	l4[13] = p->flags;
	base_store_be16(l4 + 14, p->window);
	base_store_be16(l4 + 16, 0);
	base_store_be16(l4 + 18, p->urgent);
	if (p->stamp == 0)
		return 20;
	memcpy(l4 + 20, "\x01\x01\x08\x0a", 4);
	base_store_be32(l4 + 24, p->stamp);
	base_store_be32(l4 + 28, 7);
	return 32;
}

static inline uint32_t test_packet_l4_len(const struct test_packet *p)
{
	return p->protocol == IPPROTO_UDP ? 8 : p->stamp != 0 ? 32 : 20;
}

/* Write the packet, all checksums complete. Returns its length; *l4 the transport's offset. */
static inline uint32_t test_packet_build(const struct test_packet *p, uint8_t *out, uint32_t *l4)
{
	uint32_t at = p->l3;
	uint16_t sum;

	if (p->l3 != 0) {
		memcpy(out, "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x01\x00", 12);
		out[11] = p->mac;
		base_store_be16(out + 12, p->version == 4 ? 0x0800 : 0x86dd);
	}
	at += test_packet_ip(p, out + at, test_packet_l4_len(p) + p->payload);
	*l4 = at;
	at += test_packet_transport(p, out + at);
	for (uint32_t i = 0; i < p->payload; i++)
		out[at + i] = (uint8_t)((p->seq + i) * 7 + ((p->seq + i) >> 8));
	at += p->payload;
	sum = (uint16_t)~test_transport_sum(out, p->l3, *l4, at);
	if (p->bad_sum)
		sum ^= 0x0100;
	base_store_be16(out + *l4 + (p->protocol == IPPROTO_UDP ? 6 : 16), sum);
	memset(out + at, 0, p->padding);
	return at + p->padding;
}

/* A data segment as the tables begin with: 100 bytes of payload, ACK. */
static inline struct test_packet test_packet_tcp(uint8_t version, uint32_t l3)
{
	return (struct test_packet){
		.l3 = l3,
		.version = version,
		.protocol = IPPROTO_TCP,
		.ttl = 64,
		.fragment = 0x4000,
		.id = 1000,
		.host = 2,
		.sport = 40000,
		.seq = 5000,
		.ack = 77,
		.flags = 0x10,
		.window = 500,
		.stamp = 9,
		.payload = 100,
	};
}

#endif
