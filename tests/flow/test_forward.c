/* From peer to peer: every pairing of inner and outer family, every size, byte by byte. */
#include "flow.h"

static void forward_one(uint8_t inner_family, uint8_t from_family, uint8_t to_family)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session(flow, 0, 1, 1, from_family);
	struct flow_session to = flow_session(flow, 0, 2, 2, to_family);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len;

	flow_reset(flow);
	for (uint64_t i = 0; i < 3; i++) {
		len = flow_inner_between(inner, 1, 2, inner_family, 100 + (uint32_t)i * 17);
		flow_rx_data(flow, &from, inner, len);
		flow_turn(flow);
		flow_hop(inner);
		flow_expect_data(flow, &to, i, inner, len);
		FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
		            {ABI_COUNTER_FORWARDED, 1}, {ABI_COUNTER_SEALED, 1},
		            {ABI_COUNTER_TX_WAN, 1});
	}
	flow_expect_silence(flow);
	flow_expect_no_event(flow);
	flow_destroy(flow);
}

static void forward_carries_either_family_over_either_family(void **state)
{
	static const uint8_t families[] = {BASE_IP_V4, BASE_IP_V6};

	(void)state;
	for (uint32_t i = 0; i < 8; i++)
		forward_one(families[i & 1], families[i >> 1 & 1], families[i >> 2 & 1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forward_carries_either_family_over_either_family),
	};

	return cmocka_run_group_tests_name("forward", tests, flow_start, NULL);
}
