/* Limits of a peer: exact over time for any rate, each way, in packets and in bytes; quotas; what a change,
 * a sync, a restart and the end of a peer do to them. */
#include "base_bytes.h"
#include "flow.h"

#include <string.h>

#define NONE ABI_QUOTA_NONE

struct world {
	struct flow *flow;
	struct flow_session one; /* sends, and has the limits */
	struct flow_session two; /* is sent to */
};

static struct world world_create(const struct flow_options *options, uint32_t worker)
{
	struct world w = {.flow = flow_create(options)};

	w.one = flow_session(w.flow, worker, 1, 1, BASE_IP_V4);
	w.two = flow_session(w.flow, 0, 2, 2, BASE_IP_V4);
	flow_reset(w.flow);
	return w;
}

static struct abi_cmd_peer_limit no_limit(uint32_t peer)
{
	return (struct abi_cmd_peer_limit){
		.peer = peer, .rx_until = NONE, .tx_until = NONE, .total_until = NONE};
}

static void put(struct world *w, struct abi_cmd_peer_limit limit)
{
	flow_cmd_all(w->flow, ABI_CMD_PEER_LIMIT, &limit, sizeof(limit));
	flow_turn(w->flow);
}

static const struct abi_limit *limit_of(const struct world *w, uint32_t peer)
{
	return abi_region_limit(&w->flow->region, w->one.worker, peer);
}

/* Packets that came out to the peers; the worker of each. */
static uint32_t n_sent(struct world *w)
{
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t n = 0;

	for (uint32_t i = 0; i < w->flow->options.n_workers; i++)
		while (flow_tx(w->flow, i, 0, frame) > 0)
			n++;
	return n;
}

/* n packets of len bytes from peer 1 to peer 2, or the other way; returns how many came through. */
static uint32_t offer(struct world *w, bool sends, uint32_t n, uint32_t len)
{
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t passed = 0;

	for (uint32_t left = n; left > 0;) {
		uint32_t now = left < 64 ? left : 64;

		for (uint32_t i = 0; i < now; i++) {
			uint32_t n_inner = flow_inner_between(inner, sends ? 1 : 2, sends ? 2 : 1,
			                                      BASE_IP_V4, len - 28);

			assert_int_equal(n_inner, len);
			flow_rx_data(w->flow, sends ? &w->one : &w->two, inner, n_inner);
		}
		flow_turn(w->flow);
		left -= now;
		passed += n_sent(w);
	}
	return passed;
}

/* What was counted: n packets of which passed went through, and the rest was dropped as counter says. */
static void expect(struct world *w, uint64_t n, uint64_t passed, enum abi_counter counter)
{
	bool tx = counter == ABI_COUNTER_DROP_LIMIT_TX_PACKETS
	          || counter == ABI_COUNTER_DROP_LIMIT_TX_BYTES;

	FLOW_EXPECT(w->flow, {ABI_COUNTER_RX_WAN, n}, {ABI_COUNTER_OPENED, n},
	            {ABI_COUNTER_FORWARDED, tx ? n : passed}, {ABI_COUNTER_SEALED, passed},
	            {ABI_COUNTER_TX_WAN, passed}, {counter, n - passed});
}

/* ---- rates -------------------------------------------------------------------------------------- */

static struct abi_cmd_peer_limit packets_limit(bool sends, uint64_t rate, uint64_t burst)
{
	struct abi_cmd_peer_limit limit = no_limit(1);

	*(sends ? &limit.rx : &limit.tx) = (struct abi_limit_rate){.packets = rate,
	                                                           .packets_burst = burst};
	return limit;
}

/* With always more offered, what passes is burst + rate * T, whatever the steps of the clock (while what a
 * step brings finds room beside what less than a packet left). */
