/* status and counters */
#include "base_bytes.h"
#include "base_time.h"
#include "edge.h"
#include "model_method.h"
#include "program.h"
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define WORKER_LATE_NS (1 * BASE_NS_PER_S) /* workers beat every 100 ms */

/* ---- status ------------------------------------------------------------------------------------- */

static json_t *hub_json(const struct model *model)
{
	const struct config *config = model->setup.config;
	char endpoint[MODEL_ENDPOINT_LEN];
	char text[BASE_PREFIX_STRLEN];
	json_t *addresses = json_array();
	bool known = model__hub_endpoint(config, endpoint);

	for (uint32_t i = 0; i < config->n_tunnel; i++)
		json_array_append_new(addresses,
		                      json_string(base_prefix_format(&config->tunnel[i], text)));
	return json_pack("{s:o, s:s?, s:i, s:o, s:b, s:o}", "public_key",
	                 model__key(session_public_key(model->setup.session)), "endpoint",
	                 known ? endpoint : NULL, "listen_port", (int)config->listen_port,
	                 "addresses", addresses, "peer_to_peer", config->peer_to_peer, "rotation",
	                 model__hub_rotation_json(model));
}

static json_t *worker_json(const struct program *program, uint32_t worker)
{
	struct abi_worker_status status = program_worker_status(program, worker);
	uint64_t total_ns = status.busy_ns + status.idle_ns;
	bool alive = status.heartbeat_ns != 0
	             && base_time_monotonic_ns() - status.heartbeat_ns < WORKER_LATE_NS;

	return json_pack("{s:i, s:b, s:I, s:f, s:I}", "worker", (int)worker, "alive", alive,
	                 "sessions", (json_int_t)status.n_sessions, "busy",
	                 total_ns ? (double)status.busy_ns / (double)total_ns : 0.0,
	                 "longest_loop_us", (json_int_t)(status.longest_loop_ns / BASE_NS_PER_US));
}

static json_t *port_json(const struct model *model, uint32_t port)
{
	const struct config_port *config = &model->setup.config->ports[port];
	struct abi_port_status status = program_port_status(model->setup.program, port);
	char mac[18];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", status.mac[0], status.mac[1],
	         status.mac[2], status.mac[3], status.mac[4], status.mac[5]);
	return json_pack("{s:s, s:s, s:s, s:i, s:b}", "name", config->name, "device",
	                 config->device, "mac", mac, "mtu", (int)status.mtu, "up", status.up == 1);
}

static json_t *dataplane_json(const struct model *model)
{
	const struct program *program = model->setup.program;
	json_t *workers = json_array();
	json_t *ports = json_array();

	for (uint32_t i = 0; i < model->setup.config->n_workers; i++)
		json_array_append_new(workers, worker_json(program, i));
	for (uint32_t i = 0; i < model->setup.config->n_ports; i++)
		json_array_append_new(ports, port_json(model, i));
	return json_pack("{s:i, s:b, s:b, s:o, s:o}", "pid", (int)program_dataplane_pid(program),
	                 "attached", program_is_attached(program), "ready",
	                 program_dataplane_ready(program), "workers", workers, "ports", ports);
}

static json_t *peers_json(const struct model *model)
{
	const struct peer_table *peers = model->setup.peers;
	const struct peer *peer = peer_after(peers, "");
	json_int_t active = 0;

	for (; peer; peer = peer_after(peers, peer->row.name))
		active += peer_is_active(peers, peer);
	return json_pack("{s:i, s:I, s:i}", "total", (int)peer_count(peers), "active", active,
	                 "limit", (int)model->setup.config->max_peers);
}

static json_t *policy_json(const struct model *model)
{
	return json_pack("{s:I, s:i, s:i, s:b, s:b}", "generation",
	                 (json_int_t)model->policy.generation, "groups",
	                 (int)model->policy.n_groups, "grants", (int)model->policy.n_grants,
	                 "enforced", !model->setup.config->peer_to_peer, "in_force",
	                 model->sent.is_in_force);
}

