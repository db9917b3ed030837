/* control/program and a dataplane on one region: meeting in either order, either side killed, the
 * desired state repeated, commands queued in order, offers refused. The dataplane is a child
 * process (fake_dataplane.h); control is this process, or a child where it must be killed. Waits end on a condition. */
#include "base_bytes.h"
#include "base_log.h"
#include "base_time.h"
#include "fake_dataplane.h"
#include "program.h"
#include "test.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_WORKERS 2U
#define N_PEERS   8192U
#define LIMIT_S   20

/* ---- fixture ---------------------------------------------------------------------------------- */

struct seen {
	uint32_t n_attached;
	uint32_t n_detached;
	bool resumed;
	uint32_t n_wanted;
	uint32_t n_out_of_order;
	uint32_t n_handshakes;
	struct abi_event_handshake handshake;
	uint32_t worker;
	uint32_t n_confirmed;
	uint32_t n_moved;
	struct abi_event_endpoint moved;
	uint32_t n_rekeys;
	uint32_t n_neighbours;
	uint32_t index;
	uint32_t peer;
};

struct fixture {
	char directory[64];
	char path[80];
	struct event_base *base;
	struct event *tick;
	struct program *program;
	struct fake *fake;
	pid_t pid;
	struct seen seen;
};

static struct fixture fx;

static void on_attached(void *arg, bool resumed)
{
	struct seen *seen = arg;

	seen->n_attached++;
	seen->resumed = resumed;
}

static void on_detached(void *arg)
{
	((struct seen *)arg)->n_detached++;
}

static void on_handshake(void *arg, uint32_t worker, const struct abi_event_handshake *event)
{
	struct seen *seen = arg;

	seen->n_handshakes++;
	seen->worker = worker;
	seen->handshake = *event;
}

static void on_confirmed(void *arg, uint32_t index, uint32_t peer)
{
	struct seen *seen = arg;

	seen->n_confirmed++;
	seen->index = index;
	seen->peer = peer;
}

static void on_wanted(void *arg, uint32_t peer, uint32_t index)
{
	struct seen *seen = arg;

	(void)index;
	if (peer != seen->n_wanted)
		seen->n_out_of_order++;
	seen->n_wanted++;
}

static void on_rekey(void *arg, uint32_t peer, uint32_t index)
{
	struct seen *seen = arg;

	seen->n_rekeys++;
	seen->index = index;
	seen->peer = peer;
}

static void on_moved(void *arg, const struct abi_event_endpoint *event)
{
	struct seen *seen = arg;

	seen->n_moved++;
	seen->moved = *event;
}

static void on_neighbour(void *arg, uint32_t port, const struct base_ip *ip)
{
	struct seen *seen = arg;

	(void)ip;
	seen->n_neighbours++;
	seen->index = port;
}

static const struct program_events callbacks = {
	.handshake = on_handshake,
	.session_confirmed = on_confirmed,
	.endpoint_moved = on_moved,
	.session_wanted = on_wanted,
	.rekey_due = on_rekey,
	.neighbour_wanted = on_neighbour,
	.attached = on_attached,
	.detached = on_detached,
	.arg = &fx.seen,
};

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static struct program_setup make_setup(void)
{
	struct program_setup setup = {
		.socket_path = fx.path,
		.n_peers = N_PEERS,
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
	};

	setup.dataplane.n_workers = N_WORKERS;
	setup.dataplane.n_ports = 1;
	snprintf(setup.dataplane.ports[0].name, sizeof(setup.dataplane.ports[0].name), "wan0");
	return setup;
}

static void create(const struct program_setup *setup)
{
	assert_int_equal(program_create(fx.base, setup, &callbacks, &fx.program), 0);
}

static int set_up(void **state)
{
	static const struct timeval often = {0, 2000};

	(void)state;
	memset(&fx, 0, sizeof(fx));
	snprintf(fx.directory, sizeof(fx.directory), "/tmp/weir-pair-XXXXXX");
	if (mkdtemp(fx.directory) == NULL)
		return -1;
	snprintf(fx.path, sizeof(fx.path), "%s/socket", fx.directory);
	fx.base = event_base_new();
	fx.fake = fake_create();
	if (fx.base == NULL || fx.fake == NULL)
		return -1;
	/* So that a wait looks at its condition often. */
	fx.tick = event_new(fx.base, -1, EV_PERSIST, on_tick, NULL);
	event_add(fx.tick, &often);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (fx.pid > 0)
		fake_kill(fx.pid);
	program_destroy(fx.program);
	event_free(fx.tick);
	event_base_free(fx.base);
	fake_destroy(fx.fake);
	unlink(fx.path);
	return rmdir(fx.directory);
}

