/* in_session, in_open, in_accept, policy, in_deliver: from a data message to an inner packet that
 * may pass, and every reason why not. */
#include "base_bytes.h"
#include "flow.h"

#include <string.h>

/* A hub with peers 1 and 2 in session. */
struct pair {
	struct flow *flow;
	struct flow_session from;
	struct flow_session to;
};

static struct pair pair_create(void)
{
	struct pair pair = {.flow = flow_create(NULL)};

	pair.from = flow_session(pair.flow, 0, 1, 1, BASE_IP_V4);
	pair.to = flow_session(pair.flow, 0, 2, 2, BASE_IP_V4);
	flow_reset(pair.flow);
	return pair;
}

static void rx_message(struct flow *flow, const struct flow_session *from, const uint8_t *message,
                       uint32_t len)
{
	uint8_t frame[FLOW_FRAME_MAX];

	flow_rx(flow, 0, 0, frame, flow_frame_to_hub(frame, &from->endpoint, message, len));
	flow_turn(flow);
}

static void unknown_indices_are_dropped_in_place(void **state)
{
	struct pair pair = pair_create();
	uint32_t good = pair.from.index;
	const uint32_t indices[] = {
		0,
		good ^ 0x01000000,             /* other random bits */
		good ^ (3U << 4),              /* an empty slot */
		abi_index_make(0, 0xfffff, 0), /* beyond the table */
		abi_index_make(1, 1, 0),       /* a worker that is not there */
		abi_index_make(15, 1, 0),
		UINT32_MAX,
	};
	uint8_t inner[FLOW_FRAME_MAX];
	uint8_t message[FLOW_FRAME_MAX];
	uint32_t len = flow_inner_between(inner, 1, 2, BASE_IP_V4, 64);

	(void)state;
	len = flow_seal(&pair.from, message, inner, len);
	for (size_t i = 0; i < BASE_ARRAY_LEN(indices); i++) {
		base_store_le32(message + WG_DATA_RECEIVER, indices[i]);
		rx_message(pair.flow, &pair.from, message, len);
		FLOW_EXPECT(pair.flow, {ABI_COUNTER_RX_WAN, 1},
		            {ABI_COUNTER_DROP_UNKNOWN_INDEX, 1});
	}
	flow_expect_silence(pair.flow);
	flow_destroy(pair.flow);
}

static void forged_packets_are_dropped_and_change_nothing(void **state)
{
	struct pair pair = pair_create();
	uint8_t inner[FLOW_FRAME_MAX];
	uint8_t message[FLOW_FRAME_MAX];
	uint32_t inner_len = flow_inner_between(inner, 1, 2, BASE_IP_V4, 64);
	uint32_t len = flow_seal(&pair.from, message, inner, inner_len);
	struct flow_session stranger = pair.from;

	(void)state;
	stranger.endpoint = flow_endpoint("203.0.113.66:6666");
	for (uint32_t bit = 8 * 8; bit < len * 8; bit += 13) {
		message[bit / 8] ^= (uint8_t)(1U << bit % 8);
		rx_message(pair.flow, &stranger, message, len);
		message[bit / 8] ^= (uint8_t)(1U << bit % 8);
		FLOW_EXPECT(pair.flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_DROP_AUTH, 1});
	}
	flow_expect_silence(pair.flow);
	flow_expect_no_event(pair.flow);
	/* Neither the window nor the endpoint moved: the good one passes, and is answered home. */
	rx_message(pair.flow, &pair.from, message, len);
	flow_hop(inner);
	flow_expect_data(pair.flow, &pair.to, 0, inner, inner_len);
	flow_expect_no_event(pair.flow);
	flow_reset(pair.flow);
	flow_destroy(pair.flow);
}

