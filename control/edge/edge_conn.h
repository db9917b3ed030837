/* A client's connection and, while a request is served, the connection to its backend.
 *
 * A backend connection carries one request. Reuse would save a round trip through the tunnel, but
 * a response could then be taken for another request's, and a request sent on a connection that
 * the backend is just closing would have to be repeated, which only some may be.
 *
 * Life: HANDSHAKE -> (HEAD -> EXCHANGE)* -> [TUNNEL ->] DRAIN -> gone. Everything is driven by
 * edge_conn_run(), which looks at what the streams hold and does what can be done; it does not
 * matter which event came. */
#ifndef EDGE_CONN_H
#define EDGE_CONN_H

#include "edge_body.h"
#include "edge_head.h"
#include "edge_page.h"
#include "edge_stream.h"
#include "edge_thread.h"

enum edge_phase {
	EDGE_PHASE_HANDSHAKE = 0,
	EDGE_PHASE_HEAD,     /* between requests, or a head is arriving */
	EDGE_PHASE_EXCHANGE, /* request going up, response coming down */
	EDGE_PHASE_TUNNEL,   /* bytes both ways after 101 */
	EDGE_PHASE_DRAIN,    /* last bytes to the client, then its end is awaited for a moment */
	EDGE_PHASE_GONE,     /* to be closed at once, whatever is not sent yet */
};

struct edge_conn {
	struct edge_thread *thread;
	struct edge_conn *next;
	struct edge_conn **link; /* who points at us */
	struct edge_stream client;
	struct edge_stream backend;
	enum edge_phase phase;
	uint64_t phase_ns;    /* when the phase began */
	uint64_t progress_ns; /* when anything was last sent or received */
	bool is_tls;
	bool has_served;   /* a request was read */
	bool is_lingering; /* DRAIN: everything is sent */
	char client_ip[BASE_IP_STRLEN];
	struct edge_service service; /* as found when the request (or the SNI) came */

	/* HEAD */
	bool head_begun;  /* its first byte is here */
	size_t head_seen; /* bytes in which no end of head was found */

	/* EXCHANGE */
	char request_id[EDGE_REQUEST_ID_LEN];
	bool is_head_method;
	uint8_t client_minor;
	bool keep_alive;
	bool wants_upgrade;
	bool up_done;
	bool head_done; /* the response's head went to the client */
	uint32_t n_interim;
	struct edge_body up;
	struct edge_body down;
};

/* Take over an accepted socket. */
void edge_conn_accept(struct edge_thread *thread, int fd, bool is_tls,
                      const struct base_ip *client);

/* Do what can be done. Frees conn when it ends. */
void edge_conn_run(struct edge_conn *conn);
/* End a connection whose time is up. */
void edge_conn_expire(struct edge_conn *conn, uint64_t now_ns);
/* End it now. */
void edge_conn_destroy(struct edge_conn *conn);

/* tls_select_fn of the front context; arg is the connection. */
SSL_CTX *edge_conn_select(void *arg, const char *host);

/* For edge_exchange.c. */
/* edge_stream_fn of both streams; arg is the connection. */
void edge_conn__progress(void *arg);
/* No delay, and dead peers are found. */
void edge_conn__socket_tune(int fd);
void edge_conn__phase(struct edge_conn *conn, enum edge_phase phase);
/* Answer with a page of our own and end the connection behind it. */
void edge_conn__refuse(struct edge_conn *conn, int status, const char *location);

/* edge_exchange.c: begin serving a request whose head was read, take a step (true = take another),
 * take a step of the tunnel, and time out. */
void edge_exchange_begin(struct edge_conn *conn, const struct edge_head *head);
bool edge_exchange_step(struct edge_conn *conn);
void edge_tunnel_step(struct edge_conn *conn);
void edge_tunnel_client_lost(struct edge_conn *conn);
void edge_exchange_expire(struct edge_conn *conn, uint64_t now_ns);

#endif