/* Run control until the condition holds; fails after LIMIT_S. */
#define RUN_UNTIL(condition)                                                                       \
	do {                                                                                       \
		uint64_t limit_ns = base_time_monotonic_ns() + LIMIT_S * BASE_NS_PER_S;            \
                                                                                                   \
		while (!(condition)) {                                                             \
			if (base_time_monotonic_ns() > limit_ns)                                   \
				fail_msg("waited in vain for %s", #condition);                     \
			event_base_loop(fx.base, EVLOOP_ONCE);                                     \
		}                                                                                  \
	} while (0)

/* Times that a fake got or kept a region, by its own word. */
static uint32_t n_fake_attached(void)
{
	return __atomic_load_n(&fx.fake->n_attached, __ATOMIC_ACQUIRE);
}

/* A running, attached pair. */
static void start_pair(void)
{
	struct program_setup setup = make_setup();

	create(&setup);
	assert_int_equal(program_start(fx.program, NULL), 0);
	fx.pid = fake_start(fx.fake, fx.path);
	RUN_UNTIL(fx.seen.n_attached == 1 && n_fake_attached() == 1);
}

static struct base_prefix make_prefix(uint32_t i)
{
	struct base_prefix prefix = {.ip = {.family = BASE_IP_V4}, .len = 32};

	prefix.ip.bytes[0] = 10;
	base_store_be16(prefix.ip.bytes + 2, (uint16_t)i);
	prefix.ip.bytes[1] = (uint8_t)(i >> 16);
	return prefix;
}

static uint32_t count_type(uint16_t type)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < fake_n_log(fx.fake); i++)
		n += fx.fake->log[i].record.type == type;
	return n;
}

/* ---- synchronisation --------------------------------------------------------------------------- */

static void fill_desired_state(void)
{
	struct abi_cmd_hub hub = {.listen_port = 51820, .tunnel_mtu = 1420, .peer_to_peer = 1};
	struct abi_cmd_address address = {.ip = {{192, 0, 2, 1}, BASE_IP_V4, {0}}, .present = 1};
	struct abi_cmd_wan_route route = {.prefix = {{{192, 0, 2, 0}, BASE_IP_V4, {0}}, 24, {0}}};
	struct abi_cmd_neighbour neighbour = {.ip = {{192, 0, 2, 9}, BASE_IP_V4, {0}},
	                                      .mac = {2, 0, 0, 0, 0, 9}};
	struct base_prefix prefix = make_prefix(7);

	assert_int_equal(program_hub_set(fx.program, &hub), 0);
	assert_int_equal(program_address_set(fx.program, &address), 0);
	assert_int_equal(program_peer_put(fx.program, 5, 25), 0);
	assert_int_equal(program_peer_put(fx.program, 6, 0), 0);
	assert_int_equal(program_route_put(fx.program, &prefix, 6), 0);
	assert_int_equal(program_wan_route_put(fx.program, &route), 0);
	assert_int_equal(program_neighbour_put(fx.program, &neighbour), 0);
}

static void expect_whole_state(uint32_t worker)
{
	static const uint16_t expected[] = {
		ABI_CMD_SYNC_BEGIN,    ABI_CMD_HUB,           ABI_CMD_ADDRESS,
		ABI_CMD_PEER_PUT,      ABI_CMD_PEER_PUT,      ABI_CMD_ROUTE_PUT,
		ABI_CMD_WAN_ROUTE_PUT, ABI_CMD_NEIGHBOUR_PUT, ABI_CMD_SYNC_END,
	};
	uint32_t n = 0;

	for (uint32_t i = 0; i < fake_n_log(fx.fake); i++) {
		if (fx.fake->log[i].worker != worker)
			continue;
		if (worker != ABI_ROUTE_WORKER && expected[n] == ABI_CMD_ROUTE_PUT)
			n++; /* routes go to one */
		assert_true(n < BASE_ARRAY_LEN(expected));
		assert_int_equal(fx.fake->log[i].record.type, expected[n++]);
	}
	assert_int_equal(n, BASE_ARRAY_LEN(expected));
}

static void every_worker_gets_the_whole_state_between_the_marks(void **state)
{
	struct program_setup setup = make_setup();

	(void)state;
	create(&setup);
	fill_desired_state();
	assert_int_equal(program_start(fx.program, NULL), 0);
	fx.pid = fake_start(fx.fake, fx.path);
	RUN_UNTIL(count_type(ABI_CMD_SYNC_END) == N_WORKERS);
	for (uint32_t w = 0; w < N_WORKERS; w++)
		expect_whole_state(w);
	assert_int_equal(fx.seen.n_attached, 1);
	assert_false(fx.seen.resumed);
	assert_int_equal(program_dataplane_pid(fx.program), fx.pid);
}

static void dataplane_may_come_first(void **state)
{
	struct program_setup setup = make_setup();

	(void)state;
	fx.pid = fake_start(fx.fake, fx.path);
	create(&setup);
	fill_desired_state();
	/* it is there, but has no region: waited with until the start */
	assert_int_equal(program_adopt(fx.program, 5000), 0);
	assert_int_equal(program_start(fx.program, NULL), 0);
	RUN_UNTIL(count_type(ABI_CMD_SYNC_END) == N_WORKERS);
	for (uint32_t w = 0; w < N_WORKERS; w++)
		expect_whole_state(w);
}