static void one_forgery_in_a_burst_does_not_disturb_its_neighbours(void **state)
{
	struct pair pair = pair_create();
	uint8_t inner[32][FLOW_FRAME_MAX];
	uint32_t len[32];

	(void)state;
	for (uint32_t i = 0; i < 32; i++) {
		uint8_t message[FLOW_FRAME_MAX];
		uint8_t frame[FLOW_FRAME_MAX];
		uint32_t n;

		len[i] = flow_inner_between(inner[i], 1, 2, BASE_IP_V4, i * 40);
		n = flow_seal(&pair.from, message, inner[i], len[i]);
		if (i % 5 == 2)
			message[n - 1] ^= 1;
		flow_rx(pair.flow, 0, 0, frame,
		        flow_frame_to_hub(frame, &pair.from.endpoint, message, n));
	}
	flow_turn(pair.flow);
	for (uint32_t i = 0, counter = 0; i < 32; i++) {
		if (i % 5 == 2)
			continue;
		flow_hop(inner[i]);
		flow_expect_data(pair.flow, &pair.to, counter++, inner[i], len[i]);
	}
	FLOW_EXPECT(pair.flow, {ABI_COUNTER_RX_WAN, 32}, {ABI_COUNTER_DROP_AUTH, 6},
	            {ABI_COUNTER_OPENED, 26}, {ABI_COUNTER_FORWARDED, 26}, {ABI_COUNTER_SEALED, 26},
	            {ABI_COUNTER_TX_WAN, 26});
	flow_destroy(pair.flow);
}

static void replays_are_dropped_and_late_packets_are_not(void **state)
{
	struct pair pair = pair_create();
	static const struct {
		uint64_t counter;
		bool passes;
	} steps[] = {
		{5, true},           {5, false},
		{3, true},           {3, false},
		{0, true},           {9000, true},
		{5, false},          {9000, false},
		{900, true},         {9000 - 8128 - 1, false},
		{9000 - 8127, true}, {UINT64_MAX, false},
	};
	uint8_t inner[FLOW_FRAME_MAX];
	uint8_t message[FLOW_FRAME_MAX];
	uint8_t out[FLOW_FRAME_MAX];
	uint32_t len = flow_inner_between(inner, 1, 2, BASE_IP_V4, 56); /* a multiple of 4 */

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(steps); i++) {
		uint32_t n = flow_seal_at(&pair.from, steps[i].counter, message, inner, len);

		rx_message(pair.flow, &pair.from, message, n);
		if (steps[i].passes) {
			FLOW_EXPECT(pair.flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
			            {ABI_COUNTER_FORWARDED, 1}, {ABI_COUNTER_SEALED, 1},
			            {ABI_COUNTER_TX_WAN, 1});
			assert_true(flow_tx(pair.flow, 0, 0, out) > 0);
		} else if (steps[i].counter == UINT64_MAX) {
			FLOW_EXPECT(pair.flow, {ABI_COUNTER_RX_WAN, 1},
			            {ABI_COUNTER_DROP_SESSION_EXPIRED, 1});
		} else {
			FLOW_EXPECT(pair.flow, {ABI_COUNTER_RX_WAN, 1},
			            {ABI_COUNTER_DROP_REPLAY, 1});
		}
	}
	flow_expect_silence(pair.flow);
	flow_destroy(pair.flow);
}

static void the_same_packet_twice_in_one_burst_passes_once(void **state)
{
	struct pair pair = pair_create();
	uint8_t inner[FLOW_FRAME_MAX];
	uint8_t message[FLOW_FRAME_MAX];
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t len = flow_inner_between(inner, 1, 2, BASE_IP_V4, 64);

	(void)state;
	len = flow_seal(&pair.from, message, inner, len);
	len = flow_frame_to_hub(frame, &pair.from.endpoint, message, len);
	flow_rx(pair.flow, 0, 0, frame, len);
	flow_rx(pair.flow, 0, 0, frame, len);
	flow_turn(pair.flow);
	/* Both look new to in_session; in_accept's look, behind the tag, is the one that counts. */
	FLOW_EXPECT(pair.flow, {ABI_COUNTER_RX_WAN, 2}, {ABI_COUNTER_OPENED, 2},
	            {ABI_COUNTER_DROP_REPLAY, 1}, {ABI_COUNTER_FORWARDED, 1},
	            {ABI_COUNTER_SEALED, 1}, {ABI_COUNTER_TX_WAN, 1});
	flow_destroy(pair.flow);
}

