/* What becomes of inner packets that do not fit (path/too_big.c), of TCP that opens (path/clamp_mss.c), of fragments,
 * of large frames, and of endpoints that would send the hub's own packets back to it. */
#include "base_bytes.h"
#include "flow.h"

#include <string.h>

#define ERROR_MAX 1280U

struct pair {
	struct flow *flow;
	struct flow_session from; /* peer 1 */
	struct flow_session to;   /* peer 2 */
};

static struct pair pair_create(const struct flow_options *options, uint32_t to_worker)
{
	struct pair pair = {.flow = flow_create(options)};

	pair.from = flow_session(pair.flow, 0, 1, 1, BASE_IP_V4);
	pair.to = flow_session(pair.flow, to_worker, 2, 2, BASE_IP_V4);
	flow_reset(pair.flow);
	return pair;
}

static void set_hub(struct flow *flow, uint16_t mtu, bool clamps)
{
	struct abi_cmd_hub hub = {.listen_port = FLOW_PORT, .tunnel_mtu = mtu, .clamp_mss = clamps};

	FLOW_CMD_ALL(flow, ABI_CMD_HUB, hub);
	flow_turn(flow);
	flow_reset(flow);
}

/* ---- sums, done here anew ---- */

static uint16_t sum_of(const uint8_t *bytes, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i < len; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void put_sum_v4(uint8_t *ip)
{
	base_store_be16(ip + 10, 0);
	base_store_be16(ip + 10, (uint16_t)~sum_of(ip, 20, 0));
}

/* Of what is behind the IP header, with its pseudo-header; 0xffff when it is right. */
static uint16_t upper_sum(const uint8_t *ip, uint32_t len, uint8_t proto)
{
	uint32_t header_len = ip[0] >> 4 == 4 ? 20 : 40;
	uint32_t pseudo = sum_of(ip + (header_len == 20 ? 12 : 8), header_len == 20 ? 8 : 32, 0);

	return sum_of(ip + header_len, len - header_len, pseudo + proto + len - header_len);
}

/* ---- too big --------------------------------------------------------------------------------------- */

/* A UDP packet of peer 1 to peer 2 of this length, with these bits for fragments. */
static uint32_t packet_of(uint8_t *inner, uint8_t family, uint32_t len, uint16_t fragment)
{
	uint32_t n = flow_inner_between(inner, 1, 2, family,
	                                len - (family == BASE_IP_V4 ? 28 : 48));

	assert_int_equal(n, len);
	if (family == BASE_IP_V4) {
		base_store_be16(inner + 4, 0x1234);
		base_store_be16(inner + 6, fragment);
		put_sum_v4(inner);
	}
	return len;
}

static void expect_error_v4(struct pair *pair, uint64_t counter, const uint8_t *inner)
{
	uint8_t error[ERROR_MAX] = {0x45, [8] = 64, [9] = 1, [20] = 3, [21] = 4};
	uint32_t len = 576;
	struct base_ip hub = flow_ip("10.0.0.1");

	base_store_be16(error + 2, (uint16_t)len);
	base_store_be16(error + 6, 0x4000);
	memcpy(error + 12, hub.bytes, 4);
	memcpy(error + 16, inner + 12, 4);
	put_sum_v4(error);
	base_store_be16(error + 26, FLOW_TUN_MTU);
	memcpy(error + 28, inner, len - 28);
	base_store_be16(error + 22, (uint16_t)~sum_of(error + 20, len - 20, 0));
	flow_expect_data(pair->flow, &pair->from, counter, error, len);
}

static void expect_error_v6(struct pair *pair, uint64_t counter, const uint8_t *inner)
{
	uint8_t error[ERROR_MAX] = {0x60, [6] = 58, [7] = 64, [40] = 2};
	uint32_t len = 1280;
	struct base_ip hub = flow_ip("fd00::1");

	base_store_be16(error + 4, (uint16_t)(len - 40));
	memcpy(error + 8, hub.bytes, 16);
	memcpy(error + 24, inner + 8, 16);
	base_store_be32(error + 44, FLOW_TUN_MTU);
	memcpy(error + 48, inner, len - 48);
	base_store_be16(error + 42, (uint16_t)~upper_sum(error, len, 58));
	flow_expect_data(pair->flow, &pair->from, counter, error, len);
}

static void sender_of_what_is_too_big_is_told(void **state)
{
	struct pair pair = pair_create(NULL, 0);
	uint8_t inner[FLOW_FRAME_MAX];

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		uint8_t family = i ? BASE_IP_V6 : BASE_IP_V4;
		uint32_t len = packet_of(inner, family, FLOW_TUN_MTU, 0x4000);

		flow_rx_data(pair.flow, &pair.from, inner, len);
		flow_turn(pair.flow);
		flow_hop(inner);
		flow_expect_data(pair.flow, &pair.to, i, inner, len);
		flow_reset(pair.flow);
		len = packet_of(inner, family, FLOW_TUN_MTU + 1, 0x4000);
		flow_rx_data(pair.flow, &pair.from, inner, len);
		flow_turn(pair.flow);
		flow_hop(inner);
		if (family == BASE_IP_V4)
			expect_error_v4(&pair, i, inner);
		else
			expect_error_v6(&pair, i, inner);
		flow_expect_silence(pair.flow);
		FLOW_EXPECT(pair.flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
		            {ABI_COUNTER_DROP_TUNNEL_MTU, 1}, {ABI_COUNTER_RX_INJECT, 1},
		            {ABI_COUNTER_ICMP_TOO_BIG, 1}, {ABI_COUNTER_SEALED, 1},
		            {ABI_COUNTER_TX_WAN, 1});
	}
	flow_destroy(pair.flow);
}

