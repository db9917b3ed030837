/* Requests are lines up to an empty one. A reply is written in slices as the client reads, a slice some
 * peers, so that a hundred thousand of them neither fill memory nor hold up the main loop. */
#include "uapi.h"

#include "base_bytes.h"
#include "base_log.h"
#include "base_text.h"
#include "base_time.h"
#include "config.h"
#include "peer.h"
#include "program.h"
#include "serve.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_LEN_MAX    4096U
#define CONNECTIONS_MAX 16U
#define SLICE_PEERS     64U /* written at a time: about 30 KB */

static const struct timeval timeout = {30, 0};

enum want {
	WANT_NOTHING = 0, /* no request yet */
	WANT_GET = 1,
	WANT_SET = 2,
	WANT_REFUSAL = 3, /* neither of them */
};

struct connection {
	struct uapi *uapi;
	struct bufferevent *bev;
	enum want want;
	bool is_answering;          /* a get that has not written all peers */
	char last[CONFIG_NAME_LEN]; /* the last of them; "" = none yet */
	LIST_ENTRY(connection) link;
};

struct uapi {
	const struct config *config;
	const struct peer_table *peers;
	const struct program *program;
	struct evconnlistener *listener;
	LIST_HEAD(, connection) connections;
	uint32_t n_connections;
	struct base_log_limit limit;
};

/* ---- what is told -------------------------------------------------------------------------------- */

static void add_prefix(struct evbuffer *out, const struct base_prefix *prefix)
{
	char text[BASE_PREFIX_STRLEN];

	evbuffer_add_printf(out, "allowed_ip=%s\n", base_prefix_format(prefix, text));
}

static void add_allowed_ips(struct evbuffer *out, const struct store_peer *row)
{
	for (uint32_t i = 0; i < row->n_addresses; i++) {
		struct base_prefix own = {
			.ip = row->addresses[i],
			.len = (uint8_t)(base_ip_len(row->addresses[i].family) * 8),
		};

		add_prefix(out, &own);
	}
	for (uint32_t i = 0; i < row->n_allowed_ips; i++)
		add_prefix(out, &row->allowed_ips[i]);
}

static void add_peer(const struct uapi *uapi, struct evbuffer *out, const struct peer *peer)
{
	struct store_peer_state state = peer_state(uapi->peers, peer);
	struct abi_peer_counters counters = program_peer_counters(uapi->program, peer->row.id);
	char key[2 * sizeof(peer->row.public_key) + 1];
	char endpoint[BASE_ENDPOINT_STRLEN];

	base_hex_encode(key, peer->row.public_key, sizeof(peer->row.public_key));
	evbuffer_add_printf(out, "public_key=%s\n", key);
	if (state.endpoint.port != 0)
		evbuffer_add_printf(out, "endpoint=%s\n",
		                    base_endpoint_format(&state.endpoint, endpoint));
	evbuffer_add_printf(out,
	                    "last_handshake_time_sec=%llu\nlast_handshake_time_nsec=%llu\n"
	                    "tx_bytes=%llu\nrx_bytes=%llu\npersistent_keepalive_interval=%u\n",
	                    (unsigned long long)(state.last_handshake_wall_ns / BASE_NS_PER_S),
	                    (unsigned long long)(state.last_handshake_wall_ns % BASE_NS_PER_S),
	                    (unsigned long long)counters.tx_bytes,
	                    (unsigned long long)counters.rx_bytes, peer->row.keepalive_s);
	add_allowed_ips(out, &peer->row);
	evbuffer_add_printf(out, "protocol_version=1\n");
}

/* The next slice; behind the last peer the end of the reply. A peer that is disabled is not there: it
 * has neither handshakes nor routes. */
static void add_slice(struct connection *connection)
{
	const struct uapi *uapi = connection->uapi;
	struct evbuffer *out = bufferevent_get_output(connection->bev);
	const struct peer *peer = peer_after(uapi->peers, connection->last);

	for (uint32_t i = 0; peer != NULL && i < SLICE_PEERS; i++) {
		if (!peer->row.disabled)
			add_peer(uapi, out, peer);
		memcpy(connection->last, peer->row.name, sizeof(connection->last));
		peer = peer_after(uapi->peers, connection->last);
	}
	if (peer == NULL) {
		evbuffer_add_printf(out, "errno=0\n\n");
		connection->is_answering = false;
	}
}

/* ---- a connection -------------------------------------------------------------------------------- */

static void connection_free(struct connection *connection)
{
	LIST_REMOVE(connection, link);
	connection->uapi->n_connections--;
	bufferevent_free(connection->bev); /* closes the socket */
	free(connection);
}

static void log_limited(struct uapi *uapi, const char *message)
{
	uint32_t n_left_out;

	if (base_log_limit_pass(&uapi->limit, base_time_monotonic_ns(), &n_left_out))
		log_warn("uapi", "%s left_out=%u", message, n_left_out);
}

