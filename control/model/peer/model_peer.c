/* peer.add, peer.list, peer.show, peer.remove, peer.config */
#include "model_peer.h"

#include "base_bytes.h"
#include "base_log.h"
#include "base_text.h"
#include "base_time.h"
#include "model_alarm.h"
#include "model_leaving.h"
#include "model_limit.h"
#include "model_policy.h"
#include "model_table.h"
#include "peer_name.h"
#include "program.h"
#include "session.h"
#include "wg_key.h"

#include <sodium.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LIMIT_DEFAULT 100

/* ---- one peer as JSON --------------------------------------------------------------------------- */

static json_t *addresses_json(const struct store_peer *row)
{
	char text[BASE_IP_STRLEN];
	json_t *array = json_array();

	for (uint32_t i = 0; i < row->n_addresses; i++)
		json_array_append_new(array, json_string(base_ip_format(&row->addresses[i], text)));
	return array;
}

static json_t *allowed_ips_json(const struct store_peer *row)
{
	char text[BASE_PREFIX_STRLEN];
	json_t *array = json_array();

	for (uint32_t i = 0; i < row->n_allowed_ips; i++)
		json_array_append_new(array,
		                      json_string(base_prefix_format(&row->allowed_ips[i], text)));
	return array;
}

static json_t *declared_json(const struct model *model, const struct peer *peer)
{
	if (!peer->row.declared)
		return json_null();
	return json_sprintf("%s:%d", model->setup.config->path, peer->line);
}

/* Monotonic to wall clock; 0 stays 0. */
static uint64_t wall_of(uint64_t monotonic_ns)
{
	return monotonic_ns == 0 ? 0
	                         : base_time_wall_ns() - (base_time_monotonic_ns() - monotonic_ns);
}

static json_t *handshake_age_json(const struct model *model, const struct peer *peer)
{
	struct peer_handshake handshake = peer_handshake(model->setup.peers, peer);

	return handshake.wall_ns == 0
	               ? json_null()
	               : json_integer((json_int_t)(handshake.age_ns / BASE_NS_PER_S));
}

/* How its endpoint is looked up, and what that brought last. */
static json_t *endpoint_name_json(const struct peer *peer)
{
	const struct peer_name *name = peer->name;
	char text[BASE_HOST_PORT_STRLEN], ip[BASE_IP_STRLEN];
	json_t *array;

	if (!name)
		return json_null();
	array = json_array();
	for (uint32_t i = 0; i < name->is.n_answer; i++)
		json_array_append_new(array, json_string(base_ip_format(&name->is.answer[i], ip)));
	return json_pack("{s:s, s:o, s:o, s:I, s:I, s:s?}", "name",
	                 base_host_port_format(&name->is.name, text), "addresses", array,
	                 "resolved_at", model__time(name->is.resolved_wall_ns), "failures",
	                 (json_int_t)name->n_failed, "all_failures", (json_int_t)name->n_failures,
	                 "error", name->n_failed > 0 ? name->error : NULL);
}

json_t *model__peer_json(const struct model *model, const struct peer *peer)
{
	const struct store_peer *row = &peer->row;
	struct store_peer_state state = peer_state(model->setup.peers, peer);
	struct abi_peer_counters counters = program_peer_counters(model->setup.program, row->id);
	bool active = peer_is_active(model->setup.peers, peer);

	return json_pack(
		"{s:s, s:b, s:o, s:b, s:o, s:o, s:b, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:b,"
		" s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:b, s:o, s:o}",
		"name", row->name, "enabled", !row->disabled, "public_key",
		model__key(row->public_key), "preshared_key", row->has_preshared_key, "addresses",
		addresses_json(row), "allowed_ips", allowed_ips_json(row), "whole_subnet",
		row->whole_subnet, "client_keepalive", (int)row->client_keepalive_s, "keepalive",
		(int)row->keepalive_s, "declared_at", declared_json(model, peer), "created_at",
		model__time(row->created_wall_ns), "endpoint", model__endpoint(&state.endpoint),
		"last_handshake_at", model__time(state.last_handshake_wall_ns), "last_seen_at",
		model__time(wall_of(counters.last_rx_ns)), "active", active, "rx_bytes",
		(json_int_t)counters.rx_bytes, "tx_bytes", (json_int_t)counters.tx_bytes,
		"rx_packets", (json_int_t)counters.rx_packets, "tx_packets",
		(json_int_t)counters.tx_packets, "drops", (json_int_t)counters.drops, "limits",
		model__limits_json(model, peer), "rotation", model__rotation_json(peer),
		"handshake_age", handshake_age_json(model, peer), "expected_up",
		row->expected_wall_ns != 0, "alarm", model__alarm_json(model, peer),
		"endpoint_name", endpoint_name_json(peer));
}

