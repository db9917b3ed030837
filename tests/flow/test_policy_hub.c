/* The hub as an end of flows: its services only as granted, its own connections to peers, and no way round
 * a grant that is taken back. */
#include "policy_lab.h"

static const uint32_t all_here[5] = {0};

/* As control compiles it: the hub may open what it likes; and 1 may ask the hub's DNS. */
static void hand_over_usual(struct lab *lab)
{
	FLOW_POLICY(lab->flow, {.id = 9, .from = THE_HUB, .to = ANY},
	            {.id = 1, .proto = POLICY_UDP, .from = PEER(1), .to = THE_HUB, PORT(53)});
	flow_policy_settle(lab->flow);
	flow_reset(lab->flow);
}

static void take_back_dns(struct lab *lab)
{
	FLOW_POLICY(lab->flow, {.id = 9, .from = THE_HUB, .to = ANY});
	flow_policy_settle(lab->flow);
	flow_reset(lab->flow);
}

static struct lab usual(void)
{
	struct lab lab = lab_create(NULL, all_here);

	hand_over_usual(&lab);
	return lab;
}

static void only_what_is_granted_reaches_the_hub(void **state)
{
	struct lab lab = usual();

	(void)state;
	LAB_PASSES(&lab, 1, HUB, UDP, 0, 40000, 53);
	LAB_PASSES(&lab, HUB, 1, UDP, 0, 53, 40000);
	LAB_DROPS(&lab, POLICY_NO_GRANT, 2, HUB, UDP, 0, 40000, 53);
	LAB_DROPS(&lab, POLICY_NO_GRANT, 1, HUB, UDP, 0, 40000, 54);
	LAB_DROPS(&lab, POLICY_NO_GRANT, 1, HUB, TCP, SYN, 40000, 53);
	LAB_DROPS(&lab, POLICY_NO_GRANT, 1, HUB, ICMP, .type = 8, .sport = 7);
	lab_destroy(&lab);
}

static void the_hub_opens_and_its_replies_pass(void **state)
{
	struct lab lab = usual();

	(void)state;
	lab_connect(&lab, HUB, 2, 40000, 8080);
	LAB_PASSES(&lab, 2, HUB, TCP, ACK, 8080, 40000);
	LAB_DROPS(&lab, POLICY_NO_FLOW, 2, HUB, TCP, ACK, 8080, 40001);
	LAB_PASSES(&lab, HUB, 2, ICMP, .type = 8, .sport = 7);
	LAB_PASSES(&lab, 2, HUB, ICMP, .type = 0, .sport = 7);
	LAB_PASSES(&lab, HUB, 2, UDP, 0, 40000, 53);
	LAB_PASSES(&lab, 2, HUB, UDP, 0, 53, 40000);
	lab_destroy(&lab);
}

static void errors_of_the_hub_pass_when_they_speak_of_a_flow(void **state)
{
	const struct sketch known = {1, HUB, UDP, 0, 40000, 53};
	const struct sketch unknown = {1, HUB, UDP, 0, 40001, 53};
	struct lab lab = usual();
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len;

	(void)state;
	lab_passes(&lab, &known);
	len = lab_error(inner, (struct sketch){.from = HUB, .to = 1, .type = 3}, &known);
	lab_send(&lab, HUB, inner, len);
	lab_expect(&lab, HUB, 1, inner, len);
	flow_reset(lab.flow);
	len = lab_error(inner, (struct sketch){.from = HUB, .to = 1, .type = 3}, &unknown);
	lab_send(&lab, HUB, inner, len);
	lab_counted(&lab, ABI_COUNTER_DROP_POLICY_NO_FLOW);
	lab_destroy(&lab);
}

/* An answer that was under way when the grant went does not open the flow again as the hub's own: or the
 * next question would pass as its reply, and so on for ever. */
static void an_answer_does_not_bring_back_what_was_taken(void **state)
{
	struct lab lab = usual();

	(void)state;
	LAB_PASSES(&lab, 1, HUB, UDP, 0, 40000, 53);
	take_back_dns(&lab);
	LAB_DROPS(&lab, POLICY_REVOKED, HUB, 1, UDP, 0, 53, 40000);
	LAB_DROPS(&lab, POLICY_NO_FLOW, HUB, 1, UDP, 0, 53, 40000); /* another one */
	LAB_DROPS(&lab, POLICY_NO_GRANT, 1, HUB, UDP, 0, 40000, 53);
	hand_over_usual(&lab);
	LAB_PASSES(&lab, 1, HUB, UDP, 0, 40000, 53);
	lab_destroy(&lab);
}

