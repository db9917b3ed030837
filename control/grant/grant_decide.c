/* Grant by grant, as the text says it. */
#include "grant_decide.h"

#include "grant_when.h"

#include <netinet/in.h>
#include <string.h>

bool grant_party_has(const struct grant_policy *policy, const struct grant_world *world,
                     const struct grant_party *party, const struct grant_side *side)
{
	bool own = side->peer && grant_peer_is_at(side->peer, &side->ip);
	const struct grant_group *group;

	switch (party->kind) {
	case GRANT_PEER:
		return own && strcmp(side->peer->name, party->name) == 0;
	case GRANT_GROUP:
		group = grant_group_find(policy, party->name);
		return own && group && grant_group_has(group, side->peer->name);
	case GRANT_ANY:
		return own;
	case GRANT_SUBNET:
		return side->peer && !own && base_prefix_contains(&party->subnet, &side->ip)
		       && grant_world_gateway(world, &party->subnet) == side->peer;
	case GRANT_HUB:
		for (uint32_t i = 0; !side->peer && i < world->n_hub; i++)
			if (base_ip_equal(&world->hub[i], &side->ip))
				return true;
		return false;
	}
	return false;
}

static bool protocol_fits(enum grant_protocol protocol, uint8_t number)
{
	switch (protocol) {
	case GRANT_TCP:
		return number == IPPROTO_TCP;
	case GRANT_UDP:
		return number == IPPROTO_UDP;
	case GRANT_ICMP:
		return number == IPPROTO_ICMP || number == IPPROTO_ICMPV6;
	case GRANT_ANY_PROTOCOL:
		return true;
	}
	return false;
}

static bool port_fits(const struct grant *grant, uint16_t port)
{
	for (uint32_t i = 0; i < grant->n_ports; i++)
		if (port >= grant->ports[i].first && port <= grant->ports[i].last)
			return true;
	return grant->n_ports == 0;
}

uint32_t grant_misses(const struct grant_policy *policy, const struct grant_world *world,
                      const struct grant *grant, const struct grant_packet *packet)
{
	uint32_t misses = 0;

	if (!grant_party_has(policy, world, &grant->who, &packet->from))
		misses |= GRANT_MISS_WHO;
	if (!grant_party_has(policy, world, &grant->to, &packet->to))
		misses |= GRANT_MISS_TO;
	if (!protocol_fits(grant->protocol, packet->protocol))
		misses |= GRANT_MISS_PROTOCOL;
	else if (!port_fits(grant, packet->port))
		misses |= GRANT_MISS_PORT;
	if (!grant_holds(grant, packet->now_s))
		misses |= GRANT_MISS_TIME;
	return misses;
}

const struct grant *grant_decide(const struct grant_policy *policy, const struct grant_world *world,
                                 const struct grant_packet *packet, bool *allowed)
{
	*allowed = world->is_open || (!packet->from.peer && packet->to.peer);
	for (uint32_t i = 0; i < policy->n_grants && !(!packet->from.peer && packet->to.peer);
	     i++) {
		if (grant_misses(policy, world, &policy->grants[i], packet) != 0)
			continue;
		*allowed = true;
		return &policy->grants[i];
	}
	return NULL;
}
