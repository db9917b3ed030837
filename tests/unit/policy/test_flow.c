/* The flow table: UDP, ping, ICMP errors and fragments, and flows whose grant goes or ends. */
#include "flow_lab.h"

/* ---- UDP, ping, errors, fragments ---------------------------------------------------------------- */

static void replies_pass_and_questions_from_the_other_side_do_not(void **state)
{
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	assert_int_equal(udp(&hub, B, 7000), POLICY_FLOW_NO_GRANT);
	assert_int_equal(udp(&hub, A, 7000), POLICY_FLOW_PASS);
	assert_int_equal(hub.result.grant, 12);
	assert_int_equal(udp(&hub, B, 7000), POLICY_FLOW_PASS);
	assert_int_equal(udp(&hub, B, 7001), POLICY_FLOW_NO_GRANT);
	hub_fini(&hub);
}

static void same_addresses_from_another_peer_are_no_flow(void **state)
{
	struct policy_packet packet = packet_of(A, B, POLICY_KIND_UDP, POLICY_PROTO_UDP, 7000, 443);
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	assert_int_equal(judge(&hub, &packet), POLICY_FLOW_PASS);
	packet.in_peer = G;
	assert_int_equal(judge(&hub, &packet), POLICY_FLOW_NO_SOURCE);
	packet.in_peer = A;
	packet.out_peer = UINT32_MAX;
	assert_int_equal(judge(&hub, &packet), POLICY_FLOW_NO_DESTINATION);
	packet.out_peer = G;
	assert_int_equal(judge(&hub, &packet), POLICY_FLOW_NO_DESTINATION);
	hub_fini(&hub);
}

static void ping_is_answered_once_asked(void **state)
{
	struct policy_packet ask = packet_of(A, B, POLICY_KIND_ECHO_REQUEST, 1, 77, 0);
	struct policy_packet reply = packet_of(B, A, POLICY_KIND_ECHO_REPLY, 1, 0, 77);
	struct policy_packet back = packet_of(B, A, POLICY_KIND_ECHO_REQUEST, 1, 77, 0);
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	assert_int_equal(judge(&hub, &reply), POLICY_FLOW_NO_FLOW);
	assert_int_equal(judge(&hub, &ask), POLICY_FLOW_PASS);
	assert_int_equal(judge(&hub, &reply), POLICY_FLOW_PASS);
	assert_int_equal(judge(&hub, &back), POLICY_FLOW_NO_GRANT);
	hub.clock.now_s += 29;
	assert_int_equal(judge(&hub, &reply), POLICY_FLOW_PASS);
	hub.clock.now_s += 30;
	assert_int_equal(judge(&hub, &reply), POLICY_FLOW_NO_FLOW);
	hub_fini(&hub);
}

static void icmp_error_passes_for_a_known_flow_only(void **state)
{
	/* as the parser gives it: like a reply of the flow */
	struct policy_packet error = packet_of(B, A, POLICY_KIND_ERROR, POLICY_PROTO_UDP, 443,
	                                       7000);
	struct hub hub;
	uint8_t *before;

	(void)state;
	hub_init(&hub, &small);
	assert_int_equal(judge(&hub, &error), POLICY_FLOW_NO_FLOW);
	assert_int_equal(udp(&hub, A, 7000), POLICY_FLOW_PASS);
	before = malloc(hub.flow_len);
	memcpy(before, hub.flow, hub.flow_len);
	hub.clock.now_s += 3;
	assert_int_equal(judge(&hub, &error), POLICY_FLOW_PASS);
	assert_memory_equal(before, hub.flow, hub.flow_len); /* and changes nothing */
	error.dport = 7001;
	assert_int_equal(judge(&hub, &error), POLICY_FLOW_NO_FLOW);
	free(before);
	hub_fini(&hub);
}

static void later_fragments_follow_the_first(void **state)
{
	struct policy_packet first = packet_of(A, B, POLICY_KIND_UDP, POLICY_PROTO_UDP, 7000, 443);
	struct policy_packet later = packet_of(A, B, POLICY_KIND_FRAGMENT, POLICY_PROTO_UDP, 0, 0);
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	first.is_fragment = later.is_fragment = 1;
	first.datagram = later.datagram = 99;
	assert_int_equal(judge(&hub, &later), POLICY_FLOW_NO_DATAGRAM);
	assert_int_equal(judge(&hub, &first), POLICY_FLOW_PASS);
	assert_int_equal(judge(&hub, &later), POLICY_FLOW_PASS);
	later.datagram = 98;
	assert_int_equal(judge(&hub, &later), POLICY_FLOW_NO_DATAGRAM);
	/* a first one that is refused is not remembered */
	first.datagram = 98;
	first.dport = 22;
	assert_int_equal(judge(&hub, &first), POLICY_FLOW_NO_GRANT);
	assert_int_equal(judge(&hub, &later), POLICY_FLOW_NO_DATAGRAM);
	/* the flow's end is theirs */
	later.datagram = 99;
	load(&hub, 2, 1);
	assert_int_equal(judge(&hub, &later), POLICY_FLOW_REVOKED);
	assert_int_equal(judge(&hub, &later), POLICY_FLOW_NO_FLOW);
	hub.clock.now_s += 30;
	assert_int_equal(judge(&hub, &later), POLICY_FLOW_NO_DATAGRAM);
	hub_fini(&hub);
}

