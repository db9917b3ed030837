/* ARP and neighbour discovery. */
#include "pktgen_resolve.h"

#include "base_bytes.h"

#define ETHER_LEN      14U
#define ETHER_TYPE_ARP 0x0806U
#define ETHER_TYPE_V6  0x86ddU
#define ARP_LEN        28U
#define ARP_REQUEST    1U
#define ARP_REPLY      2U
#define IP6_LEN        40U
#define ICMPV6         58U
#define ND_LEN         32U /* with one option of 8 bytes */
#define ND_SOLICIT     135U
#define ND_ADVERTISE   136U
#define ND_OPT_SOURCE  1U
#define ND_OPT_TARGET  2U
#define ND_SOLICITED   0x60U /* and override */

static const uint8_t everybody[6] = {255, 255, 255, 255, 255, 255};

static bool is_own(const struct pktgen_resolve *resolve, uint8_t family, const uint8_t *bytes)
{
	struct base_ip ip = base_ip_make(family, bytes);

	for (uint32_t i = 0; i < resolve->n_own; i++)
		if (base_ip_equal(&resolve->own[i], &ip))
			return true;
	return false;
}

static void set_ether(uint8_t *frame, const uint8_t *to, const uint8_t *from, uint16_t type)
{
	memcpy(frame, to, 6);
	memcpy(frame + 6, from, 6);
	base_store_be16(frame + 12, type);
}

/* ---- ARP ---------------------------------------------------------------------------------------- */

static uint32_t write_arp(uint8_t *frame, uint16_t operation, const uint8_t *mac, const uint8_t *ip,
                          const uint8_t *to_mac, const uint8_t *to_ip)
{
	uint8_t *arp = frame + ETHER_LEN;

	set_ether(frame, operation == ARP_REQUEST ? everybody : to_mac, mac, ETHER_TYPE_ARP);
	base_store_be16(arp, 1);
	base_store_be16(arp + 2, 0x0800);
	arp[4] = 6;
	arp[5] = 4;
	base_store_be16(arp + 6, operation);
	memcpy(arp + 8, mac, 6);
	memcpy(arp + 14, ip, 4);
	memset(arp + 18, 0, 6);
	if (operation == ARP_REPLY)
		memcpy(arp + 18, to_mac, 6);
	memcpy(arp + 24, to_ip, 4);
	return ETHER_LEN + ARP_LEN;
}

static uint32_t take_arp(struct pktgen_resolve *resolve, const uint8_t *arp, uint8_t *out)
{
	uint16_t operation = base_load_be16(arp + 6);
	uint8_t target[4];

	if (base_load_be16(arp + 2) != 0x0800 || arp[4] != 6 || arp[5] != 4)
		return 0;
	if (resolve->next_hop.family == BASE_IP_V4 && operation == ARP_REPLY
	    && memcmp(arp + 14, resolve->next_hop.bytes, 4) == 0) {
		memcpy(resolve->next_mac, arp + 8, 6);
		resolve->is_known = true;
	}
	if (operation != ARP_REQUEST || !is_own(resolve, BASE_IP_V4, arp + 24))
		return 0;
	memcpy(target, arp + 24, 4);
	return write_arp(out, ARP_REPLY, resolve->mac, target, arp + 8, arp + 14);
}

/* ---- neighbour discovery ------------------------------------------------------------------------ */

static uint16_t icmpv6_sum(const uint8_t *ip, uint32_t len)
{
	uint32_t sum = len + ICMPV6;

	for (uint32_t i = 8; i < IP6_LEN + len; i += 2)
		sum += base_load_be16(ip + i);
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	return (uint16_t)~sum;
}

