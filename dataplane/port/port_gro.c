/* The rules for putting two packets together are those of the kernel's own receive coalescing,
 * and stricter where that could not be undone without loss:
 *   same Ethernet header, addresses, ports; IPv4 without options, same TOS, TTL, DF, no fragment,
 *   identification counting up by one (with DF also constant); IPv6 without extension headers, same
 *   traffic class, flow label, hop limit; same acknowledgement, window, urgent pointer and options;
 *   flags ACK only, PSH allowed and then the last; sequence numbers without gap; all payloads of
 *   the first one's size, a shorter one last; at most 65535 bytes. */
#include "port_gro.h"

#include "base_bytes.h"
#include "port_sum.h"

#include <netinet/in.h>

#define IPV4_LEN      20U
#define IPV6_LEN      40U
#define TCP_LEN       20U
#define TCP_FLAG_PSH  0x08
#define TCP_FLAG_ACK  0x10
#define IPV4_DF       0x4000
#define ETHERTYPE_OFF 12U
#define END           ((uint16_t)PORT_GRO_BURST)

_Static_assert(sizeof(struct virtio_net_hdr) == 10, "the header that control agreed with the TUN");

enum sum_state {
	SUM_UNKNOWN = 0,
	SUM_GOOD = 1,
	SUM_BAD = 2,
};

enum id_step {
	ID_CONSTANT = 0,
	ID_COUNTS = 1,
	ID_UNKNOWN = 2,
};

/* What parsing one packet found out. */
struct view {
	uint32_t hash; /* 0 = no TCP flow */
	uint32_t seq;
	uint32_t payload_len;
	bool mergeable; /* by itself: a plain data segment */
};

void port_gro_begin(struct port_gro *gro, uint32_t l3, bool authenticated)
{
	gro->n_writes = 0;
	gro->n_packets = 0;
	gro->l3 = l3;
	gro->authenticated = authenticated;
}

static uint8_t ip_version(const struct port_gro *gro, const struct port_gro_packet *packet)
{
	return packet->data[gro->l3] >> 4;
}

/* Mix addresses and ports. Only a filter before same_flow(), so it need not resist anybody. */
static uint32_t flow_hash(const uint8_t *addresses, uint32_t len, const uint8_t *ports)
{
	uint64_t h = base_load_le32(ports);

	for (uint32_t i = 0; i < len; i += 8)
		h = (h ^ base_load_le64(addresses + i)) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(h >> 32) | 1U;
}

/* Headers of an IPv4 packet. Returns the offset of its TCP header or 0. */
static uint32_t parse_ipv4(const struct port_gro *gro, const struct port_gro_packet *packet,
                           bool *plain)
{
	const uint8_t *ip = packet->data + gro->l3;
	uint32_t left = packet->len - gro->l3;
	uint32_t ip_len = (ip[0] & 0xfU) * 4U;
	uint16_t fragment = base_load_be16(ip + 6);

	if (ip[9] != IPPROTO_TCP || ip_len < IPV4_LEN || left < ip_len + TCP_LEN)
		return 0;
	if ((fragment & 0x1fff) != 0)
		return 0;
	/* Our new header checksum must not hide that the old one was wrong. */
	*plain = ip_len == IPV4_LEN && base_load_be16(ip + 2) == left && (fragment & ~IPV4_DF) == 0
	         && port_sum_fold(port_sum(ip, IPV4_LEN)) == 0xffff;
	return gro->l3 + ip_len;
}

static uint32_t parse_ipv6(const struct port_gro *gro, const struct port_gro_packet *packet,
                           bool *plain)
{
	const uint8_t *ip = packet->data + gro->l3;
	uint32_t left = packet->len - gro->l3;

	if (left < IPV6_LEN + TCP_LEN || ip[6] != IPPROTO_TCP)
		return 0;
	*plain = base_load_be16(ip + 4) + IPV6_LEN == left;
	return gro->l3 + IPV6_LEN;
}

/* Offset of the TCP header, 0 when there is none. plain: the IP header allows merging. */
static uint32_t parse_ip(const struct port_gro *gro, const struct port_gro_packet *packet,
                         bool *plain)
{
	uint16_t type;

	if (packet->len < gro->l3 + IPV4_LEN + TCP_LEN)
		return 0;
	type = gro->l3 == 0 ? 0 : base_load_be16(packet->data + ETHERTYPE_OFF);
	switch (ip_version(gro, packet)) {
	case 4:
		return type == 0 || type == 0x0800 ? parse_ipv4(gro, packet, plain) : 0;
	case 6:
		return type == 0 || type == 0x86dd ? parse_ipv6(gro, packet, plain) : 0;
	default:
		return 0;
	}
}

static struct view parse(const struct port_gro *gro, struct port_gro_packet *packet)
{
	struct view view = {0};
	const uint8_t *tcp;
	uint32_t tcp_len;
	bool plain = false;
	uint32_t l4 = parse_ip(gro, packet, &plain);

