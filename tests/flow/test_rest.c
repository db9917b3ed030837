/* Long packets in bursts, of which in_open opens no more than the heads (path/rest.c): whoever gets them gets all of
 * them, byte by byte, wherever their way ends. */
#include "base_bytes.h"
#include "flow.h"

#include <string.h>

#define N      32U
#define LONG   1300U /* of payload: more than a head and a run of any backend */
#define V4_UDP 28U   /* headers in front of it */

static const struct flow_options two = {.n_workers = 2};

static uint8_t inner[N][FLOW_FRAME_MAX];
static uint32_t len[N];

/* A burst from peer 1 as made in inner[n]; it has been turned round afterwards. */
static void send_all(struct flow *flow, struct flow_session *from, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		flow_rx_data(flow, from, inner[i], len[i]);
		flow_hop(inner[i]);
	}
	flow_turn(flow);
}

static void make_all(uint8_t family, uint32_t to, uint32_t n_payload)
{
	for (uint32_t i = 0; i < N; i++)
		len[i] = flow_inner_between(inner[i], 1, to, family, n_payload);
}

static void expect_all(struct flow *flow, const struct flow_session *to, uint64_t counter)
{
	for (uint32_t i = 0; i < N; i++)
		flow_expect_data(flow, to, counter + i, inner[i], len[i]);
	flow_expect_silence(flow);
}

/* ---- sealed over --------------------------------------------------------------------------------- */

/* Every length about those where rests begin and end, in bursts of like and of mixed lengths. */
static void forward_lengths(enum aead_backend aead, uint8_t family)
{
	const struct flow_options options = {.aead = aead};
	struct flow *flow = flow_create(&options);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session to = flow_session(flow, 0, 2, 2, BASE_IP_V6);
	uint32_t most = FLOW_TUN_MTU - (family == BASE_IP_V4 ? 28 : 48);
	uint64_t counter = 0;

	for (uint32_t n_payload = 560; n_payload <= most; n_payload += n_payload == 700 ? 360 : 4) {
		make_all(family, 2, n_payload);
		for (uint32_t i = 0; n_payload % 8 != 0 && i < N; i++)
			len[i] = flow_inner_between(inner[i], 1, 2, family,
			                            (n_payload + i * 97) % most);
		send_all(flow, &from, N);
		expect_all(flow, &to, counter);
		counter += N;
	}
	flow_destroy(flow);
}

static void every_length_comes_through(void **state)
{
	static const enum aead_backend backends[] = {AEAD_BACKEND_AUTO, AEAD_BACKEND_AVX2,
	                                             AEAD_BACKEND_IPSEC_MB, AEAD_BACKEND_SODIUM};

	(void)state;
	for (uint32_t i = 0; i < BASE_ARRAY_LEN(backends); i++) {
		forward_lengths(backends[i], BASE_IP_V4);
		forward_lengths(backends[i], BASE_IP_V6);
	}
}

/* To two peers in turn, some of it forged, some for nobody: what is left over is of either, in order. */
static void neighbours_are_not_mixed_up(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session to[2] = {flow_session(flow, 0, 2, 2, BASE_IP_V4),
	                             flow_session(flow, 0, 3, 3, BASE_IP_V6)};
	uint64_t counter[2] = {0};

	(void)state;
	for (uint32_t i = 0; i < N; i++) {
		uint8_t message[FLOW_FRAME_MAX];
		uint8_t frame[FLOW_FRAME_MAX];
		uint32_t n;

		len[i] = flow_inner_between(inner[i], 1, i % 7 == 3 ? 150 : 2 + i % 2, BASE_IP_V4,
		                            LONG - i * 3);
		n = flow_seal(&from, message, inner[i], len[i]);
		message[n - 1] ^= i % 5 == 2;
		flow_rx(flow, 0, 0, frame, flow_frame_to_hub(frame, &from.endpoint, message, n));
	}
	flow_turn(flow);
	for (uint32_t i = 0; i < N; i++) {
		if (i % 5 == 2 || i % 7 == 3)
			continue;
		flow_hop(inner[i]);
		flow_expect_data(flow, &to[i % 2], counter[i % 2]++, inner[i], len[i]);
	}
	flow_expect_silence(flow);
	flow_destroy(flow);
}

