/* A client's connection: handshake, request heads, draining, deadlines. What happens between a
 * request's head and the end of its response is in edge_exchange.c. */
#include "edge_conn.h"

#include "base_time.h"

#include <openssl/ssl.h>

#include <errno.h>
#include <event2/buffer.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINGER_MS 2000 /* how long a client may take to close after us */

void edge_conn__phase(struct edge_conn *conn, enum edge_phase phase)
{
	conn->phase = phase;
	conn->phase_ns = base_time_monotonic_ns();
	conn->progress_ns = conn->phase_ns;
	conn->head_begun = false;
	conn->head_seen = 0;
}

SSL_CTX *edge_conn_select(void *arg, const char *host)
{
	struct edge_conn *conn = arg;
	const struct edge_service *service = edge_table_find(conn->thread->table, host);

	if (service == NULL)
		return NULL;
	conn->service = *service;
	return edge_table_certificate(conn->thread->table, host);
}

void edge_conn__progress(void *arg)
{
	struct edge_conn *conn = arg;

	conn->progress_ns = base_time_monotonic_ns();
	edge_conn_run(conn);
}

void edge_conn_destroy(struct edge_conn *conn)
{
	edge_stream_close(&conn->client);
	edge_stream_close(&conn->backend);
	edge_body_fini(&conn->up);
	edge_body_fini(&conn->down);
	*conn->link = conn->next;
	if (conn->next != NULL)
		conn->next->link = conn->link;
	conn->thread->n_conns--;
	free(conn);
}

static void conn_insert(struct edge_thread *thread, struct edge_conn *conn)
{
	conn->next = thread->conns;
	conn->link = &thread->conns;
	if (conn->next != NULL)
		conn->next->link = &conn->next;
	thread->conns = conn;
	thread->n_conns++;
}

