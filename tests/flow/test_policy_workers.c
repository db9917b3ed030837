/* The policy with owners of both ends apart: the reply is expected where it is judged, nothing else is, and
 * what is taken back ends at both. */
#include "policy_lab.h"

static const struct flow_options three = {.n_workers = 3};
static const uint32_t apart[5] = {0, 0, 1, 2, 1};

static struct lab usual(void)
{
	struct lab lab = lab_create(&three, apart);

	lab_hand_over_usual(&lab);
	return lab;
}

static void replies_pass_at_the_other_worker(void **state)
{
	struct lab lab = usual();

	(void)state;
	lab_connect(&lab, 1, 2, 40000, 443);
	LAB_PASSES(&lab, 2, 1, TCP, ACK, 443, 40000);
	LAB_PASSES(&lab, 1, 2, TCP, ACK, 40000, 443);
	LAB_PASSES(&lab, 1, 2, UDP, 0, 40000, 53);
	LAB_PASSES(&lab, 2, 1, UDP, 0, 53, 40000);
	LAB_PASSES(&lab, 1, 2, ICMP, .type = 8, .sport = 7);
	LAB_PASSES(&lab, 2, 1, ICMP, .type = 0, .sport = 7);
	lab_destroy(&lab);
}

static void what_nobody_asked_for_does_not(void **state)
{
	struct lab lab = usual();

	(void)state;
	LAB_DROPS(&lab, POLICY_NO_FLOW, 2, 1, TCP, SYN | ACK, 443, 40000);
	LAB_DROPS(&lab, POLICY_NO_GRANT, 2, 1, TCP, SYN, 443, 40000);
	LAB_DROPS(&lab, POLICY_NO_GRANT, 2, 1, UDP, 0, 53, 40000);
	LAB_DROPS(&lab, POLICY_NO_GRANT, 3, 2, UDP, 0, 40000, 53);
	LAB_PASSES(&lab, 1, 2, UDP, 0, 40000, 53);
	LAB_DROPS(&lab, POLICY_NO_GRANT, 4, 1, UDP, 0, 53, 40000); /* same worker, another peer */
	LAB_PASSES(&lab, 2, 1, UDP, 0, 53, 40000);
	lab_destroy(&lab);
}

static void a_reset_is_heard_at_both(void **state)
{
	struct lab lab = usual();

	(void)state;
	lab_connect(&lab, 1, 2, 40000, 443);
	LAB_PASSES(&lab, 1, 2, TCP, RST, 40000, 443);
	LAB_DROPS(&lab, POLICY_STATE, 2, 1, TCP, ACK, 443, 40000);
	LAB_DROPS(&lab, POLICY_STATE, 1, 2, TCP, ACK, 40000, 443);
	lab_destroy(&lab);
}

static void a_grant_that_is_taken_back_ends_its_flows_at_both(void **state)
{
	struct lab lab = usual();

	(void)state;
	lab_connect(&lab, 1, 2, 40000, 443);
	flow_policy(lab.flow, NULL, 0);
	flow_policy_settle(lab.flow);
	LAB_DROPS(&lab, POLICY_REVOKED, 2, 1, TCP, ACK, 443, 40000);
	LAB_DROPS(&lab, POLICY_REVOKED, 1, 2, TCP, ACK, 40000, 443);
	LAB_DROPS(&lab, POLICY_NO_FLOW, 1, 2, TCP, ACK, 40000, 443);
	lab_destroy(&lab);
}

/* The receiver's worker has the new policy, the sender's has the old: the packet is refused there, counted. */
static void the_stricter_of_two_workers_decides_during_a_swap(void **state)
{
	struct lab lab = usual();
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = lab_packet(inner, &(struct sketch){1, 2, TCP, SYN, 40000, 443});

	(void)state;
	flow_rx_data(lab.flow, &lab.sessions[1], inner, len);
	(void)worker_turn(lab.flow->workers[0], lab.flow->now_ns); /* on its way to worker 1 */
	flow_policy(lab.flow, NULL, 0);
	flow_turn(lab.flow);
	lab_counted(&lab, ABI_COUNTER_DROP_POLICY_NO_GRANT);
	assert_int_equal(abi_region_peer_counters(&lab.flow->region, 1, 1)->drops, 1);
	lab_destroy(&lab);
}

/* 3 workers, four peers, all pairs, while the policy is swapped: to the packet. */
static void swaps_with_handed_packets_lose_nothing(void **state)
{
	struct lab lab = lab_create(&three, apart);
	uint64_t n = 0;

	(void)state;
	for (uint32_t round = 0; round < 40; round++) {
		for (uint32_t from = 1; from <= 4; from++)
			for (uint32_t to = 1; to <= 4; to++) {
				uint8_t inner[FLOW_FRAME_MAX];
				struct sketch sketch = {from, to, UDP, 0, 40000, 53};

				if (from == to)
					continue;
				flow_rx_data(lab.flow, &lab.sessions[from], inner,
				             lab_packet(inner, &sketch));
				n++;
			}
		flow_policy_open(lab.flow);
		flow_turn(lab.flow);
	}
	assert_int_equal(flow_counter(lab.flow, ABI_COUNTER_FORWARDED), n);
	assert_int_equal(flow_counter(lab.flow, ABI_COUNTER_TX_WAN), n);
	flow_expect_balance(lab.flow);
	lab_destroy(&lab);
}

/* The next keypair of a peer is another worker's, which has not seen how its flows began. */
static void a_peer_that_moves_takes_its_flows_along(void **state)
{
	struct lab lab = usual();

	(void)state;
	lab_connect(&lab, 1, 2, 40000, 443);
	flow_pass(lab.flow, 1);
	lab.sessions[1] = flow_session(lab.flow, 2, 7, 1, BASE_IP_V4);
	lab.sent[1] = 0;
	flow_reset(lab.flow);
	LAB_PASSES(&lab, 1, 2, TCP, ACK, 40000, 443);
	LAB_PASSES(&lab, 2, 1, TCP, ACK, 443, 40000);
	LAB_DROPS(&lab, POLICY_NO_FLOW, 1, 2, TCP, ACK, 40000, 22);  /* not granted */
	LAB_DROPS(&lab, POLICY_NO_FLOW, 3, 2, TCP, ACK, 40000, 443); /* has not moved */
	flow_policy(lab.flow, NULL, 0);
	flow_policy_settle(lab.flow);
	LAB_DROPS(&lab, POLICY_REVOKED, 1, 2, TCP, ACK, 40000, 443);
	LAB_DROPS(&lab, POLICY_REVOKED, 2, 1, TCP, ACK, 443, 40000);
	lab_destroy(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_pass_at_the_other_worker),
		cmocka_unit_test(what_nobody_asked_for_does_not),
		cmocka_unit_test(a_reset_is_heard_at_both),
		cmocka_unit_test(a_grant_that_is_taken_back_ends_its_flows_at_both),
		cmocka_unit_test(the_stricter_of_two_workers_decides_during_a_swap),
		cmocka_unit_test(swaps_with_handed_packets_lose_nothing),
		cmocka_unit_test(a_peer_that_moves_takes_its_flows_along),
	};

	return cmocka_run_group_tests_name("flow_policy_workers", tests, flow_start, NULL);
}