const struct peer *model__peer_find(const struct model *model, const json_t *params,
                                    struct model_error *error)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	const struct peer *peer = peer_find(model->setup.peers, name);

	if (!peer)
		model__refuse(error, -ENOENT, "not_found", "name", "name: no peer is called \"%s\"",
		              name);
	return peer;
}

/* ---- add ---------------------------------------------------------------------------------------- */

/* Keys of a peer that is being added; wiped at the end. */
struct keys {
	bool has_private;
	bool has_preshared;
	uint8_t private_key[32];
	uint8_t public_key[32];
	uint8_t preshared_key[32];
};

static int keys_make(const json_t *params, struct keys *keys)
{
	const char *public_key = json_string_value(json_object_get(params, "public_key"));

	if (!json_is_true(json_object_get(params, "no_preshared_key"))) {
		keys->has_preshared = true;
		randombytes_buf(keys->preshared_key, sizeof(keys->preshared_key));
	}
	if (public_key)
		return base_key_from_base64(keys->public_key, public_key);
	keys->has_private = true;
	randombytes_buf(keys->private_key, sizeof(keys->private_key));
	wg_key_clamp(keys->private_key);
	wg_key_public(keys->public_key, keys->private_key);
	return 0;
}

uint32_t model__prefixes_read(const json_t *array, struct base_prefix *out)
{
	uint32_t n = 0;

	for (size_t i = 0; i < json_array_size(array) && n < MODEL_NETWORKS_MAX; i++)
		if (base_prefix_parse(json_string_value(json_array_get(array, i)), &out[n]) == 0)
			n++;
	return n;
}

/* A service that was stored before its peer finds it now. The peer is there either way. */
void model__services_again(struct model *model)
{
	struct model_error why = {0};

	if (model__services_publish(model, &why) < 0)
		log_err("model", "services not published: %s", why.text);
}

static int kill_switch_make(const struct model *model, const json_t *params, char *buf, size_t size,
                            struct model_error *error)
{
	enum model_kill_switch kind = MODEL_KILL_SWITCH_NONE;

	if (json_is_true(json_object_get(params, "kill_switch")))
		kind = MODEL_KILL_SWITCH_UP;
	if (json_is_true(json_object_get(params, "kill_switch_persist")))
		kind = MODEL_KILL_SWITCH_PERSIST;
	return model__kill_switch(model->setup.config, kind, buf, size, error);
}

static struct peer_client client_read(const json_t *params)
{
	const json_t *keepalive = json_object_get(params, "client_keepalive");
	struct peer_client client = {
		.whole_subnet = json_is_true(json_object_get(params, "whole_subnet")),
		.keepalive_s = PEER_CLIENT_KEEPALIVE_S,
	};

	if (keepalive)
		client.keepalive_s = (uint16_t)json_integer_value(keepalive);
	return client;
}

int model__peer_add(struct model *model, const json_t *params, json_t **result,
                    struct model_error *error)
{
	struct base_prefix ips[MODEL_NETWORKS_MAX];
	struct keys keys = {0};
	struct peer_request request = {
		.name = json_string_value(json_object_get(params, "name")),
		.public_key = keys.public_key,
		.ips = ips,
		.n_ips = model__prefixes_read(json_object_get(params, "allowed_ips"), ips),
		.keepalive_s = (uint16_t)json_integer_value(json_object_get(params, "keepalive")),
		.is_gateway = json_is_true(json_object_get(params, "gateway")),
		.client = client_read(params),
		.expected_up = model__switch(json_object_get(params, "expected_up")),
	};
	struct peer_error why = {0};
	const char *endpoint = json_string_value(json_object_get(params, "endpoint"));
	char kill_switch[MODEL_KILL_SWITCH_LEN];
	struct model_quick quick = {.kill_switch = kill_switch};
	int err = kill_switch_make(model, params, kill_switch, sizeof(kill_switch), error);

	if (err == 0 && endpoint) /* checked by model__check() before */
		err = model__endpoint_parse(endpoint, &request.endpoint);
	if (err < 0)
		return err;
	model__table_settle(model);
	err = keys_make(params, &keys);
	if (err == 0) {
		request.preshared_key = keys.has_preshared ? keys.preshared_key : NULL;
		err = peer_add(model->setup.peers, &request, &quick.peer, &why);
		if (err < 0)
			model__refuse_peer(error, err, &why);
	}
	if (err == 0) {
		model__services_again(model);
		model__table_peer(model, quick.peer->row.id, quick.peer);
		quick.private_key = keys.has_private ? keys.private_key : NULL;
		quick.preshared_key = request.preshared_key;
		*result = json_pack("{s:o, s:o}", "peer", model__peer_json(model, quick.peer),
		                    "config", model__quick(model, &quick));
	}
	base_wipe(&keys, sizeof(keys));
	return err;
}

/* ---- the others --------------------------------------------------------------------------------- */

