/* Requests are lines up to an empty one. A reply is written in slices as the client reads, some peers and
 * allowed IPs each, so that a hundred thousand of them neither fill memory nor hold up the main loop. */
#include "uapi.h"

#include "base_bytes.h"
#include "base_log.h"
#include "base_text.h"
#include "base_time.h"
#include "config.h"
#include "model.h"
#include "model_wg.h"
#include "peer.h"
#include "program.h"
#include "serve_gate.h"
#include "session.h"
#include "uapi_text.h"
#include "wg_key.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define CONNECTIONS_MAX 16U
#define SLICE_LINES     1024U         /* written at a time: about 30 KB */
#define READ_LEN_MAX    (1024 * 1024) /* at a time */

struct connection {
	struct uapi *uapi;
	struct bufferevent *bev;
	struct ucred client;
	struct uapi_request request;
	bool is_answering;          /* a get that has not written all peers */
	char name[CONFIG_NAME_LEN]; /* the peer it is at; "" = none yet */
	uint32_t n_ips;             /* of its allowed IPs, told already; none = not begun */
	bool is_begun;              /* the peer's lines before them are told */
	short late;                 /* BEV_EVENT_READING, _WRITING: nothing has moved for a while */
	LIST_ENTRY(connection) link;
};

struct uapi {
	struct uapi_setup setup;
	struct serve_gate *gate;
	LIST_HEAD(, connection) connections;
	struct base_log_limit limit;
};

/* ---- what is told -------------------------------------------------------------------------------- */

static struct base_prefix ip_at(const struct store_peer *row, uint32_t i)
{
	if (i >= row->n_addresses)
		return row->allowed_ips[i - row->n_addresses];
	return (struct base_prefix){
		.ip = row->addresses[i],
		.len = (uint8_t)(base_ip_len(row->addresses[i].family) * 8),
	};
}

static void add_peer(const struct uapi *uapi, struct evbuffer *out, const struct peer *peer)
{
	struct store_peer_state state = peer_state(uapi->setup.peers, peer);
	struct abi_peer_counters counters = program_peer_counters(uapi->setup.program,
	                                                          peer->row.id);
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
}

/* The peer's lines from where the connection is, at most so many. Returns how many; fewer: it is done. */
static uint32_t add_lines(struct connection *connection, struct evbuffer *out,
                          const struct peer *peer, uint32_t budget)
{
	const struct store_peer *row = &peer->row;
	uint32_t n = 0;

	if (row->disabled) /* is not there: it has neither handshakes nor routes */
		return 0;
	if (!connection->is_begun) {
		add_peer(connection->uapi, out, peer);
		connection->is_begun = true;
		n++;
	}
	for (; n < budget && connection->n_ips < row->n_addresses + row->n_allowed_ips; n++) {
		struct base_prefix prefix = ip_at(row, connection->n_ips++);
		char text[BASE_PREFIX_STRLEN];

		base_prefix_format(&prefix, text);
		evbuffer_add(out, "allowed_ip=", strlen("allowed_ip="));
		evbuffer_add(out, text, strlen(text));
		evbuffer_add(out, "\n", 1);
	}
	if (n < budget)
		evbuffer_add_printf(out, "protocol_version=1\n");
	return n;
}

/* Where the connection is, or goes on. NULL = behind the last. */
static const struct peer *peer_at(const struct connection *connection)
{
	const struct peer_table *peers = connection->uapi->setup.peers;
	const struct peer *peer = connection->is_begun ? peer_find(peers, connection->name) : NULL;

	return peer ? peer : peer_after(peers, connection->name);
}

/* The next slice; behind the last peer the end of the reply. */
static void add_slice(struct connection *connection)
{
	struct evbuffer *out = bufferevent_get_output(connection->bev);
	uint32_t left = SLICE_LINES;
	const struct peer *peer;

	while (left > 0 && (peer = peer_at(connection)) != NULL) {
		uint32_t n;

		if (strcmp(connection->name, peer->row.name) != 0)
			connection->is_begun = false; /* that one went meanwhile */
		if (!connection->is_begun)
			connection->n_ips = 0;
		memcpy(connection->name, peer->row.name, sizeof(connection->name));
		n = add_lines(connection, out, peer, left);
		if (n == left)
			return; /* the same one goes on */
		connection->is_begun = false;
		left -= n > 0 ? n : 1;
	}
	if (left > 0) {
		evbuffer_add_printf(out, "errno=0\n\n");
		connection->is_answering = false;
	} else if (evbuffer_get_length(out) == 0) {
		/* only such as are not there: nothing is written, whose end would call for the next */
		bufferevent_trigger(connection->bev, EV_WRITE, BEV_TRIG_DEFER_CALLBACKS);
	}
}

