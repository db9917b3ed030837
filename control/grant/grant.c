/* The policy as a value: life, look-up, changes. */
#include "grant.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int grant_refuse(struct grant_error *error, int err, const char *code, const char *field,
                 const char *format, ...)
{
	va_list args;

	error->code = code;
	error->field = field;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return err;
}

/* ---- life --------------------------------------------------------------------------------------- */

void grant_policy_init(struct grant_policy *policy)
{
	memset(policy, 0, sizeof(*policy));
	policy->next_number = 1;
}

void grant_policy_fini(struct grant_policy *policy)
{
	for (uint32_t i = 0; i < policy->n_groups; i++)
		free(policy->groups[i].members);
	free(policy->groups);
	free(policy->grants);
	grant_policy_init(policy);
}

/* Arrays grow by so many elements: a policy of 10,000 grants is 12 MB, and must not move with each. */
#define GROW 64

/* Room for one element more behind n: items as they are, or elsewhere, or NULL. */
static void *grow(void *items, size_t n, size_t size)
{
	return n % GROW == 0 ? reallocarray(items, n + GROW, size) : items;
}

/* A copy of n elements with the room that grow() relies on, or NULL. */
static void *copy(const void *from, size_t n, size_t size)
{
	void *to = reallocarray(NULL, (n / GROW + 1) * GROW, size);

	if (to && n > 0)
		memcpy(to, from, n * size);
	return to;
}