static void sender_is_told_ten_times_a_second(void **state)
{
	struct pair pair = pair_create(NULL, 0);
	struct flow_session other = flow_session(pair.flow, 0, 3, 3, BASE_IP_V4);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = packet_of(inner, BASE_IP_V4, FLOW_TUN_MTU + 1, 0x4000);

	(void)state;
	flow_reset(pair.flow);
	for (uint32_t i = 0; i < 30; i++)
		flow_rx_data(pair.flow, &pair.from, inner, len);
	flow_turn(pair.flow);
	FLOW_EXPECT(pair.flow, {ABI_COUNTER_RX_WAN, 30}, {ABI_COUNTER_OPENED, 30},
	            {ABI_COUNTER_DROP_TUNNEL_MTU, 30}, {ABI_COUNTER_RX_INJECT, 10},
	            {ABI_COUNTER_ICMP_TOO_BIG, 10}, {ABI_COUNTER_SEALED, 10},
	            {ABI_COUNTER_TX_WAN, 10});
	len = flow_inner_between(inner, 3, 2, BASE_IP_V6, FLOW_TUN_MTU);
	flow_rx_data(pair.flow, &other, inner, len); /* another's are another's */
	flow_turn(pair.flow);
	assert_int_equal(flow_counter(pair.flow, ABI_COUNTER_ICMP_TOO_BIG), 11);
	flow_pass(pair.flow, FLOW_S);
	len = packet_of(inner, BASE_IP_V4, FLOW_TUN_MTU + 1, 0x4000);
	for (uint32_t i = 0; i < 30; i++)
		flow_rx_data(pair.flow, &pair.from, inner, len);
	flow_turn(pair.flow);
	assert_int_equal(flow_counter(pair.flow, ABI_COUNTER_ICMP_TOO_BIG), 21);
	flow_destroy(pair.flow);
}

/* Nobody learns anything about whom he may not reach; and errors are about no errors, and about first fragments. */
static void nobody_is_told_what_is_not_for_him(void **state)
{
	struct pair pair = pair_create(NULL, 0);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len;

	(void)state;
	len = packet_of(inner, BASE_IP_V4, FLOW_TUN_MTU + 1, 0x4000);
	flow_policy(pair.flow, NULL, 0);
	flow_policy_settle(pair.flow);
	flow_rx_data(pair.flow, &pair.from, inner, len);
	flow_turn(pair.flow);
	flow_expect_silence(pair.flow);
	assert_int_equal(flow_counter(pair.flow, ABI_COUNTER_DROP_TUNNEL_MTU), 0);
	flow_policy_open(pair.flow);
	flow_policy_settle(pair.flow);
	/* a first fragment, so that the next is known; it fits */
	len = packet_of(inner, BASE_IP_V4, 576, 0x6000);
	flow_rx_data(pair.flow, &pair.from, inner, len);
	flow_turn(pair.flow);
	flow_reset(pair.flow);
	assert_true(flow_tx(pair.flow, 0, 0, inner) > 0);
	len = packet_of(inner, BASE_IP_V4, FLOW_TUN_MTU + 1, 0x4000 | 69);
	flow_rx_data(pair.flow, &pair.from, inner, len);
	flow_turn(pair.flow);
	flow_expect_silence(pair.flow);
	FLOW_EXPECT(pair.flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
	            {ABI_COUNTER_DROP_TUNNEL_MTU, 1});
	flow_destroy(pair.flow);
}