/* ---- what is changed ----------------------------------------------------------------------------- */

static void refuse(const struct connection *connection, enum abi_counter counter, const char *why)
{
	program_count(connection->uapi->setup.program, counter, 1);
	log_warn("uapi", "wg refused uid=%u pid=%d counter=%s: %s",
	         (unsigned int)connection->client.uid, (int)connection->client.pid,
	         abi_counter_texts[counter].name, why);
}

static bool is_own_key(const struct uapi *uapi, const uint8_t private_key[static 32])
{
	uint8_t public_key[32];

	wg_key_public(public_key, private_key);
	return memcmp(public_key, session_public_key(uapi->setup.session), 32) == 0;
}

/* What the request says of the hub may only be what is so. Zeros say nothing: wg writes them for what a file
 * leaves out. Returns 0 or -EPERM with why. */
static int check_hub(const struct uapi *uapi, const struct uapi_request *request, char *why,
                     size_t len)
{
	uint16_t port = uapi->setup.config->listen_port;

	if (request->has_private_key
	    && !base_is_zero_ct(request->private_key, sizeof(request->private_key))
	    && !is_own_key(uapi, request->private_key)) {
		snprintf(why, len,
		         "private_key is another than the hub's, which is configuration "
		         "(hub.private_key_file)");
		return -EPERM;
	}
	if (request->listen_port != 0 && request->listen_port != port) {
		snprintf(why, len, "listen_port is %u, the hub's is %u (hub.listen_port)",
		         request->listen_port, port);
		return -EPERM;
	}
	if (request->fwmark != 0) {
		snprintf(why, len, "fwmark is %u: the hub's packets have none", request->fwmark);
		return -EPERM;
	}
	return 0;
}

static enum abi_counter counter_of(const struct peer_error *error)
{
	if (strcmp(error->code, "failed") == 0)
		return ABI_COUNTER_WG_REFUSED_FAILED;
	return error->field && strcmp(error->field, "allowed_ips") == 0
	               ? ABI_COUNTER_WG_REFUSED_NETWORK
	               : ABI_COUNTER_WG_REFUSED_PEER;
}

/* Returns the errno of the answer. */
static int set(struct connection *connection)
{
	const struct uapi *uapi = connection->uapi;
	const struct uapi_request *request = &connection->request;
	struct peer_error error = {.code = ""};
	char why[160];
	int err;

	if (uapi->setup.config->wg_socket != CONFIG_WG_READ_WRITE) {
		refuse(connection, ABI_COUNTER_WG_REFUSED_MODE,
		       "control.wg_socket is read-only: use weir peer");
		return -EPERM;
	}
	err = check_hub(uapi, request, why, sizeof(why));
	if (err < 0) {
		refuse(connection, ABI_COUNTER_WG_REFUSED_HUB, why);
		return err;
	}
	model_caller_set(uapi->setup.model, connection->client.uid, connection->client.pid);
	err = model_wg_set(uapi->setup.model, &request->set, &error);
	if (err < 0)
		refuse(connection, counter_of(&error), error.text);
	else
		program_count(uapi->setup.program, ABI_COUNTER_WG_SET, 1);
	return err;
}

/* ---- a connection -------------------------------------------------------------------------------- */

static void connection_free(struct connection *connection)
{
	LIST_REMOVE(connection, link);
	serve_gate_left(connection->uapi->gate);
	bufferevent_free(connection->bev); /* closes the socket */
	uapi_request_fini(&connection->request);
	free(connection);
}

static void log_limited(struct uapi *uapi, const char *message)
{
	uint32_t n_left_out;

	if (base_log_limit_pass(&uapi->limit, base_time_monotonic_ns(), &n_left_out))
		log_warn("uapi", "%s left_out=%u", message, n_left_out);
}

