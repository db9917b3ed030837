/* The policy as text: policy.export, policy.check, policy.plan, policy.apply; and what is suspicious
 * in it. */
#include "base_time.h"
#include "grant_text.h"
#include "model_policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- findings ----------------------------------------------------------------------------------- */

struct findings {
	json_t *array;
	const char *about;
	size_t n_errors;
};

static int collect_finding(void *arg, const struct grant_finding *finding)
{
	static const char *const severities[] = {
		[GRANT_INFO] = "info", [GRANT_WARNING] = "warning", [GRANT_ERROR] = "error"};
	struct findings *findings = arg;

	if (findings->about && strcmp(findings->about, finding->name) != 0)
		return 0;
	findings->n_errors += finding->severity == GRANT_ERROR;
	return json_array_append_new(
		findings->array,
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "severity",
	                  severities[finding->severity], "rule", finding->rule, "kind",
	                  finding->kind, "name", finding->name, "text", finding->text, "line",
	                  finding->line ? json_integer(finding->line) : json_null()));
}

json_t *model__findings(const struct grant_policy *policy, const struct grant_world *world,
                        const char *about, size_t *n_errors)
{
	struct findings findings = {.array = json_array(), .about = about};
	uint64_t now_s = base_time_wall_ns() / BASE_NS_PER_S;

	if (findings.array && grant_lint(policy, world, now_s, collect_finding, &findings) != 0) {
		json_decref(findings.array);
		return NULL;
	}
	*n_errors = findings.n_errors;
	return findings.array;
}

/* ---- the whole as text -------------------------------------------------------------------------- */

json_t *model__stream_json(FILE *out, char **text)
{
	json_t *json = NULL;

	if (fclose(out) == 0)
		json = json_string(*text);
	free(*text);
	return json;
}

int model__policy_export(struct model *model, const json_t *params, json_t **result,
                         struct model_error *error)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int err;

	(void)params;
	if (!out)
		return model__refuse(error, -ENOMEM, "failed", NULL, "not enough memory");
	err = grant_write(&model->policy, out);
	*result = json_pack("{s:I, s:o}", "generation", (json_int_t)model->policy.generation,
	                    "policy", model__stream_json(out, &text));
	return err;
}

/* The text of params as a policy that could be applied; errors name file and line. */
static int read_text(struct model *model, const json_t *params, struct grant_policy *next,
                     struct model_error *error)
{
	const json_t *file = json_object_get(params, "file");
	const char *name = json_string_value(json_object_get(file, "name"));
	struct grant_error why = {0};
	int err = grant_read(json_string_value(json_object_get(file, "text")), next, &why);

	if (err == 0) {
		err = model__policy_judge(model, next, params, &why, error);
		if (err < 0)
			grant_policy_fini(next);
		if (err < 0 && why.text[0] == '\0')
			return err; /* not the text's fault */
	}
	if (err < 0)
		model__refuse(error, err, why.code, NULL, "%s:%d: %s", name, why.line, why.text);
	return err;
}

int model__policy_plan_json(struct model *model, const struct grant_policy *next, json_t **result,
                            struct model_error *error)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct grant_difference count;
	struct model_world world;
	json_t *findings;
	size_t n_errors = 0;
	int err = out ? model__world_init(model, &world, error) : -ENOMEM;

	if (err < 0) {
		if (out)
			fclose(out);
		free(text);
		return err;
	}
	count = grant_diff(&model->policy, next, out);
	findings = model__findings(next, &world.world, NULL, &n_errors);
	model__world_fini(&world);
	*result = json_pack("{s:I, s:i, s:i, s:i, s:o, s:o}", "generation",
	                    (json_int_t)model->policy.generation, "added", (int)count.n_added,
	                    "removed", (int)count.n_removed, "changed", (int)count.n_changed,
	                    "difference", model__stream_json(out, &text), "findings", findings);
	return 0;
}

int model__policy_plan(struct model *model, const json_t *params, json_t **result,
                       struct model_error *error)
{
	struct grant_policy next;
	int err = read_text(model, params, &next, error);

	if (err < 0)
		return err;
	err = model__policy_plan_json(model, &next, result, error);
	grant_policy_fini(&next);
	return err;
}

int model__policy_check(struct model *model, const json_t *params, json_t **result,
                        struct model_error *error)
{
	int err = model__policy_plan(model, params, result, error);

	if (err == 0 && *result)
		json_object_del(*result, "difference");
	return err;
}

int model__policy_apply(struct model *model, const json_t *params, json_t **result,
                        struct model_error *error)
{
	const json_t *expected = json_object_get(params, "generation");
	struct grant_policy next;
	json_t *plan = NULL;
	int err;

	if (expected && json_integer_value(expected) != (json_int_t)model->policy.generation)
		return model__refuse(error, -ESTALE, "changed", "generation",
		                     "generation is %" JSON_INTEGER_FORMAT
		                     ", but the policy has %llu by now: look at the difference "
		                     "again",
		                     json_integer_value(expected),
		                     (unsigned long long)model->policy.generation);
	err = read_text(model, params, &next, error);
	if (err < 0)
		return err;
	err = model__policy_plan_json(model, &next, &plan, error);
	if (err == 0)
		err = model__policy_change(model, &next, params, result, error);
	else
		grant_policy_fini(&next);
	if (err == 0 && plan && !*result) {
		json_object_set_new(plan, "generation",
		                    json_integer((json_int_t)model->policy.generation));
		*result = json_incref(plan);
	}
	json_decref(plan);
	return err;
}