static void changes_arrive_and_repetitions_do_not(void **state)
{
	struct base_prefix prefix = make_prefix(7);

	(void)state;
	start_pair();
	RUN_UNTIL(count_type(ABI_CMD_SYNC_END) == N_WORKERS);
	fake_clear_log(fx.fake);
	fill_desired_state();
	fill_desired_state();
	assert_int_equal(program_peer_drop(fx.program, 6), 0);
	assert_int_equal(program_peer_drop(fx.program, 6), 0);
	assert_int_equal(program_route_drop(fx.program, &prefix, 6), 0);
	assert_int_equal(program_keepalive(fx.program, 0x10, 5), 0); /* the last, worker 0 */
	RUN_UNTIL(count_type(ABI_CMD_KEEPALIVE) == 1 && count_type(ABI_CMD_PEER_DROP) == N_WORKERS);
	assert_int_equal(count_type(ABI_CMD_HUB), N_WORKERS);
	assert_int_equal(count_type(ABI_CMD_PEER_PUT), 2 * N_WORKERS);
	assert_int_equal(count_type(ABI_CMD_ROUTE_PUT), 1);
	assert_int_equal(count_type(ABI_CMD_ROUTE_DROP), 1);
	assert_int_equal(fake_n_log(fx.fake), 7 * N_WORKERS + 2 + 1);
}

/* While the worker that writes the routes is behind, another must not get a session for a peer whose
 * number was another's: it would be given the other's packets. */
static void session_of_a_used_number_waits_for_the_old_routes_to_go(void **state)
{
	struct abi_cmd_session_install elsewhere = {.index = 0x11, .peer = 6};
	struct abi_cmd_session_install at_writer = {.index = 0x10, .peer = 6};
	struct abi_cmd_session_install unused = {.index = 0x21, .peer = 5};

	(void)state;
	start_pair();
	RUN_UNTIL(count_type(ABI_CMD_SYNC_END) == N_WORKERS);
	fill_desired_state();
	RUN_UNTIL(count_type(ABI_CMD_ROUTE_PUT) == 1);
	__atomic_store_n(&fx.fake->stalled, 1, __ATOMIC_RELEASE);
	assert_int_equal(program_peer_drop(fx.program, 6), 0);
	assert_int_equal(program_peer_put(fx.program, 6, 0), 0);
	assert_int_equal(program_session_install(fx.program, &elsewhere), -EAGAIN);
	assert_int_equal(program_session_install(fx.program, &at_writer), 0);
	assert_int_equal(program_session_install(fx.program, &unused), 0);
	__atomic_store_n(&fx.fake->stalled, 0, __ATOMIC_RELEASE);
	RUN_UNTIL(program_session_install(fx.program, &elsewhere) == 0);
	assert_int_equal(count_type(ABI_CMD_ROUTE_DROP), 1);
	RUN_UNTIL(count_type(ABI_CMD_SESSION_INSTALL) == 3);
}

/* 5000 routes through a ring of 1024, and a session handed in meanwhile. */
static void session_waits_for_the_peers_it_needs(void **state)
{
	struct program_setup setup = make_setup();
	struct abi_cmd_session_install install = {.index = 0x10, .peer = 5};
	uint32_t n_routes = 0;
	bool ended = false;

	(void)state;
	create(&setup);
	assert_int_equal(program_peer_put(fx.program, 5, 0), 0);
	for (uint32_t i = 0; i < 5000; i++) {
		struct base_prefix prefix = make_prefix(i);

		assert_int_equal(program_route_put(fx.program, &prefix, 5), 0);
	}
	assert_int_equal(program_start(fx.program, NULL), 0);
	fx.fake->stalled = 1;
	fx.pid = fake_start(fx.fake, fx.path);
	RUN_UNTIL(fx.seen.n_attached == 1);
	assert_int_equal(program_session_install(fx.program, &install), 0);
	__atomic_store_n(&fx.fake->stalled, 0, __ATOMIC_RELEASE);
	RUN_UNTIL(count_type(ABI_CMD_SESSION_INSTALL) == 1);
	for (uint32_t i = 0; i < fake_n_log(fx.fake); i++) {
		if (fx.fake->log[i].worker != 0)
			continue;
		n_routes += fx.fake->log[i].record.type == ABI_CMD_ROUTE_PUT;
		ended = ended || fx.fake->log[i].record.type == ABI_CMD_SYNC_END;
		if (fx.fake->log[i].record.type == ABI_CMD_SESSION_INSTALL)
			assert_true(ended);
	}
	assert_int_equal(n_routes, 5000);
}

/* ---- queue ------------------------------------------------------------------------------------ */

