#include "pktgen_flow.h"
#include "pktgen_stamp.h"
#include "test.h"

#include <stdbool.h>
#include <string.h>

#define W PKTGEN_FLOW_WINDOW

/* ---- numbers that arrive ------------------------------------------------------------------------ */

static void numbers_in_order_are_in_order(void **state)
{
	struct pktgen_flow flow = {.next = 1000};

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(pktgen_flow_arrive(&flow, i), PKTGEN_FLOW_IN_ORDER);
}

static void a_gap_that_is_filled_later_is_reordered_once(void **state)
{
	struct pktgen_flow flow = {.next = 10};

	(void)state;
	assert_int_equal(pktgen_flow_arrive(&flow, 0), PKTGEN_FLOW_IN_ORDER);
	assert_int_equal(pktgen_flow_arrive(&flow, 3), PKTGEN_FLOW_IN_ORDER);
	assert_int_equal(pktgen_flow_arrive(&flow, 1), PKTGEN_FLOW_REORDERED);
	assert_int_equal(pktgen_flow_arrive(&flow, 1), PKTGEN_FLOW_DUPLICATE);
	assert_int_equal(pktgen_flow_arrive(&flow, 3), PKTGEN_FLOW_DUPLICATE);
	assert_int_equal(pktgen_flow_arrive(&flow, 2), PKTGEN_FLOW_REORDERED);
}

static void the_window_ends_after_256_numbers(void **state)
{
	struct pktgen_flow flow = {.next = 10 * W};

	(void)state;
	assert_int_equal(pktgen_flow_arrive(&flow, 2 * W), PKTGEN_FLOW_IN_ORDER);
	assert_int_equal(pktgen_flow_arrive(&flow, W + 1), PKTGEN_FLOW_REORDERED);
	assert_int_equal(pktgen_flow_arrive(&flow, W), PKTGEN_FLOW_LATE);
	assert_int_equal(pktgen_flow_arrive(&flow, W + 1), PKTGEN_FLOW_DUPLICATE);
}

static void a_jump_beyond_the_window_forgets_what_lay_in_it(void **state)
{
	struct pktgen_flow flow = {.next = 10 * W};

	(void)state;
	for (uint64_t i = 0; i < W; i++)
		assert_int_equal(pktgen_flow_arrive(&flow, i), PKTGEN_FLOW_IN_ORDER);
	assert_int_equal(pktgen_flow_arrive(&flow, 3 * W), PKTGEN_FLOW_IN_ORDER);
	for (uint64_t i = 2 * W + 1; i < 3 * W; i++)
		assert_int_equal(pktgen_flow_arrive(&flow, i), PKTGEN_FLOW_REORDERED);
}

static void what_was_never_sent_is_said(void **state)
{
	struct pktgen_flow flow = {.next = 5};

	(void)state;
	assert_int_equal(pktgen_flow_arrive(&flow, 5), PKTGEN_FLOW_NEVER);
	assert_int_equal(pktgen_flow_arrive(&flow, UINT64_MAX), PKTGEN_FLOW_NEVER);
	assert_int_equal(flow.received, 0);
}

static void a_new_trial_makes_earlier_numbers_stale(void **state)
{
	struct pktgen_flow flow = {.next = 20};
	struct pktgen_flows flows = {.n = 1, .flow = &flow};

	(void)state;
	pktgen_flows_begin(&flows);
	flow.next = 22;
	assert_int_equal(pktgen_flow_arrive(&flow, 19), PKTGEN_FLOW_STALE);
	assert_int_equal(pktgen_flow_arrive(&flow, 21), PKTGEN_FLOW_IN_ORDER);
	assert_int_equal(pktgen_flow_arrive(&flow, 20), PKTGEN_FLOW_REORDERED);
	assert_int_equal(pktgen_flow_arrive(&flow, 19), PKTGEN_FLOW_STALE);
}

/* Against a list of all numbers ever seen. */
static void verdicts_agree_with_remembering_everything(void **state)
{
	static bool seen[20000];
	struct test_random random = test_random_start();
	struct pktgen_flow flow = {.next = 20000};
	uint64_t received = 0;

	(void)state;
	memset(seen, 0, sizeof(seen));
	for (uint32_t i = 0; i < 200000; i++) {
		uint64_t back = test_random_below(&random, 2 * W);
		uint64_t middle = (uint64_t)i / 11;
		uint64_t seq = middle > back ? middle - back : middle;
		enum pktgen_flow_verdict expected = PKTGEN_FLOW_IN_ORDER;

		if (seq >= 20000)
			continue;
		if (seq < received && received - seq > W)
			expected = PKTGEN_FLOW_LATE;
		else if (seq < received)
			expected = seen[seq] ? PKTGEN_FLOW_DUPLICATE : PKTGEN_FLOW_REORDERED;
		assert_int_equal(pktgen_flow_arrive(&flow, seq), expected);
		if (expected != PKTGEN_FLOW_LATE)
			seen[seq] = true;
		if (seq >= received)
			received = seq + 1;
	}
}

