/* in_parse: what is WireGuard, what is the kernel's, and what is neither. Nothing is ever answered. */
#include "base_bytes.h"
#include "flow.h"

#include <string.h>

/* A frame with a good data message (of no session) in it, to be bent. */
static uint32_t good_frame(uint8_t *frame, uint8_t family)
{
	struct flow_session session = flow_session_make(0, 1, 1, family);
	uint8_t inner[FLOW_FRAME_MAX];
	uint8_t message[FLOW_FRAME_MAX];
	uint32_t len = flow_inner_between(inner, 1, 2, BASE_IP_V4, 64);

	len = flow_seal(&session, message, inner, len);
	return flow_frame_to_hub(frame, &session.endpoint, message, len);
}

static uint32_t handshake_frame(uint8_t *frame, uint8_t family, uint8_t type, bool good_mac)
{
	struct base_endpoint from = flow_endpoint(family == BASE_IP_V4 ? "198.51.100.7:7777"
	                                                               : "[2001:db8::7]:7777");

	return flow_handshake_to_hub(frame, &from, type, good_mac);
}

#define IP  14
#define UDP 34
#define MSG 42

/* One way to bend a frame. */
struct bend {
	const char *what;
	enum abi_counter counter;
	uint8_t family;
	uint32_t at; /* byte to set */
	uint8_t value;
	int32_t grow; /* change of the frame's length */
	bool keep_sum;
};

static const struct bend bends[] = {
	{"too short for Ethernet", ABI_COUNTER_DROP_FRAME_TRUNCATED, 4, 0, 2, -10000, false},
	{"one byte short", ABI_COUNTER_DROP_FRAME_TRUNCATED, 4, 0, 2, -1, false},
	{"IP length too large", ABI_COUNTER_DROP_FRAME_TRUNCATED, 4, IP + 2, 0x40, 0, false},
	{"v6 one byte short", ABI_COUNTER_DROP_FRAME_TRUNCATED, 6, 0, 2, -1, false},
	{"v6 length too large", ABI_COUNTER_DROP_FRAME_TRUNCATED, 6, IP + 4, 0x40, 0, false},
	{"version 5", ABI_COUNTER_DROP_OUTER_HEADER, 4, IP, 0x55, 0, false},
	{"v6 version 7", ABI_COUNTER_DROP_OUTER_HEADER, 6, IP, 0x70, 0, false},
	{"IP length below its header", ABI_COUNTER_DROP_OUTER_HEADER, 4, IP + 3, 10, 0, false},
	{"IP length below UDP's", ABI_COUNTER_DROP_OUTER_HEADER, 4, IP + 3, 59, 0, false},
	{"IHL 4", ABI_COUNTER_DROP_OUTER_HEADER, 4, IP, 0x44, 0, false},
	{"header checksum", ABI_COUNTER_DROP_OUTER_HEADER, 4, IP + 8, 63, 0, true},
	{"source 0.x", ABI_COUNTER_DROP_OUTER_HEADER, 4, IP + 12, 0, 0, false},
	{"source 127.x", ABI_COUNTER_DROP_OUTER_HEADER, 4, IP + 12, 127, 0, false},
	{"source multicast", ABI_COUNTER_DROP_OUTER_HEADER, 4, IP + 12, 224, 0, false},
	{"v6 source multicast", ABI_COUNTER_DROP_OUTER_HEADER, 6, IP + 8, 0xff, 0, false},
	{"UDP length too large", ABI_COUNTER_DROP_OUTER_HEADER, 4, UDP + 4, 2, 0, false},
	{"UDP length below 8", ABI_COUNTER_DROP_OUTER_HEADER, 4, UDP + 5, 7, 0, false},
	{"more fragments", ABI_COUNTER_DROP_OUTER_FRAGMENT, 4, IP + 6, 0x20, 0, false},
	{"type 0", ABI_COUNTER_DROP_WG_TYPE, 4, MSG, 0, 0, false},
	{"type 5", ABI_COUNTER_DROP_WG_TYPE, 4, MSG, 5, 0, false},
	{"reserved 1", ABI_COUNTER_DROP_WG_RESERVED, 4, MSG + 1, 1, 0, false},
	{"reserved 3", ABI_COUNTER_DROP_WG_RESERVED, 4, MSG + 3, 0x80, 0, false},
	{"data as initiation", ABI_COUNTER_DROP_WG_LENGTH, 4, MSG, 1, 0, false},
	{"data as response", ABI_COUNTER_DROP_WG_LENGTH, 4, MSG, 2, 0, false},
	{"data as cookie", ABI_COUNTER_DROP_WG_LENGTH, 4, MSG, 3, 0, false},
};

