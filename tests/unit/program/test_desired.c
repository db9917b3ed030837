/* The desired state against a dumb copy of it: whatever changes, a walk meets exactly what is
 * there; and a walk that is interrupted by changes ends in the right state. */
#include "base_bytes.h"
#include "program_pipe.h"
#include "test.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define N_PEERS    12U
#define N_PREFIXES 40U

static struct base_prefix make_prefix(uint32_t i)
{
	struct base_prefix prefix = {.ip = {.family = BASE_IP_V4}, .len = 32};

	prefix.ip.bytes[3] = (uint8_t)i;
	return prefix;
}

static uint32_t number_of(const struct abi_cmd_route *route)
{
	return route->prefix.ip.bytes[3];
}

/* The state as a worker has it that applies commands one after the other. */
struct dumb {
	bool peer[N_PEERS];
	uint16_t keepalive[N_PEERS];
	uint32_t holder[N_PREFIXES]; /* 1 + peer, 0 = none */
};

static void dumb_apply(struct dumb *dumb, uint16_t type, const void *payload)
{
	struct abi_cmd_peer peer;
	struct abi_cmd_route route;

	switch (type) {
	case ABI_CMD_PEER_PUT:
		memcpy(&peer, payload, sizeof(peer));
		dumb->peer[peer.peer] = true;
		dumb->keepalive[peer.peer] = peer.keepalive_s;
		break;
	case ABI_CMD_PEER_DROP:
		memcpy(&peer, payload, sizeof(peer));
		dumb->peer[peer.peer] = false;
		dumb->keepalive[peer.peer] = 0;
		break;
	case ABI_CMD_ROUTE_PUT:
		memcpy(&route, payload, sizeof(route));
		dumb->holder[number_of(&route)] = route.peer + 1;
		break;
	case ABI_CMD_ROUTE_DROP:
		memcpy(&route, payload, sizeof(route));
		if (dumb->holder[number_of(&route)] == route.peer + 1)
			dumb->holder[number_of(&route)] = 0;
		break;
	default:
		break;
	}
}

/* One random change, made in desired and handed to record(), as program does with a pipe. */
typedef void record_fn(void *arg, uint16_t type, const void *payload, uint16_t len);

static void drop_peer(struct program_desired *desired, uint32_t peer, record_fn *record, void *arg)
{
	struct abi_cmd_peer cmd = {.peer = peer};
	struct abi_cmd_route route;

	while (program_desired_peer_route(desired, peer, &route)) {
		assert_int_equal(route.peer, peer);
		assert_int_equal(program_desired_route_drop(desired, &route), 1);
		record(arg, ABI_CMD_ROUTE_DROP, &route, sizeof(route));
	}
	if (program_desired_peer_drop(desired, peer) == 1)
		record(arg, ABI_CMD_PEER_DROP, &cmd, sizeof(cmd));
}

static void change(struct program_desired *desired, struct test_random *random, record_fn *record,
                   void *arg)
{
	uint32_t peer = (uint32_t)test_random_below(random, N_PEERS);
	struct abi_cmd_route route = {
		.prefix = make_prefix((uint32_t)test_random_below(random, N_PREFIXES)),
		.peer = peer,
	};
	struct abi_cmd_peer cmd = {
		.peer = peer,
		.keepalive_s = (uint16_t)test_random_below(random, 3),
	};

	switch (test_random_below(random, 8)) {
	case 0:
		drop_peer(desired, peer, record, arg);
		break;
	case 1:
	case 2:
		if (program_desired_peer_put(desired, peer, cmd.keepalive_s) == 1)
			record(arg, ABI_CMD_PEER_PUT, &cmd, sizeof(cmd));
		break;
	case 3:
	case 4:
		if (program_desired_route_drop(desired, &route) == 1)
			record(arg, ABI_CMD_ROUTE_DROP, &route, sizeof(route));
		break;
	default:
		if (program_desired_has_peer(desired, peer)
		    && program_desired_route_put(desired, &route) == 1)
			record(arg, ABI_CMD_ROUTE_PUT, &route, sizeof(route));
		break;
	}
}

