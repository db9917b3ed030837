/* A control process without packets: configuration, store, peers, model and control socket are the
 * real ones; session, program and edge only remember. For tests/api, which drives it over its socket
 * and through the weir command, without any privilege.
 *
 * usage: api_hub weir.conf   (uses control.run_dir and control.store of it) */
#include "base_log.h"
#include "config.h"
#include "fakes.h"
#include "model.h"
#include "peer.h"
#include "serve.h"
#include "store.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static int edge_dummy;

/* Nobody enforces anything here, but the model is told that somebody does. */
static int policy_set(void *arg, const void *table, size_t len)
{
	(void)arg;
	(void)table;
	(void)len;
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

	struct peer_setup peer_setup = {.base = base, .store = store, .config = config};

	if (peer_table_create(&peer_setup, &peers, error, sizeof(error)) < 0)
		return fail(error);
	fake.ready = true;

	struct model_setup setup = {
		.base = base,
		.config = config,
		.store = store,
		.peers = peers,
		.policy_set = policy_set,
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
	peer_table_destroy(peers);
	store_close(store);
	config_unload(config);
	event_free(end);
	event_base_free(base);
	return EXIT_SUCCESS;
}
