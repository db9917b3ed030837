/* A model over real peers and a real store, with a session, a program and an edge that only remember; one for
 * each test, in a directory of its own. Include once in a test file. */
#ifndef MODEL_LAB_H
#define MODEL_LAB_H

#include "base_bytes.h"
#include "base_time.h"
#include "fakes.h"
#include "hub_key.h"
#include "model.h"
#include "model_method.h"
#include "store_lab.h"
#include "watch.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY_A "8EeP+06S/GKqpp7AMWjqFScBgEhnWkUwmtQOjV1iO2A="

static struct config config;
static struct peer_table *peers;
static struct hub_key *hub;
static struct model *model;
static int edge_dummy;
static bool is_watched; /* to be set before start() */
static struct watch *watch;
/* Who takes the drop lists, to be set before start(). */
static int (*block_taker)(void *arg, const void *table, size_t len, uint64_t generation);

/* What the workers would have. */
static struct {
	void *table;
	size_t len;
	uint32_t n_sets;
	int err;
} workers;

static int policy_set(void *arg, const void *table, size_t len)
{
	(void)arg;
	if (workers.err < 0)
		return workers.err;
	free(workers.table);
	workers.table = aligned_alloc(64, (len + 63) / 64 * 64);
	assert_non_null(workers.table);
	memcpy(workers.table, table, len);
	workers.len = len;
	workers.n_sets++;
	return 0;
}

/* The peers of the store and the file; -errno when they do not come up, and error_text says why. */
static int try_peers(void)
{
	struct peer_setup setup = {.base = base,
	                           .store = store,
	                           .config = &config,
	                           .store_gone = model_peers_gone,
	                           .store_gone_arg = store};

	peers = NULL;
	return peer_table_create(&setup, &peers, error_text, sizeof(error_text));
}

static void start(bool with_edge)
{
	struct hub_key_setup hub_key_setup = {.config = &config, .file_public_key = fake_hub_key};
	struct model_setup setup = {.config = &config};

	memset(&fake, 0, sizeof(fake));
	store_lab_open();
	if (try_peers() < 0)
		fail_msg("%s", error_text);
	hub_key_setup.base = base;
	hub_key_setup.store = store;
	if (hub_key_create(&hub_key_setup, &hub) < 0)
		fail_msg("the hub's key");
	setup.hub_key = hub;
	setup.base = base;
	setup.store = store;
	setup.peers = peers;
	setup.policy_set = policy_set;
	setup.block_set = block_taker;
	if (is_watched
	    && watch_create(&(struct watch_setup){.base = base, .peers = peers, .n_peers = 16},
	                    &watch)
	               < 0)
		fail_msg("no memory");
	setup.watch = watch;
	setup.edge = with_edge ? (struct edge *)(void *)&edge_dummy : NULL;
	if (model_create(&setup, &model, error_text, sizeof(error_text)) < 0)
		fail_msg("%s", error_text);
}

static void stop(void)
{
	model_destroy(model);
	watch_destroy(watch);
	watch = NULL;
	is_watched = false;
	hub_key_destroy(hub);
	peer_table_destroy(peers);
	store_lab_close();
}

/* Until peers that came or went are in the workers' table. */
static inline void wait_for_table(void)
{
	while (model->table_waits)
		event_base_loop(base, EVLOOP_ONCE);
}

/* Call with params as JSON text; the result, owned by the caller. */
static json_t *call(const char *method, const char *params_text)
{
	json_t *params = json_loads(params_text, 0, NULL);
	json_t *result = NULL;
	json_t *error = NULL;

	assert_non_null(params);
	if (model_call(model, method, params, &result, &error) < 0)
		fail_msg("%s %s: %s", method, params_text,
		         json_string_value(json_object_get(error, "message")));
	assert_null(error);
	json_decref(params);
	return result;
}

static inline void call_ok(const char *method, const char *params_text)
{
	json_decref(call(method, params_text));
}

static inline void call_refused(const char *method, const char *params_text, const char *code,
                                const char *field, const char *message)
{
	json_t *params = json_loads(params_text, JSON_DECODE_ANY, NULL);
	json_t *result = NULL;
	json_t *error = NULL;
	const char *read_field;

	assert_non_null(params);
	assert_true(model_call(model, method, params, &result, &error) < 0);
	assert_null(result);
	assert_string_equal(json_string_value(json_object_get(error, "message")), message);
	assert_string_equal(json_string_value(json_object_get(error, "code")), code);
	read_field = json_string_value(json_object_get(error, "field"));
	assert_string_equal(read_field ? read_field : "", field);
	json_decref(error);
	json_decref(params);
}

/* Whether peer is a member of group. */
static inline bool is_in_group(const char *group, const char *peer)
{
	char params[100];
	json_t *result;
	json_t *member;
	size_t i;
	bool found = false;

	snprintf(params, sizeof(params), "{\"name\": \"%s\"}", group);
	result = call("group.show", params);
	json_array_foreach(json_object_get(json_object_get(result, "group"), "members"), i, member)
		found = found || strcmp(json_string_value(member), peer) == 0;
	json_decref(result);
	return found;
}

static inline const char *config_of(const json_t *result)
{
	return json_string_value(json_object_get(result, "config"));
}

static int set_up(void **state)
{
	(void)state;
	if (store_dir_make() < 0)
		return -1;
	store_lab_config(&config);
	strcpy(config.endpoint, "vpn.example.org:51820");
	config.listen_port = 51820;
	config.tunnel_mtu = 1420;
	config.n_workers = 1;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return store_dir_remove();
}

#endif