static void record_in_dumb(void *arg, uint16_t type, const void *payload, uint16_t len)
{
	(void)len;
	dumb_apply(arg, type, payload);
}

static void walk_repeats_exactly_what_is_there(void **state)
{
	struct test_random random = test_random_start();
	struct program_desired desired;
	struct dumb expected = {0};

	(void)state;
	assert_int_equal(program_desired_init(&desired, N_PEERS), 0);
	for (uint32_t i = 0; i < 20000; i++) {
		change(&desired, &random, record_in_dumb, &expected);
		if (i % 7 != 0)
			continue;

		struct program_cursor cursor = {0};
		struct program_command command;
		struct dumb walked = {0};

		for (; program_desired_at(&desired, &cursor, &command);
		     program_cursor_step(&cursor))
			dumb_apply(&walked, command.type, command.payload);
		assert_memory_equal(&walked, &expected, sizeof(walked));
	}
	program_desired_fini(&desired);
}

/* ---- a pipe through a small ring, with a worker that takes at random ---------------------------- */

#define N_SLOTS 16U
#define WORKER  1U

struct worker {
	struct abi_ring ring;
	struct abi_record records[N_SLOTS];
	struct abi_ring_end end;
	struct program_pipe pipe;
	struct dumb state;
	struct dumb repeated; /* since SYNC_BEGIN */
	bool in_sync;
	uint32_t next_message;
	uint32_t n_syncs;
	uint32_t n_forgotten[N_PEERS]; /* how often what it knew of the peer went */
};

static void note_forgotten(struct worker *worker, const struct abi_record *record)
{
	struct abi_cmd_peer peer;

	memcpy(&peer, record->payload, sizeof(peer));
	worker->n_forgotten[peer.peer] += worker->state.peer[peer.peer];
}

static void take(struct worker *worker, uint64_t n)
{
	struct abi_record record;

	while (n-- > 0 && abi_ring_pop(&worker->end, &record) == 1) {
		switch (record.type) {
		case ABI_CMD_SYNC_BEGIN:
			assert_false(worker->in_sync);
			worker->in_sync = true;
			memset(&worker->repeated, 0, sizeof(worker->repeated));
			break;
		case ABI_CMD_SYNC_END: /* what was not repeated goes */
			assert_true(worker->in_sync);
			for (uint32_t i = 0; i < N_PEERS; i++)
				worker->n_forgotten[i] += worker->state.peer[i]
				                          && !worker->repeated.peer[i];
			worker->in_sync = false;
			worker->state = worker->repeated;
			worker->n_syncs++;
			break;
		case ABI_CMD_INJECT:
			assert_false(worker->in_sync);
			assert_int_equal(base_load_le32(record.payload), worker->next_message++);
			break;
		default:
			if (record.type == ABI_CMD_PEER_DROP)
				note_forgotten(worker, &record);
			dumb_apply(&worker->state, record.type, record.payload);
			dumb_apply(&worker->repeated, record.type, record.payload);
			break;
		}
	}
}

struct both {
	struct dumb expected;
	struct worker *worker;
	struct program_desired *desired;
};

static void record_in_both(void *arg, uint16_t type, const void *payload, uint16_t len)
{
	struct both *both = arg;
	struct abi_cmd_peer peer;

	dumb_apply(&both->expected, type, payload);
	if (program_pipe_change(&both->worker->pipe, type, payload, len)
	    || type != ABI_CMD_PEER_DROP)
		return;
	memcpy(&peer, payload, sizeof(peer));
	program_desired_peer_unsaid(both->desired, peer.peer, WORKER);
}

static void settle(struct worker *worker, struct program_desired *desired)
{
	do {
		assert_int_equal(program_pipe_flush(&worker->pipe, desired, 1000), 0);
		take(worker, N_SLOTS);
	} while (program_pipe_is_busy(&worker->pipe));
	take(worker, N_SLOTS);
}