/* to_mac and to_ip: whom the message goes to; target: whom it is about. */
static uint32_t write_nd(uint8_t *frame, uint8_t type, const uint8_t *mac, const uint8_t *from_ip,
                         const uint8_t *to_mac, const uint8_t *to_ip, const uint8_t *target)
{
	uint8_t *ip = frame + ETHER_LEN;
	uint8_t *icmp = ip + IP6_LEN;

	memset(frame, 0, ETHER_LEN + IP6_LEN + ND_LEN);
	set_ether(frame, to_mac, mac, ETHER_TYPE_V6);
	ip[0] = 0x60;
	base_store_be16(ip + 4, ND_LEN);
	ip[6] = ICMPV6;
	ip[7] = 255;
	memcpy(ip + 8, from_ip, 16);
	memcpy(ip + 24, to_ip, 16);
	icmp[0] = type;
	icmp[4] = type == ND_ADVERTISE ? ND_SOLICITED : 0;
	memcpy(icmp + 8, target, 16);
	icmp[24] = type == ND_ADVERTISE ? ND_OPT_TARGET : ND_OPT_SOURCE;
	icmp[25] = 1;
	memcpy(icmp + 26, mac, 6);
	base_store_be16(icmp + 2, icmpv6_sum(ip, ND_LEN));
	return ETHER_LEN + IP6_LEN + ND_LEN;
}

/* The address in the first option of this type, or NULL. */
static const uint8_t *nd_option(const uint8_t *icmp, uint32_t len, uint8_t type)
{
	for (uint32_t at = 24; at + 8 <= len && icmp[at + 1] != 0; at += icmp[at + 1] * 8U)
		if (icmp[at] == type)
			return icmp + at + 2;
	return NULL;
}

static uint32_t take_nd(struct pktgen_resolve *resolve, const uint8_t *frame, uint32_t len,
                        uint8_t *out)
{
	static const uint8_t unspecified[16], all_nodes[16] = {0xff, 2, [15] = 1};
	static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
	const uint8_t *ip = frame + ETHER_LEN, *icmp = ip + IP6_LEN;
	uint32_t icmp_len = base_load_be16(ip + 4);
	const uint8_t *mac;
	uint8_t target[16];

	if (ip[6] != ICMPV6 || ip[7] != 255 || icmp_len < 24
	    || IP6_LEN + icmp_len > len - ETHER_LEN)
		return 0;
	memcpy(target, icmp + 8, 16);
	if (icmp[0] == ND_ADVERTISE && memcmp(target, resolve->next_hop.bytes, 16) == 0
	    && resolve->next_hop.family == BASE_IP_V6) {
		mac = nd_option(icmp, icmp_len, ND_OPT_TARGET);
		memcpy(resolve->next_mac, mac != NULL ? mac : frame + 6, 6);
		resolve->is_known = true;
	}
	if (icmp[0] != ND_SOLICIT || !is_own(resolve, BASE_IP_V6, target))
		return 0;
	if (memcmp(ip + 8, unspecified, 16) == 0) /* somebody looks whether the address is taken */
		return write_nd(out, ND_ADVERTISE, resolve->mac, target, all_nodes_mac, all_nodes,
		                target);
	return write_nd(out, ND_ADVERTISE, resolve->mac, target, frame + 6, ip + 8, target);
}

/* ---- both --------------------------------------------------------------------------------------- */

uint32_t pktgen_resolve_ask(const struct pktgen_resolve *resolve, uint32_t from,
                            uint8_t frame[static PKTGEN_RESOLVE_FRAME_MAX])
{
	const uint8_t *next = resolve->next_hop.bytes;
	/* Solicited-node multicast (RFC 4291 2.7.1). */
	uint8_t group[16] = {0xff, 2, [11] = 1, [12] = 0xff};
	uint8_t group_mac[6] = {0x33, 0x33, 0xff};

	if (resolve->next_hop.family == BASE_IP_V4)
		return write_arp(frame, ARP_REQUEST, resolve->mac, resolve->own[from].bytes,
		                 everybody, next);
	memcpy(group + 13, next + 13, 3);
	memcpy(group_mac + 3, next + 13, 3);
	return write_nd(frame, ND_SOLICIT, resolve->mac, resolve->own[from].bytes, group_mac, group,
	                next);
}

uint32_t pktgen_resolve_take(struct pktgen_resolve *resolve, const uint8_t *frame, uint32_t len,
                             uint8_t out[static PKTGEN_RESOLVE_FRAME_MAX])
{
	if (len < ETHER_LEN)
		return 0;
	if (base_load_be16(frame + 12) == ETHER_TYPE_ARP && len >= ETHER_LEN + ARP_LEN)
		return take_arp(resolve, frame + ETHER_LEN, out);
	if (base_load_be16(frame + 12) == ETHER_TYPE_V6 && len >= ETHER_LEN + IP6_LEN + 24)
		return take_nd(resolve, frame, len, out);
	return 0;
}