/* The receiver's session is another worker's, and so may be the sender's next. */
static void errors_find_the_senders_owner(void **state)
{
	struct pair pair = pair_create(&(struct flow_options){.n_workers = 2}, 1);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = packet_of(inner, BASE_IP_V4, FLOW_TUN_MTU + 1, 0x4000);
	struct flow_session next = flow_session(pair.flow, 1, 5, 1, BASE_IP_V4);

	(void)state;
	flow_rx_data(pair.flow, &pair.from, inner, len);
	flow_turn(pair.flow);
	flow_turn(pair.flow);
	flow_hop(inner);
	pair.from = next;
	expect_error_v4(&pair, 0, inner);
	flow_destroy(pair.flow);
}

/* ---- pieces ---- */

/* Without "don't fragment" a router cuts. For a tunnel of 720 bytes: 696 at a time, a multiple of 8. */
static void ipv4_that_may_be_cut_is_cut(void **state)
{
	struct pair pair = pair_create(NULL, 0);
	const uint32_t step = 696;
	uint8_t inner[FLOW_FRAME_MAX];
	uint8_t piece[FLOW_FRAME_MAX];
	uint64_t counter = 0;

	(void)state;
	set_hub(pair.flow, 720, false);
	for (uint32_t i = 0; i < 80; i++) {
		/* every second is a fragment itself, with more to follow it or not */
		uint16_t fragment = i % 2 ? (uint16_t)(i % 4 == 1 ? 0x2000 : 0) : 0;
		uint32_t len = packet_of(inner, BASE_IP_V4, 721 + i * 9, fragment);
		uint32_t n = (len - 20 + step - 1) / step;

		flow_rx_data(pair.flow, &pair.from, inner, len);
		flow_turn(pair.flow);
		flow_hop(inner);
		for (uint32_t at = 0; at < len - 20; at += step) {
			uint32_t left = len - 20 - at;
			uint32_t piece_len = left < step ? left : step;
			uint32_t more = left > step ? 0x2000U : fragment;

			memcpy(piece, inner, 20);
			memcpy(piece + 20, inner + 20 + at, piece_len);
			base_store_be16(piece + 2, (uint16_t)(20 + piece_len));
			base_store_be16(piece + 6, (uint16_t)(at / 8 | more));
			put_sum_v4(piece);
			flow_expect_data(pair.flow, &pair.to, counter++, piece, 20 + piece_len);
		}
		FLOW_EXPECT(pair.flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
		            {ABI_COUNTER_FORWARDED, 1}, {ABI_COUNTER_FRAGMENTED, 1},
		            {ABI_COUNTER_RX_INJECT, n - 1}, {ABI_COUNTER_SEALED, n},
		            {ABI_COUNTER_TX_WAN, n});
	}
	flow_destroy(pair.flow);
}

/* More than a burst, more than find room to wait: all accounted for, most of them sent. */
static void many_at_once_are_cut_in_turns(void **state)
{
	struct pair pair = pair_create(&(struct flow_options){.n_workers = 2}, 1);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = packet_of(inner, BASE_IP_V4, FLOW_TUN_MTU + 60, 0);
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t n = 0;

	(void)state;
	for (uint32_t i = 0; i < 64; i++)
		flow_rx_data(pair.flow, &pair.from, inner, len);
	for (uint32_t i = 0; i < 4; i++)
		flow_turn(pair.flow);
	while (flow_tx(pair.flow, 1, 0, frame) > 0)
		n++;
	assert_int_equal(n, 128);
	assert_int_equal(flow_counter(pair.flow, ABI_COUNTER_FRAGMENTED), 64);
	flow_destroy(pair.flow);
}

