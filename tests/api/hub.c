/* A control process without packets: configuration, store, peers, model and control socket are the
 * real ones; session, program and edge only remember. For tests/api, which drives it over its socket
 * and through the weir command, without any privilege.
 *
 * usage: api_hub weir.conf   (uses control.run_dir and control.store of it) */
#include "base_bytes.h"
#include "base_log.h"
#include "base_time.h"
#include "config.h"
#include "fakes.h"
#include "hook.h"
#include "hub_key.h"
#include "model.h"
#include "peer.h"
#include "serve.h"
#include "store.h"
#include "watch.h"
#include "watch_flow.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int edge_dummy;

/* Nobody enforces anything here, but the model is told that somebody does. */
static int policy_set(void *arg, const void *table, size_t len)
{
	(void)arg;
	(void)table;
	(void)len;
	return 0;
}

/* As if every worker had taken it at once. arg: where the model is, NULL until it is made. */
static int block_set(void *arg, const void *table, size_t len, uint64_t generation)
{
	struct model *const *model = arg;

	(void)table;
	(void)len;
	if (*model)
		model_block_done(*model, generation, 0, NULL);
	return 0;
}

static int fail(const char *error)
{
	fprintf(stderr, "api_hub: %s\n", error);
	return EXIT_FAILURE;
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	(void)number;
	(void)what;
	event_base_loopbreak(arg);
}

/* Three drops of the peer with number 0, of which two are shown, and one of nobody's. */
static void drops_make(struct watch *watch)
{
	static const struct program_drops drops[] = {
		{.reason = ABI_COUNTER_DROP_INNER_SOURCE, .count = 2},
		{.worker = 1, .reason = ABI_COUNTER_DROP_INNER_SOURCE, .count = 1},
		{.place = 1, .peer = ABI_PEER_NONE, .reason = ABI_COUNTER_DROP_AUTH, .count = 7},
	};
	struct abi_report_drop drop = {
		.time_ns = base_time_monotonic_ns(),
		.count = 1,
		.reason = ABI_COUNTER_DROP_INNER_SOURCE,
		.len = 60,
		.sport = 50000,
		.dport = 443,
		.proto = 6,
		.has_ports = 1,
		.place = UINT32_MAX,
	};

	memcpy(fake.drops, drops, sizeof(drops));
	fake.n_drops = BASE_ARRAY_LEN(drops);
	if (base_ip_parse("10.77.0.2", &drop.source) < 0
	    || base_ip_parse("10.77.0.9", &drop.destination) < 0)
		abort();
	watch_drop_in(watch, 0, &drop);
	drop.count = 2;
	drop.dport = 22;
	watch_drop_in(watch, 0, &drop);
	drop.peer = ABI_PEER_NONE;
	drop.reason = ABI_COUNTER_DROP_AUTH;
	drop.flags = ABI_DROP_OUTER;
	watch_drop_in(watch, 0, &drop);
}

/* The answer of two workers, a part with each time that somebody looks: a flow that branch (number 0) has
 * opened to the hub, one of the hub's own, and at the other worker one more than is told. */
static void flows_make(void *arg)
{
	static uint64_t told;
	static uint64_t token;
	struct watch *watch = arg;
	struct abi_report_flow flow = {
		.token = fake.flows_asked.token,
		.to_peer = ABI_PEER_HUB,
		.sport = 50000,
		.dport = 443,
		.proto = 6,
		.state = 3,
		.grant = 1,
		.silent_s = 7,
	};

	if (fake.flows_asked.token == 0)
		return;
	told = token == fake.flows_asked.token ? told + 1 : 0;
	token = fake.flows_asked.token;
	if (base_ip_parse("10.77.0.2", &flow.source) < 0
	    || base_ip_parse("10.77.0.1", &flow.destination) < 0)
		abort();
	if (told == 1) {
		watch_flow_in(watch, 0, &flow);
		flow.token--; /* an answer to an earlier question */
		watch_flow_in(watch, 0, &flow);
	}
	if (told == 2) {
		flow.peer = ABI_PEER_HUB;
		flow.to_peer = 0;
		flow.proto = 1;
		flow.state = 8;
		flow.grant = UINT32_MAX - 1;
		flow.silent_s = 0;
		watch_flow_in(watch, 1, &flow);
		watch_flows_end_in(watch, 1,
		                   &(struct abi_report_flows_end){.token = token, .n_flows = 2});
	}
	if (told == 3)
		watch_flows_end_in(watch, 0,
		                   &(struct abi_report_flows_end){.token = token, .n_flows = 1});
}