/* The request is complete. */
static void answer(struct connection *connection)
{
	struct evbuffer *out = bufferevent_get_output(connection->bev);
	struct uapi_request *request = &connection->request;
	int err = request->err;

	if (request->want == UAPI_GET) {
		evbuffer_add_printf(out, "listen_port=%u\n",
		                    connection->uapi->setup.config->listen_port);
		connection->name[0] = '\0';
		connection->is_begun = false;
		connection->is_answering = true;
		add_slice(connection);
	} else {
		if (err < 0)
			refuse(connection, ABI_COUNTER_WG_REFUSED_TEXT, request->why);
		else
			err = set(connection);
		evbuffer_add_printf(out, "errno=%d\n\n", err);
	}
	uapi_request_fini(request);
}

/* Requests that came, one after the other: the next one only when the last is answered whole. What wg
 * wants to set can hold keys: it is wiped. */
static void on_read(struct bufferevent *bev, void *arg)
{
	struct connection *connection = arg;
	struct evbuffer *input = bufferevent_get_input(bev);
	size_t len;
	char *line;

	connection->late = 0;
	while (!connection->is_answering
	       && (line = evbuffer_readln(input, &len, EVBUFFER_EOL_LF)) != NULL) {
		bool is_whole = uapi_request_line(&connection->request, line);

		base_wipe(line, len);
		free(line);
		if (is_whole)
			answer(connection);
	}
	if (!connection->is_answering && evbuffer_get_length(input) > UAPI_LINE_LEN_MAX) {
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
	connection->late = 0;
	add_slice(connection);
	if (!connection->is_answering)
		bufferevent_trigger(bev, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
}

/* A time-out says that nothing has moved: for want of the client, or of this loop, which was at a large request,
 * perhaps this very client's, whose answer waits to be written. So the second one in a row counts. A client that goes
 * in the middle of a request takes it with it. */
static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct connection *connection = arg;
	short way = what & (BEV_EVENT_READING | BEV_EVENT_WRITING);

	if ((what & BEV_EVENT_TIMEOUT) && !(connection->late & way)) {
		connection->late |= way;
		if (bufferevent_enable(bev, way & BEV_EVENT_READING ? EV_READ : EV_WRITE) == 0)
			return;
	}
	connection_free(connection);
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

int uapi_unlisten(const char *directory, const char *interface)
{
	char path[CONFIG_PATH_LEN];

	snprintf(path, sizeof(path), "%s/%s.sock", directory, interface);
	return serve_unlisten(path);
}

static int on_client(void *arg, struct bufferevent *bev, const struct ucred *client,
                     bool is_allowed)
{
	struct uapi *uapi = arg;
	const struct timeval patience = {uapi->setup.patience_ms / 1000,
	                                 uapi->setup.patience_ms % 1000 * 1000};
	struct connection *connection = is_allowed ? calloc(1, sizeof(*connection)) : NULL;

	if (connection == NULL)
		return is_allowed ? -ENOMEM : -EPERM;
	connection->uapi = uapi;
	connection->bev = bev;
	connection->client = *client;
	LIST_INSERT_HEAD(&uapi->connections, connection, link);
	bufferevent_setcb(bev, on_read, on_write, on_event, connection);
	bufferevent_setwatermark(bev, EV_READ, 0, READ_LEN_MAX);
	bufferevent_set_max_single_read(bev, READ_LEN_MAX);
	bufferevent_set_timeouts(bev, &patience, &patience);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
	return 0;
}

int uapi_create(struct event_base *base, int fd, const struct uapi_setup *setup, struct uapi **out)
{
	const struct serve_gate_setup gate = {
		.module = "uapi",
		.clients_max = CONNECTIONS_MAX,
		.client = on_client,
	};
	struct uapi *uapi = calloc(1, sizeof(*uapi));
	int err;

	if (uapi == NULL)
		return -ENOMEM;
	uapi->setup = *setup;
	LIST_INIT(&uapi->connections);
	err = serve_gate_create(base, fd, &gate, uapi, &uapi->gate);
	if (err < 0) {
		free(uapi);
		return err;
	}
	*out = uapi;
	return 0;
}

void uapi_pause(struct uapi *uapi, bool pause)
{
	serve_gate_pause(uapi->gate, pause);
}

bool uapi_is_quiet(const struct uapi *uapi)
{
	return LIST_EMPTY(&uapi->connections);
}

void uapi_destroy(struct uapi *uapi)
{
	struct connection *connection;

	if (uapi == NULL)
		return;
	while ((connection = LIST_FIRST(&uapi->connections)) != NULL)
		connection_free(connection);
	serve_gate_destroy(uapi->gate);
	free(uapi);
}
