/* Segmentation: what tcp_gso_segment() and udp segmentation of a NIC would have done. Each segment
 * is built from the super-packet's own headers; nothing of the partial checksum in it is used. */
#include "port_gso.h"

#include "base_bytes.h"
#include "port_sum.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>

#define IPV4_LEN      20U
#define IPV6_LEN      40U
#define IPV6_EXT_MAX  8U
#define TCP_LEN       20U
#define TCP_FLAG_FIN  0x01
#define TCP_FLAG_PSH  0x08
#define TCP_FLAG_CWR  0x80
#define UDP_LEN       8U
#define ETHERTYPE_OFF 12U

/* Offset of the transport header of an IPv6 packet whose extension headers are only such that do
 * not change the pseudo header (hop-by-hop, destination options), or 0. */
static uint32_t ipv6_transport(const uint8_t *packet, uint32_t len, uint32_t l3, uint8_t protocol)
{
	uint8_t next = packet[l3 + 6];
	uint32_t at = l3 + IPV6_LEN;

	for (uint32_t i = 0; i < IPV6_EXT_MAX && next != protocol; i++) {
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_DSTOPTS)
			return 0;
		if (len - at < 8)
			return 0;
		next = packet[at];
		at += (packet[at + 1] + 1U) * 8U;
		if (at > len)
			return 0;
	}
	return next == protocol ? at : 0;
}

static int parse_ipv4(struct port_gso *gso)
{
	const uint8_t *ip = gso->packet + gso->l3;
	uint32_t ip_len = (ip[0] & 0xfU) * 4U;

	if (ip_len < IPV4_LEN || gso->len - gso->l3 < ip_len || ip[9] != gso->protocol)
		return -EPROTO;
	if ((base_load_be16(ip + 6) & 0x3fff) != 0)
		return -EPROTO;
	gso->l4 = gso->l3 + ip_len;
	gso->pseudo = port_sum_pseudo(ip + 12, 4, gso->protocol);
	return 0;
}

static int parse_ipv6(struct port_gso *gso)
{
	const uint8_t *ip = gso->packet + gso->l3;

	if (gso->len - gso->l3 < IPV6_LEN)
		return -EPROTO;
	gso->l4 = ipv6_transport(gso->packet, gso->len, gso->l3, gso->protocol);
	if (gso->l4 == 0)
		return -EPROTO;
	gso->pseudo = port_sum_pseudo(ip + 8, 16, gso->protocol);
	return 0;
}

/* Find the end of the transport header. */
static int parse_transport(struct port_gso *gso)
{
	uint32_t left = gso->len - gso->l4;
	uint32_t l4_len = UDP_LEN;

	if (gso->protocol == IPPROTO_TCP) {
		if (left < TCP_LEN)
			return -EPROTO;
		l4_len = (uint32_t)(gso->packet[gso->l4 + 12] >> 4) * 4U;
		if (l4_len < TCP_LEN)
			return -EPROTO;
	}
	if (left <= l4_len)
		return -EPROTO;
	gso->payload = gso->l4 + l4_len;
	return 0;
}

/* A super-packet: find its headers and count its pieces. */
static int begin_cut(struct port_gso *gso, uint32_t gso_size)
{
	uint32_t payload_len;
	int r;

	if (gso_size == 0 || gso->len - gso->l3 < IPV4_LEN)
		return -EPROTO;
	r = gso->version == 4 ? parse_ipv4(gso) : parse_ipv6(gso);
	if (r == 0)
		r = parse_transport(gso);
	if (r < 0)
		return r;
	payload_len = gso->len - gso->payload;
	gso->gso_size = gso_size;
	gso->n_segments = (payload_len + gso_size - 1) / gso_size;
	gso->segment_max = gso->payload + (payload_len < gso_size ? payload_len : gso_size);
	if (gso->n_segments > PORT_GSO_SEGMENTS_MAX || gso->segment_max - gso->l3 > UINT16_MAX)
		return -EPROTO;
	return 0;
}

