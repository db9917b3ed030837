/* Look-ups in the peers there are. */
#include "grant_world.h"

#include <string.h>

const struct grant_peer *grant_world_peer(const struct grant_world *world, const char *name)
{
	uint32_t low = 0;
	uint32_t high = world->n_peers;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = strcmp(world->peers[middle].name, name);

		if (order == 0)
			return &world->peers[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const struct grant_peer *grant_world_gateway(const struct grant_world *world,
                                             const struct base_prefix *subnet)
{
	const struct grant_peer *found = NULL;
	uint8_t found_len = 0;

	for (uint32_t i = 0; i < world->n_peers; i++) {
		const struct grant_peer *peer = &world->peers[i];

		for (uint32_t k = 0; k < peer->n_subnets; k++) {
			const struct base_prefix *net = &peer->subnets[k];

			if (net->len > subnet->len || (found && net->len <= found_len)
			    || !base_prefix_contains(net, &subnet->ip))
				continue;
			found = peer;
			found_len = net->len;
		}
	}
	return found;
}

bool grant_peer_is_at(const struct grant_peer *peer, const struct base_ip *ip)
{
	for (uint32_t i = 0; i < peer->n_addresses; i++)
		if (base_ip_equal(&peer->addresses[i], ip))
			return true;
	return false;
}

const struct grant_peer *grant_world_holder(const struct grant_world *world,
                                            const struct base_ip *ip, bool *is_hub)
{
	struct base_prefix host = {.ip = *ip, .len = (uint8_t)(base_ip_len(ip->family) * 8)};

	*is_hub = false;
	for (uint32_t i = 0; i < world->n_hub && !*is_hub; i++)
		*is_hub = base_ip_equal(&world->hub[i], ip);
	if (*is_hub)
		return NULL;
	for (uint32_t i = 0; i < world->n_peers; i++)
		if (grant_peer_is_at(&world->peers[i], ip))
			return &world->peers[i];
	return grant_world_gateway(world, &host);
}
