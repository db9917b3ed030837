/* The one table of routes: worker 0 writes, every worker reads. */
#include "base_bytes.h"
#include "flow.h"
#include "state_route.h"

#include <stdio.h>

static const struct flow_options two = {.n_workers = 2};

static void cmd_route(struct flow *flow, uint32_t worker, uint16_t type, const char *prefix,
                      uint32_t peer)
{
	struct abi_cmd_route route = {.peer = peer};

	assert_int_equal(base_prefix_parse(prefix, &route.prefix), 0);
	FLOW_CMD(flow, worker, type, route);
}

/* One turn of one worker, and no other. */
static void turn_of(struct flow *flow, uint32_t worker)
{
	worker_turn(flow->workers[worker], ++flow->now_ns);
}

/* A packet of the kernel's to this address comes to worker 1. Returns how it was counted. */
static enum abi_counter fate(struct flow *flow, const char *address)
{
	static const enum abi_counter fates[] = {ABI_COUNTER_DROP_NO_ROUTE, ABI_COUNTER_TO_WAIT,
	                                         ABI_COUNTER_TX_WAN};
	struct base_ip source = flow_ip("10.0.0.1");
	struct base_ip destination = flow_ip(address);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = flow_inner(inner, &source, &destination, 64, 64);
	uint64_t before[BASE_ARRAY_LEN(fates)];
	uint8_t frame[FLOW_FRAME_MAX];

	for (size_t i = 0; i < BASE_ARRAY_LEN(fates); i++)
		before[i] = flow_counter(flow, fates[i]);
	flow_from_kernel(flow, 1, PORT_LINK_TUN, inner, len);
	turn_of(flow, 1);
	(void)flow_tx(flow, 1, 0, frame);
	for (size_t i = 0; i < BASE_ARRAY_LEN(fates); i++)
		if (flow_counter(flow, fates[i]) == before[i] + 1)
			return fates[i];
	fail_msg("a packet to %s was not counted", address);
	return ABI_N_COUNTERS;
}

static void what_worker_0_writes_all_workers_read(void **state)
{
	struct flow *flow = flow_create(&two);
	struct flow_session to = flow_session(flow, 1, 1, 3, BASE_IP_V4);

	(void)state;
	(void)to;
	assert_int_equal(fate(flow, "10.50.1.1"), ABI_COUNTER_DROP_NO_ROUTE);
	cmd_route(flow, 0, ABI_CMD_ROUTE_PUT, "10.50.0.0/16", 3);
	turn_of(flow, 0);
	assert_int_equal(fate(flow, "10.50.1.1"), ABI_COUNTER_TX_WAN);
	cmd_route(flow, 0, ABI_CMD_ROUTE_PUT, "10.50.1.0/24", 4); /* has no session */
	turn_of(flow, 0);
	assert_int_equal(fate(flow, "10.50.1.1"), ABI_COUNTER_TO_WAIT);
	assert_int_equal(fate(flow, "10.50.2.1"), ABI_COUNTER_TX_WAN);
	FLOW_CMD(flow, 0, ABI_CMD_PEER_DROP, (struct abi_cmd_peer){.peer = 4});
	turn_of(flow, 0);
	assert_int_equal(fate(flow, "10.50.1.1"), ABI_COUNTER_TX_WAN);
	cmd_route(flow, 0, ABI_CMD_ROUTE_DROP, "10.50.0.0/16", 3);
	turn_of(flow, 0);
	assert_int_equal(fate(flow, "10.50.1.1"), ABI_COUNTER_DROP_NO_ROUTE);
	flow_destroy(flow);
}

static void no_other_worker_writes(void **state)
{
	struct flow *flow = flow_create(&two);
	struct flow_session to = flow_session(flow, 1, 1, 1, BASE_IP_V4);
	struct abi_cmd_route drop = {.peer = 1,
	                             .prefix = {.ip = flow_inner_ip(1, BASE_IP_V4), .len = 32}};
	char text[BASE_IP_STRLEN];

	(void)state;
	(void)to;
	flow_reset(flow);
	cmd_route(flow, 1, ABI_CMD_ROUTE_PUT, "10.50.0.0/16", 1);
	FLOW_CMD(flow, 1, ABI_CMD_ROUTE_DROP, drop);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_CMD_BAD, 2});
	/* Nor does a sync of its own touch them, though it repeats none. */
	flow_cmd(flow, 1, ABI_CMD_SYNC_BEGIN, NULL, 0);
	FLOW_CMD(flow, 1, ABI_CMD_PEER_PUT, (struct abi_cmd_peer){.peer = 1});
	flow_turn(flow);
	assert_int_equal(fate(flow, base_ip_format(&drop.prefix.ip, text)), ABI_COUNTER_TX_WAN);
	assert_int_equal(fate(flow, "10.50.0.1"), ABI_COUNTER_DROP_NO_ROUTE);
	flow_destroy(flow);
}

