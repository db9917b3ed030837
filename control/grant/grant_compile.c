/* Names to numbers, zones to intervals. All arrays are sized before they are filled, so that pointers
 * into them stay. */
#include "grant_compile.h"

#include "grant_when.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Windows of a grant: eight, each at most once a day. */
#define INTERVALS_MAX (GRANT_WINDOWS_MAX * (GRANT_AHEAD_S / 86400 + 4))

_Static_assert((int)POLICY_ANY_PROTO == (int)GRANT_ANY_PROTOCOL, "by table below");

static const uint8_t protocols[] = {
	[GRANT_ANY_PROTOCOL] = POLICY_ANY_PROTO,
	[GRANT_TCP] = POLICY_TCP,
	[GRANT_UDP] = POLICY_UDP,
	[GRANT_ICMP] = POLICY_ICMP,
};

void grant_compiled_fini(struct grant_compiled *compiled)
{
	free(compiled->peers);
	free(compiled->grants);
	free(compiled->groups);
	free(compiled->ranges);
	free(compiled->windows);
	memset(compiled, 0, sizeof(*compiled));
}

/* ---- peers and their groups --------------------------------------------------------------------- */

static uint32_t families_behind(const struct grant_peer *peer)
{
	uint32_t behind = 0;

	for (uint32_t i = 0; i < peer->n_subnets; i++)
		behind |= peer->subnets[i].ip.family == BASE_IP_V4 ? POLICY_BEHIND_V4
		                                                   : POLICY_BEHIND_V6;
	return behind;
}

static int make_peers(const struct grant_policy *policy, const struct grant_world *world,
                      struct grant_compiled *out)
{
	size_t n_members = 0;
	uint32_t *at;

	for (uint32_t i = 0; i < policy->n_groups; i++)
		n_members += policy->groups[i].n_members;
	out->peers = calloc((size_t)world->n_peers + 1, sizeof(*out->peers));
	out->groups = calloc(n_members + 1, sizeof(*out->groups));
	if (!out->peers || !out->groups)
		return -ENOMEM;
	for (uint32_t i = 0; i < world->n_peers; i++) {
		out->peers[i].number = world->peers[i].number;
		out->peers[i].addresses = world->peers[i].addresses;
		out->peers[i].n_addresses = world->peers[i].n_addresses;
		out->peers[i].behind = families_behind(&world->peers[i]);
	}
	/* First how many groups each is in, then where its list begins, then the lists. */
	for (uint32_t g = 0; g < policy->n_groups; g++)
		for (uint32_t m = 0; m < policy->groups[g].n_members; m++) {
			const struct grant_peer *peer = grant_world_peer(
				world, policy->groups[g].members[m]);

			if (peer)
				out->peers[peer - world->peers].n_groups++;
		}
	at = out->groups;
	for (uint32_t i = 0; i < world->n_peers; i++) {
		out->peers[i].groups = at;
		at += out->peers[i].n_groups;
		out->peers[i].n_groups = 0;
	}
	for (uint32_t g = 0; g < policy->n_groups; g++)
		for (uint32_t m = 0; m < policy->groups[g].n_members; m++) {
			const struct grant_peer *peer = grant_world_peer(
				world, policy->groups[g].members[m]);
			struct policy_peer *made = peer ? &out->peers[peer - world->peers] : NULL;

			if (made)
				out->groups[made->groups - out->groups + made->n_groups++] = g;
		}
	out->source.peers = out->peers;
	out->source.n_peers = world->n_peers;
	out->source.n_groups = policy->n_groups;
	return 0;
}

/* ---- grants ------------------------------------------------------------------------------------- */

/* False when the party names what is not there. */
static bool make_end(const struct grant_party *party, const struct grant_policy *policy,
                     const struct grant_world *world, struct policy_end *out)
{
	const struct grant_peer *peer;
	const struct grant_group *group;

	switch (party->kind) {
	case GRANT_PEER:
		out->kind = POLICY_END_PEER;
		peer = grant_world_peer(world, party->name);
		out->number = peer ? peer->number : 0;
		return peer != NULL;
	case GRANT_GROUP:
		out->kind = POLICY_END_GROUP;
		group = grant_group_find(policy, party->name);
		out->number = group ? (uint32_t)(group - policy->groups) : 0;
		return group != NULL;
	case GRANT_ANY:
		out->kind = POLICY_END_ANY;
		return true;
	case GRANT_SUBNET:
		out->kind = POLICY_END_SUBNET;
		peer = grant_world_gateway(world, &party->subnet);
		out->number = peer ? peer->number : 0;
		out->prefix = party->subnet;
		return peer != NULL;
	case GRANT_HUB:
		out->kind = POLICY_END_HUB;
		return true;
	}
	return false;
}

