/* Look-ups in the peers there are. */
#include "grant_world.h"

#include <errno.h>
#include <stdlib.h>
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

/* ---- what is behind them ------------------------------------------------------------------------ */

static int compare(const struct base_prefix *a, const struct base_prefix *b)
{
	int order = (int)a->ip.family - (int)b->ip.family;

	if (order == 0)
		order = memcmp(a->ip.bytes, b->ip.bytes, sizeof(a->ip.bytes));
	return order != 0 ? order : (int)a->len - (int)b->len;
}

/* Of one that two peers have, the first peer's comes last: that is the one to be found. */
static int compare_nets(const void *a, const void *b)
{
	const struct grant_net *x = a;
	const struct grant_net *y = b;
	int order = compare(&x->prefix, &y->prefix);

	return order != 0 ? order : (x->peer < y->peer) - (x->peer > y->peer);
}

static bool is_around(const struct base_prefix *net, const struct base_prefix *subnet)
{
	return net->len <= subnet->len && base_prefix_contains(net, &subnet->ip);
}

/* From this one (1 + index, 0 = none) outwards, the first that is around subnet. */
static uint32_t climb(const struct grant_world *world, uint32_t at,
                      const struct base_prefix *subnet)
{
	while (at != 0 && !is_around(&world->nets[at - 1].prefix, subnet))
		at = world->nets[at - 1].around;
	return at;
}

int grant_world_begin(struct grant_world *world)
{
	size_t max = 0;

	for (uint32_t i = 0; i < world->n_peers; i++)
		max += world->peers[i].n_subnets;
	world->n_nets = 0;
	world->nets = calloc(max + 1, sizeof(*world->nets));
	if (!world->nets)
		return -ENOMEM;
	for (uint32_t i = 0; i < world->n_peers; i++)
		for (uint32_t k = 0; k < world->peers[i].n_subnets; k++) {
			struct grant_net *net = &world->nets[world->n_nets++];

			net->prefix = world->peers[i].subnets[k];
			net->peer = i;
			base_prefix_mask(&net->prefix);
		}
	qsort(world->nets, world->n_nets, sizeof(*world->nets), compare_nets);
	/* What is around a network stands before it, and is around the one before it, or is that one. */
	for (uint32_t i = 0; i < world->n_nets; i++)
		world->nets[i].around = climb(world, i, &world->nets[i].prefix);
	return 0;
}

void grant_world_end(struct grant_world *world)
{
	free(world->nets);
	world->nets = NULL;
	world->n_nets = 0;
}

const struct grant_peer *grant_world_gateway(const struct grant_world *world,
                                             const struct base_prefix *subnet)
{
	struct base_prefix wanted = *subnet;
	uint32_t low = 0;
	uint32_t high = world->n_nets;

	base_prefix_mask(&wanted);
	while (low < high) { /* the first behind all that are wanted or stand before it */
		uint32_t middle = low + (high - low) / 2;

		if (compare(&world->nets[middle].prefix, &wanted) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	low = climb(world, low, &wanted);
	return low != 0 ? &world->peers[world->nets[low - 1].peer] : NULL;
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
