/* More than the hub can or will do: what goes, under which name, and what is served all the same. */
#include "base_bytes.h"
#include "flow.h"
#include "state_gate.h"

#include <string.h>

#define BURST         64U   /* frames that a worker takes in a turn */
#define RING          1023U /* frames that its receive queue holds here */
#define CONTROL_BURST STATE_GATE_CONTROL_BURST
#define MAC1_BURST    STATE_GATE_MAC1_BURST

static struct base_endpoint stranger(void)
{
	return flow_endpoint("198.51.100.7:7777");
}

/* n handshake messages at once, at one moment. */
static void receive_handshakes(struct flow *flow, uint32_t worker, uint8_t type, bool good_mac,
                               uint32_t n)
{
	struct base_endpoint from = stranger();
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t len = flow_handshake_to_hub(frame, &from, type, good_mac);

	for (uint32_t i = 0; i < n; i++) {
		flow_rx(flow, worker, 0, frame, len);
		if (i % BURST == BURST - 1)
			flow_turn(flow);
	}
	flow_turn(flow);
}

static uint32_t take_events(struct flow *flow, uint32_t worker, uint16_t wanted)
{
	uint32_t n = 0;
	uint16_t type;

	while (flow_event(flow, worker, &type, NULL, 0)) {
		assert_int_equal(type, wanted);
		n++;
	}
	return n;
}

/* ---- budgets ---- */

/* What is more is load (test_gate.c): of one source then five, and the others are asked for proof. */
static void messages_to_control_have_a_budget(void **state)
{
	static const uint8_t types[] = {WG_MESSAGE_INITIATION, WG_MESSAGE_RESPONSE};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(types); i++) {
		struct flow *flow = flow_create(NULL);

		receive_handshakes(flow, 0, types[i], true, CONTROL_BURST);
		FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, CONTROL_BURST},
		            {ABI_COUNTER_TO_CONTROL, CONTROL_BURST});
		receive_handshakes(flow, 0, types[i], true, 100);
		FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 100}, {ABI_COUNTER_UNDER_LOAD, 1},
		            {ABI_COUNTER_TO_CONTROL, STATE_GATE_SOURCE_BURST},
		            {ABI_COUNTER_HS_REFUSED_UNDER_LOAD, 100 - STATE_GATE_SOURCE_BURST},
		            {ABI_COUNTER_HS_COOKIE_OUT, 100 - STATE_GATE_SOURCE_BURST},
		            {ABI_COUNTER_TX_WAN, 100 - STATE_GATE_SOURCE_BURST});
		assert_int_equal(take_events(flow, 0, ABI_EVENT_HANDSHAKE),
		                 CONTROL_BURST + STATE_GATE_SOURCE_BURST);
		flow_destroy(flow);
	}
}

/* Half as many come back to each of two, and one's do not help the other. */
static void workers_share_the_budget_to_control(void **state)
{
	struct flow *flow = flow_create(&(struct flow_options){.n_workers = 2});

	(void)state;
	receive_handshakes(flow, 1, WG_MESSAGE_INITIATION, true, CONTROL_BURST);
	flow->now_ns += 10 * (FLOW_S / STATE_GATE_CONTROL_PER_S);
	flow_reset(flow);
	receive_handshakes(flow, 1, WG_MESSAGE_INITIATION, true, 5);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 5}, {ABI_COUNTER_TO_CONTROL, 5});
	receive_handshakes(flow, 0, WG_MESSAGE_INITIATION, true, 20);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 20}, {ABI_COUNTER_TO_CONTROL, 20});
	receive_handshakes(flow, 1, WG_MESSAGE_INITIATION, true, 1);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_TO_CONTROL, 1},
	            {ABI_COUNTER_UNDER_LOAD, 1});
	flow_destroy(flow);
}

static void checks_of_mac1_have_a_budget(void **state)
{
	struct flow *flow = flow_create(NULL);

	(void)state;
	receive_handshakes(flow, 0, WG_MESSAGE_INITIATION, false, MAC1_BURST + 100);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, MAC1_BURST + 100},
	            {ABI_COUNTER_DROP_WG_MAC1, MAC1_BURST}, {ABI_COUNTER_DROP_MAC1_LIMIT, 100});
	/* Then the right ones go too: nobody looks at them. */
	receive_handshakes(flow, 0, WG_MESSAGE_INITIATION, true, 1);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_DROP_MAC1_LIMIT, 1});
	flow->now_ns += 10 * (FLOW_S / STATE_GATE_MAC1_PER_S);
	receive_handshakes(flow, 0, WG_MESSAGE_INITIATION, true, 11);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 11}, {ABI_COUNTER_TO_CONTROL, 10},
	            {ABI_COUNTER_DROP_MAC1_LIMIT, 1});
	flow_destroy(flow);
}

