/* Worker 1 runs the cipher for worker 0: in order, counted to the packet, whatever happens to sessions
 * meanwhile. The helper is as slow as the test wants: it works when the test turns it. */
#include "base_bytes.h"
#include "flow.h"

#include <string.h>

#define OWNER  0U
#define HELPER 1U
#define BURST  64U

static const struct flow_options helped = {.n_workers = 2, .assist = ASSIST_ALWAYS};

/* A hub with two peers on the owner, and what was sent and not seen yet. */
struct stream {
	struct flow *flow;
	struct flow_session from;
	struct flow_session to;
	uint64_t n_sent;
	uint64_t n_seen;
};

static struct stream stream_make(const struct flow_options *options)
{
	struct stream s = {.flow = flow_create(options)};

	s.from = flow_session(s.flow, OWNER, 1, 1, BASE_IP_V4);
	s.to = flow_session(s.flow, OWNER, 2, 2, BASE_IP_V6);
	flow_reset(s.flow);
	return s;
}

/* Inner packet i of a stream; sizes differ, so that a wrong order shows. */
static uint32_t inner_of(const struct stream *s, uint64_t i, uint8_t *inner)
{
	return flow_inner_between(inner, s->from.peer, s->to.peer, BASE_IP_V4,
	                          20 + (uint32_t)(i * 13 % 400));
}

/* The owner finds n packets of the stream in its queue. */
static void send_some(struct stream *s, uint32_t n)
{
	uint8_t inner[FLOW_FRAME_MAX];

	while (n-- > 0)
		flow_rx_data(s->flow, &s->from, inner, inner_of(s, s->n_sent++, inner));
}

static void turn(struct stream *s, uint32_t worker)
{
	worker_turn(s->flow->workers[worker], s->flow->now_ns);
}

static void turns(struct stream *s, uint32_t worker, uint32_t n)
{
	while (n-- > 0)
		turn(s, worker);
}

/* The next n of the stream come out, in order. */
static void see(struct stream *s, uint32_t n)
{
	uint8_t inner[FLOW_FRAME_MAX];

	while (n-- > 0) {
		uint32_t len = inner_of(s, s->n_seen, inner);

		flow_hop(inner);
		flow_expect_data(s->flow, &s->to, s->n_seen++, inner, len);
	}
}

/* Both work until nothing is left. */
static void settle(struct stream *s)
{
	flow_turn(s->flow);
	flow_turn(s->flow);
}

/* ---- order ---- */

static void a_slow_helper_holds_up_and_reorders_nothing(void **state)
{
	struct stream s = stream_make(&helped);

	(void)state;
	/* The helper gets the first three bursts, the owner does the other three at once. */
	for (uint32_t i = 0; i < 6; i++) {
		send_some(&s, BURST);
		turn(&s, OWNER);
	}
	flow_expect_silence(s.flow);
	assert_int_equal(flow_counter(s.flow, ABI_COUNTER_ASSIST_BATCHES), 3);
	/* One burst opened by the helper is sealed by it as well, after the others. */
	turn(&s, HELPER);
	turn(&s, OWNER);
	flow_expect_silence(s.flow);
	turns(&s, HELPER, 3);
	turn(&s, OWNER);
	see(&s, BURST);
	settle(&s);
	see(&s, 5 * BURST);
	flow_expect_silence(s.flow);
	FLOW_EXPECT(s.flow, {ABI_COUNTER_RX_WAN, 6 * BURST}, {ABI_COUNTER_OPENED, 6 * BURST},
	            {ABI_COUNTER_FORWARDED, 6 * BURST}, {ABI_COUNTER_SEALED, 6 * BURST},
	            {ABI_COUNTER_TX_WAN, 6 * BURST},
	            {ABI_COUNTER_ASSIST_BATCHES, flow_counter(s.flow, ABI_COUNTER_ASSIST_BATCHES)},
	            {ABI_COUNTER_ASSIST_HELPED, flow_counter(s.flow, ABI_COUNTER_ASSIST_BATCHES)});
	flow_destroy(s.flow);
}

