/* The flow table: how long flows live, when their memory comes back, what their grants' use is told, and what a full
 * table does. */
#include "flow_lab.h"

static void timeouts_are_exact_without_expire_and_memory_comes_back_with_it(void **state)
{
	struct hub hub;
	uint32_t n_half;

	(void)state;
	hub_init(&hub, &small);
	assert_int_equal(udp(&hub, A, 7000), POLICY_FLOW_PASS);
	hub.clock.now_s += 29;
	assert_int_equal(udp(&hub, B, 7000), POLICY_FLOW_PASS); /* now both ways: 180 */
	hub.clock.now_s += 179;
	assert_int_equal(udp(&hub, B, 7000), POLICY_FLOW_PASS);
	hub.clock.now_s += 180;
	assert_int_equal(udp(&hub, B, 7000), POLICY_FLOW_NO_GRANT);
	assert_int_equal(udp(&hub, A, 7000), POLICY_FLOW_PASS);
	assert_int_equal(policy_flow_count(hub.flow), 1);
	for (uint32_t i = 0; i < 31; i++, hub.clock.now_s++) {
		assert_int_equal(policy_flow_count(hub.flow), 1);
		(void)policy_flow_expire(hub.flow, hub.clock.now_s, 8);
	}
	assert_int_equal(policy_flow_count(hub.flow), 0);
	assert_int_equal(policy_flow_count_of(hub.flow, A, &n_half), 0);
	assert_int_equal(n_half, 0);
	hub_fini(&hub);
}

static void expire_is_bounded_and_goes_on_where_it_was(void **state)
{
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	for (uint16_t i = 0; i < 64; i++)
		assert_int_equal(udp(&hub, A, (uint16_t)(7000 + i)), POLICY_FLOW_PASS);
	hub.clock.now_s += 100000; /* a long pause */
	for (uint32_t left = 64; left > 0; left -= 16) {
		assert_int_equal(policy_flow_count(hub.flow), left);
		assert_int_equal(policy_flow_expire(hub.flow, hub.clock.now_s, 16), 16);
	}
	assert_int_equal(policy_flow_expire(hub.flow, hub.clock.now_s, 16), 0);
	assert_int_equal(policy_flow_count(hub.flow), 0);
	hub_fini(&hub);
}

/* Second in which a grant was last used, as the words tell; 0 = they do not know it. */
static uint32_t used_at(const uint64_t *used, uint32_t n_words, uint32_t grant)
{
	uint32_t found_s = 0;

	for (uint32_t i = 0; i < n_words; i++) {
		if (used[i] >> 32 != grant || used[i] == 0)
			continue;
		assert_int_equal(found_s, 0); /* once */
		found_s = (uint32_t)used[i];
	}
	return found_s;
}

static void use_of_a_grant_is_told_while_its_flow_lives_and_when_it_ends(void **state)
{
	uint64_t used[2 * POLICY_USED_WAYS] = {0};
	struct policy_flow_setup setup = small;
	struct hub hub;
	uint32_t end_s;

	(void)state;
	setup.used = used;
	setup.n_used_sets = 3;
	assert_int_equal(policy_flow_len(&setup), 0);
	setup.n_used_sets = 2;
	hub_init(&hub, &setup);
	handshake(&hub);
	assert_int_equal(udp(&hub, A, 7000), POLICY_FLOW_PASS);
	assert_int_equal(used_at(used, BASE_ARRAY_LEN(used), 11), 0);
	hub.clock.now_s += 64;
	(void)policy_flow_expire(hub.flow, hub.clock.now_s, 64);
	assert_int_equal(used_at(used, BASE_ARRAY_LEN(used), 11), 5000);
	assert_int_equal(used_at(used, BASE_ARRAY_LEN(used), 12), 5000);
	assert_int_equal(used_at(used, BASE_ARRAY_LEN(used), 13), 0);
	/* an established one is seen again and again; the UDP flow is gone */
	for (end_s = hub.clock.now_s + 600; hub.clock.now_s < end_s; hub.clock.now_s++) {
		assert_int_equal(tcp(&hub, A, ACK), POLICY_FLOW_PASS);
		(void)policy_flow_expire(hub.flow, hub.clock.now_s, 64);
	}
	assert_in_range(used_at(used, BASE_ARRAY_LEN(used), 11), end_s - 64, end_s);
	assert_int_equal(used_at(used, BASE_ARRAY_LEN(used), 12), 5000);
	hub_fini(&hub);
}

