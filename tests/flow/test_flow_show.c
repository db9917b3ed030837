/* ABI_CMD_FLOWS: a worker shows control its flows, each once, in slices, and lets packets pass meanwhile. */
#include "base_time.h"
#include "policy_flow.h"
#include "policy_lab.h"

#define N_MANY 700U /* more than the ring holds */

static const uint32_t all_here[5] = {0};

/* What the worker has told. */
struct told {
	struct abi_report_flow list[N_MANY];
	uint32_t n;
	struct abi_report_flows_end end;
	uint32_t n_turns;
};

static void ask(struct flow *flow, uint64_t token, uint32_t peer, uint32_t limit)
{
	FLOW_CMD(flow, 0, ABI_CMD_FLOWS,
	         (struct abi_cmd_flows){.token = token, .peer = peer, .limit = limit});
}

static void take(struct flow *flow, struct told *told)
{
	struct abi_ring_end ring = abi_region_report_ring(&flow->region, 0);
	struct abi_record record;

	while (abi_ring_pop(&ring, &record) == 1) {
		assert_int_equal(told->end.token, 0); /* nothing behind the end */
		if (record.type == ABI_REPORT_FLOWS_END) {
			assert_int_equal(record.len, sizeof(told->end));
			memcpy(&told->end, record.payload, sizeof(told->end));
			continue;
		}
		assert_int_equal(record.type, ABI_REPORT_FLOW);
		assert_int_equal(record.len, sizeof(told->list[0]));
		assert_true(told->n < N_MANY);
		memcpy(&told->list[told->n++], record.payload, sizeof(told->list[0]));
	}
}

/* Until it has told all. */
static struct told *hear(struct flow *flow)
{
	static struct told told;

	told = (struct told){0};
	while (told.end.token == 0) {
		assert_true(told.n_turns++ < 1000);
		worker_turn(flow->workers[0], ++flow->now_ns);
		take(flow, &told);
	}
	return &told;
}

static struct lab some_flows(void)
{
	struct lab lab = lab_create(NULL, all_here);

	FLOW_POLICY(lab.flow,
	            {.id = 1, .proto = POLICY_TCP, .from = PEER(1), .to = PEER(2), PORT(443)},
	            {.id = 2, .proto = POLICY_UDP, .from = PEER(1), .to = PEER(2)},
	            {.id = 3, .proto = POLICY_ICMP, .from = PEER(3), .to = THE_HUB});
	flow_policy_settle(lab.flow);
	flow_reset(lab.flow);
	return lab;
}

static void rows_say_who_whence_where_how_by_what(void **state)
{
	struct lab lab = some_flows();
	struct base_ip one = flow_inner_ip(1, BASE_IP_V4);
	struct base_ip two = flow_inner_ip(2, BASE_IP_V4);
	struct base_ip hub = flow_ip("10.0.0.1");
	const struct told *told;

	(void)state;
	lab_connect(&lab, 1, 2, 40000, 443);
	LAB_PASSES(&lab, 1, 2, UDP, 0, 40001, 53);
	lab_wait(&lab, 5 * BASE_NS_PER_S);
	LAB_PASSES(&lab, 3, HUB, ICMP, .type = 8, .sport = 7);
	ask(lab.flow, 9, ABI_PEER_NONE, 100);
	told = hear(lab.flow);
	assert_int_equal(told->end.token, 9);
	assert_int_equal(told->end.n_flows, 3);
	assert_int_equal(told->n, 3);
	for (uint32_t i = 0; i < told->n; i++) {
		const struct abi_report_flow *flow = &told->list[i];

		assert_int_equal(flow->token, 9);
		assert_int_equal(flow->silent_s, flow->grant == 3 ? 0 : 5);
		assert_int_equal(flow->peer, flow->grant == 3 ? 3 : 1);
		if (flow->grant == 3) {
			assert_int_equal(flow->to_peer, ABI_PEER_HUB);
			assert_int_equal(flow->proto, ICMP);
			assert_int_equal(flow->state, POLICY_FLOW_ONE_WAY);
			assert_true(base_ip_equal(&flow->destination, &hub));
			continue;
		}
		assert_int_equal(flow->to_peer, 2);
		assert_true(base_ip_equal(&flow->source, &one));
		assert_true(base_ip_equal(&flow->destination, &two));
		assert_int_equal(flow->proto, flow->grant == 1 ? TCP : UDP);
		assert_int_equal(flow->sport, flow->grant == 1 ? 40000 : 40001);
		assert_int_equal(flow->dport, flow->grant == 1 ? 443 : 53);
		assert_int_equal(flow->state, flow->grant == 1 ? POLICY_FLOW_TCP_ESTABLISHED
		                                               : POLICY_FLOW_ONE_WAY);
	}
	assert_int_equal(told->list[0].grant + told->list[1].grant + told->list[2].grant, 6);
	lab_destroy(&lab);
}

