/* control/program and a dataplane on one region: meeting in either order, the desired state repeated,
 * commands queued in order, events. Waits end on a condition. */
#include "base_bytes.h"
#include "base_log.h"
#include "pair.h"

#include <errno.h>
#include <string.h>

/* ---- synchronisation --------------------------------------------------------------------------- */

static void every_worker_gets_the_whole_state_between_the_marks(void **state)
{
	struct program_setup setup = pair_make_setup();

	(void)state;
	pair_create(&setup);
	pair_fill_desired_state();
	assert_int_equal(program_start(pair.program, NULL), 0);
	pair.pid = fake_start(pair.fake, pair.path);
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_SYNC_END) == PAIR_N_WORKERS);
	for (uint32_t w = 0; w < PAIR_N_WORKERS; w++)
		pair_expect_whole_state(w);
	assert_int_equal(pair.seen.n_attached, 1);
	assert_false(pair.seen.resumed);
	assert_int_equal(program_dataplane_pid(pair.program), pair.pid);
}

static void dataplane_may_come_first(void **state)
{
	struct program_setup setup = pair_make_setup();

	(void)state;
	pair.pid = fake_start(pair.fake, pair.path);
	pair_create(&setup);
	pair_fill_desired_state();
	/* it is there, but has no region: waited with until the start */
	assert_int_equal(program_adopt(pair.program, 5000), 0);
	assert_int_equal(program_start(pair.program, NULL), 0);
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_SYNC_END) == PAIR_N_WORKERS);
	for (uint32_t w = 0; w < PAIR_N_WORKERS; w++)
		pair_expect_whole_state(w);
}

static void changes_arrive_and_repetitions_do_not(void **state)
{
	struct base_prefix prefix = pair_make_prefix(7);

	(void)state;
	pair_start();
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_SYNC_END) == PAIR_N_WORKERS);
	fake_clear_log(pair.fake);
	pair_fill_desired_state();
	pair_fill_desired_state();
	assert_int_equal(program_peer_drop(pair.program, 6), 0);
	assert_int_equal(program_peer_drop(pair.program, 6), 0);
	assert_int_equal(program_route_drop(pair.program, &prefix, 6), 0);
	assert_int_equal(program_keepalive(pair.program, 0x10, 5), 0); /* the last, worker 0 */
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_KEEPALIVE) == 1
	               && pair_count_type(ABI_CMD_PEER_DROP) == PAIR_N_WORKERS);
	assert_int_equal(pair_count_type(ABI_CMD_HUB), PAIR_N_WORKERS);
	assert_int_equal(pair_count_type(ABI_CMD_PEER_PUT), 2 * PAIR_N_WORKERS);
	assert_int_equal(pair_count_type(ABI_CMD_ROUTE_PUT), 1);
	assert_int_equal(pair_count_type(ABI_CMD_ROUTE_DROP), 1);
	assert_int_equal(fake_n_log(pair.fake), 7 * PAIR_N_WORKERS + 2 + 1);
}

/* While the worker that writes the routes is behind, another must not get a session for a peer whose
 * number was another's: it would be given the other's packets. */
static void session_of_a_used_number_waits_for_the_old_routes_to_go(void **state)
{
	struct abi_cmd_session_install elsewhere = {.index = 0x11, .peer = 6};
	struct abi_cmd_session_install at_writer = {.index = 0x10, .peer = 6};
	struct abi_cmd_session_install unused = {.index = 0x21, .peer = 5};

	(void)state;
	pair_start();
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_SYNC_END) == PAIR_N_WORKERS);
	pair_fill_desired_state();
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_ROUTE_PUT) == 1);
	__atomic_store_n(&pair.fake->stalled, 1, __ATOMIC_RELEASE);
	assert_int_equal(program_peer_drop(pair.program, 6), 0);
	assert_int_equal(program_peer_put(pair.program, 6, 0), 0);
	assert_int_equal(program_session_install(pair.program, &elsewhere), -EAGAIN);
	assert_int_equal(program_session_install(pair.program, &at_writer), 0);
	assert_int_equal(program_session_install(pair.program, &unused), 0);
	__atomic_store_n(&pair.fake->stalled, 0, __ATOMIC_RELEASE);
	PAIR_RUN_UNTIL(program_session_install(pair.program, &elsewhere) == 0);
	assert_int_equal(pair_count_type(ABI_CMD_ROUTE_DROP), 1);
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_SESSION_INSTALL) == 3);
}

