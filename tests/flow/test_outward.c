/* out_parse, out_route, out_seal, out_wrap, inject and punt: from the kernel and from control to the
 * wire, and every reason why not. */
#include "base_bytes.h"
#include "flow.h"

#include <string.h>

static uint32_t from_hub(uint8_t *inner, uint32_t peer, uint8_t family, uint32_t n_payload)
{
	struct base_ip source = flow_ip(family == BASE_IP_V4 ? "10.0.0.1" : "fd00::1");
	struct base_ip destination = flow_inner_ip(peer, family);

	return flow_inner(inner, &source, &destination, 64, n_payload);
}

static void send_to(struct flow *flow, uint32_t peer, uint32_t n_payload)
{
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = from_hub(inner, peer, BASE_IP_V4, n_payload);

	flow_from_kernel(flow, 0, PORT_LINK_TUN, inner, len);
	flow_turn(flow);
}

static void packets_of_the_kernel_reach_the_peer_padded_to_16(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session to = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	uint8_t inner[FLOW_FRAME_MAX];

	(void)state;
	flow_reset(flow);
	for (uint32_t i = 0; i < 40; i++) {
		/* Up to the tunnel's MTU, which is no multiple of 16. */
		uint32_t n_payload = i < 20 ? i : FLOW_TUN_MTU - 28 - (39 - i);
		uint32_t len = from_hub(inner, 1, BASE_IP_V4, n_payload);

		flow_from_kernel(flow, 0, PORT_LINK_TUN, inner, len);
		flow_turn(flow);
		flow_expect_data(flow, &to, i, inner, len);
	}
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 40}, {ABI_COUNTER_SEALED, 40},
	            {ABI_COUNTER_TX_WAN, 40});
	flow_destroy(flow);
}

static void packets_for_the_hub_reach_the_tun_unpadded(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V6);
	struct base_ip hub[2] = {flow_ip("10.0.0.1"), flow_ip("fd00::1")};
	uint8_t inner[FLOW_FRAME_MAX];
	uint8_t out[FLOW_FRAME_MAX];
	uint16_t port;

	(void)state;
	flow_reset(flow);
	for (uint32_t i = 0; i < 2; i++) {
		struct base_ip source = flow_inner_ip(1, hub[i].family);
		uint32_t len = flow_inner(inner, &source, &hub[i], 1, 33);

		flow_rx_data(flow, &from, inner, len);
		flow_turn(flow);
		assert_int_equal(flow_to_kernel(flow, 0, &port, out), len);
		assert_int_equal(port, PORT_LINK_TUN);
		assert_memory_equal(out, inner, len); /* its hop limit is the kernel's to look at */
		FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
		            {ABI_COUNTER_TO_TUN, 1});
	}
	flow_destroy(flow);
}

static void bad_packets_of_the_kernel_are_dropped(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct rte_mbuf *mbuf;
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = from_hub(inner, 1, BASE_IP_V4, 64);

	(void)state;
	flow_session(flow, 0, 1, 1, BASE_IP_V4);
	flow_reset(flow);
	flow_from_kernel(flow, 0, PORT_LINK_TUN, inner, 0);
	flow_from_kernel(flow, 0, PORT_LINK_TUN, inner, 19);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 2}, {ABI_COUNTER_DROP_INNER_HEADER, 2});
	flow_from_kernel(flow, 0, PORT_LINK_TUN, inner, len - 1);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_DROP_INNER_LENGTH, 1});
	mbuf = flow_mbuf(inner, 40);
	assert_int_equal(rte_pktmbuf_chain(mbuf, flow_mbuf(inner + 40, len - 40)), 0);
	mbuf->port = PORT_LINK_TUN;
	assert_int_equal(rte_ring_enqueue(flow->link[0].from_kernel, mbuf), 0);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_DROP_FRAME_CHAINED, 1});
	flow_destroy(flow);
}

static void no_route(void **state)
{
	struct flow *flow = flow_create(NULL);

	(void)state;
	send_to(flow, 20, 64); /* 10.0.0.120 is nobody's */
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_DROP_NO_ROUTE, 1});
	flow_expect_no_event(flow);
	flow_destroy(flow);
}