static void reopen(struct worker *worker)
{
	struct abi_record record;

	while (abi_ring_pop(&worker->end, &record) == 1)
		continue;
	worker->in_sync = false;
	worker->next_message = 0;
	program_pipe_open(&worker->pipe, abi_ring_end_make(&worker->ring, worker->records, N_SLOTS),
	                  -1, WORKER, true);
}

/* A worker that sleeps is kicked, once; one that is awake is not. */
static void a_sleeping_worker_is_woken_once(void **state)
{
	static struct worker worker;
	struct abi_cmd_session cmd = {.index = 17};
	struct program_desired desired;
	eventfd_t n;
	int fd = eventfd(0, EFD_NONBLOCK);

	(void)state;
	worker.end = abi_ring_end_make(&worker.ring, worker.records, N_SLOTS);
	assert_int_equal(program_desired_init(&desired, 1), 0);
	program_pipe_open(&worker.pipe, abi_ring_end_make(&worker.ring, worker.records, N_SLOTS),
	                  fd, 0, true);
	/* the synchronisation first */
	while (program_pipe_is_busy(&worker.pipe)) {
		struct abi_record record;

		assert_int_equal(program_pipe_flush(&worker.pipe, &desired, 4), 0);
		while (abi_ring_pop(&worker.end, &record) == 1)
			continue;
	}
	assert_int_equal(program_pipe_send(&worker.pipe, ABI_CMD_KEEPALIVE, &cmd, sizeof(cmd)), 0);
	assert_int_equal(eventfd_read(fd, &n), -1);
	for (uint32_t i = 0; i < 2; i++) {
		struct abi_record record;

		while (abi_ring_pop(&worker.end, &record) == 1)
			continue;
		assert_true(abi_ring_sleep(&worker.end));
		for (uint32_t j = 0; j < 3; j++)
			assert_int_equal(program_pipe_send(&worker.pipe, ABI_CMD_KEEPALIVE, &cmd,
			                                   sizeof(cmd)),
			                 0);
		assert_int_equal(eventfd_read(fd, &n), 0);
		assert_int_equal(n, 1);
	}
	program_pipe_close(&worker.pipe);
	program_desired_fini(&desired);
	close(fd);
}

static void interrupted_synchronisation_ends_in_the_right_state(void **state)
{
	struct test_random random = test_random_start();
	static struct worker worker;
	struct program_desired desired;
	struct both both = {.worker = &worker, .desired = &desired};
	uint32_t n_messages = 0;

	(void)state;
	assert_int_equal(program_desired_init(&desired, N_PEERS), 0);
	worker.end = abi_ring_end_make(&worker.ring, worker.records, N_SLOTS);
	for (uint32_t round = 0; round < 1000; round++) {
		if (round % 10 == 0) {
			reopen(&worker);
			n_messages = 0;
		}
		for (uint32_t i = 0; i < 30; i++) {
			uint8_t message[4];

			change(&desired, &random, record_in_both, &both);
			if (test_random_below(&random, 4) == 0) {
				base_store_le32(message, n_messages++);
				assert_int_equal(program_pipe_send(&worker.pipe, ABI_CMD_INJECT,
				                                   message, sizeof(message)),
				                 0);
			}
			if (test_random_below(&random, 3) == 0)
				assert_int_equal(program_pipe_flush(
							 &worker.pipe, &desired,
							 (uint32_t)test_random_below(&random, 20)),
				                 0);
			take(&worker, test_random_below(&random, 6));
		}
		settle(&worker, &desired);
		assert_memory_equal(&worker.state, &both.expected, sizeof(worker.state));
		assert_int_equal(worker.next_message, n_messages);
	}
	assert_int_equal(worker.n_syncs, 100);
	program_pipe_close(&worker.pipe);
	program_desired_fini(&desired);
}

