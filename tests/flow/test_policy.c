/* The policy in the packet's way, one worker: each verdict under its name, with a twin that passes; state,
 * fragments, errors; and what a change of the policy ends. */
#include "policy_lab.h"

#include <time.h>

static const uint32_t all_here[5] = {0};

static struct lab usual(void)
{
	struct lab lab = lab_create(NULL, all_here);

	lab_hand_over_usual(&lab);
	return lab;
}

static void route(struct lab *lab, uint32_t peer, const char *prefix)
{
	struct abi_cmd_route put = {.peer = peer};

	assert_int_equal(base_prefix_parse(prefix, &put.prefix), 0);
	FLOW_CMD(lab->flow, 0, ABI_CMD_ROUTE_PUT, put);
	flow_turn(lab->flow);
	flow_reset(lab->flow);
}

static void nothing_passes_before_there_is_a_policy(void **state)
{
	struct lab lab = lab_create(NULL, all_here);

	(void)state;
	LAB_PASSES(&lab, 1, 2, UDP, 0, 40000, 53);
	LAB_PASSES(&lab, 1, HUB, UDP, 0, 40000, 53);
	LAB_PASSES(&lab, HUB, 1, UDP, 0, 40000, 53);
	flow_policy_none(lab.flow);
	flow_policy_settle(lab.flow);
	LAB_DROPS(&lab, POLICY_NONE, 1, 2, UDP, 0, 40000, 53);
	LAB_DROPS(&lab, POLICY_NONE, 1, HUB, UDP, 0, 40000, 53);
	LAB_DROPS(&lab, POLICY_NONE, HUB, 1, UDP, 0, 40000, 53);
	flow_pass(lab.flow, 250 * FLOW_MS);
	assert_int_equal(abi_region_peer_counters(&lab.flow->region, 0, 1)->drops, 2);
	flow_policy_open(lab.flow);
	flow_policy_settle(lab.flow);
	LAB_PASSES(&lab, 1, 2, UDP, 0, 40000, 53);
	lab_destroy(&lab);
}

static void an_empty_policy_lets_nothing_cross(void **state)
{
	struct lab lab = lab_create(NULL, all_here);

	(void)state;
	flow_policy(lab.flow, NULL, 0);
	flow_policy_settle(lab.flow);
	LAB_DROPS(&lab, POLICY_NO_GRANT, 1, 2, UDP, 0, 40000, 53);
	LAB_DROPS(&lab, POLICY_NO_GRANT, 1, 2, TCP, SYN, 40000, 443);
	LAB_DROPS(&lab, POLICY_NO_GRANT, 1, HUB, TCP, SYN, 40000, 443);
	LAB_DROPS(&lab, POLICY_NO_GRANT, HUB, 1, TCP, SYN, 40000, 443);
	lab_destroy(&lab);
}

static void each_verdict_has_its_name(void **state)
{
	struct lab lab = usual();

	(void)state;
	route(&lab, 1, "10.9.1.0/24");
	route(&lab, 2, "10.9.2.0/24");
	LAB_PASSES(&lab, 1, 2, TCP, SYN, 40000, 443);
	LAB_DROPS(&lab, POLICY_NO_GRANT, 1, 2, TCP, SYN, 40000, 22);
	LAB_DROPS(&lab, POLICY_NO_GRANT, 1, 2, UDP, 0, 40000, 443);
	LAB_DROPS(&lab, POLICY_NO_GRANT, 2, 1, TCP, SYN, 40000, 443);
	LAB_DROPS(&lab, POLICY_NO_GRANT, 3, 2, TCP, SYN, 40000, 443);
	LAB_DROPS(&lab, POLICY_NO_SOURCE, 1, 2, TCP, SYN, 40001, 443, .source = "10.9.1.5");
	LAB_DROPS(&lab, POLICY_NO_DESTINATION, 1, 2, TCP, SYN, 40001, 443,
	          .destination = "10.9.2.5");
	LAB_DROPS(&lab, POLICY_NO_FLOW, 1, 2, TCP, ACK, 40002, 443);
	LAB_DROPS(&lab, POLICY_NO_FLOW, 2, 1, TCP, SYN | ACK, 443, 40002);
	LAB_DROPS(&lab, POLICY_TCP_FLAGS, 1, 2, TCP, SYN | FIN, 40003, 443);
	LAB_DROPS(&lab, POLICY_STATE, 1, 2, TCP, SYN | ACK, 40000, 443);
	LAB_DROPS(&lab, POLICY_NO_DATAGRAM, 1, 2, UDP, .fragment = 5, .id = 9);
	LAB_DROPS(&lab, POLICY_FRAGMENT, 1, 2, TCP, .fragment = 1, .id = 9);
	LAB_DROPS(&lab, POLICY_SHORT, 1, 2, UDP, .len = 4);
	LAB_DROPS(&lab, POLICY_ICMP, 1, 2, ICMP, .type = 13);
	LAB_DROPS(&lab, NO_ROUTE, 1, 2, TCP, SYN, 40000, 443, .destination = "10.8.8.8");
	lab_destroy(&lab);
}