/* 5000 routes through a ring of 1024, and a session handed in meanwhile. */
static void session_waits_for_the_peers_it_needs(void **state)
{
	struct program_setup setup = pair_make_setup();
	struct abi_cmd_session_install install = {.index = 0x10, .peer = 5};
	uint32_t n_routes = 0;
	bool ended = false;

	(void)state;
	pair_create(&setup);
	assert_int_equal(program_peer_put(pair.program, 5, 0), 0);
	for (uint32_t i = 0; i < 5000; i++) {
		struct base_prefix prefix = pair_make_prefix(i);

		assert_int_equal(program_route_put(pair.program, &prefix, 5), 0);
	}
	assert_int_equal(program_start(pair.program, NULL), 0);
	pair.fake->stalled = 1;
	pair.pid = fake_start(pair.fake, pair.path);
	PAIR_RUN_UNTIL(pair.seen.n_attached == 1);
	assert_int_equal(program_session_install(pair.program, &install), 0);
	__atomic_store_n(&pair.fake->stalled, 0, __ATOMIC_RELEASE);
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_SESSION_INSTALL) == 1);
	for (uint32_t i = 0; i < fake_n_log(pair.fake); i++) {
		if (pair.fake->log[i].worker != 0)
			continue;
		n_routes += pair.fake->log[i].record.type == ABI_CMD_ROUTE_PUT;
		ended = ended || pair.fake->log[i].record.type == ABI_CMD_SYNC_END;
		if (pair.fake->log[i].record.type == ABI_CMD_SESSION_INSTALL)
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
	pair_start();
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_SYNC_END) == PAIR_N_WORKERS);
	__atomic_store_n(&pair.fake->stalled, 1, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < 5 * ABI_CMD_SLOTS; i++) {
		base_store_le32(inject.message, i);
		assert_int_equal(program_inject(pair.program, 1, &inject), 0);
	}
	__atomic_store_n(&pair.fake->stalled, 0, __ATOMIC_RELEASE);
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_INJECT) == 5 * ABI_CMD_SLOTS);
	for (uint32_t i = 0; i < fake_n_log(pair.fake); i++) {
		const struct abi_record *record = &pair.fake->log[i].record;

		if (record->type != ABI_CMD_INJECT)
			continue;
		memcpy(&inject, record->payload, sizeof(inject));
		assert_int_equal(base_load_le32(inject.message), next++);
		assert_int_equal(pair.fake->log[i].worker, 1);
	}
}

static void worker_that_takes_nothing_is_refused_more(void **state)
{
	struct abi_cmd_inject inject = {.len = 4};
	uint32_t n = 0;

	(void)state;
	pair_start();
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_SYNC_END) == PAIR_N_WORKERS);
	__atomic_store_n(&pair.fake->stalled, 1, __ATOMIC_RELEASE);
	while (n < 100000 && program_inject(pair.program, 0, &inject) == 0)
		n++;
	assert_in_range(n, ABI_CMD_SLOTS + 1, 40000);
	assert_int_equal(program_inject(pair.program, 0, &inject), -EAGAIN);
	assert_int_equal(program_inject(pair.program, 1, &inject), 0); /* the other does take */
	__atomic_store_n(&pair.fake->stalled, 0, __ATOMIC_RELEASE);
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_INJECT) == n + 1);
}