static void no_session_asks_for_one_once_a_second(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct abi_event_session event;

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		send_to(flow, 3, 64);
		FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_TO_WAIT, 1});
	}
	flow_expect_event(flow, 0, ABI_EVENT_SESSION_WANTED, &event, sizeof(event));
	assert_int_equal(event.peer, 3);
	assert_int_equal(event.index, ABI_INDEX_NONE);
	flow_expect_no_event(flow);
	flow_pass(flow, FLOW_S);
	send_to(flow, 3, 64);
	flow_expect_event(flow, 0, ABI_EVENT_SESSION_WANTED, &event, sizeof(event));
	flow_destroy(flow);
}

static void no_endpoint(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session to = flow_session_make(0, 1, 1, BASE_IP_V4);
	struct base_endpoint home = to.endpoint;
	struct abi_cmd_endpoint cmd = {.index = to.index, .port = UINT32_MAX, .remote = home};
	uint8_t inner[FLOW_FRAME_MAX];

	(void)state;
	to.endpoint = (struct base_endpoint){0};
	FLOW_CMD(flow, 0, ABI_CMD_SESSION_INSTALL,
	         (struct abi_cmd_session_install){.index = to.index,
	                                          .peer = 1,
	                                          .role = ABI_ROLE_INITIATOR,
	                                          .birth_ns = flow->now_ns,
	                                          .port = UINT32_MAX});
	flow_turn(flow);
	flow_reset(flow);
	send_to(flow, 1, 64);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_SEALED, 1},
	            {ABI_COUNTER_DROP_NO_ENDPOINT, 1});
	FLOW_CMD(flow, 0, ABI_CMD_ENDPOINT_SET, cmd);
	flow_turn(flow);
	send_to(flow, 1, 64);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_SEALED, 1},
	            {ABI_COUNTER_TX_WAN, 1});
	assert_true(flow_tx(flow, 0, 0, inner) > 0);
	assert_memory_equal(inner + 14 + 16, home.ip.bytes, 4);
	flow_destroy(flow);
}

static void no_wan_route(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct abi_cmd_wan_route route = {.gateway = flow_ip("192.0.2.254")};

	(void)state;
	flow_session(flow, 0, 1, 1, BASE_IP_V4);
	assert_int_equal(base_prefix_parse("0.0.0.0/0", &route.prefix), 0);
	send_to(flow, 1, 64); /* with a template made before the route went */
	flow_reset(flow);
	FLOW_CMD(flow, 0, ABI_CMD_WAN_ROUTE_DROP, route);
	flow_turn(flow);
	send_to(flow, 1, 64);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_SEALED, 1},
	            {ABI_COUNTER_DROP_NO_WAN_ROUTE, 1});
	flow_destroy(flow);
}

static void no_neighbour_asks_for_it_once_a_second(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session to = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct abi_cmd_neighbour gateway = {.ip = flow_ip("192.0.2.254"),
	                                    .mac = {0x02, 0xfe, 0, 0, 0, 1}};
	struct abi_event_neighbour event;
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = from_hub(inner, 1, BASE_IP_V4, 64);

	(void)state;
	FLOW_CMD(flow, 0, ABI_CMD_NEIGHBOUR_DROP, gateway);
	flow_turn(flow);
	flow_reset(flow);
	send_to(flow, 1, 64);
	send_to(flow, 1, 64);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 2}, {ABI_COUNTER_SEALED, 2},
	            {ABI_COUNTER_DROP_NO_NEIGHBOUR, 2});
	flow_expect_event(flow, 0, ABI_EVENT_NEIGHBOUR_WANTED, &event, sizeof(event));
	assert_true(base_ip_equal(&event.ip, &gateway.ip));
	assert_int_equal(event.port, 0);
	flow_expect_no_event(flow);
	FLOW_CMD(flow, 0, ABI_CMD_NEIGHBOUR_PUT, gateway);
	flow_turn(flow);
	send_to(flow, 1, 64);
	flow_expect_data(flow, &to, 2, inner, len);
	flow_destroy(flow);
}