static void parse_drops_bent_frames_each_under_its_name(void **state)
{
	struct flow *flow = flow_create(NULL);
	uint8_t frame[FLOW_FRAME_MAX];

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(bends); i++) {
		const struct bend *bend = &bends[i];
		uint32_t len = good_frame(frame, bend->family);

		print_message("# %s\n", bend->what);
		frame[bend->at] = bend->value;
		/* The checksum of a four-word header is nobody's. */
		if (bend->family == 4 && !bend->keep_sum && frame[IP] == 0x45)
			flow_mend_sum(frame);
		len = bend->grow < -1000 ? 10 : (uint32_t)((int32_t)len + bend->grow);
		flow_rx(flow, 0, 0, frame, len);
		flow_turn(flow);
		FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {bend->counter, 1});
		flow_expect_silence(flow);
		flow_expect_no_event(flow);
	}
	flow_destroy(flow);
}

static void parse_drops_source_port_zero(void **state)
{
	struct flow *flow = flow_create(NULL);
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t len = good_frame(frame, BASE_IP_V4);

	(void)state;
	base_store_be16(frame + UDP, 0);
	flow_rx(flow, 0, 0, frame, len);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_DROP_OUTER_HEADER, 1});
	flow_destroy(flow);
}

/* Whatever looks at several fields at once must not overlook one. */
static void parse_lets_no_flipped_bit_of_the_ipv4_header_pass(void **state)
{
	struct flow *flow = flow_create(NULL);
	uint8_t frame[FLOW_FRAME_MAX];
	uint8_t out[FLOW_FRAME_MAX];
	uint16_t port;

	(void)state;
	for (uint32_t bit = 12 * 8; bit < (IP + 20) * 8; bit++) {
		uint32_t len = good_frame(frame, BASE_IP_V4);

		frame[bit / 8] ^= (uint8_t)(1U << bit % 8);
		flow_rx(flow, 0, 0, frame, len);
		flow_turn(flow);
		while (flow_to_kernel(flow, 0, &port, out) != 0)
			;
	}
	assert_int_equal(flow_counter(flow, ABI_COUNTER_DROP_UNKNOWN_INDEX), 0);
	flow_rx(flow, 0, 0, frame, good_frame(frame, BASE_IP_V4));
	flow_turn(flow);
	assert_int_equal(flow_counter(flow, ABI_COUNTER_DROP_UNKNOWN_INDEX), 1);
	flow_destroy(flow);
}

/* One frame as the port judged it: counted as outer_header, or as of no session. */
static void judged(struct flow *flow, uint8_t family, uint16_t udp_sum, uint64_t flags,
                   enum abi_counter counter)
{
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t len = good_frame(frame, family);
	struct rte_mbuf *mbuf;

	base_store_be16(frame + (family == BASE_IP_V4 ? UDP : UDP + 20) + 6, udp_sum);
	mbuf = flow_mbuf(frame, len);
	mbuf->ol_flags = flags;
	flow_rx_mbuf(flow, 0, 0, mbuf);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {counter, 1});
}

