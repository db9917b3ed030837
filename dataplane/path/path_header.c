/* Writing outer headers. */
#include "path_header.h"

#include <assert.h>
#include <string.h>

#define HOP_LIMIT    64U
#define PROTOCOL_UDP 17U

static void write_ethernet(const struct state *st, const struct state_hop *hop, uint8_t *at,
                           uint16_t type)
{
	memcpy(at, hop->mac, 6);
	memcpy(at + 6, st->wan.ports[hop->port].mac, 6);
	base_store_be16(at + 12, type);
}

static void write_udp(const struct state *st, const struct base_endpoint *remote, uint8_t *at)
{
	base_store_be16(at, st->hub.listen_port);
	base_store_be16(at + 2, remote->port);
	memset(at + 4, 0, 4);
}

static uint32_t write_v4(const struct state *st, const struct state_hop *hop,
                         const struct base_endpoint *remote, uint8_t *end)
{
	uint8_t *ip = end - PATH_UDP_LEN - 20;

	write_ethernet(st, hop, ip - 14, 0x0800);
	memset(ip, 0, 12);
	ip[0] = 0x45;
	/* Not "don't fragment": a path with a smaller MTU shall carry it in pieces rather than
	 * not at all. */
	ip[8] = HOP_LIMIT;
	ip[9] = PROTOCOL_UDP;
	memcpy(ip + 12, hop->source.bytes, 4);
	memcpy(ip + 16, remote->ip.bytes, 4);
	base_store_be16(ip + 10, path_sum_fold(path_sum_add(0, ip, 20)));
	write_udp(st, remote, ip + 20);
	return PATH_HEADER_V4;
}

static uint32_t write_v6(const struct state *st, const struct state_hop *hop,
                         const struct base_endpoint *remote, uint8_t *end)
{
	uint8_t *ip = end - PATH_UDP_LEN - 40;

	write_ethernet(st, hop, ip - 14, 0x86dd);
	memset(ip, 0, 8);
	ip[0] = 0x60;
	ip[6] = PROTOCOL_UDP;
	ip[7] = HOP_LIMIT;
	memcpy(ip + 8, hop->source.bytes, 16);
	memcpy(ip + 24, remote->ip.bytes, 16);
	write_udp(st, remote, ip + 40);
	return PATH_HEADER_V6;
}

uint32_t path_header_write(const struct state *st, const struct state_hop *hop,
                           const struct base_endpoint *remote, uint8_t *end)
{
	assert(hop->source.family == remote->ip.family);
	return remote->ip.family == BASE_IP_V4 ? write_v4(st, hop, remote, end)
	                                       : write_v6(st, hop, remote, end);
}

void path_header_begin_v6(uint8_t *payload, uint32_t len, uint8_t tos)
{
	uint8_t *udp = payload - PATH_UDP_LEN;
	uint8_t *ip = udp - 40;
	uint32_t udp_len = PATH_UDP_LEN + len;
	uint32_t sum = path_sum_add(PROTOCOL_UDP + udp_len, ip + 8, 32); /* RFC 8200 8.1 */

	base_store_be16(ip, (uint16_t)(0x6000U | tos << 4)); /* flow label 0 */
	base_store_be16(ip + 4, (uint16_t)udp_len);
	base_store_be16(udp + 4, (uint16_t)udp_len);
	base_store_be16(udp + 6, path_sum_fold(sum));
}

void path_header_finish_v6(uint8_t *payload, uint32_t len, uint8_t tos)
{
	uint8_t *udp = payload - PATH_UDP_LEN;
	uint16_t check;

	path_header_begin_v6(payload, len, tos);
	check = (uint16_t)~path_sum_fold(path_sum_add(0, udp, PATH_UDP_LEN + len));
	base_store_be16(udp + 6, check == 0 ? 0xffff : check);
}

/* Handshakes go before data where somebody looks at it: AF41, as the kernel module sends them. */
#define DSCP_HANDSHAKE 34U

static uint8_t handshake_tos(const struct state *st)
{
	return (uint8_t)((st->hub.dscp != 0 ? st->hub.dscp : DSCP_HANDSHAKE) << 2);
}

void path_header_frame(struct state *st, struct path_pkt *p, const struct state_hop *hop,
                       const struct base_endpoint *remote)
{
	uint32_t header_len = path_header_write(st, hop, remote, p->data);

	if (remote->ip.family == BASE_IP_V4)
		path_header_finish_v4(p->data, p->len, (uint16_t)state_random(st),
		                      handshake_tos(st));
	else
		path_header_finish_v6(p->data, p->len, handshake_tos(st));
	p->data -= header_len;
	p->len += header_len;
	path_fit(p);
	p->mbuf->port = (uint16_t)hop->port;
}

void path_header_read(const struct rte_mbuf *mbuf, const uint8_t *message,
                      struct base_endpoint *remote, struct base_ip *local)
{
	const uint8_t *ip = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, PATH_ETHER_LEN);
	uint8_t family = ip[0] >> 4;
	const uint8_t *source = ip + (family == BASE_IP_V4 ? 12 : 8);

	*remote = (struct base_endpoint){
		.ip = base_ip_make(family, source),
		.port = base_load_be16(message - PATH_UDP_LEN),
	};
	*local = base_ip_make(family, source + base_ip_len(family));
}