/* ---- who sends to whom -------------------------------------------------------------------------- */

static struct pktgen_flows flows;

static void make_queues(enum pktgen_pattern pattern, bool both_ways, uint32_t n_peers,
                        uint32_t n_flows, uint32_t n_queues)
{
	const struct pktgen_options options = {.n_queues = n_queues,
	                                       .pattern = pattern,
	                                       .both_ways = both_ways,
	                                       .n_peers = n_peers,
	                                       .n_flows = n_flows};

	assert_int_equal(pktgen_flows_init(&flows, &options), 0);
}

static void make(enum pktgen_pattern pattern, bool both_ways, uint32_t n_peers, uint32_t n_flows)
{
	make_queues(pattern, both_ways, n_peers, n_flows, 1);
}

static uint32_t count(uint32_t source, uint32_t destination)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < flows.n; i++)
		n += flows.flow[i].source == source && flows.flow[i].destination == destination;
	return n;
}

static void ring_joins_each_peer_to_the_next(void **state)
{
	(void)state;
	make(PKTGEN_RING, false, 4, 3);
	assert_int_equal(flows.n, 12);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(count(i, (i + 1) % 4), 3);
	assert_int_not_equal(flows.flow[0].source, flows.flow[1].source);
	pktgen_flows_fini(&flows);
}

static void pairs_go_both_ways_when_asked(void **state)
{
	(void)state;
	make(PKTGEN_PAIRS, true, 4, 2);
	assert_int_equal(flows.n, 8);
	assert_int_equal(count(0, 1), 2);
	assert_int_equal(count(1, 0), 2);
	assert_int_equal(count(2, 3), 2);
	assert_int_equal(count(3, 2), 2);
	pktgen_flows_fini(&flows);
}

static void all_peers_ping_the_hub(void **state)
{
	(void)state;
	make(PKTGEN_HUB, false, 3, 1);
	assert_int_equal(flows.n, 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(count(i, PKTGEN_FLOW_HUB), 1);
	pktgen_flows_fini(&flows);
}

static void a_peer_sends_on_one_queue(void **state)
{
	(void)state;
	make_queues(PKTGEN_RING, true, 7, 3, 4);
	assert_int_equal(flows.first[0], 0);
	assert_int_equal(flows.first[4], flows.n);
	for (uint32_t q = 0; q < 4; q++)
		for (uint32_t i = flows.first[q]; i < flows.first[q + 1]; i++)
			assert_int_equal(flows.flow[i].source % 4, q);
	for (uint32_t i = 0; i < 7; i++)
		assert_int_equal(count(i, (i + 1) % 7), 3);
	pktgen_flows_fini(&flows);
}

/* ---- stamps ------------------------------------------------------------------------------------- */

static void a_stamp_comes_back_and_no_changed_bit_does(void **state)
{
	const struct pktgen_stamp stamp = {.flow = 77, .seq = 123456789012, .sent_ns = 987654321};
	struct pktgen_stamp read;
	uint8_t bytes[PKTGEN_STAMP_LEN];

	(void)state;
	pktgen_stamp_write(bytes, &stamp);
	assert_true(pktgen_stamp_read(bytes, &read));
	assert_int_equal(read.flow, stamp.flow);
	assert_int_equal(read.seq, stamp.seq);
	assert_int_equal(read.sent_ns, stamp.sent_ns);
	assert_int_equal(pktgen_stamp_flow(bytes), stamp.flow);
	for (uint32_t bit = 0; bit < 8 * PKTGEN_STAMP_LEN; bit++) {
		bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ (1U << bit % 8));
		assert_false(pktgen_stamp_read(bytes, &read));
		bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ (1U << bit % 8));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_in_order_are_in_order),
		cmocka_unit_test(a_gap_that_is_filled_later_is_reordered_once),
		cmocka_unit_test(the_window_ends_after_256_numbers),
		cmocka_unit_test(a_jump_beyond_the_window_forgets_what_lay_in_it),
		cmocka_unit_test(what_was_never_sent_is_said),
		cmocka_unit_test(a_new_trial_makes_earlier_numbers_stale),
		cmocka_unit_test(verdicts_agree_with_remembering_everything),
		cmocka_unit_test(ring_joins_each_peer_to_the_next),
		cmocka_unit_test(pairs_go_both_ways_when_asked),
		cmocka_unit_test(all_peers_ping_the_hub),
		cmocka_unit_test(a_peer_sends_on_one_queue),
		cmocka_unit_test(a_stamp_comes_back_and_no_changed_bit_does),
	};

	return cmocka_run_group_tests_name("pktgen_flow", tests, NULL, NULL);
}
