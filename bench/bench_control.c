#include "bench_control.h"

#include "abi_region.h"
#include "abi_rendezvous.h"
#include "base_bytes.h"
#include "base_log.h"
#include "base_time.h"
#include "bench_stats.h"
#include "program.h"
#include "session.h"

#include <sodium.h>

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Below what makes session ask for cookies. */
#define UNDER_WAY_MAX 32U
/* A pass takes some 10 ms. */
#define GIVE_UP_NS    (5 * BASE_NS_PER_S)

/* What control answered to one initiation. */
struct answer {
	struct abi_cmd_session_install install;
	bool installed;
	bool responded;
	uint8_t response[WG_RESPONSE_LEN];
};

struct bench_control {
	char directory[32];
	char path[48];
	struct event_base *base;
	struct program *program;
	struct session_table *sessions;
	bool attached;
	/* the dataplane's side */
	int connection;
	struct abi_fds fds;
	bool has_region;
	struct abi_region region;
	struct abi_ring_end cmd;
	struct abi_ring_end event;
	/* the pass */
	struct bench_client *clients;
	uint32_t n_peers;
	uint32_t first;
	uint32_t n_responded;
	struct answer answers[BENCH_HANDSHAKES];
};

static int fail(const char *what, int err)
{
	fprintf(stderr, "weir-bench: %s: %s\n", what, strerror(-err));
	return err;
}

/* ---- control's wiring, as in control/main.c -------------------------------------------------------- */

static void on_handshake(void *arg, uint32_t worker, const struct abi_event_handshake *event)
{
	struct bench_control *control = arg;

	session_handshake_in(control->sessions, worker, event);
}

static void on_confirmed(void *arg, uint32_t index, uint32_t peer)
{
	struct bench_control *control = arg;

	session_confirmed(control->sessions, index, peer);
}

static void on_attached(void *arg, bool resumed)
{
	struct bench_control *control = arg;

	control->attached = true;
	session_attached(control->sessions, resumed);
}

static int make_program(struct bench_control *control)
{
	struct program_setup setup = {
		.socket_path = control->path,
		.dataplane = {.n_workers = 1, .tunnel_mtu = 1420},
		.n_peers = control->n_peers,
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
	};
	const struct program_events events = {
		.handshake = on_handshake,
		.session_confirmed = on_confirmed,
		.attached = on_attached,
		.arg = control,
	};

	snprintf(control->directory, sizeof(control->directory), "/tmp/weir-bench.XXXXXX");
	if (mkdtemp(control->directory) == NULL)
		return -errno;
	snprintf(control->path, sizeof(control->path), "%s/link", control->directory);
	control->base = event_base_new();
	if (control->base == NULL)
		return -ENOMEM;
	return program_create(control->base, &setup, &events, &control->program);
}

static int make_peers(struct bench_control *control)
{
	const uint8_t *hub_key = session_public_key(control->sessions);

	for (uint32_t i = 0; i < control->n_peers; i++) {
		struct bench_client *client = &control->clients[i];
		int err = bench_client_init(client, hub_key);

		if (err == 0)
			err = session_peer_put(control->sessions, i, client->identity.public_key,
			                       NULL, NULL, NULL);
		if (err != 0)
			return err;
	}
	return 0;
}

static int make_sessions(struct bench_control *control)
{
	uint8_t key[WG_KEY_LEN];
	int err;

	randombytes_buf(key, sizeof(key));
	err = session_create(control->base, control->program, key, 1, control->n_peers,
	                     &control->sessions);
	return err == 0 ? make_peers(control) : err;
}

/* ---- the dataplane's side -------------------------------------------------------------------------- */

static int take_region(struct bench_control *control)
{
	struct abi_hello hello;
	char why[160] = "";
	int err = abi_rendezvous_receive(control->connection, &hello, &control->fds, 1000, why,
	                                 sizeof(why));

	if (err == 0)
		err = abi_region_attach(control->fds.region, &control->region, why, sizeof(why));
	if (err != 0) {
		fprintf(stderr, "weir-bench: %s\n", why);
		return err;
	}
	control->fds.region = -1;
	control->has_region = true;
	control->cmd = abi_region_cmd_ring(&control->region, 0);
	control->event = abi_region_event_ring(&control->region, 0);
	return 0;
}

static int meet(struct bench_control *control)
{
	uint64_t end_ns = base_time_monotonic_ns() + GIVE_UP_NS;
	struct abi_hello hello = {0};
	int err;

	err = program_start(control->program, NULL);
	if (err != 0)
		return err;
	control->connection = abi_rendezvous_connect(control->path, (uid_t)-1);
	if (control->connection < 0)
		return control->connection;
	err = abi_rendezvous_send(control->connection, &hello, NULL);
	while (err == 0 && !control->attached) {
		event_base_loop(control->base, EVLOOP_ONCE);
		if (base_time_monotonic_ns() > end_ns)
			err = -ETIMEDOUT;
	}
	return err == 0 ? take_region(control) : err;
}

int bench_control_create(struct bench_client *clients, uint32_t n_peers, struct bench_control **out)
{
	struct bench_control *control = calloc(1, sizeof(*control));
	int err;

	if (control == NULL)
		return fail("control", -ENOMEM);
	base_log_init("weir-bench", BASE_LOG_WARN);
	control->connection = -1;
	control->clients = clients;
	control->n_peers = n_peers;
	abi_fds_init(&control->fds);
	err = make_program(control);
	if (err == 0)
		err = make_sessions(control);
	if (err == 0)
		err = meet(control);
	if (err != 0) {
		bench_control_destroy(control);
		return fail("control", err);
	}
	*out = control;
	return 0;
}

