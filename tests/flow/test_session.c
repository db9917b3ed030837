/* A session's life: confirmation, roaming, timers, rekey, expiry, what the region shows of it, and
 * resuming it after the dataplane was killed. */
#include "base_bytes.h"
#include "flow.h"
#include "wg_timers.h"

#include <string.h>

static void send_to(struct flow *flow, uint32_t worker, uint32_t peer)
{
	struct base_ip source = flow_ip("10.0.0.1");
	struct base_ip destination = flow_inner_ip(peer, BASE_IP_V4);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = flow_inner(inner, &source, &destination, 64, 64);

	flow_from_kernel(flow, worker, PORT_LINK_TUN, inner, len);
	flow_turn(flow);
}

/* The hub's message number counter to this peer, as send_to() makes it. */
static void expect_sent(struct flow *flow, const struct flow_session *session, uint64_t counter)
{
	struct base_ip source = flow_ip("10.0.0.1");
	struct base_ip destination = flow_inner_ip(session->peer, BASE_IP_V4);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = flow_inner(inner, &source, &destination, 64, 64);

	flow_expect_data(flow, session, counter, inner, len);
}

static void receive_from(struct flow *flow, struct flow_session *session)
{
	struct base_ip source = flow_inner_ip(session->peer, BASE_IP_V4);
	struct base_ip hub = flow_ip("10.0.0.1");
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = flow_inner(inner, &source, &hub, 64, 64);

	flow_rx_data(flow, session, inner, len);
	flow_turn(flow);
}

static const struct abi_session *mirror(struct flow *flow, const struct flow_session *session)
{
	return abi_region_session(&flow->region, session->worker, abi_index_slot(session->index));
}

static void expect_event_of(struct flow *flow, uint16_t type, const struct flow_session *session)
{
	struct abi_event_session event;

	flow_expect_event(flow, session->worker, type, &event, sizeof(event));
	assert_int_equal(event.index, session->index);
	assert_int_equal(event.peer, session->peer);
}

/* ---- confirmation ---- */

static void a_responders_session_sends_only_after_its_first_packet(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session peer = flow_session_make(0, 1, 1, BASE_IP_V4);

	(void)state;
	flow_session_install(flow, &peer, ABI_ROLE_RESPONDER, 0);
	flow_turn(flow);
	send_to(flow, 0, 1);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_TO_WAIT, 1});
	flow_expect_event(flow, 0, ABI_EVENT_SESSION_WANTED, NULL, 0);
	assert_int_equal(mirror(flow, &peer)->confirmed, 0);
	flow_rx_data(flow, &peer, NULL, 0);
	flow_turn(flow);
	expect_event_of(flow, ABI_EVENT_SESSION_CONFIRMED, &peer);
	assert_int_equal(mirror(flow, &peer)->confirmed, 1);
	send_to(flow, 0, 1);
	expect_sent(flow, &peer, 0);
	flow_rx_data(flow, &peer, NULL, 0);
	flow_turn(flow);
	flow_expect_no_event(flow); /* once */
	flow_destroy(flow);
}

static void a_forged_packet_does_not_confirm(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session peer = flow_session_make(0, 1, 1, BASE_IP_V4);
	struct flow_session forger = peer;

	(void)state;
	forger.to_hub[0] ^= 1;
	flow_session_install(flow, &peer, ABI_ROLE_RESPONDER, 0);
	flow_turn(flow);
	flow_rx_data(flow, &forger, NULL, 0);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_DROP_AUTH, 1});
	flow_expect_no_event(flow);
	assert_int_equal(mirror(flow, &peer)->confirmed, 0);
	flow_destroy(flow);
}