/* A datagram that its sender has cut passes the hub as it is, and so does its answer. */
static void fragments_pass(void **state)
{
	struct pair pair = pair_create(NULL, 0);
	uint8_t inner[FLOW_FRAME_MAX];

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t len = packet_of(inner, BASE_IP_V4, i < 2 ? 820 : 100,
		                         (uint16_t)(i * 100 | (i < 2 ? 0x2000 : 0)));

		flow_rx_data(pair.flow, &pair.from, inner, len);
		flow_turn(pair.flow);
		flow_hop(inner);
		flow_expect_data(pair.flow, &pair.to, i, inner, len);
	}
	flow_destroy(pair.flow);
}

/* A fragment that would end beyond a datagram is none: cut to fit, its second piece would be a whole packet, of ports
 * that nobody has judged (0x3f51 + 696 / 8 carries into the flags). */
static void a_fragment_beyond_a_datagram_becomes_no_packet(void **state)
{
	struct pair pair = pair_create(NULL, 0);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len;

	(void)state;
	set_hub(pair.flow, 720, false);
	len = packet_of(inner, BASE_IP_V4, 100, 0x2000);
	flow_rx_data(pair.flow, &pair.from, inner, len);
	flow_turn(pair.flow);
	flow_hop(inner);
	flow_expect_data(pair.flow, &pair.to, 0, inner, len);
	FLOW_EXPECT(pair.flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
	            {ABI_COUNTER_FORWARDED, 1}, {ABI_COUNTER_SEALED, 1}, {ABI_COUNTER_TX_WAN, 1});
	for (uint32_t at = 1; at <= 87; at += 43) {
		for (uint32_t more = 0; more <= 0x2000; more += 0x2000) {
			len = packet_of(inner, BASE_IP_V4, 736, (uint16_t)(more | (0x2000 - at)));
			flow_rx_data(pair.flow, &pair.from, inner, len);
			flow_turn(pair.flow);
			flow_expect_silence(pair.flow);
			FLOW_EXPECT(pair.flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
			            {ABI_COUNTER_DROP_POLICY_FRAGMENT, 1});
		}
	}
	flow_destroy(pair.flow);
}

/* ---- TCP ------------------------------------------------------------------------------------------- */

/* TCP from one address to another; options[n], n a multiple of 4. Returns its length. */
static uint32_t tcp_packet(uint8_t *out, const struct base_ip *from, const struct base_ip *to,
                           uint8_t flags, const uint8_t *options, uint32_t n)
{
	uint32_t len = flow_inner(out, from, to, 64,
	                          12 + n + 9); /* UDP's 8 are the first of TCP's 20 */
	uint32_t at = from->family == BASE_IP_V4 ? 20 : 40;
	uint8_t *tcp = out + at;

	memset(tcp + 4, 0x11, 8);
	tcp[12] = (uint8_t)((20 + n) / 4 << 4);
	tcp[13] = flags;
	memset(tcp + 14, 0, 6);
	memcpy(tcp + 20, options, n);
	out[at == 20 ? 9 : 6] = 6;
	if (at == 20)
		put_sum_v4(out);
	base_store_be16(tcp + 16, (uint16_t)~upper_sum(out, len, 6));
	return len;
}

struct mss_case {
	uint8_t flags;
	uint8_t n;
	uint8_t at; /* of the two bytes, 0 = untouched */
	uint8_t options[12];
};

#define SYN 2U
#define ACK 16U

static const struct mss_case mss_cases[] = {
	{SYN, 4, 2, {2, 4, 0x05, 0xb4}},
	{SYN | ACK, 4, 2, {2, 4, 0xff, 0xff}},
	{SYN, 8, 3, {1, 2, 4, 0x05, 0xb4, 1, 1, 1}}, /* at an odd place */
	{SYN, 12, 6, {3, 3, 7, 1, 2, 4, 0x22, 0x00, 4, 2, 1, 0}},
	{SYN, 4, 0, {2, 4, 0x02, 0x18}},             /* small enough */
	{SYN, 4, 0, {2, 3, 0xff, 0xff}},             /* of a wrong length */
	{SYN, 4, 0, {8, 0, 0xff, 0xff}},             /* an option without length */
	{SYN, 8, 0, {0, 2, 4, 0xff, 0xff, 0, 0, 0}}, /* behind the end */
	{SYN, 4, 0, {1, 1, 2, 4}},                   /* cut off */
	{ACK, 4, 0, {2, 4, 0xff, 0xff}},             /* opens nothing */
};