static void keepalives_end_in_accept(void **state)
{
	struct pair pair = pair_create();

	(void)state;
	flow_rx_data(pair.flow, &pair.from, NULL, 0);
	flow_turn(pair.flow);
	FLOW_EXPECT(pair.flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
	            {ABI_COUNTER_KEEPALIVE_IN, 1});
	flow_expect_silence(pair.flow);
	flow_destroy(pair.flow);
}

static void expect_inner_drop(struct pair *pair, const uint8_t *inner, uint32_t len,
                              enum abi_counter counter)
{
	flow_rx_data(pair->flow, &pair->from, inner, len);
	flow_turn(pair->flow);
	FLOW_EXPECT(pair->flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1}, {counter, 1});
	flow_expect_silence(pair->flow);
	flow_expect_no_event(pair->flow);
}

static void inner_headers_that_are_none_are_dropped(void **state)
{
	struct pair pair = pair_create();
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len;

	(void)state;
	for (uint32_t version = 0; version < 16; version++) {
		len = flow_inner_between(inner, 1, 2, BASE_IP_V4, 64);
		inner[0] = (uint8_t)(version << 4 | 5);
		if (version != 4 && version != 6)
			expect_inner_drop(&pair, inner, len, ABI_COUNTER_DROP_INNER_HEADER);
	}
	len = flow_inner_between(inner, 1, 2, BASE_IP_V4, 64);
	inner[0] = 0x44; /* header of 16 bytes */
	expect_inner_drop(&pair, inner, len, ABI_COUNTER_DROP_INNER_HEADER);
	flow_inner_between(inner, 1, 2, BASE_IP_V4, 64);
	expect_inner_drop(&pair, inner, 16, ABI_COUNTER_DROP_INNER_HEADER);
	len = flow_inner_between(inner, 1, 2, BASE_IP_V4, 64);
	base_store_be16(inner + 2, 19); /* shorter than its own header */
	expect_inner_drop(&pair, inner, len, ABI_COUNTER_DROP_INNER_HEADER);
	flow_inner_between(inner, 1, 2, BASE_IP_V6, 64);
	expect_inner_drop(&pair, inner, 32, ABI_COUNTER_DROP_INNER_HEADER);
	flow_destroy(pair.flow);
}

static void inner_lengths_that_lie_are_dropped(void **state)
{
	struct pair pair = pair_create();
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len;

	(void)state;
	len = flow_inner_between(inner, 1, 2, BASE_IP_V4, 68); /* 96, padding adds nothing */
	base_store_be16(inner + 2, (uint16_t)(len + 1));
	expect_inner_drop(&pair, inner, len, ABI_COUNTER_DROP_INNER_LENGTH);
	base_store_be16(inner + 2, 0xffff);
	expect_inner_drop(&pair, inner, len, ABI_COUNTER_DROP_INNER_LENGTH);
	len = flow_inner_between(inner, 1, 2, BASE_IP_V6, 64); /* 112 */
	base_store_be16(inner + 4, (uint16_t)(len - 40 + 1));
	expect_inner_drop(&pair, inner, len, ABI_COUNTER_DROP_INNER_LENGTH);
	base_store_be16(inner + 4, 0xffff);
	expect_inner_drop(&pair, inner, len, ABI_COUNTER_DROP_INNER_LENGTH);
	flow_destroy(pair.flow);
}