static void a_changed_neighbour_is_used_at_once(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct abi_cmd_neighbour gateway = {.ip = flow_ip("192.0.2.254"),
	                                    .mac = {0x02, 0xfe, 0, 0, 0, 9}};
	uint8_t frame[FLOW_FRAME_MAX];

	(void)state;
	flow_session(flow, 0, 1, 1, BASE_IP_V4);
	send_to(flow, 1, 64);
	flow_tx(flow, 0, 0, frame);
	assert_int_equal(frame[5], 1);
	FLOW_CMD(flow, 0, ABI_CMD_NEIGHBOUR_PUT, gateway);
	flow_turn(flow);
	send_to(flow, 1, 64);
	flow_tx(flow, 0, 0, frame);
	assert_int_equal(frame[5], 9);
	flow_destroy(flow);
}

static void too_big_for_the_port_is_dropped(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session to = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t fits = FLOW_MTU - 60; /* IP 20, UDP 8, WireGuard 16, tag 16 */
	uint32_t len = from_hub(inner, 1, BASE_IP_V4, fits - 28);

	(void)state;
	flow_reset(flow);
	flow_from_kernel(flow, 0, PORT_LINK_TUN, inner, len);
	flow_turn(flow);
	flow_expect_data(flow, &to, 0, inner, len);
	flow_reset(flow);
	send_to(flow, 1, fits - 28 + 1);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_SEALED, 1},
	            {ABI_COUNTER_DROP_TOO_BIG, 1});
	/* Nor where tag and padding find no room in the buffer. */
	send_to(flow, 1, FLOW_FRAME_MAX - 28 - 2);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_DROP_TOO_BIG, 1});
	flow_destroy(flow);
}

/* The traffic class outside of a packet with this one inside; families of both as given. */
static uint8_t class_outside(struct flow *flow, uint8_t outer, uint8_t family, uint8_t inside)
{
	uint8_t inner[FLOW_FRAME_MAX];
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t len = from_hub(inner, outer == BASE_IP_V4 ? 1 : 2, family, 64);

	if (family == BASE_IP_V4)
		inner[1] = inside;
	else
		base_store_be16(inner, (uint16_t)(0x6000 | inside << 4 | 5)); /* and a flow label */
	flow_from_kernel(flow, 0, PORT_LINK_TUN, inner, len);
	flow_turn(flow);
	assert_true(flow_tx(flow, 0, 0, frame) > 0);
	memcpy(inner, frame, sizeof(inner));
	if (outer == BASE_IP_V4)
		flow_mend_sum(inner);
	assert_memory_equal(inner, frame, 42); /* the sum was right */
	if (outer == BASE_IP_V4)
		return frame[15];
	assert_int_equal(frame[14] >> 4, 6);
	assert_int_equal(frame[15] & 15, 0); /* flow label */
	return (uint8_t)(base_load_be16(frame + 14) >> 4);
}

/* The table of RFC 6040 4.1 for each DSCP policy, inside and outside of both families. */
static void class_inside_is_told_outside_as_configured(void **state)
{
	static const struct {
		bool copies;
		uint8_t dscp;
	} policies[] = {{false, 0}, {true, 0}, {false, 46}};
	struct flow *flow = flow_create(NULL);

	(void)state;
	flow_session(flow, 0, 1, 1, BASE_IP_V4);
	flow_session(flow, 0, 2, 2, BASE_IP_V6);
	for (uint32_t i = 0; i < BASE_ARRAY_LEN(policies) * 16; i++) {
		bool copies = policies[i / 16].copies;
		uint8_t dscp = policies[i / 16].dscp;
		uint8_t ecn = i % 4;
		struct abi_cmd_hub hub = {.listen_port = FLOW_PORT,
		                          .tunnel_mtu = FLOW_TUN_MTU,
		                          .copy_dscp = copies,
		                          .dscp = dscp};

		FLOW_CMD(flow, 0, ABI_CMD_HUB, hub);
		flow_turn(flow);
		assert_int_equal(class_outside(flow, i & 4 ? BASE_IP_V6 : BASE_IP_V4,
		                               i & 8 ? BASE_IP_V6 : BASE_IP_V4,
		                               (uint8_t)(0xb4 | ecn)),
		                 (copies ? 0xb4 : dscp << 2) | ecn);
	}
	flow_destroy(flow);
}