static void clamp(struct flow *flow, struct flow_session *from, const struct flow_session *to,
                  uint64_t *counter, const struct mss_case *one, uint8_t family, bool on)
{
	struct base_ip hub = flow_ip(family == BASE_IP_V4 ? "10.0.0.1" : "fd00::1");
	struct base_ip source = from ? flow_inner_ip(from->peer, family) : hub;
	struct base_ip destination = to ? flow_inner_ip(to->peer, family) : hub;
	uint32_t header_len = family == BASE_IP_V4 ? 20 : 40;
	uint64_t before = flow_counter(flow, ABI_COUNTER_MSS_CLAMPED);
	uint8_t inner[FLOW_FRAME_MAX];
	uint8_t out[FLOW_FRAME_MAX];
	uint16_t port;
	uint32_t len = tcp_packet(inner, &source, &destination, one->flags, one->options, one->n);

	if (from) {
		flow_rx_data(flow, from, inner, len);
	} else {
		flow_from_kernel(flow, 0, PORT_LINK_TUN, inner, len);
	}
	flow_turn(flow);
	if (on && one->at != 0) {
		base_store_be16(inner + header_len + 20 + one->at,
		                (uint16_t)(FLOW_TUN_MTU - header_len - 20));
		base_store_be16(inner + header_len + 16, 0);
		base_store_be16(inner + header_len + 16, (uint16_t)~upper_sum(inner, len, 6));
	}
	if (from && to)
		flow_hop(inner);
	if (to) {
		flow_expect_data(flow, to, (*counter)++, inner, len);
	} else {
		assert_int_equal(flow_to_kernel(flow, 0, &port, out), len);
		assert_memory_equal(out, inner, len);
	}
	assert_int_equal(flow_counter(flow, ABI_COUNTER_MSS_CLAMPED) - before, on && one->at != 0);
}

/* Peer to peer, peer to hub and hub to peer, both families, on and off. */
static void tcp_opens_with_what_fits(void **state)
{
	struct pair pair = pair_create(NULL, 0);
	uint64_t counter = 0;

	(void)state;
	for (uint32_t on = 0; on < 2; on++) {
		set_hub(pair.flow, FLOW_TUN_MTU, on != 0);
		for (uint32_t i = 0; i < 2 * BASE_ARRAY_LEN(mss_cases); i++) {
			const struct mss_case *one = &mss_cases[i / 2];
			uint8_t family = i % 2 ? BASE_IP_V6 : BASE_IP_V4;

			/* a flow that is known, so that what opens nothing passes */
			clamp(pair.flow, &pair.from, &pair.to, &counter, &mss_cases[0], family,
			      on != 0);
			clamp(pair.flow, NULL, &pair.to, &counter, &mss_cases[0], family, on != 0);
			if (one->flags == ACK || one->flags == (SYN | ACK))
				continue; /* the policy's to judge: test_policy.c */
			clamp(pair.flow, &pair.from, &pair.to, &counter, one, family, on != 0);
			clamp(pair.flow, NULL, &pair.to, &counter, one, family, on != 0);
			clamp(pair.flow, &pair.from, NULL, NULL, one, family, on != 0);
		}
	}
	flow_destroy(pair.flow);
}

/* The answer's, too. */
static void tcp_is_answered_with_what_fits(void **state)
{
	struct pair pair = pair_create(NULL, 0);
	uint64_t to_2 = 0;
	uint64_t to_1 = 0;

	(void)state;
	set_hub(pair.flow, FLOW_TUN_MTU, true);
	for (uint8_t family = 4; family <= 6; family = (uint8_t)(family + 2)) {
		struct base_ip source = flow_inner_ip(2, family);
		struct base_ip destination = flow_inner_ip(1, family);
		uint32_t header_len = family == BASE_IP_V4 ? 20 : 40;
		uint8_t inner[FLOW_FRAME_MAX];
		uint32_t len;

		clamp(pair.flow, &pair.from, &pair.to, &to_2, &mss_cases[0], family, true);
		len = tcp_packet(inner, &source, &destination, SYN | ACK, mss_cases[1].options, 4);
		base_store_be16(inner + header_len, FLOW_SERVICE);
		base_store_be16(inner + header_len + 2, FLOW_CLIENT);
		flow_rx_data(pair.flow, &pair.to, inner, len);
		flow_turn(pair.flow);
		base_store_be16(inner + header_len + 22,
		                (uint16_t)(FLOW_TUN_MTU - header_len - 20));
		base_store_be16(inner + header_len + 16, 0);
		base_store_be16(inner + header_len + 16, (uint16_t)~upper_sum(inner, len, 6));
		flow_hop(inner);
		flow_expect_data(pair.flow, &pair.from, to_1++, inner, len);
	}
	flow_destroy(pair.flow);
}