static void inner_sources_of_somebody_else_are_dropped(void **state)
{
	struct pair pair = pair_create();
	static const char *const sources[] = {"10.0.0.102", "10.0.0.1", "8.8.8.8",
	                                      "fd00::102",  "fd00::1",  "2001:db8::1"};
	uint8_t inner[FLOW_FRAME_MAX];

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(sources); i++) {
		struct base_ip source = flow_ip(sources[i]);
		struct base_ip destination = flow_inner_ip(2, source.family);
		uint32_t len = flow_inner(inner, &source, &destination, 64, 64);

		expect_inner_drop(&pair, inner, len, ABI_COUNTER_DROP_INNER_SOURCE);
	}
	flow_destroy(pair.flow);
}

static void authenticated_drops_are_counted_for_the_peer(void **state)
{
	struct pair pair = pair_create();
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = flow_inner_between(inner, 3, 2, BASE_IP_V4, 64);
	const struct abi_peer_counters *counters = abi_region_peer_counters(&pair.flow->region, 0,
	                                                                    1);

	(void)state;
	expect_inner_drop(&pair, inner, len, ABI_COUNTER_DROP_INNER_SOURCE);
	flow_pass(pair.flow, 250 * FLOW_MS);
	assert_int_equal(counters->drops, 1);
	assert_int_equal(counters->rx_packets, 1);
	flow_destroy(pair.flow);
}

static void hop_limit_ends_at_the_hub(void **state)
{
	struct pair pair = pair_create();
	uint8_t inner[FLOW_FRAME_MAX];

	(void)state;
	for (uint8_t family = 4; family <= 6; family = (uint8_t)(family + 2)) {
		struct base_ip source = flow_inner_ip(1, family);
		struct base_ip destination = flow_inner_ip(2, family);

		for (uint8_t hop_limit = 0; hop_limit < 2; hop_limit++) {
			uint32_t len = flow_inner(inner, &source, &destination, hop_limit, 64);

			expect_inner_drop(&pair, inner, len, ABI_COUNTER_DROP_HOP_LIMIT);
		}
	}
	flow_destroy(pair.flow);
}

static void hop_limit_keeps_the_checksum_right_for_every_value(void **state)
{
	struct pair pair = pair_create();
	struct base_ip source = flow_inner_ip(1, BASE_IP_V4);
	struct base_ip destination = flow_inner_ip(2, BASE_IP_V4);
	uint8_t inner[FLOW_FRAME_MAX];

	(void)state;
	for (uint32_t i = 2; i < 256; i++) {
		uint32_t len = flow_inner(inner, &source, &destination, (uint8_t)i, i);

		flow_rx_data(pair.flow, &pair.from, inner, len);
		flow_turn(pair.flow);
		flow_hop(inner);
		flow_expect_data(pair.flow, &pair.to, i - 2, inner, len);
	}
	flow_destroy(pair.flow);
}

static void policy_stops_peer_to_peer_but_not_the_hub(void **state)
{
	struct pair pair = pair_create();
	struct base_ip source = flow_inner_ip(1, BASE_IP_V4);
	struct base_ip tunnel = flow_ip("10.0.0.1");
	uint8_t inner[FLOW_FRAME_MAX];
	uint8_t out[FLOW_FRAME_MAX];
	uint16_t port;
	uint32_t len = flow_inner_between(inner, 1, 2, BASE_IP_V4, 64);

	(void)state;
	FLOW_POLICY(pair.flow,
	            {.id = 1, .from = {.kind = POLICY_END_ANY}, .to = {.kind = POLICY_END_HUB}});
	flow_policy_settle(pair.flow);
	expect_inner_drop(&pair, inner, len, ABI_COUNTER_DROP_POLICY_NO_GRANT);
	len = flow_inner(inner, &source, &tunnel, 64, 64);
	flow_rx_data(pair.flow, &pair.from, inner, len);
	flow_turn(pair.flow);
	assert_int_equal(flow_to_kernel(pair.flow, 0, &port, out), len);
	flow_destroy(pair.flow);
}