static void commands_beyond_the_ring_wait_in_order(void **state)
{
	struct abi_cmd_inject inject = {.remote = {.ip = {.family = BASE_IP_V4}}, .len = 4};
	uint32_t next = 0;

	(void)state;
	start_pair();
	RUN_UNTIL(count_type(ABI_CMD_SYNC_END) == N_WORKERS);
	__atomic_store_n(&fx.fake->stalled, 1, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < 5 * ABI_CMD_SLOTS; i++) {
		base_store_le32(inject.message, i);
		assert_int_equal(program_inject(fx.program, 1, &inject), 0);
	}
	__atomic_store_n(&fx.fake->stalled, 0, __ATOMIC_RELEASE);
	RUN_UNTIL(count_type(ABI_CMD_INJECT) == 5 * ABI_CMD_SLOTS);
	for (uint32_t i = 0; i < fake_n_log(fx.fake); i++) {
		const struct abi_record *record = &fx.fake->log[i].record;

		if (record->type != ABI_CMD_INJECT)
			continue;
		memcpy(&inject, record->payload, sizeof(inject));
		assert_int_equal(base_load_le32(inject.message), next++);
		assert_int_equal(fx.fake->log[i].worker, 1);
	}
}

static void worker_that_takes_nothing_is_refused_more(void **state)
{
	struct abi_cmd_inject inject = {.len = 4};
	uint32_t n = 0;

	(void)state;
	start_pair();
	RUN_UNTIL(count_type(ABI_CMD_SYNC_END) == N_WORKERS);
	__atomic_store_n(&fx.fake->stalled, 1, __ATOMIC_RELEASE);
	while (n < 100000 && program_inject(fx.program, 0, &inject) == 0)
		n++;
	assert_in_range(n, ABI_CMD_SLOTS + 1, 40000);
	assert_int_equal(program_inject(fx.program, 0, &inject), -EAGAIN);
	assert_int_equal(program_inject(fx.program, 1, &inject), 0); /* the other does take */
	__atomic_store_n(&fx.fake->stalled, 0, __ATOMIC_RELEASE);
	RUN_UNTIL(count_type(ABI_CMD_INJECT) == n + 1);
}

/* More changes than may wait become one more synchronisation. */
static void flood_of_changes_collapses_into_a_synchronisation(void **state)
{
	(void)state;
	start_pair();
	RUN_UNTIL(count_type(ABI_CMD_SYNC_END) == N_WORKERS);
	__atomic_store_n(&fx.fake->stalled, 1, __ATOMIC_RELEASE);
	assert_int_equal(program_peer_put(fx.program, 1, 0), 0);
	for (uint32_t round = 0; round < 20; round++) {
		for (uint32_t i = 0; i < 1000; i++) {
			struct base_prefix prefix = make_prefix(i);

			assert_int_equal(round % 2 == 0
			                         ? program_route_put(fx.program, &prefix, 1)
			                         : program_route_drop(fx.program, &prefix, 1),
			                 0);
		}
	}
	assert_int_equal(program_keepalive(fx.program, 0x10, 1), 0);
	__atomic_store_n(&fx.fake->stalled, 0, __ATOMIC_RELEASE);
	RUN_UNTIL(count_type(ABI_CMD_KEEPALIVE) == 1
	          && count_type(ABI_CMD_SYNC_END) == N_WORKERS + 1); /* routes go to one */
	assert_true(fake_n_log(fx.fake) < 2 * N_WORKERS * 11000);
	/* the last word of the second synchronisation: no route */
	for (uint32_t i = fake_n_log(fx.fake); i-- > 0;) {
		const struct abi_record *record = &fx.fake->log[i].record;

		assert_int_not_equal(record->type, ABI_CMD_ROUTE_PUT);
		if (record->type == ABI_CMD_SYNC_BEGIN && fx.fake->log[i].worker == 0)
			break;
	}
}

static void nothing_can_be_sent_without_a_dataplane(void **state)
{
	struct program_setup setup = make_setup();
	struct abi_cmd_inject inject = {.len = 4};

	(void)state;
	create(&setup);
	assert_int_equal(program_inject(fx.program, 0, &inject), -ENOTCONN);
	assert_int_equal(program_start(fx.program, NULL), 0);
	assert_int_equal(program_inject(fx.program, 0, &inject), -ENOTCONN);
	assert_int_equal(program_inject(fx.program, N_WORKERS, &inject), -EINVAL);
	assert_int_equal(program_keepalive(fx.program, 0x1f, 0), -EINVAL); /* worker 15 */
	assert_false(program_is_attached(fx.program));
	assert_int_equal(program_dataplane_pid(fx.program), 0);
}

static void arguments_out_of_range_are_refused(void **state)
{
	struct program_setup setup = make_setup();
	struct base_prefix prefix = make_prefix(1);
	struct abi_cmd_address address = {.ip = prefix.ip, .port = 1, .present = 1};
	struct abi_cmd_wan_route route = {.prefix = prefix, .port = 1};
	struct abi_cmd_neighbour neighbour = {.ip = prefix.ip, .port = 1};

	(void)state;
	create(&setup);
	assert_int_equal(program_peer_put(fx.program, N_PEERS, 0), -EINVAL);
	assert_int_equal(program_peer_drop(fx.program, N_PEERS), -EINVAL);
	assert_int_equal(program_route_put(fx.program, &prefix, N_PEERS), -EINVAL);
	assert_int_equal(program_route_put(fx.program, &prefix, 3), -ENOENT);
	assert_int_equal(program_address_set(fx.program, &address), -EINVAL);
	assert_int_equal(program_wan_route_put(fx.program, &route), -EINVAL);
	assert_int_equal(program_neighbour_put(fx.program, &neighbour), -EINVAL);
	address.port = ABI_PORTS_MAX; /* a tunnel address */
	assert_int_equal(program_address_set(fx.program, &address), 0);
	prefix.len = 33;
	assert_int_equal(program_peer_put(fx.program, 3, 0), 0);
	assert_int_equal(program_route_put(fx.program, &prefix, 3), -EINVAL);
	prefix.ip.family = 5;
	assert_int_equal(program_route_put(fx.program, &prefix, 3), -EINVAL);
}

