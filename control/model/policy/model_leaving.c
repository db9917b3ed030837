/* What peers that go leave behind in the policy: nothing. */
#include "model_leaving.h"

#include "base_log.h"
#include "model_policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_member(const struct grant_policy *policy, char (*names)[CONFIG_NAME_LEN], uint32_t n)
{
	for (uint32_t i = 0; i < policy->n_groups; i++)
		for (uint32_t k = 0; k < n; k++)
			if (grant_group_has(&policy->groups[i], names[k]))
				return true;
	return false;
}

static int leave(struct grant_policy *policy, const char *name)
{
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < policy->n_groups; i++)
		if (grant_group_has(&policy->groups[i], name))
			err = grant_member_drop(&policy->groups[i], name);
	return err;
}

int model__leaving_begin(const struct model *model, char (*names)[CONFIG_NAME_LEN], uint32_t n,
                         struct model_leaving *out, struct model_error *error)
{
	int err;

	memset(out, 0, sizeof(*out));
	if (!is_member(&model->policy, names, n))
		return 0;
	err = model__policy_begin(model, &out->next, error);
	if (err < 0)
		return err;
	out->is_needed = true;
	for (uint32_t i = 0; err == 0 && i < n; i++)
		err = leave(&out->next, names[i]);
	out->next.generation = model->policy.generation + 1;
	return err == 0 ? 0 : model__refuse(error, err, "failed", NULL, "not enough memory");
}

int model__leaving_store(struct model *model, const struct model_leaving *leaving,
                         struct model_error *error)
{
	return leaving->is_needed ? model__policy_write(model, &leaving->next, error) : 0;
}

void model__leaving_done(struct model *model, struct model_leaving *leaving)
{
	struct grant_policy old = model->policy;

	if (!leaving->is_needed)
		return;
	model->policy = leaving->next;
	leaving->next = old;
	log_info("model", "groups changed as peers left generation=%llu",
	         (unsigned long long)model->policy.generation);
}

void model__leaving_fini(struct model_leaving *leaving)
{
	if (leaving->is_needed)
		grant_policy_fini(&leaving->next);
	leaving->is_needed = false;
}

/* For all that it asks of a model: store and policy. */
static int leave_stored(struct model *model, char (*names)[CONFIG_NAME_LEN], uint32_t n,
                        struct model_error *why)
{
	struct model_leaving leaving = {.is_needed = false};
	int err = model__policy_load(model, why);

	if (err == 0)
		err = model__leaving_begin(model, names, n, &leaving, why);
	if (err == 0)
		err = model__leaving_store(model, &leaving, why);
	if (err == 0)
		model__leaving_done(model, &leaving);
	model__leaving_fini(&leaving);
	grant_policy_fini(&model->policy);
	return err;
}

int model_peers_gone(void *store, char (*names)[CONFIG_NAME_LEN], uint32_t n, char *error,
                     size_t error_len)
{
	struct model_error why = {.text = "not enough memory"};
	struct model *model = calloc(1, sizeof(*model));
	int err = -ENOMEM;

	if (model) {
		model->setup.store = store;
		err = leave_stored(model, names, n, &why);
	}
	free(model);
	if (err < 0)
		snprintf(error, error_len, "policy: %s", why.text);
	return err;
}
