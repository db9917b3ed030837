/* Drop lists: in front of everything else, so that what they are about costs nothing further. Only the
 * outer source is asked for; what kind of packet it is, only of a source that is listed.
 *
 * all         whatever comes from it: WireGuard, and what the kernel would get (but ARP, which has no
 *             such source). Behind up to two VLAN tags too.
 * wireguard   UDP to the hub's WireGuard port at an address of the hub's on a WAN port.
 * published   what is for the port of a published service at such an address. What cannot be told is
 *             taken for that: fragments of TCP behind the first, whose ports nobody sees here.
 *
 * Frames that are cut off in front of their source pass: they are dropped by in_parse, or the kernel's. */
#include "block_table.h"
#include "path.h"

#include <rte_prefetch.h>

#define ETHERTYPE_V4   0x0800U
#define ETHERTYPE_V6   0x86ddU
#define ETHERTYPE_VLAN 0x8100U
#define ETHERTYPE_QINQ 0x88a8U
#define VLAN_LEN       4U
#define VLANS_MAX      2U
#define IP4_MIN        20U
#define IP4_OFFSET     0x1fffU
#define IP6_LEN        40U
#define PORTS_LEN      4U
#define PROTOCOL_TCP   6U
#define PROTOCOL_UDP   17U

/* IPv6 extension headers that can stand in front of the ports. */
#define EXTENSION_HOPS     0U
#define EXTENSION_ROUTING  43U
#define EXTENSION_FRAGMENT 44U
#define EXTENSION_OPTIONS  60U
#define EXTENSIONS_MAX     8U

/* ---- whence ------------------------------------------------------------------------------------- */

/* The IP header of a frame and its version, behind VLAN tags; 0 when there is none. */
static uint32_t find_ip(const struct path_pkt *p, const uint8_t **ip, uint32_t *room)
{
	uint32_t at = PATH_ETHER_LEN;

	for (uint32_t i = 0; i <= VLANS_MAX && p->len >= at; i++, at += VLAN_LEN) {
		uint32_t type = base_load_be16(p->data + at - 2);

		*ip = p->data + at;
		*room = p->len - at;
		if (type == ETHERTYPE_V4)
			return *room >= IP4_MIN ? BASE_IP_V4 : 0;
		if (type == ETHERTYPE_V6)
			return *room >= IP6_LEN ? BASE_IP_V6 : 0;
		if (type != ETHERTYPE_VLAN && type != ETHERTYPE_QINQ)
			return 0;
	}
	return 0;
}

/* The sources of a burst, by family, and whose they are. */
struct sources {
	uint32_t n_v4;
	uint32_t n_v6;
	uint32_t v4[PATH_BURST_MAX];
	uint64_t high[PATH_BURST_MAX];
	uint64_t low[PATH_BURST_MAX];
	uint8_t of_v4[PATH_BURST_MAX]; /* position in the burst */
	uint8_t of_v6[PATH_BURST_MAX];
};

static inline void gather(const struct path_burst *b, struct sources *s)
{
	s->n_v4 = 0;
	s->n_v6 = 0;
	for (uint32_t i = 0; i < b->n; i++)
		rte_prefetch0(b->pkt[i].data);
	for (uint32_t i = 0; i < b->n; i++) {
		const uint8_t *ip;
		uint32_t room;
		uint32_t version = find_ip(&b->pkt[i], &ip, &room);

		if (likely(version == BASE_IP_V4)) {
			s->of_v4[s->n_v4] = (uint8_t)i;
			s->v4[s->n_v4++] = base_load_be32(ip + 12);
		} else if (version == BASE_IP_V6) {
			s->of_v6[s->n_v6] = (uint8_t)i;
			s->high[s->n_v6] = base_load_be64(ip + 8);
			s->low[s->n_v6++] = base_load_be64(ip + 16);
		}
	}
}

/* scopes[b->n] of every packet's source. Returns whether any is listed at all. */
static bool look_up(const struct block_table *table, const struct path_burst *b, uint8_t *scopes)
{
	struct sources s;
	uint8_t v4_scopes[PATH_BURST_MAX];
	uint8_t v6_scopes[PATH_BURST_MAX];
	uint8_t any = 0;

	gather(b, &s);
	block_find(table, &(const struct block_sources){.v4 = s.v4,
	                                                .v4_scopes = v4_scopes,
	                                                .n_v4 = s.n_v4,
	                                                .high = s.high,
	                                                .low = s.low,
	                                                .v6_scopes = v6_scopes,
	                                                .n_v6 = s.n_v6});
	memset(scopes, 0, PATH_BURST_MAX);
	for (uint32_t i = 0; i < s.n_v4; i++)
		any |= scopes[s.of_v4[i]] = v4_scopes[i];
	for (uint32_t i = 0; i < s.n_v6; i++)
		any |= scopes[s.of_v6[i]] = v6_scopes[i];
	return any != 0;
}