static void packets_over_time(bool sends, uint64_t rate, uint64_t burst, uint64_t step_ns,
                              uint32_t n_steps, uint32_t a_step)
{
	struct world w = world_create(NULL, 0);
	uint64_t passed = 0, offered = 0, expected;

	put(&w, packets_limit(sends, rate, burst));
	for (uint32_t i = 0; i <= n_steps; i++) {
		passed += offer(&w, sends, a_step, 60);
		offered += a_step;
		if (i < n_steps)
			w.flow->now_ns += step_ns;
	}
	expected = burst + (uint64_t)((unsigned __int128)rate * n_steps * step_ns / BASE_NS_PER_S);
	assert_int_equal(passed, expected);
	expect(&w, offered, passed,
	       sends ? ABI_COUNTER_DROP_LIMIT_RX_PACKETS : ABI_COUNTER_DROP_LIMIT_TX_PACKETS);
	assert_int_equal(sends ? limit_of(&w, 1)->rx.drops : limit_of(&w, 1)->tx.drops,
	                 offered - passed);
	flow_destroy(w.flow);
}

static void packets_pass_at_the_rate_to_the_packet(void **state)
{
	(void)state;
	for (int sends = 0; sends < 2; sends++) {
		packets_over_time(sends, 1, 2, FLOW_S / 3, 25, 3);
		packets_over_time(sends, 7, 3, 13 * FLOW_MS, 200, 5); /* 7 into 13 ms */
		packets_over_time(sends, 999983, 10, 7001, 300, 20);  /* a prime */
		packets_over_time(sends, 3000000, 64, 1000, 200, 64); /* 333.3 ns a packet */
		packets_over_time(sends, 30, 10, 2 * FLOW_S / 7, 20, 64);
	}
}

static struct abi_cmd_peer_limit bytes_limit(bool sends, uint64_t rate, uint64_t burst)
{
	struct abi_cmd_peer_limit limit = no_limit(1);

	*(sends ? &limit.rx : &limit.tx) = (struct abi_limit_rate){.bytes = rate,
	                                                           .bytes_burst = burst};
	return limit;
}

static void bytes_over_time(bool sends, uint64_t rate, uint64_t burst, uint64_t step_ns,
                            uint32_t n_steps, uint32_t a_step, uint32_t len)
{
	struct world w = world_create(NULL, 0);
	uint64_t passed = 0, offered = 0, most;

	put(&w, bytes_limit(sends, rate, burst));
	for (uint32_t i = 0; i <= n_steps; i++) {
		passed += offer(&w, sends, a_step, len);
		offered += a_step;
		if (i < n_steps)
			w.flow->now_ns += step_ns;
	}
	most = burst + (uint64_t)((unsigned __int128)rate * n_steps * step_ns / BASE_NS_PER_S);
	assert_true(passed * len <= most);
	assert_true((passed + 1) * len > most);
	expect(&w, offered, passed,
	       sends ? ABI_COUNTER_DROP_LIMIT_RX_BYTES : ABI_COUNTER_DROP_LIMIT_TX_BYTES);
	flow_destroy(w.flow);
}

static void bytes_pass_at_the_rate_to_the_packet(void **state)
{
	(void)state;
	for (int sends = 0; sends < 2; sends++) {
		bytes_over_time(sends, 2500000, 9216, 997001, 200, 40, 1400); /* 20 Mbit/s */
		bytes_over_time(sends, 1, 9216, FLOW_S / 5, 20, 10, 1000);
		bytes_over_time(sends, ABI_LIMIT_BYTES_MAX, 9216, 100, 100, 16, 1200);
		bytes_over_time(sends, 3333333, 65536, 1234567, 100, 64, 96);
	}
}

static void the_highest_rates_and_the_longest_gaps_do_not_overflow(void **state)
{
	struct world w = world_create(NULL, 0);
	struct abi_cmd_peer_limit limit = no_limit(1);

	(void)state;
	limit.rx = (struct abi_limit_rate){.packets = ABI_LIMIT_PACKETS_MAX,
	                                   .packets_burst = 3,
	                                   .bytes = ABI_LIMIT_BYTES_MAX,
	                                   .bytes_burst = ABI_LIMIT_BYTES_BURST_MAX};
	put(&w, limit);
	assert_int_equal(offer(&w, true, 5, 60), 3);
	/* Years without a packet: no more than the burst. (The session would have expired; control gives
	 * another.) */
	w.flow->now_ns += 400 * 86400 * FLOW_S;
	w.one = flow_session(w.flow, 0, 5, 1, BASE_IP_V4);
	w.two = flow_session(w.flow, 0, 6, 2, BASE_IP_V4);
	n_sent(&w);
	assert_int_equal(offer(&w, true, 5, 60), 3);
	assert_int_equal(limit_of(&w, 1)->rx.bytes.level,
	                 ABI_LIMIT_BYTES_BURST_MAX * BASE_TOKEN - 3 * 60 * BASE_TOKEN);
	flow_destroy(w.flow);
}