static void cookie_replies_do_not_use_up_the_budget_of_handshakes(void **state)
{
	struct flow *flow = flow_create(NULL);

	(void)state;
	receive_handshakes(flow, 0, WG_MESSAGE_COOKIE, true, STATE_GATE_COOKIES_BURST + 100);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, STATE_GATE_COOKIES_BURST + 100},
	            {ABI_COUNTER_TO_CONTROL, STATE_GATE_COOKIES_BURST},
	            {ABI_COUNTER_DROP_CONTROL_LIMIT, 100});
	receive_handshakes(flow, 0, WG_MESSAGE_INITIATION, true, CONTROL_BURST);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, CONTROL_BURST},
	            {ABI_COUNTER_TO_CONTROL, CONTROL_BURST});
	flow_destroy(flow);
}

/* ---- the event ring ---- */

/* Control does not look: as many handshake messages wait as may. */
static void fill_event_ring(struct flow *flow)
{
	for (uint32_t i = 0; i < ABI_EVENT_SLOTS / 4 * 3 / CONTROL_BURST; i++) {
		receive_handshakes(flow, 0, WG_MESSAGE_INITIATION, true, CONTROL_BURST);
		flow->now_ns += FLOW_S;
	}
	flow_reset(flow);
	receive_handshakes(flow, 0, WG_MESSAGE_INITIATION, true, 3);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 3}, {ABI_COUNTER_DROP_CONTROL_RING_FULL, 3});
}

static void handshakes_leave_room_in_the_event_ring_for_sessions(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session_make(0, 1, 1, BASE_IP_V4);
	uint16_t type;

	(void)state;
	flow_session_install(flow, &from, ABI_ROLE_RESPONDER, 0);
	flow_turn(flow);
	fill_event_ring(flow);
	flow_rx_data(flow, &from, NULL, 0);
	flow_turn(flow);
	for (uint32_t i = 0; i < ABI_EVENT_SLOTS / 4 * 3; i++) {
		assert_true(flow_event(flow, 0, &type, NULL, 0));
		assert_int_equal(type, ABI_EVENT_HANDSHAKE);
	}
	flow_expect_event(flow, 0, ABI_EVENT_SESSION_CONFIRMED, NULL, 0);
	flow_expect_no_event(flow);
	flow_destroy(flow);
}

/* With answers to control's barriers. Returns how many events there are then. */
static uint32_t fill_last_quarter(struct flow *flow)
{
	uint32_t n = ABI_EVENT_SLOTS / 4 * 3;

	for (uint64_t token = 1; n < ABI_EVENT_SLOTS; n++, token++) {
		FLOW_CMD(flow, 0, ABI_CMD_BARRIER, (struct abi_cmd_barrier){.token = token});
		flow_turn(flow);
	}
	return n;
}

/* That a session is wanted is said again a second later, when it is still wanted. */
static void what_a_full_event_ring_loses_is_counted_and_said_again(void **state)
{
	struct flow *flow = flow_create(NULL);
	uint8_t inner[FLOW_FRAME_MAX];
	struct base_ip source = flow_ip("10.0.0.1"), destination = flow_inner_ip(1, BASE_IP_V4);
	uint32_t len = flow_inner(inner, &source, &destination, 64, 30);
	uint16_t type;
	uint32_t n;

	(void)state;
	fill_event_ring(flow);
	n = fill_last_quarter(flow);
	flow_reset(flow);
	for (uint32_t i = 0; i < 3; i++) {
		flow_from_kernel(flow, 0, PORT_LINK_TUN, inner, len);
		flow_turn(flow);
	}
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 3}, {ABI_COUNTER_TO_WAIT, 3},
	            {ABI_COUNTER_EVENT_LOST, 1});
	while (n-- > 0)
		assert_true(flow_event(flow, 0, &type, NULL, 0));
	flow_expect_no_event(flow);
	flow->now_ns += FLOW_S;
	flow_from_kernel(flow, 0, PORT_LINK_TUN, inner, len);
	flow_turn(flow);
	flow_expect_event(flow, 0, ABI_EVENT_SESSION_WANTED, NULL, 0);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_TO_WAIT, 1});
	flow_destroy(flow);
}