	if (l4 == 0)
		return view;
	tcp = packet->data + l4;
	tcp_len = (uint32_t)(tcp[12] >> 4) * 4U;
	packet->l4 = (uint16_t)l4;
	if (ip_version(gro, packet) == 4)
		view.hash = flow_hash(packet->data + gro->l3 + 12, 8, tcp);
	else
		view.hash = flow_hash(packet->data + gro->l3 + 8, 32, tcp);
	if (tcp_len < TCP_LEN || packet->len - l4 <= tcp_len)
		return view;
	packet->payload = l4 + tcp_len;
	view.payload_len = packet->len - packet->payload;
	view.seq = base_load_be32(tcp + 4);
	view.mergeable = plain && (tcp[12] & 0x0f) == 0
	                 && (tcp[13] & ~TCP_FLAG_PSH) == TCP_FLAG_ACK;
	return view;
}

/* Addresses and ports of two packets that both have a hash. */
static bool same_flow(const struct port_gro *gro, const struct port_gro_packet *a,
                      const struct port_gro_packet *b)
{
	const uint8_t *x = a->data + gro->l3, *y = b->data + gro->l3;
	uint32_t at = ip_version(gro, a) == 4 ? 12 : 8;
	uint32_t len = ip_version(gro, a) == 4 ? 8 : 32;

	return ip_version(gro, a) == ip_version(gro, b) && memcmp(x + at, y + at, len) == 0
	       && memcmp(a->data + a->l4, b->data + b->l4, 4) == 0;
}

/* Everything in the headers that segmentation would repeat as it is. */
static bool same_headers(const struct port_gro *gro, const struct port_gro_packet *a,
                         const struct port_gro_packet *b)
{
	const uint8_t *x = a->data + gro->l3, *y = b->data + gro->l3;
	const uint8_t *s = a->data + a->l4, *t = b->data + b->l4;

	if (a->payload != b->payload || a->l4 != b->l4 || memcmp(a->data, b->data, gro->l3) != 0)
		return false;
	if (ip_version(gro, a) == 4) {
		if (x[1] != y[1] || x[8] != y[8] || memcmp(x + 6, y + 6, 2) != 0)
			return false;
	} else if (memcmp(x, y, 4) != 0 || x[7] != y[7]) {
		return false;
	}
	/* acknowledgement and data offset; window; urgent pointer and options */
	return memcmp(s + 8, t + 8, 5) == 0 && memcmp(s + 14, t + 14, 2) == 0
	       && memcmp(s + 18, t + 18, a->payload - a->l4 - 18) == 0;
}

/* The identification that follows in this run; sets its step at the second packet. */
static bool id_follows(const struct port_gro *gro, const struct port_gro_write *write,
                       const struct port_gro_packet *packet, uint8_t *step)
{
	const uint8_t *ip = packet->data + gro->l3;
	uint16_t id = base_load_be16(ip + 4);
	bool counts = id == (uint16_t)(write->ip_id + write->n);
	bool constant = id == write->ip_id && (base_load_be16(ip + 6) & IPV4_DF) != 0;

	*step = counts ? ID_COUNTS : ID_CONSTANT;
	if (!counts && !constant)
		return false;
	return write->id_step == ID_UNKNOWN || write->id_step == *step;
}

static bool tcp_sum_good(const struct port_gro *gro, const struct port_gro_packet *packet)
{
	const uint8_t *ip = packet->data + gro->l3;
	uint32_t len = packet->len - packet->l4;
	uint64_t sum = ip_version(gro, packet) == 4 ? port_sum_pseudo(ip + 12, 4, IPPROTO_TCP)
	                                            : port_sum_pseudo(ip + 8, 16, IPPROTO_TCP);

	sum += port_sum_be16((uint16_t)len) + port_sum(packet->data + packet->l4, len);
	return port_sum_fold(sum) == 0xffff;
}

/* Both checksums hold, where that matters; the first packet's is looked at once. */
static bool sums_good(const struct port_gro *gro, struct port_gro_write *write,
                      const struct port_gro_packet *packet)
{
	if (gro->authenticated)
		return true;
	if (write->sum == SUM_UNKNOWN)
		write->sum = tcp_sum_good(gro, &gro->packets[write->first]) ? SUM_GOOD : SUM_BAD;
	return write->sum == SUM_GOOD && tcp_sum_good(gro, packet);
}

/* Append packet to write when all rules allow it. */
static bool try_append(struct port_gro *gro, struct port_gro_write *write, uint16_t i,
                       const struct view *view)
{
	struct port_gro_packet *packet = &gro->packets[i];
	uint8_t step = ID_UNKNOWN;

	if (!write->open || !view->mergeable || view->seq != write->next_seq
	    || view->payload_len > write->gso_size || write->len + view->payload_len > UINT16_MAX)
		return false;
	if (!same_headers(gro, &gro->packets[write->first], packet))
		return false;
	if (ip_version(gro, packet) == 4 && !id_follows(gro, write, packet, &step))
		return false;
	if (!sums_good(gro, write, packet))
		return false;
	gro->packets[write->last].next = i;
	write->last = i;
	write->n++;
	write->id_step = step;
	write->len += view->payload_len;
	write->next_seq += view->payload_len;
	write->open = view->payload_len == write->gso_size
	              && !(packet->data[packet->l4 + 13] & TCP_FLAG_PSH);
	return true;
}