/* Append the times of a grant. Returns their number; 0 for a timed grant: it never holds. */
static int make_windows(const struct grant *grant, uint64_t now_s, struct grant_compiled *out)
{
	struct grant_interval intervals[INTERVALS_MAX];
	struct policy_window *grown;
	int n = grant_intervals(grant, now_s - now_s % 60, now_s + GRANT_AHEAD_S, intervals,
	                        INTERVALS_MAX);

	if (n == -EINVAL) /* the zone is gone from this machine */
		return 0;
	if (n <= 0)
		return n;
	grown = reallocarray(out->windows, out->n_windows + (size_t)n, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	out->windows = grown;
	for (int i = 0; i < n; i++) {
		grown[out->n_windows].from_s = intervals[i].from_s;
		grown[out->n_windows++].until_s = intervals[i].until_s;
	}
	return n;
}

/* One grant into *made. Returns 1, 0 (matches nothing, left out), -errno. */
static int make_grant(const struct grant *grant, const struct grant_policy *policy,
                      const struct grant_world *world, uint64_t now_s, struct policy_range *ranges,
                      struct policy_grant *made, struct grant_compiled *out)
{
	int n = 0;

	if (!make_end(&grant->who, policy, world, &made->from)
	    || !make_end(&grant->to, policy, world, &made->to))
		return 0;
	if (grant->n_windows > 0) /* also when none of them is near enough */
		out->again_s = now_s + GRANT_AGAIN_S;
	if (grant_is_timed(grant)) {
		n = make_windows(grant, now_s, out);
		if (n <= 0)
			return n;
	}
	for (uint32_t i = 0; i < grant->n_ports; i++) {
		ranges[i].first = grant->ports[i].first;
		ranges[i].last = grant->ports[i].last;
	}
	made->id = grant->number;
	made->proto = protocols[grant->protocol];
	made->ports = grant->n_ports ? ranges : NULL;
	made->n_ports = grant->n_ports;
	made->n_windows = (uint32_t)n;
	return 1;
}

/* The hub opens what it likes to every peer and to what is behind them, which is everything that is routed to a
 * gateway: three grants, however many peers and networks there are. */
#define N_HUB_GRANTS 3U

static void make_hub_grants(struct policy_grant made[static N_HUB_GRANTS])
{
	static const uint8_t families[] = {BASE_IP_V4, BASE_IP_V6};

	memset(made, 0, N_HUB_GRANTS * sizeof(*made));
	for (uint32_t i = 0; i < N_HUB_GRANTS; i++) {
		made[i].id = GRANT_NUMBER_HUB - i;
		made[i].from.kind = POLICY_END_HUB;
		made[i].to.kind = i == 0 ? POLICY_END_ANY : POLICY_END_BEHIND;
		if (i > 0)
			made[i].to.prefix.ip.family = families[i - 1];
	}
}

/* The array of windows moved while it grew: only now do grants get their part of it. */
static void place_windows(struct grant_compiled *out, uint32_t n)
{
	size_t at = 0;

	for (uint32_t i = 0; i < n; i++) {
		out->grants[i].windows = out->grants[i].n_windows ? &out->windows[at] : NULL;
		at += out->grants[i].n_windows;
	}
}

static int make_grants(const struct grant_policy *policy, const struct grant_world *world,
                       uint64_t now_s, struct grant_compiled *out)
{
	size_t n_ranges = 0;
	uint32_t n = 0;

	for (uint32_t i = 0; i < policy->n_grants; i++)
		n_ranges += policy->grants[i].n_ports;
	out->grants = calloc(policy->n_grants + N_HUB_GRANTS, sizeof(*out->grants));
	out->ranges = calloc(n_ranges + 1, sizeof(*out->ranges));
	if (!out->grants || !out->ranges)
		return -ENOMEM;
	n_ranges = 0;
	for (uint32_t i = 0; i < policy->n_grants; i++) {
		const struct grant *grant = &policy->grants[i];
		int made;

		memset(&out->grants[n], 0, sizeof(out->grants[n]));
		made = make_grant(grant, policy, world, now_s, &out->ranges[n_ranges],
		                  &out->grants[n], out);
		if (made < 0)
			return made;
		n_ranges += grant->n_ports;
		n += (uint32_t)made;
	}
	place_windows(out, n);
	make_hub_grants(&out->grants[n]);
	n += N_HUB_GRANTS;
	out->source.grants = out->grants;
	out->source.n_grants = n;
	return 0;
}

int grant_compile(const struct grant_policy *policy, const struct grant_world *world,
                  uint64_t now_s, uint32_t generation, struct grant_compiled *out)
{
	int err;

	memset(out, 0, sizeof(*out));
	out->source.generation = generation;
	out->source.open_grant = world->is_open ? GRANT_NUMBER_OPEN : 0;
	out->again_s = UINT64_MAX;
	err = make_peers(policy, world, out);
	return err < 0 ? err : make_grants(policy, world, now_s, out);
}