/* What a worker sees of each capture: as much as it puts in at once. */
static void packets_make(void)
{
	static struct abi_capture_packet packets[] = {
		{.peer = 0, .way = ABI_CAPTURE_FROM_PEER, .len = 100},
		{.peer = 0, .way = ABI_CAPTURE_TO_PEER, .len = 61},
		{.peer = ABI_PEER_NONE,
	         .way = ABI_CAPTURE_DROPPED,
	         .reason = ABI_COUNTER_DROP_AUTH,
	         .len = 28},
	};

	for (size_t i = 0; i < BASE_ARRAY_LEN(packets); i++)
		packets[i].time_ns = base_time_monotonic_ns();
	fake.captured = packets;
	fake.n_captured = BASE_ARRAY_LEN(packets);
}

int main(int argc, char **argv)
{
	struct event_base *base = event_base_new();
	struct event *end = evsignal_new(base, SIGTERM, on_signal, base);
	struct config *config = NULL;
	struct store *store = NULL;
	struct peer_table *peers = NULL;
	struct model *model = NULL;
	struct serve *serve = NULL;
	char error[512] = "not enough memory";
	char path[256];
	int fd;

	base_log_init("api_hub", BASE_LOG_ERR);
	signal(SIGPIPE, SIG_IGN);
	if (argc != 2 || config_load(argv[1], &config, error, sizeof(error)) < 0)
		return fail(error);
	snprintf(path, sizeof(path), "%s/control.sock", config->run_dir);
	fd = serve_listen(path, error, sizeof(error));
	if (fd < 0)
		return fail(error);
	if (store_open(config->store, (uid_t)-1, (gid_t)-1, &store, error, sizeof(error)) < 0)
		return fail(error);

	struct peer_setup peer_setup = {
		.base = base,
		.store = store,
		.config = config,
		.store_gone = model_peers_gone,
		.store_gone_arg = store,
	};

	if (peer_table_create(&peer_setup, &peers, error, sizeof(error)) < 0)
		return fail(error);
	fake.ready = true;

	struct watch_setup watch_setup = {
		.base = base, .peers = peers, .n_peers = config->max_peers};
	struct watch *watch = NULL;

	if (watch_create(&watch_setup, &watch) < 0)
		return fail(error);
	drops_make(watch);
	packets_make();
	fake.reports_take = flows_make;
	fake.reports_arg = watch;

	struct hub_key *hub_key = NULL;
	const struct hub_key_setup hub_key_setup = {
		.base = base,
		.store = store,
		.config = config,
		.file_public_key = fake_hub_key,
	};

	if (hub_key_create(&hub_key_setup, &hub_key) < 0)
		return fail("hub's key");

	struct hook *hook = NULL;
	char *ca = NULL;

	if (config->webhook_ca[0] != '\0' && hook_ca_read(config->webhook_ca, &ca) < 0)
		return fail("webhook's certificates");
	if (config->webhook[0] != '\0'
	    && hook_create(
		       &(struct hook_setup){.url = config->webhook, .ca_pem = ca, .retry_ms = 100},
		       &hook)
	               < 0)
		return fail("webhook");

	struct model_setup setup = {
		.base = base,
		.hook = hook,
		.hub_key = hub_key,
		.config = config,
		.store = store,
		.peers = peers,
		.watch = watch,
		.policy_set = policy_set,
		.policy_arg = &model,
		.block_set = block_set,
		.edge = config->n_https > 0 ? (struct edge *)(void *)&edge_dummy : NULL,
	};

	if (model_create(&setup, &model, error, sizeof(error)) < 0
	    || serve_create(base, fd, model, &serve) < 0 || event_add(end, NULL) < 0)
		return fail(error);
	puts("listening");
	fflush(stdout);
	event_base_dispatch(base);
	serve_destroy(serve);
	model_destroy(model);
	hook_destroy(hook);
	free(ca);
	watch_destroy(watch);
	hub_key_destroy(hub_key);
	peer_table_destroy(peers);
	store_close(store);
	config_unload(config);
	event_free(end);
	event_base_free(base);
	return EXIT_SUCCESS;
}
