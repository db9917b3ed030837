/* Classes, sources and their limits. */
#include "port_limit.h"

#include "base_bytes.h"
#include "base_time.h"

#include <netinet/in.h>

#define ETHER_LEN      14U
#define IPV4_LEN       20U
#define IPV6_LEN       40U
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_ARP  0x0806
#define TCP_FLAG_SYN   0x02
#define TCP_FLAG_ACK   0x10

struct rate {
	uint64_t interval_ns;
	uint64_t burst_ns; /* how far ahead of time the due time may run */
};

#define RATE(name)                                                                                 \
	{                                                                                          \
		BASE_NS_PER_S / PORT_LIMIT_##name##_RATE,                                          \
			(PORT_LIMIT_##name##_BURST - 1)                                            \
				* (BASE_NS_PER_S / PORT_LIMIT_##name##_RATE)                       \
	}

static const struct rate class_rates[PORT_LIMIT_N_CLASSES] = {
	[PORT_LIMIT_NEIGHBOUR] = RATE(NEIGHBOUR),
	[PORT_LIMIT_ICMP] = RATE(ICMP),
	[PORT_LIMIT_SYN] = RATE(SYN),
	[PORT_LIMIT_OTHER] = RATE(OTHER),
};

static const struct rate source_rates[PORT_LIMIT_N_CLASSES] = {
	[PORT_LIMIT_NEIGHBOUR] = RATE(SOURCE_NEIGHBOUR),
	[PORT_LIMIT_ICMP] = RATE(SOURCE_ICMP),
	[PORT_LIMIT_SYN] = RATE(SOURCE_SYN),
	[PORT_LIMIT_OTHER] = RATE(SOURCE_OTHER),
};

void port_limit_init(struct port_limit *limit, uint64_t seed)
{
	memset(limit, 0, sizeof(*limit));
	limit->seed = seed;
}

/* A TCP segment that opens a connection; left is what there is of it. */
static bool is_syn(const uint8_t *tcp, uint32_t left)
{
	return left >= 14 && (tcp[13] & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN;
}

static enum port_limit_class classify_ipv4(const uint8_t *ip, uint32_t left)
{
	uint32_t ip_len = (ip[0] & 0xfU) * 4U;

	if (ip[9] == IPPROTO_ICMP)
		return PORT_LIMIT_ICMP;
	if (ip[9] != IPPROTO_TCP || left < ip_len || (base_load_be16(ip + 6) & 0x1fff) != 0)
		return PORT_LIMIT_OTHER;
	return is_syn(ip + ip_len, left - ip_len) ? PORT_LIMIT_SYN : PORT_LIMIT_OTHER;
}

static enum port_limit_class classify_ipv6(const uint8_t *ip, uint32_t left)
{
	if (ip[6] == IPPROTO_ICMPV6) {
		uint8_t type = left > IPV6_LEN ? ip[IPV6_LEN] : 0;

		return type >= 133 && type <= 137 ? PORT_LIMIT_NEIGHBOUR : PORT_LIMIT_ICMP;
	}
	if (ip[6] == IPPROTO_TCP && is_syn(ip + IPV6_LEN, left - IPV6_LEN))
		return PORT_LIMIT_SYN;
	return PORT_LIMIT_OTHER;
}

/* EtherType when the frame holds a whole fixed header of it, else 0. */
static uint16_t frame_type(const uint8_t *frame, uint32_t len)
{
	uint16_t type;

	if (len < ETHER_LEN)
		return 0;
	type = base_load_be16(frame + 12);
	if ((type == ETHERTYPE_IPV4 && len < ETHER_LEN + IPV4_LEN)
	    || (type == ETHERTYPE_IPV6 && len < ETHER_LEN + IPV6_LEN))
		return 0;
	return type;
}

enum port_limit_class port_limit_classify(const uint8_t *frame, uint32_t len)
{
	switch (frame_type(frame, len)) {
	case ETHERTYPE_ARP:
		return PORT_LIMIT_NEIGHBOUR;
	case ETHERTYPE_IPV4:
		return classify_ipv4(frame + ETHER_LEN, len - ETHER_LEN);
	case ETHERTYPE_IPV6:
		return classify_ipv6(frame + ETHER_LEN, len - ETHER_LEN);
	default:
		return PORT_LIMIT_OTHER;
	}
}

/* Mixed with the seed, never 0. One-to-one for a given seed, so two sources share no entry. */
static uint64_t source_key(const struct port_limit *limit, const uint8_t *frame, uint32_t len)
{
	uint64_t x = 0;

	switch (frame_type(frame, len)) {
	case ETHERTYPE_IPV4:
		x = UINT64_C(0xffff) << 48 | base_load_be32(frame + ETHER_LEN + 12);
		break;
	case ETHERTYPE_IPV6:
		x = base_load_be64(frame + ETHER_LEN + 8);
		break;
	default:
		if (len >= ETHER_LEN)
			x = UINT64_C(0xfffe) << 48 | base_load_be64(frame + 6) >> 16;
		break;
	}
	x = (x ^ limit->seed) * UINT64_C(0xff51afd7ed558ccd);
	x = (x ^ x >> 32 ^ limit->seed >> 7) * UINT64_C(0xc4ceb9fe1a85ec53);
	x ^= x >> 29;
	return x != 0 ? x : 1;
}

/* The source's entry, or the one to be replaced by it. */
static struct port_limit_source *source_find(struct port_limit *limit, uint64_t key)
{
	struct port_limit_source *set = limit->sources[key & (PORT_LIMIT_SETS - 1)];
	struct port_limit_source *oldest = &set[0];

	for (uint32_t i = 0; i < PORT_LIMIT_WAYS; i++) {
		if (set[i].key == key)
			return &set[i];
		if (set[i].last_ns < oldest->last_ns)
			oldest = &set[i];
	}
	return oldest;
}

/* When the packet after one that passes now would be due; 0 = this one may not pass. */
static uint64_t due_after(const struct rate *rate, uint64_t due_ns, uint64_t now_ns)
{
	if (due_ns < now_ns)
		due_ns = now_ns;
	return due_ns - now_ns > rate->burst_ns ? 0 : due_ns + rate->interval_ns;
}

bool port_limit_pass(struct port_limit *limit, const uint8_t *frame, uint32_t len, uint64_t now_ns)
{
	enum port_limit_class class = port_limit_classify(frame, len);
	uint64_t key = source_key(limit, frame, len), for_class, for_source;
	struct port_limit_source *source = source_find(limit, key);

	for_class = due_after(&class_rates[class], limit->due_ns[class], now_ns);
	for_source = due_after(&source_rates[class], source->key == key ? source->due_ns[class] : 0,
	                       now_ns);
	if (for_class == 0 || for_source == 0)
		return false;
	if (source->key != key)
		*source = (struct port_limit_source){.key = key};
	source->last_ns = now_ns;
	source->due_ns[class] = for_source;
	limit->due_ns[class] = for_class;
	return true;
}
