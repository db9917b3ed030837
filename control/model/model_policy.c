/* The policy's life: loaded, changed as a whole, written to the store; and as text: policy.export,
 * policy.check, policy.plan, policy.apply. */
#include "model_policy.h"

#include "base_log.h"
#include "base_time.h"
#include "grant_decide.h"
#include "grant_text.h"
#include "model_table.h"
#include "store_policy.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_DEFAULT 100

int model__refuse_grant(struct model_error *error, int err, const struct grant_error *why)
{
	return model__refuse(error, err, why->code, why->field, "%s", why->text);
}

struct model_page model__page(const json_t *params)
{
	const json_t *limit = json_object_get(params, "limit");
	const char *cursor = json_string_value(json_object_get(params, "cursor"));
	struct model_page page = {.cursor = cursor ? cursor : "", .limit = LIMIT_DEFAULT};

	if (limit)
		page.limit = (size_t)json_integer_value(limit);
	return page;
}

/* ---- the peers ---------------------------------------------------------------------------------- */

int model__world_init(const struct model *model, struct model_world *out, struct model_error *error)
{
	const struct config *config = model->setup.config;
	uint32_t n = peer_count(model->setup.peers);
	const struct peer *peer = peer_after(model->setup.peers, "");

	memset(out, 0, sizeof(*out));
	out->peers = calloc((size_t)n + 1, sizeof(*out->peers));
	if (!out->peers)
		return model__refuse(error, -ENOMEM, "failed", NULL, "not enough memory");
	for (uint32_t i = 0; peer && i < n; i++) {
		out->peers[i] = (struct grant_peer){
			.name = peer->row.name,
			.number = peer->row.id,
			.addresses = peer->row.addresses,
			.n_addresses = peer->row.n_addresses,
			.subnets = peer->row.allowed_ips,
			.n_subnets = peer->row.n_allowed_ips,
		};
		peer = peer_after(model->setup.peers, peer->row.name);
	}
	out->world.peers = out->peers;
	out->world.n_peers = n;
	for (uint32_t i = 0; i < config->n_tunnel; i++)
		out->world.hub[i] = config->tunnel[i].ip;
	out->world.n_hub = config->n_tunnel;
	return 0;
}

void model__world_fini(struct model_world *world)
{
	free(world->peers);
	memset(world, 0, sizeof(*world));
}

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

