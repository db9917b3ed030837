/* A port is taken away from running workers and given back: who has noticed, what happens to its packets
 * meanwhile, and that others go on. */
#include "base_bytes.h"
#include "flow.h"

/* As the main thread knows it. */
static struct worker_port port_of(const struct flow *flow, uint32_t port)
{
	struct worker_port out = {.ethdev = flow->setups[0].ethdev[port]};

	for (uint32_t i = 0; i < ABI_WORKERS_MAX; i++)
		out.wake_fds[i] = -1;
	return out;
}

static void it_is_settled_when_every_worker_has_noticed(void **state)
{
	struct flow *flow = flow_create(&(struct flow_options){.n_workers = 3});
	struct worker_port port = port_of(flow, 0);

	(void)state;
	assert_true(worker_shared_ports_settled(flow->shared, 3));
	worker_shared_port_off(flow->shared, 0, &port);
	for (uint32_t i = 0; i < 3; i++) {
		assert_false(worker_shared_ports_settled(flow->shared, 3));
		(void)worker_turn(flow->workers[i], flow->now_ns);
	}
	assert_true(worker_shared_ports_settled(flow->shared, 3));
	worker_shared_port_on(flow->shared, 0, &port);
	assert_false(worker_shared_ports_settled(flow->shared, 3));
	flow_turn(flow);
	assert_true(worker_shared_ports_settled(flow->shared, 3));
	flow_destroy(flow);
}

/* Nothing is asked of the driver, what is sent there is counted, and everything goes on when it is back. */
static void a_port_that_is_gone_is_left_alone_and_used_again(void **state)
{
	struct flow *flow = flow_create(&(struct flow_options){.n_ports = 2});
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session to = flow_session(flow, 0, 2, 2, BASE_IP_V4);
	struct worker_port port = port_of(flow, 0);
	struct base_ip hub = flow_ip("10.0.0.1"), there = flow_inner_ip(2, BASE_IP_V4);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len;

	(void)state;
	flow_reset(flow);
	worker_shared_port_off(flow->shared, 0, &port);
	flow_turn(flow);
	len = flow_inner_between(inner, 1, 2, BASE_IP_V4, 100);
	flow_rx_data(flow, &from, inner, len);
	flow_turn(flow); /* it stays in the queue */
	flow_expect_counters(flow, NULL, 0);
	len = flow_inner(inner, &hub, &there, 64, 100);
	flow_from_kernel(flow, 0, PORT_LINK_TUN, inner, len);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_SEALED, 1},
	            {ABI_COUNTER_DROP_STRAY, 1});
	flow_expect_silence(flow);
	worker_shared_port_on(flow->shared, 0, &port);
	flow_turn(flow);
	len = flow_inner_between(inner, 1, 2, BASE_IP_V4, 100);
	flow_hop(inner);
	flow_expect_data(flow, &to, 1, inner, len);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
	            {ABI_COUNTER_FORWARDED, 1}, {ABI_COUNTER_SEALED, 1}, {ABI_COUNTER_TX_WAN, 1});
	flow_destroy(flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_settled_when_every_worker_has_noticed),
		cmocka_unit_test(a_port_that_is_gone_is_left_alone_and_used_again),
	};

	return cmocka_run_group_tests_name("port_gone", tests, flow_start, NULL);
}