static void the_old_session_goes_on_until_the_new_one_is_confirmed(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session old = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session fresh = flow_session_make(0, 2, 1, BASE_IP_V4);

	(void)state;
	flow_pass(flow, 120 * FLOW_S);
	flow_session_install(flow, &fresh, ABI_ROLE_RESPONDER, 0);
	flow_turn(flow);
	send_to(flow, 0, 1);
	expect_sent(flow, &old, 0);
	receive_from(flow, &old);
	receive_from(flow, &fresh);
	send_to(flow, 0, 1);
	expect_sent(flow, &fresh, 0);
	/* What is still on the way with the old one is taken, and changes nothing. */
	flow_reset(flow);
	receive_from(flow, &old);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
	            {ABI_COUNTER_TO_TUN, 1});
	send_to(flow, 0, 1);
	expect_sent(flow, &fresh, 1);
	flow_destroy(flow);
}

static void a_late_confirmation_does_not_bring_back_an_older_session(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session old = flow_session_make(0, 1, 1, BASE_IP_V4);
	struct flow_session fresh;

	(void)state;
	flow_session_install(flow, &old, ABI_ROLE_RESPONDER, 0);
	flow_pass(flow, FLOW_S);
	fresh = flow_session(flow, 0, 2, 1, BASE_IP_V4);
	receive_from(flow, &old);
	send_to(flow, 0, 1);
	expect_sent(flow, &fresh, 0);
	flow_destroy(flow);
}

static void a_retired_session_is_gone_here_and_in_the_region(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session peer = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct abi_cmd_session retire = {.index = peer.index, .peer = 1};
	static const struct abi_session none;

	(void)state;
	assert_int_equal(mirror(flow, &peer)->index, peer.index);
	FLOW_CMD(flow, 0, ABI_CMD_SESSION_RETIRE, retire);
	FLOW_CMD(flow, 0, ABI_CMD_SESSION_RETIRE, retire); /* twice is once */
	flow_turn(flow);
	flow_reset(flow);
	assert_memory_equal(mirror(flow, &peer), &none, sizeof(none));
	flow_rx_data(flow, &peer, NULL, 0);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_DROP_UNKNOWN_INDEX, 1});
	send_to(flow, 0, 1);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_TO_WAIT, 1});
	flow_destroy(flow);
}

static void the_same_install_twice_does_not_start_the_counters_again(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session peer = flow_session(flow, 0, 1, 1, BASE_IP_V4);

	(void)state;
	send_to(flow, 0, 1);
	expect_sent(flow, &peer, 0);
	flow_session_install(flow, &peer, ABI_ROLE_INITIATOR, 0);
	send_to(flow, 0, 1);
	expect_sent(flow, &peer, 1);
	flow_reset(flow);
	peer.from_hub[0] ^= 1; /* other keys under the same index: refused */
	flow_session_install(flow, &peer, ABI_ROLE_INITIATOR, 0);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_CMD_BAD, 1});
	flow_destroy(flow);
}

/* ---- roaming ---- */

static void the_endpoint_follows_the_newest_authenticated_packet(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session peer = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	static const char *const places[] = {"203.0.113.5:5555", "203.0.113.5:5556",
	                                     "[2001:db8:5::5]:5555", "198.51.100.1:40001"};
	struct abi_event_endpoint event;

	(void)state;
	flow_reset(flow);
	for (uint32_t i = 0; i < BASE_ARRAY_LEN(places); i++) {
		peer.endpoint = flow_endpoint(places[i]);
		flow_rx_data(flow, &peer, NULL, 0);
		flow_turn(flow);
		FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
		            {ABI_COUNTER_KEEPALIVE_IN, 1}, {ABI_COUNTER_ENDPOINT_MOVED, 1});
		flow_expect_event(flow, 0, ABI_EVENT_ENDPOINT_MOVED, &event, sizeof(event));
		assert_int_equal(event.index, peer.index);
		assert_int_equal(event.peer, 1);
		assert_true(base_endpoint_equal(&event.remote, &peer.endpoint));
		assert_true(base_endpoint_equal(&mirror(flow, &peer)->remote, &peer.endpoint));
		send_to(flow, 0, 1);
		expect_sent(flow, &peer, i);
		flow_reset(flow);
	}
	flow_expect_no_event(flow);
	flow_destroy(flow);
}