/* Of the same burst some pass, others do not, and the order stays. */
static void a_mixed_burst_is_sorted_out(void **state)
{
	struct lab lab = usual();
	uint8_t inner[40][FLOW_FRAME_MAX];
	uint32_t len[40];

	(void)state;
	lab_connect(&lab, 1, 2, 40000, 443);
	for (uint32_t i = 0; i < 40; i++) {
		struct sketch sketch = {
			1, 2, TCP, ACK, 40000, i % 3 == 1 ? 22 : 443, .len = 24 + i};

		if (i % 3 == 2)
			sketch.destination = "10.8.8.8";
		len[i] = lab_packet(inner[i], &sketch);
		flow_rx_data(lab.flow, &lab.sessions[1], inner[i], len[i]);
	}
	flow_turn(lab.flow);
	for (uint32_t i = 0; i < 40; i += 3) {
		flow_hop(inner[i]);
		flow_expect_data(lab.flow, &lab.sessions[2], lab.sent[2]++, inner[i], len[i]);
	}
	FLOW_EXPECT(lab.flow, {ABI_COUNTER_RX_WAN, 40}, {ABI_COUNTER_OPENED, 40},
	            {ABI_COUNTER_DROP_POLICY_NO_FLOW, 13}, {ABI_COUNTER_DROP_NO_ROUTE, 13},
	            {ABI_COUNTER_FORWARDED, 14}, {ABI_COUNTER_SEALED, 14},
	            {ABI_COUNTER_TX_WAN, 14});
	lab_destroy(&lab);
}

static void replies_pass_and_questions_back_do_not(void **state)
{
	struct lab lab = usual();

	(void)state;
	lab_connect(&lab, 1, 2, 40000, 443);
	LAB_PASSES(&lab, 2, 1, TCP, ACK, 443, 40000);
	LAB_DROPS(&lab, POLICY_NO_GRANT, 2, 1, TCP, SYN, 443, 40001);
	LAB_PASSES(&lab, 2, 1, TCP, FIN | ACK, 443, 40000);
	LAB_PASSES(&lab, 1, 2, TCP, RST, 40000, 443);
	LAB_DROPS(&lab, POLICY_STATE, 2, 1, TCP, ACK, 443, 40000);
	LAB_PASSES(&lab, 1, 2, UDP, 0, 40000, 53);
	LAB_PASSES(&lab, 2, 1, UDP, 0, 53, 40000);
	LAB_DROPS(&lab, POLICY_NO_GRANT, 2, 1, UDP, 0, 53, 40001);
	LAB_PASSES(&lab, 1, 2, ICMP, .type = 8, .sport = 7);
	LAB_PASSES(&lab, 2, 1, ICMP, .type = 0, .sport = 7);
	LAB_DROPS(&lab, POLICY_NO_FLOW, 2, 1, ICMP, .type = 0, .sport = 8);
	LAB_DROPS(&lab, POLICY_NO_GRANT, 2, 1, ICMP, .type = 8, .sport = 7);
	lab_destroy(&lab);
}

