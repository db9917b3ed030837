/* group.add, group.remove, group.list, group.show, group.member */
#include "base_time.h"
#include "model_policy.h"

#include <errno.h>
#include <string.h>

static json_t *group_json(const struct grant_policy *policy, const struct grant_group *group)
{
	json_t *members = json_array();
	json_t *grants = json_array();

	for (uint32_t i = 0; i < group->n_members; i++)
		json_array_append_new(members, json_string(group->members[i]));
	for (uint32_t i = 0; i < policy->n_grants; i++) {
		const struct grant *grant = &policy->grants[i];

		if ((grant->who.kind == GRANT_GROUP && strcmp(grant->who.name, group->name) == 0)
		    || (grant->to.kind == GRANT_GROUP && strcmp(grant->to.name, group->name) == 0))
			json_array_append_new(grants, json_string(grant->name));
	}
	return json_pack("{s:s, s:o, s:o, s:s, s:o}", "name", group->name, "members", members,
	                 "grants", grants, "comment", group->comment, "created_at",
	                 model__time(group->created_wall_ns));
}

static struct grant_group *find(const struct grant_policy *policy, const json_t *params,
                                struct model_error *error)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	struct grant_group *group = grant_group_find(policy, name);

	if (!group)
		model__refuse(error, -ENOENT, "not_found", "name",
		              "name: no group is called \"%s\"", name);
	return group;
}

/* Add or remove the names of params[key]. */
static int change_members(struct grant_group *group, const json_t *params, const char *key,
                          bool add, struct model_error *error)
{
	const json_t *array = json_object_get(params, key);

	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *peer = json_string_value(json_array_get(array, i));
		int err = add ? grant_member_add(group, peer) : grant_member_drop(group, peer);

		if (err == -EEXIST)
			return model__refuse(error, err, "exists", key,
			                     "%s has \"%s\", which is in group \"%s\" already", key,
			                     peer, group->name);
		if (err == -ENOENT)
			return model__refuse(error, err, "not_found", key,
			                     "%s has \"%s\", which is not in group \"%s\"", key,
			                     peer, group->name);
		if (err < 0)
			return model__refuse(error, err, "full", key, "%s: %s", key,
			                     err == -ENOSPC ? "the group is full"
			                                    : "not enough memory");
	}
	return 0;
}

/* End of a change: the group as it is now. */
static int finish(struct model *model, struct grant_policy *next, int err, const json_t *params,
                  json_t **result, struct model_error *error)
{
	const struct grant_group *group;

	if (err < 0) {
		grant_policy_fini(next);
		return err;
	}
	err = model__policy_change(model, next, params, result, error);
	group = err == 0 && !*result ? find(&model->policy, params, error) : NULL;
	if (group)
		*result = json_pack("{s:I, s:o}", "generation",
		                    (json_int_t)model->policy.generation, "group",
		                    group_json(&model->policy, group));
	return err;
}

int model__group_add(struct model *model, const json_t *params, json_t **result,
                     struct model_error *error)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	const char *comment = json_string_value(json_object_get(params, "comment"));
	struct grant_policy next;
	struct grant_error why = {0};
	int err = model__policy_begin(model, &next, error);

	if (err < 0)
		return err;
	err = grant_group_append(&next, name, comment ? comment : "", 0);
	if (err < 0)
		model__refuse(error, err, "full", NULL, "there are %d groups, which is the most",
		              GRANT_GROUPS_MAX);
	if (err == 0)
		err = change_members(&next.groups[next.n_groups - 1], params, "members", true,
		                     error);
	if (err == 0) {
		err = grant_policy_sort(&next, &why);
		if (err < 0)
			model__refuse_grant(error, err, &why);
	}
	return finish(model, &next, err, params, result, error);
}

int model__group_member(struct model *model, const json_t *params, json_t **result,
                        struct model_error *error)
{
	struct grant_policy next;
	struct grant_group *group;
	int err = model__policy_begin(model, &next, error);

	if (err < 0)
		return err;
	group = find(&next, params, error);
	err = group ? change_members(group, params, "remove", false, error) : -ENOENT;
	if (err == 0)
		err = change_members(group, params, "add", true, error);
	return finish(model, &next, err, params, result, error);
}

int model__group_remove(struct model *model, const json_t *params, json_t **result,
                        struct model_error *error)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	const struct grant *user;
	struct grant_policy next;
	int err;

	if (!find(&model->policy, params, error))
		return -ENOENT;
	user = grant_naming(&model->policy, GRANT_GROUP, name);
	if (user)
		return model__refuse(
			error, -EBUSY, "in_use", "name",
			"name: grant \"%s\" names group \"%s\"; remove the grant first", user->name,
			name);
	err = model__policy_begin(model, &next, error);
	if (err < 0)
		return err;
	grant_group_drop(&next, grant_group_find(&next, name));
	err = model__policy_change(model, &next, params, result, error);
	if (err == 0 && !*result)
		*result = json_pack("{s:I, s:s}", "generation",
		                    (json_int_t)model->policy.generation, "name", name);
	return err;
}

static const char *row_name(const struct grant_policy *policy, uint32_t i)
{
	return policy->groups[i].name;
}

static json_t *row(const struct grant_policy *policy, uint32_t i)
{
	return group_json(policy, &policy->groups[i]);
}

int model__group_list(struct model *model, const json_t *params, json_t **result,
                      struct model_error *error)
{
	const struct grant_policy *policy = &model->policy;
	struct model_page page = model__page(params);
	const char *next;
	json_t *array = model__page_rows(policy, &page, policy->n_groups, row_name, row, &next);

	(void)error;
	*result = json_pack("{s:o, s:s?}", "groups", array, "next", next);
	return 0;
}

int model__group_show(struct model *model, const json_t *params, json_t **result,
                      struct model_error *error)
{
	const struct grant_group *group = find(&model->policy, params, error);

	if (!group)
		return -ENOENT;
	*result = json_pack("{s:o}", "group", group_json(&model->policy, group));
	return 0;
}
