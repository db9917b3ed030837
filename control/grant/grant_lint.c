/* Findings: any-any, wide ranges, what is shadowed, doubled, over, or names what is gone. */
#include "grant_lint.h"

#include "grant_part.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct lint {
	const struct grant_policy *policy;
	const struct grant_world *world;
	uint64_t now_s;
	grant_lint_fn *fn;
	void *arg;
	uint32_t n_pairs; /* grants that are compared with all others */
};

/* Comparisons of two grants in all, about 100 ms: control has other things to do. */
#define PAIRS_MAX 10000000U

__attribute__((format(printf, 5, 6))) static int report(const struct lint *lint,
                                                        enum grant_severity severity,
                                                        const char *rule, const struct grant *grant,
                                                        const char *format, ...)
{
	struct grant_finding finding = {
		.severity = severity,
		.rule = rule,
		.kind = "grant",
		.name = grant->name,
		.line = grant->line,
	};
	va_list args;

	va_start(args, format);
	vsnprintf(finding.text, sizeof(finding.text), format, args);
	va_end(args);
	return lint->fn(lint->arg, &finding);
}

static int report_group(const struct lint *lint, enum grant_severity severity, const char *rule,
                        const struct grant_group *group, const char *text)
{
	struct grant_finding finding = {
		.severity = severity,
		.rule = rule,
		.kind = "group",
		.name = group->name,
		.line = group->line,
	};

	snprintf(finding.text, sizeof(finding.text), "%s", text);
	return lint->fn(lint->arg, &finding);
}

/* ---- one grant ---------------------------------------------------------------------------------- */

static bool is_missing(const struct lint *lint, const struct grant_party *party)
{
	switch (party->kind) {
	case GRANT_PEER:
		return !grant_world_peer(lint->world, party->name);
	case GRANT_GROUP:
		return !grant_group_find(lint->policy, party->name);
	case GRANT_SUBNET:
		return !grant_world_gateway(lint->world, &party->subnet);
	default:
		return false;
	}
}

static int lint_party(const struct lint *lint, const struct grant *grant,
                      const struct grant_party *party, const char *field)
{
	char text[GRANT_PARTY_STRLEN];
	const struct grant_group *group = party->kind == GRANT_GROUP
	                                          ? grant_group_find(lint->policy, party->name)
	                                          : NULL;

	if (is_missing(lint, party))
		return report(lint, GRANT_ERROR, "missing", grant,
		              "%s is %s, which there is not (any more): it allows nothing", field,
		              grant_party_format(party, text));
	if (group && group->n_members == 0)
		return report(lint, GRANT_WARNING, "empty-group", grant,
		              "%s is group \"%s\", which has no members: it allows nothing", field,
		              group->name);
	if (party->kind == GRANT_SUBNET
	    && party->subnet.len < (party->subnet.ip.family == BASE_IP_V4 ? 16 : 48))
		return report(lint, GRANT_WARNING, "wide-subnet", grant, "%s is %s: wide", field,
		              grant_party_format(party, text));
	return 0;
}

static int lint_ports(const struct lint *lint, const struct grant *grant)
{
	char text[GRANT_RANGE_STRLEN];

	for (uint32_t i = 0; i < grant->n_ports; i++) {
		unsigned int n = 1U + grant->ports[i].last - grant->ports[i].first;

		if (n > GRANT_WIDE_PORTS)
			return report(lint, GRANT_WARNING, "wide-range", grant,
			              "ports has %s: %u ports, more than %d",
			              grant_range_format(&grant->ports[i], text), n,
			              GRANT_WIDE_PORTS);
	}
	return 0;
}

static int lint_one(const struct lint *lint, const struct grant *grant)
{
	bool all = grant->protocol == GRANT_ANY_PROTOCOL;
	int err = lint_party(lint, grant, &grant->who, "who");

	if (err == 0)
		err = lint_party(lint, grant, &grant->to, "to");
	if (err == 0)
		err = lint_ports(lint, grant);
	if (err == 0 && grant->who.kind == GRANT_ANY && grant->to.kind == GRANT_ANY)
		err = report(lint, GRANT_WARNING, "any-any", grant,
		             all ? "every peer may reach every peer, with everything"
		                 : "every peer may reach every peer");
	if (err == 0 && grant->who.kind == GRANT_ANY && grant->to.kind == GRANT_HUB && all)
		err = report(lint, GRANT_WARNING, "any-hub", grant,
		             "every peer may reach everything that listens on the hub");
	if (err == 0 && grant->until_s != 0 && grant->until_s <= lint->now_s)
		err = report(lint, GRANT_WARNING, "over", grant,
		             "it is over since its until: it allows nothing");
	return err;
}

/* ---- two grants --------------------------------------------------------------------------------- */