/* ---- opened whole -------------------------------------------------------------------------------- */

static void hub_gets_all_of_it(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct base_ip source = flow_inner_ip(1, BASE_IP_V4);
	struct base_ip hub = flow_ip("10.0.0.1");
	uint8_t out[FLOW_FRAME_MAX];
	uint16_t port;

	(void)state;
	for (uint32_t i = 0; i < N; i++) {
		len[i] = flow_inner(inner[i], &source, &hub, 64, LONG - i);
		flow_rx_data(flow, &from, inner[i], len[i]);
	}
	flow_turn(flow);
	for (uint32_t i = 0; i < N; i++) {
		assert_int_equal(flow_to_kernel(flow, 0, &port, out), len[i]);
		assert_memory_equal(out, inner[i], len[i]);
	}
	flow_expect_silence(flow);
	flow_destroy(flow);
}

static void other_worker_gets_all_of_it(void **state)
{
	struct flow *flow = flow_create(&two);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session to = flow_session(flow, 1, 2, 2, BASE_IP_V4);

	(void)state;
	make_all(BASE_IP_V4, 2, LONG);
	send_all(flow, &from, N);
	expect_all(flow, &to, 0);
	flow_destroy(flow);
}

static void what_waits_is_whole(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session to;

	(void)state;
	make_all(BASE_IP_V4, 2, LONG);
	send_all(flow, &from, N);
	flow_expect_silence(flow);
	/* the keys that it came under are gone by now */
	(void)flow_session(flow, 0, 1, 1, BASE_IP_V4);
	to = flow_session(flow, 0, 2, 2, BASE_IP_V4);
	flow_turn(flow);
	expect_all(flow, &to, 0);
	flow_reset(flow);
	flow_destroy(flow);
}

/* The checksum of an IPv4 header, options and all. */
static void put_sum(uint8_t *ip)
{
	uint32_t header_len = (ip[0] & 0x0fU) * 4;
	uint32_t sum = 0;

	base_store_be16(ip + 10, 0);
	for (uint32_t i = 0; i < header_len; i += 2)
		sum += base_load_be16(ip + i);
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	base_store_be16(ip + 10, (uint16_t)~sum);
}

static void pieces_are_of_the_whole(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session to = flow_session(flow, 0, 2, 2, BASE_IP_V4);
	const uint32_t step = (FLOW_TUN_MTU - 20) / 8 * 8;
	uint8_t piece[FLOW_FRAME_MAX];

	(void)state;
	make_all(BASE_IP_V4, 2, FLOW_TUN_MTU);
	send_all(flow, &from, N);
	flow_turn(flow);
	for (uint32_t i = 0; i < N; i++) {
		memcpy(piece, inner[i], 20 + step);
		base_store_be16(piece + 2, (uint16_t)(20 + step));
		base_store_be16(piece + 6, 0x2000);
		put_sum(piece);
		flow_expect_data(flow, &to, 2 * i, piece, 20 + step);
		memcpy(piece + 20, inner[i] + 20 + step, len[i] - 20 - step);
		base_store_be16(piece + 2, (uint16_t)(len[i] - step));
		base_store_be16(piece + 6, (uint16_t)(step / 8));
		put_sum(piece);
		flow_expect_data(flow, &to, 2 * i + 1, piece, len[i] - step);
	}
	flow_expect_silence(flow);
	flow_destroy(flow);
}

/* ICMP, a header with options, a protocol without ports: their insides may be looked at anywhere. And a short one in
 * a long payload, which is cut to what its header says. */
