#include "pair.h"

#include "base_bytes.h"

#include <string.h>
#include <unistd.h>

struct pair pair;

static void on_attached(void *arg, bool resumed)
{
	struct pair_seen *seen = arg;

	seen->n_attached++;
	seen->resumed = resumed;
}

static void on_detached(void *arg)
{
	((struct pair_seen *)arg)->n_detached++;
}

static void on_handshake(void *arg, uint32_t worker, const struct abi_event_handshake *event)
{
	struct pair_seen *seen = arg;

	seen->n_handshakes++;
	seen->worker = worker;
	seen->handshake = *event;
}

static void on_confirmed(void *arg, uint32_t index, uint32_t peer)
{
	struct pair_seen *seen = arg;

	seen->n_confirmed++;
	seen->index = index;
	seen->peer = peer;
}

static void on_wanted(void *arg, uint32_t peer, uint32_t index)
{
	struct pair_seen *seen = arg;

	(void)index;
	if (peer != seen->n_wanted)
		seen->n_out_of_order++;
	seen->n_wanted++;
	if (seen->wanted_us != 0)
		usleep(seen->wanted_us);
}

static void on_rekey(void *arg, uint32_t peer, uint32_t index)
{
	struct pair_seen *seen = arg;

	seen->n_rekeys++;
	seen->index = index;
	seen->peer = peer;
}

static void on_moved(void *arg, const struct abi_event_endpoint *event)
{
	struct pair_seen *seen = arg;

	seen->n_moved++;
	seen->moved = *event;
}

static void on_neighbour(void *arg, uint32_t port, const struct base_ip *ip)
{
	struct pair_seen *seen = arg;

	(void)ip;
	seen->n_neighbours++;
	seen->index = port;
}

static void on_blob_done(void *arg, enum abi_blob kind, uint64_t generation, int err,
                         const char *reason)
{
	struct pair_seen *seen = arg;

	if (generation == 0) { /* that there is none, at each meeting */
		seen->n_without_blob++;
		return;
	}
	seen->n_blobs++;
	seen->blob_kind = kind;
	seen->blob_generation = generation;
	seen->blob_err = err;
	snprintf(seen->blob_reason, sizeof(seen->blob_reason), "%s", reason);
}

static void on_drift(void *arg, const struct program_finding *finding, enum program_drift_news news)
{
	struct pair_seen *seen = arg;

	seen->n_drift[news]++;
	seen->drift = *finding;
}

const struct program_events pair_callbacks = {
	.handshake = on_handshake,
	.session_confirmed = on_confirmed,
	.endpoint_moved = on_moved,
	.session_wanted = on_wanted,
	.rekey_due = on_rekey,
	.neighbour_wanted = on_neighbour,
	.attached = on_attached,
	.detached = on_detached,
	.blob_done = on_blob_done,
	.drift = on_drift,
	.arg = &pair.seen,
};

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

struct program_setup pair_make_setup(void)
{
	struct program_setup setup = {
		.socket_path = pair.path,
		.n_peers = PAIR_N_PEERS,
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
	};

	setup.dataplane.n_workers = PAIR_N_WORKERS;
	setup.dataplane.n_ports = 1;
	snprintf(setup.dataplane.ports[0].name, sizeof(setup.dataplane.ports[0].name), "wan0");
	return setup;
}

void pair_create(const struct program_setup *setup)
{
	assert_int_equal(program_create(pair.base, setup, &pair_callbacks, &pair.program), 0);
}

int pair_set_up(void **state)
{
	static const struct timeval often = {0, 2000};

	(void)state;
	memset(&pair, 0, sizeof(pair));
	snprintf(pair.directory, sizeof(pair.directory), "/tmp/weir-pair-XXXXXX");
	if (mkdtemp(pair.directory) == NULL)
		return -1;
	snprintf(pair.path, sizeof(pair.path), "%s/socket", pair.directory);
	pair.base = event_base_new();
	pair.fake = fake_create();
	if (pair.base == NULL || pair.fake == NULL)
		return -1;
	/* So that a wait looks at its condition often. */
	pair.tick = event_new(pair.base, -1, EV_PERSIST, on_tick, NULL);
	event_add(pair.tick, &often);
	return 0;
}