/* ---- events ----------------------------------------------------------------------------------- */

static void ask_event(uint32_t worker, uint16_t type, const void *payload, uint16_t len)
{
	fx.fake->event.type = type;
	fx.fake->event.len = len;
	memcpy(fx.fake->event.payload, payload, len);
	fx.fake->event_worker = worker;
	__atomic_add_fetch(&fx.fake->n_events_asked, 1, __ATOMIC_RELEASE);
	RUN_UNTIL(__atomic_load_n(&fx.fake->n_events_sent, __ATOMIC_ACQUIRE)
	          == fx.fake->n_events_asked);
}

static void events_come_up_with_their_content(void **state)
{
	struct abi_event_handshake handshake = {.len = 148, .port = 0};
	struct abi_event_session session = {.index = 0x21, .peer = 77};
	struct abi_event_endpoint moved = {.index = 0x21, .peer = 78};
	struct abi_event_neighbour neighbour = {.ip = {.family = BASE_IP_V4}};

	(void)state;
	start_pair();
	handshake.message[147] = 0xee;
	ask_event(1, ABI_EVENT_HANDSHAKE, &handshake, sizeof(handshake));
	RUN_UNTIL(fx.seen.n_handshakes == 1);
	assert_int_equal(fx.seen.worker, 1);
	assert_memory_equal(&fx.seen.handshake, &handshake, sizeof(handshake));
	ask_event(1, ABI_EVENT_SESSION_CONFIRMED, &session, sizeof(session));
	RUN_UNTIL(fx.seen.n_confirmed == 1);
	assert_int_equal(fx.seen.index, 0x21);
	assert_int_equal(fx.seen.peer, 77);
	ask_event(1, ABI_EVENT_REKEY_DUE, &session, sizeof(session));
	RUN_UNTIL(fx.seen.n_rekeys == 1);
	ask_event(1, ABI_EVENT_ENDPOINT_MOVED, &moved, sizeof(moved));
	RUN_UNTIL(fx.seen.n_moved == 1);
	assert_int_equal(fx.seen.moved.peer, 78);
	ask_event(0, ABI_EVENT_NEIGHBOUR_WANTED, &neighbour, sizeof(neighbour));
	RUN_UNTIL(fx.seen.n_neighbours == 1);
}

static void malformed_events_are_ignored(void **state)
{
	struct abi_event_handshake handshake = {.len = 149};
	struct abi_event_session session = {.index = 0x21, .peer = N_PEERS};
	struct abi_event_neighbour neighbour = {.ip = {.family = BASE_IP_V4}, .port = 1};
	struct abi_event_session last = {.index = 0x20, .peer = 1};

	(void)state;
	start_pair();
	base_log_init("test", BASE_LOG_ERR);
	ask_event(0, ABI_EVENT_HANDSHAKE, &handshake, sizeof(handshake));
	handshake.len = 0;
	ask_event(0, ABI_EVENT_HANDSHAKE, &handshake, sizeof(handshake));
	ask_event(0, ABI_EVENT_HANDSHAKE, &handshake, sizeof(handshake) - 1);
	ask_event(1, ABI_EVENT_SESSION_CONFIRMED, &session, sizeof(session));
	session.peer = 1;
	ask_event(0, ABI_EVENT_SESSION_CONFIRMED, &session, sizeof(session)); /* worker 1's */
	ask_event(0, ABI_EVENT_NEIGHBOUR_WANTED, &neighbour, sizeof(neighbour));
	ask_event(0, ABI_N_EVENT_TYPES, &session, sizeof(session));
	ask_event(0, UINT16_MAX, &session, sizeof(session));
	ask_event(0, ABI_EVENT_NONE, &session, 0);
	ask_event(0, ABI_EVENT_REKEY_DUE, &last, sizeof(last));
	RUN_UNTIL(fx.seen.n_rekeys == 1);
	RUN_UNTIL(program_is_attached(fx.program));
	assert_int_equal(fx.seen.n_handshakes + fx.seen.n_confirmed + fx.seen.n_neighbours, 0);
	base_log_init("test", BASE_LOG_ERR);
}

static void flood_of_events_comes_up_in_order(void **state)
{
	(void)state;
	start_pair();
	__atomic_store_n(&fx.fake->n_floods, 8000, __ATOMIC_RELEASE);
	RUN_UNTIL(fx.seen.n_wanted == 8000);
	assert_int_equal(fx.seen.n_out_of_order, 0);
}