static void odd_ones_come_through(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session to = flow_session(flow, 0, 2, 2, BASE_IP_V4);

	(void)state;
	make_all(BASE_IP_V4, 2, LONG);
	for (uint32_t i = 0; i < N; i++) {
		uint8_t *ip = inner[i];
		uint8_t message[FLOW_FRAME_MAX];
		uint8_t frame[FLOW_FRAME_MAX];
		uint32_t n;

		if (i % 4 == 0) { /* echo request */
			ip[9] = 1;
			ip[20] = 8;
			ip[21] = 0;
		} else if (i % 4 == 1) { /* four bytes of options, no more */
			memmove(ip + 24, ip + 20, len[i] - 24);
			memset(ip + 20, 1, 4);
			ip[0] = 0x46;
		} else if (i % 4 == 2) {
			ip[9] = 47; /* GRE */
		} else {
			base_store_be16(ip + 2, (uint16_t)(100 + i * 37));
			base_store_be16(ip + 24, (uint16_t)(80 + i * 37));
		}
		put_sum(ip);
		n = flow_seal(&from, message, ip, len[i]);
		flow_rx(flow, 0, 0, frame, flow_frame_to_hub(frame, &from.endpoint, message, n));
		flow_hop(ip);
		if (i % 4 == 3)
			len[i] = 100 + i * 37;
	}
	flow_turn(flow);
	expect_all(flow, &to, 0);
	flow_destroy(flow);
}

/* Errors are let through for the flow that they quote, whose ports lie behind the head if both headers have all options
 * that they can have. */
static void what_an_error_quotes_is_read(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session one = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session other = flow_session(flow, 0, 2, 2, BASE_IP_V4);
	const uint32_t quoted = 60 + 8;

	(void)state;
	len[0] = flow_inner_between(inner[0], 1, 2, BASE_IP_V4, 100);
	flow_rx_data(flow, &one, inner[0], len[0]);
	flow_turn(flow);
	flow_hop(inner[0]);
	flow_expect_data(flow, &other, 0, inner[0], len[0]);
	for (uint32_t i = 0; i < N; i++) {
		uint8_t *ip = inner[i];

		memset(ip, 1, sizeof(inner[i])); /* "no operation" */
		len[i] = flow_inner_between(ip + quoted + 40, 1, 2, BASE_IP_V4, LONG - quoted - 40);
		memmove(ip + quoted, ip + quoted + 40, 20);
		memset(ip + quoted + 20, 1, 40);
		ip[quoted] = 0x4f;
		len[i] = quoted + 40 + 28 + LONG - quoted - 40;
		memcpy(ip, ip + quoted, 20);
		memcpy(ip + 12, ip + quoted + 16, 4);
		memcpy(ip + 16, ip + quoted + 12, 4);
		base_store_be16(ip + 2, (uint16_t)len[i]);
		ip[9] = 1;
		ip[60] = 3; /* destination unreachable: */
		ip[61] = 3; /* port */
		put_sum(ip);
	}
	send_all(flow, &other, N);
	expect_all(flow, &one, 0);
	flow_destroy(flow);
}

/* Opened here, sealed by a helper, and the other way round. */
static void helpers_get_all_of_it(void **state)
{
	static const struct flow_options helped = {.n_workers = 2, .assist = ASSIST_ALWAYS};
	struct flow *flow = flow_create(&helped);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session to = flow_session(flow, 0, 2, 2, BASE_IP_V4);

	(void)state;
	for (uint32_t round = 0; round < 4; round++) {
		make_all(BASE_IP_V4, 2, LONG);
		send_all(flow, &from, N);
		for (uint32_t i = 0; i < 6; i++)
			flow_turn(flow);
		expect_all(flow, &to, (uint64_t)round * N);
	}
	flow_destroy(flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length_comes_through),
		cmocka_unit_test(neighbours_are_not_mixed_up),
		cmocka_unit_test(hub_gets_all_of_it),
		cmocka_unit_test(other_worker_gets_all_of_it),
		cmocka_unit_test(what_waits_is_whole),
		cmocka_unit_test(pieces_are_of_the_whole),
		cmocka_unit_test(odd_ones_come_through),
		cmocka_unit_test(what_an_error_quotes_is_read),
		cmocka_unit_test(helpers_get_all_of_it),
	};

	return cmocka_run_group_tests_name("rest", tests, flow_start, NULL);
}