static void parse_drops_what_the_port_found_wrong(void **state)
{
	static const uint8_t families[] = {BASE_IP_V4, BASE_IP_V6};
	struct flow *flow = flow_create(NULL);

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		judged(flow, families[i], 0xbeef, RTE_MBUF_F_RX_L4_CKSUM_BAD,
		       ABI_COUNTER_DROP_OUTER_HEADER);
		judged(flow, families[i], 0xbeef, RTE_MBUF_F_RX_L4_CKSUM_GOOD,
		       ABI_COUNTER_DROP_UNKNOWN_INDEX);
		judged(flow, families[i], 0xbeef, RTE_MBUF_F_RX_L4_CKSUM_NONE,
		       ABI_COUNTER_DROP_UNKNOWN_INDEX);
		judged(flow, families[i], 0xbeef, 0, ABI_COUNTER_DROP_UNKNOWN_INDEX);
	}
	/* none is not wrong */
	judged(flow, BASE_IP_V4, 0, RTE_MBUF_F_RX_L4_CKSUM_BAD, ABI_COUNTER_DROP_UNKNOWN_INDEX);
	judged(flow, BASE_IP_V4, 0xbeef, RTE_MBUF_F_RX_IP_CKSUM_GOOD,
	       ABI_COUNTER_DROP_UNKNOWN_INDEX);
	flow_destroy(flow);
}

static void parse_drops_chained_frames(void **state)
{
	struct flow *flow = flow_create(NULL);
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t len = good_frame(frame, BASE_IP_V4);
	struct rte_mbuf *mbuf = flow_mbuf(frame, 60);

	(void)state;
	assert_int_equal(rte_pktmbuf_chain(mbuf, flow_mbuf(frame + 60, len - 60)), 0);
	flow_rx_mbuf(flow, 0, 0, mbuf);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_DROP_FRAME_CHAINED, 1});
	flow_expect_silence(flow);
	flow_destroy(flow);
}

static void parse_drops_every_wrong_length(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct base_endpoint from = flow_endpoint("198.51.100.7:7777");
	uint8_t payload[256] = {0};
	uint8_t frame[FLOW_FRAME_MAX];

	(void)state;
	for (uint8_t type = 1; type <= 4; type++) {
		static const uint32_t right[] = {0, WG_INITIATION_LEN, WG_RESPONSE_LEN,
		                                 WG_COOKIE_LEN};

		payload[0] = type;
		for (uint32_t len = 0; len < 200; len++) {
			enum abi_counter counter = len < 4 ? ABI_COUNTER_DROP_WG_SHORT
			                                   : ABI_COUNTER_DROP_WG_LENGTH;

			if (type == 4 ? len >= WG_DATA_MIN_LEN : len == right[type])
				continue;
			flow_rx(flow, 0, 0, frame, flow_frame_to_hub(frame, &from, payload, len));
			flow_turn(flow);
			FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {counter, 1});
		}
	}
	flow_expect_silence(flow);
	flow_expect_no_event(flow);
	flow_destroy(flow);
}

static void parse_gives_handshakes_to_control_with_their_addresses(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct abi_event_handshake event;
	uint8_t frame[FLOW_FRAME_MAX];

	(void)state;
	for (uint8_t type = 1; type <= 3; type++) {
		for (uint8_t family = 4; family <= 6; family = (uint8_t)(family + 2)) {
			uint32_t len = handshake_frame(frame, family, type, true);
			uint32_t header = family == 4 ? 42 : 62;
			struct base_endpoint from = flow_endpoint(
				family == 4 ? "198.51.100.7:7777" : "[2001:db8::7]:7777");
			struct base_ip hub = flow_ip(family == 4 ? "192.0.2.1" : "2001:db8::1");

			flow_rx(flow, 0, 0, frame, len);
			flow_turn(flow);
			FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_TO_CONTROL, 1});
			flow_expect_event(flow, 0, ABI_EVENT_HANDSHAKE, &event, sizeof(event));
			assert_true(base_endpoint_equal(&event.remote, &from));
			assert_true(base_ip_equal(&event.local, &hub));
			assert_int_equal(event.port, 0);
			assert_int_equal(event.len, len - header);
			assert_memory_equal(event.message, frame + header, event.len);
			flow_expect_silence(flow);
		}
	}
	flow_destroy(flow);
}

static void parse_drops_handshakes_with_a_wrong_mac1(void **state)
{
	struct flow *flow = flow_create(NULL);
	uint8_t frame[FLOW_FRAME_MAX];

	(void)state;
	for (uint8_t type = 1; type <= 2; type++) {
		flow_rx(flow, 0, 0, frame, handshake_frame(frame, BASE_IP_V4, type, false));
		flow_turn(flow);
		FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_DROP_WG_MAC1, 1});
	}
	flow_expect_silence(flow);
	flow_expect_no_event(flow);
	flow_destroy(flow);
}