/* ---- kills ------------------------------------------------------------------------------------ */

/* Put a session into the region as a worker would. */
static void make_session(uint32_t worker, uint32_t slot)
{
	char path[64];
	struct abi_session session = {.index = abi_index_make(worker, slot, 0xab000000), .peer = 5};
	int fd = -1;

	/* The fake's mapping is found through /proc: the test has no region of its own. */
	for (int i = 3; i < 64; i++) {
		char target[64] = "";

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", fx.pid, i);
		if (readlink(path, target, sizeof(target) - 1) > 0
		    && strncmp(target, "/memfd:weir", 11) == 0)
			fd = open(path, O_RDWR | O_CLOEXEC);
	}
	assert_true(fd >= 0);

	struct abi_region region;
	char why[160];

	assert_int_equal(abi_region_attach(fd, &region, why, sizeof(why)), 0);
	*abi_region_session(&region, worker, slot) = session;
	abi_region_fini(&region);
}

static int note_session(void *arg, uint32_t worker, uint32_t slot,
                        const struct abi_session *session)
{
	uint32_t *sum = arg;

	assert_int_equal(session->index, abi_index_make(worker, slot, 0xab000000));
	*sum += worker * 100000 + slot;
	return 0;
}

static void killed_dataplane_is_followed_by_one_with_its_region(void **state)
{
	uint32_t sum = 0;
	uint64_t epoch;

	(void)state;
	start_pair();
	fill_desired_state();
	RUN_UNTIL(count_type(ABI_CMD_NEIGHBOUR_PUT) == N_WORKERS);
	epoch = fx.fake->epoch;
	make_session(0, 3);
	make_session(1, 32000);
	fake_kill(fx.pid);
	RUN_UNTIL(fx.seen.n_detached == 1);
	assert_false(program_is_attached(fx.program));
	fake_clear_log(fx.fake);
	fx.pid = fake_start(fx.fake, fx.path);
	RUN_UNTIL(count_type(ABI_CMD_SYNC_END) == N_WORKERS);
	assert_int_equal(fx.seen.n_attached, 2);
	assert_true(fx.seen.resumed);
	assert_true(fx.fake->epoch == epoch);
	for (uint32_t w = 0; w < N_WORKERS; w++)
		expect_whole_state(w);
	assert_int_equal(program_session_each(fx.program, note_session, &sum), 0);
	assert_int_equal(sum, 100000 + 3 + 32000);
}

/* What a dying dataplane said last is heard, and answered into the ring for the next. */
static void last_words_of_a_killed_dataplane_are_heard(void **state)
{
	struct abi_event_handshake handshake = {.len = 92};

	(void)state;
	start_pair();
	RUN_UNTIL(count_type(ABI_CMD_SYNC_END) == N_WORKERS);
	fx.fake->event.type = ABI_EVENT_HANDSHAKE;
	fx.fake->event.len = sizeof(handshake);
	memcpy(fx.fake->event.payload, &handshake, sizeof(handshake));
	__atomic_add_fetch(&fx.fake->n_events_asked, 1, __ATOMIC_RELEASE);
	/* control does not run meanwhile */
	while (__atomic_load_n(&fx.fake->n_events_sent, __ATOMIC_ACQUIRE) == 0)
		usleep(1000);
	fake_kill(fx.pid);
	RUN_UNTIL(fx.seen.n_detached == 1);
	fx.pid = 0;
	assert_int_equal(fx.seen.n_handshakes, 1);
}

static void dataplane_killed_again_and_again_always_gets_back(void **state)
{
	struct test_random random = test_random_start();

	(void)state;
	start_pair();
	fill_desired_state();
	for (uint32_t i = 1; i <= 20; i++) {
		__atomic_store_n(&fx.fake->n_floods, 300, __ATOMIC_RELEASE);
		usleep((useconds_t)test_random_below(&random, 3000));
		fake_kill(fx.pid);
		RUN_UNTIL(fx.seen.n_detached == i);
		fx.fake->n_floods = 0;
		fake_clear_log(fx.fake);
		fx.pid = fake_start(fx.fake, fx.path);
		RUN_UNTIL(fx.seen.n_attached == i + 1 && count_type(ABI_CMD_SYNC_END) == N_WORKERS);
	}
}

/* A control of its own process, to be killed. Returns its pid. */
static pid_t start_control(void)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	event_reinit(fx.base);

	struct program_setup setup = make_setup();
	struct abi_fds devices;

	abi_fds_init(&devices);
	devices.tun = open("/dev/zero", O_RDWR | O_CLOEXEC);
	create(&setup);
	fill_desired_state();
	if (program_start(fx.program, &devices) != 0)
		_exit(1);
	event_base_dispatch(fx.base);
	_exit(0);
}

static void wait_for_log(uint16_t type, uint32_t n)
{
	uint64_t limit_ns = base_time_monotonic_ns() + LIMIT_S * BASE_NS_PER_S;

	while (count_type(type) < n) {
		if (base_time_monotonic_ns() > limit_ns)
			fail_msg("dataplane waited in vain for command %u", type);
		usleep(1000);
	}
}