static int store_policy(const struct model *model, const struct grant_policy *next,
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

/* ---- a change ----------------------------------------------------------------------------------- */

int model__policy_begin(const struct model *model, struct grant_policy *next,
                        struct model_error *error)
{
	int err = grant_policy_clone(&model->policy, next);

	return err == 0 ? 0 : model__refuse(error, err, "failed", NULL, "not enough memory");
}

/* Numbers and times of making: those of the same name before, or new ones. */
static void number_all(const struct grant_policy *old, struct grant_policy *new)
{
	uint64_t now_ns = base_time_wall_ns();

	new->next_number = old->next_number;
	for (uint32_t i = 0; i < new->n_groups; i++) {
		const struct grant_group *was = grant_group_find(old, new->groups[i].name);

		new->groups[i].created_wall_ns = was ? was->created_wall_ns : now_ns;
	}
	for (uint32_t i = 0; i < new->n_grants; i++) {
		const struct grant *was = grant_find(old, new->grants[i].name);

		new->grants[i].number = was ? was->number : new->next_number++;
		new->grants[i].created_wall_ns = was ? was->created_wall_ns : now_ns;
	}
}

/* "10.10.0.7 50000 10.10.0.1 22": the peer's address and port, then the hub's, as ssh tells its
 * children. False when it does not come through the tunnel. */
static bool session_read(const char *text, const struct grant_world *world,
                         struct grant_packet *packet, char client[static BASE_IP_STRLEN])
{
	char server[BASE_IP_STRLEN];
	unsigned int port = 0;
	bool is_hub;

	if (!text || sscanf(text, "%45s %*u %45s %5u", client, server, &port) != 3
	    || port > UINT16_MAX || base_ip_parse(client, &packet->from.ip) < 0
	    || base_ip_parse(server, &packet->to.ip) < 0)
		return false;
	if (grant_world_holder(world, &packet->to.ip, &is_hub) || !is_hub)
		return false;
	packet->from.peer = grant_world_holder(world, &packet->from.ip, &is_hub);
	packet->protocol = IPPROTO_TCP;
	packet->port = (uint16_t)port;
	packet->now_s = base_time_wall_ns() / BASE_NS_PER_S;
	return packet->from.peer != NULL;
}

/* Who works on the hub through the tunnel must not cut it by mistake. */
static int check_session(const struct grant_policy *next, const struct grant_world *world,
                         const json_t *params, struct model_error *error)
{
	struct grant_packet packet = {.port = 0};
	char client[BASE_IP_STRLEN];
	bool allowed;

	if (json_is_true(json_object_get(params, "force"))
	    || !session_read(json_string_value(json_object_get(params, "session")), world, &packet,
	                     client))
		return 0;
	grant_decide(next, world, &packet, &allowed);
	if (allowed)
		return 0;
	return model__refuse(error, -EPERM, "locked_out", NULL,
	                     "this policy would end the session that it comes from: peer \"%s\" "
	                     "(%s) on port %u of the hub; grant that, or use --force",
	                     packet.from.peer->name, client, packet.port);
}

/* Check a policy that is to come. */
static int check_next(const struct model *model, const struct grant_policy *next,
                      const json_t *params, struct grant_error *why, struct model_error *error)
{
	struct model_world world;
	int err = model__world_init(model, &world, error);

	if (err < 0)
		return err;
	err = grant_check(next, &model->policy, &world.world, why);
	if (err < 0)
		model__refuse_grant(error, err, why);
	else
		err = check_session(next, &world.world, params, error);
	model__world_fini(&world);
	return err;
}

static bool differs(const struct grant_policy *old, const struct grant_policy *new)
{
	if (old->n_groups != new->n_groups || old->n_grants != new->n_grants)
		return true;
	for (uint32_t i = 0; i < new->n_groups; i++)
		if (!grant_group_equal(&old->groups[i], &new->groups[i]))
			return true;
	for (uint32_t i = 0; i < new->n_grants; i++)
		if (!grant_equal(&old->grants[i], &new->grants[i]))
			return true;
	return false;
}

int model__policy_change(struct model *model, struct grant_policy *next, const json_t *params,
                         struct model_error *error)
{
	struct grant_error why = {0};
	struct model_table table = {.blob = NULL};
	int err = check_next(model, next, params, &why, error);

	if (err == 0 && differs(&model->policy, next)) {
		number_all(&model->policy, next);
		next->generation = model->policy.generation + 1;
		/* What cannot be enforced is not stored. */
		err = model__table_make(model, next, &table, error);
		if (err == 0)
			err = store_policy(model, next, error);
		if (err == 0) {
			struct grant_policy old = model->policy;

			model->policy = *next;
			*next = old;
			model__table_send(model, &table);
			log_info("model", "policy changed generation=%llu grants=%u groups=%u",
			         (unsigned long long)model->policy.generation,
			         model->policy.n_grants, model->policy.n_groups);
		}
	}
	model__table_fini(&table);
	grant_policy_fini(next);
	return err;
}

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

/* Text that write puts out, as JSON. */
static json_t *text_json(FILE *out, char **text)
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
	                    "policy", text_json(out, &text));
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
		err = check_next(model, next, params, &why, error);
		if (err < 0)
			grant_policy_fini(next);
		if (err < 0 && why.text[0] == '\0')
			return err; /* not the text's fault */
	}
	if (err < 0)
		model__refuse(error, err, why.code, NULL, "%s:%d: %s", name, why.line, why.text);
	return err;
}

/* Generation, difference and findings of a policy that is to come. */
static int plan_json(struct model *model, const struct grant_policy *next, json_t **result,
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
	                    "difference", text_json(out, &text), "findings", findings);
	return 0;
}

int model__policy_plan(struct model *model, const json_t *params, json_t **result,
                       struct model_error *error)
{
	struct grant_policy next;
	int err = read_text(model, params, &next, error);

	if (err < 0)
		return err;
	err = plan_json(model, &next, result, error);
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
	err = plan_json(model, &next, result, error);
	if (err == 0)
		err = model__policy_change(model, &next, params, error);
	else
		grant_policy_fini(&next);
	if (err == 0 && *result)
		json_object_set_new(*result, "generation",
		                    json_integer((json_int_t)model->policy.generation));
	return err;
}