static void late_replayed_and_forged_packets_do_not_move_the_endpoint(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session peer = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session late = peer;
	struct flow_session forger = peer;

	(void)state;
	late.endpoint = forger.endpoint = flow_endpoint("203.0.113.66:66");
	peer.counter = 10;
	receive_from(flow, &peer); /* number 10 from home */
	late.counter = 3;
	receive_from(flow, &late); /* number 3 by another way, authentic */
	late.counter = 10;
	receive_from(flow, &late); /* number 10 again */
	forger.counter = 99;
	forger.to_hub[5] ^= 1;
	receive_from(flow, &forger);
	flow_expect_no_event(flow);
	assert_int_equal(flow_counter(flow, ABI_COUNTER_ENDPOINT_MOVED), 0);
	assert_int_equal(flow_counter(flow, ABI_COUNTER_DROP_REPLAY), 1);
	assert_int_equal(flow_counter(flow, ABI_COUNTER_DROP_AUTH), 1);
	send_to(flow, 0, 1);
	expect_sent(flow, &peer, 0);
	flow_destroy(flow);
}

/* ---- timers ---- */

static void data_without_an_answer_makes_a_passive_keepalive_after_10_s(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session peer = flow_session(flow, 0, 1, 1, BASE_IP_V4);

	(void)state;
	receive_from(flow, &peer);
	flow_reset(flow);
	flow_pass(flow, 9900 * FLOW_MS);
	FLOW_EXPECT(flow, {ABI_COUNTER_TX_WAN, 0});
	flow_pass(flow, 200 * FLOW_MS);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_INJECT, 1}, {ABI_COUNTER_SEALED, 1},
	            {ABI_COUNTER_KEEPALIVE_OUT, 1}, {ABI_COUNTER_TX_WAN, 1});
	flow_expect_data(flow, &peer, 0, NULL, 0);
	flow_pass(flow, 60 * FLOW_S);
	FLOW_EXPECT(flow, {ABI_COUNTER_TX_WAN, 0});
	/* An answer makes it needless; and a keepalive is not answered. */
	receive_from(flow, &peer);
	send_to(flow, 0, 1);
	flow_rx_data(flow, &peer, NULL, 0);
	flow_turn(flow);
	flow_reset(flow);
	flow_pass(flow, 30 * FLOW_S);
	FLOW_EXPECT(flow, {ABI_COUNTER_TX_WAN, 0});
	flow_destroy(flow);
}

static void persistent_keepalives_come_at_their_interval(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session peer;

	(void)state;
	FLOW_CMD(flow, 0, ABI_CMD_PEER_PUT, (struct abi_cmd_peer){.peer = 1, .keepalive_s = 25});
	peer = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	for (uint32_t i = 0; i < 3; i++) {
		flow_pass(flow, 24900 * FLOW_MS);
		flow_expect_silence(flow);
		flow_pass(flow, 200 * FLOW_MS);
		flow_expect_data(flow, &peer, i, NULL, 0);
	}
	flow_destroy(flow);
}

static void control_can_ask_for_a_keepalive(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session peer = flow_session(flow, 0, 1, 1, BASE_IP_V6);
	struct abi_cmd_session cmd = {.index = peer.index, .peer = 1};

	(void)state;
	FLOW_CMD(flow, 0, ABI_CMD_KEEPALIVE, cmd);
	flow_turn(flow);
	flow_expect_data(flow, &peer, 0, NULL, 0);
	flow_destroy(flow);
}

static void a_keepalive_does_not_leave_by_an_unconfirmed_session(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session peer = flow_session_make(0, 1, 1, BASE_IP_V4);
	struct abi_cmd_session cmd = {.index = peer.index, .peer = 1};

	(void)state;
	flow_session_install(flow, &peer, ABI_ROLE_RESPONDER, 0);
	FLOW_CMD(flow, 0, ABI_CMD_KEEPALIVE, cmd);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_INJECT, 1}, {ABI_COUNTER_DROP_NO_SESSION, 1});
	flow_expect_silence(flow);
	flow_destroy(flow);
}

