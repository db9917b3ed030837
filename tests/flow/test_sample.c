/* Drops as control sees them: each counted by peer and reason, a few shown, none when nothing was
 * dropped. */
#include "flow.h"
#include "state_drop.h"

#include <string.h>

/* The worker's own count, 0 when it has no place. */
static uint64_t count_of(const struct flow *flow, uint32_t peer, enum abi_counter reason)
{
	const struct abi_drop_pair *pairs = abi_region_drops(&flow->region, 0);
	uint32_t n = abi_region_drop_pairs(FLOW_N_PEERS);
	uint64_t count = 0;

	for (uint32_t i = 0; i < n; i++)
		if (pairs[i].key == abi_drop_key(peer, reason))
			count += pairs[i].count;
	return count;
}

/* Next report of worker 0, or false. */
static bool next(struct abi_ring_end *ring, struct abi_report_drop *out)
{
	struct abi_record record;

	if (abi_ring_pop(ring, &record) != 1)
		return false;
	assert_int_equal(record.type, ABI_REPORT_DROP);
	assert_int_equal(record.len, sizeof(*out));
	memcpy(out, record.payload, sizeof(*out));
	return true;
}

static uint32_t drain(struct abi_ring_end *ring, struct abi_report_drop *last)
{
	uint32_t n = 0;

	while (next(ring, last))
		n++;
	return n;
}

/* Peer 1 sends UDP from this source to peer 2. */
static void send_from(struct flow *flow, struct flow_session *session, const struct base_ip *source)
{
	struct base_ip to = flow_inner_ip(2, source->family);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = flow_inner(inner, source, &to, 64, 33);

	base_store_be16(inner + (source->family == BASE_IP_V4 ? 20 : 40), 4711);
	base_store_be16(inner + (source->family == BASE_IP_V4 ? 22 : 42), 53);
	flow_rx_data(flow, session, inner, len);
	flow_turn(flow);
}

static void allowed_packet_leaves_no_sample(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct abi_ring_end ring = abi_region_report_ring(&flow->region, 0);
	struct base_ip own = flow_inner_ip(1, BASE_IP_V4);
	struct abi_report_drop drop;

	(void)state;
	flow_session(flow, 0, 2, 2, BASE_IP_V4);
	send_from(flow, &from, &own);
	assert_int_equal(flow_counter(flow, ABI_COUNTER_FORWARDED), 1);
	assert_false(next(&ring, &drop));
	flow_destroy(flow);
}

static void drop_is_shown_with_who_whence_where_why(void **state)
{
	static const char *const spoofed[] = {"10.0.0.77", "fd00::77"};
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct abi_ring_end ring = abi_region_report_ring(&flow->region, 0);

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		struct base_ip source = flow_ip(spoofed[i]);
		struct base_ip to = flow_inner_ip(2, source.family);
		struct abi_report_drop drop;

		send_from(flow, &from, &source);
		assert_true(next(&ring, &drop));
		assert_int_equal(drop.time_ns, flow->now_ns);
		assert_int_equal(drop.count, i + 1);
		assert_int_equal(drop.peer, 1);
		assert_int_equal(drop.reason, ABI_COUNTER_DROP_INNER_SOURCE);
		assert_int_equal(drop.flags, 0);
		assert_true(base_ip_equal(&drop.source, &source));
		assert_true(base_ip_equal(&drop.destination, &to));
		assert_int_equal(drop.proto, 17);
		assert_int_equal(drop.has_ports, 1);
		assert_int_equal(drop.sport, 4711);
		assert_int_equal(drop.dport, 53);
		assert_int_equal(drop.len, (source.family == BASE_IP_V4 ? 28 : 48) + 33);
		assert_false(next(&ring, &drop));
	}
	flow_destroy(flow);
}

