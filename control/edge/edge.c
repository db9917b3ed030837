/* Setting the edge up: listeners, threads, services. */
#include "edge.h"

#include "edge_address.h"
#include "edge_conn.h"
#include "edge_thread.h"

#include <openssl/ssl.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024

struct edge {
	SSL_CTX *front;
	uint32_t n_threads;
	uint32_t n_started;
	struct edge_thread threads[];
};

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
	return value != 0 ? value : otherwise;
}

static struct edge_limits limits_fill(const struct edge_limits *given)
{
	return (struct edge_limits){
		.handshake_ms = or_default(given->handshake_ms, 10000),
		.head_ms = or_default(given->head_ms, 10000),
		.keepalive_ms = or_default(given->keepalive_ms, 75000),
		.connect_ms = or_default(given->connect_ms, 10000),
		.response_ms = or_default(given->response_ms, 60000),
		.stall_ms = or_default(given->stall_ms, 300000),
		.stream_ms = or_default(given->stream_ms, 3600000),
		.connections = or_default(given->connections, EDGE_CONNECTIONS_MAX),
	};
}

/* A socket bound to an address and, with shared, listening beside those of other threads. Returns
 * the descriptor or -errno. */
static int listener_open(const struct base_endpoint *at, bool shared)
{
	struct sockaddr_storage address;
	socklen_t len = edge_address_fill(at, &address);
	const int on = 1;
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err = fd < 0 ? -errno : 0;

	if (err == 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
		err = -errno;
	if (err == 0 && address.ss_family == AF_INET6
	    && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0)
		err = -errno;
	if (err == 0 && shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0)
		err = -errno;
	if (err == 0 && bind(fd, (struct sockaddr *)&address, len) != 0)
		err = -errno;
	if (err == 0 && shared && listen(fd, BACKLOG) != 0)
		err = -errno;
	if (err == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return err;
}

/* SO_REUSEPORT lets any process of the same user join in, also a second weir by mistake, which
 * would then get half of the connections. A socket without it finds out. */
static int address_is_free(const struct base_endpoint *at)
{
	int fd = listener_open(at, false);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static bool is_bound_to(int fd, const struct base_endpoint *at)
{
	struct sockaddr_storage address;
	struct sockaddr_storage bound = {0};
	socklen_t len = edge_address_fill(at, &address);
	socklen_t bound_len = sizeof(bound);

	if (getsockname(fd, (struct sockaddr *)&bound, &bound_len) != 0)
		return false;
	return bound_len == len && memcmp(&bound, &address, len) == 0;
}

static void listener_add(struct edge_thread *thread, int fd, bool is_tls)
{
	thread->listeners[thread->n_listeners++] = (struct edge_listener){.fd = fd,
	                                                                  .is_tls = is_tls};
}

/* All of them, for each has a queue of its own, and who waits in one that is closed is lost. Returns how many
 * there were. */
static uint32_t inherit(struct edge *edge, const struct edge_setup *setup,
                        const struct base_endpoint *at, bool is_tls)
{
	uint32_t n = 0;

	for (size_t i = 0; i < setup->n_inherited; i++) {
		if (setup->inherited[i] < 0 || !is_bound_to(setup->inherited[i], at))
			continue;
		listener_add(&edge->threads[n++ % edge->n_threads], setup->inherited[i], is_tls);
		setup->inherited[i] = -1;
	}
	return n;
}

static int endpoint_listen(struct edge *edge, const struct edge_setup *setup,
                           const struct base_endpoint *at, bool is_tls)
{
	uint32_t n = inherit(edge, setup, at, is_tls);
	int err = n == 0 ? address_is_free(at) : 0;

	for (uint32_t i = n; i < edge->n_threads && err == 0; i++) {
		int fd = listener_open(at, true);

		if (fd < 0)
			return fd;
		listener_add(&edge->threads[i], fd, is_tls);
	}
	return err;
}

static int endpoints_listen(struct edge *edge, const struct edge_setup *setup, bool is_tls,
                            char *error, size_t error_len)
{
	const struct base_endpoint *list = is_tls ? setup->https : setup->http;
	size_t n = is_tls ? setup->n_https : setup->n_http;
	char at[BASE_ENDPOINT_STRLEN];

	for (size_t i = 0; i < n; i++) {
		int err = endpoint_listen(edge, setup, &list[i], is_tls);

		if (err == 0)
			continue;
		snprintf(error, error_len, "cannot listen on %s for %s: %s",
		         base_endpoint_format(&list[i], at), is_tls ? "HTTPS" : "HTTP",
		         strerror(-err));
		return err;
	}
	return 0;
}

static int threads_init(struct edge *edge, const struct edge_setup *setup)
{
	struct edge_limits limits = limits_fill(&setup->limits);
	int err = 0;

	for (uint32_t i = 0; i < edge->n_threads; i++) {
		struct edge_thread *thread = &edge->threads[i];

		thread->front = edge->front;
		thread->limits = limits;
		thread->https_port = setup->n_https > 0 ? setup->https[0].port : 443;
	}
	for (uint32_t i = 0; i < edge->n_threads && err == 0; i++)
		err = edge_thread_init(&edge->threads[i],
		                       setup->n_https + setup->n_http + setup->n_inherited);
	return err;
}

static int threads_start(struct edge *edge)
{
	for (uint32_t i = 0; i < edge->n_threads; i++) {
		int err = edge_thread_start(&edge->threads[i], i);

		if (err != 0)
			return err;
		edge->n_started++;
	}
	return 0;
}

static int edge_set_up(struct edge *edge, const struct edge_setup *setup, char *error,
                       size_t error_len)
{
	int err = tls_front_create(edge_conn_select, &edge->front, error, error_len);

	if (err != 0)
		return err;
	err = threads_init(edge, setup);
	if (err != 0) {
		snprintf(error, error_len, "setting up the edge's threads: %s", strerror(-err));
		return err;
	}
	err = endpoints_listen(edge, setup, true, error, error_len);
	if (err == 0)
		err = endpoints_listen(edge, setup, false, error, error_len);
	if (err != 0)
		return err;
	err = threads_start(edge);
	if (err != 0)
		snprintf(error, error_len, "starting the edge's threads: %s", strerror(-err));
	return err;
}

int edge_create(const struct edge_setup *setup, struct edge **out, char *error, size_t error_len)
{
	struct edge *edge;
	int err;

	if (setup->n_threads == 0 || setup->n_threads > EDGE_THREADS_MAX) {
		snprintf(error, error_len, "edge threads are %u, must be 1 to %d", setup->n_threads,
		         EDGE_THREADS_MAX);
		return -EINVAL;
	}
	edge = calloc(1, sizeof(*edge) + setup->n_threads * sizeof(edge->threads[0]));
	if (edge == NULL) {
		snprintf(error, error_len, "out of memory");
		return -ENOMEM;
	}
	edge->n_threads = setup->n_threads;
	for (uint32_t i = 0; i < edge->n_threads; i++)
		edge->threads[i].wake_fd = -1; /* nothing to close yet */
	err = edge_set_up(edge, setup, error, error_len);
	if (err != 0) {
		edge_destroy(edge);
		return err;
	}
	*out = edge;
	return 0;
}

void edge_destroy(struct edge *edge)
{
	if (edge == NULL)
		return;
	for (uint32_t i = 0; i < edge->n_started; i++)
		edge_thread_join(&edge->threads[i]);
	for (uint32_t i = 0; i < edge->n_threads; i++)
		edge_thread_fini(&edge->threads[i]);
	SSL_CTX_free(edge->front);
	free(edge);
}

int edge_services_set(struct edge *edge, const struct edge_service *services,
                      const char *const *certificate_pems, size_t n)
{
	struct edge_table *table = NULL;
	char error[512];
	int err = edge_table_create(services, certificate_pems, n, edge->n_threads, &table, error,
	                            sizeof(error));

	if (err != 0) {
		log_err("edge", "services not changed: %s", error);
		return err;
	}
	for (uint32_t i = 0; i < edge->n_threads; i++)
		edge_thread_table_set(&edge->threads[i], table);
	return 0;
}

size_t edge_listeners(const struct edge *edge, int *fds, size_t max)
{
	size_t n = 0;

	for (uint32_t i = 0; i < edge->n_threads; i++) {
		for (size_t k = 0; k < edge->threads[i].n_listeners; k++, n++)
			if (n < max)
				fds[n] = edge->threads[i].listeners[k].fd;
	}
	return n;
}

void edge_drain(struct edge *edge)
{
	for (uint32_t i = 0; i < edge->n_threads; i++)
		edge_thread_drain(&edge->threads[i]);
}

uint32_t edge_open_connections(const struct edge *edge)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < edge->n_threads; i++)
		n += atomic_load_explicit(&edge->threads[i].n_conns, memory_order_relaxed);
	return n;
}

struct edge_counters edge_counters(const struct edge *edge)
{
	uint64_t sum[EDGE_N_COUNTERS] = {0};

	for (uint32_t i = 0; i < edge->n_threads; i++) {
		for (int c = 0; c < EDGE_N_COUNTERS; c++)
			sum[c] += atomic_load_explicit(&edge->threads[i].counters[c],
			                               memory_order_relaxed);
	}
	return (struct edge_counters){
		.connections = sum[EDGE_CONNECTIONS],
		.requests = sum[EDGE_REQUESTS],
		.redirects = sum[EDGE_REDIRECTS],
		.refused_tls = sum[EDGE_REFUSED_TLS],
		.refused_host = sum[EDGE_REFUSED_HOST],
		.refused_request = sum[EDGE_REFUSED_REQUEST],
		.refused_full = sum[EDGE_REFUSED_FULL],
		.upstream_failed = sum[EDGE_UPSTREAM_FAILED],
		.websockets = sum[EDGE_WEBSOCKETS],
	};
}