static void a_packet_takes_of_both_buckets_or_of_none(void **state)
{
	struct world w = world_create(NULL, 0);
	struct abi_cmd_peer_limit limit = no_limit(1);

	(void)state;
	limit.rx = (struct abi_limit_rate){
		.packets = 1, .packets_burst = 100, .bytes = 1, .bytes_burst = 10000};
	put(&w, limit);
	assert_int_equal(offer(&w, true, 8, 1400), 7); /* bytes end first: 200 are left */
	assert_int_equal(limit_of(&w, 1)->rx.packets.level, 93 * BASE_TOKEN);
	assert_int_equal(offer(&w, true, 2, 100), 2); /* a smaller one still fits */
	expect(&w, 10, 9, ABI_COUNTER_DROP_LIMIT_RX_BYTES);
	assert_int_equal(limit_of(&w, 1)->rx.bytes.level, 0);
	flow_destroy(w.flow);
}

static void each_way_has_its_own_and_others_have_none(void **state)
{
	struct world w = world_create(NULL, 0);

	(void)state;
	put(&w, packets_limit(true, 1, 2));
	assert_int_equal(offer(&w, false, 20, 60), 20); /* to the limited peer */
	assert_int_equal(offer(&w, true, 20, 60), 2);
	put(&w, packets_limit(false, 1, 2));
	assert_int_equal(offer(&w, true, 20, 60), 20);
	assert_int_equal(offer(&w, false, 20, 60), 2);
	put(&w, no_limit(1));
	assert_int_equal(offer(&w, true, 20, 60), 20);
	assert_int_equal(offer(&w, false, 20, 60), 20);
	flow_destroy(w.flow);
}

static void packets_of_the_hub_itself_count_too_and_keepalives_do_not(void **state)
{
	struct world w = world_create(NULL, 0);
	struct base_ip source = flow_ip("10.0.0.1");
	struct base_ip destination = flow_inner_ip(1, BASE_IP_V4);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = flow_inner(inner, &source, &destination, 64, 100);

	(void)state;
	put(&w, packets_limit(false, 1, 2));
	for (int i = 0; i < 3; i++)
		flow_from_kernel(w.flow, 0, PORT_LINK_TUN, inner, len);
	flow_turn(w.flow);
	FLOW_EXPECT(w.flow, {ABI_COUNTER_RX_TUN, 3}, {ABI_COUNTER_SEALED, 2},
	            {ABI_COUNTER_TX_WAN, 2}, {ABI_COUNTER_DROP_LIMIT_TX_PACKETS, 1});
	n_sent(&w);
	FLOW_CMD(w.flow, 0, ABI_CMD_KEEPALIVE,
	         (struct abi_cmd_session){.index = w.one.index, .peer = 1});
	flow_turn(w.flow);
	flow_turn(w.flow);
	assert_int_equal(n_sent(&w), 1);
	flow_rx_data(w.flow, &w.one, NULL, 0);
	flow_turn(w.flow);
	assert_int_equal(flow_counter(w.flow, ABI_COUNTER_KEEPALIVE_IN), 1);
	flow_destroy(w.flow);
}

/* ---- quotas ------------------------------------------------------------------------------------- */

