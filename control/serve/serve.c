/* Lines in, lines out, without ever waiting: a client that is slow, silent or talks nonsense costs
 * a bounded buffer and nobody else's time. */
#include "serve.h"

#include "base_bytes.h"
#include "base_time.h"
#include "model.h"
#include "work.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define LINE_LEN_MAX    (64 * 1024 * 1024) /* a million networks of a drop list fit */
#define LONG_LEN        (256 * 1024)       /* a line from here on is parsed by the thread */
#define READ_LEN_MAX    (1024 * 1024)      /* at a time */
#define OUTPUT_LEN_MAX  (256 * 1024)       /* beyond, no further request is read until it drains */
#define CONNECTIONS_MAX 64
#define TURN_MAX        64 /* requests of one client before others have their turn, */
#define TURN_NS         (5 * BASE_NS_PER_S / 1000) /* or as many as have begun by then */

static const struct timeval idle_timeout = {600, 0};
static const struct timeval write_timeout = {30, 0};

/* A long line that is parsed in the thread. */
struct parsing {
	struct work_job job;
	struct connection *connection; /* NULL: has gone meanwhile */
	char *line;
	size_t len;
	json_t *request; /* NULL: it is none */
	json_error_t where;
};

struct connection {
	struct serve *serve;
	struct bufferevent *bev;
	struct ucred client;
	bool is_closing; /* once what was written is out */
	bool is_at_end;  /* the client has shut its side down, and still reads */
	bool is_waiting; /* for a long line, or an answer that takes its time: nothing is read */
	struct parsing *parsing; /* of the long line */
	json_t *id;              /* of the request that is answered later */
	/* Of requests that came together: they wait here until what they changed is on the disk, all at once. Else
	 * NULL. */
	struct evbuffer *held;
	size_t n_looked; /* bytes of the input in which there is no end of a line */
	LIST_ENTRY(connection) link;
};

struct serve {
	struct model *model;
	struct serve_gate *gate;
	struct work *work;
	LIST_HEAD(, connection) connections;
	bool is_paused;
};

/* ---- answering ---------------------------------------------------------------------------------- */

static void connection_free(struct connection *connection)
{
	LIST_REMOVE(connection, link);
	model_forget(connection->serve->model, connection);
	if (connection->parsing)
		connection->parsing->connection = NULL;
	json_decref(connection->id);
	serve_gate_left(connection->serve->gate);
	bufferevent_free(connection->bev); /* closes the socket */
	free(connection);
}

static void wipe_and_free(const void *data, size_t len, void *arg)
{
	(void)data;
	base_wipe(arg, len);
	free(arg);
}

/* Queue one line. json is taken over. The text can hold a private key: the buffer that libevent
 * writes from is our own, and is wiped when it is done with. */
static int send_json(struct connection *connection, json_t *json)
{
	struct evbuffer *output = connection->held ? connection->held
	                                           : bufferevent_get_output(connection->bev);
	size_t len = json ? json_dumpb(json, NULL, 0, JSON_COMPACT) : 0;
	char *text = len > 0 ? malloc(len + 1) : NULL;

	if (!text) {
		json_decref(json);
		return -ENOMEM;
	}
	json_dumpb(json, text, len, JSON_COMPACT);
	json_decref(json);
	text[len] = '\n';
	if (evbuffer_add_reference(output, text, len + 1, wipe_and_free, text) < 0) {
		wipe_and_free(text, len + 1, text);
		return -ENOMEM;
	}
	return 0;
}