/* region, control's eventfd, TUN, and an eventfd a worker */
#define FD_MASK (7U | ((1U << N_WORKERS) - 1U) << (3U + ABI_PORTS_MAX))

static void killed_control_is_followed_by_one_that_adopts(void **state)
{
	struct program_setup setup = make_setup();
	pid_t control = start_control();
	uint64_t epoch;

	(void)state;
	assert_true(control > 0);
	fx.pid = fake_start(fx.fake, fx.path);
	wait_for_log(ABI_CMD_SYNC_END, N_WORKERS);
	assert_int_equal(fx.fake->fd_mask, FD_MASK);
	epoch = fx.fake->epoch;
	make_session(1, 9);
	fake_kill(control);
	fake_clear_log(fx.fake);

	setup.has_tun = true;
	create(&setup);
	assert_int_equal(program_adopt(fx.program, 5000), 1);
	fill_desired_state();
	assert_int_equal(program_start(fx.program, NULL), 0);
	RUN_UNTIL(count_type(ABI_CMD_SYNC_END) == N_WORKERS);
	assert_int_equal(fx.seen.n_attached, 1);
	assert_true(fx.seen.resumed);
	assert_true(fx.fake->epoch == epoch);
	assert_int_equal(program_dataplane_pid(fx.program), fx.pid);
	for (uint32_t w = 0; w < N_WORKERS; w++)
		expect_whole_state(w);

	/* and the adopted descriptors serve the next dataplane */
	fake_kill(fx.pid);
	RUN_UNTIL(fx.seen.n_detached == 1);
	fx.pid = fake_start(fx.fake, fx.path);
	RUN_UNTIL(fx.seen.n_attached == 2 && n_fake_attached() == 3);
	assert_int_equal(fx.fake->fd_mask, FD_MASK);
	assert_true(fx.fake->epoch == epoch);
}

/* ---- refusals --------------------------------------------------------------------------------- */

static void dataplane_of_another_setup_is_sent_away(void **state)
{
	struct program_setup setup = make_setup();
	pid_t control = start_control();

	(void)state;
	fx.pid = fake_start(fx.fake, fx.path);
	wait_for_log(ABI_CMD_SYNC_END, N_WORKERS);
	fake_kill(control);

	setup.dataplane.tunnel_mtu = 1380;
	create(&setup);
	assert_int_equal(program_adopt(fx.program, 5000), 0);
	/* it has gone when program_adopt() returns, or is about to */
	assert_int_equal(fake_wait(fx.pid), FAKE_EXIT_REFUSED);
	assert_non_null(strstr(fx.fake->reason, "configuration has changed"));
	assert_int_equal(program_start(fx.program, NULL), 0);
	fx.pid = fake_start(fx.fake, fx.path);
	RUN_UNTIL(fx.seen.n_attached == 1);
	assert_false(fx.seen.resumed);
}

static void offer_without_a_needed_descriptor_is_sent_away(void **state)
{
	struct program_setup setup = make_setup();

	(void)state;
	setup.dataplane.ports[0].has_tap = 1;
	/* the first control forgets the TAP that its set-up names */
	create(&setup);
	assert_int_equal(program_start(fx.program, NULL), 0);
	fx.pid = fake_start(fx.fake, fx.path);
	RUN_UNTIL(fx.seen.n_attached == 1);
	program_destroy(fx.program);
	create(&setup);
	assert_int_equal(program_adopt(fx.program, 5000), 0);
	assert_int_equal(fake_wait(fx.pid), FAKE_EXIT_REFUSED);
	fx.pid = 0;
	assert_non_null(strstr(fx.fake->reason, "TAP of port wan0"));
}

static void dataplane_that_comes_late_with_its_region_is_refused(void **state)
{
	struct program_setup setup = make_setup();
	pid_t control = start_control();

	(void)state;
	fx.pid = fake_start(fx.fake, fx.path);
	wait_for_log(ABI_CMD_SYNC_END, N_WORKERS);
	assert_int_equal(kill(fx.pid, SIGSTOP), 0);
	fake_kill(control);
	create(&setup);
	assert_int_equal(program_adopt(fx.program, 10), 0); /* nobody speaks in time */
	assert_int_equal(program_start(fx.program, NULL), 0);
	assert_int_equal(kill(fx.pid, SIGCONT), 0);
	RUN_UNTIL(fx.fake->reason[0] != '\0');
	assert_int_equal(fake_wait(fx.pid), FAKE_EXIT_REFUSED);
	fx.pid = 0;
	assert_int_equal(fx.seen.n_attached, 0);
}

static void second_dataplane_is_refused_while_the_first_lives(void **state)
{
	struct fake *second = fake_create();
	pid_t pid;

	(void)state;
	start_pair();
	assert_non_null(second);
	pid = fake_start(second, fx.path);
	RUN_UNTIL(second->reason[0] != '\0');
	assert_int_equal(fake_wait(pid), FAKE_EXIT_REFUSED);
	assert_non_null(strstr(second->reason, "another dataplane is attached"));
	assert_true(program_is_attached(fx.program));
	assert_int_equal(fx.seen.n_detached, 0);
	fake_destroy(second);
}

