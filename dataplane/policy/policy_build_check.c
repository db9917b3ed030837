/* Is a source what policy_build.h asks for? Names the first thing that is not. */
#include "policy_build_private.h"

#include <errno.h>
#include <stdlib.h>

static bool is_prefix(const struct base_prefix *prefix)
{
	struct base_prefix masked = *prefix;
	size_t len = base_ip_len(prefix->ip.family);

	/* IPv6 addresses that stand for IPv4 ones occur in no packet */
	if (prefix->ip.family == BASE_IP_V6
	    && policy_address_is_v4(policy_address_make(&prefix->ip)))
		return false;
	return len != 0 && prefix->len <= len * 8 && !base_prefix_mask(&masked);
}

static int wrong(struct policy_build_error *error, const char *field, const char *expected)
{
	error->field = field;
	error->expected = expected;
	return -EINVAL;
}

static int check_end(const struct policy_source *source, const struct policy_end *end, bool is_from,
                     struct policy_build_error *error)
{
	switch (end->kind) {
	case POLICY_END_PEER:
		if (end->number >= POLICY_HUB)
			return wrong(error, is_from ? "from.number" : "to.number",
			             "a peer number below POLICY_HUB");
		return 0;
	case POLICY_END_GROUP:
		if (end->number >= source->n_groups)
			return wrong(error, is_from ? "from.number" : "to.number",
			             "a group number below n_groups");
		return 0;
	case POLICY_END_ANY:
		return 0;
	case POLICY_END_SUBNET:
	case POLICY_END_BEHIND:
		if (end->kind == POLICY_END_SUBNET && end->number >= POLICY_HUB)
			return wrong(error, is_from ? "from.number" : "to.number",
			             "the number of a gateway below POLICY_HUB");
		if (end->kind == POLICY_END_BEHIND && end->number != 0)
			return wrong(error, is_from ? "from.number" : "to.number",
			             "0: it is of any gateway");
		if (!is_prefix(&end->prefix))
			return wrong(error, is_from ? "from.prefix" : "to.prefix",
			             "a prefix without host bits");
		return 0;
	case POLICY_END_HUB:
		if (end->prefix.ip.family != BASE_IP_NONE && !is_prefix(&end->prefix))
			return wrong(error, is_from ? "from.prefix" : "to.prefix",
			             "an address of the hub, or none");
		return 0;
	default:
		return wrong(error, is_from ? "from.kind" : "to.kind", "a kind of end");
	}
}

static int check_grant(const struct policy_source *source, const struct policy_grant *grant,
                       struct policy_build_error *error)
{
	int err = check_end(source, &grant->from, true, error);

	if (err == 0)
		err = check_end(source, &grant->to, false, error);
	if (err != 0)
		return err;
	if (grant->id == 0)
		return wrong(error, "id", "a number from 1 on");
	if (grant->proto >= POLICY_N_PROTOS)
		return wrong(error, "proto", "any, icmp, tcp or udp");
	if (grant->n_ports != 0 && grant->proto != POLICY_TCP && grant->proto != POLICY_UDP)
		return wrong(error, "ports", "no ports: only tcp and udp have them");
	for (uint32_t i = 0; i < grant->n_ports; i++) {
		if (grant->ports[i].first > grant->ports[i].last)
			return wrong(error, "ports", "the first port at most the last");
	}
	for (uint32_t i = 0; i < grant->n_windows; i++) {
		if (grant->windows[i].from_s >= grant->windows[i].until_s)
			return wrong(error, "windows", "a beginning before the end");
	}
	return 0;
}

static int check_peer(const struct policy_source *source, const struct policy_peer *peer,
                      struct policy_build_error *error)
{
	if (peer->number >= POLICY_HUB)
		return wrong(error, "number", "a number below POLICY_HUB");
	if ((peer->behind & ~(POLICY_BEHIND_V4 | POLICY_BEHIND_V6)) != 0)
		return wrong(error, "behind", "POLICY_BEHIND_V4, POLICY_BEHIND_V6, both or none");
	for (uint32_t i = 0; i < peer->n_addresses; i++) {
		struct policy_address address = policy_address_make(&peer->addresses[i]);
		bool is_v4 = peer->addresses[i].family == BASE_IP_V4;

		if ((address.high | (address.low & ~POLICY_V4_LOW)) == 0
		    || policy_address_is_v4(address) != is_v4)
			return wrong(error, "addresses",
			             "addresses, not all zero, no IPv4-mapped ones");
	}
	for (uint32_t i = 0; i < peer->n_groups; i++) {
		if (peer->groups[i] >= source->n_groups)
			return wrong(error, "groups", "group numbers below n_groups");
	}
	return 0;
}

/* No two peers with one number. n_seen numbers are possible. */
static int check_numbers(const struct policy_source *source, struct policy_build_error *error)
{
	uint8_t *seen = calloc(POLICY_HUB / 8 + 1, 1);
	int ret = 0;

	if (seen == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < source->n_peers && ret == 0; i++) {
		uint32_t number = source->peers[i].number;

		error->index = i;
		if ((seen[number / 8] >> number % 8 & 1) != 0)
			ret = wrong(error, "number", "a number that no other peer has");
		seen[number / 8] = (uint8_t)(seen[number / 8] | 1U << number % 8);
	}
	free(seen);
	return ret;
}

int policy__build_check(const struct policy_source *source, struct policy_build_error *error)
{
	int err;

	error->object = POLICY_BUILD_SOURCE;
	if (source->generation == 0)
		return wrong(error, "generation", "a number from 1 on");
	if (source->n_grants > POLICY_GRANTS_MAX)
		return wrong(error, "n_grants", "at most POLICY_GRANTS_MAX");
	error->object = POLICY_BUILD_PEER;
	for (uint32_t i = 0; i < source->n_peers; i++) {
		error->index = i;
		err = check_peer(source, &source->peers[i], error);
		if (err != 0)
			return err;
	}
	err = check_numbers(source, error);
	if (err != 0)
		return err;
	error->object = POLICY_BUILD_GRANT;
	for (uint32_t i = 0; i < source->n_grants; i++) {
		error->index = i;
		err = check_grant(source, &source->grants[i], error);
		if (err != 0)
			return err;
	}
	return 0;
}