static void a_quota_ends_with_the_packet_that_reaches_it(void **state)
{
	struct world w = world_create(NULL, 0);
	struct abi_cmd_peer_limit limit = no_limit(1);

	(void)state;
	limit.rx_until = 1000;
	put(&w, limit);
	assert_int_equal(offer(&w, true, 20, 300), 4);
	assert_int_equal(limit_of(&w, 1)->rx_used, 1200);
	assert_int_equal(limit_of(&w, 1)->rx_drops, 16);
	expect(&w, 20, 4, ABI_COUNTER_DROP_QUOTA);
	assert_int_equal(offer(&w, true, 1, 30), 0); /* nothing, however small */
	assert_int_equal(offer(&w, false, 20, 300), 20);
	limit.rx_until = limit_of(&w, 1)->rx_used + 600; /* the next month */
	put(&w, limit);
	put(&w, limit);
	assert_int_equal(offer(&w, true, 20, 300), 2);
	flow_destroy(w.flow);
}

static void a_quota_of_both_ways_together(void **state)
{
	struct world w = world_create(NULL, 0);
	struct abi_cmd_peer_limit limit = no_limit(1);

	(void)state;
	limit.total_until = 3000;
	limit.tx_until = 2000;
	put(&w, limit);
	assert_int_equal(offer(&w, true, 5, 200), 5);
	assert_int_equal(offer(&w, false, 20, 500), 4);
	assert_int_equal(limit_of(&w, 1)->tx_used, 2000);
	assert_int_equal(offer(&w, true, 5, 200), 0);
	assert_int_equal(offer(&w, false, 5, 200), 0);
	assert_int_equal(limit_of(&w, 1)->rx_drops, 5);
	assert_int_equal(limit_of(&w, 1)->tx_drops, 16 + 5);
	flow_destroy(w.flow);
}

static void what_a_rate_drops_is_not_used(void **state)
{
	struct world w = world_create(NULL, 0);
	struct abi_cmd_peer_limit limit = packets_limit(true, 1, 3);

	(void)state;
	limit.rx_until = 1 << 20;
	put(&w, limit);
	assert_int_equal(offer(&w, true, 20, 100), 3);
	assert_int_equal(limit_of(&w, 1)->rx_used, 300);
	expect(&w, 20, 3, ABI_COUNTER_DROP_LIMIT_RX_PACKETS);
	flow_destroy(w.flow);
}

/* ---- changes ------------------------------------------------------------------------------------ */

static void the_same_again_gives_no_new_burst(void **state)
{
	struct world w = world_create(NULL, 0);

	(void)state;
	put(&w, packets_limit(true, 10, 5));
	assert_int_equal(offer(&w, true, 9, 60), 5);
	put(&w, packets_limit(true, 10, 5));
	assert_int_equal(offer(&w, true, 9, 60), 0);
	put(&w, packets_limit(true, 20, 50)); /* nor does another rate */
	assert_int_equal(offer(&w, true, 9, 60), 0);
	w.flow->now_ns += FLOW_S;
	put(&w, packets_limit(true, 20, 4)); /* a smaller burst holds at once */
	assert_int_equal(offer(&w, true, 30, 60), 4);
	flow_destroy(w.flow);
}

static void two_sessions_of_a_worker_share(void **state)
{
	struct world w = world_create(NULL, 0);

	(void)state;
	put(&w, packets_limit(true, 1, 5));
	assert_int_equal(offer(&w, true, 3, 60), 3);
	w.one = flow_session(w.flow, 0, 7, 1, BASE_IP_V4); /* a rekey */
	n_sent(&w);
	assert_int_equal(offer(&w, true, 9, 60), 2);
	flow_destroy(w.flow);
}

static void two_workers_have_a_bucket_each(void **state)
{
	struct world w = world_create(&(struct flow_options){.n_workers = 2}, 0);

	(void)state;
	put(&w, packets_limit(true, 1, 5));
	assert_int_equal(offer(&w, true, 9, 60), 5);
	w.one = flow_session(w.flow, 1, 7, 1, BASE_IP_V4);
	n_sent(&w);
	assert_int_equal(offer(&w, true, 9, 60), 5);
	assert_int_equal(limit_of(&w, 1)->rx.drops, 4);
	flow_expect_balance(w.flow);
	flow_destroy(w.flow);
}

