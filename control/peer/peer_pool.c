/* A net is a row of host numbers, from 0; what is used are intervals on it, which are stepped over, whether
 * the net is a /30 or an IPv6 /8. */
#include "peer_pool.h"

#include <errno.h>

__extension__ typedef unsigned __int128 host_t; /* number of a host in its net */

static size_t bits_of(const struct base_ip *ip)
{
	return base_ip_len(ip->family) * 8;
}

/* n bits set. */
static host_t ones(size_t n)
{
	return n >= 128 ? ~(host_t)0 : ((host_t)1 << n) - 1;
}

static host_t host_of(const struct base_prefix *net, const struct base_ip *ip)
{
	host_t number = 0;

	for (size_t i = 0; i < base_ip_len(ip->family); i++)
		number = number << 8 | ip->bytes[i];
	return number & ones(bits_of(ip) - net->len);
}

static struct base_ip ip_of(const struct base_prefix *net, host_t host)
{
	struct base_prefix prefix = *net;

	base_prefix_mask(&prefix);
	for (size_t i = base_ip_len(net->ip.family); i-- > 0; host >>= 8)
		prefix.ip.bytes[i] |= (uint8_t)host;
	return prefix.ip;
}

static host_t last_usable(const struct base_prefix *net)
{
	host_t last = ones(bits_of(&net->ip) - net->len);

	return net->ip.family == BASE_IP_V4 ? last - 1 : last;
}

bool peer_pool_allows(const struct base_prefix *hub, const struct base_ip *ip)
{
	host_t host;

	if (!base_prefix_contains(hub, ip) || base_ip_equal(&hub->ip, ip))
		return false;
	host = host_of(hub, ip);
	return host > 0 && host <= last_usable(hub);
}

int peer_pool_pick(const struct base_prefix *hub, const struct base_ip *from,
                   peer_pool_used_fn *used, void *arg, struct base_ip *out)
{
	host_t candidate = base_prefix_contains(hub, from) ? host_of(hub, from) : 1;

	/* 0: the first, or behind the net's highest number of 128 bits. */
	for (candidate += candidate == 0; candidate != 0 && candidate <= last_usable(hub);) {
		struct base_ip ip = ip_of(hub, candidate);
		struct base_prefix by;

		if (base_ip_equal(&hub->ip, &ip)) {
			candidate++;
			continue;
		}
		if (!used(arg, &ip, &by)) {
			*out = ip;
			return 0;
		}
		base_prefix_mask(&by);
		candidate = host_of(hub, &by.ip) + ones(bits_of(&by.ip) - by.len) + 1;
	}
	return -ENOSPC;
}