/* More changes than may wait become one more synchronisation. */
static void flood_of_changes_collapses_into_a_synchronisation(void **state)
{
	(void)state;
	pair_start();
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_SYNC_END) == PAIR_N_WORKERS);
	__atomic_store_n(&pair.fake->stalled, 1, __ATOMIC_RELEASE);
	assert_int_equal(program_peer_put(pair.program, 1, 0), 0);
	for (uint32_t round = 0; round < 20; round++) {
		for (uint32_t i = 0; i < 1000; i++) {
			struct base_prefix prefix = pair_make_prefix(i);

			assert_int_equal(round % 2 == 0
			                         ? program_route_put(pair.program, &prefix, 1)
			                         : program_route_drop(pair.program, &prefix, 1),
			                 0);
		}
	}
	assert_int_equal(program_keepalive(pair.program, 0x10, 1), 0);
	__atomic_store_n(&pair.fake->stalled, 0, __ATOMIC_RELEASE);
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_KEEPALIVE) == 1
	               && pair_count_type(ABI_CMD_SYNC_END)
	                          == PAIR_N_WORKERS + 1); /* routes go to one */
	assert_true(fake_n_log(pair.fake) < 2 * PAIR_N_WORKERS * 11000);
	/* the last word of the second synchronisation: no route */
	for (uint32_t i = fake_n_log(pair.fake); i-- > 0;) {
		const struct abi_record *record = &pair.fake->log[i].record;

		assert_int_not_equal(record->type, ABI_CMD_ROUTE_PUT);
		if (record->type == ABI_CMD_SYNC_BEGIN && pair.fake->log[i].worker == 0)
			break;
	}
}

static void nothing_can_be_sent_without_a_dataplane(void **state)
{
	struct program_setup setup = pair_make_setup();
	struct abi_cmd_inject inject = {.len = 4};

	(void)state;
	pair_create(&setup);
	assert_int_equal(program_inject(pair.program, 0, &inject), -ENOTCONN);
	assert_int_equal(program_start(pair.program, NULL), 0);
	assert_int_equal(program_inject(pair.program, 0, &inject), -ENOTCONN);
	assert_int_equal(program_inject(pair.program, PAIR_N_WORKERS, &inject), -EINVAL);
	assert_int_equal(program_keepalive(pair.program, 0x1f, 0), -EINVAL); /* worker 15 */
	assert_false(program_is_attached(pair.program));
	assert_int_equal(program_dataplane_pid(pair.program), 0);
}

static void arguments_out_of_range_are_refused(void **state)
{
	struct program_setup setup = pair_make_setup();
	struct base_prefix prefix = pair_make_prefix(1);
	struct abi_cmd_address address = {.ip = prefix.ip, .port = 1, .present = 1};
	struct abi_cmd_wan_route route = {.prefix = prefix, .port = 1};
	struct abi_cmd_neighbour neighbour = {.ip = prefix.ip, .port = 1};

	(void)state;
	pair_create(&setup);
	assert_int_equal(program_peer_put(pair.program, PAIR_N_PEERS, 0), -EINVAL);
	assert_int_equal(program_peer_drop(pair.program, PAIR_N_PEERS), -EINVAL);
	assert_int_equal(program_route_put(pair.program, &prefix, PAIR_N_PEERS), -EINVAL);
	assert_int_equal(program_route_put(pair.program, &prefix, 3), -ENOENT);
	assert_int_equal(program_address_set(pair.program, &address), -EINVAL);
	assert_int_equal(program_wan_route_put(pair.program, &route), -EINVAL);
	assert_int_equal(program_neighbour_put(pair.program, &neighbour), -EINVAL);
	address.port = ABI_PORTS_MAX; /* a tunnel address */
	assert_int_equal(program_address_set(pair.program, &address), 0);
	prefix.len = 33;
	assert_int_equal(program_peer_put(pair.program, 3, 0), 0);
	assert_int_equal(program_route_put(pair.program, &prefix, 3), -EINVAL);
	prefix.ip.family = 5;
	assert_int_equal(program_route_put(pair.program, &prefix, 3), -EINVAL);
}

/* ---- events ----------------------------------------------------------------------------------- */

static void ask_event(uint32_t worker, uint16_t type, const void *payload, uint16_t len)
{
	pair.fake->event.type = type;
	pair.fake->event.len = len;
	memcpy(pair.fake->event.payload, payload, len);
	pair.fake->event_worker = worker;
	__atomic_add_fetch(&pair.fake->n_events_asked, 1, __ATOMIC_RELEASE);
	PAIR_RUN_UNTIL(__atomic_load_n(&pair.fake->n_events_sent, __ATOMIC_ACQUIRE)
	               == pair.fake->n_events_asked);
}

