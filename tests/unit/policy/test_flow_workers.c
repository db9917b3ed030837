/* The flow table: two workers that follow one connection, a peer that moves between them, and a worker that begins
 * anew. */
#include "flow_lab.h"

/* A packet judged at one worker and, if noted, announced to the other. */
static enum policy_flow_verdict pass_on(struct hub *at, struct hub *to, uint32_t from,
                                        uint8_t flags)
{
	struct policy_packet packet = tcp_packet(from, flags);
	enum policy_flow_verdict verdict = judge(at, &packet);

	if (verdict == POLICY_FLOW_PASS && at->result.note != 0)
		verdict = policy_flow_expect(to->flow, to->table, to->clock, &packet,
		                             at->result.note);
	return verdict;
}

static void two_workers_follow_one_connection(void **state)
{
	struct hub one, other; /* owner of A, owner of B */

	(void)state;
	hub_init(&one, &small);
	hub_init(&other, &small);
	assert_int_equal(pass_on(&other, &one, B, SYNACK), POLICY_FLOW_NO_FLOW);
	assert_int_equal(pass_on(&one, &other, A, SYN), POLICY_FLOW_PASS);
	assert_int_equal(pass_on(&other, &one, B, ACK), POLICY_FLOW_STATE);
	assert_int_equal(pass_on(&other, &one, B, SYNACK), POLICY_FLOW_PASS);
	assert_int_equal(pass_on(&one, &other, A, ACK), POLICY_FLOW_PASS);
	assert_int_equal(only_state(&one), POLICY_FLOW_TCP_ESTABLISHED);
	assert_int_equal(only_state(&other), POLICY_FLOW_TCP_ESTABLISHED);
	/* both sides are kept alive by packets of one */
	for (uint32_t i = 0; i < 100; i++) {
		one.clock.now_s = other.clock.now_s += 1000;
		assert_int_equal(pass_on(&one, &other, A, ACK), POLICY_FLOW_PASS);
	}
	assert_int_equal(pass_on(&other, &one, B, ACK), POLICY_FLOW_PASS);
	assert_int_equal(pass_on(&one, &other, A, FIN), POLICY_FLOW_PASS);
	assert_int_equal(pass_on(&other, &one, B, FIN), POLICY_FLOW_PASS);
	assert_int_equal(only_state(&one), POLICY_FLOW_TCP_CLOSED);
	assert_int_equal(only_state(&other), POLICY_FLOW_TCP_CLOSED);
	/* and again, from the same port */
	assert_int_equal(pass_on(&one, &other, A, SYN), POLICY_FLOW_PASS);
	assert_int_equal(only_state(&other), POLICY_FLOW_TCP_OPENING);
	hub_fini(&one);
	hub_fini(&other);
}

static void new_owner_learns_a_flow_from_the_other_side(void **state)
{
	struct hub one, other, third; /* B moves from the other to the third */
	struct policy_packet reply = packet_of(B, A, POLICY_KIND_TCP, POLICY_PROTO_TCP, 443, 1024);

	(void)state;
	hub_init(&one, &small);
	hub_init(&other, &small);
	hub_init(&third, &small);
	assert_int_equal(pass_on(&one, &other, A, SYN), POLICY_FLOW_PASS);
	assert_int_equal(pass_on(&other, &one, B, SYNACK), POLICY_FLOW_PASS);
	assert_int_equal(pass_on(&one, &other, A, ACK), POLICY_FLOW_PASS);
	reply.tcp_flags = ACK;
	assert_int_equal(judge(&third, &reply), POLICY_FLOW_NO_FLOW);
	assert_int_equal(judge(&one, &reply), POLICY_FLOW_PASS); /* handed over unjudged */
	one.clock.now_s = third.clock.now_s += 16;
	assert_int_equal(pass_on(&one, &third, A, ACK), POLICY_FLOW_PASS);
	assert_int_equal(judge(&third, &reply), POLICY_FLOW_PASS);
	/* but not what the policy of the third does not allow */
	load(&third, 2, 0);
	one.clock.now_s = third.clock.now_s += 16;
	assert_int_equal(pass_on(&one, &third, A, ACK), POLICY_FLOW_REVOKED);
	assert_int_equal(pass_on(&one, &third, A, RST), POLICY_FLOW_NO_GRANT);
	hub_fini(&one);
	hub_fini(&other);
	hub_fini(&third);
}

static void notes_that_mean_nothing_are_refused(void **state)
{
	struct policy_packet syn = packet_of(A, B, POLICY_KIND_TCP, POLICY_PROTO_TCP, 1024, 443);
	struct policy_packet dns = packet_of(A, B, POLICY_KIND_UDP, POLICY_PROTO_UDP, 1024, 443);
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	for (uint32_t note = 0; note < 256; note++) {
		enum policy_flow_verdict verdict = policy_flow_expect(
			hub.flow, hub.table, hub.clock, &syn, (uint8_t)note);
		bool is_tcp = (note & 15) >= POLICY_FLOW_TCP_OPENING
		              && (note & 15) <= POLICY_FLOW_TCP_RESET;

		if (!is_tcp)
			assert_int_equal(verdict, POLICY_FLOW_NO_FLOW);
		verdict = policy_flow_expect(hub.flow, hub.table, hub.clock, &dns, (uint8_t)note);
		if ((note & 15) != POLICY_FLOW_ONE_WAY && (note & 15) != POLICY_FLOW_BOTH_WAYS)
			assert_int_equal(verdict, POLICY_FLOW_NO_FLOW);
		(void)judge(&hub, &syn);
	}
	hub_fini(&hub);
}

static void flows_are_picked_up_after_a_restart_if_the_policy_lets_them(void **state)
{
	struct policy_flow_setup setup = small;
	struct policy_packet wrong = packet_of(A, B, POLICY_KIND_TCP, POLICY_PROTO_TCP, 1024, 22);
	struct hub hub;

	(void)state;
	setup.pickup_s = 60;
	wrong.tcp_flags = ACK;
	for (uint32_t from = A; from <= B; from++) {
		hub_init(&hub, &setup);
		assert_int_equal(judge(&hub, &wrong), POLICY_FLOW_NO_FLOW);
		assert_int_equal(tcp(&hub, from, ACK), POLICY_FLOW_PASS);
		assert_int_equal(udp(&hub, from, 7000), POLICY_FLOW_PASS);
		assert_int_equal(tcp(&hub, A + B - from, ACK), POLICY_FLOW_PASS);
		assert_int_equal(tcp(&hub, B, SYN), POLICY_FLOW_STATE); /* A is the opener */
		hub_fini(&hub);
		hub_init(&hub, &setup);
		hub.clock.now_s += 60;
		assert_int_equal(tcp(&hub, from, ACK), POLICY_FLOW_NO_FLOW);
		hub_fini(&hub);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_workers_follow_one_connection),
		cmocka_unit_test(new_owner_learns_a_flow_from_the_other_side),
		cmocka_unit_test(notes_that_mean_nothing_are_refused),
		cmocka_unit_test(flows_are_picked_up_after_a_restart_if_the_policy_lets_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
