/* One request and its response: the backend is dialled, the request goes up and the response comes
 * down, both as they arrive and never more than a buffer ahead of the slower side. And the bytes
 * of an upgraded connection. */
#include "base_time.h"
#include "edge_address.h"
#include "edge_conn.h"
#include "edge_rewrite.h"

#include <errno.h>
#include <event2/buffer.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define INTERIM_MAX 16 /* 1xx responses before the one that counts */

static void backend_close(struct edge_conn *conn)
{
	edge_stream_close(&conn->backend);
	edge_body_fini(&conn->up);
	edge_body_fini(&conn->down);
}

static void failure_log(struct edge_conn *conn, const char *why)
{
	char target[BASE_ENDPOINT_STRLEN];
	uint32_t suppressed;

	if (!base_log_limit_pass(&conn->thread->log_limit, base_time_monotonic_ns(), &suppressed))
		return;
	log_warn("edge", "service \"%s\": backend %s: %s request=%s client=%s suppressed=%u",
	         conn->service.name, base_endpoint_format(&conn->service.target, target), why,
	         conn->request_id, conn->client_ip, suppressed);
}

/* The backend let us down. Before the response's head went out the client gets a page, after that
 * only the end of the connection can tell that something is missing. */
static void backend_failed(struct edge_conn *conn, int status, const char *why)
{
	edge_count(conn->thread, EDGE_UPSTREAM_FAILED);
	edge_request_id(conn->request_id);
	failure_log(conn, why);
	backend_close(conn);
	if (conn->head_done)
		edge_conn__phase(conn, EDGE_PHASE_GONE);
	else
		edge_conn__refuse(conn, status, NULL);
}