/* The hub changes its key: for a while messages to either are let in. */
static void parse_takes_handshakes_to_either_of_two_hub_keys(void **state)
{
	struct abi_cmd_hub hub = {.listen_port = FLOW_PORT, .tunnel_mtu = FLOW_TUN_MTU};
	struct flow *flow = flow_create(NULL);
	struct abi_event_handshake event;
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t len = handshake_frame(frame, BASE_IP_V4, 1, true);

	(void)state;
	memset(hub.public_keys[0], FLOW_PUBLIC_KEY + 1, WG_KEY_LEN);
	memset(hub.public_keys[1], FLOW_PUBLIC_KEY, WG_KEY_LEN);
	for (hub.n_keys = 1; hub.n_keys <= 2; hub.n_keys++) {
		FLOW_CMD(flow, 0, ABI_CMD_HUB, hub);
		flow_turn(flow);
		flow_reset(flow);
		flow_rx(flow, 0, 0, frame, len);
		flow_turn(flow);
		if (hub.n_keys == 1) {
			FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_DROP_WG_MAC1, 1});
			continue;
		}
		FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_TO_CONTROL, 1});
		flow_expect_event(flow, 0, ABI_EVENT_HANDSHAKE, &event, sizeof(event));
	}
	/* And the first one still, of course. */
	flow_public_key(hub.public_keys[0]);
	memset(hub.public_keys[1], FLOW_PUBLIC_KEY + 1, WG_KEY_LEN);
	hub.n_keys = 2;
	FLOW_CMD(flow, 0, ABI_CMD_HUB, hub);
	flow_rx(flow, 0, 0, frame, len);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_TO_CONTROL, 1});
	flow_expect_event(flow, 0, ABI_EVENT_HANDSHAKE, &event, sizeof(event));
	flow_expect_silence(flow);
	flow_destroy(flow);
}

static void expect_to_kernel(struct flow *flow, const uint8_t *frame, uint32_t len)
{
	uint8_t out[FLOW_FRAME_MAX];
	uint16_t port;

	flow_rx(flow, 0, 0, frame, len);
	flow_turn(flow);
	assert_int_equal(flow_to_kernel(flow, 0, &port, out), len);
	assert_int_equal(port, 0);
	assert_memory_equal(out, frame, len);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_TO_TAP, 1});
	flow_expect_silence(flow);
}

static void parse_leaves_everything_else_to_the_kernel_unchanged(void **state)
{
	struct flow *flow = flow_create(NULL);
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t len;

	(void)state;
	len = good_frame(frame, BASE_IP_V4);
	base_store_be16(frame + 12, 0x0806); /* ARP */
	expect_to_kernel(flow, frame, len);
	base_store_be16(frame + 12, 0x8100); /* VLAN */
	expect_to_kernel(flow, frame, len);
	for (uint32_t protocol = 0; protocol < 256; protocol++) {
		len = good_frame(frame, BASE_IP_V4);
		frame[IP + 9] = (uint8_t)protocol;
		flow_mend_sum(frame);
		if (protocol != 17)
			expect_to_kernel(flow, frame, len);
	}
	len = good_frame(frame, BASE_IP_V4);
	frame[IP + 19] = 2; /* another address */
	flow_mend_sum(frame);
	expect_to_kernel(flow, frame, len);
	len = good_frame(frame, BASE_IP_V4);
	frame[UDP + 3] ^= 1; /* another port */
	expect_to_kernel(flow, frame, len);
	len = good_frame(frame, BASE_IP_V4);
	frame[IP + 7] = 5; /* a later fragment */
	flow_mend_sum(frame);
	expect_to_kernel(flow, frame, len);
	len = good_frame(frame, BASE_IP_V6);
	frame[IP + 6] = 58; /* ICMPv6 */
	expect_to_kernel(flow, frame, len);
	frame[IP + 6] = 0; /* hop-by-hop options */
	expect_to_kernel(flow, frame, len);
	flow_destroy(flow);
}

