/* Two seconds of frames that are nearly right: good ones of several peers with bits turned over,
 * bytes cut off or added, sent to either worker, mixed with commands and with time. Nothing may
 * break (the sanitizers watch), every packet is accounted for, and unmutated ones still pass.
 * FLOW_SEED=n repeats a run, FLOW_MS=n makes it longer. */
#include "base_bytes.h"
#include "flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_SESSIONS 6U

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint32_t)(random_state * UINT64_C(0x2545f4914f6cdd1d) >> 32) % n;
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

/* Bend bytes[len]; returns the new length. */
static uint32_t mutate(uint8_t *bytes, uint32_t len)
{
	uint32_t n = random_below(4);

	for (uint32_t i = 0; i < n; i++) {
		/* Headers more often than the rest. */
		uint32_t range = random_below(4) ? 100 : len;
		uint32_t at = random_below(range < len ? range : len);

		if (random_below(2))
			bytes[at] ^= (uint8_t)(1U << random_below(8));
		else
			bytes[at] = (uint8_t)random_below(256);
	}
	if (random_below(3) == 0)
		flow_mend_sum(bytes);
	switch (random_below(8)) {
	case 0:
		return random_below(len + 1);
	case 1:
		return len + random_below(60);
	default:
		return len;
	}
}

static uint32_t random_inner(uint8_t *inner, uint32_t from)
{
	uint8_t family = random_below(2) ? BASE_IP_V4 : BASE_IP_V6;
	uint32_t to = random_below(8);
	uint32_t len = flow_inner_between(inner, from, to, family, random_below(1400));

	if (random_below(6) == 0) {
		struct base_ip hub = flow_ip(family == BASE_IP_V4 ? "10.0.0.1" : "fd00::1");

		memcpy(inner + (family == BASE_IP_V4 ? 16 : 24), hub.bytes, base_ip_len(family));
	}
	return len;
}

static void send_wan(struct flow *flow, struct flow_session *sessions)
{
	struct flow_session *session = &sessions[random_below(N_SESSIONS)];
	uint8_t inner[FLOW_FRAME_MAX] = {0};
	uint8_t message[FLOW_FRAME_MAX] = {0};
	uint8_t frame[FLOW_FRAME_MAX] = {0};
	uint32_t len = random_inner(inner, session->peer);

	if (random_below(4) == 0)
		len = mutate(inner, len);
	len = flow_seal(session, message, inner, len);
	if (random_below(4) == 0)
		len = mutate(message, len);
	if (random_below(50) == 0)
		message[0] = (uint8_t)random_below(6);
	len = flow_frame_to_hub(frame, &session->endpoint, message, len);
	if (random_below(2) == 0)
		len = mutate(frame, len);
	flow_rx(flow, random_below(2), 0, frame, len);
	if (random_below(10) == 0) /* again, perhaps by another way */
		flow_rx(flow, random_below(2), 0, frame, len);
}

static void send_kernel(struct flow *flow)
{
	uint8_t inner[FLOW_FRAME_MAX] = {0};
	uint32_t len = random_inner(inner, random_below(8));

	len = mutate(inner, len);
	flow_from_kernel(flow, random_below(2),
	                 random_below(8) ? PORT_LINK_TUN : (uint16_t)random_below(12), inner, len);
}