static void frames_of_the_kernel_go_to_their_port(void **state)
{
	struct flow *flow = flow_create(&(struct flow_options){.n_ports = 2});
	uint8_t frame[FLOW_FRAME_MAX];
	uint8_t out[FLOW_FRAME_MAX];

	(void)state;
	memset(frame, 0x5a, sizeof(frame));
	for (uint16_t i = 0; i < 6; i++)
		flow_from_kernel(flow, 0, i % 2, frame, 60U + i);
	flow_turn(flow);
	for (uint32_t i = 0; i < 6; i++) {
		assert_int_equal(flow_tx(flow, 0, i % 2, out), 60 + i);
		assert_memory_equal(out, frame, 60 + i);
	}
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TAP, 6}, {ABI_COUNTER_TX_WAN, 6});
	flow_from_kernel(flow, 0, 2, frame, 60); /* a port that is not there */
	flow_from_kernel(flow, 0, 0, frame, 13);
	flow_from_kernel(flow, 0, 0, frame, FLOW_MTU + 15);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TAP, 3}, {ABI_COUNTER_DROP_STRAY, 2},
	            {ABI_COUNTER_DROP_TOO_BIG, 1});
	flow_expect_silence(flow);
	flow_destroy(flow);
}

static struct abi_cmd_inject inject_to(const char *endpoint, uint8_t type, uint16_t len)
{
	struct abi_cmd_inject inject = {
		.remote = flow_endpoint(endpoint), .port = UINT32_MAX, .len = len};

	inject.message[0] = type;
	for (uint32_t i = 4; i < len; i++)
		inject.message[i] = (uint8_t)(i * 3);
	return inject;
}

static void handshakes_of_control_are_sent(void **state)
{
	static const char *const remotes[] = {"198.51.100.9:999", "[2001:db8:9::9]:999"};
	struct flow *flow = flow_create(NULL);
	uint8_t expected[FLOW_FRAME_MAX];
	uint8_t frame[FLOW_FRAME_MAX];

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		struct abi_cmd_inject inject = inject_to(remotes[i], 1, WG_INITIATION_LEN);
		uint32_t len;

		FLOW_CMD(flow, 0, ABI_CMD_INJECT, inject);
		flow_turn(flow);
		len = flow_tx(flow, 0, 0, frame);
		/* An IPv4 datagram's id is random. */
		assert_int_equal(len, flow_frame_from_hub(expected, &inject.remote,
		                                          base_load_be16(frame + 18),
		                                          inject.message, inject.len));
		/* DSCP AF41, whatever that of data is */
		if (i == 0) {
			expected[15] = 34 << 2;
			flow_mend_sum(expected);
		} else {
			base_store_be16(expected + 14, 0x6000 | 34 << 6);
		}
		assert_memory_equal(frame, expected, len);
		FLOW_EXPECT(flow, {ABI_COUNTER_RX_INJECT, 1}, {ABI_COUNTER_TX_WAN, 1});
	}
	flow_destroy(flow);
}

static void a_udp_checksum_of_zero_is_sent_as_ones_over_ipv6(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct abi_cmd_inject inject = inject_to("[2001:db8:9::9]:999", 1, WG_INITIATION_LEN);
	uint8_t frame[FLOW_FRAME_MAX];

	(void)state;
	memset(inject.message + 10, 0, 2);
	FLOW_CMD(flow, 0, ABI_CMD_INJECT, inject);
	flow_turn(flow);
	assert_true(flow_tx(flow, 0, 0, frame) > 0);
	/* With the checksum as a word of the message the sum is complete. */
	memcpy(inject.message + 10, frame + 14 + 40 + 6, 2);
	FLOW_CMD(flow, 0, ABI_CMD_INJECT, inject);
	flow_turn(flow);
	assert_true(flow_tx(flow, 0, 0, frame) > 0);
	assert_int_equal(base_load_be16(frame + 14 + 40 + 6), 0xffff);
	flow_destroy(flow);
}

/* flow_tx() does what such a port does, and what comes out is as without it. IPv4 has no checksum,
 * handshakes get theirs from us. */