static void parse_drops_ipv6_fragments_to_its_port(void **state)
{
	struct flow *flow = flow_create(NULL);
	uint8_t good[FLOW_FRAME_MAX];
	uint8_t frame[FLOW_FRAME_MAX] = {0};
	uint32_t len = good_frame(good, BASE_IP_V6);

	(void)state;
	memcpy(frame, good, IP + 40);
	memcpy(frame + IP + 48, good + IP + 40, len - IP - 40);
	base_store_be16(frame + IP + 4, (uint16_t)(base_load_be16(good + IP + 4) + 8));
	frame[IP + 6] = 44;
	frame[IP + 40] = 17;
	frame[IP + 43] = 1; /* offset 0, more to come */
	flow_rx(flow, 0, 0, frame, len + 8);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_DROP_OUTER_FRAGMENT, 1});
	frame[IP + 42] = 1; /* a later one: names no port */
	expect_to_kernel(flow, frame, len + 8);
	flow_destroy(flow);
}

static void parse_takes_ipv4_options_ethernet_padding_and_any_udp_checksum(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session to = flow_session(flow, 0, 2, 2, BASE_IP_V4);
	uint8_t inner[FLOW_FRAME_MAX];
	uint8_t message[FLOW_FRAME_MAX];
	uint8_t good[FLOW_FRAME_MAX];
	uint8_t frame[FLOW_FRAME_MAX] = {0};
	uint32_t inner_len = flow_inner_between(inner, 1, 2, BASE_IP_V4, 33);
	uint32_t len = flow_seal(&from, message, inner, inner_len);

	(void)state;
	len = flow_frame_to_hub(good, &from.endpoint, message, len);
	memcpy(frame, good, IP + 20);
	memset(frame + IP + 20, 1, 8); /* no-operation options */
	memcpy(frame + IP + 28, good + IP + 20, len - IP - 20);
	frame[IP] = 0x47;
	base_store_be16(frame + IP + 2, (uint16_t)(base_load_be16(good + IP + 2) + 8));
	flow_mend_sum(frame);
	base_store_be16(frame + IP + 28 + 6, 0xbeef);
	flow_reset(flow);
	flow_rx(flow, 0, 0, frame, len + 8 + 11);
	flow_turn(flow);
	flow_hop(inner);
	flow_expect_data(flow, &to, 0, inner, inner_len);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
	            {ABI_COUNTER_FORWARDED, 1}, {ABI_COUNTER_SEALED, 1}, {ABI_COUNTER_TX_WAN, 1});
	flow_expect_no_event(flow); /* in particular the endpoint did not move */
	flow_destroy(flow);
}

static void parse_before_the_hub_is_known_everything_is_the_kernels(void **state)
{
	struct flow *flow = flow_create(&(struct flow_options){.no_hub = true});
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t len = good_frame(frame, BASE_IP_V4);

	(void)state;
	expect_to_kernel(flow, frame, len);
	flow_destroy(flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_drops_bent_frames_each_under_its_name),
		cmocka_unit_test(parse_drops_source_port_zero),
		cmocka_unit_test(parse_lets_no_flipped_bit_of_the_ipv4_header_pass),
		cmocka_unit_test(parse_drops_what_the_port_found_wrong),
		cmocka_unit_test(parse_drops_chained_frames),
		cmocka_unit_test(parse_drops_every_wrong_length),
		cmocka_unit_test(parse_gives_handshakes_to_control_with_their_addresses),
		cmocka_unit_test(parse_drops_handshakes_with_a_wrong_mac1),
		cmocka_unit_test(parse_takes_handshakes_to_either_of_two_hub_keys),
		cmocka_unit_test(parse_leaves_everything_else_to_the_kernel_unchanged),
		cmocka_unit_test(parse_drops_ipv6_fragments_to_its_port),
		cmocka_unit_test(parse_takes_ipv4_options_ethernet_padding_and_any_udp_checksum),
		cmocka_unit_test(parse_before_the_hub_is_known_everything_is_the_kernels),
	};

	return cmocka_run_group_tests_name("parse", tests, flow_start, NULL);
}