static void silence_after_data_wants_a_session_once(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session peer = flow_session(flow, 0, 1, 1, BASE_IP_V4);

	(void)state;
	send_to(flow, 0, 1);
	flow_pass(flow, 14900 * FLOW_MS);
	flow_expect_no_event(flow);
	flow_pass(flow, 600 * FLOW_MS); /* jitter: up to a third of a second */
	expect_event_of(flow, ABI_EVENT_SESSION_WANTED, &peer);
	flow_pass(flow, 20 * FLOW_S);
	flow_expect_no_event(flow);
	/* Anything heard disarms it. */
	send_to(flow, 0, 1);
	flow_pass(flow, FLOW_S);
	flow_rx_data(flow, &peer, NULL, 0);
	flow_pass(flow, 20 * FLOW_S);
	flow_expect_no_event(flow);
	flow_destroy(flow);
}

static void an_initiators_session_asks_for_a_rekey_after_120_s_of_sending(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session peer = flow_session(flow, 0, 1, 1, BASE_IP_V4);

	(void)state;
	flow_pass(flow, 119 * FLOW_S);
	send_to(flow, 0, 1);
	flow_expect_no_event(flow);
	flow_pass(flow, FLOW_S);
	flow_expect_no_event(flow); /* time alone does not */
	for (uint32_t i = 0; i < 3; i++)
		send_to(flow, 0, 1);
	expect_event_of(flow, ABI_EVENT_REKEY_DUE, &peer);
	flow_expect_no_event(flow);
	flow_pass(flow, 5 * FLOW_S); /* again after 5 s: control may have been restarted */
	send_to(flow, 0, 1);
	expect_event_of(flow, ABI_EVENT_REKEY_DUE, &peer);
	flow_destroy(flow);
}

static void an_initiators_session_asks_for_a_rekey_after_165_s_of_receiving(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session peer = flow_session(flow, 0, 1, 1, BASE_IP_V4);

	(void)state;
	flow_pass(flow, 164 * FLOW_S);
	receive_from(flow, &peer);
	flow_expect_no_event(flow);
	flow_pass(flow, FLOW_S);
	receive_from(flow, &peer);
	receive_from(flow, &peer);
	expect_event_of(flow, ABI_EVENT_REKEY_DUE, &peer);
	flow_expect_no_event(flow);
	flow_destroy(flow);
}

static void a_responders_session_asks_for_no_rekey(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session peer = flow_session_make(0, 1, 1, BASE_IP_V4);

	(void)state;
	flow_session_install(flow, &peer, ABI_ROLE_RESPONDER, 0);
	flow_turn(flow);
	receive_from(flow, &peer);
	expect_event_of(flow, ABI_EVENT_SESSION_CONFIRMED, &peer);
	flow_pass(flow, 170 * FLOW_S);
	receive_from(flow, &peer);
	send_to(flow, 0, 1);
	flow_expect_no_event(flow);
	flow_destroy(flow);
}

static void a_session_ends_after_180_s(void **state)
{
	static const uint8_t zero[32];
	struct flow *flow = flow_create(NULL);
	struct flow_session peer = flow_session(flow, 0, 1, 1, BASE_IP_V4);

	(void)state;
	flow_pass(flow, 180 * FLOW_S - FLOW_MS);
	flow_reset(flow);
	receive_from(flow, &peer);
	send_to(flow, 0, 1);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1}, {ABI_COUNTER_TO_TUN, 1},
	            {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_SEALED, 1}, {ABI_COUNTER_TX_WAN, 1});
	/* In the very turn in which it ends, before the timers have seen it. */
	flow->now_ns += FLOW_MS;
	receive_from(flow, &peer);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_DROP_SESSION_EXPIRED, 1});
	send_to(flow, 0, 1);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_TO_WAIT, 1});
	flow_pass(flow, FLOW_S);
	receive_from(flow, &peer);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_DROP_SESSION_EXPIRED, 1});
	send_to(flow, 0, 1);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_TO_WAIT, 1});
	assert_int_equal(mirror(flow, &peer)->index, peer.index); /* control retires it */
	assert_memory_equal(mirror(flow, &peer)->send_key, zero, 32);
	assert_memory_equal(mirror(flow, &peer)->receive_key, zero, 32);
	flow_destroy(flow);
}