static void a_full_event_ring_delays_events_of_sessions(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session_make(0, 1, 1, BASE_IP_V4);
	uint16_t type;
	uint32_t n;

	(void)state;
	flow_session_install(flow, &from, ABI_ROLE_RESPONDER, 0);
	flow_turn(flow);
	fill_event_ring(flow);
	n = fill_last_quarter(flow);
	flow_rx_data(flow, &from, NULL, 0);
	flow_turn(flow);
	while (n-- > 0)
		assert_true(flow_event(flow, 0, &type, NULL, 0));
	flow_expect_no_event(flow);
	flow_pass(flow, 100 * FLOW_MS);
	flow_expect_event(flow, 0, ABI_EVENT_SESSION_CONFIRMED, NULL, 0);
	flow_expect_no_event(flow);
	flow_destroy(flow);
}

/* ---- no livelock ---- */

/* Fill the worker's receive queue to the brim with one frame. */
static void fill_queue(struct flow *flow, const uint8_t *frame, uint32_t len)
{
	while (flow_rx_room(flow, 0, 0) > 0)
		flow_rx(flow, 0, 0, frame, len);
}

/* One, where flow_turn() goes on until the queue is empty. */
static void one_turn(struct flow *flow, uint64_t ns)
{
	flow->now_ns += ns;
	(void)worker_turn(flow->workers[0], flow->now_ns);
}

/* Commands, keepalives, packets of the kernel and heartbeats while every burst from the wire is full. */
static void everything_else_is_served_while_every_burst_is_full(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session peer;
	struct base_endpoint from = stranger();
	uint8_t frame[FLOW_FRAME_MAX], inner[FLOW_FRAME_MAX], sent[FLOW_FRAME_MAX];
	uint32_t inner_len;
	uint32_t len = flow_handshake_to_hub(frame, &from, WG_MESSAGE_INITIATION, false);
	struct base_ip hub = flow_ip("10.0.0.1"), there = flow_inner_ip(1, BASE_IP_V4);

	(void)state;
	FLOW_CMD(flow, 0, ABI_CMD_PEER_PUT, (struct abi_cmd_peer){.peer = 1, .keepalive_s = 25});
	peer = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	flow_reset(flow);
	inner_len = flow_inner(inner, &hub, &there, 64, 100);
	for (uint64_t turn = 1; turn <= 300; turn++) {
		struct abi_event_barrier answer;

		fill_queue(flow, frame, len);
		FLOW_CMD(flow, 0, ABI_CMD_BARRIER, (struct abi_cmd_barrier){.token = turn});
		flow_from_kernel(flow, 0, PORT_LINK_TUN, inner, inner_len);
		one_turn(flow, 50 * FLOW_MS);
		/* Each in this very turn. */
		flow_expect_event(flow, 0, ABI_EVENT_BARRIER, &answer, sizeof(answer));
		assert_int_equal(answer.token, turn);
		flow_expect_data(flow, &peer, turn - 1, inner, inner_len);
		assert_int_equal(abi_region_worker_status(&flow->region, 0)->heartbeat_ns,
		                 flow->now_ns);
		assert_int_equal(flow_rx_room(flow, 0, 0), BURST);
	}
	/* Its timers too: the peer says nothing, and 25 s after the hub's last word it gets one. */
	for (uint32_t turn = 0; turn < 251; turn++) {
		flow_expect_silence(flow);
		fill_queue(flow, frame, len);
		one_turn(flow, 100 * FLOW_MS);
		if (flow_tx(flow, 0, 0, sent) > 0)
			break;
		assert_true(turn < 250);
	}
	flow_turn(flow);
	flow_destroy(flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_to_control_have_a_budget),
		cmocka_unit_test(workers_share_the_budget_to_control),
		cmocka_unit_test(checks_of_mac1_have_a_budget),
		cmocka_unit_test(cookie_replies_do_not_use_up_the_budget_of_handshakes),
		cmocka_unit_test(handshakes_leave_room_in_the_event_ring_for_sessions),
		cmocka_unit_test(a_full_event_ring_delays_events_of_sessions),
		cmocka_unit_test(what_a_full_event_ring_loses_is_counted_and_said_again),
		cmocka_unit_test(everything_else_is_served_while_every_burst_is_full),
	};

	return cmocka_run_group_tests_name("overload", tests, flow_start, NULL);
}