static void unknown_sender_is_shown_by_its_outer_address(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct abi_ring_end ring = abi_region_report_ring(&flow->region, 0);
	uint8_t frame[FLOW_FRAME_MAX];
	uint8_t message[FLOW_FRAME_MAX];
	struct abi_report_drop drop;
	uint32_t len = flow_seal(&from, message, (const uint8_t *)"0123456789abcdef", 16);

	(void)state;
	message[len - 1] ^= 1;
	len = flow_frame_to_hub(frame, &from.endpoint, message, len);
	flow_rx(flow, 0, 0, frame, len);
	flow_turn(flow);
	assert_true(next(&ring, &drop));
	assert_int_equal(drop.peer, ABI_PEER_NONE);
	assert_int_equal(drop.reason, ABI_COUNTER_DROP_AUTH);
	assert_int_equal(drop.flags, ABI_DROP_OUTER);
	assert_true(base_ip_equal(&drop.source, &from.endpoint.ip));
	assert_int_equal(drop.sport, from.endpoint.port);
	assert_int_equal(drop.dport, FLOW_PORT);
	flow_destroy(flow);
}

static void hubs_own_packet_without_a_session_is_the_hubs(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct abi_ring_end ring = abi_region_report_ring(&flow->region, 0);
	struct base_ip hub = flow_ip("10.0.0.1");
	struct base_ip to = flow_inner_ip(2, BASE_IP_V4);
	struct abi_report_drop drop;
	uint8_t inner[FLOW_FRAME_MAX];

	(void)state;
	flow_from_kernel(flow, 0, PORT_LINK_TUN, inner, flow_inner(inner, &hub, &to, 64, 8));
	flow_turn(flow);
	flow_pass(flow, 90 * FLOW_S); /* in vain */
	assert_true(next(&ring, &drop));
	assert_int_equal(drop.peer, ABI_PEER_HUB);
	assert_int_equal(drop.reason, ABI_COUNTER_DROP_WAIT_OVER);
	assert_true(base_ip_equal(&drop.destination, &to));
	flow_destroy(flow);
}

/* Whatever the flood: the count is exact, the samples are few, and each bears the count at its time, so
 * that what was left out between two is their difference. */
static void flood_is_counted_exactly_and_shown_sparsely(void **state)
{
	const uint32_t n = 10000;
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct abi_ring_end ring = abi_region_report_ring(&flow->region, 0);
	struct base_ip source = flow_ip("10.0.0.77");
	struct abi_report_drop drop;

	(void)state;
	for (uint32_t i = 0; i < n; i++)
		send_from(flow, &from, &source);
	assert_int_equal(count_of(flow, 1, ABI_COUNTER_DROP_INNER_SOURCE), n);
	assert_int_equal(flow_counter(flow, ABI_COUNTER_DROP_INNER_SOURCE), n);
	for (uint32_t i = 0; i < STATE_DROP_BURST; i++) {
		assert_true(next(&ring, &drop));
		assert_int_equal(drop.count, i + 1);
	}
	assert_false(next(&ring, &drop));
	flow_pass(flow, FLOW_S);
	send_from(flow, &from, &source);
	send_from(flow, &from, &source);
	assert_int_equal(drain(&ring, &drop), 1);
	assert_int_equal(drop.count, n + 1);
	/* another peer is not held back by it */
	from = flow_session(flow, 0, 3, 3, BASE_IP_V4);
	send_from(flow, &from, &source);
	assert_int_equal(drain(&ring, &drop), 1);
	assert_int_equal(drop.peer, 3);
	assert_int_equal(drop.count, 1);
	assert_int_equal(count_of(flow, 1, ABI_COUNTER_DROP_INNER_SOURCE), n + 2);
	flow_destroy(flow);
}