/* ---- endpoints ------------------------------------------------------------------------------------- */

/* An address of the hub as a peer's endpoint: what is sent to it would come back. */
static void endpoint_that_is_the_hub_is_no_way(void **state)
{
	static const char *const own[] = {"192.0.2.1:51820", "[2001:db8::1]:9", "10.0.0.1:51820",
	                                  "[fd00::1]:51820"};
	struct pair pair = pair_create(NULL, 0);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len;

	(void)state;
	for (uint32_t i = 0; i < BASE_ARRAY_LEN(own); i++) {
		struct abi_cmd_endpoint cmd = {.index = pair.to.index,
		                               .port = UINT32_MAX,
		                               .remote = flow_endpoint(own[i])};
		struct abi_cmd_inject inject = {
			.remote = cmd.remote, .port = UINT32_MAX, .len = WG_INITIATION_LEN};

		inject.message[0] = WG_MESSAGE_INITIATION;
		FLOW_CMD(pair.flow, 0, ABI_CMD_ENDPOINT_SET, cmd);
		flow_turn(pair.flow);
		flow_reset(pair.flow);
		len = packet_of(inner, BASE_IP_V4, 100, 0);
		flow_rx_data(pair.flow, &pair.from, inner, len);
		flow_turn(pair.flow);
		FLOW_EXPECT(pair.flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
		            {ABI_COUNTER_FORWARDED, 1}, {ABI_COUNTER_SEALED, 1},
		            {ABI_COUNTER_DROP_ENDPOINT_LOOP, 1});
		FLOW_CMD(pair.flow, 0, ABI_CMD_INJECT, inject);
		flow_turn(pair.flow);
		FLOW_EXPECT(pair.flow, {ABI_COUNTER_RX_INJECT, 1},
		            {ABI_COUNTER_DROP_ENDPOINT_LOOP, 1});
		flow_expect_silence(pair.flow);
	}
	flow_destroy(pair.flow);
}

/* An endpoint inside the peer's own allowed IPs (a peer that is the way to everywhere has every endpoint there):
 * what is encrypted leaves by the WAN's routes and never enters the tunnel again. */
static void endpoint_inside_its_own_networks_does_not_loop(void **state)
{
	struct pair pair = pair_create(NULL, 0);
	struct abi_cmd_route route = {.peer = 2};
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len;

	(void)state;
	assert_int_equal(base_prefix_parse("198.51.100.0/24", &route.prefix), 0);
	FLOW_CMD(pair.flow, 0, ABI_CMD_ROUTE_PUT, route);
	assert_int_equal(base_prefix_parse("0.0.0.0/0", &route.prefix), 0);
	FLOW_CMD(pair.flow, 0, ABI_CMD_ROUTE_PUT, route);
	flow_turn(pair.flow);
	for (uint32_t i = 0; i < 3; i++) {
		len = packet_of(inner, BASE_IP_V4, 100, 0);
		if (i == 1) { /* to the very address of the endpoint */
			memcpy(inner + 16, pair.to.endpoint.ip.bytes, 4);
			put_sum_v4(inner);
		}
		flow_reset(pair.flow);
		flow_rx_data(pair.flow, &pair.from, inner, len);
		flow_turn(pair.flow);
		flow_hop(inner);
		flow_expect_data(pair.flow, &pair.to, i, inner, len);
		flow_expect_silence(pair.flow);
		FLOW_EXPECT(pair.flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
		            {ABI_COUNTER_FORWARDED, 1}, {ABI_COUNTER_SEALED, 1},
		            {ABI_COUNTER_TX_WAN, 1});
	}
	flow_destroy(pair.flow);
}