static void of_many_grants_in_one_set_the_oldest_use_is_forgotten(void **state)
{
	uint64_t used[POLICY_USED_WAYS];
	struct policy_flow_setup setup = small;
	struct hub hub;

	(void)state;
	for (uint32_t i = 0; i < POLICY_USED_WAYS; i++)
		used[i] = (uint64_t)(100 + i) << 32 | (i == 5 ? 7 : 4000 + i);
	setup.used = used;
	setup.n_used_sets = 1;
	hub_init(&hub, &setup);
	assert_int_equal(udp(&hub, A, 7000), POLICY_FLOW_PASS);
	hub.clock.now_s += 64;
	(void)policy_flow_expire(hub.flow, hub.clock.now_s, 64);
	for (uint32_t i = 0; i < POLICY_USED_WAYS; i++)
		assert_int_equal(used_at(used, POLICY_USED_WAYS, 100 + i), i == 5 ? 0 : 4000 + i);
	assert_int_equal(used_at(used, POLICY_USED_WAYS, 12), 5000);
	hub_fini(&hub);
}

static void full_table_refuses_new_flows_and_keeps_the_old_ones(void **state)
{
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	handshake(&hub);
	for (uint16_t i = 1; i < 64; i++)
		assert_int_equal(udp(&hub, A, (uint16_t)(7000 + i)), POLICY_FLOW_PASS);
	for (uint16_t i = 0; i < 1000; i++) /* a flood */
		assert_int_equal(udp(&hub, A, (uint16_t)(9000 + i)), POLICY_FLOW_PEER_FULL);
	assert_int_equal(tcp(&hub, B, ACK), POLICY_FLOW_PASS);
	hub_fini(&hub);
}

static void full_is_named_when_no_peer_is_at_its_limit(void **state)
{
	struct policy_flow_setup setup = small;
	struct hub hub;

	(void)state;
	setup.peer_max = setup.half_max = 1000;
	hub_init(&hub, &setup);
	for (uint16_t i = 0; i < 64; i++)
		assert_int_equal(udp(&hub, A, (uint16_t)(7000 + i)), POLICY_FLOW_PASS);
	assert_int_equal(udp(&hub, A, 9000), POLICY_FLOW_FULL);
	hub_fini(&hub);
}

static void half_open_flows_have_a_limit_of_their_own(void **state)
{
	struct policy_flow_setup setup = small;
	struct hub hub;
	uint32_t n_half;

	(void)state;
	setup.half_max = 4;
	hub_init(&hub, &setup);
	for (uint16_t i = 0; i < 4; i++)
		assert_int_equal(udp(&hub, A, (uint16_t)(7000 + i)), POLICY_FLOW_PASS);
	assert_int_equal(udp(&hub, A, 8000), POLICY_FLOW_PEER_HALF);
	assert_int_equal(udp(&hub, B, 7000), POLICY_FLOW_PASS); /* a reply makes room */
	assert_int_equal(udp(&hub, A, 8000), POLICY_FLOW_PASS);
	assert_int_equal(policy_flow_count_of(hub.flow, A, &n_half), 5);
	assert_int_equal(n_half, 4);
	assert_int_equal(policy_flow_count_of(hub.flow, B, &n_half), 0);
	hub_fini(&hub);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timeouts_are_exact_without_expire_and_memory_comes_back_with_it),
		cmocka_unit_test(expire_is_bounded_and_goes_on_where_it_was),
		cmocka_unit_test(use_of_a_grant_is_told_while_its_flow_lives_and_when_it_ends),
		cmocka_unit_test(of_many_grants_in_one_set_the_oldest_use_is_forgotten),
		cmocka_unit_test(full_table_refuses_new_flows_and_keeps_the_old_ones),
		cmocka_unit_test(full_is_named_when_no_peer_is_at_its_limit),
		cmocka_unit_test(half_open_flows_have_a_limit_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
