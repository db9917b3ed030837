/* Ethernet, IP and UDP headers of what we send: written once for a session or a message, finished
 * for each packet. */
#ifndef PATH_HEADER_H
#define PATH_HEADER_H

#include "path_burst.h"
#include "path_sum.h"

#include <stdint.h>

#define PATH_HEADER_V4 42U /* bytes in front of the UDP payload */
#define PATH_HEADER_V6 62U
#define PATH_UDP_LEN   8U

/* Write the headers of a datagram from our listen port to remote by hop, so that they end at end.
 * Lengths are zero; an IPv4 header's checksum field holds the sum of the rest, not inverted.
 * Returns the length: PATH_HEADER_V4 or PATH_HEADER_V6, of which at least that many bytes must lie
 * in front of end. hop->source and remote are of one family. */
uint32_t path_header_write(const struct state *st, const struct state_hop *hop,
                           const struct base_endpoint *remote, uint8_t *end);

/* Complete an IPv4 header whose UDP payload[len] follows it. id: fragments of the datagram bear it.
 * tos: DSCP and ECN. The UDP checksum stays 0, which IPv4 allows; WireGuard does not need it. */
static inline void path_header_finish_v4(uint8_t *payload, uint32_t len, uint16_t id, uint8_t tos)
{
	uint8_t *udp = payload - PATH_UDP_LEN;
	uint8_t *ip = udp - 20;
	uint32_t total_len = 20 + PATH_UDP_LEN + len;
	uint32_t sum = base_load_be16(ip + 10) + total_len + id + tos;

	ip[1] = tos;
	base_store_be16(ip + 2, (uint16_t)total_len);
	base_store_be16(ip + 4, id);
	base_store_be16(ip + 10, (uint16_t)~path_sum_fold(sum));
	base_store_be16(udp + 4, (uint16_t)(PATH_UDP_LEN + len));
}

/* The same for IPv6, where the UDP checksum must be there: reads the whole payload. */
void path_header_finish_v6(uint8_t *payload, uint32_t len, uint8_t tos);

/* The same for a port that completes the checksum (struct state_wan_port): the field holds the sum of
 * the pseudo-header, and path_header_ask_sum() asks for the rest. */
void path_header_begin_v6(uint8_t *payload, uint32_t len, uint8_t tos);

/* mbuf's data is a frame as path_header_begin_v6() left it. */
static inline void path_header_ask_sum(struct rte_mbuf *mbuf)
{
	mbuf->ol_flags = RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM;
	mbuf->tx_offload = 0;
	mbuf->l2_len = PATH_HEADER_V6 - PATH_UDP_LEN - 40;
	mbuf->l3_len = 40;
}

/* Make p->data[len], a handshake message to remote, the frame that hop wants: headers in front of it. */
void path_header_frame(struct state *st, struct path_pkt *p, const struct state_hop *hop,
                       const struct base_endpoint *remote);

/* Who sent the datagram in mbuf, whose headers are as in_parse left them and whose payload is message, and
 * to which address. */
void path_header_read(const struct rte_mbuf *mbuf, const uint8_t *message,
                      struct base_endpoint *remote, struct base_ip *local);

#endif