/* ---- allowed IPs that move --------------------------------------------------------------------------- */

/* The kernel module's matrix: the longer prefix wins, a moved one leaves its holder at once, in both directions, and
 * a holder that is removed leaves it to the next larger; added again, its client has changed nothing. */
static void networks_move_at_once(void **state)
{
	struct pair pair = pair_create(NULL, 0);
	struct flow *flow = pair.flow;
	struct flow_session three = flow_session(flow, 0, 3, 3, BASE_IP_V4);
	struct base_ip net = flow_ip("10.9.9.9");
	struct abi_cmd_route route = {.peer = 2};
	struct abi_cmd_peer peer = {.peer = 3};
	uint64_t to_2 = 0;
	uint64_t to_3 = 0;
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len;

	(void)state;
	for (uint32_t step = 0; step < 6; step++) {
		/* 2 has the /16; then 3 the /24 in it; the /24 moves to 2; back to 3; 3 is
		 * removed; 3 comes again. */
		static const uint8_t holder[] = {2, 3, 2, 3, 2, 3};
		static const char *const prefix[] = {"10.9.0.0/16", "10.9.9.0/24", "10.9.9.0/24",
		                                     "10.9.9.0/24", NULL,          "10.9.9.0/24"};

		if (prefix[step]) {
			FLOW_CMD(flow, 0, ABI_CMD_PEER_PUT,
			         (struct abi_cmd_peer){.peer = holder[step]});
			assert_int_equal(base_prefix_parse(prefix[step], &route.prefix), 0);
			route.peer = holder[step];
			FLOW_CMD(flow, 0, ABI_CMD_ROUTE_PUT, route);
		} else {
			FLOW_CMD(flow, 0, ABI_CMD_PEER_DROP, peer);
		}
		flow_turn(flow);
		if (step == 4) { /* its keys are of no use */
			flow_reset(flow);
			flow_rx_data(flow, &three, NULL, 0);
			flow_turn(flow);
			FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1},
			            {ABI_COUNTER_DROP_UNKNOWN_INDEX, 1});
		}
		if (step == 5) {
			three = flow_session(flow, 0, 4, 3, BASE_IP_V4);
			to_3 = 0;
		}
		flow_reset(flow);
		len = packet_of(inner, BASE_IP_V4, 100, 0);
		memcpy(inner + 16, net.bytes, 4);
		put_sum_v4(inner);
		flow_rx_data(flow, &pair.from, inner, len);
		flow_turn(flow);
		flow_hop(inner);
		if (holder[step] == 2)
			flow_expect_data(flow, &pair.to, to_2++, inner, len);
		else
			flow_expect_data(flow, &three, to_3++, inner, len);
		/* and who does not hold it may not send from it */
		len = packet_of(inner, BASE_IP_V4, 100, 0);
		memcpy(inner + 12, net.bytes, 4);
		put_sum_v4(inner);
		flow_reset(flow);
		if (step != 4) {
			flow_rx_data(flow, holder[step] == 2 ? &three : &pair.to, inner, len);
			flow_turn(flow);
			FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
			            {ABI_COUNTER_DROP_INNER_SOURCE, 1});
		}
	}
	flow_destroy(flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sender_of_what_is_too_big_is_told),
		cmocka_unit_test(sender_is_told_ten_times_a_second),
		cmocka_unit_test(nobody_is_told_what_is_not_for_him),
		cmocka_unit_test(errors_find_the_senders_owner),
		cmocka_unit_test(ipv4_that_may_be_cut_is_cut),
		cmocka_unit_test(many_at_once_are_cut_in_turns),
		cmocka_unit_test(fragments_pass),
		cmocka_unit_test(a_fragment_beyond_a_datagram_becomes_no_packet),
		cmocka_unit_test(tcp_opens_with_what_fits),
		cmocka_unit_test(tcp_is_answered_with_what_fits),
		cmocka_unit_test(endpoint_that_is_the_hub_is_no_way),
		cmocka_unit_test(endpoint_inside_its_own_networks_does_not_loop),
		cmocka_unit_test(networks_move_at_once),
	};

	return cmocka_run_group_tests_name("inner", tests, flow_start, NULL);
}