static void timers_are_the_current_sessions(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session old = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session fresh;

	(void)state;
	send_to(flow, 0, 1); /* arms silence on the old one */
	expect_sent(flow, &old, 0);
	flow_pass(flow, FLOW_S);
	fresh = flow_session(flow, 0, 2, 1, BASE_IP_V4);
	receive_from(flow, &fresh);
	send_to(flow, 0, 1);
	receive_from(flow, &fresh);
	send_to(flow, 0, 1);
	flow_rx_data(flow, &fresh, NULL, 0);
	flow_pass(flow, 20 * FLOW_S);
	flow_expect_no_event(flow);
	flow_destroy(flow);
}

/* ---- two keys of one peer ---- */

static void prefer(struct flow *flow, const struct flow_session *session, uint32_t when_heard,
                   uint32_t now)
{
	struct abi_cmd_prefer cmd = {
		.index = session->index,
		.peer = session->peer,
		.when_heard = when_heard,
		.now = now,
	};

	FLOW_CMD(flow, session->worker, ABI_CMD_PREFER, cmd);
	flow_turn(flow);
}

static void what_is_sent_goes_by_the_session_heard_last(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session old = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session fresh;

	(void)state;
	flow_pass(flow, FLOW_S);
	fresh = flow_session(flow, 0, 2, 1, BASE_IP_V4);
	receive_from(flow, &fresh);
	receive_from(flow, &old);
	send_to(flow, 0, 1);
	expect_sent(flow, &fresh, 0); /* as usual: the newer one */
	prefer(flow, &old, 1, 0);
	prefer(flow, &fresh, 1, 0);
	send_to(flow, 0, 1);
	expect_sent(flow, &fresh, 1); /* nothing was heard since */
	receive_from(flow, &old);
	send_to(flow, 0, 1);
	expect_sent(flow, &old, 0);
	receive_from(flow, &old);
	receive_from(flow, &fresh);
	send_to(flow, 0, 1);
	expect_sent(flow, &fresh, 2);
	/* No longer: what is heard changes nothing, a word of control does. */
	prefer(flow, &old, 0, 0);
	prefer(flow, &fresh, 0, 0);
	receive_from(flow, &old);
	send_to(flow, 0, 1);
	expect_sent(flow, &fresh, 3);
	prefer(flow, &old, 0, 1);
	send_to(flow, 0, 1);
	expect_sent(flow, &old, 1);
	flow_destroy(flow);
}

/* The two may have different owners: the one that was heard last is where others hand packets to. */
static void sessions_of_two_workers_contend_too(void **state)
{
	struct flow *flow = flow_create(&(struct flow_options){.n_workers = 2});
	struct flow_session old = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session fresh = flow_session(flow, 1, 2, 1, BASE_IP_V4);

	(void)state;
	prefer(flow, &old, 1, 0);
	prefer(flow, &fresh, 1, 0);
	receive_from(flow, &fresh);
	send_to(flow, 0, 1);
	expect_sent(flow, &fresh, 0);
	receive_from(flow, &old);
	send_to(flow, 1, 1);
	expect_sent(flow, &old, 0);
	flow_destroy(flow);
}

static void a_session_that_may_not_send_is_not_preferred(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session old = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session fresh = flow_session_make(0, 2, 1, BASE_IP_V4);

	(void)state;
	flow_session_install(flow, &fresh, ABI_ROLE_RESPONDER, 0);
	flow_turn(flow);
	prefer(flow, &fresh, 1, 1);
	send_to(flow, 0, 1);
	expect_sent(flow, &old, 0);
	receive_from(flow, &fresh);
	expect_event_of(flow, ABI_EVENT_SESSION_CONFIRMED, &fresh);
	send_to(flow, 0, 1);
	expect_sent(flow, &fresh, 0);
	flow_destroy(flow);
}

