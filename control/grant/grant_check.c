/* A policy against the peers there are. */
#include "grant_part.h"
#include "grant_world.h"

#include <errno.h>
#include <string.h>

static int check_group(const struct grant_group *group, const struct grant_world *world,
                       struct grant_error *error)
{
	error->line = group->line;
	for (uint32_t i = 0; i < group->n_members; i++)
		if (!grant_world_peer(world, group->members[i]))
			return grant_refuse(error, -ENOENT, "not_found", "members",
			                    "group \"%s\": members has \"%s\", must be the name of "
			                    "a peer: none is called so",
			                    group->name, group->members[i]);
	return 0;
}

static int check_party(const struct grant *grant, const struct grant_party *party,
                       const char *field, const struct grant_policy *policy,
                       const struct grant_world *world, struct grant_error *error)
{
	char text[GRANT_PARTY_STRLEN];

	if (party->kind == GRANT_PEER && !grant_world_peer(world, party->name))
		return grant_refuse(error, -ENOENT, "not_found", field,
		                    "grant \"%s\": %s is \"peer:%s\", must be a peer that there "
		                    "is: none is called so",
		                    grant->name, field, party->name);
	if (party->kind == GRANT_GROUP && !grant_group_find(policy, party->name))
		return grant_refuse(error, -ENOENT, "not_found", field,
		                    "grant \"%s\": %s is \"group:%s\", must be a group that there "
		                    "is: none is called so",
		                    grant->name, field, party->name);
	if (party->kind == GRANT_SUBNET && !grant_world_gateway(world, &party->subnet))
		return grant_refuse(error, -ENOENT, "not_found", field,
		                    "grant \"%s\": %s is \"%s\", must be a network, or a part of "
		                    "one, that a peer has in its allowed_ips",
		                    grant->name, field, grant_party_format(party, text));
	return 0;
}

static int check_grant(const struct grant *grant, const struct grant_policy *policy,
                       const struct grant_world *world, struct grant_error *error)
{
	char from[GRANT_TIME_STRLEN];
	char until[GRANT_TIME_STRLEN];
	int err;

	error->line = grant->line;
	err = check_party(grant, &grant->who, "who", policy, world, error);
	if (err == 0)
		err = check_party(grant, &grant->to, "to", policy, world, error);
	if (err < 0)
		return err;
	if (grant->n_ports > 0 && grant->protocol != GRANT_TCP && grant->protocol != GRANT_UDP)
		return grant_refuse(error, -EINVAL, "invalid", "ports",
		                    "grant \"%s\": ports are given, but protocol is \"%s\", which "
		                    "has none: must be \"tcp\" or \"udp\"",
		                    grant->name, grant_protocol_format(grant->protocol));
	if (grant->until_s != 0 && grant->until_s <= grant->from_s)
		return grant_refuse(error, -EINVAL, "invalid", "until",
		                    "grant \"%s\": until is %s, must be after from (%s)",
		                    grant->name, grant_time_format(grant->until_s, until),
		                    grant_time_format(grant->from_s, from));
	return 0;
}

int grant_check(const struct grant_policy *policy, const struct grant_policy *before,
                const struct grant_world *world, struct grant_error *error)
{
	int err = 0;

	for (uint32_t i = 0; i < policy->n_groups && err == 0; i++) {
		const struct grant_group *group = &policy->groups[i];
		const struct grant_group *old = before ? grant_group_find(before, group->name)
		                                       : NULL;

		if (!old || !grant_group_equal(old, group))
			err = check_group(group, world, error);
	}
	for (uint32_t i = 0; i < policy->n_grants && err == 0; i++) {
		const struct grant *grant = &policy->grants[i];
		const struct grant *old = before ? grant_find(before, grant->name) : NULL;

		/* A group that it names may have gone with this change. */
		if (!old || !grant_equal(old, grant)
		    || (grant->who.kind == GRANT_GROUP
		        && !grant_group_find(policy, grant->who.name))
		    || (grant->to.kind == GRANT_GROUP && !grant_group_find(policy, grant->to.name)))
			err = check_grant(grant, policy, world, error);
	}
	return err;
}