/* One packet as it is; perhaps its checksum is ours to complete. */
static int begin_whole(struct port_gso *gso, const struct virtio_net_hdr *vnet)
{
	gso->n_segments = 1;
	gso->segment_max = gso->len;
	if (!(vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return 0;
	if (vnet->csum_start <= gso->l3
	    || (uint32_t)vnet->csum_start + vnet->csum_offset + 2U > gso->len)
		return -EPROTO;
	gso->csum_start = vnet->csum_start;
	gso->csum_offset = vnet->csum_offset;
	return 0;
}

/* True when the frame's EtherType (TAP) and version nibble both say version. */
static bool is_ip(const struct port_gso *gso, uint8_t version)
{
	if (gso->packet[gso->l3] >> 4 != version)
		return false;
	return gso->l3 == 0
	       || base_load_be16(gso->packet + ETHERTYPE_OFF) == (version == 4 ? 0x0800 : 0x86dd);
}

int port_gso_begin(struct port_gso *gso, const struct virtio_net_hdr *vnet, const uint8_t *packet,
                   uint32_t len, uint32_t l3)
{
	*gso = (struct port_gso){.packet = packet, .len = len, .l3 = l3};
	if (len <= l3)
		return -EPROTO;
	gso->version = packet[l3] >> 4;
	switch (vnet->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return begin_whole(gso, vnet);
	case VIRTIO_NET_HDR_GSO_TCPV4:
		gso->protocol = IPPROTO_TCP;
		return is_ip(gso, 4) ? begin_cut(gso, vnet->gso_size) : -EPROTO;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		gso->protocol = IPPROTO_TCP;
		return is_ip(gso, 6) ? begin_cut(gso, vnet->gso_size) : -EPROTO;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		gso->protocol = IPPROTO_UDP;
		return is_ip(gso, 4) || is_ip(gso, 6) ? begin_cut(gso, vnet->gso_size) : -EPROTO;
	default:
		return -EPROTO;
	}
}

static uint32_t next_whole(struct port_gso *gso, uint8_t *out)
{
	memcpy(out, gso->packet, gso->len);
	if (gso->csum_start != 0) {
		uint16_t sum = port_sum_fold(
			port_sum(out + gso->csum_start, gso->len - gso->csum_start));

		/* The field held the pseudo header's sum. A computed 0 is written as its equal
		 * 0xffff, since 0 means "no checksum" in UDP. */
		port_sum_store(out + gso->csum_start + gso->csum_offset,
		               sum == 0xffff ? sum : (uint16_t)~sum);
	}
	return gso->len;
}

/* Lengths, identification and checksum of the IP header of segment gso->i. */
static void finish_ip(const struct port_gso *gso, uint8_t *out, uint32_t len)
{
	uint8_t *ip = out + gso->l3;

	if (gso->version == 6) {
		base_store_be16(ip + 4, (uint16_t)(len - gso->l3 - IPV6_LEN));
		return;
	}
	base_store_be16(ip + 2, (uint16_t)(len - gso->l3));
	base_store_be16(ip + 4, (uint16_t)(base_load_be16(ip + 4) + gso->i));
	memset(ip + 10, 0, 2);
	port_sum_store(ip + 10, (uint16_t)~port_sum_fold(port_sum(ip, gso->l4 - gso->l3)));
}

/* Sequence number, flags and checksum of TCP; length and checksum of UDP. */
static void finish_transport(const struct port_gso *gso, uint8_t *out, uint32_t len)
{
	uint8_t *l4 = out + gso->l4;
	uint32_t l4_len = len - gso->l4;
	uint8_t *field;
	uint16_t sum;

	if (gso->protocol == IPPROTO_TCP) {
		field = l4 + 16;
		base_store_be32(l4 + 4, base_load_be32(l4 + 4) + gso->i * gso->gso_size);
		if (gso->i + 1 < gso->n_segments)
			l4[13] = (uint8_t)(l4[13] & ~(TCP_FLAG_FIN | TCP_FLAG_PSH));
		if (gso->i > 0)
			l4[13] = (uint8_t)(l4[13] & ~TCP_FLAG_CWR);
	} else {
		field = l4 + 6;
		base_store_be16(l4 + 4, (uint16_t)l4_len);
	}
	memset(field, 0, 2);
	sum = port_sum_fold(gso->pseudo + port_sum_be16((uint16_t)l4_len) + port_sum(l4, l4_len));
	port_sum_store(field, gso->protocol == IPPROTO_UDP && sum == 0xffff ? sum : (uint16_t)~sum);
}

uint32_t port_gso_next(struct port_gso *gso, uint8_t *out)
{
	uint32_t at, n;

	if (gso->i == gso->n_segments)
		return 0;
	if (gso->protocol == 0) {
		gso->i++;
		return next_whole(gso, out);
	}
	at = gso->payload + gso->i * gso->gso_size;
	n = gso->len - at < gso->gso_size ? gso->len - at : gso->gso_size;
	memcpy(out, gso->packet, gso->payload);
	memcpy(out + gso->payload, gso->packet + at, n);
	n += gso->payload;
	finish_ip(gso, out, n);
	finish_transport(gso, out, n);
	gso->i++;
	return n;
}