static void one_peer_is_found_at_either_end(void **state)
{
	static const struct {
		uint32_t peer;
		uint32_t n;
	} cases[] = {{1, 2}, {2, 2}, {3, 1}, {4, 0}, {ABI_PEER_HUB, 1}};
	struct lab lab = some_flows();

	(void)state;
	LAB_PASSES(&lab, 1, 2, UDP, 0, 40001, 53);
	LAB_PASSES(&lab, 1, 2, UDP, 0, 40002, 53);
	LAB_PASSES(&lab, 3, HUB, ICMP, .type = 8, .sport = 7);
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct told *told;

		ask(lab.flow, i + 1, cases[i].peer, 100);
		told = hear(lab.flow);
		assert_int_equal(told->n, cases[i].n);
		assert_int_equal(told->end.n_flows, cases[i].n);
	}
	ask(lab.flow, 9, ABI_PEER_NONE, 2);
	assert_int_equal(hear(lab.flow)->n, 2);
	ask(lab.flow, 9, ABI_PEER_NONE, 2);
	assert_int_equal(hear(lab.flow)->end.n_flows, 3); /* and says how many there are */
	lab_destroy(&lab);
}

static void a_full_ring_loses_no_flow_and_holds_up_no_packet(void **state)
{
	struct lab lab = some_flows();
	struct abi_ring_end ring = abi_region_report_ring(&lab.flow->region, 0);
	static bool seen[N_MANY];
	const struct told *told;

	(void)state;
	for (uint32_t i = 0; i < N_MANY; i++)
		LAB_PASSES(&lab, 1, 2, UDP, 0, (uint16_t)(40000 + i), 53);
	ask(lab.flow, 5, ABI_PEER_NONE, N_MANY);
	for (uint32_t i = 0; i < 20; i++) /* nobody takes anything */
		worker_turn(lab.flow->workers[0], ++lab.flow->now_ns);
	assert_in_range(abi_ring_depth(&ring), 100, ABI_REPORT_SLOTS / 2);
	LAB_PASSES(&lab, 1, 2, UDP, 0, 40000, 53);
	told = hear(lab.flow);
	assert_int_equal(told->n, N_MANY);
	assert_int_equal(told->end.n_flows, N_MANY);
	for (uint32_t i = 0; i < N_MANY; i++) {
		uint32_t number = told->list[i].sport - 40000U;

		assert_true(number < N_MANY && !seen[number]);
		seen[number] = true;
	}
	assert_true(told->n_turns >= 3);
	lab_destroy(&lab);
}

static void another_question_ends_the_first_and_a_bad_one_is_refused(void **state)
{
	struct lab lab = some_flows();
	struct told told = {0};

	(void)state;
	LAB_PASSES(&lab, 1, 2, UDP, 0, 40001, 53);
	ask(lab.flow, 1, ABI_PEER_NONE, 100);
	ask(lab.flow, 2, ABI_PEER_NONE, 100);
	assert_int_equal(hear(lab.flow)->end.token, 2);
	ask(lab.flow, 0, ABI_PEER_NONE, 100);
	ask(lab.flow, 3, FLOW_N_PEERS, 100);
	flow_turn(lab.flow);
	assert_int_equal(flow_counter(lab.flow, ABI_COUNTER_CMD_BAD), 2);
	take(lab.flow, &told);
	assert_int_equal(told.n + told.end.token, 0);
	lab_destroy(&lab);
}

/* The second in which the worker says that a grant was used last, or 0. */
static uint32_t used_at(const struct flow *flow, uint32_t grant)
{
	const uint64_t *words = abi_region_used(&flow->region, 0);

	for (uint32_t i = 0; i < ABI_USED_SETS * ABI_USED_WAYS; i++)
		if (words[i] != 0 && abi_used_grant(words[i]) == grant)
			return abi_used_second(words[i]);
	return 0;
}

static void use_of_grants_is_told_without_being_asked(void **state)
{
	struct lab lab = some_flows();
	uint32_t begin_s;

	(void)state;
	lab_connect(&lab, 1, 2, 40000, 443);
	LAB_PASSES(&lab, 1, 2, UDP, 0, 40001, 53);
	begin_s = (uint32_t)(lab.flow->now_ns / BASE_NS_PER_S);
	for (uint32_t i = 0; i < 70; i++)
		lab_wait(&lab, BASE_NS_PER_S);
	assert_in_range(used_at(lab.flow, 1), begin_s - 1, begin_s);
	assert_in_range(used_at(lab.flow, 2), begin_s - 1, begin_s);
	assert_int_equal(used_at(lab.flow, 3), 0);
	lab_destroy(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_say_who_whence_where_how_by_what),
		cmocka_unit_test(use_of_grants_is_told_without_being_asked),
		cmocka_unit_test(one_peer_is_found_at_either_end),
		cmocka_unit_test(a_full_ring_loses_no_flow_and_holds_up_no_packet),
		cmocka_unit_test(another_question_ends_the_first_and_a_bad_one_is_refused),
	};

	return cmocka_run_group_tests_name("flow_show", tests, flow_start, NULL);
}
