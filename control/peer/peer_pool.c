/* A net is a row of host numbers, from 0; what is used are intervals on it. Sorted, the first gap
 * is the answer, whether the net is a /30 or an IPv6 /8. */
#include "peer_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef unsigned __int128 host_t; /* number of a host in its net */

struct interval {
	host_t first;
	host_t last;
};

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

static int compare(const void *a, const void *b)
{
	host_t x = ((const struct interval *)a)->first;
	host_t y = ((const struct interval *)b)->first;

	return x < y ? -1 : x > y;
}

/* Intervals of what lies inside the net, and the hub's own. Returns how many. */
static size_t collect(const struct base_prefix *hub, const struct base_prefix *used, size_t n,
                      struct interval *out)
{
	size_t count = 0;

	out[count].first = host_of(hub, &hub->ip);
	out[count].last = out[count].first;
	count++;
	for (size_t i = 0; i < n; i++) {
		if (used[i].len <= hub->len || !base_prefix_contains(hub, &used[i].ip))
			continue;
		out[count].first = host_of(hub, &used[i].ip);
		out[count].last = out[count].first + ones(bits_of(&used[i].ip) - used[i].len);
		count++;
	}
	return count;
}

int peer_pool_pick(const struct base_prefix *hub, const struct base_prefix *used, size_t n,
                   struct base_ip *out)
{
	struct interval *intervals = calloc(n + 1, sizeof(*intervals));
	host_t candidate = 1;
	size_t count;

	if (!intervals)
		return -ENOMEM;
	count = collect(hub, used, n, intervals);
	qsort(intervals, count, sizeof(*intervals), compare);
	for (size_t i = 0; i < count && intervals[i].first <= candidate; i++)
		if (intervals[i].last >= candidate)
			candidate = intervals[i].last + 1;
	free(intervals);
	/* 0: the last interval ended with the net's highest number of 128 bits. */
	if (candidate == 0 || candidate > last_usable(hub))
		return -ENOSPC;
	*out = ip_of(hub, candidate);
	return 0;
}
