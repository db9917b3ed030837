/* A hub with several addresses, and peers that change theirs: what is sent to a peer goes to where its newest
 * authenticated packet came from, and leaves from the address that this one had asked. */
#include "base_bytes.h"
#include "flow.h"

#include <string.h>

/* Where a packet goes: from which of the peer's endpoints to which of the hub's addresses. */
struct way {
	const char *peer;
	const char *hub;
};

static const struct way ways[] = {
	{"198.51.100.1:40001", "192.0.2.1"},   {"198.51.100.1:40001", "192.0.2.77"},
	{"198.51.100.1:40002", "192.0.2.77"},  {"203.0.113.5:40001", "192.0.2.1"},
	{"[2001:db8:5::5]:5", "2001:db8::1"},  {"[2001:db8:5::5]:5", "2001:db8::77"},
	{"[2001:db8:5::6]:5", "2001:db8::77"}, {"[2001:db8:5::5]:6", "2001:db8::1"},
};

static struct flow *make_hub(void)
{
	struct flow *flow = flow_create(NULL);

	FLOW_CMD_ALL(flow, ABI_CMD_ADDRESS,
	             (struct abi_cmd_address){.ip = flow_ip("192.0.2.77"), .present = 1});
	FLOW_CMD_ALL(flow, ABI_CMD_ADDRESS,
	             (struct abi_cmd_address){.ip = flow_ip("2001:db8::77"), .present = 1});
	flow_turn(flow);
	return flow;
}

static bool is_v4(const struct way *way)
{
	return flow_ip(way->hub).family == BASE_IP_V4;
}

/* A message of the peer's by this way. */
static void receive(struct flow *flow, const struct way *way, const uint8_t *message, uint32_t len)
{
	struct base_endpoint from = flow_endpoint(way->peer);
	struct base_ip hub = flow_ip(way->hub);
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t frame_len = flow_frame_to_hub(frame, &from, message, len);

	memcpy(frame + 14 + (is_v4(way) ? 16 : 24), hub.bytes, base_ip_len(hub.family));
	if (is_v4(way))
		flow_mend_sum(frame);
	flow_rx(flow, 0, 0, frame, frame_len);
	flow_turn(flow);
}

static void receive_data(struct flow *flow, struct flow_session *peer, const struct way *way,
                         uint32_t n_payload)
{
	struct base_ip hub = flow_ip("10.0.0.1"), inside = flow_inner_ip(1, BASE_IP_V4);
	uint8_t inner[FLOW_FRAME_MAX], message[FLOW_FRAME_MAX];
	uint32_t len = n_payload == 0 ? 0 : flow_inner(inner, &inside, &hub, 64, n_payload);

	len = flow_seal(peer, message, inner, len);
	receive(flow, way, message, len);
}

/* The kernel sends to the peer: the frame goes back by this way. */
static void expect_back(struct flow *flow, const struct flow_session *peer, uint64_t counter,
                        const struct way *way)
{
	struct base_endpoint to = flow_endpoint(way->peer);
	struct base_ip source = flow_ip(way->hub);
	struct base_ip hub = flow_ip("10.0.0.1"), inside = flow_inner_ip(1, BASE_IP_V4);
	uint32_t addresses = is_v4(way) ? 14 + 12 : 14 + 8, udp = is_v4(way) ? 34 : 54;
	uint8_t inner[FLOW_FRAME_MAX], message[FLOW_FRAME_MAX], frame[FLOW_FRAME_MAX];
	uint32_t inner_len = flow_inner(inner, &hub, &inside, 64, 20);
	uint32_t len = flow_seal_by_hub(peer, counter, message, inner, inner_len);
	size_t ip_len = base_ip_len(source.family);

	flow_from_kernel(flow, 0, PORT_LINK_TUN, inner, inner_len);
	flow_turn(flow);
	assert_int_equal(flow_tx(flow, 0, 0, frame), udp + 8 + len);
	assert_memory_equal(frame + addresses, source.bytes, ip_len);
	assert_memory_equal(frame + addresses + ip_len, to.ip.bytes, ip_len);
	assert_int_equal(base_load_be16(frame + udp), FLOW_PORT);
	assert_int_equal(base_load_be16(frame + udp + 2), to.port);
	assert_memory_equal(frame + udp + 8, message, len);
}

/* From each way to each, by data and by keepalives. */
static void answers_go_back_by_the_way_the_newest_packet_came(void **state)
{
	(void)state;
	for (uint32_t n_payload = 0; n_payload <= 40; n_payload += 40) {
		struct flow *flow = make_hub();
		struct flow_session peer = flow_session(flow, 0, 1, 1, BASE_IP_V4);
		uint64_t counter = 0;

		for (size_t i = 0; i < BASE_ARRAY_LEN(ways); i++) {
			for (size_t k = 0; k < BASE_ARRAY_LEN(ways); k++) {
				receive_data(flow, &peer, &ways[i], n_payload);
				expect_back(flow, &peer, counter++, &ways[i]);
				receive_data(flow, &peer, &ways[k], n_payload);
				expect_back(flow, &peer, counter++, &ways[k]);
			}
		}
		flow_expect_balance(flow);
		flow_destroy(flow);
	}
}

/* Nothing that is not authentic and new moves it: by any way, in any state. */
static void what_is_forged_or_old_moves_nothing(void **state)
{
	struct flow *flow = make_hub();
	struct flow_session peer = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	uint64_t counter = 0;

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(ways); i++) {
		uint8_t message[FLOW_FRAME_MAX], replayed[FLOW_FRAME_MAX];
		uint32_t len = flow_seal(&peer, replayed, NULL, 0);

		receive(flow, &ways[i], replayed, len);
		expect_back(flow, &peer, counter++, &ways[i]);
		for (size_t k = 0; k < BASE_ARRAY_LEN(ways); k++) {
			receive(flow, &ways[k], replayed, len);
			len = flow_seal_at(&peer, peer.counter + 1000, message, NULL, 0);
			message[len - 1] ^= 1;
			receive(flow, &ways[k], message, len);
			message[4] ^= 0x80;
			receive(flow, &ways[k], message, len);
			expect_back(flow, &peer, counter++, &ways[i]);
		}
	}
	assert_int_equal(flow_counter(flow, ABI_COUNTER_DROP_REPLAY), 64);
	assert_int_equal(flow_counter(flow, ABI_COUNTER_DROP_AUTH)
	                         + flow_counter(flow, ABI_COUNTER_DROP_UNKNOWN_INDEX),
	                 128);
	flow_destroy(flow);
}

/* To an address that is none of the hub's: the kernel's business, and the peer is not moved. */
static void an_address_of_somebody_else_is_not_answered_from(void **state)
{
	const struct way home = ways[0], wrong = {"198.51.100.1:40009", "192.0.2.78"};
	struct flow *flow = make_hub();
	struct flow_session peer = flow_session(flow, 0, 1, 1, BASE_IP_V4);

	(void)state;
	receive_data(flow, &peer, &home, 0);
	expect_back(flow, &peer, 0, &home);
	flow_reset(flow);
	receive_data(flow, &peer, &wrong, 0);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_TO_TAP, 1});
	expect_back(flow, &peer, 1, &home);
	flow_destroy(flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_go_back_by_the_way_the_newest_packet_came),
		cmocka_unit_test(what_is_forged_or_old_moves_nothing),
		cmocka_unit_test(an_address_of_somebody_else_is_not_answered_from),
	};

	return cmocka_run_group_tests_name("flow/roam", tests, flow_start, NULL);
}