/* Its kernel's packets may come in at any worker: the flow is known where the peer's packets are judged. */
static void the_peers_owner_knows_its_flows_with_the_hub(void **state)
{
	const uint32_t owners[5] = {0, 1, 2, 1, 0};
	struct lab lab = lab_create(&(struct flow_options){.n_workers = 3}, owners);

	(void)state;
	hand_over_usual(&lab);
	LAB_PASSES(&lab, 1, HUB, UDP, 0, 40000, 53);
	LAB_PASSES(&lab, HUB, 1, UDP, 0, 53, 40000);
	lab_connect(&lab, HUB, 2, 40000, 8080);
	LAB_PASSES(&lab, 2, HUB, TCP, ACK, 8080, 40000);
	lab_connect(&lab, HUB, 4, 40000, 8080);
	take_back_dns(&lab);
	LAB_DROPS(&lab, POLICY_REVOKED, 1, HUB, UDP, 0, 40000, 53);
	LAB_DROPS(&lab, POLICY_NO_FLOW, HUB, 1, UDP, 0, 53, 40000);
	LAB_PASSES(&lab, 2, HUB, TCP, ACK, 8080, 40000);
	lab_destroy(&lab);
}

static void a_peer_that_moves_takes_its_flows_with_the_hub_along(void **state)
{
	const uint32_t owners[5] = {0, 1, 0, 0, 0};
	struct lab lab = lab_create(&(struct flow_options){.n_workers = 2}, owners);
	const struct policy_grant open = {.id = 9, .from = THE_HUB, .to = ANY};
	const struct policy_grant web = {
		.id = 1, .proto = POLICY_TCP, .from = PEER(1), .to = THE_HUB, PORT(443)};

	(void)state;
	FLOW_POLICY(lab.flow, open, web);
	flow_policy_settle(lab.flow);
	flow_reset(lab.flow);
	lab_connect(&lab, HUB, 1, 40000, 8080);
	lab_connect(&lab, 1, HUB, 50000, 443);
	flow_pass(lab.flow, 1);
	lab.sessions[1] = flow_session(lab.flow, 0, 7, 1, BASE_IP_V4);
	lab.sent[1] = 0;
	flow_reset(lab.flow);
	LAB_PASSES(&lab, HUB, 1, TCP, ACK, 40000, 8080);
	LAB_PASSES(&lab, 1, HUB, TCP, ACK, 8080, 40000);
	LAB_PASSES(&lab, HUB, 1, TCP, ACK, 443, 50000); /* picked up as 1's, not as the hub's */
	LAB_PASSES(&lab, 1, HUB, TCP, ACK, 50000, 443);
	FLOW_POLICY(lab.flow, open);
	flow_policy_settle(lab.flow);
	LAB_DROPS(&lab, POLICY_REVOKED, HUB, 1, TCP, ACK, 443, 50000);
	LAB_DROPS(&lab, POLICY_NO_FLOW, HUB, 1, TCP, ACK, 443, 50000);
	LAB_DROPS(&lab, POLICY_NO_FLOW, 1, HUB, TCP, ACK, 50000, 443);
	LAB_PASSES(&lab, HUB, 1, TCP, ACK, 40000, 8080);
	lab_destroy(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_is_granted_reaches_the_hub),
		cmocka_unit_test(the_hub_opens_and_its_replies_pass),
		cmocka_unit_test(errors_of_the_hub_pass_when_they_speak_of_a_flow),
		cmocka_unit_test(an_answer_does_not_bring_back_what_was_taken),
		cmocka_unit_test(the_peers_owner_knows_its_flows_with_the_hub),
		cmocka_unit_test(a_peer_that_moves_takes_its_flows_with_the_hub_along),
	};

	return cmocka_run_group_tests_name("flow_policy_hub", tests, flow_start, NULL);
}