static void another_workers_packets_are_limited_by_the_owner(void **state)
{
	struct world w = world_create(&(struct flow_options){.n_workers = 2}, 1);
	uint8_t inner[FLOW_FRAME_MAX], message[FLOW_FRAME_MAX], frame[FLOW_FRAME_MAX];

	(void)state;
	put(&w, packets_limit(true, 1, 5));
	for (uint32_t i = 0; i < 20; i++) { /* all arrive at worker 0 */
		uint32_t len = flow_inner_between(inner, 1, 2, BASE_IP_V4, 60);

		len = flow_seal(&w.one, message, inner, len);
		flow_rx(w.flow, 0, 0, frame,
		        flow_frame_to_hub(frame, &w.one.endpoint, message, len));
	}
	flow_turn(w.flow);
	assert_int_equal(n_sent(&w), 5);
	FLOW_EXPECT(w.flow, {ABI_COUNTER_RX_WAN, 20}, {ABI_COUNTER_TO_HANDOFF, 25},
	            {ABI_COUNTER_RX_HANDOFF, 25}, {ABI_COUNTER_OPENED, 20},
	            {ABI_COUNTER_DROP_LIMIT_RX_PACKETS, 15}, {ABI_COUNTER_FORWARDED, 5},
	            {ABI_COUNTER_SEALED, 5}, {ABI_COUNTER_TX_WAN, 5});
	put(&w, packets_limit(false, 1, 3));
	assert_int_equal(offer(&w, false, 20, 60), 3); /* handed to the owner, which seals */
	flow_destroy(w.flow);
}

static void a_restart_gives_no_new_burst_and_loses_no_byte(void **state)
{
	struct world w = world_create(NULL, 0);
	struct abi_cmd_peer_limit limit = packets_limit(true, 1, 5);

	(void)state;
	limit.rx_until = 100000;
	put(&w, limit);
	assert_int_equal(offer(&w, true, 3, 100), 3);
	flow_restart(w.flow);
	flow_cmd_world(w.flow);
	flow_pass(w.flow, 1);
	/* Control has not yet said anything of limits: what was holds. */
	w.one.counter += 100;
	assert_int_equal(offer(&w, true, 9, 100), 2);
	assert_int_equal(limit_of(&w, 1)->rx_used, 500);
	put(&w, limit);
	assert_int_equal(offer(&w, true, 9, 100), 0);
	flow_destroy(w.flow);
}

static void a_sync_that_does_not_repeat_takes_it_away(void **state)
{
	const struct abi_limit none = {0};
	struct world w = world_create(NULL, 0);

	(void)state;
	put(&w, packets_limit(true, 1, 1));
	flow_cmd_all(w.flow, ABI_CMD_SYNC_BEGIN, NULL, 0);
	flow_cmd_world(w.flow);
	put(&w, packets_limit(true, 1, 1));
	flow_cmd_all(w.flow, ABI_CMD_SYNC_END, NULL, 0);
	flow_turn(w.flow);
	assert_int_equal(offer(&w, true, 9, 60), 1);
	flow_cmd_all(w.flow, ABI_CMD_SYNC_BEGIN, NULL, 0);
	flow_cmd_world(w.flow);
	flow_cmd_all(w.flow, ABI_CMD_SYNC_END, NULL, 0);
	flow_turn(w.flow);
	assert_int_equal(offer(&w, true, 9, 60), 9);
	assert_memory_equal(limit_of(&w, 1), &none, sizeof(none));
	flow_destroy(w.flow);
}

static void a_peer_takes_its_limits_along(void **state)
{
	const struct abi_limit none = {0};
	struct world w = world_create(NULL, 0);

	(void)state;
	put(&w, packets_limit(true, 1, 1));
	assert_int_equal(offer(&w, true, 9, 60), 1);
	FLOW_CMD_ALL(w.flow, ABI_CMD_PEER_DROP, (struct abi_cmd_peer){.peer = 1});
	flow_turn(w.flow);
	assert_memory_equal(limit_of(&w, 1), &none, sizeof(none));
	flow_cmd_world(w.flow); /* another one with its number */
	flow_turn(w.flow);
	w.one = flow_session(w.flow, 0, 9, 1, BASE_IP_V4);
	assert_int_equal(offer(&w, true, 9, 60), 9);
	flow_destroy(w.flow);
}