/* Dead peers are found by TCP, not by an idle limit, so an idle WebSocket may live for ever. */
void edge_conn__socket_tune(int fd)
{
	static const int on = 1;
	static const int idle_s = 60;
	static const int interval_s = 15;
	static const int count = 4;

	/* None can fail on a TCP socket, and the connection would work without. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

void edge_conn_accept(struct edge_thread *thread, int fd, bool is_tls, const struct base_ip *client)
{
	struct edge_conn *conn = calloc(1, sizeof(*conn));
	SSL *ssl = conn != NULL && is_tls ? tls_accept(thread->front, conn) : NULL;

	if (conn == NULL || (is_tls && ssl == NULL)) {
		free(conn);
		close(fd);
		return;
	}
	edge_conn__socket_tune(fd);
	conn->thread = thread;
	conn->is_tls = is_tls;
	base_ip_format(client, conn->client_ip);
	if (edge_stream_open(&conn->client, thread->base, fd, ssl, edge_conn__progress, conn)
	    != 0) {
		free(conn);
		return;
	}
	conn_insert(thread, conn);
	edge_conn__phase(conn, EDGE_PHASE_HANDSHAKE);
	edge_conn_run(conn);
}

void edge_conn__refuse(struct edge_conn *conn, int status, const char *location)
{
	struct edge_page page = {
		.status = status,
		.service = conn->service.name[0] != '\0' ? conn->service.name : NULL,
		.request_id = conn->request_id,
		.location = location,
		.to_head_method = conn->is_head_method,
	};
	int err;

	if (conn->request_id[0] == '\0')
		edge_request_id(conn->request_id);
	err = edge_page_write(&page, conn->client.out);
	log_debug("edge", "answered %d service=%s client=%s request=%s", status, conn->service.name,
	          conn->client_ip, conn->request_id);
	edge_conn__phase(conn, err == 0 ? EDGE_PHASE_DRAIN : EDGE_PHASE_GONE);
}

/* Port 80: the same host and path over HTTPS. The host comes from the table and not from the
 * request, so a client can be sent to a published service only. */
static void redirect(struct edge_conn *conn, const struct edge_head *head)
{
	const struct edge_service *service = edge_table_find(conn->thread->table, head->host);
	bool keeps_method = head->is_head_method
	                    || (head->method.len == 3 && memcmp(head->method.at, "GET", 3) == 0);
	char location[EDGE_TARGET_MAX + EDGE_HOST_LEN + 32];
	char port[8] = "";

	if (service == NULL) {
		edge_count(conn->thread, EDGE_REFUSED_HOST);
		edge_conn__refuse(conn, 404, NULL);
		return;
	}
	if (head->target.at[0] != '/') { /* OPTIONS * */
		edge_conn__refuse(conn, 404, NULL);
		return;
	}
	if (conn->thread->https_port != 443)
		snprintf(port, sizeof(port), ":%u", conn->thread->https_port);
	snprintf(location, sizeof(location), "https://%s%s%.*s", service->host, port,
	         (int)head->target.len, head->target.at);
	edge_count(conn->thread, EDGE_REDIRECTS);
	edge_conn__refuse(conn, keeps_method ? 301 : 308, location);
}

/* A request over TLS. The connection was opened for one host; another host on it is refused even
 * if it is published too (RFC 9110 section 7.4): its service may come to have rules that the
 * certificate shown here says nothing about. */
static void route(struct edge_conn *conn, const struct edge_head *head)
{
	const struct edge_service *service = edge_table_find(conn->thread->table, head->host);

	if (service == NULL || strcmp(head->host, conn->service.host) != 0) {
		edge_count(conn->thread, EDGE_REFUSED_HOST);
		edge_conn__refuse(conn, 421, NULL);
		return;
	}
	conn->service = *service;
	edge_exchange_begin(conn, head);
}

static void malformed(struct edge_conn *conn, int status)
{
	edge_count(conn->thread, EDGE_REFUSED_REQUEST);
	edge_conn__refuse(conn, status, NULL);
}

/* Empty lines before a request are passed over (RFC 9112 section 2.2). */
static void blank_lines_skip(struct evbuffer *in)
{
	char pair[2];

	while (evbuffer_copyout(in, pair, 2) == 2 && pair[0] == '\r' && pair[1] == '\n')
		evbuffer_drain(in, 2);
}

/* The end of the head in the buffer. 0 = not there yet; *status is set when it never will be. */
static size_t head_find(struct edge_conn *conn, int *status)
{
	struct evbuffer *in = conn->client.in;
	size_t len = evbuffer_get_length(in);
	size_t max = EDGE_REQUEST_HEAD_MAX;
	const char *data = (const char *)evbuffer_pullup(in, (ev_ssize_t)(len < max ? len : max));
	size_t end;

	*status = 0;
	if (data == NULL)
		return 0;
	end = edge_head_end(data, len < max ? len : max, conn->head_seen, false);
	conn->head_seen = len < max ? len : max;
	if (end != 0)
		return end;
	if (len > EDGE_TARGET_MAX + 64 && memchr(data, '\n', EDGE_TARGET_MAX + 64) == NULL)
		*status = 414;
	else if (len >= max)
		*status = 431;
	return 0;
}

/* A head is complete: read it, and say what becomes of it. */
static void head_take(struct edge_conn *conn, size_t len)
{
	struct edge_head head;
	const char *block = (const char *)evbuffer_pullup(conn->client.in, (ev_ssize_t)len);
	int status = edge_head_parse_request(block, len, &head);

	conn->request_id[0] = '\0';
	conn->is_head_method = status == 0 && head.is_head_method;
	conn->has_served = true;
	edge_count(conn->thread, EDGE_REQUESTS);
	if (status != 0)
		malformed(conn, status);
	else if (conn->is_tls)
		route(conn, &head);
	else
		redirect(conn, &head);
	evbuffer_drain(conn->client.in, len); /* head's spans end here */
}

/* Returns true when the phase changed. */
static bool head_step(struct edge_conn *conn)
{
	struct evbuffer *in = conn->client.in;
	size_t end;
	int status;

	/* Pipelined requests wait until the client has taken earlier answers. */
	if (evbuffer_get_length(conn->client.out) >= EDGE_STREAM_BUFFER)
		return false;
	blank_lines_skip(in);
	if (evbuffer_get_length(in) == 0) {
		if (!conn->client.is_ended)
			return false;
		edge_conn__phase(conn, EDGE_PHASE_DRAIN);
		return true;
	}
	if (!conn->head_begun)
		conn->phase_ns = base_time_monotonic_ns();
	conn->head_begun = true;
	end = head_find(conn, &status);
	if (end != 0) {
		head_take(conn, end);
		return true;
	}
	if (status != 0) {
		conn->is_head_method = false;
		conn->request_id[0] = '\0';
		malformed(conn, status);
		return true;
	}
	if (conn->client.is_ended)
		edge_conn__phase(conn, EDGE_PHASE_GONE);
	return conn->client.is_ended;
}

/* Our last bytes go out, then our half closes, and what the client still sends is thrown away
 * until it closes too: closing at once would make the kernel send a reset, which can overtake
 * the answer. */
static void drain_step(struct edge_conn *conn)
{
	struct edge_stream *client = &conn->client;

	evbuffer_drain(client->in, evbuffer_get_length(client->in));
	edge_stream_shut(client);
	if (client->is_out_failed || (client->is_shut && client->is_ended))
		conn->phase = EDGE_PHASE_GONE;
	else if (client->is_shut && !conn->is_lingering)
		conn->phase_ns = base_time_monotonic_ns(); /* the linger time begins */
	conn->is_lingering = client->is_shut;
}

static bool handshake_step(struct edge_conn *conn)
{
	if (!conn->client.is_ready)
		return false;
	edge_conn__phase(conn, EDGE_PHASE_HEAD);
	return true;
}

/* Returns true when another step may find something to do. */
static bool step(struct edge_conn *conn)
{
	if (conn->client.error != 0) {
		if (conn->phase == EDGE_PHASE_HANDSHAKE && conn->is_tls)
			edge_count(conn->thread, EDGE_REFUSED_TLS);
		if (conn->phase == EDGE_PHASE_TUNNEL)
			edge_tunnel_client_lost(conn);
		conn->phase = EDGE_PHASE_GONE;
	}
	switch (conn->phase) {
	case EDGE_PHASE_HANDSHAKE:
		return handshake_step(conn);
	case EDGE_PHASE_HEAD:
		return head_step(conn);
	case EDGE_PHASE_EXCHANGE:
		return edge_exchange_step(conn);
	case EDGE_PHASE_TUNNEL:
		edge_tunnel_step(conn);
		return false;
	case EDGE_PHASE_DRAIN:
		drain_step(conn);
		return false;
	case EDGE_PHASE_GONE:
		return false;
	}
	return false;
}

void edge_conn_run(struct edge_conn *conn)
{
	while (step(conn))
		;
	if (conn->phase == EDGE_PHASE_GONE) {
		edge_conn_destroy(conn);
		return;
	}
	edge_stream_arm(&conn->client);
	edge_stream_arm(&conn->backend);
}

static bool is_over(uint64_t since_ns, uint32_t limit_ms, uint64_t now_ns)
{
	return now_ns >= since_ns + limit_ms * BASE_NS_PER_MS;
}

static void head_expire(struct edge_conn *conn, uint64_t now_ns)
{
	const struct edge_limits *limits = &conn->thread->limits;
	bool has_out = evbuffer_get_length(conn->client.out) > 0;

	if (has_out) {
		if (is_over(conn->progress_ns, limits->stall_ms, now_ns))
			conn->phase = EDGE_PHASE_GONE;
	} else if (conn->head_begun) {
		if (is_over(conn->phase_ns, limits->head_ms, now_ns)) {
			conn->is_head_method = false;
			conn->request_id[0] = '\0';
			malformed(conn, 408);
		}
	} else if (is_over(conn->progress_ns,
	                   conn->has_served ? limits->keepalive_ms : limits->head_ms, now_ns)) {
		edge_conn__phase(conn, EDGE_PHASE_DRAIN);
	}
}

static void drain_expire(struct edge_conn *conn, uint64_t now_ns)
{
	bool is_over_now = conn->is_lingering ? is_over(conn->phase_ns, LINGER_MS, now_ns)
	                                      : is_over(conn->progress_ns,
	                                                conn->thread->limits.stall_ms, now_ns);

	if (is_over_now)
		conn->phase = EDGE_PHASE_GONE;
}

void edge_conn_expire(struct edge_conn *conn, uint64_t now_ns)
{
	enum edge_phase before = conn->phase;

	switch (conn->phase) {
	case EDGE_PHASE_HANDSHAKE:
		if (is_over(conn->phase_ns, conn->thread->limits.handshake_ms, now_ns))
			conn->client.error = ETIMEDOUT;
		break;
	case EDGE_PHASE_HEAD:
		head_expire(conn, now_ns);
		break;
	case EDGE_PHASE_EXCHANGE:
		edge_exchange_expire(conn, now_ns);
		break;
	case EDGE_PHASE_DRAIN:
		drain_expire(conn, now_ns);
		break;
	case EDGE_PHASE_TUNNEL:
		if ((conn->client.is_ended || conn->backend.is_ended
		     || evbuffer_get_length(conn->client.out) > 0)
		    && is_over(conn->progress_ns, conn->thread->limits.stall_ms, now_ns))
			conn->phase = EDGE_PHASE_GONE;
		break;
	case EDGE_PHASE_GONE:
		break;
	}
	if (conn->phase != before || conn->client.error != 0)
		edge_conn_run(conn);
}
