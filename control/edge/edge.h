/* The published services: HTTPS listeners, HTTP/1.1 reverse proxy by Host, redirect on port 80.
 * Threads of its own, each with its own event base and SO_REUSEPORT listeners; the route table is
 * an immutable snapshot that threads swap by pointer. */
#ifndef EDGE_H
#define EDGE_H

#include "base_ip.h"

#include <stddef.h>
#include <stdint.h>

#define EDGE_THREADS_MAX     64
#define EDGE_CONNECTIONS_MAX 4096 /* of clients, on one thread, unless limits say otherwise */

struct edge;

struct edge_service {
	char name[64];
	char host[256];              /* lower case, no port, no trailing dot */
	struct base_endpoint target; /* address in the tunnel and port */
};

/* Times in milliseconds; 0 takes the default that is named here. */
struct edge_limits {
	uint32_t handshake_ms; /* 10000: accept to end of the TLS handshake */
	uint32_t head_ms;      /* 10000: whole request head, from its first byte */
	uint32_t keepalive_ms; /* 75000: between requests */
	uint32_t connect_ms;   /* 10000: TCP connection to a backend, then 504 */
	uint32_t response_ms;  /* 60000: no byte either way and no response head, then 504 or 408 */
	uint32_t stall_ms;     /* 300000: client takes nothing of what waits for it */
	uint32_t stream_ms;    /* 3600000: response under way, backend sends nothing */
	uint32_t connections;  /* 4096: of clients, on one thread; more are closed at once */
};

struct edge_setup {
	const struct base_endpoint *https;
	size_t n_https;
	const struct base_endpoint *http;
	size_t n_http;
	uint32_t n_threads; /* 1 to EDGE_THREADS_MAX */
	struct edge_limits limits;
	/* Listeners of the edge of a process before this one (edge_listeners()): those that are bound to
	 * an address above are used, and -1 here afterwards. */
	int *inherited;
	size_t n_inherited;
};

/* Bind every listener (call before privileges are dropped) and start the threads. Connections are accepted
 * from the first edge_services_set() on; until then they wait. error[error_len]
 * gets one line that names the address on failure. Returns 0 or -errno. */
int edge_create(const struct edge_setup *setup, struct edge **out, char *error, size_t error_len)
	__attribute__((warn_unused_result));
void edge_destroy(struct edge *edge); /* ends connections, joins the threads */

/* Replace all services at once. certificates are PEM, key and chain in one text for each service
 * (borrowed for the call). Connections under way finish on the table they began with, except that
 * those to a removed service end within 1 s. Returns 0, -EINVAL (a certificate does not load: the
 * old table stays; one line is logged), -ENOMEM. Thread: control's main. */
int edge_services_set(struct edge *edge, const struct edge_service *services,
                      const char *const *certificate_pems, size_t n)
	__attribute__((warn_unused_result));

/* For a process that takes over: the listeners, borrowed, up to fds[max]; returns how many there are. Both
 * processes may accept on them meanwhile. */
size_t edge_listeners(const struct edge *edge, int *fds, size_t max);

/* Accept no more. Requests under way are served to their end, and the next one on a connection that is kept
 * open is answered with "Connection: close"; so in the end edge_open_connections() is 0. */
void edge_drain(struct edge *edge);
uint32_t edge_open_connections(const struct edge *edge);

/* Totals for `weir counters`. */
struct edge_counters {
	uint64_t connections;
	uint64_t requests;
	uint64_t redirects;
	uint64_t refused_tls;     /* handshake failed */
	uint64_t refused_host;    /* no service has this host */
	uint64_t refused_request; /* malformed, too large or too slow */
	uint64_t refused_full;    /* more connections than a thread takes */
	uint64_t upstream_failed; /* 502 and 504 */
	uint64_t websockets;
};
struct edge_counters edge_counters(const struct edge *edge);

#endif