/* ---- where to: of listed sources only ----------------------------------------------------------- */

struct target {
	uint8_t protocol;
	bool is_hub;      /* an address of the hub's on a WAN port */
	bool is_fragment; /* behind the first: ports are not in it */
	bool has_port;
	uint16_t port;
};

static void read_port(struct target *target, const uint8_t *upper, uint32_t room)
{
	if (target->is_fragment || room < PORTS_LEN
	    || (target->protocol != PROTOCOL_TCP && target->protocol != PROTOCOL_UDP))
		return;
	target->has_port = true;
	target->port = base_load_be16(upper + 2);
}

static struct target target_v4(const struct state *st, const uint8_t *ip, uint32_t room)
{
	uint32_t header_len = (ip[0] & 0x0fU) * 4U;
	struct target target = {
		.protocol = ip[9],
		.is_hub = state_address_has_v4(&st->addresses.wan, ip + 16),
		.is_fragment = (base_load_be16(ip + 6) & IP4_OFFSET) != 0,
	};

	if (header_len >= IP4_MIN && header_len <= room)
		read_port(&target, ip + header_len, room - header_len);
	return target;
}

/* Length of the extension header of this type at header[room], 0 = it is none. */
static uint32_t extension_len(uint8_t type, const uint8_t *header, uint32_t room)
{
	if (room < 8)
		return 0;
	if (type == EXTENSION_FRAGMENT)
		return 8;
	if (type == EXTENSION_HOPS || type == EXTENSION_ROUTING || type == EXTENSION_OPTIONS)
		return (header[1] + 1U) * 8U;
	return 0;
}

static struct target target_v6(const struct state *st, const uint8_t *ip, uint32_t room)
{
	struct target target = {
		.protocol = ip[6],
		.is_hub = state_address_has_v6(&st->addresses.wan, ip + 24),
	};
	uint32_t at = IP6_LEN;

	for (uint32_t i = 0; i < EXTENSIONS_MAX; i++) {
		uint32_t len = extension_len(target.protocol, ip + at, room - at);

		if (len == 0 || len > room - at)
			break;
		if (target.protocol == EXTENSION_FRAGMENT
		    && (base_load_be16(ip + at + 2) & 0xfff8U) != 0)
			target.is_fragment = true;
		target.protocol = ip[at];
		at += len;
	}
	read_port(&target, ip + at, room - at);
	return target;
}

static bool is_published(const struct block_table *table, const struct target *target)
{
	if (target->has_port)
		return block_table_publishes(table, target->protocol, target->port);
	return target->is_fragment && target->protocol == PROTOCOL_TCP;
}

static uint32_t judge_listed(const struct state *st, const struct path_pkt *p, uint8_t scopes)
{
	const uint8_t *ip;
	uint32_t room;
	uint32_t version = find_ip(p, &ip, &room);
	struct target target;

	if (scopes & BLOCK_ALL)
		return ABI_COUNTER_DROP_BLOCK_ALL;
	target = version == BASE_IP_V4 ? target_v4(st, ip, room) : target_v6(st, ip, room);
	if (!target.is_hub)
		return PATH_KEEP;
	if ((scopes & BLOCK_WIREGUARD) && target.has_port && target.protocol == PROTOCOL_UDP
	    && target.port == st->hub.listen_port)
		return ABI_COUNTER_DROP_BLOCK_WIREGUARD;
	if ((scopes & BLOCK_PUBLISHED) && is_published(st->block, &target))
		return ABI_COUNTER_DROP_BLOCK_PUBLISHED;
	return PATH_KEEP;
}

void block(struct state *st, struct path_burst *b)
{
	uint8_t scopes[PATH_BURST_MAX];
	uint32_t n = 0;

	if (likely(!look_up(st->block, b, scopes)))
		return;
	for (uint32_t i = 0; i < b->n; i++) {
		uint32_t verdict = scopes[i] == 0 ? PATH_KEEP
		                                  : judge_listed(st, &b->pkt[i], scopes[i]);

		path_judge(st, b, i, verdict, &n);
	}
	b->n = n;
}
