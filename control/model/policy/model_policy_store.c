/* The policy in the store: a row a group or grant, each as the text that people write. */
#include "base_log.h"
#include "grant_text.h"
#include "model_policy.h"
#include "store_policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- from the store ----------------------------------------------------------------------------- */

/* The rows as one text: groups, then grants, as they come. */
struct rows {
	FILE *out;
	const char *kind;
};

static int collect_text(void *arg, const struct store_policy_row *row)
{
	struct rows *rows = arg;
	bool first = !rows->kind || strcmp(rows->kind, row->kind) != 0;

	if (first)
		fprintf(rows->out, "%s%ss: (\n", rows->kind ? ");\n" : "", row->kind);
	rows->kind = strcmp(row->kind, STORE_POLICY_GROUP) == 0 ? STORE_POLICY_GROUP
	                                                        : STORE_POLICY_GRANT;
	fprintf(rows->out, "%s%s", first ? "" : ",\n", row->text);
	return 0;
}

/* What the text does not say. */
static int collect_numbers(void *arg, const struct store_policy_row *row)
{
	struct grant_policy *policy = arg;
	struct grant_group *group = strcmp(row->kind, STORE_POLICY_GROUP) == 0
	                                    ? grant_group_find(policy, row->name)
	                                    : NULL;
	struct grant *grant = group ? NULL : grant_find(policy, row->name);

	if (group)
		group->created_wall_ns = row->created_wall_ns;
	if (grant) {
		grant->number = row->number;
		grant->created_wall_ns = row->created_wall_ns;
		grant->used_s = row->used_s;
	}
	return group || grant ? 0 : -EUCLEAN;
}

static int read_stored(struct model *model, const char *text, struct model_error *error)
{
	struct store_policy_state state;
	struct grant_error why;
	int err = grant_read(text, &model->policy, &why);

	if (err < 0)
		return model__refuse(error, err, "failed", NULL, "store: policy, line %d: %s",
		                     why.line, why.text);
	err = store_policy_each(model->setup.store, collect_numbers, &model->policy);
	if (err == 0)
		err = store_policy_state_get(model->setup.store, &state);
	if (err < 0)
		return model__refuse(error, err, "failed", NULL, "store: %s",
		                     store_error(model->setup.store));
	model->policy.generation = state.generation;
	model->policy.next_number = state.next_number;
	return 0;
}

int model__policy_load(struct model *model, struct model_error *error)
{
	char *text = NULL;
	size_t len = 0;
	struct rows rows = {.out = open_memstream(&text, &len)};
	int err;

	grant_policy_init(&model->policy);
	if (!rows.out)
		return model__refuse(error, -ENOMEM, "failed", NULL, "not enough memory");
	err = store_policy_each(model->setup.store, collect_text, &rows);
	if (err < 0)
		model__refuse(error, err, "failed", NULL, "store: %s",
		              store_error(model->setup.store));
	fputs(rows.kind ? ");\n" : "", rows.out);
	if (fclose(rows.out) != 0 && err == 0)
		err = model__refuse(error, -ENOMEM, "failed", NULL, "not enough memory");
	if (err == 0)
		err = read_stored(model, text, error);
	free(text);
	return err;
}

/* ---- to the store ------------------------------------------------------------------------------- */

static int put_row(struct store *store, const struct grant_group *group, const struct grant *grant)
{
	struct store_policy_row row = {
		.kind = group ? STORE_POLICY_GROUP : STORE_POLICY_GRANT,
		.name = group ? group->name : grant->name,
		.number = group ? 0 : grant->number,
		.created_wall_ns = group ? group->created_wall_ns : grant->created_wall_ns,
	};
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int err = -ENOMEM;

	if (out) {
		if (group)
			grant_write_group(group, out);
		else
			grant_write_one(grant, out);
		err = fclose(out) == 0 ? 0 : -ENOMEM;
	}
	row.text = text;
	if (err == 0)
		err = store_policy_put(store, &row);
	free(text);
	return err;
}

/* The difference between the two, inside a transaction. */
static int store_difference(struct store *store, const struct grant_policy *old,
                            const struct grant_policy *new)
{
	const struct store_policy_state state = {.generation = new->generation,
	                                         .next_number = new->next_number};
	int err = store_policy_state_put(store, &state);

	for (uint32_t i = 0; i < old->n_groups && err == 0; i++)
		if (!grant_group_find(new, old->groups[i].name))
			err = store_policy_drop(store, STORE_POLICY_GROUP, old->groups[i].name);
	for (uint32_t i = 0; i < old->n_grants && err == 0; i++)
		if (!grant_find(new, old->grants[i].name))
			err = store_policy_drop(store, STORE_POLICY_GRANT, old->grants[i].name);
	for (uint32_t i = 0; i < new->n_groups &&err == 0; i++) {
		const struct grant_group *was = grant_group_find(old, new->groups[i].name);

		if (!was || !grant_group_equal(was, &new->groups[i]))
			err = put_row(store, &new->groups[i], NULL);
	}
	for (uint32_t i = 0; i < new->n_grants &&err == 0; i++) {
		const struct grant *was = grant_find(old, new->grants[i].name);

		if (!was || !grant_equal(was, &new->grants[i]))
			err = put_row(store, NULL, &new->grants[i]);
	}
	return err;
}

int model__policy_write(struct model *model, const struct grant_policy *next,
                        struct model_error *error)
{
	struct store *store = model->setup.store;
	int err = store_difference(store, &model->policy, next);

	if (err < 0)
		model__refuse(error, err, "failed", NULL, "store: %s", store_error(store));
	return err;
}

int model__policy_store(struct model *model, const struct grant_policy *next,
                        struct model_error *error)
{
	struct store *store = model->setup.store;
	int err = store_begin(store);

	if (err == 0) {
		err = store_difference(store, &model->policy, next);
		if (err == 0)
			err = store_end(store, true);
		else if (store_end(store, false) < 0)
			log_err("model", "change not undone: %s", store_error(store));
	}
	if (err < 0)
		model__refuse(error, err, "failed", NULL, "store: %s", store_error(store));
	return err;
}