static void corrupt_ring_ends_the_region(void **state)
{
	uint64_t epoch;

	(void)state;
	start_pair();
	epoch = fx.fake->epoch;
	__atomic_store_n(&fx.fake->corrupt, 1, __ATOMIC_RELEASE);
	RUN_UNTIL(fx.seen.n_detached == 1);
	RUN_UNTIL(fx.fake->reason[0] != '\0'); /* it offered the region again */
	assert_int_equal(fake_wait(fx.pid), FAKE_EXIT_REFUSED);
	assert_non_null(strstr(fx.fake->reason, "corrupt"));
	fx.pid = fake_start(fx.fake, fx.path);
	RUN_UNTIL(fx.seen.n_attached == 2 && n_fake_attached() == 2);
	assert_false(fx.fake->epoch == epoch);
	assert_false(fx.seen.resumed);
}

static void second_control_is_refused(void **state)
{
	struct program_setup setup = make_setup();
	struct program *second;

	(void)state;
	create(&setup);
	base_log_init("test", BASE_LOG_ERR);
	assert_int_equal(program_create(fx.base, &setup, &callbacks, &second), -EADDRINUSE);
	setup.n_peers = 0;
	assert_int_equal(program_create(fx.base, &setup, &callbacks, &second), -EINVAL);
	base_log_init("test", BASE_LOG_ERR);
}

static void strangers_word_and_silence_do_no_harm(void **state)
{
	struct program_setup setup = make_setup();
	int silent;
	int rude;

	(void)state;
	create(&setup);
	assert_int_equal(program_start(fx.program, NULL), 0);
	silent = abi_rendezvous_connect(fx.path, (uid_t)-1);
	rude = abi_rendezvous_connect(fx.path, (uid_t)-1);
	assert_true(silent >= 0 && rude >= 0);
	assert_int_equal(write(rude, "GET / HTTP/1.1", 14), 14);
	fx.pid = fake_start(fx.fake, fx.path);
	RUN_UNTIL(fx.seen.n_attached == 1);
	close(silent);
	close(rude);
}

static void counters_of_control_count_and_survive_it(void **state)
{
	struct program_setup setup = make_setup();

	(void)state;
	start_pair();
	program_count(fx.program, ABI_COUNTER_HS_INITIATION_IN, 3);
	assert_int_equal(program_counter(fx.program, ABI_COUNTER_HS_INITIATION_IN), 3);
	program_destroy(fx.program);
	create(&setup);
	assert_int_equal(program_counter(fx.program, ABI_COUNTER_HS_INITIATION_IN), 0);
	assert_int_equal(program_adopt(fx.program, 5000), 1);
	assert_int_equal(program_start(fx.program, NULL), 0);
	program_count(fx.program, ABI_COUNTER_HS_INITIATION_IN, 1);
	assert_int_equal(program_counter(fx.program, ABI_COUNTER_HS_INITIATION_IN), 4);
	assert_int_equal(program_peer_counters(fx.program, 0).rx_packets, 0);
	assert_int_equal(program_n_slots(fx.program), 4 * N_PEERS);
	assert_int_equal(program_n_workers(fx.program), N_WORKERS);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(every_worker_gets_the_whole_state_between_the_marks),
		CASE(dataplane_may_come_first),
		CASE(changes_arrive_and_repetitions_do_not),
		CASE(session_of_a_used_number_waits_for_the_old_routes_to_go),
		CASE(session_waits_for_the_peers_it_needs),
		CASE(commands_beyond_the_ring_wait_in_order),
		CASE(worker_that_takes_nothing_is_refused_more),
		CASE(flood_of_changes_collapses_into_a_synchronisation),
		CASE(nothing_can_be_sent_without_a_dataplane),
		CASE(arguments_out_of_range_are_refused),
		CASE(events_come_up_with_their_content),
		CASE(malformed_events_are_ignored),
		CASE(flood_of_events_comes_up_in_order),
		CASE(killed_dataplane_is_followed_by_one_with_its_region),
		CASE(last_words_of_a_killed_dataplane_are_heard),
		CASE(dataplane_killed_again_and_again_always_gets_back),
		CASE(killed_control_is_followed_by_one_that_adopts),
		CASE(dataplane_of_another_setup_is_sent_away),
		CASE(offer_without_a_needed_descriptor_is_sent_away),
		CASE(dataplane_that_comes_late_with_its_region_is_refused),
		CASE(second_dataplane_is_refused_while_the_first_lives),
		CASE(corrupt_ring_ends_the_region),
		CASE(second_control_is_refused),
		CASE(strangers_word_and_silence_do_no_harm),
		CASE(counters_of_control_count_and_survive_it),
	};

	base_log_init("test", BASE_LOG_ERR);
	return cmocka_run_group_tests_name("pair_program", tests, NULL, NULL);
}