static void packets_of_the_kernel_keep_their_place(void **state)
{
	struct stream s = stream_make(&helped);
	struct base_ip hub = flow_ip("10.0.0.1");
	struct base_ip peer = flow_inner_ip(2, BASE_IP_V4);
	uint8_t inner[3][FLOW_FRAME_MAX];
	uint32_t len[3];

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		len[i] = flow_inner(inner[i], &hub, &peer, 64, 40 + i);
		flow_from_kernel(s.flow, OWNER, PORT_LINK_TUN, inner[i], len[i]);
		turn(&s, OWNER);
	}
	flow_expect_silence(s.flow);
	settle(&s);
	for (uint32_t i = 0; i < 3; i++)
		flow_expect_data(s.flow, &s.to, i, inner[i], len[i]);
	FLOW_EXPECT(s.flow, {ABI_COUNTER_RX_TUN, 3}, {ABI_COUNTER_SEALED, 3},
	            {ABI_COUNTER_TX_WAN, 3}, {ABI_COUNTER_ASSIST_BATCHES, 3},
	            {ABI_COUNTER_ASSIST_HELPED, 3});
	flow_destroy(s.flow);
}

static void a_keepalive_does_not_overtake(void **state)
{
	struct stream s = stream_make(&helped);

	(void)state;
	send_some(&s, 10);
	turn(&s, OWNER); /* opened by the helper */
	turn(&s, HELPER);
	turn(&s, OWNER); /* sealed by it: counters 0 to 9 are taken */
	FLOW_CMD(s.flow, OWNER, ABI_CMD_KEEPALIVE,
	         (struct abi_cmd_session){.index = s.to.index, .peer = 2});
	turn(&s, OWNER);
	flow_expect_silence(s.flow);
	settle(&s);
	see(&s, 10);
	flow_expect_data(s.flow, &s.to, 10, NULL, 0);
	flow_destroy(s.flow);
}

/* ---- what is not good ---- */

static void rx_message(struct stream *s, const uint8_t *message, uint32_t len)
{
	uint8_t frame[FLOW_FRAME_MAX];

	flow_rx(s->flow, OWNER, 0, frame,
	        flow_frame_to_hub(frame, &s->from.endpoint, message, len));
}

static void replays_and_forgeries_are_found_when_batches_retire(void **state)
{
	struct stream s = stream_make(&helped);
	uint8_t inner[FLOW_FRAME_MAX];
	uint8_t message[FLOW_FRAME_MAX];
	uint32_t n;

	(void)state;
	n = flow_seal(&s.from, message, inner, inner_of(&s, s.n_sent++, inner));
	rx_message(&s, message, n);
	rx_message(&s, message, n); /* in the same burst */
	turn(&s, OWNER);
	rx_message(&s, message,
	           n); /* while the first is out: the look before the cipher passes it */
	message[n - 1] ^= 1;
	message[8]++; /* another counter */
	rx_message(&s, message, n);
	turn(&s, OWNER);
	settle(&s);
	see(&s, 1);
	flow_expect_silence(s.flow);
	FLOW_EXPECT(s.flow, {ABI_COUNTER_RX_WAN, 4}, {ABI_COUNTER_OPENED, 3},
	            {ABI_COUNTER_DROP_REPLAY, 2}, {ABI_COUNTER_DROP_AUTH, 1},
	            {ABI_COUNTER_FORWARDED, 1}, {ABI_COUNTER_SEALED, 1}, {ABI_COUNTER_TX_WAN, 1},
	            {ABI_COUNTER_ASSIST_BATCHES, 3}, {ABI_COUNTER_ASSIST_HELPED, 3});
	flow_destroy(s.flow);
}

static void retire(struct stream *s, const struct flow_session *session)
{
	FLOW_CMD(s->flow, OWNER, ABI_CMD_SESSION_RETIRE,
	         (struct abi_cmd_session){.index = session->index, .peer = session->peer});
	turn(s, OWNER);
}

static void a_session_retired_while_its_packets_are_opened_drops_them(void **state)
{
	struct stream s = stream_make(&helped);
	struct flow_session other = flow_session(s.flow, OWNER, 3, 3, BASE_IP_V4);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = flow_inner_between(inner, 3, 2, BASE_IP_V4, 99);

	(void)state;
	/* In one burst with somebody else's, who is not concerned. */
	send_some(&s, 5);
	flow_rx_data(s.flow, &other, inner, len);
	send_some(&s, 5);
	turn(&s, OWNER);
	retire(&s, &s.from);
	settle(&s);
	flow_hop(inner);
	flow_expect_data(s.flow, &s.to, 0, inner, len);
	FLOW_EXPECT(s.flow, {ABI_COUNTER_RX_WAN, 11}, {ABI_COUNTER_DROP_UNKNOWN_INDEX, 10},
	            {ABI_COUNTER_OPENED, 1}, {ABI_COUNTER_FORWARDED, 1}, {ABI_COUNTER_SEALED, 1},
	            {ABI_COUNTER_TX_WAN, 1}, {ABI_COUNTER_ASSIST_BATCHES, 2},
	            {ABI_COUNTER_ASSIST_HELPED, 2});
	flow_destroy(s.flow);
}