/* Tell why and close. */
static void send_last(struct connection *connection, const char *code, const char *message)
{
	json_t *json = json_pack("{s:n, s:{s:s, s:s, s:n}}", "id", "error", "code", code, "message",
	                         message, "field");

	connection->is_closing = true;
	bufferevent_disable(connection->bev, EV_READ);
	/* Without memory for the reason, the close alone has to say it. */
	if (send_json(connection, json) < 0)
		bufferevent_trigger(connection->bev, EV_WRITE,
		                    BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

/* What a request may hold, or NULL when it is right. */
static const char *request_wrong(const json_t *request)
{
	const json_t *id = json_object_get(request, "id");
	size_t n = (id != NULL) + (json_object_get(request, "method") != NULL)
	           + (json_object_get(request, "params") != NULL);

	if (!json_is_object(request))
		return "a request is an object with method, params and id";
	if (!json_is_string(json_object_get(request, "method")))
		return "method is missing, must be a string";
	if (id && !json_is_string(id) && !json_is_integer(id) && !json_is_null(id))
		return "id must be a string, an integer or null";
	if (n != json_object_size(request))
		return "a request has no members but method, params and id";
	return NULL;
}

/* Take no more requests until go_on(). */
static void wait_here(struct connection *connection)
{
	connection->is_waiting = true;
	bufferevent_disable(connection->bev, EV_READ);
}

static void go_on(struct connection *connection)
{
	connection->is_waiting = false;
	if (connection->is_closing)
		return;
	if (!connection->is_at_end)
		bufferevent_enable(connection->bev, EV_READ);
	bufferevent_trigger(connection->bev, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
}

/* result and error are taken over; one of them is NULL, or both. */
static void send_reply(struct connection *connection, json_t *id, json_t *result, json_t *error)
{
	json_t *reply = result ? json_pack("{s:O?, s:o}", "id", id, "result", result)
	                       : json_pack("{s:O?, s:o}", "id", id, "error", error);

	if (send_json(connection, reply) < 0)
		send_last(connection, "failed", "not enough memory");
}

static void on_later(void *arg, json_t *result, json_t *error)
{
	struct connection *connection = arg;

	send_reply(connection, connection->id, result, error);
	json_decref(connection->id);
	connection->id = NULL;
	go_on(connection);
}

static void answer(struct connection *connection, json_t *request)
{
	json_t *id = json_object_get(request, "id");
	json_t *params = json_object_get(request, "params");
	json_t *result = NULL;
	json_t *error = NULL;

	model_caller_set(connection->serve->model, connection->client.uid, connection->client.pid);
	if (model_call_later(connection->serve->model,
	                     json_string_value(json_object_get(request, "method")), params,
	                     on_later, connection, &result, &error)
	    != MODEL_LATER) {
		send_reply(connection, id, result, error);
		return;
	}
	connection->id = json_incref(id);
	wait_here(connection);
}

/* request is taken over; NULL: where says why it is none. */
static void take_request(struct connection *connection, json_t *request, const json_error_t *where)
{
	char message[256];
	const char *wrong;

	if (!request) {
		snprintf(message, sizeof(message), "not JSON: %s", where->text);
		send_last(connection, "bad_request", message);
		return;
	}
	wrong = request_wrong(request);
	if (wrong)
		send_last(connection, "bad_request", wrong);
	else
		answer(connection, request);
	json_decref(request);
}

/* A request can bear a key: what it was read from is wiped. */
static void line_free(char *line, size_t len)
{
	if (line)
		base_wipe(line, len);
	free(line);
}

static void parsing_free(struct work_job *job)
{
	struct parsing *parsing = (struct parsing *)job;

	json_decref(parsing->request);
	line_free(parsing->line, parsing->len);
	free(parsing);
}

/* In the thread. */
static void parsing_run(struct work_job *job)
{
	struct parsing *parsing = (struct parsing *)job;

	parsing->request = json_loadb(parsing->line, parsing->len, JSON_REJECT_DUPLICATES,
	                              &parsing->where);
	line_free(parsing->line, parsing->len);
	parsing->line = NULL;
}

static void parsing_done(struct work_job *job)
{
	struct parsing *parsing = (struct parsing *)job;
	struct connection *connection = parsing->connection;

	if (connection) {
		connection->parsing = NULL;
		go_on(connection);
		take_request(connection, parsing->request, &parsing->where);
		parsing->request = NULL;
	}
	parsing_free(job);
}

/* line is taken over. */
static void parse_later(struct connection *connection, char *line, size_t len)
{
	struct parsing *parsing = calloc(1, sizeof(*parsing));

	if (!parsing) {
		line_free(line, len);
		send_last(connection, "failed", "not enough memory");
		return;
	}
	parsing->job = (struct work_job){
		.run = parsing_run,
		.done = parsing_done,
		.drop = parsing_free,
	};
	parsing->connection = connection;
	parsing->line = line;
	parsing->len = len;
	connection->parsing = parsing;
	wait_here(connection);
	work_submit(connection->serve->work, &parsing->job);
}

/* line is taken over. */
static void take_line(struct connection *connection, char *line, size_t len)
{
	json_error_t where;

	if (len >= LONG_LEN) {
		parse_later(connection, line, len);
		return;
	}
	if (len > 0)
		take_request(connection, json_loadb(line, len, JSON_REJECT_DUPLICATES, &where),
		             &where);
	line_free(line, len);
}

/* The next line, which the caller frees, or NULL: it is not there yet. What was looked at is not looked at
 * again, since a line may be long and come in small pieces. */
static char *read_line(struct connection *connection, struct evbuffer *input, size_t *len)
{
	struct evbuffer_ptr from;

	if (evbuffer_ptr_set(input, &from, connection->n_looked, EVBUFFER_PTR_SET) < 0)
		return NULL;
	if (evbuffer_search_eol(input, &from, NULL, EVBUFFER_EOL_LF).pos < 0) {
		connection->n_looked = evbuffer_get_length(input);
		return NULL;
	}
	connection->n_looked = 0;
	return evbuffer_readln(input, len, EVBUFFER_EOL_LF);
}

/* While paused, nothing is read of who has not begun a request: it waits where another process can read it. */
static void rest(struct connection *connection)
{
	if (evbuffer_get_length(bufferevent_get_input(connection->bev)) == 0)
		bufferevent_disable(connection->bev, EV_READ);
}

/* Another request is here already: the client does not wait for one answer before it asks again. */
static void hold(struct connection *connection)
{
	struct evbuffer *input = bufferevent_get_input(connection->bev);

	if (connection->held || evbuffer_search_eol(input, NULL, NULL, EVBUFFER_EOL_LF).pos < 0)
		return;
	connection->held = evbuffer_new();
	if (!connection->held)
		return; /* each for itself */
	if (model_gather(connection->serve->model) < 0) {
		evbuffer_free(connection->held);
		connection->held = NULL;
	}
}

static void let_go(struct connection *connection)
{
	struct evbuffer *held = connection->held;
	bool is_good;

	if (!held)
		return;
	connection->held = NULL;
	is_good = model_settle(connection->serve->model) == 0
	          && evbuffer_add_buffer(bufferevent_get_output(connection->bev), held) == 0;
	evbuffer_free(held); /* wipes what is left */
	if (!is_good)
		send_last(connection, "failed",
		          "what was asked last may not have reached the disk");
}

static size_t n_unsent(const struct connection *connection)
{
	size_t n = evbuffer_get_length(bufferevent_get_output(connection->bev));

	return connection->held ? n + evbuffer_get_length(connection->held) : n;
}

/* Answer what is there. False: the rest comes later, by on_write() or as a turn of its own. */
static bool take_turn(struct connection *connection, struct bufferevent *bev)
{
	struct evbuffer *input = bufferevent_get_input(bev);
	uint64_t end_ns = base_time_monotonic_ns() + TURN_NS;

	for (int i = 0; !connection->is_closing && !connection->is_waiting; i++) {
		size_t len = 0;
		char *line;

		if (n_unsent(connection) > OUTPUT_LEN_MAX) {
			bufferevent_disable(bev, EV_READ); /* on_write() goes on */
			return false;
		}
		if (i == TURN_MAX || (i > 0 && base_time_monotonic_ns() > end_ns)) {
			bufferevent_trigger(bev, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
			return false;
		}
		line = read_line(connection, input, &len);
		if (!line)
			break;
		hold(connection);
		take_line(connection, line, len);
	}
	return !connection->is_waiting; /* go_on() comes here again */
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct connection *connection = arg;
	struct evbuffer *input = bufferevent_get_input(bev);
	bool is_done = take_turn(connection, bev);

	let_go(connection);
	if (!is_done)
		return;
	if (connection->serve->is_paused && !connection->is_closing && !connection->is_at_end)
		rest(connection);
	if (!connection->is_closing && evbuffer_get_length(input) > LINE_LEN_MAX)
		send_last(connection, "bad_request", "line is longer than 67108864 bytes");
	if (!connection->is_at_end)
		return;
	connection->is_closing = true;
	if (evbuffer_get_length(bufferevent_get_output(bev)) == 0)
		connection_free(connection);
}

/* All that was queued is out. */
static void on_write(struct bufferevent *bev, void *arg)
{
	struct connection *connection = arg;

	if (connection->is_closing) {
		connection_free(connection);
		return;
	}
	if (connection->is_waiting)
		return;
	if (!(bufferevent_get_enabled(bev) & EV_READ)) {
		bufferevent_enable(bev, EV_READ);
		bufferevent_trigger(bev, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
	}
	if (connection->serve->is_paused)
		rest(connection);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct connection *connection = arg;

	if ((what & BEV_EVENT_EOF) && !connection->is_closing) {
		connection->is_at_end = true;
		on_read(bev, connection);
	} else if (!(what & BEV_EVENT_EOF)) { /* error or time-out */
		connection_free(connection);
	}
}

/* ---- accepting ---------------------------------------------------------------------------------- */

static int on_client(void *arg, struct bufferevent *bev, const struct ucred *client,
                     bool is_allowed)
{
	struct serve *serve = arg;
	struct connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		return -ENOMEM;
	connection->serve = serve;
	connection->bev = bev;
	connection->client = *client;
	LIST_INSERT_HEAD(&serve->connections, connection, link);
	bufferevent_setcb(bev, on_read, on_write, on_event, connection);
	bufferevent_setwatermark(bev, EV_READ, 0, LINE_LEN_MAX + 1);
	bufferevent_set_max_single_read(bev, READ_LEN_MAX);
	bufferevent_set_timeouts(bev, &idle_timeout, &write_timeout);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
	if (!is_allowed)
		send_last(connection, "not_allowed", "only root and the user of weir may do this");
	return 0;
}

int serve_client_add(struct serve *serve, int fd)
{
	return serve_gate_admit(serve->gate, fd);
}

int serve_create(struct event_base *base, int fd, struct model *model, struct serve **out)
{
	const struct serve_gate_setup setup = {
		.module = "serve",
		.clients_max = CONNECTIONS_MAX,
		.admits_user = true,
		.client = on_client,
	};
	struct serve *serve = calloc(1, sizeof(*serve));
	int err;

	if (!serve)
		return -ENOMEM;
	serve->model = model;
	LIST_INIT(&serve->connections);
	err = work_create(base, &serve->work);
	if (err == 0)
		err = serve_gate_create(base, fd, &setup, serve, &serve->gate);
	if (err < 0) {
		work_destroy(serve->work);
		free(serve);
		return err;
	}
	*out = serve;
	return 0;
}

/* ---- handing over ------------------------------------------------------------------------------- */

void serve_pause(struct serve *serve, bool pause)
{
	struct connection *connection;

	serve->is_paused = pause;
	serve_gate_pause(serve->gate, pause);
	LIST_FOREACH(connection, &serve->connections, link) {
		if (pause)
			rest(connection);
		else if (!connection->is_closing && !connection->is_waiting)
			bufferevent_enable(connection->bev, EV_READ);
	}
}

static bool is_quiet(const struct connection *connection)
{
	return !connection->is_closing && !connection->is_at_end && !connection->is_waiting
	       && evbuffer_get_length(bufferevent_get_input(connection->bev)) == 0
	       && evbuffer_get_length(bufferevent_get_output(connection->bev)) == 0;
}

bool serve_is_quiet(const struct serve *serve)
{
	const struct connection *connection;

	LIST_FOREACH(connection, &serve->connections, link)
		if (!is_quiet(connection))
			return false;
	return true;
}

size_t serve_clients(const struct serve *serve, int *fds, size_t max)
{
	const struct connection *connection;
	size_t n = 0;

	LIST_FOREACH(connection, &serve->connections, link)
		if (is_quiet(connection) && n < max)
			fds[n++] = bufferevent_getfd(connection->bev);
	return n;
}

int serve_listener(const struct serve *serve)
{
	return serve_gate_listener(serve->gate);
}

void serve_destroy(struct serve *serve)
{
	struct connection *connection;

	if (!serve)
		return;
	while ((connection = LIST_FIRST(&serve->connections)) != NULL)
		connection_free(connection);
	work_destroy(serve->work);
	serve_gate_destroy(serve->gate);
	free(serve);
}