/* A command with random content; its type and length are right, so it is looked at. */
static void send_command(struct flow *flow)
{
	static const uint16_t lens[ABI_N_CMD_TYPES] = {
		[ABI_CMD_ADDRESS] = sizeof(struct abi_cmd_address),
		[ABI_CMD_ROUTE_DROP] = sizeof(struct abi_cmd_route),
		[ABI_CMD_SESSION_RETIRE] = sizeof(struct abi_cmd_session),
		[ABI_CMD_ENDPOINT_SET] = sizeof(struct abi_cmd_endpoint),
		[ABI_CMD_KEEPALIVE] = sizeof(struct abi_cmd_session),
		[ABI_CMD_WAN_ROUTE_PUT] = sizeof(struct abi_cmd_wan_route),
		[ABI_CMD_NEIGHBOUR_PUT] = sizeof(struct abi_cmd_neighbour),
		[ABI_CMD_INJECT] = sizeof(struct abi_cmd_inject),
		[ABI_CMD_SESSION_INSTALL] = sizeof(struct abi_cmd_session_install),
		[ABI_CMD_PREFER] = sizeof(struct abi_cmd_prefer),
		[ABI_CMD_BARRIER] = sizeof(struct abi_cmd_barrier),
	};
	uint8_t payload[ABI_PAYLOAD_MAX];
	uint16_t type = (uint16_t)random_below(ABI_N_CMD_TYPES);

	/* Few bits, so that some fields come out in range. */
	for (uint32_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(random_below(4) ? 0 : random_below(10));
	if (lens[type] != 0)
		flow_cmd(flow, random_below(2), type, payload, lens[type]);
}

static void drain(struct flow *flow)
{
	uint8_t out[FLOW_FRAME_MAX];
	uint16_t type;
	uint32_t len;

	for (uint32_t i = 0; i < 2; i++) {
		while ((len = flow_tx(flow, i, 0, out)) > 0)
			assert_true(len >= 14 && len <= FLOW_MTU + 14);
		while (flow_to_kernel(flow, i, NULL, out) > 0)
			;
		while (flow_event(flow, i, &type, NULL, 0))
			assert_in_range(type, 1, ABI_N_EVENT_TYPES - 1);
	}
}

/* What waits for sessions has waited in vain. */
static void give_up_waiting(struct flow *flow)
{
	flow_pass(flow, 91 * FLOW_S);
	for (uint32_t i = 0; i < 100; i++) {
		flow_turn(flow);
		drain(flow);
	}
	assert_int_equal(flow_counter(flow, ABI_COUNTER_TO_WAIT),
	                 flow_counter(flow, ABI_COUNTER_RX_WAIT));
}

/* A good packet passes between two sessions that nothing has touched. */
static void expect_alive(struct flow *flow)
{
	struct flow_session from = flow_session(flow, 0, 40, 7, BASE_IP_V4);
	struct flow_session to = flow_session(flow, 1, 41, 8, BASE_IP_V4);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = flow_inner_between(inner, 7, 8, BASE_IP_V4, 64);

	flow_turn(flow);
	drain(flow);
	flow_rx_data(flow, &from, inner, len);
	flow_turn(flow);
	flow_hop(inner);
	flow_expect_data(flow, &to, 0, inner, len);
}

static void run(bool with_commands)
{
	struct flow *flow = flow_create(&(struct flow_options){.n_workers = 2});
	uint64_t until_ns = base_time_monotonic_ns() + setting("FLOW_MS", 1000) * FLOW_MS;
	struct flow_session sessions[N_SESSIONS];
	uint64_t n = 0;

	for (uint32_t i = 0; i < N_SESSIONS; i++) {
		sessions[i] = flow_session_make(i % 2, 1 + i, 1 + i,
		                                i % 3 ? BASE_IP_V4 : BASE_IP_V6);
		flow_session_install(flow, &sessions[i],
		                     i % 2 ? ABI_ROLE_INITIATOR : ABI_ROLE_RESPONDER, 0);
	}
	flow_turn(flow);
	while (base_time_monotonic_ns() < until_ns) {
		for (uint32_t i = random_below(40); i > 0; i--, n++)
			random_below(4) ? send_wan(flow, sessions) : send_kernel(flow);
		if (with_commands && random_below(4) == 0)
			send_command(flow);
		flow_pass(flow, random_below(100) ? 100000 : random_below(30) * FLOW_MS);
		drain(flow);
		flow_expect_balance(flow);
	}
	print_message("# %lu packets, %lu sent, %lu replays, %lu forged\n", n,
	              flow_counter(flow, ABI_COUNTER_TX_WAN),
	              flow_counter(flow, ABI_COUNTER_DROP_REPLAY),
	              flow_counter(flow, ABI_COUNTER_DROP_AUTH));
	give_up_waiting(flow);
	if (!with_commands)
		expect_alive(flow);
	flow_destroy(flow);
}

static void packets_bent_at_random_are_all_accounted_for(void **state)
{
	(void)state;
	run(false);
}

static void commands_at_random_break_nothing(void **state)
{
	(void)state;
	run(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_bent_at_random_are_all_accounted_for),
		cmocka_unit_test(commands_at_random_break_nothing),
	};

	random_state = setting("FLOW_SEED", base_time_wall_ns());
	printf("# FLOW_SEED=%lu\n", random_state);
	return cmocka_run_group_tests_name("random", tests, flow_start, NULL);
}