static void full_ring_loses_samples_and_no_counts(void **state)
{
	const uint32_t n = ABI_REPORT_SLOTS + 100;
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct abi_ring_end ring = abi_region_report_ring(&flow->region, 0);
	struct base_ip source = flow_ip("10.0.0.77");
	struct abi_report_drop drop;

	(void)state;
	for (uint32_t i = 0; i < n; i++) {
		flow_pass(flow, FLOW_S);
		if (i % 100 == 99) /* sessions live 180 s */
			from = flow_session(flow, 0, 2 + i / 100, 1, BASE_IP_V4);
		send_from(flow, &from, &source);
	}
	assert_int_equal(count_of(flow, 1, ABI_COUNTER_DROP_INNER_SOURCE), n);
	assert_int_equal(drain(&ring, &drop), ABI_REPORT_SLOTS);
	assert_int_equal(drop.count, ABI_REPORT_SLOTS);
	flow_destroy(flow);
}

static void peer_that_goes_leaves_no_counts_to_the_next(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct abi_ring_end ring = abi_region_report_ring(&flow->region, 0);
	struct base_ip source = flow_ip("10.0.0.77");
	struct abi_report_drop drop;

	(void)state;
	send_from(flow, &from, &source);
	FLOW_CMD(flow, 0, ABI_CMD_PEER_DROP, (struct abi_cmd_peer){.peer = 1});
	flow_turn(flow);
	assert_int_equal(count_of(flow, 1, ABI_COUNTER_DROP_INNER_SOURCE), 0);
	FLOW_CMD(flow, 0, ABI_CMD_PEER_PUT, (struct abi_cmd_peer){.peer = 1});
	from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	send_from(flow, &from, &source);
	assert_int_equal(drain(&ring, &drop), 2);
	assert_int_equal(drop.count, 1);
	flow_destroy(flow);
}

/* Others have every place: the drop is counted by its reason, told without a count, and that it has no place is
 * counted, too. */
static void without_a_place_a_drop_is_counted_and_told_all_the_same(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct abi_drop_pair *pairs = abi_region_drops(&flow->region, 0);
	struct abi_ring_end ring = abi_region_report_ring(&flow->region, 0);
	struct base_ip source = flow_ip("10.0.0.77");
	struct abi_report_drop drop;

	(void)state;
	for (uint32_t i = 0; i < abi_region_drop_pairs(FLOW_N_PEERS); i++)
		pairs[i].key = abi_drop_key(2, i);
	flow_reset(flow);
	send_from(flow, &from, &source);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
	            {ABI_COUNTER_DROP_INNER_SOURCE, 1}, {ABI_COUNTER_DROPS_UNLISTED, 1});
	assert_int_equal(count_of(flow, 1, ABI_COUNTER_DROP_INNER_SOURCE), 0);
	assert_int_equal(drain(&ring, &drop), 1);
	flow_destroy(flow);
}

static void counts_survive_a_restart(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct base_ip source = flow_ip("10.0.0.77");

	(void)state;
	send_from(flow, &from, &source);
	flow_restart(flow);
	flow_cmd_world(flow);
	flow_pass(flow, 1);
	flow_pass(flow, 1);
	from = flow_session(flow, 0, 5, 1, BASE_IP_V4);
	send_from(flow, &from, &source);
	assert_int_equal(count_of(flow, 1, ABI_COUNTER_DROP_INNER_SOURCE), 2);
	flow_destroy(flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allowed_packet_leaves_no_sample),
		cmocka_unit_test(drop_is_shown_with_who_whence_where_why),
		cmocka_unit_test(unknown_sender_is_shown_by_its_outer_address),
		cmocka_unit_test(hubs_own_packet_without_a_session_is_the_hubs),
		cmocka_unit_test(flood_is_counted_exactly_and_shown_sparsely),
		cmocka_unit_test(full_ring_loses_samples_and_no_counts),
		cmocka_unit_test(peer_that_goes_leaves_no_counts_to_the_next),
		cmocka_unit_test(without_a_place_a_drop_is_counted_and_told_all_the_same),
		cmocka_unit_test(counts_survive_a_restart),
	};

	return cmocka_run_group_tests_name("sample", tests, flow_start, NULL);
}