static void later_fragments_follow_their_first(void **state)
{
	struct lab lab = usual();

	(void)state;
	LAB_DROPS(&lab, POLICY_NO_DATAGRAM, 1, 2, UDP, .fragment = 6, .id = 77);
	LAB_PASSES(&lab, 1, 2, UDP, 0, 40000, 53, .fragment = 0x2000, .id = 77, .len = 48);
	LAB_PASSES(&lab, 1, 2, UDP, .fragment = 6, .id = 77);
	LAB_DROPS(&lab, POLICY_NO_DATAGRAM, 1, 2, UDP, .fragment = 6, .id = 78);
	LAB_DROPS(&lab, POLICY_NO_GRANT, 1, 2, UDP, 0, 40000, 54, .fragment = 0x2000, .id = 79,
	          .len = 48);
	LAB_DROPS(&lab, POLICY_NO_DATAGRAM, 1, 2, UDP, .fragment = 6, .id = 79);
	lab_destroy(&lab);
}

static void errors_pass_when_they_speak_of_a_flow(void **state)
{
	const struct sketch known = {2, 1, TCP, ACK, 443, 40000};
	const struct sketch unknown = {2, 1, TCP, ACK, 443, 40001};
	struct lab lab = usual();
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len;

	(void)state;
	lab_connect(&lab, 1, 2, 40000, 443);
	len = lab_error(inner, (struct sketch){.from = 1, .to = 2, .type = 3}, &known);
	lab_send(&lab, 1, inner, len); /* what 2 sent was too big on 1's side */
	lab_expect(&lab, 1, 2, inner, len);
	flow_reset(lab.flow);
	len = lab_error(inner, (struct sketch){.from = 1, .to = 2, .type = 3}, &unknown);
	lab_send(&lab, 1, inner, len);
	lab_counted(&lab, ABI_COUNTER_DROP_POLICY_NO_FLOW);
	lab_destroy(&lab);
}

static void limits_of_the_table_have_their_names(void **state)
{
	/* 16 flows: a peer opens 4, of which one nobody has answered */
	struct lab lab = lab_create(&(struct flow_options){.n_flows = 16}, all_here);

	(void)state;
	LAB_PASSES(&lab, 1, 2, ICMP, .type = 8, .sport = 1);
	LAB_DROPS(&lab, POLICY_PEER_HALF, 1, 2, ICMP, .type = 8, .sport = 2);
	for (uint32_t peer = 1; peer <= 4; peer++)
		for (uint16_t i = 1; i <= 4; i++) {
			uint32_t other = peer == 1 ? 2 : 1;

			LAB_PASSES(&lab, peer, other, ICMP, .type = 8, .sport = i);
			LAB_PASSES(&lab, other, peer, ICMP, .type = 0, .sport = i);
		}
	LAB_DROPS(&lab, POLICY_PEER_FULL, 1, 2, ICMP, .type = 8, .sport = 5);
	LAB_DROPS(&lab, POLICY_FULL, HUB, 1, ICMP, .type = 8, .sport = 1);
	LAB_PASSES(&lab, 1, 2, ICMP, .type = 8, .sport = 1); /* what there is goes on */
	lab_wait(&lab, 31 * FLOW_S);                         /* and makes room in the end */
	LAB_PASSES(&lab, 1, 2, ICMP, .type = 8, .sport = 5);
	lab_destroy(&lab);
}

static void a_grant_that_is_taken_back_ends_its_flows_both_ways(void **state)
{
	struct lab lab = usual();

	(void)state;
	lab_connect(&lab, 1, 2, 40000, 443);
	LAB_PASSES(&lab, 1, 2, UDP, 0, 40000, 53);
	LAB_PASSES(&lab, 2, 1, UDP, 0, 53, 40000);
	FLOW_POLICY(lab.flow,
	            {.id = 2, .proto = POLICY_UDP, .from = PEER(1), .to = PEER(2), PORT(53)});
	flow_policy_settle(lab.flow);
	LAB_DROPS(&lab, POLICY_REVOKED, 2, 1, TCP, ACK, 443, 40000);
	LAB_DROPS(&lab, POLICY_NO_FLOW, 1, 2, TCP, ACK, 40000, 443);
	LAB_DROPS(&lab, POLICY_NO_GRANT, 1, 2, TCP, SYN, 40000, 443);
	LAB_PASSES(&lab, 2, 1, UDP, 0, 53, 40000); /* the other grant's goes on */
	lab_hand_over_usual(&lab);
	LAB_DROPS(&lab, POLICY_NO_FLOW, 1, 2, TCP, ACK, 40000, 443);
	lab_connect(&lab, 1, 2, 40000, 443);
	lab_destroy(&lab);
}

