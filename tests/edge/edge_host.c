/* Runs the edge alone, for tests: services on the command line, certificates made here, orders on
 * stdin, one line of answer each on stdout.
 *
 *   edge_host [--https A:P] [--http A:P] [--threads N] [--certs DIR] [--limit NAME=N]... SERVICE...
 *
 * SERVICE is name=host=address:port. Orders: "set SERVICE...", "counters", "quit". Certificates
 * are written to DIR/HOST.pem without their keys. End of stdin quits too. */
#include "base_bytes.h"
#include "base_log.h"
#include "edge.h"
#include "tls_certificate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SERVICES_MAX 64

struct host {
	struct edge_setup setup;
	struct base_endpoint https;
	struct base_endpoint http;
	const char *certs;
	struct edge_service services[SERVICES_MAX];
	char *pems[SERVICES_MAX];
	size_t n;
	struct edge *edge;
};

static int fail(const char *what, const char *value)
{
	fprintf(stderr, "edge_host: %s \"%s\"\n", what, value);
	return -EINVAL;
}

static int service_parse(const char *text, struct edge_service *out)
{
	const char *host = strchr(text, '=');
	const char *target = host != NULL ? strchr(host + 1, '=') : NULL;

	if (target == NULL)
		return fail("not name=host=address:port:", text);
	memset(out, 0, sizeof(*out));
	snprintf(out->name, sizeof(out->name), "%.*s", (int)(host - text), text);
	snprintf(out->host, sizeof(out->host), "%.*s", (int)(target - host - 1), host + 1);
	return base_endpoint_parse(target + 1, &out->target);
}

static int certificate_save(const struct host *host, const char *name, const char *pem)
{
	char path[512];
	char *public = NULL;
	FILE *file;
	int err = tls_certificate_public(pem, &public);

	if (err != 0)
		return err;
	snprintf(path, sizeof(path), "%s/%s.pem", host->certs, name);
	file = fopen(path, "w");
	if (file == NULL || fputs(public, file) < 0 || fclose(file) != 0)
		err = fail("cannot write", path);
	free(public);
	return err;
}

static void services_clear(struct host *host)
{
	for (size_t i = 0; i < host->n; i++)
		tls_pem_free(host->pems[i]);
	host->n = 0;
}

static int service_add(struct host *host, const char *text)
{
	struct edge_service *service = &host->services[host->n];
	char error[256];
	int err;

	if (host->n == SERVICES_MAX)
		return fail("too many services at", text);
	err = service_parse(text, service);
	if (err != 0)
		return err;
	err = tls_certificate_make(service->host, time(NULL), &host->pems[host->n], error,
	                           sizeof(error));
	if (err != 0)
		return fail(error, text);
	host->n++;
	return 0;
}

static int services_apply(struct host *host)
{
	const char *pems[SERVICES_MAX];
	int err;

	for (size_t i = 0; i < host->n; i++)
		pems[i] = host->pems[i];
	err = edge_services_set(host->edge, host->services, pems, host->n);
	for (size_t i = 0; i < host->n && err == 0 && host->certs != NULL; i++)
		err = certificate_save(host, host->services[i].host, host->pems[i]);
	return err;
}

static int limit_set(struct edge_limits *limits, const char *text)
{
	const struct {
		const char *name;
		uint32_t *value;
	} known[] = {
		{"handshake", &limits->handshake_ms}, {"head", &limits->head_ms},
		{"keepalive", &limits->keepalive_ms}, {"connect", &limits->connect_ms},
		{"response", &limits->response_ms},   {"stall", &limits->stall_ms},
		{"stream", &limits->stream_ms},       {"connections", &limits->connections},
	};

	for (size_t i = 0; i < BASE_ARRAY_LEN(known); i++) {
		size_t len = strlen(known[i].name);

		if (strncmp(text, known[i].name, len) != 0 || text[len] != '=')
			continue;
		*known[i].value = (uint32_t)strtoul(text + len + 1, NULL, 10);
		return 0;
	}
	return fail("unknown limit", text);
}

static int option_read(struct host *host, const char *name, const char *value)
{
	if (value == NULL)
		return fail("value missing after", name);
	if (strcmp(name, "--https") == 0) {
		host->setup.https = &host->https;
		host->setup.n_https = 1;
		return base_endpoint_parse(value, &host->https);
	}
	if (strcmp(name, "--http") == 0) {
		host->setup.http = &host->http;
		host->setup.n_http = 1;
		return base_endpoint_parse(value, &host->http);
	}
	if (strcmp(name, "--threads") == 0) {
		host->setup.n_threads = (uint32_t)strtoul(value, NULL, 10);
		return 0;
	}
	if (strcmp(name, "--certs") == 0) {
		host->certs = value;
		return 0;
	}
	if (strcmp(name, "--limit") == 0)
		return limit_set(&host->setup.limits, value);
	return fail("unknown option", name);
}

static void counters_print(const struct edge *edge)
{
	struct edge_counters c = edge_counters(edge);

	printf("connections=%" PRIu64 " requests=%" PRIu64 " redirects=%" PRIu64
	       " refused_tls=%" PRIu64 " refused_host=%" PRIu64 " refused_request=%" PRIu64
	       " refused_full=%" PRIu64 " upstream_failed=%" PRIu64 " websockets=%" PRIu64 "\n",
	       c.connections, c.requests, c.redirects, c.refused_tls, c.refused_host,
	       c.refused_request, c.refused_full, c.upstream_failed, c.websockets);
}

static void services_order(struct host *host, char *list)
{
	char *save = NULL;
	int err = 0;

	services_clear(host);
	for (char *word = strtok_r(list, " ", &save); word != NULL && err == 0;
	     word = strtok_r(NULL, " ", &save))
		err = service_add(host, word);
	if (err == 0)
		err = services_apply(host);
	printf("%d\n", err);
}

static void orders_run(struct host *host)
{
	char line[4096];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (strcmp(line, "quit") == 0)
			return;
		if (strcmp(line, "counters") == 0)
			counters_print(host->edge);
		else if (strncmp(line, "set", 3) == 0)
			services_order(host, line + 3);
		else
			printf("unknown order\n");
	}
}

static int host_start(struct host *host, char **argv)
{
	char error[256];
	int err = 0;

	host->setup.n_threads = 1;
	for (; *argv != NULL && err == 0; argv++) {
		if (strncmp(*argv, "--", 2) == 0) {
			err = option_read(host, argv[0], argv[1]);
			argv++;
		} else {
			err = service_add(host, *argv);
		}
	}
	if (err != 0)
		return err;
	err = edge_create(&host->setup, &host->edge, error, sizeof(error));
	if (err != 0)
		return fail("refused:", error);
	return services_apply(host);
}

int main(int argc, char **argv)
{
	static struct host host;
	int err;

	(void)argc;
	base_log_init("edge_host", BASE_LOG_INFO);
	setvbuf(stdout, NULL, _IOLBF, 0);
	err = host_start(&host, argv + 1);
	if (err == 0) {
		printf("ready\n");
		orders_run(&host);
	}
	edge_destroy(host.edge);
	services_clear(&host);
	return err == 0 ? 0 : 1;
}