static void answer(struct connection *connection)
{
	struct evbuffer *out = bufferevent_get_output(connection->bev);
	enum want want = connection->want;

	connection->want = WANT_NOTHING;
	switch (want) {
	case WANT_GET:
		evbuffer_add_printf(out, "listen_port=%u\n", connection->uapi->config->listen_port);
		connection->last[0] = '\0';
		connection->is_answering = true;
		add_slice(connection);
		return;
	case WANT_SET:
		log_limited(connection->uapi,
		            "wg(8) may read here and not change: use `weir peer`");
		evbuffer_add_printf(out, "errno=%d\n\n", -EPERM);
		return;
	case WANT_REFUSAL:
		evbuffer_add_printf(out, "errno=%d\n\n", -EPROTO);
		return;
	case WANT_NOTHING:
		return; /* an empty line between requests */
	}
}

static void take_line(struct connection *connection, const char *line)
{
	if (line[0] == '\0')
		answer(connection);
	else if (connection->want != WANT_NOTHING)
		return; /* what it would set */
	else if (strcmp(line, "get=1") == 0)
		connection->want = WANT_GET;
	else if (strcmp(line, "set=1") == 0)
		connection->want = WANT_SET;
	else
		connection->want = WANT_REFUSAL;
}

/* Requests that came, one after the other: the next one only when the last is answered whole. What wg
 * wants to set can hold keys: it is wiped. */
static void on_read(struct bufferevent *bev, void *arg)
{
	struct connection *connection = arg;
	struct evbuffer *input = bufferevent_get_input(bev);
	size_t len;
	char *line;

	while (!connection->is_answering
	       && (line = evbuffer_readln(input, &len, EVBUFFER_EOL_LF)) != NULL) {
		take_line(connection, line);
		base_wipe(line, len);
		free(line);
	}
	if (!connection->is_answering && evbuffer_get_length(input) > LINE_LEN_MAX) {
		log_limited(connection->uapi, "a request with a line that never ends");
		connection_free(connection);
	}
}

/* The client has read all there was. */
static void on_write(struct bufferevent *bev, void *arg)
{
	struct connection *connection = arg;

	if (!connection->is_answering)
		return;
	add_slice(connection);
	if (!connection->is_answering)
		bufferevent_trigger(bev, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)what;
	connection_free(arg);
}

/* ---- listening ----------------------------------------------------------------------------------- */

int uapi_listen(const char *directory, const char *interface, char *error, size_t error_len)
{
	char path[CONFIG_PATH_LEN];

	if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
		int err = -errno;

		snprintf(error, error_len, "%s: %s", directory, strerror(-err));
		return err;
	}
	snprintf(path, sizeof(path), "%s/%s.sock", directory, interface);
	return serve_listen(path, error, error_len);
}

static bool is_allowed(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.uid == 0;
}

static struct connection *connection_new(struct uapi *uapi, struct event_base *base, int fd)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (connection == NULL)
		return NULL;
	connection->bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (connection->bev == NULL) {
		free(connection);
		return NULL;
	}
	connection->uapi = uapi;
	LIST_INSERT_HEAD(&uapi->connections, connection, link);
	uapi->n_connections++;
	return connection;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int len, void *arg)
{
	struct connection *connection = NULL;
	struct uapi *uapi = arg;

	(void)address;
	(void)len;
	if (is_allowed(fd) && uapi->n_connections < CONNECTIONS_MAX)
		connection = connection_new(uapi, evconnlistener_get_base(listener), fd);
	if (connection == NULL) {
		log_limited(uapi, "client of the wg socket refused: not root, or too many");
		close(fd);
		return;
	}
	bufferevent_setcb(connection->bev, on_read, on_write, on_event, connection);
	bufferevent_setwatermark(connection->bev, EV_READ, 0, LINE_LEN_MAX + 1);
	bufferevent_set_timeouts(connection->bev, &timeout, &timeout);
	bufferevent_enable(connection->bev, EV_READ | EV_WRITE);
}

int uapi_create(struct event_base *base, int fd, const struct config *config,
                const struct peer_table *peers, const struct program *program, struct uapi **out)
{
	struct uapi *uapi = calloc(1, sizeof(*uapi));

	if (uapi == NULL)
		return -ENOMEM;
	uapi->config = config;
	uapi->peers = peers;
	uapi->program = program;
	LIST_INIT(&uapi->connections);
	/* backlog 0: uapi_listen() has called listen() */
	uapi->listener = evconnlistener_new(base, on_accept, uapi,
	                                    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (uapi->listener == NULL) {
		free(uapi);
		return -ENOMEM;
	}
	*out = uapi;
	return 0;
}

void uapi_destroy(struct uapi *uapi)
{
	struct connection *connection;

	if (uapi == NULL)
		return;
	evconnlistener_free(uapi->listener);
	while ((connection = LIST_FIRST(&uapi->connections)) != NULL)
		connection_free(connection);
	free(uapi);
}