int pair_tear_down(void **state)
{
	(void)state;
	if (pair.pid > 0)
		fake_kill(pair.pid);
	program_destroy(pair.program);
	event_free(pair.tick);
	event_base_free(pair.base);
	fake_destroy(pair.fake);
	unlink(pair.path);
	return rmdir(pair.directory);
}

uint32_t pair_n_attached(void)
{
	return __atomic_load_n(&pair.fake->n_attached, __ATOMIC_ACQUIRE);
}

void pair_start(void)
{
	struct program_setup setup = pair_make_setup();

	pair_create(&setup);
	assert_int_equal(program_start(pair.program, NULL), 0);
	pair.pid = fake_start(pair.fake, pair.path);
	PAIR_RUN_UNTIL(pair.seen.n_attached == 1 && pair_n_attached() == 1);
}

struct base_prefix pair_make_prefix(uint32_t i)
{
	struct base_prefix prefix = {.ip = {.family = BASE_IP_V4}, .len = 32};

	prefix.ip.bytes[0] = 10;
	base_store_be16(prefix.ip.bytes + 2, (uint16_t)i);
	prefix.ip.bytes[1] = (uint8_t)(i >> 16);
	return prefix;
}

uint32_t pair_count_type(uint16_t type)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < fake_n_log(pair.fake); i++)
		n += pair.fake->log[i].record.type == type;
	return n;
}

void pair_fill_desired_state(void)
{
	struct abi_cmd_hub hub = {.listen_port = 51820, .tunnel_mtu = 1420};
	struct abi_cmd_address address = {.ip = {{192, 0, 2, 1}, BASE_IP_V4, {0}}, .present = 1};
	struct abi_cmd_wan_route route = {.prefix = {{{192, 0, 2, 0}, BASE_IP_V4, {0}}, 24, {0}}};
	struct abi_cmd_neighbour neighbour = {.ip = {{192, 0, 2, 9}, BASE_IP_V4, {0}},
	                                      .mac = {2, 0, 0, 0, 0, 9}};
	struct base_prefix prefix = pair_make_prefix(7);

	assert_int_equal(program_hub_set(pair.program, &hub), 0);
	assert_int_equal(program_address_set(pair.program, &address), 0);
	assert_int_equal(program_peer_put(pair.program, 5, 25), 0);
	assert_int_equal(program_peer_put(pair.program, 6, 0), 0);
	assert_int_equal(program_route_put(pair.program, &prefix, 6), 0);
	assert_int_equal(program_wan_route_put(pair.program, &route), 0);
	assert_int_equal(program_neighbour_put(pair.program, &neighbour), 0);
}

void pair_expect_whole_state(uint32_t worker)
{
	static const uint16_t expected[] = {
		ABI_CMD_SYNC_BEGIN,    ABI_CMD_HUB,           ABI_CMD_ADDRESS,
		ABI_CMD_PEER_PUT,      ABI_CMD_PEER_PUT,      ABI_CMD_ROUTE_PUT,
		ABI_CMD_WAN_ROUTE_PUT, ABI_CMD_NEIGHBOUR_PUT, ABI_CMD_SYNC_END,
	};
	uint32_t n = 0;

	for (uint32_t i = 0; i < fake_n_log(pair.fake); i++) {
		if (pair.fake->log[i].worker != worker)
			continue;
		if (worker != ABI_ROUTE_WORKER && expected[n] == ABI_CMD_ROUTE_PUT)
			n++; /* routes go to one */
		assert_true(n < BASE_ARRAY_LEN(expected));
		assert_int_equal(pair.fake->log[i].record.type, expected[n++]);
	}
	assert_int_equal(n, BASE_ARRAY_LEN(expected));
}