/* The address of peer 2 leads to this one. */
static void route_of_2(struct lab *lab, uint32_t holder)
{
	struct abi_cmd_route put = {.prefix = {.ip = flow_inner_ip(2, BASE_IP_V4), .len = 32},
	                            .peer = holder};

	FLOW_CMD(lab->flow, 0, ABI_CMD_ROUTE_PUT, put);
	flow_turn(lab->flow);
	flow_reset(lab->flow);
}

/* The address of peer 2 is the hub's own, or no longer. */
static void address_of_hub(struct lab *lab, bool is_present)
{
	struct abi_cmd_address address = {
		.ip = flow_inner_ip(2, BASE_IP_V4), .port = ABI_PORTS_MAX, .present = is_present};

	FLOW_CMD(lab->flow, 0, ABI_CMD_ADDRESS, address);
	flow_turn(lab->flow);
	flow_reset(lab->flow);
}

/* A flow knows whom its packets are for, until that may have changed. */
static void a_flow_that_stands_follows_routes_and_addresses(void **state)
{
	struct lab lab = usual();

	(void)state;
	lab_connect(&lab, 1, 2, 40000, 443);
	for (uint32_t holder = 3; holder <= 4; holder++) {
		LAB_PASSES(&lab, 1, 2, TCP, ACK, 40000, 443);
		LAB_PASSES(&lab, 1, 2, TCP, ACK, 40000, 443);
		route_of_2(&lab, holder);
		LAB_DROPS(&lab, POLICY_NO_FLOW, 1, 2, TCP, ACK, 40000, 443);
		route_of_2(&lab, 2);
	}
	LAB_PASSES(&lab, 1, 2, TCP, ACK, 40000, 443);
	address_of_hub(&lab, true);
	LAB_DROPS(&lab, POLICY_NO_FLOW, 1, 2, TCP, ACK, 40000, 443);
	address_of_hub(&lab, false);
	LAB_PASSES(&lab, 1, 2, TCP, ACK, 40000, 443);
	lab_destroy(&lab);
}

static uint64_t wall_s(void)
{
	return (uint64_t)time(NULL);
}

static void a_window_that_ends_ends_its_flows(void **state)
{
	struct lab lab = lab_create(NULL, all_here);
	const struct policy_window window = {wall_s() - 100, wall_s() + 100};

	(void)state;
	FLOW_POLICY(lab.flow,
	            {.id = 1, .from = PEER(1), .to = PEER(2), .windows = &window, .n_windows = 1});
	flow_policy_settle(lab.flow);
	lab_connect(&lab, 1, 2, 40000, 443);
	lab_wait(&lab, 90 * FLOW_S);
	LAB_PASSES(&lab, 2, 1, TCP, ACK, 443, 40000);
	lab_wait(&lab, 20 * FLOW_S);
	LAB_DROPS(&lab, POLICY_REVOKED, 2, 1, TCP, ACK, 443, 40000);
	LAB_DROPS(&lab, POLICY_NOT_NOW, 1, 2, TCP, SYN, 40001, 443);
	lab_destroy(&lab);
}

/* Tables come and go between bursts of a flow that all of them allow: nothing is lost. */
static void swaps_under_load_lose_nothing(void **state)
{
	struct lab lab = usual();
	uint8_t inner[64][FLOW_FRAME_MAX];
	uint32_t len[64];

	(void)state;
	lab_connect(&lab, 1, 2, 40000, 443);
	for (uint32_t round = 0; round < 50; round++) {
		for (uint32_t i = 0; i < 64; i++) {
			len[i] = lab_packet(inner[i], &(struct sketch){1, 2, TCP, ACK, 40000, 443,
			                                               .len = 24 + i});
			flow_rx_data(lab.flow, &lab.sessions[1], inner[i], len[i]);
		}
		if (round % 2 == 0)
			flow_policy_open(lab.flow);
		else
			lab_hand_over_usual(&lab);
		flow_turn(lab.flow);
		for (uint32_t i = 0; i < 64; i++) {
			flow_hop(inner[i]);
			flow_expect_data(lab.flow, &lab.sessions[2], lab.sent[2]++, inner[i],
			                 len[i]);
		}
		flow_expect_balance(lab.flow);
	}
	lab_destroy(&lab);
}