int model__status(struct model *model, const json_t *params, json_t **result,
                  struct model_error *error)
{
	int n_services = model__services_count(model);

	(void)params;
	if (n_services < 0)
		return model__refuse(error, n_services, "failed", NULL, "store: %s",
		                     store_error(model->setup.store));
	*result = json_pack("{s:s, s:o, s:{s:i, s:o}, s:o, s:o, s:o, s:o, s:{s:i}, s:{s:b}, s:o}",
	                    "version", WEIR_VERSION, "hub", hub_json(model), "control", "pid",
	                    (int)getpid(), "started_at", model__time(model->started_wall_ns),
	                    "dataplane", dataplane_json(model), "peers", peers_json(model),
	                    "policy", policy_json(model), "drift", model__drift_status(model),
	                    "services", "total", n_services, "edge", "enabled",
	                    model->setup.edge != NULL, "webhook", model__webhook_json(model));
	return 0;
}

/* ---- counters ----------------------------------------------------------------------------------- */

static void add_counter(json_t *object, const char *name, uint64_t value, bool nonzero)
{
	if (value != 0 || !nonzero)
		json_object_set_new(object, name, json_integer((json_int_t)value));
}

static json_t *edge_json(const struct edge *edge, bool nonzero)
{
	struct edge_counters counters = edge_counters(edge);
	const struct {
		const char *name;
		uint64_t value;
	} list[] = {
		{"connections", counters.connections},
		{"requests", counters.requests},
		{"redirects", counters.redirects},
		{"websockets", counters.websockets},
		{"refused_tls", counters.refused_tls},
		{"refused_host", counters.refused_host},
		{"refused_request", counters.refused_request},
		{"refused_full", counters.refused_full},
		{"upstream_failed", counters.upstream_failed},
	};
	json_t *object = json_object();

	for (size_t i = 0; i < BASE_ARRAY_LEN(list); i++)
		add_counter(object, list[i].name, list[i].value, nonzero);
	return object;
}

/* What goes up and down. */
static json_t *gauges_json(const struct model *model)
{
	return json_pack("{s:I, s:I}", "policy_drift_peers",
	                 (json_int_t)program_drift_status(model->setup.program).n_peers,
	                 "block_imports", (json_int_t)model->imports.n);
}

static json_t *control_json(const struct model *model, bool nonzero)
{
	json_t *object = json_object();

	add_counter(object, "refused_block_imports", model->imports.n_busy, nonzero);
	return object;
}

int model__counters(struct model *model, const json_t *params, json_t **result,
                    struct model_error *error)
{
	const struct program *program = model->setup.program;
	const json_t *worker = json_object_get(params, "worker");
	bool nonzero = json_is_true(json_object_get(params, "nonzero"));
	uint32_t n_workers = model->setup.config->n_workers;
	json_t *object;

	if (worker && json_integer_value(worker) >= n_workers)
		return model__refuse(error, -EINVAL, "bad_argument", "worker",
		                     "worker is %" JSON_INTEGER_FORMAT ", must be 0 to %u",
		                     json_integer_value(worker), n_workers - 1);
	object = json_object();
	for (uint32_t i = 0; i < ABI_N_COUNTERS; i++) {
		enum abi_counter counter = (enum abi_counter)i;
		uint64_t value = worker ? program_worker_counter(
					 program, (uint32_t)json_integer_value(worker), counter)
		                        : program_counter(program, counter);

		add_counter(object, abi_counter_texts[i].name, value, nonzero);
	}
	*result = json_pack("{s:o}", "counters", object);
	if (*result && !worker)
		json_object_set_new(*result, "gauges", gauges_json(model));
	if (*result && !worker)
		json_object_set_new(*result, "control", control_json(model, nonzero));
	if (*result && !worker && model->setup.edge)
		json_object_set_new(*result, "edge", edge_json(model->setup.edge, nonzero));
	return 0;
}