static void a_port_completes_udp_checksums_over_ipv6_if_it_can(void **state)
{
	struct abi_cmd_inject inject = inject_to("[2001:db8:9::9]:999", 1, WG_INITIATION_LEN);
	uint8_t inner[FLOW_FRAME_MAX];
	uint8_t frame[FLOW_FRAME_MAX];

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		struct flow *flow = flow_create(&(struct flow_options){.sums_udp = i == 1});
		struct flow_session v6 = flow_session(flow, 0, 2, 2, BASE_IP_V6);

		flow_session(flow, 0, 1, 1, BASE_IP_V4);
		for (uint32_t n_payload = 0; n_payload < 300; n_payload++) {
			uint32_t len = from_hub(inner, 2, BASE_IP_V6, n_payload);

			flow_from_kernel(flow, 0, PORT_LINK_TUN, inner, len);
			flow_turn(flow);
			flow_expect_data(flow, &v6, n_payload, inner, len);
			assert_int_equal(flow->n_summed, i * (n_payload + 1));
		}
		flow_from_kernel(flow, 0, PORT_LINK_TUN, inner, from_hub(inner, 1, BASE_IP_V4, 64));
		FLOW_CMD(flow, 0, ABI_CMD_INJECT, inject);
		flow_turn(flow);
		assert_true(flow_tx(flow, 0, 0, frame) > 0);
		assert_true(flow_tx(flow, 0, 0, frame) > 0);
		assert_int_equal(flow->n_summed, i * 300);
		flow_destroy(flow);
	}
}

/* Neighbours 192.0.2.2 .. 192.0.2.251, put and dropped at random, against a plain array. */
static void neighbours_come_and_go_without_losing_others(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct abi_cmd_inject inject = inject_to("192.0.2.2:777", 3, WG_COOKIE_LEN);
	struct abi_cmd_neighbour neighbour = {.ip = flow_ip("192.0.2.2"), .mac = {2}};
	struct abi_cmd_wan_route on_link = {.port = 0};
	uint8_t macs[252] = {0}; /* last byte of the MAC, 0 = no entry */
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t random = 1;

	(void)state;
	assert_int_equal(base_prefix_parse("192.0.2.0/24", &on_link.prefix), 0);
	FLOW_CMD(flow, 0, ABI_CMD_WAN_ROUTE_PUT, on_link);
	for (uint32_t i = 0; i < 4000; i++) {
		uint32_t host = 2 + (random = random * 1103515245 + 12345) / 65536 % 250;
		bool put = random / 256 % 3 != 0;

		macs[host] = put ? (uint8_t)(i % 255 + 1) : 0;
		neighbour.ip.bytes[3] = (uint8_t)host;
		neighbour.mac[5] = macs[host];
		if (put)
			FLOW_CMD(flow, 0, ABI_CMD_NEIGHBOUR_PUT, neighbour);
		else
			FLOW_CMD(flow, 0, ABI_CMD_NEIGHBOUR_DROP, neighbour);
		flow_turn(flow);
	}
	for (uint32_t host = 2; host < 252; host++) {
		inject.remote.ip.bytes[3] = (uint8_t)host;
		FLOW_CMD(flow, 0, ABI_CMD_INJECT, inject);
		flow_turn(flow);
		if (macs[host] == 0) {
			flow_expect_silence(flow);
			continue;
		}
		assert_int_equal(flow_tx(flow, 0, 0, frame), 42 + WG_COOKIE_LEN);
		assert_int_equal(frame[5], macs[host]);
	}
	flow_destroy(flow);
}