static void nonsense_is_refused_and_changes_nothing(void **state)
{
	static const struct abi_limit_rate bad[] = {
		{.packets = ABI_LIMIT_PACKETS_MAX + 1, .packets_burst = 1},
		{.packets = 1, .packets_burst = 0},
		{.packets = 1, .packets_burst = ABI_LIMIT_PACKETS_MAX + 1},
		{.packets = 0, .packets_burst = 1},
		{.bytes = ABI_LIMIT_BYTES_MAX + 1, .bytes_burst = ABI_LIMIT_BYTES_BURST_MIN},
		{.bytes = 1, .bytes_burst = ABI_LIMIT_BYTES_BURST_MIN - 1},
		{.bytes = 1, .bytes_burst = ABI_LIMIT_BYTES_BURST_MAX + 1},
		{.bytes = 0, .bytes_burst = ABI_LIMIT_BYTES_BURST_MIN},
		{.bytes = UINT64_MAX, .bytes_burst = UINT64_MAX},
	};
	struct world w = world_create(NULL, 0);
	uint64_t n_bad = flow_counter(w.flow, ABI_COUNTER_CMD_BAD);
	struct abi_cmd_peer_limit limit = packets_limit(true, 1, 2);

	(void)state;
	put(&w, limit);
	for (size_t i = 0; i < BASE_ARRAY_LEN(bad); i++) {
		limit = no_limit(1);
		limit.rx = bad[i];
		put(&w, limit);
		limit = no_limit(1);
		limit.tx = bad[i];
		put(&w, limit);
	}
	limit = packets_limit(true, 1, 9);
	limit.peer = FLOW_N_PEERS;
	put(&w, limit);
	limit.peer = FLOW_N_PEERS - 1; /* nobody */
	put(&w, limit);
	assert_int_equal(flow_counter(w.flow, ABI_COUNTER_CMD_BAD) - n_bad,
	                 2 * BASE_ARRAY_LEN(bad) + 2);
	assert_int_equal(offer(&w, true, 9, 60), 2);
	flow_destroy(w.flow);
}

static void a_limited_peers_traffic_through_helpers(void **state)
{
	struct world w = world_create(
		&(struct flow_options){.n_workers = 2, .assist = ASSIST_ALWAYS}, 0);

	(void)state;
	put(&w, packets_limit(true, 1, 40));
	assert_int_equal(offer(&w, true, 128, 60), 40);
	flow_expect_balance(w.flow);
	flow_destroy(w.flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_pass_at_the_rate_to_the_packet),
		cmocka_unit_test(bytes_pass_at_the_rate_to_the_packet),
		cmocka_unit_test(the_highest_rates_and_the_longest_gaps_do_not_overflow),
		cmocka_unit_test(a_packet_takes_of_both_buckets_or_of_none),
		cmocka_unit_test(each_way_has_its_own_and_others_have_none),
		cmocka_unit_test(packets_of_the_hub_itself_count_too_and_keepalives_do_not),
		cmocka_unit_test(a_quota_ends_with_the_packet_that_reaches_it),
		cmocka_unit_test(a_quota_of_both_ways_together),
		cmocka_unit_test(what_a_rate_drops_is_not_used),
		cmocka_unit_test(the_same_again_gives_no_new_burst),
		cmocka_unit_test(two_sessions_of_a_worker_share),
		cmocka_unit_test(two_workers_have_a_bucket_each),
		cmocka_unit_test(another_workers_packets_are_limited_by_the_owner),
		cmocka_unit_test(a_restart_gives_no_new_burst_and_loses_no_byte),
		cmocka_unit_test(a_sync_that_does_not_repeat_takes_it_away),
		cmocka_unit_test(a_peer_takes_its_limits_along),
		cmocka_unit_test(nonsense_is_refused_and_changes_nothing),
		cmocka_unit_test(a_limited_peers_traffic_through_helpers),
	};

	return cmocka_run_group_tests(tests, flow_start, NULL);
}