int grant_policy_clone(const struct grant_policy *policy, struct grant_policy *out)
{
	*out = *policy;
	out->n_groups = 0;
	out->groups = copy(policy->groups, policy->n_groups, sizeof(*policy->groups));
	out->grants = copy(policy->grants, policy->n_grants, sizeof(*policy->grants));
	if (!out->groups || !out->grants)
		goto fail;
	for (uint32_t i = 0; i < policy->n_groups; i++) {
		struct grant_group *group = &out->groups[i];

		group->members = copy(group->members, group->n_members, sizeof(*group->members));
		if (!group->members)
			goto fail;
		out->n_groups++;
	}
	return 0;
fail:
	grant_policy_fini(out);
	return -ENOMEM;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Both structs begin with their name. */
_Static_assert(offsetof(struct grant, name) == 0, "sorted by name");
_Static_assert(offsetof(struct grant_group, name) == 0, "sorted by name");

int grant_policy_sort(struct grant_policy *policy, struct grant_error *error)
{
	if (policy->n_groups > 0) /* qsort() takes no NULL */
		qsort(policy->groups, policy->n_groups, sizeof(*policy->groups), compare_names);
	if (policy->n_grants > 0)
		qsort(policy->grants, policy->n_grants, sizeof(*policy->grants), compare_names);
	for (uint32_t i = 1; i < policy->n_groups; i++) {
		const struct grant_group *twins = &policy->groups[i - 1];

		if (strcmp(twins[0].name, twins[1].name) != 0)
			continue;
		error->line = twins[0].line > twins[1].line ? twins[0].line : twins[1].line;
		return grant_refuse(error, -EEXIST, "exists", "name",
		                    "name: group \"%s\" exists already", twins->name);
	}
	for (uint32_t i = 1; i < policy->n_grants; i++) {
		const struct grant *twins = &policy->grants[i - 1];

		if (strcmp(twins[0].name, twins[1].name) != 0)
			continue;
		error->line = twins[0].line > twins[1].line ? twins[0].line : twins[1].line;
		return grant_refuse(error, -EEXIST, "exists", "name",
		                    "name: grant \"%s\" exists already", twins->name);
	}
	return 0;
}

/* ---- look-up ------------------------------------------------------------------------------------ */

/* bsearch() takes no NULL array. */
static void *find(const char *name, const void *array, size_t n, size_t size)
{
	return n ? bsearch(name, array, n, size, compare_names) : NULL;
}

struct grant *grant_find(const struct grant_policy *policy, const char *name)
{
	return find(name, policy->grants, policy->n_grants, sizeof(*policy->grants));
}

struct grant_group *grant_group_find(const struct grant_policy *policy, const char *name)
{
	return find(name, policy->groups, policy->n_groups, sizeof(*policy->groups));
}

bool grant_group_has(const struct grant_group *group, const char *peer)
{
	return find(peer, group->members, group->n_members, sizeof(*group->members)) != NULL;
}

const struct grant *grant_naming(const struct grant_policy *policy, enum grant_party_kind kind,
                                 const char *name)
{
	for (uint32_t i = 0; i < policy->n_grants; i++) {
		const struct grant *grant = &policy->grants[i];

		if ((grant->who.kind == kind && strcmp(grant->who.name, name) == 0)
		    || (grant->to.kind == kind && strcmp(grant->to.name, name) == 0))
			return grant;
	}
	return NULL;
}

/* ---- changes ------------------------------------------------------------------------------------ */

int grant_append(struct grant_policy *policy, const struct grant *grant)
{
	struct grant *grown;

	if (policy->n_grants == GRANT_GRANTS_MAX)
		return -ENOSPC;
	grown = grow(policy->grants, policy->n_grants, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	policy->grants = grown;
	grown[policy->n_grants++] = *grant;
	return 0;
}

int grant_group_append(struct grant_policy *policy, const char *name, const char *comment,
                       uint64_t created_wall_ns)
{
	struct grant_group group = {.created_wall_ns = created_wall_ns};
	struct grant_group *grown;

	if (policy->n_groups == GRANT_GROUPS_MAX)
		return -ENOSPC;
	snprintf(group.name, sizeof(group.name), "%s", name);
	snprintf(group.comment, sizeof(group.comment), "%s", comment);
	grown = grow(policy->groups, policy->n_groups, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	policy->groups = grown;
	grown[policy->n_groups++] = group;
	return 0;
}

void grant_drop(struct grant_policy *policy, struct grant *grant)
{
	size_t behind = (size_t)(policy->grants + policy->n_grants - (grant + 1));

	memmove(grant, grant + 1, behind * sizeof(*grant));
	policy->n_grants--;
}

void grant_group_drop(struct grant_policy *policy, struct grant_group *group)
{
	size_t behind = (size_t)(policy->groups + policy->n_groups - (group + 1));

	free(group->members);
	memmove(group, group + 1, behind * sizeof(*group));
	policy->n_groups--;
}

int grant_member_add(struct grant_group *group, const char *peer)
{
	char(*grown)[CONFIG_NAME_LEN];
	uint32_t i = group->n_members;

	if (grant_group_has(group, peer))
		return -EEXIST;
	if (i == GRANT_MEMBERS_MAX)
		return -ENOSPC;
	grown = reallocarray(group->members, (size_t)i + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	group->members = grown;
	for (; i > 0 && strcmp(grown[i - 1], peer) > 0; i--)
		memcpy(grown[i], grown[i - 1], sizeof(*grown));
	snprintf(grown[i], sizeof(*grown), "%s", peer);
	group->n_members++;
	return 0;
}

int grant_member_drop(struct grant_group *group, const char *peer)
{
	for (uint32_t i = 0; i < group->n_members; i++) {
		if (strcmp(group->members[i], peer) != 0)
			continue;
		group->n_members--;
		memmove(group->members[i], group->members[i + 1],
		        (group->n_members - i) * sizeof(*group->members));
		return 0;
	}
	return -ENOENT;
}

/* ---- equality ----------------------------------------------------------------------------------- */

static bool party_equal(const struct grant_party *a, const struct grant_party *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == GRANT_SUBNET)
		return base_prefix_equal(&a->subnet, &b->subnet);
	return strcmp(a->name, b->name) == 0;
}

static bool windows_equal(const struct grant *a, const struct grant *b)
{
	if (a->n_windows != b->n_windows)
		return false;
	for (uint32_t i = 0; i < a->n_windows; i++) {
		const struct grant_window *x = &a->windows[i];
		const struct grant_window *y = &b->windows[i];

		if (x->days != y->days || x->from_min != y->from_min || x->until_min != y->until_min
		    || strcmp(x->zone, y->zone) != 0)
			return false;
	}
	return true;
}

bool grant_equal(const struct grant *a, const struct grant *b)
{
	return strcmp(a->name, b->name) == 0 && party_equal(&a->who, &b->who)
	       && party_equal(&a->to, &b->to) && a->protocol == b->protocol
	       && a->n_ports == b->n_ports
	       && memcmp(a->ports, b->ports, a->n_ports * sizeof(*a->ports)) == 0
	       && a->from_s == b->from_s && a->until_s == b->until_s && windows_equal(a, b)
	       && strcmp(a->comment, b->comment) == 0 && strcmp(a->author, b->author) == 0;
}

bool grant_group_equal(const struct grant_group *a, const struct grant_group *b)
{
	if (strcmp(a->name, b->name) != 0 || strcmp(a->comment, b->comment) != 0
	    || a->n_members != b->n_members)
		return false;
	for (uint32_t i = 0; i < a->n_members; i++)
		if (strcmp(a->members[i], b->members[i]) != 0)
			return false;
	return true;
}