static void workers_say_which_policy_they_use(void **state)
{
	struct lab lab = usual();
	const struct abi_worker_status *status = abi_region_worker_status(&lab.flow->region, 0);
	uint64_t hash = status->blobs[ABI_BLOB_POLICY].hash;

	(void)state;
	assert_int_equal(status->blobs[ABI_BLOB_POLICY].generation, lab.flow->policy_generation);
	assert_int_not_equal(hash, 0);
	flow_policy_open(lab.flow);
	flow_policy_settle(lab.flow);
	assert_int_equal(status->blobs[ABI_BLOB_POLICY].generation, lab.flow->policy_generation);
	assert_int_not_equal(status->blobs[ABI_BLOB_POLICY].hash, hash);
	flow_policy_none(lab.flow);
	flow_policy_settle(lab.flow);
	assert_int_equal(status->blobs[ABI_BLOB_POLICY].generation, 0);
	assert_int_equal(status->blobs[ABI_BLOB_POLICY].hash, 0);
	lab_destroy(&lab);
}

static void restarted_worker_says_nothing_of_the_one_before_it(void **state)
{
	struct lab lab = usual();
	struct abi_blob_status *status =
		&abi_region_worker_status(&lab.flow->region, 0)->blobs[ABI_BLOB_BLOCK];

	(void)state;
	*status = (struct abi_blob_status){.generation = 9, .hash = 9};
	flow_restart(lab.flow);
	assert_int_equal(status->generation, 0);
	assert_int_equal(status->hash, 0);
	lab_destroy(&lab);
}

/* As control does with one that a worker seems to have lost. */
static void policy_that_is_sent_again_is_said_again(void **state)
{
	struct lab lab = usual();
	struct abi_blob_status *status =
		&abi_region_worker_status(&lab.flow->region, 0)->blobs[ABI_BLOB_POLICY];
	struct abi_blob_status before = *status;

	(void)state;
	*status = (struct abi_blob_status){.generation = 1000, .hash = 7};
	flow_policy_repeat(lab.flow);
	flow_policy_settle(lab.flow);
	assert_memory_equal(status, &before, sizeof(before));
	lab_destroy(&lab);
}

/* The sessions are there again, the flows are not: for a while they are picked up, as the policy allows. */
static void a_restarted_dataplane_goes_on_with_what_is_allowed(void **state)
{
	struct lab lab = usual();

	(void)state;
	lab_connect(&lab, 1, 2, 40000, 443);
	flow_restart(lab.flow);
	flow_cmd_world(lab.flow);
	flow_turn(lab.flow);
	flow_reset(lab.flow);
	for (uint32_t peer = 1; peer <= 4; peer++)
		lab.sent[peer] = ABI_SEND_RESERVE;
	LAB_PASSES(&lab, 2, 1, TCP, ACK, 443, 40000);
	LAB_PASSES(&lab, 1, 2, TCP, ACK, 40000, 443);
	LAB_DROPS(&lab, POLICY_NO_FLOW, 1, 2, TCP, ACK, 40000, 22);
	lab_destroy(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_passes_before_there_is_a_policy),
		cmocka_unit_test(an_empty_policy_lets_nothing_cross),
		cmocka_unit_test(each_verdict_has_its_name),
		cmocka_unit_test(a_mixed_burst_is_sorted_out),
		cmocka_unit_test(replies_pass_and_questions_back_do_not),
		cmocka_unit_test(later_fragments_follow_their_first),
		cmocka_unit_test(errors_pass_when_they_speak_of_a_flow),
		cmocka_unit_test(limits_of_the_table_have_their_names),
		cmocka_unit_test(a_grant_that_is_taken_back_ends_its_flows_both_ways),
		cmocka_unit_test(a_flow_that_stands_follows_routes_and_addresses),
		cmocka_unit_test(a_window_that_ends_ends_its_flows),
		cmocka_unit_test(swaps_under_load_lose_nothing),
		cmocka_unit_test(workers_say_which_policy_they_use),
		cmocka_unit_test(policy_that_is_sent_again_is_said_again),
		cmocka_unit_test(restarted_worker_says_nothing_of_the_one_before_it),
		cmocka_unit_test(a_restarted_dataplane_goes_on_with_what_is_allowed),
	};

	return cmocka_run_group_tests_name("flow_policy", tests, flow_start, NULL);
}