static void a_session_retired_while_packets_are_sealed_for_it_drops_them(void **state)
{
	struct stream s = stream_make(&helped);
	struct flow_session again;

	(void)state;
	send_some(&s, 7);
	turn(&s, OWNER);
	turn(&s, HELPER);
	turn(&s, OWNER); /* now they are being sealed */
	retire(&s, &s.to);
	/* Another session in the same slot is another session. */
	again = s.to;
	again.index ^= 1U << 31;
	again.remote_index++;
	flow_session_install(s.flow, &again, ABI_ROLE_INITIATOR, 0);
	settle(&s);
	flow_expect_silence(s.flow);
	FLOW_EXPECT(s.flow, {ABI_COUNTER_RX_WAN, 7}, {ABI_COUNTER_OPENED, 7},
	            {ABI_COUNTER_FORWARDED, 7}, {ABI_COUNTER_DROP_NO_SESSION, 7},
	            {ABI_COUNTER_ASSIST_BATCHES, 2}, {ABI_COUNTER_ASSIST_HELPED, 2});
	flow_destroy(s.flow);
}

static void a_session_that_expires_meanwhile_drops_its_packets(void **state)
{
	struct stream s = stream_make(&helped);

	(void)state;
	send_some(&s, 4);
	turn(&s, OWNER);
	s.flow->now_ns += 181 * FLOW_S;
	turn(&s, OWNER); /* the timer scan wipes the keys */
	settle(&s);
	flow_expect_silence(s.flow);
	FLOW_EXPECT(s.flow, {ABI_COUNTER_RX_WAN, 4}, {ABI_COUNTER_DROP_SESSION_EXPIRED, 4},
	            {ABI_COUNTER_ASSIST_BATCHES, 1}, {ABI_COUNTER_ASSIST_HELPED, 1});
	flow_destroy(s.flow);
}

/* ---- a helper that hangs ---- */

static void a_helper_that_hangs_stops_the_intake_and_loses_nothing_but_what_is_out(void **state)
{
	struct stream s = stream_make(&helped);
	uint64_t n_taken;

	(void)state;
	for (uint32_t i = 0; i < 40; i++) {
		send_some(&s, 16);
		turn(&s, OWNER);
		turn(&s, OWNER);
	}
	for (uint32_t i = 0; i < 40; i++) {
		send_some(&s, 8);
		turn(&s, OWNER);
	}
	/* Batches are used up; packets wait in the port's queue. */
	n_taken = flow_counter(s.flow, ABI_COUNTER_RX_WAN);
	assert_in_range(n_taken, 1, s.n_sent - 1);
	turns(&s, OWNER, 100);
	assert_int_equal(flow_counter(s.flow, ABI_COUNTER_RX_WAN), n_taken);
	flow_expect_silence(s.flow);
	/* flow_destroy() sees that all packets and buffers are accounted for. */
	flow_destroy(s.flow);
}

static void control_is_heard_while_a_helper_hangs(void **state)
{
	struct stream s = stream_make(&helped);
	const struct abi_session *slot = abi_region_session(&s.flow->region, OWNER,
	                                                    abi_index_slot(s.from.index));

	(void)state;
	for (uint32_t i = 0; i < 90; i++) {
		send_some(&s, 8);
		turn(&s, OWNER);
	}
	assert_int_equal(slot->index, s.from.index);
	retire(&s, &s.from);
	assert_int_equal(slot->index, 0);
	settle(&s);
	flow_expect_silence(s.flow);
	flow_destroy(s.flow);
}

/* Keepalives are made where packets come from, which stands still; there is room for a burst of them. */
static void keepalives_wait_while_a_helper_hangs(void **state)
{
	struct stream s = stream_make(&helped);
	struct abi_cmd_session cmd = {.index = s.to.index, .peer = s.to.peer};
	const uint32_t n = 90 + STATE_SIDE_MAX;

	(void)state;
	for (uint32_t i = 0; i < 90; i++) {
		send_some(&s, 8);
		turn(&s, OWNER);
	}
	for (uint32_t i = 0; i < n; i++) {
		FLOW_CMD(s.flow, OWNER, ABI_CMD_KEEPALIVE, cmd);
		turn(&s, OWNER);
	}
	for (uint32_t i = 0; i < 4; i++)
		settle(&s);
	assert_int_equal(flow_counter(s.flow, ABI_COUNTER_KEEPALIVE_OUT), n);
	flow_destroy(s.flow);
}