static void overflowing_changes_are_carried_by_another_synchronisation(void **state)
{
	struct test_random random = test_random_start();
	static struct worker worker;
	struct program_desired desired;
	struct both both = {.worker = &worker, .desired = &desired};

	(void)state;
	assert_int_equal(program_desired_init(&desired, N_PEERS), 0);
	worker.end = abi_ring_end_make(&worker.ring, worker.records, N_SLOTS);
	reopen(&worker);
	settle(&worker, &desired);
	for (uint32_t i = 0; i < 5 * PROGRAM_QUEUE_MAX; i++)
		change(&desired, &random, record_in_both, &both);
	assert_true(worker.pipe.queue.n <= PROGRAM_QUEUE_MAX / 2);
	settle(&worker, &desired);
	assert_memory_equal(&worker.state, &both.expected, sizeof(worker.state));
	assert_int_equal(worker.n_syncs, 2);
	program_pipe_close(&worker.pipe);
	program_desired_fini(&desired);
}

static void put_peer(struct both *both, uint32_t peer, uint16_t keepalive_s)
{
	struct abi_cmd_peer cmd = {.peer = peer, .keepalive_s = keepalive_s};

	assert_int_equal(program_desired_peer_put(both->desired, peer, keepalive_s), 1);
	record_in_both(both, ABI_CMD_PEER_PUT, &cmd, sizeof(cmd));
}

/* Until changes are left to a synchronisation. */
static void overflow(struct both *both)
{
	while (!both->worker->pipe.sync_due)
		put_peer(both, 0, (uint16_t)(both->desired->peers[0].keepalive_s + 1));
}

/* A number is another's when it is given back and taken again, and a synchronisation names it but once. */
static void a_number_that_is_anothers_is_forgotten_first(void **state)
{
	static struct worker worker;
	struct program_desired desired;
	struct both both = {.worker = &worker, .desired = &desired};

	(void)state;
	assert_int_equal(program_desired_init(&desired, N_PEERS), 0);
	worker.end = abi_ring_end_make(&worker.ring, worker.records, N_SLOTS);
	reopen(&worker);
	settle(&worker, &desired);
	for (uint32_t i = 1; i < 5; i++)
		put_peer(&both, i, 0);
	settle(&worker, &desired);

	overflow(&both);
	drop_peer(&desired, 2, record_in_both, &both);
	put_peer(&both, 2, 0); /* another's at once */
	drop_peer(&desired, 3, record_in_both, &both);
	/* and one that goes and comes while the walk is under way, before it and behind it */
	while (!worker.in_sync || !worker.repeated.peer[2]) {
		assert_int_equal(program_pipe_flush(&worker.pipe, &desired, 1), 0);
		take(&worker, N_SLOTS);
	}
	overflow(&both);
	for (uint32_t i = 1; i < 5; i += 3) {
		drop_peer(&desired, i, record_in_both, &both);
		put_peer(&both, i, 0);
	}
	settle(&worker, &desired);
	assert_memory_equal(&worker.state, &both.expected, sizeof(worker.state));
	assert_int_equal(worker.n_forgotten[0], 0);
	for (uint32_t i = 1; i < 5; i++)
		assert_int_equal(worker.n_forgotten[i], 1);

	/* told once: who has come since stays */
	put_peer(&both, 3, 0);
	settle(&worker, &desired);
	overflow(&both);
	settle(&worker, &desired);
	for (uint32_t i = 1; i < 5; i++)
		assert_int_equal(worker.n_forgotten[i], 1);
	program_pipe_close(&worker.pipe);
	program_desired_fini(&desired);
}

/* What retires a session is never refused: the session would stay. */
static void a_full_queue_takes_what_retires_a_session(void **state)
{
	static struct worker worker;
	struct abi_cmd_session cmd = {.index = 17};
	struct program_desired desired;
	int err = 0;

	(void)state;
	assert_int_equal(program_desired_init(&desired, N_PEERS), 0);
	worker.end = abi_ring_end_make(&worker.ring, worker.records, N_SLOTS);
	reopen(&worker);
	while (err == 0)
		err = program_pipe_send(&worker.pipe, ABI_CMD_KEEPALIVE, &cmd, sizeof(cmd));
	assert_int_equal(err, -EAGAIN);
	assert_int_equal(program_pipe_send(&worker.pipe, ABI_CMD_SESSION_RETIRE, &cmd, sizeof(cmd)),
	                 0);
	settle(&worker, &desired);
	program_pipe_close(&worker.pipe);
	program_desired_fini(&desired);
}