/* A socket that is connecting to target, or -errno. */
static int target_dial(const struct base_endpoint *target)
{
	struct sockaddr_storage address;
	socklen_t len = edge_address_fill(target, &address);
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return -errno;
	edge_conn__socket_tune(fd);
	if (connect(fd, (struct sockaddr *)&address, len) == 0 || errno == EINPROGRESS)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static void request_note(struct edge_conn *conn, const struct edge_head *head)
{
	conn->client_minor = head->minor;
	conn->keep_alive = head->keep_alive;
	conn->wants_upgrade = head->wants_upgrade;
	conn->up_done = false;
	conn->head_done = false;
	conn->n_interim = 0;
}

void edge_exchange_begin(struct edge_conn *conn, const struct edge_head *head)
{
	int fd;

	request_note(conn, head);
	fd = target_dial(&conn->service.target);
	if (fd < 0) {
		backend_failed(conn, 502, strerror(-fd));
		return;
	}
	edge_conn__phase(conn, EDGE_PHASE_EXCHANGE);
	if (edge_stream_open(&conn->backend, conn->thread->base, fd, NULL, edge_conn__progress,
	                     conn)
	            != 0
	    || edge_body_init(&conn->up, head->framing, head->length, head->framing) != 0
	    || edge_rewrite_request(head, conn->client_ip, conn->backend.out) != 0)
		edge_conn__phase(conn, EDGE_PHASE_GONE);
}

/* Request body, client to backend. Returns false when the exchange is over. */
static bool up_step(struct edge_conn *conn)
{
	enum edge_body_verdict verdict;

	/* A backend that takes no more may still send why: its response is awaited. */
	if (conn->up_done || conn->backend.is_out_failed || conn->backend.error != 0)
		return true;
	verdict = edge_body_move(&conn->up, conn->client.in, EDGE_SOURCE_OPEN, conn->backend.out,
	                         EDGE_STREAM_BUFFER);
	if (verdict == EDGE_BODY_BAD) {
		/* The backend has seen a beginning without an end: closing tells it that the
		 * request is not whole. */
		edge_count(conn->thread, EDGE_REFUSED_REQUEST);
		backend_close(conn);
		if (conn->head_done)
			edge_conn__phase(conn, EDGE_PHASE_GONE);
		else
			edge_conn__refuse(conn, 400, NULL);
		return false;
	}
	conn->up_done = verdict == EDGE_BODY_DONE;
	return true;
}

/* A 1xx goes on to clients that know them. Returns 0 or -errno. */
static int interim_forward(struct edge_conn *conn, const struct edge_head *head)
{
	if (++conn->n_interim > INTERIM_MAX)
		return -EPROTO;
	if (conn->client_minor == 0)
		return 0;
	return edge_rewrite_response(head, EDGE_FRAMING_NONE, false, conn->client.out);
}

/* 101: from here on both sides speak what they agreed on. */
static int upgrade_begin(struct edge_conn *conn, const struct edge_head *head)
{
	int err;

	if (!conn->wants_upgrade || !head->has_upgrade || !conn->up_done)
		return -EPROTO;
	err = edge_rewrite_response(head, EDGE_FRAMING_NONE, false, conn->client.out);
	if (err != 0)
		return err;
	edge_count(conn->thread, EDGE_WEBSOCKETS);
	edge_conn__phase(conn, EDGE_PHASE_TUNNEL);
	return 0;
}

static int response_begin(struct edge_conn *conn, const struct edge_head *head)
{
	enum edge_framing to = edge_rewrite_framing(head, conn->client_minor);
	int err;

	/* Where an answer comes before the request has ended, the rest of the request will not be
	 * read to its end: no second request can follow. */
	if (to == EDGE_FRAMING_UNTIL_CLOSE || !conn->up_done || conn->thread->is_draining)
		conn->keep_alive = false;
	err = edge_rewrite_response(head, to, !conn->keep_alive, conn->client.out);
	if (err == 0)
		err = edge_body_init(&conn->down, head->framing, head->length, to);
	conn->head_done = err == 0;
	return err;
}

static int response_take(struct edge_conn *conn, const char *block, size_t len)
{
	struct edge_head head;
	int err = edge_head_parse_response(block, len, conn->is_head_method, &head);

	if (err != 0)
		return err;
	if (head.status == 101)
		return upgrade_begin(conn, &head);
	if (head.status < 200)
		return interim_forward(conn, &head);
	return response_begin(conn, &head);
}

static size_t bare_lf_count(const char *data, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += data[i] == '\n' && (i == 0 || data[i - 1] != '\r');
	return n;
}

/* Some old servers end lines in a bare LF: read a copy with CRLF. */
static int response_take_lf(struct edge_conn *conn, const char *data, size_t len, size_t n_bare)
{
	char *copy = malloc(len + n_bare);
	size_t n = 0;
	int err;

	if (copy == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '\n' && (i == 0 || data[i - 1] != '\r'))
			copy[n++] = '\r';
		copy[n++] = data[i];
	}
	err = response_take(conn, copy, n);
	free(copy);
	return err;
}

/* Response head. Returns true when another step may find something to do. */
static bool response_head_step(struct edge_conn *conn)
{
	struct edge_stream *backend = &conn->backend;
	size_t len = evbuffer_get_length(backend->in);
	const char *data = (const char *)evbuffer_pullup(backend->in, -1);
	size_t end = data != NULL ? edge_head_end(data, len, conn->head_seen, true) : 0;
	size_t n_bare;
	int err;

	conn->head_seen = len;
	if (end == 0) {
		if (backend->error != 0)
			backend_failed(conn, 502, strerror(backend->error));
		else if (backend->is_ended)
			backend_failed(conn, 502, "closed without a response");
		else if (len >= EDGE_RESPONSE_HEAD_MAX)
			backend_failed(conn, 502, "head of the response is too large");
		return conn->phase != EDGE_PHASE_EXCHANGE;
	}
	conn->head_seen = 0;
	n_bare = bare_lf_count(data, end);
	err = n_bare == 0 ? response_take(conn, data, end)
	                  : response_take_lf(conn, data, end, n_bare);
	if (err != 0)
		backend_failed(conn, 502, err == -EPROTO ? "malformed response" : strerror(-err));
	else
		evbuffer_drain(backend->in, end);
	return true;
}

static enum edge_source backend_state(const struct edge_conn *conn)
{
	if (conn->backend.error != 0)
		return EDGE_SOURCE_BROKEN;
	return conn->backend.is_ended ? EDGE_SOURCE_ENDED : EDGE_SOURCE_OPEN;
}