/* RFC 6040 4.2, all of it: rows are inside, columns outside; 4 = dropped. */
static void congestion_outside_is_told_inside(void **state)
{
	static const uint8_t after[4][4] = {
		/*           Not-ECT ECT(1) ECT(0) CE */
		/* Not-ECT */ {0, 0, 0, 4},
		/* ECT(1)  */ {1, 1, 1, 3},
		/* ECT(0)  */ {2, 1, 2, 3},
		/* CE      */ {3, 3, 3, 3},
	};
	struct pair pair = pair_create();
	struct base_ip tunnel[2] = {flow_ip("10.0.0.1"), flow_ip("fd00::1")};
	struct flow_session from[2] = {pair.from, flow_session(pair.flow, 0, 9, 3, BASE_IP_V6)};

	(void)state;
	flow_reset(pair.flow);
	for (uint32_t i = 0; i < 64; i++) {
		uint8_t family = i & 16 ? BASE_IP_V6 : BASE_IP_V4;
		struct flow_session *session = &from[i >> 5];
		struct base_ip source = flow_inner_ip(session->peer, family);
		uint8_t inner[FLOW_FRAME_MAX];
		uint8_t message[FLOW_FRAME_MAX];
		uint8_t frame[FLOW_FRAME_MAX];
		uint8_t out[FLOW_FRAME_MAX];
		uint16_t port;
		uint32_t len = flow_inner(inner, &source, &tunnel[family == BASE_IP_V6], 64, 64);
		uint32_t shift = family == BASE_IP_V6 ? 4 : 0;
		uint8_t expected = after[i / 4 % 4][i % 4];
		uint32_t n;

		inner[1] = (uint8_t)(i / 4 % 4 << shift);
		if (family == BASE_IP_V4) {
			inner[8]++; /* flow_hop() mends the sum */
			flow_hop(inner);
		}
		n = flow_seal(session, message, inner, len);
		n = flow_frame_to_hub(frame, &session->endpoint, message, n);
		frame[15] = (uint8_t)(i % 4 << (i & 32 ? 4 : 0));
		if (!(i & 32))
			flow_mend_sum(frame);
		flow_rx(pair.flow, 0, 0, frame, n);
		flow_turn(pair.flow);
		if (expected == 4) {
			FLOW_EXPECT(pair.flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
			            {ABI_COUNTER_DROP_ECN, 1});
			continue;
		}
		inner[1] = (uint8_t)(expected << shift);
		if (family == BASE_IP_V4) {
			inner[8]++;
			flow_hop(inner);
		}
		assert_int_equal(flow_to_kernel(pair.flow, 0, &port, out), len);
		assert_memory_equal(out, inner, len);
		flow_reset(pair.flow);
	}
	flow_destroy(pair.flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_indices_are_dropped_in_place),
		cmocka_unit_test(forged_packets_are_dropped_and_change_nothing),
		cmocka_unit_test(one_forgery_in_a_burst_does_not_disturb_its_neighbours),
		cmocka_unit_test(replays_are_dropped_and_late_packets_are_not),
		cmocka_unit_test(the_same_packet_twice_in_one_burst_passes_once),
		cmocka_unit_test(keepalives_end_in_accept),
		cmocka_unit_test(inner_headers_that_are_none_are_dropped),
		cmocka_unit_test(inner_lengths_that_lie_are_dropped),
		cmocka_unit_test(inner_sources_of_somebody_else_are_dropped),
		cmocka_unit_test(authenticated_drops_are_counted_for_the_peer),
		cmocka_unit_test(hop_limit_ends_at_the_hub),
		cmocka_unit_test(hop_limit_keeps_the_checksum_right_for_every_value),
		cmocka_unit_test(policy_stops_peer_to_peer_but_not_the_hub),
		cmocka_unit_test(congestion_outside_is_told_inside),
	};

	return cmocka_run_group_tests_name("inward", tests, flow_start, NULL);
}