/* ---- the rest --------------------------------------------------------------------------------- */

static void wan_routes_of_two_ports_are_two(void **state)
{
	struct abi_cmd_wan_route a = {.prefix = make_prefix(1), .port = 0};
	struct abi_cmd_wan_route b = {.prefix = make_prefix(1), .port = 1};
	struct program_desired desired;

	(void)state;
	assert_int_equal(program_desired_init(&desired, 1), 0);
	assert_int_equal(program_desired_wan_route_put(&desired, &a), 1);
	assert_int_equal(program_desired_wan_route_put(&desired, &b), 1);
	a.gateway = make_prefix(9).ip;
	assert_int_equal(program_desired_wan_route_put(&desired, &a), 1); /* replaces */
	assert_int_equal(desired.wan_routes.n_used, 2);
	a.gateway = make_prefix(8).ip; /* the key alone counts */
	assert_int_equal(program_desired_wan_route_drop(&desired, &a), 1);
	assert_int_equal(program_desired_wan_route_drop(&desired, &a), 0);
	assert_int_equal(desired.wan_routes.n_used, 1);
	program_desired_fini(&desired);
}

static void the_hubs_own_addresses_are_known_on_every_port(void **state)
{
	struct abi_cmd_address wan = {.ip = make_prefix(1).ip, .port = 1, .present = 1};
	struct abi_cmd_address tunnel = {
		.ip = make_prefix(2).ip, .port = ABI_PORTS_MAX, .present = 1};
	struct base_ip other = make_prefix(3).ip;
	struct program_desired desired;

	(void)state;
	assert_int_equal(program_desired_init(&desired, 1), 0);
	assert_false(program_desired_is_own(&desired, &wan.ip));
	assert_int_equal(program_desired_address(&desired, &wan), 1);
	assert_int_equal(program_desired_address(&desired, &tunnel), 1);
	assert_true(program_desired_is_own(&desired, &wan.ip));
	assert_true(program_desired_is_own(&desired, &tunnel.ip));
	assert_false(program_desired_is_own(&desired, &other));
	wan.present = 0;
	assert_int_equal(program_desired_address(&desired, &wan), 1);
	assert_false(program_desired_is_own(&desired, &wan.ip));
	program_desired_fini(&desired);
}

/* A quadratic table would take minutes here, not a fraction of a second. */
static void three_hundred_thousand_routes_are_no_trouble(void **state)
{
	const uint32_t n = 300000;
	struct program_desired desired;
	struct abi_cmd_route route = {.prefix = {.ip = {.family = BASE_IP_V4}, .len = 32}};

	(void)state;
	assert_int_equal(program_desired_init(&desired, 1), 0);
	assert_int_equal(program_desired_peer_put(&desired, 0, 0), 1);
	for (uint32_t i = 0; i < n; i++) {
		base_store_be32(route.prefix.ip.bytes, i);
		assert_int_equal(program_desired_route_put(&desired, &route), 1);
	}
	assert_int_equal(desired.routes.n_used, n);
	while (program_desired_peer_route(&desired, 0, &route))
		assert_int_equal(program_desired_route_drop(&desired, &route), 1);
	assert_int_equal(desired.routes.n_used, 0);
	program_desired_fini(&desired);
}