static void handshakes_wait_for_the_neighbour_but_not_for_ever(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct abi_cmd_inject inject = inject_to("192.0.2.77:777", 2, WG_RESPONSE_LEN);
	struct abi_cmd_wan_route on_link = {.port = 0};
	struct abi_cmd_neighbour neighbour = {.ip = flow_ip("192.0.2.77"), .mac = {2, 7, 7, 7}};
	struct abi_event_neighbour event;
	uint8_t frame[FLOW_FRAME_MAX];

	(void)state;
	assert_int_equal(base_prefix_parse("192.0.2.0/24", &on_link.prefix), 0);
	FLOW_CMD(flow, 0, ABI_CMD_WAN_ROUTE_PUT, on_link);
	FLOW_CMD(flow, 0, ABI_CMD_INJECT, inject);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_INJECT, 0});
	flow_expect_event(flow, 0, ABI_EVENT_NEIGHBOUR_WANTED, &event, sizeof(event));
	assert_true(base_ip_equal(&event.ip, &neighbour.ip));
	flow_pass(flow, 100 * FLOW_MS);
	flow_expect_silence(flow);
	FLOW_CMD(flow, 0, ABI_CMD_NEIGHBOUR_PUT, neighbour);
	flow_turn(flow);
	assert_int_equal(flow_tx(flow, 0, 0, frame), 42 + WG_RESPONSE_LEN);
	assert_memory_equal(frame, neighbour.mac, 6);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_INJECT, 1}, {ABI_COUNTER_TX_WAN, 1});
	/* Nobody answers for this one; and one more than there are places finds none to wait. */
	inject.remote = flow_endpoint("192.0.2.78:777");
	for (uint32_t i = 0; i < STATE_HELD_MAX + 1; i++) {
		FLOW_CMD(flow, 0, ABI_CMD_INJECT, inject);
		if (i % 16 == 0)
			flow_turn(flow);
	}
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_INJECT, 1}, {ABI_COUNTER_DROP_NO_NEIGHBOUR, 1});
	flow_pass(flow, 2 * FLOW_S + 1);
	flow_expect_silence(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_INJECT, STATE_HELD_MAX},
	            {ABI_COUNTER_DROP_NO_NEIGHBOUR, STATE_HELD_MAX});
	flow_destroy(flow);
}

static void handshakes_without_a_route_are_dropped(void **state)
{
	struct flow *flow = flow_create(&(struct flow_options){.no_hub = true});
	struct abi_cmd_inject inject = inject_to("198.51.100.9:999", 1, WG_INITIATION_LEN);

	(void)state;
	FLOW_CMD(flow, 0, ABI_CMD_INJECT, inject);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_INJECT, 1}, {ABI_COUNTER_DROP_NO_WAN_ROUTE, 1});
	flow_destroy(flow);
}

static void answers_leave_by_the_port_they_came_in(void **state)
{
	struct flow *flow = flow_create(&(struct flow_options){.n_ports = 2});
	struct abi_cmd_wan_route route = {.gateway = flow_ip("203.0.113.254"), .port = 1};
	struct abi_cmd_neighbour neighbour = {
		.ip = flow_ip("203.0.113.254"), .port = 1, .mac = {2, 3, 3, 3, 3, 3}};
	struct abi_cmd_address address = {.ip = flow_ip("203.0.113.1"), .port = 1, .present = 1};
	struct abi_cmd_inject inject = inject_to("198.51.100.9:999", 2, WG_RESPONSE_LEN);
	uint8_t frame[FLOW_FRAME_MAX];

	(void)state;
	assert_int_equal(base_prefix_parse("0.0.0.0/0", &route.prefix), 0);
	FLOW_CMD(flow, 0, ABI_CMD_WAN_ROUTE_PUT, route);
	FLOW_CMD(flow, 0, ABI_CMD_NEIGHBOUR_PUT, neighbour);
	FLOW_CMD(flow, 0, ABI_CMD_ADDRESS, address);
	inject.port = 1;
	inject.local = address.ip;
	FLOW_CMD(flow, 0, ABI_CMD_INJECT, inject);
	flow_turn(flow);
	assert_int_equal(flow_tx(flow, 0, 0, frame), 0);
	assert_int_equal(flow_tx(flow, 0, 1, frame), 42 + WG_RESPONSE_LEN);
	assert_memory_equal(frame, neighbour.mac, 6);
	assert_memory_equal(frame + 14 + 12, address.ip.bytes, 4);
	flow_destroy(flow);
}

/* ---- limits ---- */

static void arp(uint8_t *frame)
{
	memset(frame, 0, 60);
	base_store_be16(frame + 12, 0x0806);
}

static void a_full_ring_to_the_kernel_drops_by_kind(void **state)
{
	struct flow *flow = flow_create(&(struct flow_options){.link_ring_len = 8});
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct base_ip source = flow_inner_ip(1, BASE_IP_V4);
	struct base_ip hub = flow_ip("10.0.0.1");
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t len = flow_inner(frame, &source, &hub, 64, 64);

	(void)state;
	flow_reset(flow);
	for (uint32_t i = 0; i < 9; i++)
		flow_rx_data(flow, &from, frame, len);
	arp(frame);
	flow_rx(flow, 0, 0, frame, 60);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 10}, {ABI_COUNTER_OPENED, 9},
	            {ABI_COUNTER_TO_TAP, 1}, {ABI_COUNTER_TO_TUN, 6},
	            {ABI_COUNTER_DROP_TUN_RING_FULL, 3});
	flow_rx(flow, 0, 0, frame, 60);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_DROP_TAP_RING_FULL, 1});
	flow_destroy(flow);
}