/* ---- the region ---- */

static void the_region_shows_times_and_counters_within_250_ms(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session peer = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	const struct abi_peer_counters *counters = abi_region_peer_counters(&flow->region, 0, 1);
	const struct abi_worker_status *status = abi_region_worker_status(&flow->region, 0);
	uint64_t then_ns;

	(void)state;
	flow_pass(flow, FLOW_S);
	then_ns = flow->now_ns;
	receive_from(flow, &peer);
	receive_from(flow, &peer);
	send_to(flow, 0, 1);
	for (int i = 0; i < 10; i++)
		flow_pass(flow, 10 * FLOW_MS);
	assert_in_range(mirror(flow, &peer)->last_receive_ns, then_ns, then_ns + 100 * FLOW_MS);
	assert_in_range(mirror(flow, &peer)->last_send_ns, then_ns, then_ns + 100 * FLOW_MS);
	assert_int_equal(counters->rx_packets, 2);
	assert_int_equal(counters->rx_bytes, 2 * (32 + 96));
	assert_int_equal(counters->tx_packets, 1);
	assert_int_equal(counters->tx_bytes, 32 + 96);
	assert_in_range(counters->last_rx_ns, then_ns, then_ns + 100 * FLOW_MS);
	assert_in_range(counters->last_tx_ns, then_ns, then_ns + 100 * FLOW_MS);
	/* What nothing was added to keeps its times. */
	then_ns = counters->last_rx_ns;
	flow_pass(flow, FLOW_S);
	assert_int_equal(counters->last_rx_ns, then_ns);
	assert_int_equal(mirror(flow, &peer)->last_receive_ns, then_ns);
	assert_int_equal(status->heartbeat_ns, flow->now_ns);
	assert_int_equal(status->n_sessions, 1);
	flow_destroy(flow);
}

static void counters_are_reserved_before_they_are_used(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session peer = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	uint8_t frame[FLOW_FRAME_MAX];

	(void)state;
	assert_int_equal(mirror(flow, &peer)->send_reserved, 0);
	for (uint64_t i = 0; i < ABI_SEND_RESERVE + 2; i++) {
		uint64_t counter;

		send_to(flow, 0, 1);
		assert_true(flow_tx(flow, 0, 0, frame) > 0);
		counter = base_load_le64(frame + 42 + 8);
		assert_int_equal(counter, i);
		assert_true(counter < mirror(flow, &peer)->send_reserved);
	}
	assert_int_equal(mirror(flow, &peer)->send_reserved, 2 * ABI_SEND_RESERVE);
	flow_destroy(flow);
}

static void killed_and_resumed_sessions_go_on_without_a_handshake(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session peer = flow_session_make(0, 1, 1, BASE_IP_V4);
	struct flow_session unconfirmed = flow_session_make(0, 2, 2, BASE_IP_V4);
	struct flow_session replay;

	(void)state;
	flow_session_install(flow, &peer, ABI_ROLE_RESPONDER, 0);
	flow_session_install(flow, &unconfirmed, ABI_ROLE_RESPONDER, 0);
	flow_turn(flow);
	peer.endpoint = flow_endpoint("203.0.113.9:999"); /* it roamed before the crash */
	for (uint32_t i = 0; i < 3; i++)
		receive_from(flow, &peer);
	send_to(flow, 0, 1);
	expect_sent(flow, &peer, 0);
	flow_expect_event(flow, 0, ABI_EVENT_SESSION_CONFIRMED, NULL, 0);
	flow_expect_event(flow, 0, ABI_EVENT_ENDPOINT_MOVED, NULL, 0);

	flow_restart(flow);
	flow_cmd_world(flow);
	flow_turn(flow);
	flow_turn(flow);
	flow_expect_no_event(flow);
	/* No counter twice: it goes on at the mark. */
	send_to(flow, 0, 1);
	expect_sent(flow, &peer, ABI_SEND_RESERVE);
	assert_int_equal(mirror(flow, &peer)->send_reserved, 2 * ABI_SEND_RESERVE);
	/* Old packets are replays, also the last one; new ones are welcome. */
	flow_reset(flow);
	replay = peer;
	for (replay.counter = 0; replay.counter < 3;)
		receive_from(flow, &replay);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 3}, {ABI_COUNTER_DROP_REPLAY, 3});
	receive_from(flow, &peer);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
	            {ABI_COUNTER_TO_TUN, 1});
	flow_expect_no_event(flow); /* neither moved nor confirmed anew */
	/* Who was not confirmed before is not now. */
	send_to(flow, 0, 2);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_TO_WAIT, 1});
	flow_destroy(flow);
}