static void queue_keeps_order_and_wipes(void **state)
{
	struct test_random random = test_random_start();
	struct program_queue queue = {0};
	uint32_t in = 0;
	uint32_t out = 0;
	uint8_t payload[ABI_PAYLOAD_MAX] = {0};

	(void)state;
	while (out < 5000) {
		if (in < 5000 && test_random_below(&random, 5) < 3) {
			uint16_t len = (uint16_t)(4 + in % (ABI_PAYLOAD_MAX - 3));

			base_store_le32(payload, in);
			assert_int_equal(program_queue_push(&queue, (uint16_t)in, payload, len), 0);
			in++;
		} else if (queue.n != 0) {
			struct program_queued oldest = program_queue_peek(&queue);

			assert_int_equal(oldest.type, out);
			assert_int_equal(oldest.len, 4 + out % (ABI_PAYLOAD_MAX - 3));
			assert_int_equal(base_load_le32(oldest.payload), out);
			program_queue_pop(&queue);
			out++;
		}
		assert_int_equal(queue.n, in - out);
	}
	assert_null(queue.first);
	memset(payload, 0x5c, sizeof(payload));
	assert_int_equal(program_queue_push(&queue, 1, payload, 4), 0);
	assert_int_equal(program_queue_push(&queue, 2, payload, 4), 0);

	const uint8_t *first = program_queue_peek(&queue).payload;

	program_queue_pop(&queue);
	assert_true(base_is_zero_ct(first, 4)); /* the chunk is still there for the second */
	program_queue_clear(&queue);
	assert_int_equal(queue.n, 0);
}

static void limits_are_repeated_to_each_worker_as_its_own_and_go_with_the_peer(void **state)
{
	const struct abi_cmd_peer_limit limits[2] = {{.peer = 3, .rx_until = 10},
	                                             {.peer = 3, .rx_until = 20}};
	struct program_desired desired;

	(void)state;
	assert_int_equal(program_desired_init(&desired, N_PEERS), 0);
	assert_int_equal(program_desired_limit(&desired, 3, limits, 2), -ENOENT);
	assert_int_equal(program_desired_peer_put(&desired, 3, 0), 1);
	assert_int_equal(program_desired_limit(&desired, 3, limits, 2), 1);
	assert_int_equal(program_desired_limit(&desired, 3, limits, 2), 0);
	for (uint32_t round = 0; round < 3; round++) {
		struct program_cursor cursor = {.worker = round % 2};
		struct program_command command;
		struct abi_cmd_peer_limit told = {0};
		bool peer_told = false;

		if (round == 2) {
			assert_int_equal(program_desired_peer_drop(&desired, 3), 1);
			assert_int_equal(program_desired_peer_put(&desired, 3, 0), 1);
		}
		for (; program_desired_at(&desired, &cursor, &command);
		     program_cursor_step(&cursor)) {
			peer_told = peer_told || command.type == ABI_CMD_PEER_PUT;
			if (command.type != ABI_CMD_PEER_LIMIT)
				continue;
			assert_true(peer_told);
			assert_int_equal(command.len, sizeof(told));
			memcpy(&told, command.payload, sizeof(told));
		}
		assert_int_equal(told.rx_until, round < 2 ? limits[round].rx_until : 0);
	}
	program_desired_fini(&desired);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walk_repeats_exactly_what_is_there),
		cmocka_unit_test(a_sleeping_worker_is_woken_once),
		cmocka_unit_test(interrupted_synchronisation_ends_in_the_right_state),
		cmocka_unit_test(overflowing_changes_are_carried_by_another_synchronisation),
		cmocka_unit_test(a_number_that_is_anothers_is_forgotten_first),
		cmocka_unit_test(a_full_queue_takes_what_retires_a_session),
		cmocka_unit_test(wan_routes_of_two_ports_are_two),
		cmocka_unit_test(the_hubs_own_addresses_are_known_on_every_port),
		cmocka_unit_test(three_hundred_thousand_routes_are_no_trouble),
		cmocka_unit_test(queue_keeps_order_and_wipes),
		cmocka_unit_test(
			limits_are_repeated_to_each_worker_as_its_own_and_go_with_the_peer),
	};

	return cmocka_run_group_tests_name("program_desired", tests, NULL, NULL);
}