static void wan_traffic_to_the_kernel_is_limited(void **state)
{
	struct flow *flow = flow_create(NULL);
	uint8_t frame[FLOW_FRAME_MAX];
	uint8_t out[FLOW_FRAME_MAX];
	uint32_t n = 0;

	(void)state;
	arp(frame);
	for (uint32_t i = 0; i < 10; i++) {
		for (uint32_t j = 0; j < 500; j++)
			flow_rx(flow, 0, 0, frame, 60);
		flow_turn(flow);
		while (flow_to_kernel(flow, 0, NULL, out) > 0)
			n++;
	}
	assert_int_equal(n, 4000);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 5000}, {ABI_COUNTER_TO_TAP, 4000},
	            {ABI_COUNTER_DROP_TAP_LIMIT, 1000});
	flow->now_ns += FLOW_MS;
	flow_rx(flow, 0, 0, frame, 60);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_TO_TAP, 1});
	flow_destroy(flow);
}

static void without_a_kernel_side_its_packets_are_dropped(void **state)
{
	struct flow *flow = flow_create(&(struct flow_options){.no_link = true});
	uint8_t frame[FLOW_FRAME_MAX];

	(void)state;
	arp(frame);
	flow_rx(flow, 0, 0, frame, 60);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_DROP_TAP_RING_FULL, 1});
	flow_destroy(flow);
}

static void a_full_port_drops(void **state)
{
	struct flow *flow = flow_create(NULL);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = from_hub(inner, 1, BASE_IP_V4, 64);

	(void)state;
	flow_session(flow, 0, 1, 1, BASE_IP_V4);
	flow_reset(flow);
	for (uint32_t i = 0; i < 1030; i++) {
		flow_from_kernel(flow, 0, PORT_LINK_TUN, inner, len);
		if (i % 500 == 499)
			flow_turn(flow);
	}
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 1030}, {ABI_COUNTER_SEALED, 1030},
	            {ABI_COUNTER_TX_WAN, 1023}, {ABI_COUNTER_DROP_TX_FULL, 7});
	flow_destroy(flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_of_the_kernel_reach_the_peer_padded_to_16),
		cmocka_unit_test(packets_for_the_hub_reach_the_tun_unpadded),
		cmocka_unit_test(bad_packets_of_the_kernel_are_dropped),
		cmocka_unit_test(no_route),
		cmocka_unit_test(no_session_asks_for_one_once_a_second),
		cmocka_unit_test(no_endpoint),
		cmocka_unit_test(no_wan_route),
		cmocka_unit_test(no_neighbour_asks_for_it_once_a_second),
		cmocka_unit_test(a_changed_neighbour_is_used_at_once),
		cmocka_unit_test(too_big_for_the_port_is_dropped),
		cmocka_unit_test(class_inside_is_told_outside_as_configured),
		cmocka_unit_test(frames_of_the_kernel_go_to_their_port),
		cmocka_unit_test(handshakes_of_control_are_sent),
		cmocka_unit_test(a_udp_checksum_of_zero_is_sent_as_ones_over_ipv6),
		cmocka_unit_test(a_port_completes_udp_checksums_over_ipv6_if_it_can),
		cmocka_unit_test(neighbours_come_and_go_without_losing_others),
		cmocka_unit_test(handshakes_wait_for_the_neighbour_but_not_for_ever),
		cmocka_unit_test(handshakes_without_a_route_are_dropped),
		cmocka_unit_test(answers_leave_by_the_port_they_came_in),
		cmocka_unit_test(a_full_ring_to_the_kernel_drops_by_kind),
		cmocka_unit_test(wan_traffic_to_the_kernel_is_limited),
		cmocka_unit_test(without_a_kernel_side_its_packets_are_dropped),
		cmocka_unit_test(a_full_port_drops),
	};

	return cmocka_run_group_tests_name("outward", tests, flow_start, NULL);
}