static void exchange_end(struct edge_conn *conn)
{
	backend_close(conn);
	edge_conn__phase(conn,
	                 conn->keep_alive && conn->up_done ? EDGE_PHASE_HEAD : EDGE_PHASE_DRAIN);
}

bool edge_exchange_step(struct edge_conn *conn)
{
	enum edge_body_verdict verdict;

	/* A client that closes no longer waits: the backend learns it at once, and need not work
	 * on for nobody. */
	if (conn->client.is_ended) {
		edge_conn__phase(conn, EDGE_PHASE_GONE);
		return true;
	}
	if (!up_step(conn))
		return true;
	if (!conn->head_done)
		return response_head_step(conn);
	verdict = edge_body_move(&conn->down, conn->backend.in, backend_state(conn),
	                         conn->client.out, EDGE_STREAM_BUFFER);
	if (verdict == EDGE_BODY_MORE)
		return false;
	if (verdict == EDGE_BODY_DONE)
		exchange_end(conn);
	else
		backend_failed(conn, 502, "response ended too early or is malformed");
	return true;
}

void edge_exchange_expire(struct edge_conn *conn, uint64_t now_ns)
{
	const struct edge_limits *limits = &conn->thread->limits;
	uint64_t idle_ms = (now_ns - conn->progress_ns) / BASE_NS_PER_MS;

	if (now_ns < conn->progress_ns)
		return;
	if (!conn->backend.is_ready) {
		if ((now_ns - conn->phase_ns) / BASE_NS_PER_MS >= limits->connect_ms)
			backend_failed(conn, 504, "no connection in time");
	} else if (!conn->head_done && idle_ms >= limits->response_ms) {
		if (conn->up_done || evbuffer_get_length(conn->backend.out) > 0) {
			backend_failed(conn, 504, "no response in time");
			return;
		}
		edge_count(conn->thread, EDGE_REFUSED_REQUEST); /* the client is who stopped */
		backend_close(conn);
		edge_conn__refuse(conn, 408, NULL);
	} else if (conn->head_done) {
		uint32_t limit_ms = evbuffer_get_length(conn->client.out) > 0 ? limits->stall_ms
		                                                              : limits->stream_ms;

		if (idle_ms >= limit_ms)
			edge_conn__phase(conn, EDGE_PHASE_GONE);
	}
}

/* One direction of a tunnel: what is there moves while there is room; the end of the source is
 * passed on once everything before it was. */
static int tunnel_move(struct edge_stream *from, struct edge_stream *to)
{
	size_t used = evbuffer_get_length(to->out);
	size_t room = used < EDGE_STREAM_BUFFER ? EDGE_STREAM_BUFFER - used : 0;
	size_t len = evbuffer_get_length(from->in);
	int err = edge_buffer_move(from->in, to->out, len < room ? len : room);

	if (from->is_ended && evbuffer_get_length(from->in) == 0)
		edge_stream_shut(to);
	return err;
}

/* Many clients close without TLS's goodbye, often right behind their last bytes. Those were
 * authenticated and are for the backend, though nobody can say any more that they were all. */
void edge_tunnel_client_lost(struct edge_conn *conn)
{
	if (tunnel_move(&conn->client, &conn->backend) == 0)
		edge_stream_flush(&conn->backend);
}

void edge_tunnel_step(struct edge_conn *conn)
{
	struct edge_stream *client = &conn->client;
	struct edge_stream *backend = &conn->backend;
	bool is_broken = backend->error != 0;

	if (tunnel_move(client, backend) != 0 || tunnel_move(backend, client) != 0) {
		edge_conn__phase(conn, EDGE_PHASE_GONE);
		return;
	}
	if (is_broken && evbuffer_get_length(backend->in) == 0) {
		backend_close(conn);
		edge_conn__phase(conn, EDGE_PHASE_DRAIN); /* what came before still goes out */
		edge_stream_shut(client);
	} else if (client->is_ended && backend->is_ended && client->is_shut
	           && (backend->is_shut || backend->is_out_failed)) {
		edge_conn__phase(conn, EDGE_PHASE_GONE);
	}
}