/* The newest write of the packet's flow: appending to an older one would overtake it. */
static struct port_gro_write *newest_write(struct port_gro *gro, uint32_t hash,
                                           const struct port_gro_packet *packet)
{
	for (uint32_t i = gro->n_writes; i-- > 0;) {
		struct port_gro_write *write = &gro->writes[i];

		if (write->hash == hash && same_flow(gro, &gro->packets[write->first], packet))
			return write;
	}
	return NULL;
}

static void start_write(struct port_gro *gro, uint16_t i, const struct view *view)
{
	const struct port_gro_packet *packet = &gro->packets[i];
	struct port_gro_write *write = &gro->writes[gro->n_writes++];

	*write = (struct port_gro_write){
		.hash = view->hash,
		.first = i,
		.last = i,
		.n = 1,
		.id_step = ID_UNKNOWN,
		.sum = SUM_UNKNOWN,
	};
	if (!view->mergeable)
		return;
	write->next_seq = view->seq + view->payload_len;
	write->len = packet->len - gro->l3;
	write->gso_size = (uint16_t)view->payload_len;
	write->ip_id = base_load_be16(packet->data + gro->l3 + 4);
	write->open = write->len <= UINT16_MAX && !(packet->data[packet->l4 + 13] & TCP_FLAG_PSH);
}

void port_gro_add(struct port_gro *gro, uint8_t *data, uint32_t len)
{
	uint16_t i = (uint16_t)gro->n_packets++;
	struct port_gro_packet *packet = &gro->packets[i];
	struct port_gro_write *write;
	struct view view;

	*packet = (struct port_gro_packet){.data = data, .len = len, .next = END};
	view = parse(gro, packet);
	if (view.hash != 0) {
		write = newest_write(gro, view.hash, packet);
		if (write != NULL && try_append(gro, write, i, &view))
			return;
	}
	start_write(gro, i, &view);
}

/* Make the first packet's headers those of the super-packet, and say so in the virtio header. */
static void finish_headers(struct port_gro *gro, const struct port_gro_write *write)
{
	struct port_gro_packet *first = &gro->packets[write->first];
	const struct port_gro_packet *last = &gro->packets[write->last];
	uint8_t *ip = first->data + gro->l3, *tcp = first->data + first->l4;
	uint16_t tcp_len = (uint16_t)(write->len - (first->l4 - gro->l3));
	uint64_t pseudo;

	tcp[13] |= last->data[last->l4 + 13] & TCP_FLAG_PSH;
	gro->vnet = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.hdr_len = (uint16_t)first->payload,
		.gso_size = write->gso_size,
		.csum_start = first->l4,
		.csum_offset = 16,
	};
	if (ip_version(gro, first) == 4) {
		gro->vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		base_store_be16(ip + 2, (uint16_t)write->len);
		memset(ip + 10, 0, 2);
		port_sum_store(ip + 10, (uint16_t)~port_sum_fold(port_sum(ip, IPV4_LEN)));
		pseudo = port_sum_pseudo(ip + 12, 4, IPPROTO_TCP);
	} else {
		gro->vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
		base_store_be16(ip + 4, (uint16_t)(write->len - IPV6_LEN));
		pseudo = port_sum_pseudo(ip + 8, 16, IPPROTO_TCP);
	}
	port_sum_store(tcp + 16, port_sum_fold(pseudo + port_sum_be16(tcp_len)));
}

uint32_t port_gro_write_iov(struct port_gro *gro, uint32_t i, struct iovec *iov,
                            uint32_t *n_packets)
{
	const struct port_gro_write *write = &gro->writes[i];
	const struct port_gro_packet *packet = &gro->packets[write->first];
	uint32_t n = 0;

	*n_packets = write->n;
	if (write->n == 1) {
		/* The tunnel proved every byte; from the WAN the kernel must check for itself. */
		gro->vnet = (struct virtio_net_hdr){
			.flags = gro->authenticated ? VIRTIO_NET_HDR_F_DATA_VALID : 0};
	} else {
		finish_headers(gro, write);
	}
	iov[n++] = (struct iovec){&gro->vnet, sizeof(gro->vnet)};
	iov[n++] = (struct iovec){packet->data, packet->len};
	while (packet->next != END) {
		packet = &gro->packets[packet->next];
		iov[n++] = (struct iovec){packet->data + packet->payload,
		                          packet->len - packet->payload};
	}
	return n;
}