static void events_come_up_with_their_content(void **state)
{
	struct abi_event_handshake handshake = {.len = 148, .port = 0};
	struct abi_event_session session = {.index = 0x21, .peer = 77};
	struct abi_event_endpoint moved = {.index = 0x21, .peer = 78};
	struct abi_event_neighbour neighbour = {.ip = {.family = BASE_IP_V4}};

	(void)state;
	pair_start();
	handshake.message[147] = 0xee;
	ask_event(1, ABI_EVENT_HANDSHAKE, &handshake, sizeof(handshake));
	PAIR_RUN_UNTIL(pair.seen.n_handshakes == 1);
	assert_int_equal(pair.seen.worker, 1);
	assert_memory_equal(&pair.seen.handshake, &handshake, sizeof(handshake));
	ask_event(1, ABI_EVENT_SESSION_CONFIRMED, &session, sizeof(session));
	PAIR_RUN_UNTIL(pair.seen.n_confirmed == 1);
	assert_int_equal(pair.seen.index, 0x21);
	assert_int_equal(pair.seen.peer, 77);
	ask_event(1, ABI_EVENT_REKEY_DUE, &session, sizeof(session));
	PAIR_RUN_UNTIL(pair.seen.n_rekeys == 1);
	ask_event(1, ABI_EVENT_ENDPOINT_MOVED, &moved, sizeof(moved));
	PAIR_RUN_UNTIL(pair.seen.n_moved == 1);
	assert_int_equal(pair.seen.moved.peer, 78);
	ask_event(0, ABI_EVENT_NEIGHBOUR_WANTED, &neighbour, sizeof(neighbour));
	PAIR_RUN_UNTIL(pair.seen.n_neighbours == 1);
}

static void malformed_events_are_ignored(void **state)
{
	struct abi_event_handshake handshake = {.len = 149};
	struct abi_event_session session = {.index = 0x21, .peer = PAIR_N_PEERS};
	struct abi_event_neighbour neighbour = {.ip = {.family = BASE_IP_V4}, .port = 1};
	struct abi_event_session last = {.index = 0x20, .peer = 1};

	(void)state;
	pair_start();
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
	PAIR_RUN_UNTIL(pair.seen.n_rekeys == 1);
	PAIR_RUN_UNTIL(program_is_attached(pair.program));
	assert_int_equal(pair.seen.n_handshakes + pair.seen.n_confirmed + pair.seen.n_neighbours,
	                 0);
	base_log_init("test", BASE_LOG_ERR);
}

static void flood_of_events_comes_up_in_order(void **state)
{
	(void)state;
	pair_start();
	__atomic_store_n(&pair.fake->n_floods, 8000, __ATOMIC_RELEASE);
	PAIR_RUN_UNTIL(pair.seen.n_wanted == 8000);
	assert_int_equal(pair.seen.n_out_of_order, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_CASE(every_worker_gets_the_whole_state_between_the_marks),
		PAIR_CASE(dataplane_may_come_first),
		PAIR_CASE(changes_arrive_and_repetitions_do_not),
		PAIR_CASE(session_of_a_used_number_waits_for_the_old_routes_to_go),
		PAIR_CASE(session_waits_for_the_peers_it_needs),
		PAIR_CASE(commands_beyond_the_ring_wait_in_order),
		PAIR_CASE(worker_that_takes_nothing_is_refused_more),
		PAIR_CASE(flood_of_changes_collapses_into_a_synchronisation),
		PAIR_CASE(nothing_can_be_sent_without_a_dataplane),
		PAIR_CASE(arguments_out_of_range_are_refused),
		PAIR_CASE(events_come_up_with_their_content),
		PAIR_CASE(malformed_events_are_ignored),
		PAIR_CASE(flood_of_events_comes_up_in_order),
	};

	base_log_init("test", BASE_LOG_ERR);
	return cmocka_run_group_tests_name("pair_program", tests, NULL, NULL);
}
