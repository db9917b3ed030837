/* Another weir-control takes over (`weir upgrade`, takeover.h): what is under way is brought to an end, sockets
 * are given away, store and dataplane are let go of, and only the edge stays, until the last client of its has been
 * served.
 *
 * Nobody is turned away meanwhile: who connects to the control socket, or wg(8)'s, waits in its queue, and the edge of both
 * accepts from the moment on when the new one can until it says that it is ready. The workers notice that
 * control is gone and back, as after a kill, and the packets do not. */
#include "main_handover.h"

#include "abi_layout.h"
#include "base_bytes.h"
#include "base_log.h"
#include "base_siphash.h"
#include "base_time.h"
#include "config.h"
#include "edge.h"
#include "main_end.h"
#include "main_start.h"
#include "program.h"
#include "serve.h"
#include "session.h"
#include "store.h"
#include "takeover.h"
#include "uapi.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#define LOOK_MS  2
#define QUIET_NS (2 * BASE_NS_PER_S)   /* for requests and handshakes under way */
#define DRAIN_NS (600 * BASE_NS_PER_S) /* for the edge's clients; a WebSocket may last for ever */

enum handover_state {
	HANDOVER_NONE = 0,
	HANDOVER_ASKED = 1,
	HANDOVER_GIVEN = 2,
	HANDOVER_DRAINING = 3,
};

struct takeover_versions main_handover_versions(const struct control *control)
{
	const struct base_siphash_key key = {0}; /* both must come to the same; no secret */
	struct {
		struct abi_setup setup;
		uint64_t n_peers;
	} what;

	memset(&what, 0, sizeof(what));
	main_setup_dataplane(&what.setup, control->config);
	what.n_peers = control->config->max_peers;
	return (struct takeover_versions){
		.abi = ABI_VERSION,
		.store = store_schema_version(),
		.set_up = base_siphash(key, &what, sizeof(what)),
	};
}

static void look_often(struct control *control)
{
	const struct timeval often = {0, LOOK_MS * 1000};

	if (event_add(control->handover_timer, &often) != 0)
		log_err("control", "no timer for handing over");
}

/* ---- giving ------------------------------------------------------------------------------------- */

static void pause_sockets(struct control *control, bool pause)
{
	serve_pause(control->serve, pause);
	if (control->uapi != NULL)
		uapi_pause(control->uapi, pause);
}

static bool is_quiet(const struct control *control)
{
	return serve_is_quiet(control->serve) && session_is_quiet(control->sessions)
	       && (control->uapi == NULL || uapi_is_quiet(control->uapi));
}

static void go_on(struct control *control)
{
	control->handover_state = HANDOVER_NONE;
	event_del(control->handover_timer);
	pause_sockets(control, false);
}

static int give_edge(const struct control *control)
{
	int fds[TAKEOVER_EDGE_MAX];
	size_t n;

	if (control->edge == NULL)
		return 0;
	n = edge_listeners(control->edge, fds, TAKEOVER_EDGE_MAX);
	if (n > TAKEOVER_EDGE_MAX)
		return -E2BIG;
	return takeover_give(control->takeover, TAKEOVER_EDGE, fds, n);
}

static int give_sockets(const struct control *control)
{
	int clients[TAKEOVER_CLIENTS_MAX];
	size_t n = serve_clients(control->serve, clients, TAKEOVER_CLIENTS_MAX);
	int listener = serve_listener(control->serve);
	int r = takeover_give(control->takeover, TAKEOVER_SERVE, &listener, 1);

	if (r == 0)
		r = takeover_give(control->takeover, TAKEOVER_CLIENTS, clients, n);
	if (r == 0)
		r = give_edge(control);
	if (r == 0 && control->uapi != NULL)
		r = takeover_give(control->takeover, TAKEOVER_UAPI, &control->uapi_listener, 1);
	return r;
}

static void hand_over(struct control *control)
{
	int r = give_sockets(control);

	if (r != 0) {
		go_on(control);
		takeover_refuse(control->takeover, "sockets could not be handed over");
		log_err("control", "sockets not handed over err=%s", strerror(-r));
		return;
	}
	event_del(control->handover_timer);
	control->handover_state = HANDOVER_GIVEN;
	main_end_hub(control);
	takeover_close(control->takeover);
	r = takeover_given(control->takeover);
	if (r == 0) {
		log_info("control", "handed over");
		return;
	}
	log_err("control", "not handed over, ending err=%s", strerror(-r));
	control->has_failed = true;
	event_base_loopbreak(control->base);
}