void bench_control_destroy(struct bench_control *control)
{
	if (control == NULL)
		return;
	if (control->connection >= 0)
		close(control->connection);
	if (control->has_region)
		abi_region_fini(&control->region);
	abi_fds_close(&control->fds);
	session_destroy(control->sessions);
	if (control->program != NULL)
		program_destroy(control->program);
	if (control->base != NULL)
		event_base_free(control->base);
	unlink(control->path);
	rmdir(control->directory);
	base_wipe(control, sizeof(*control));
	free(control);
}

/* ---- a pass ---------------------------------------------------------------------------------------- */

static int push(struct bench_control *control, uint16_t type, const void *payload, uint16_t len)
{
	uint64_t one = 1;
	bool wake = false;
	int err = abi_ring_push(&control->event, type, payload, len, &wake);

	if (err == 0 && wake && write(control->fds.control_wake, &one, sizeof(one)) != sizeof(one))
		return -EIO;
	return err;
}

/* As dataplane/path/punt.c tells of it. Every client has an address of its own. */
static int push_initiation(struct bench_control *control, uint32_t number)
{
	uint32_t peer = (control->first + number) % control->n_peers;
	struct abi_event_handshake event = {
		.remote = {.ip = {.family = BASE_IP_V4}, .port = 40000},
		.len = WG_INITIATION_LEN,
	};

	base_store_be32(event.remote.ip.bytes, 0xc6120000U + peer);
	memcpy(event.message, control->clients[peer].message, WG_INITIATION_LEN);
	return push(control, ABI_EVENT_HANDSHAKE, &event, sizeof(event));
}

/* The answer to a client is known by the index that bench_handshake.c gave to its initiation. */
static struct answer *answer_to(struct bench_control *control, uint32_t index)
{
	return &control->answers[index % BENCH_HANDSHAKES];
}

/* A session was installed and the response goes out: the client would now send its first packet. */
static int take_response(struct bench_control *control, const struct abi_cmd_inject *inject)
{
	struct abi_event_session confirmed;
	struct answer *answer;

	if (inject->len != WG_RESPONSE_LEN)
		return -EPROTO;
	answer = answer_to(control, base_load_le32(inject->message + WG_RESPONSE_RECEIVER));
	if (!answer->installed || answer->responded)
		return -EPROTO;
	answer->responded = true;
	control->n_responded++;
	memcpy(answer->response, inject->message, WG_RESPONSE_LEN);
	confirmed = (struct abi_event_session){answer->install.index, answer->install.peer};
	return push(control, ABI_EVENT_SESSION_CONFIRMED, &confirmed, sizeof(confirmed));
}

static int take_command(struct bench_control *control, const struct abi_record *record)
{
	struct abi_cmd_session_install install;
	struct abi_cmd_inject inject;

	if (record->type == ABI_CMD_SESSION_INSTALL) {
		memcpy(&install, record->payload, sizeof(install));
		*answer_to(control, install.remote_index) = (struct answer){
			.install = install,
			.installed = true,
		};
	} else if (record->type == ABI_CMD_INJECT) {
		memcpy(&inject, record->payload, sizeof(inject));
		return take_response(control, &inject);
	}
	return 0;
}

static int take_commands(struct bench_control *control)
{
	struct abi_record record;
	int found;

	while ((found = abi_ring_peek(&control->cmd, &record)) == 1) {
		int err = take_command(control, &record);

		abi_ring_free(&control->cmd);
		if (err != 0)
			return err;
	}
	return found;
}

int bench_control_pass(struct bench_control *control, uint32_t first, uint64_t *cycles)
{
	uint64_t n_before = program_counter(control->program, ABI_COUNTER_HS_COMPLETED);
	uint64_t end_ns = base_time_monotonic_ns() + GIVE_UP_NS;
	uint64_t start = bench_tsc();
	uint32_t n_sent = 0;
	int err = 0;

	control->first = first;
	control->n_responded = 0;
	memset(control->answers, 0, sizeof(control->answers));
	while (program_counter(control->program, ABI_COUNTER_HS_COMPLETED)
	       != n_before + BENCH_HANDSHAKES) {
		while (err == 0 && n_sent < BENCH_HANDSHAKES
		       && n_sent - control->n_responded < UNDER_WAY_MAX)
			err = push_initiation(control, n_sent++);
		event_base_loop(control->base, EVLOOP_ONCE);
		if (err == 0)
			err = take_commands(control);
		if (err == 0 && base_time_monotonic_ns() > end_ns)
			err = -ETIMEDOUT;
		if (err != 0)
			return fail("handshakes of control", err);
	}
	*cycles = bench_tsc() - start;
	return 0;
}

bool bench_control_right(struct bench_control *control, uint32_t first)
{
	for (uint32_t i = 0; i < BENCH_HANDSHAKES; i++) {
		uint32_t peer = (first + i) % control->n_peers;
		struct bench_client *client = &control->clients[peer];
		const struct answer *answer = answer_to(control, client->handshake.local_index);

		if (!answer->responded || answer->install.peer != peer
		    || !bench_client_completes(client, answer->response, answer->install.send_key,
		                               answer->install.receive_key))
			return false;
	}
	return true;
}
