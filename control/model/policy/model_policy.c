/* The one way in which the policy changes: copied, checked against the peers and against the session that
 * asks for it, compiled, stored, put in the place of the old one. */
#include "model_policy.h"

#include "base_log.h"
#include "base_time.h"
#include "grant_decide.h"
#include "model_table.h"

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

json_t *model__page_rows(const struct grant_policy *policy, const struct model_page *page,
                         uint32_t n, model_name_fn *name, model_row_fn *row, const char **next)
{
	json_t *array = json_array();
	uint32_t i = 0;

	while (i < n && strcmp(name(policy, i), page->cursor) <= 0)
		i++;
	for (; i < n && json_array_size(array) < page->limit; i++)
		if (json_array_append_new(array, row(policy, i)) < 0)
			break;
	*next = i < n && i > 0 ? name(policy, i - 1) : NULL;
	return array;
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
	out->world.is_open = config->peer_to_peer;
	if (grant_world_begin(&out->world) < 0) {
		model__world_fini(out);
		return model__refuse(error, -ENOMEM, "failed", NULL, "not enough memory");
	}
	return 0;
}

void model__world_fini(struct model_world *world)
{
	grant_world_end(&world->world);
	free(world->peers);
	memset(world, 0, sizeof(*world));
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
		new->grants[i].used_s = was ? was->used_s : 0;
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

int model__session_peer(const struct model *model, const json_t *params,
                        char peer[static CONFIG_NAME_LEN], struct model_error *error)
{
	const char *session = json_string_value(json_object_get(params, "session"));
	struct grant_packet packet = {.port = 0};
	char client[BASE_IP_STRLEN];
	struct model_world world;
	int err;

	peer[0] = '\0';
	if (!session || json_is_true(json_object_get(params, "force")))
		return 0;
	err = model__world_init(model, &world, error);
	if (err < 0)
		return err;
	if (session_read(session, &world.world, &packet, client))
		snprintf(peer, CONFIG_NAME_LEN, "%s", packet.from.peer->name);
	model__world_fini(&world);
	return 0;
}

int model__session_refuse(const char *peer, const json_t *params, struct model_error *error)
{
	const char *session = json_string_value(json_object_get(params, "session"));

	return model__refuse(error, -EPERM, "locked_out", NULL,
	                     "this would end the session that it comes from: peer \"%s\" "
	                     "(%.*s); do it from elsewhere, or use --force",
	                     peer, (int)strcspn(session, " "), session);
}

int model__session_keep(const struct model *model, const char *peer, const json_t *params,
                        struct model_error *error)
{
	char holder[CONFIG_NAME_LEN];
	int err = model__session_peer(model, params, holder, error);

	if (err < 0 || strcmp(holder, peer) != 0)
		return err;
	return model__session_refuse(peer, params, error);
}

int model__policy_judge(const struct model *model, const struct grant_policy *next,
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

/* Put it in the place of the old one, which next becomes. What cannot be enforced is not stored. */
static int replace(struct model *model, struct grant_policy *next, struct model_error *error)
{
	struct model_table table = {.blob = NULL};
	struct grant_policy old = model->policy;
	int err = model__table_make(model, next, &table, error);

	if (err == 0)
		err = model__policy_store(model, next, error);
	if (err == 0) {
		model->policy = *next;
		*next = old;
		model__table_send(model, &table);
		log_info("model", "policy changed generation=%llu grants=%u groups=%u",
		         (unsigned long long)model->policy.generation, model->policy.n_grants,
		         model->policy.n_groups);
	}
	model__table_fini(&table);
	return err;
}

/* All that a change would be refused for, and what it would do. */
static int try(struct model *model, const struct grant_policy *next, json_t **result,
               struct model_error *error)
{
	struct model_table table = {.blob = NULL};
	int err = model__table_make(model, next, &table, error);

	model__table_fini(&table);
	if (err == 0)
		err = model__policy_plan_json(model, next, result, error);
	if (err == 0 && *result)
		json_object_set_new(*result, "dry_run", json_true());
	return err;
}

int model__policy_change(struct model *model, struct grant_policy *next, const json_t *params,
                         json_t **result, struct model_error *error)
{
	struct grant_error why = {0};
	bool dry_run = json_is_true(json_object_get(params, "dry_run"));
	int err = model__policy_judge(model, next, params, &why, error);

	if (err == 0 && (dry_run || differs(&model->policy, next))) {
		number_all(&model->policy, next);
		next->generation = model->policy.generation + 1;
		err = dry_run ? try(model, next, result, error) : replace(model, next, error);
	}
	grant_policy_fini(next);
	return err;
}