/* ---- the policy changes -------------------------------------------------------------------------- */

static void grant_taken_away_ends_its_flows_in_both_directions(void **state)
{
	struct hub hub;

	(void)state;
	for (uint32_t from = A; from <= B; from++) {
		hub_init(&hub, &small);
		handshake(&hub);
		assert_int_equal(udp(&hub, A, 7000), POLICY_FLOW_PASS);
		load(&hub, 2, 1); /* the one for udp is gone, that for tcp is not */
		assert_int_equal(udp(&hub, from, 7000), POLICY_FLOW_REVOKED);
		assert_int_equal(udp(&hub, from, 7000), POLICY_FLOW_NO_GRANT);
		assert_int_equal(tcp(&hub, from, ACK), POLICY_FLOW_PASS);
		load(&hub, 3, 0);
		assert_int_equal(tcp(&hub, from, ACK), POLICY_FLOW_REVOKED);
		assert_int_equal(tcp(&hub, from, ACK), POLICY_FLOW_NO_FLOW);
		load(&hub, 4, 3);
		assert_int_equal(tcp(&hub, from, ACK), POLICY_FLOW_NO_FLOW);
		handshake(&hub);
		hub_fini(&hub);
	}
}

static void flow_ends_with_the_window_of_its_grant(void **state)
{
	struct policy_packet gre = packet_of(A, B, POLICY_KIND_OTHER, 47, 0, 0);
	struct policy_packet back = packet_of(B, A, POLICY_KIND_OTHER, 47, 0, 0);
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	load(&hub, 2, 4);
	assert_int_equal(judge(&hub, &gre), POLICY_FLOW_PASS);
	assert_int_equal(hub.result.grant, 14);
	hub.clock.wall_s = 999;
	assert_int_equal(judge(&hub, &back), POLICY_FLOW_PASS);
	hub.clock.wall_s = 1000;
	assert_int_equal(judge(&hub, &back), POLICY_FLOW_REVOKED);
	assert_int_equal(judge(&hub, &gre), POLICY_FLOW_NOT_NOW);
	hub_fini(&hub);
}

static void what_was_allowed_once_is_asked_again_when_its_window_or_table_is_over(void **state)
{
	struct policy_packet packet = packet_of(A, B, POLICY_KIND_TCP, POLICY_PROTO_TCP, 1024, 80);
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	load(&hub, 2, 4);
	packet.tcp_flags = SYN;
	assert_int_equal(judge(&hub, &packet), POLICY_FLOW_PASS);
	assert_int_equal(hub.result.grant, 14);
	packet.sport++;
	assert_int_equal(judge(&hub, &packet), POLICY_FLOW_PASS);
	assert_int_equal(hub.result.grant, 14);
	hub.clock.wall_s = 1000;
	packet.sport++;
	assert_int_equal(judge(&hub, &packet), POLICY_FLOW_NOT_NOW);
	hub.clock.wall_s = 999;
	assert_int_equal(judge(&hub, &packet), POLICY_FLOW_PASS);
	packet.sport++;
	packet.dport++; /* the same peers, another port */
	load(&hub, 3, 3);
	assert_int_equal(judge(&hub, &packet), POLICY_FLOW_NO_GRANT);
	packet.dport--;
	assert_int_equal(judge(&hub, &packet), POLICY_FLOW_NO_GRANT);
	hub_fini(&hub);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_pass_and_questions_from_the_other_side_do_not),
		cmocka_unit_test(same_addresses_from_another_peer_are_no_flow),
		cmocka_unit_test(ping_is_answered_once_asked),
		cmocka_unit_test(icmp_error_passes_for_a_known_flow_only),
		cmocka_unit_test(later_fragments_follow_the_first),
		cmocka_unit_test(grant_taken_away_ends_its_flows_in_both_directions),
		cmocka_unit_test(flow_ends_with_the_window_of_its_grant),
		cmocka_unit_test(
			what_was_allowed_once_is_asked_again_when_its_window_or_table_is_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