int model__peer_list(struct model *model, const json_t *params, json_t **result,
                     struct model_error *error)
{
	const json_t *limit_arg = json_object_get(params, "limit");
	const char *cursor = json_string_value(json_object_get(params, "cursor"));
	json_int_t limit = limit_arg ? json_integer_value(limit_arg) : LIMIT_DEFAULT;
	const struct peer *peer = peer_after(model->setup.peers, cursor ? cursor : "");
	const char *last = NULL;
	json_t *array = json_array();

	(void)error;
	for (; peer && limit > 0; limit--) {
		json_array_append_new(array, model__peer_json(model, peer));
		last = peer->row.name;
		peer = peer_after(model->setup.peers, last);
	}
	*result = json_pack("{s:o, s:s?}", "peers", array, "next", peer ? last : NULL);
	return 0;
}

int model__peer_show(struct model *model, const json_t *params, json_t **result,
                     struct model_error *error)
{
	const struct peer *peer = model__peer_find(model, params, error);

	if (!peer)
		return -ENOENT;
	*result = json_pack("{s:o}", "peer", model__peer_json(model, peer));
	return 0;
}

/* In the transaction in which a peer is removed. */
struct removing {
	struct model *model;
	struct model_leaving leaving;
};

static int store_leaving(void *arg, struct peer_error *error)
{
	struct removing *removing = arg;
	struct model_error why = {0};
	int err = model__leaving_store(removing->model, &removing->leaving, &why);

	if (err < 0) {
		error->code = "failed";
		error->field = NULL;
		snprintf(error->text, sizeof(error->text), "%.*s", (int)sizeof(error->text) - 1,
		         why.text);
	}
	return err;
}

static int remove_from_groups_too(struct model *model, const char *name, struct model_error *error)
{
	struct removing removing = {.model = model};
	const struct peer_also also = {.store = store_leaving, .arg = &removing};
	char names[1][CONFIG_NAME_LEN];
	struct peer_error why = {0};
	int err;

	snprintf(names[0], sizeof(names[0]), "%s", name);
	err = model__leaving_begin(model, names, 1, &removing.leaving, error);
	if (err == 0) {
		err = peer_remove(model->setup.peers, name, &also, &why);
		if (err < 0)
			model__refuse_peer(error, err, &why);
		else
			model__leaving_done(model, &removing.leaving);
	}
	model__leaving_fini(&removing.leaving);
	return err;
}

/* What was granted to it, or leads to it, must not be the next one's. */
static int refuse_needed(struct model *model, const struct peer *peer, struct model_error *error)
{
	const struct store_peer *row = &peer->row;
	char service[CONFIG_NAME_LEN];
	const struct grant *grant;
	int err = model__services_of_peer(model, row->name, service);

	if (err < 0)
		return model__refuse(error, err, "failed", NULL, "store: %s",
		                     store_error(model->setup.store));
	if (err == 1)
		return model__refuse(error, -EBUSY, "in_use", "name",
		                     "name: service \"%s\" points to peer \"%s\"; remove the "
		                     "service first",
		                     service, row->name);
	grant = grant_naming(&model->policy, GRANT_PEER, row->name);
	if (grant)
		return model__refuse(error, -EBUSY, "in_use", "name",
		                     "name: grant \"%s\" names peer \"%s\"; remove the grant "
		                     "first",
		                     grant->name, row->name);
	return model__networks_spare(model, "name", row->allowed_ips, row->n_allowed_ips, error);
}

int model__peer_remove(struct model *model, const json_t *params, json_t **result,
                       struct model_error *error)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	const struct peer *peer = model__peer_find(model, params, error);
	uint32_t id;
	int err;

	if (!peer)
		return -ENOENT;
	id = peer->row.id;
	err = model__session_keep(model, name, params, error);
	if (err == 0)
		err = refuse_needed(model, peer, error);
	if (err == 0)
		err = remove_from_groups_too(model, name, error);
	if (err < 0)
		return err;
	model__table_peer(model, id, NULL);
	*result = json_pack("{s:s}", "name", name);
	return 0;
}

int model__peer_config(struct model *model, const json_t *params, json_t **result,
                       struct model_error *error)
{
	char kill_switch[MODEL_KILL_SWITCH_LEN];
	struct model_quick quick = {.peer = model__peer_find(model, params, error),
	                            .kill_switch = kill_switch};
	const struct peer_client client = client_read(params);
	struct peer_error why = {0};
	int err;

	if (!quick.peer)
		return -ENOENT;
	err = kill_switch_make(model, params, kill_switch, sizeof(kill_switch), error);
	if (err < 0)
		return err;
	err = peer_client_set(model->setup.peers, quick.peer->row.name, &client, &why);
	if (err < 0)
		return model__refuse_peer(error, err, &why);
	*result = json_pack("{s:o}", "config", model__quick(model, &quick));
	return 0;
}