static void a_helper_that_comes_back_lets_everything_go_on(void **state)
{
	struct stream s = stream_make(&helped);

	(void)state;
	for (uint32_t i = 0; i < 90; i++) {
		send_some(&s, 8);
		turn(&s, OWNER);
	}
	flow_expect_silence(s.flow);
	settle(&s);
	see(&s, 90 * 8);
	flow_expect_silence(s.flow);
	flow_destroy(s.flow);
}

static void what_is_out_at_the_end_is_counted(void **state)
{
	struct stream s = stream_make(&helped);

	(void)state;
	send_some(&s, 30);
	turn(&s, OWNER);
	for (uint32_t i = 0; i < 2; i++)
		worker_destroy(s.flow->workers[i]);
	FLOW_EXPECT(s.flow, {ABI_COUNTER_RX_WAN, 30}, {ABI_COUNTER_DROP_STOPPED, 30},
	            {ABI_COUNTER_ASSIST_BATCHES, 1});
	memset(s.flow->workers, 0, sizeof(s.flow->workers));
	flow_destroy(s.flow);
}

/* ---- the switch ---- */

#define FULL_ON 32U /* assist_switch.c */

static const struct flow_options two = {.n_workers = 2};

/* n turns with a full burst each. */
static void backlog(struct stream *s, uint32_t n)
{
	while (n-- > 0) {
		send_some(s, BURST);
		turn(s, OWNER);
		s->flow->now_ns += 30 * BASE_NS_PER_US;
	}
}

/* The same, and the owner does them all at once. */
static void backlog_done_alone(struct stream *s, uint32_t n)
{
	while (n-- > 0) {
		backlog(s, 1);
		see(s, BURST);
	}
}

static uint64_t n_switched(const struct stream *s)
{
	return flow_counter(s->flow, ABI_COUNTER_ASSIST_ON);
}

static void help_comes_when_bursts_stay_full(void **state)
{
	struct stream s = stream_make(&two);

	(void)state;
	backlog_done_alone(&s, FULL_ON - 1);
	assert_int_equal(n_switched(&s), 0);
	/* Some turns without takes back four each. */
	turns(&s, OWNER, 2);
	backlog_done_alone(&s, 8);
	assert_int_equal(n_switched(&s), 0);
	backlog_done_alone(&s, 1);
	assert_int_equal(n_switched(&s), 1);
	assert_int_equal(flow_counter(s.flow, ABI_COUNTER_ASSIST_BATCHES), 0);
	/* From now on the helper gets some. */
	backlog(&s, 5);
	flow_expect_silence(s.flow);
	assert_int_equal(flow_counter(s.flow, ABI_COUNTER_ASSIST_BATCHES), 3);
	settle(&s);
	see(&s, 5 * BURST);
	flow_destroy(s.flow);
}

static void help_ends_when_there_is_little_to_do_and_order_is_kept(void **state)
{
	struct stream s = stream_make(&two);

	(void)state;
	backlog_done_alone(&s, FULL_ON);
	assert_int_equal(n_switched(&s), 1);
	/* One burst a millisecond is little. The last of them are with the helper when help ends. */
	for (uint32_t i = 0; i < 12; i++) {
		send_some(&s, 4);
		turn(&s, OWNER);
		if (i < 9)
			turn(&s, HELPER);
		turn(&s, OWNER);
		s.flow->now_ns += FLOW_MS;
	}
	flow_reset(s.flow);
	send_some(&s, 4);
	turn(&s, OWNER);
	/* Nobody asks for more, but what is new waits for what is out. */
	assert_int_equal(s.flow->before[ABI_COUNTER_ASSIST_BATCHES],
	                 flow_counter(s.flow, ABI_COUNTER_ASSIST_BATCHES));
	settle(&s);
	see(&s, 13 * 4);
	/* And then all is as it was. */
	send_some(&s, 4);
	turn(&s, OWNER);
	see(&s, 4);
	backlog_done_alone(&s, FULL_ON);
	assert_int_equal(n_switched(&s), 2);
	flow_destroy(s.flow);
}