/* Everything that is in b is in a. */
static bool party_covers(const struct lint *lint, const struct grant_party *a,
                         const struct grant_party *b)
{
	const struct grant_group *group;
	const struct grant_group *inner;

	if (a->kind == GRANT_ANY)
		return b->kind == GRANT_ANY || b->kind == GRANT_PEER || b->kind == GRANT_GROUP;
	if (a->kind == GRANT_SUBNET)
		return b->kind == GRANT_SUBNET && a->subnet.len <= b->subnet.len
		       && base_prefix_contains(&a->subnet, &b->subnet.ip);
	if (a->kind != GRANT_GROUP)
		return a->kind == b->kind && strcmp(a->name, b->name) == 0;
	if (b->kind != GRANT_GROUP && b->kind != GRANT_PEER)
		return false;
	if (b->kind == GRANT_GROUP && strcmp(a->name, b->name) == 0)
		return true;
	group = grant_group_find(lint->policy, a->name);
	if (!group)
		return false;
	if (b->kind == GRANT_PEER)
		return grant_group_has(group, b->name);
	inner = grant_group_find(lint->policy, b->name);
	if (!inner || inner->n_members == 0)
		return false;
	for (uint32_t i = 0; i < inner->n_members; i++)
		if (!grant_group_has(group, inner->members[i]))
			return false;
	return true;
}

static bool ports_cover(const struct grant *a, const struct grant *b)
{
	if (a->n_ports == 0)
		return true;
	for (uint32_t i = 0; i < b->n_ports; i++) {
		bool covered = false;

		for (uint32_t k = 0; k < a->n_ports && !covered; k++)
			covered = a->ports[k].first <= b->ports[i].first
			          && a->ports[k].last >= b->ports[i].last;
		if (!covered)
			return false;
	}
	return b->n_ports > 0;
}

static bool ports_meet(const struct grant *a, const struct grant *b)
{
	for (uint32_t i = 0; i < a->n_ports; i++)
		for (uint32_t k = 0; k < b->n_ports; k++)
			if (a->ports[i].first <= b->ports[k].last
			    && b->ports[k].first <= a->ports[i].last)
				return true;
	return a->n_ports == 0 || b->n_ports == 0;
}

/* a holds whenever b does; windows are compared only when a has none. */
static bool time_covers(const struct grant *a, const struct grant *b)
{
	return a->n_windows == 0 && a->from_s <= b->from_s
	       && (a->until_s == 0 || (b->until_s != 0 && b->until_s <= a->until_s));
}

static bool covers(const struct lint *lint, const struct grant *a, const struct grant *b)
{
	return (a->protocol == GRANT_ANY_PROTOCOL || a->protocol == b->protocol)
	       && time_covers(a, b) && ports_cover(a, b) && party_covers(lint, &a->to, &b->to)
	       && party_covers(lint, &a->who, &b->who);
}

static bool party_same(const struct grant_party *a, const struct grant_party *b)
{
	return a->kind == b->kind && strcmp(a->name, b->name) == 0
	       && (a->kind != GRANT_SUBNET || base_prefix_equal(&a->subnet, &b->subnet));
}

/* The first other grant that makes this one superfluous, or else the first that says a part of the
 * same for the same two. Of two that say the same, the later one is superfluous. */
static int lint_pairs(const struct lint *lint, uint32_t i)
{
	const struct grant *grant = &lint->policy->grants[i];
	const struct grant *overlap = NULL;

	for (uint32_t k = 0; k < lint->policy->n_grants; k++) {
		const struct grant *other = &lint->policy->grants[k];

		if (k == i)
			continue;
		if (covers(lint, other, grant) && (k < i || !covers(lint, grant, other)))
			return report(lint, GRANT_WARNING, "shadowed", grant,
			              "grant \"%s\" allows all that it allows", other->name);
		if (!overlap && k < i && other->protocol == grant->protocol
		    && party_same(&other->to, &grant->to) && party_same(&other->who, &grant->who)
		    && ports_meet(other, grant))
			overlap = other;
	}
	if (!overlap || covers(lint, grant, overlap))
		return 0;
	return report(lint, GRANT_INFO, "overlap", grant,
	              "grant \"%s\" allows a part of what it allows", overlap->name);
}

/* ---- all ---------------------------------------------------------------------------------------- */

static int lint_group(const struct lint *lint, const struct grant_group *group)
{
	char text[200];

	if (group->n_members == 0)
		return report_group(lint, GRANT_WARNING, "empty-group", group, "it has no members");
	for (uint32_t i = 0; i < group->n_members; i++) {
		if (grant_world_peer(lint->world, group->members[i]))
			continue;
		snprintf(text, sizeof(text), "its member \"%s\" is not there (any more)",
		         group->members[i]);
		return report_group(lint, GRANT_ERROR, "missing", group, text);
	}
	return 0;
}

int grant_lint(const struct grant_policy *policy, const struct grant_world *world, uint64_t now_s,
               grant_lint_fn *fn, void *arg)
{
	const struct lint lint = {
		.policy = policy,
		.world = world,
		.now_s = now_s,
		.fn = fn,
		.arg = arg,
		.n_pairs = policy->n_grants ? PAIRS_MAX / policy->n_grants : 0,
	};
	int err = 0;

	for (uint32_t i = 0; i < policy->n_grants && err == 0; i++) {
		err = lint_one(&lint, &policy->grants[i]);
		if (err == 0 && i < lint.n_pairs)
			err = lint_pairs(&lint, i);
		if (err == 0 && i == lint.n_pairs)
			err = report(
				&lint, GRANT_INFO, "not-compared", &policy->grants[i],
				"it and the %u behind it were not compared with others: too many "
				"grants",
				policy->n_grants - i - 1);
	}
	for (uint32_t i = 0; i < policy->n_groups && err == 0; i++)
		err = lint_group(&lint, &policy->groups[i]);
	return err;
}