/* "Applied" is true for every worker: each has been between two bursts since. */
static void the_writers_barrier_waits_for_all_workers(void **state)
{
	struct flow *flow = flow_create(&two);
	struct abi_cmd_barrier barrier = {.token = 77};
	struct abi_event_barrier event;

	(void)state;
	cmd_route(flow, 0, ABI_CMD_ROUTE_PUT, "10.50.0.0/16", 3);
	FLOW_CMD(flow, 0, ABI_CMD_BARRIER, barrier);
	cmd_route(flow, 0, ABI_CMD_ROUTE_PUT, "10.60.0.0/16", 3);
	for (int i = 0; i < 10; i++)
		turn_of(flow, 0);
	flow_expect_no_event(flow);
	assert_int_equal(fate(flow, "10.50.0.1"), ABI_COUNTER_TO_WAIT); /* worker 1 turns */
	turn_of(flow, 0);
	flow_expect_event(flow, 0, ABI_EVENT_BARRIER, &event, sizeof(event));
	assert_int_equal(event.token, barrier.token);
	flow_turn(flow);
	assert_int_equal(fate(flow, "10.60.0.1"), ABI_COUNTER_TO_WAIT);
	/* Another worker's is only its own. */
	while (flow_event(flow, 1, &(uint16_t){0}, &(struct abi_record){0}, 240))
		continue;
	FLOW_CMD(flow, 1, ABI_CMD_BARRIER, barrier);
	turn_of(flow, 1);
	flow_expect_event(flow, 1, ABI_EVENT_BARRIER, &event, sizeof(event));
	flow_destroy(flow);
}

/* Tables that a sync replaced are kept while a worker may be reading them, and there is a limit. */
static void a_worker_that_stands_still_holds_up_syncs_and_nothing_else(void **state)
{
	struct flow *flow = flow_create(&two);
	uint32_t n_refused = 0;

	(void)state;
	flow_reset(flow);
	for (uint32_t i = 0; i < STATE_ROUTE_RETIRED_MAX + 2; i++) {
		flow_cmd(flow, 0, ABI_CMD_SYNC_BEGIN, NULL, 0);
		FLOW_CMD(flow, 0, ABI_CMD_PEER_PUT, (struct abi_cmd_peer){.peer = 3});
		cmd_route(flow, 0, ABI_CMD_ROUTE_PUT, "10.50.0.0/16", 3);
		flow_cmd(flow, 0, ABI_CMD_SYNC_END, NULL, 0);
		turn_of(flow, 0);
	}
	n_refused = (uint32_t)flow_counter(flow, ABI_COUNTER_CMD_BAD);
	assert_int_equal(n_refused, 2);
	assert_int_equal(fate(flow, "10.50.0.1"), ABI_COUNTER_TO_WAIT);
	flow_turn(flow);
	flow_cmd(flow, 0, ABI_CMD_SYNC_BEGIN, NULL, 0);
	turn_of(flow, 0);
	assert_int_equal(flow_counter(flow, ABI_COUNTER_CMD_BAD), n_refused);
	flow_destroy(flow);
}

/* Is a packet of the peer's with this inner source taken, by a worker that does not write the table? */
static bool is_taken(struct flow *flow, struct flow_session *from, const char *address)
{
	struct base_ip source = flow_ip(address);
	struct base_ip destination = flow_ip(source.family == BASE_IP_V4 ? "10.0.0.1" : "fd00::1");
	uint64_t before = flow_counter(flow, ABI_COUNTER_DROP_INNER_SOURCE);
	uint64_t opened = flow_counter(flow, ABI_COUNTER_OPENED);
	uint8_t inner[FLOW_FRAME_MAX];
	uint8_t out[FLOW_FRAME_MAX];
	uint16_t port;

	flow_rx_data(flow, from, inner, flow_inner(inner, &source, &destination, 64, 64));
	turn_of(flow, from->worker);
	assert_int_equal(flow_counter(flow, ABI_COUNTER_OPENED), opened + 1);
	(void)flow_to_kernel(flow, from->worker, &port, out);
	return flow_counter(flow, ABI_COUNTER_DROP_INNER_SOURCE) == before;
}