static void a_late_helper_is_not_asked_for_a_second(void **state)
{
	struct stream s = stream_make(&two);

	(void)state;
	backlog_done_alone(&s, FULL_ON);
	assert_int_equal(n_switched(&s), 1);
	for (uint32_t i = 0; i < 70; i++) {
		send_some(&s, 8);
		turn(&s, OWNER);
	}
	assert_int_equal(flow_counter(s.flow, ABI_COUNTER_ASSIST_LATE), 1);
	settle(&s);
	see(&s, 70 * 8);
	backlog_done_alone(&s, FULL_ON + 8);
	assert_int_equal(n_switched(&s), 1);
	s.flow->now_ns += FLOW_S;
	backlog_done_alone(&s, 1);
	assert_int_equal(n_switched(&s), 2);
	flow_destroy(s.flow);
}

static void a_mate_with_traffic_of_its_own_is_left_alone(void **state)
{
	struct stream s = stream_make(&two);
	struct flow_session other = flow_session(s.flow, HELPER, 5, 3, BASE_IP_V4);

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		for (uint32_t j = 0; j < 300; j++)
			flow_rx_data(s.flow, &other, NULL, 0);
		for (uint32_t j = 0; j < 10; j++)
			turn(&s, HELPER);
		s.flow->now_ns += FLOW_MS;
		turn(&s, HELPER);
	}
	backlog_done_alone(&s, FULL_ON + 8);
	assert_int_equal(n_switched(&s), 0);
	/* A quiet millisecond later it is willing. */
	s.flow->now_ns += FLOW_MS;
	turn(&s, HELPER);
	s.flow->now_ns += FLOW_MS;
	turn(&s, HELPER);
	backlog_done_alone(&s, 1);
	assert_int_equal(n_switched(&s), 1);
	flow_destroy(s.flow);
}

/* Else it might sleep over it, and the owner wait. */
static void a_helper_that_holds_a_batch_is_wanted_though_help_has_ended(void **state)
{
	static struct assist_shared shared;
	struct assist assist;
	int job;

	(void)state;
	assert_int_equal(assist_init(&assist, HELPER, 2, ASSIST_AUTO, &shared), 0);
	assert_false(assist_is_wanted(&assist));
	assist_lane_give(&shared.lane[OWNER][HELPER], &job);
	assert_true(assist_is_wanted(&assist));
	assist_lane_finish(&shared.lane[OWNER][HELPER]);
	assert_false(assist_is_wanted(&assist));
	atomic_store(&shared.mate[OWNER].wants, 1);
	assert_true(assist_is_wanted(&assist));
	assist_fini(&assist, NULL);
}

static void one_worker_alone_has_nobody_to_ask(void **state)
{
	struct stream s = stream_make(&(struct flow_options){.assist = ASSIST_ALWAYS});

	(void)state;
	backlog_done_alone(&s, FULL_ON + 8);
	assert_int_equal(flow_counter(s.flow, ABI_COUNTER_ASSIST_BATCHES), 0);
	flow_destroy(s.flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slow_helper_holds_up_and_reorders_nothing),
		cmocka_unit_test(packets_of_the_kernel_keep_their_place),
		cmocka_unit_test(a_keepalive_does_not_overtake),
		cmocka_unit_test(replays_and_forgeries_are_found_when_batches_retire),
		cmocka_unit_test(a_session_retired_while_its_packets_are_opened_drops_them),
		cmocka_unit_test(a_session_retired_while_packets_are_sealed_for_it_drops_them),
		cmocka_unit_test(a_session_that_expires_meanwhile_drops_its_packets),
		cmocka_unit_test(
			a_helper_that_hangs_stops_the_intake_and_loses_nothing_but_what_is_out),
		cmocka_unit_test(control_is_heard_while_a_helper_hangs),
		cmocka_unit_test(keepalives_wait_while_a_helper_hangs),
		cmocka_unit_test(a_helper_that_comes_back_lets_everything_go_on),
		cmocka_unit_test(what_is_out_at_the_end_is_counted),
		cmocka_unit_test(help_comes_when_bursts_stay_full),
		cmocka_unit_test(help_ends_when_there_is_little_to_do_and_order_is_kept),
		cmocka_unit_test(a_late_helper_is_not_asked_for_a_second),
		cmocka_unit_test(a_mate_with_traffic_of_its_own_is_left_alone),
		cmocka_unit_test(a_helper_that_holds_a_batch_is_wanted_though_help_has_ended),
		cmocka_unit_test(one_worker_alone_has_nobody_to_ask),
	};

	return cmocka_run_group_tests_name("assist", tests, flow_start, NULL);
}