static void on_asked(void *arg)
{
	struct control *control = arg;

	if (!program_is_attached(control->program)) {
		takeover_refuse(control->takeover,
		                "no dataplane is attached: what it resumes would be lost");
		return;
	}
	log_info("control", "another weir-control takes over");
	pause_sockets(control, true);
	control->handover_state = HANDOVER_ASKED;
	control->handover_until_ns = base_time_monotonic_ns() + QUIET_NS;
	look_often(control);
}

static void on_gone(void *arg)
{
	struct control *control = arg;

	if (control->handover_state == HANDOVER_ASKED) {
		log_warn("control", "who was taking over has gone: nothing has changed");
		go_on(control);
	} else if (control->handover_state == HANDOVER_GIVEN) {
		log_err("control", "who took over has died before it was ready: ending, to be "
		                   "started again");
		control->has_failed = true;
		event_base_loopbreak(control->base);
	}
}

/* ---- until the last client has been served ------------------------------------------------------- */

static void on_ready(void *arg)
{
	struct control *control = arg;

	if (control->handover_state != HANDOVER_GIVEN)
		return;
	control->handover_state = HANDOVER_DRAINING;
	control->handover_until_ns = base_time_monotonic_ns() + DRAIN_NS;
	if (control->edge != NULL)
		edge_drain(control->edge);
	look_often(control);
}

static void drain(struct control *control, uint64_t now_ns)
{
	uint32_t n = control->edge != NULL ? edge_open_connections(control->edge) : 0;

	if (n != 0 && now_ns < control->handover_until_ns)
		return;
	log_info("control", "ending after handing over connections_cut=%u", n);
	event_base_loopbreak(control->base);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct control *control = arg;
	uint64_t now_ns = base_time_monotonic_ns();

	(void)fd;
	(void)what;
	if (control->handover_state == HANDOVER_DRAINING)
		drain(control, now_ns);
	else if (control->handover_state == HANDOVER_ASKED
	         && (now_ns >= control->handover_until_ns || is_quiet(control)))
		hand_over(control);
}

int main_handover_listen(struct control *control)
{
	const struct takeover_versions versions = main_handover_versions(control);
	const struct takeover_events events = {
		.asked = on_asked, .gone = on_gone, .ready = on_ready, .arg = control};
	char path[CONFIG_PATH_LEN];
	int r;

	control->handover_timer = event_new(control->base, -1, EV_PERSIST, on_timer, control);
	if (control->handover_timer == NULL)
		return main_fail(-ENOMEM, "no timer for handing over");
	snprintf(path, sizeof(path), "%s/takeover.sock", control->config->run_dir);
	r = takeover_create(control->base, path, &versions, &events, &control->takeover);
	if (r != 0)
		log_err("control", "%s: %s", path, strerror(-r));
	return r;
}

/* ---- the new one's side -------------------------------------------------------------------------- */

int main_handover_ask(struct control *control)
{
	const struct takeover_versions versions = main_handover_versions(control);
	char path[CONFIG_PATH_LEN], error[MAIN_ERROR_LEN];
	int r;

	snprintf(path, sizeof(path), "%s/takeover.sock", control->config->run_dir);
	r = takeover_ask(path, &versions, &control->gift, error, sizeof(error));
	return r == 0 ? 0 : main_fail(r, error);
}

int main_handover_ready(struct control *control)
{
	int r;

	for (size_t i = 0; i < control->gift.n_clients; i++) {
		r = serve_client_add(control->serve, control->gift.clients[i]);
		if (r != 0)
			return main_fail(r, "control socket: out of memory");
		control->gift.clients[i] = -1;
	}
	/* Everything is here: if the other one has died meanwhile, only its clients have lost. */
	r = takeover_ready(&control->gift);
	if (r != 0)
		log_warn("control", "who was taken over from is gone err=%s", strerror(-r));
	takeover_gift_fini(&control->gift);
	return 0;
}