/* A worker keeps what the routes said of a peer's last source. It must not outlive any change. */
static void a_source_is_refused_with_the_next_packet_after_its_route_has_gone(void **state)
{
	struct flow *flow = flow_create(&two);
	struct flow_session three = flow_session(flow, 1, 1, 3, BASE_IP_V4);
	struct flow_session four = flow_session(flow, 1, 2, 4, BASE_IP_V4);
	const char *const own[] = {"10.0.0.103", "fd00::103"};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(own); i++) {
		char prefix[BASE_IP_STRLEN + 4];

		snprintf(prefix, sizeof(prefix), "%s/%s", own[i], i == 0 ? "32" : "128");
		for (int again = 0; again < 3; again++) {
			assert_true(is_taken(flow, &three, own[i]));
			assert_false(is_taken(flow, &four, own[i]));
		}
		cmd_route(flow, 0, ABI_CMD_ROUTE_PUT, prefix, 4); /* moves */
		turn_of(flow, 0);
		assert_false(is_taken(flow, &three, own[i]));
		assert_true(is_taken(flow, &four, own[i]));
		cmd_route(flow, 0, ABI_CMD_ROUTE_DROP, prefix, 4);
		turn_of(flow, 0);
		assert_false(is_taken(flow, &four, own[i]));
		assert_false(is_taken(flow, &three, own[i]));
		cmd_route(flow, 0, ABI_CMD_ROUTE_PUT, prefix, 3);
		turn_of(flow, 0);
		assert_true(is_taken(flow, &three, own[i]));
	}
	flow_destroy(flow);
}

static void a_source_is_refused_when_a_longer_prefix_or_a_sync_takes_it(void **state)
{
	struct flow *flow = flow_create(&two);
	struct flow_session three = flow_session(flow, 1, 1, 3, BASE_IP_V4);

	(void)state;
	cmd_route(flow, 0, ABI_CMD_ROUTE_PUT, "10.50.0.0/16", 3);
	turn_of(flow, 0);
	assert_true(is_taken(flow, &three, "10.50.1.1"));
	cmd_route(flow, 0, ABI_CMD_ROUTE_PUT, "10.50.1.0/24", 4);
	turn_of(flow, 0);
	assert_false(is_taken(flow, &three, "10.50.1.1"));
	assert_true(is_taken(flow, &three, "10.50.2.1"));
	FLOW_CMD(flow, 0, ABI_CMD_PEER_DROP, (struct abi_cmd_peer){.peer = 4});
	turn_of(flow, 0);
	assert_true(is_taken(flow, &three, "10.50.1.1"));
	flow_cmd(flow, 0, ABI_CMD_SYNC_BEGIN, NULL, 0);
	for (uint32_t i = 1; i <= 8; i++)
		FLOW_CMD(flow, 0, ABI_CMD_PEER_PUT, (struct abi_cmd_peer){.peer = i});
	turn_of(flow, 0);
	assert_true(is_taken(flow, &three, "10.50.1.1"));
	flow_cmd(flow, 0, ABI_CMD_SYNC_END, NULL, 0);
	turn_of(flow, 0);
	assert_false(is_taken(flow, &three, "10.50.1.1"));
	flow_destroy(flow);
}

/* Worker 0 hears first that a peer goes; the others have its sessions a little longer. */
static void a_source_is_refused_when_the_peer_has_gone_elsewhere(void **state)
{
	struct flow *flow = flow_create(&two);
	struct flow_session three = flow_session(flow, 1, 1, 3, BASE_IP_V4);

	(void)state;
	assert_true(is_taken(flow, &three, "10.0.0.103"));
	FLOW_CMD(flow, 0, ABI_CMD_PEER_DROP, (struct abi_cmd_peer){.peer = 3});
	turn_of(flow, 0);
	assert_false(is_taken(flow, &three, "10.0.0.103"));
	flow_destroy(flow);
}

static void sources_that_alternate_are_each_looked_up(void **state)
{
	struct flow *flow = flow_create(&two);
	struct flow_session three = flow_session(flow, 1, 1, 3, BASE_IP_V4);

	(void)state;
	assert_false(is_taken(flow, &three, "0.0.0.0")); /* nothing is known yet */
	cmd_route(flow, 0, ABI_CMD_ROUTE_PUT, "10.50.0.0/16", 3);
	turn_of(flow, 0);
	for (int again = 0; again < 3; again++) {
		assert_true(is_taken(flow, &three, "10.50.1.1"));
		assert_false(is_taken(flow, &three, "10.51.1.1"));
		assert_true(is_taken(flow, &three, "10.50.1.2"));
		assert_true(is_taken(flow, &three, "fd00::103"));
		assert_false(is_taken(flow, &three, "fd00::104"));
	}
	flow_destroy(flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_worker_0_writes_all_workers_read),
		cmocka_unit_test(no_other_worker_writes),
		cmocka_unit_test(the_writers_barrier_waits_for_all_workers),
		cmocka_unit_test(a_worker_that_stands_still_holds_up_syncs_and_nothing_else),
		cmocka_unit_test(a_source_is_refused_with_the_next_packet_after_its_route_has_gone),
		cmocka_unit_test(a_source_is_refused_when_a_longer_prefix_or_a_sync_takes_it),
		cmocka_unit_test(a_source_is_refused_when_the_peer_has_gone_elsewhere),
		cmocka_unit_test(sources_that_alternate_are_each_looked_up),
	};

	return cmocka_run_group_tests(tests, flow_start, NULL);
}