static void nonsense_in_the_region_is_cleared_not_resumed(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session good = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct abi_session bad[6];

	(void)state;
	for (uint32_t i = 0; i < BASE_ARRAY_LEN(bad); i++) {
		bad[i] = *mirror(flow, &good);
		bad[i].index = abi_index_make(0, 10 + i, 0);
	}
	bad[0].index = good.index; /* of another slot */
	bad[1].peer = FLOW_N_PEERS;
	bad[2].role = 2;
	bad[3].port = 1;
	bad[4].remote.ip.family = 5;
	bad[5].send_reserved = UINT64_MAX;
	for (uint32_t i = 0; i < BASE_ARRAY_LEN(bad); i++)
		*abi_region_session(&flow->region, 0, 10 + i) = bad[i];
	flow_restart(flow);
	flow_cmd_world(flow);
	flow_pass(flow, FLOW_S);
	flow_pass(flow, FLOW_S);
	for (uint32_t i = 0; i < BASE_ARRAY_LEN(bad); i++)
		assert_int_equal(abi_region_session(&flow->region, 0, 10 + i)->index, 0);
	assert_int_equal(abi_region_worker_status(&flow->region, 0)->n_sessions, 1);
	flow_destroy(flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_responders_session_sends_only_after_its_first_packet),
		cmocka_unit_test(a_forged_packet_does_not_confirm),
		cmocka_unit_test(the_old_session_goes_on_until_the_new_one_is_confirmed),
		cmocka_unit_test(a_late_confirmation_does_not_bring_back_an_older_session),
		cmocka_unit_test(a_retired_session_is_gone_here_and_in_the_region),
		cmocka_unit_test(the_same_install_twice_does_not_start_the_counters_again),
		cmocka_unit_test(the_endpoint_follows_the_newest_authenticated_packet),
		cmocka_unit_test(late_replayed_and_forged_packets_do_not_move_the_endpoint),
		cmocka_unit_test(data_without_an_answer_makes_a_passive_keepalive_after_10_s),
		cmocka_unit_test(persistent_keepalives_come_at_their_interval),
		cmocka_unit_test(control_can_ask_for_a_keepalive),
		cmocka_unit_test(a_keepalive_does_not_leave_by_an_unconfirmed_session),
		cmocka_unit_test(silence_after_data_wants_a_session_once),
		cmocka_unit_test(an_initiators_session_asks_for_a_rekey_after_120_s_of_sending),
		cmocka_unit_test(an_initiators_session_asks_for_a_rekey_after_165_s_of_receiving),
		cmocka_unit_test(a_responders_session_asks_for_no_rekey),
		cmocka_unit_test(a_session_ends_after_180_s),
		cmocka_unit_test(timers_are_the_current_sessions),
		cmocka_unit_test(what_is_sent_goes_by_the_session_heard_last),
		cmocka_unit_test(sessions_of_two_workers_contend_too),
		cmocka_unit_test(a_session_that_may_not_send_is_not_preferred),
		cmocka_unit_test(the_region_shows_times_and_counters_within_250_ms),
		cmocka_unit_test(counters_are_reserved_before_they_are_used),
		cmocka_unit_test(killed_and_resumed_sessions_go_on_without_a_handshake),
		cmocka_unit_test(nonsense_in_the_region_is_cleared_not_resumed),
	};

	return cmocka_run_group_tests_name("session", tests, flow_start, NULL);
}
