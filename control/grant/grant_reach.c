/* AllowedIPs of a peer, from the grants. */
#include "grant_reach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct list {
	struct base_prefix *items;
	size_t n;
	size_t max;
};

static int add(struct list *list, const struct base_prefix *prefix)
{
	if (list->n == list->max) {
		size_t max = list->max ? list->max * 2 : 32;
		struct base_prefix *grown = reallocarray(list->items, max, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		list->items = grown;
		list->max = max;
	}
	list->items[list->n++] = *prefix;
	return 0;
}

static int add_addresses(struct list *list, const struct base_ip *ips, uint32_t n)
{
	int err = 0;

	for (uint32_t i = 0; i < n && err == 0; i++) {
		struct base_prefix host = {.ip = ips[i],
		                           .len = (uint8_t)(base_ip_len(ips[i].family) * 8)};

		err = add(list, &host);
	}
	return err;
}

static int add_peer(struct list *list, const struct grant_world *world, const char *name)
{
	const struct grant_peer *peer = grant_world_peer(world, name);

	return peer ? add_addresses(list, peer->addresses, peer->n_addresses) : 0;
}

/* The other end of a grant. */
static int add_party(struct list *list, const struct grant_policy *policy,
                     const struct grant_world *world, const struct grant_party *party,
                     const struct base_prefix *nets, uint32_t n_nets)
{
	const struct grant_group *group;
	int err = 0;

	switch (party->kind) {
	case GRANT_PEER:
		return add_peer(list, world, party->name);
	case GRANT_GROUP:
		group = grant_group_find(policy, party->name);
		for (uint32_t i = 0; group && i < group->n_members && err == 0; i++)
			err = add_peer(list, world, group->members[i]);
		return err;
	case GRANT_ANY:
		for (uint32_t i = 0; i < n_nets && err == 0; i++)
			err = add(list, &nets[i]);
		return err;
	case GRANT_SUBNET:
		return add(list, &party->subnet);
	case GRANT_HUB: /* is there always */
		return 0;
	}
	return 0;
}

/* Is the peer, or a network behind it, at this end? */
static bool is_at(const struct grant_policy *policy, const struct grant_world *world,
                  const struct grant_party *party, const struct grant_peer *peer)
{
	const struct grant_group *group;

	switch (party->kind) {
	case GRANT_PEER:
		return strcmp(party->name, peer->name) == 0;
	case GRANT_GROUP:
		group = grant_group_find(policy, party->name);
		return group && grant_group_has(group, peer->name);
	case GRANT_ANY:
		return true;
	case GRANT_SUBNET:
		return grant_world_gateway(world, &party->subnet) == peer;
	case GRANT_HUB:
		return false;
	}
	return false;
}

static int compare(const void *a, const void *b)
{
	const struct base_prefix *x = a;
	const struct base_prefix *y = b;
	int order = x->ip.family - y->ip.family;

	if (order == 0)
		order = memcmp(x->ip.bytes, y->ip.bytes, sizeof(x->ip.bytes));
	return order ? order : x->len - y->len;
}

/* Sorted so, a prefix stands behind those that it lies in. What lies behind the peer itself, and its
 * own addresses, it does not send into the tunnel. */
static void tidy(struct list *list, const struct grant_peer *peer)
{
	size_t kept = 0;

	qsort(list->items, list->n, sizeof(*list->items), compare);
	for (size_t i = 0; i < list->n; i++) {
		struct base_prefix item = list->items[i];
		bool own = item.len == base_ip_len(item.ip.family) * 8
		           && grant_peer_is_at(peer, &item.ip);

		for (uint32_t k = 0; k < peer->n_subnets && !own; k++)
			own = peer->subnets[k].len <= item.len
			      && base_prefix_contains(&peer->subnets[k], &item.ip);
		if (!own && (kept == 0 || !base_prefix_contains(&list->items[kept - 1], &item.ip)))
			list->items[kept++] = item;
	}
	list->n = kept;
}

int grant_reach(const struct grant_policy *policy, const struct grant_world *world,
                const struct grant_peer *peer, const struct base_prefix *nets, uint32_t n_nets,
                uint64_t now_s, struct base_prefix **out, size_t *n_out)
{
	struct list list = {.n = 0};
	int err = add_addresses(&list, world->hub, world->n_hub);

	for (uint32_t i = 0; i < policy->n_grants && err == 0; i++) {
		const struct grant *grant = &policy->grants[i];

		if (grant->until_s != 0 && grant->until_s <= now_s)
			continue;
		if (is_at(policy, world, &grant->who, peer))
			err = add_party(&list, policy, world, &grant->to, nets, n_nets);
		if (err == 0 && is_at(policy, world, &grant->to, peer))
			err = add_party(&list, policy, world, &grant->who, nets, n_nets);
	}
	if (err < 0) {
		free(list.items);
		return err;
	}
	tidy(&list, peer);
	*out = list.items;
	*n_out = list.n;
	return 0;
}
