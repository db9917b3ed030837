/* Handshake messages under load: who must prove where it is, how it does so, and what each may have. */
#include "base_bytes.h"
#include "flow.h"
#include "state_gate.h"

#include <string.h>

#define BURST  64U
#define SOURCE STATE_GATE_SOURCE_BURST

/* Somebody who knows a public key of the hub's. */
struct client {
	struct base_endpoint endpoint;
	struct wg_cookie_maker maker;
	uint8_t type; /* of what it sends */
};

static struct client client_of(const char *endpoint, uint8_t key, uint8_t type)
{
	struct client client = {.endpoint = flow_endpoint(endpoint), .type = type};
	uint8_t public_key[WG_KEY_LEN];

	memset(public_key, key, sizeof(public_key));
	if (key == 0)
		flow_public_key(public_key);
	wg_cookie_maker_init(&client.maker, public_key);
	return client;
}

static struct client client_at(const char *endpoint)
{
	return client_of(endpoint, 0, WG_MESSAGE_INITIATION);
}

/* n messages, at once. */
static void knock(struct flow *flow, struct client *client, uint32_t n)
{
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t len = flow_knock(frame, &client->endpoint, client->type, &client->maker,
	                          flow->now_ns);

	for (uint32_t i = 0; i < n; i++) {
		flow_rx(flow, 0, 0, frame, len);
		if (i % BURST == BURST - 1)
			flow_turn(flow);
	}
	flow_turn(flow);
}

static void forget(struct flow *flow)
{
	uint8_t out[FLOW_FRAME_MAX];
	uint16_t type;

	while (flow_tx(flow, 0, 0, out) > 0 || flow_event(flow, 0, &type, NULL, 0))
		continue;
	flow_reset(flow);
}

/* Somebody else sends more than control can look at. */
static void press(struct flow *flow)
{
	struct client flood = client_at("203.0.113.99:9");

	knock(flow, &flood, STATE_GATE_CONTROL_BURST + 1);
	forget(flow);
}

/* From as many addresses as it takes until nothing unproven passes: 198.18.0.0/15. */
static void exhaust_trials(struct flow *flow)
{
	struct client flood = client_at("198.18.0.0:9");

	for (uint32_t i = 0; i < STATE_GATE_TRIAL_BURST; i++) {
		base_store_be32(flood.endpoint.ip.bytes, 0xc6120000U + i);
		knock(flow, &flood, 1);
	}
	forget(flow);
}

static struct flow *under_load(void)
{
	struct flow *flow = flow_create(NULL);

	press(flow);
	exhaust_trials(flow);
	return flow;
}

static uint32_t n_events(struct flow *flow, bool proven, uint8_t key)
{
	struct abi_event_handshake event;
	uint32_t n = 0;
	uint16_t type;

	while (flow_event(flow, 0, &type, &event, sizeof(event))) {
		assert_int_equal(type, ABI_EVENT_HANDSHAKE);
		assert_int_equal(event.proven, proven);
		assert_int_equal(event.hub_key, key);
		n++;
	}
	return n;
}

#define ASKED(n)                                                                                   \
	{ABI_COUNTER_HS_REFUSED_UNDER_LOAD, n}, {ABI_COUNTER_HS_COOKIE_OUT, n},                    \
	{                                                                                          \
		ABI_COUNTER_TX_WAN, n                                                              \
	}

/* The hub's answer to the client's last message: to where it came from, from the address it had asked. */
static void take_cookie(struct flow *flow, struct client *client)
{
	uint32_t header_len = client->endpoint.ip.family == BASE_IP_V4 ? 42 : 62;
	uint8_t got[FLOW_FRAME_MAX], expected[FLOW_FRAME_MAX];
	uint32_t len = flow_tx(flow, 0, 0, got);

	assert_int_equal(len, header_len + WG_COOKIE_LEN);
	assert_int_equal(got[header_len], WG_MESSAGE_COOKIE);
	assert_int_equal(wg_cookie_reply_consume(&client->maker, got + header_len, flow->now_ns),
	                 0);
	(void)flow_frame_from_hub(expected, &client->endpoint,
	                          header_len == 42 ? base_load_be16(got + 18) : 0, got + header_len,
	                          WG_COOKIE_LEN);
	/* AF41, as all handshake messages; no checksum of UDP's covers it. */
	if (header_len == 42) {
		expected[15] = 0x88;
		flow_mend_sum(expected);
	} else {
		base_store_be16(expected + 14, 0x6880);
	}
	assert_memory_equal(got, expected, len);
}

static const char *const places[] = {"198.51.100.7:7777", "[2001:db8:1::7]:7777"};
static const uint8_t types[] = {WG_MESSAGE_INITIATION, WG_MESSAGE_RESPONSE};

/* Cookies on initiation and on response, over IPv4 and IPv6. */
static void who_answers_its_cookie_is_let_through(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		struct flow *flow = under_load();
		struct client client = client_of(places[i % 2], 0, types[i / 2]);

		knock(flow, &client, 1);
		FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, ASKED(1));
		assert_int_equal(n_events(flow, false, 0), 0);
		take_cookie(flow, &client);
		knock(flow, &client, 1);
		FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_TO_CONTROL, 1});
		assert_int_equal(n_events(flow, true, 0), 1);
		flow_expect_silence(flow);
		flow_destroy(flow);
	}
}

static void a_wrong_mac1_is_never_answered(void **state)
{
	struct flow *flow = under_load();
	struct client other = client_of("198.51.100.7:7777", 0x55, WG_MESSAGE_INITIATION);

	(void)state;
	knock(flow, &other, 100);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 100}, {ABI_COUNTER_DROP_WG_MAC1, 100});
	flow_expect_silence(flow);
	flow_expect_no_event(flow);
	flow_destroy(flow);
}

static void a_cookie_is_good_for_its_address_and_port_only(void **state)
{
	static const char *const others[] = {"198.51.100.7:7778", "198.51.100.8:7777",
	                                     "[2001:db8:1::7]:7777"};
	struct flow *flow = under_load();
	struct client client = client_at("198.51.100.7:7777");

	(void)state;
	knock(flow, &client, 1);
	take_cookie(flow, &client);
	for (size_t i = 0; i < BASE_ARRAY_LEN(others); i++) {
		struct client thief = client;

		thief.endpoint = flow_endpoint(others[i]);
		flow_reset(flow);
		knock(flow, &thief, 1);
		FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, ASKED(1));
		take_cookie(flow, &thief);
	}
	flow_reset(flow);
	knock(flow, &client, 1);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_TO_CONTROL, 1});
	flow_destroy(flow);
}

/* The client would use it for 115 s; by its own clock it never ends here. */
static void a_secret_lives_120_s(void **state)
{
	struct flow *flow = under_load();
	struct client client = client_at("198.51.100.7:7777");
	uint64_t start_ns = flow->now_ns;
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t len;

	(void)state;
	knock(flow, &client, 1);
	take_cookie(flow, &client);
	len = flow_knock(frame, &client.endpoint, client.type, &client.maker, flow->now_ns);
	/* exhaust_trials() made the secret, at the same moment. */
	flow->now_ns = start_ns + 120 * FLOW_S - 1;
	press(flow);
	exhaust_trials(flow);
	flow_rx(flow, 0, 0, frame, len);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_TO_CONTROL, 1});
	flow->now_ns += 1;
	forget(flow);
	flow_rx(flow, 0, 0, frame, len);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, ASKED(1));
	flow_destroy(flow);
}

/* 5 at once, 20 a second, and what others do changes nothing. */
static void a_proven_source_has_its_share(void **state)
{
	struct flow *flow = under_load();
	struct client client = client_at("198.51.100.7:7777");
	struct client neighbour = client_at("198.51.100.8:7777");

	(void)state;
	knock(flow, &client, 1);
	take_cookie(flow, &client);
	knock(flow, &neighbour, 1);
	take_cookie(flow, &neighbour);
	flow_reset(flow);
	knock(flow, &client, 100);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 100}, {ABI_COUNTER_TO_CONTROL, SOURCE},
	            {ABI_COUNTER_DROP_SOURCE_LIMIT, 100 - SOURCE});
	knock(flow, &neighbour, 1);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_TO_CONTROL, 1});
	for (uint32_t i = 0; i < 19; i++) {
		flow->now_ns += FLOW_S / STATE_GATE_SOURCE_PER_S;
		knock(flow, &client, 10);
	}
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 190}, {ABI_COUNTER_TO_CONTROL, 19},
	            {ABI_COUNTER_DROP_SOURCE_LIMIT, 171});
	flow_destroy(flow);
}

/* Others name its address in what they send, as much as they like: it is asked for proof, and has all of
 * its share. */
static void nobody_uses_up_the_share_of_another(void **state)
{
	struct flow *flow = under_load();
	struct client forger = client_at("198.51.100.7:7777");
	struct client client = client_at("198.51.100.7:7777");

	(void)state;
	knock(flow, &client, 1);
	take_cookie(flow, &client);
	knock(flow, &forger, 500);
	forget(flow);
	knock(flow, &client, SOURCE);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, SOURCE}, {ABI_COUNTER_TO_CONTROL, SOURCE});
	flow_destroy(flow);
}

/* A flood of few sources costs nobody else a cookie. */
static void who_is_new_needs_no_cookie_while_few_press(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct client flood = client_at("203.0.113.99:9");
	struct client client = client_at("198.51.100.7:7777");

	(void)state;
	knock(flow, &flood, 5000);
	forget(flow);
	knock(flow, &client, 1);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_TO_CONTROL, 1});
	flow_destroy(flow);
}

static void load_ends_a_second_after_the_last_of_it(void **state)
{
	struct flow *flow = under_load();
	struct client client = client_at("198.51.100.7:7777");

	(void)state;
	/* Its five are used up, and the next is asked. */
	flow->now_ns += FLOW_S - 1;
	exhaust_trials(flow);
	knock(flow, &client, 1);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, ASKED(1));
	flow->now_ns += 1;
	knock(flow, &client, 50);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 50}, {ABI_COUNTER_TO_CONTROL, 50});
	flow_destroy(flow);
}

static void load_goes_on_while_it_presses(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct client flood = client_at("203.0.113.99:9");

	(void)state;
	press(flow);
	/* 25,000 a second. */
	for (uint32_t i = 0; i < 3000; i++) {
		flow->now_ns += FLOW_MS;
		knock(flow, &flood, 25);
		if (i % 100 == 0)
			forget(flow);
	}
	assert_int_equal(flow_counter(flow, ABI_COUNTER_UNDER_LOAD), 1);
	forget(flow);
	flow_destroy(flow);
}

/* To one address and port 100 at once; its other ports have theirs. */
static void who_takes_no_cookie_is_offered_fewer(void **state)
{
	struct flow *flow = under_load();
	struct client flood = client_at("203.0.113.99:9");
	struct client other = client_at("203.0.113.99:10");
	const uint32_t n = STATE_GATE_ASKED_BURST;

	(void)state;
	knock(flow, &flood, n + 300);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, n + 300}, ASKED(n),
	            {ABI_COUNTER_DROP_COOKIE_LIMIT, 300});
	forget(flow);
	knock(flow, &other, 1);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, ASKED(1));
	forget(flow);
	flow->now_ns += FLOW_S / STATE_GATE_ASKED_PER_S;
	knock(flow, &flood, 5);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 5}, ASKED(1), {ABI_COUNTER_DROP_COOKIE_LIMIT, 4});
	flow_destroy(flow);
}

static void cookies_have_a_budget(void **state)
{
	struct flow *flow = under_load();
	struct client flood = client_at("203.0.113.99:9");
	uint64_t before = flow_counter(flow, ABI_COUNTER_HS_COOKIE_OUT);
	uint8_t out[FLOW_FRAME_MAX];

	(void)state;
	for (uint32_t i = 0; i < 20; i++) {
		flood.endpoint.port++;
		knock(flow, &flood, 100);
		while (flow_tx(flow, 0, 0, out) > 0)
			continue;
	}
	flow_expect_balance(flow);
	/* One was given by then, and the first of the flood when the load began had a trial. */
	assert_int_equal(before, 1);
	assert_int_equal(flow_counter(flow, ABI_COUNTER_HS_COOKIE_OUT), STATE_GATE_REPLIES_BURST);
	assert_int_equal(flow_counter(flow, ABI_COUNTER_DROP_COOKIE_LIMIT),
	                 2000 - (STATE_GATE_REPLIES_BURST - before));
	flow_destroy(flow);
}

/* A quarter of a million a second, each from somewhere else: one of them may be a client, which asks once in 5 s. */
static void in_a_flood_from_everywhere_all_are_offered_cookies(void **state)
{
	struct flow *flow = under_load();
	struct client flood = client_at("198.51.0.0:7777");
	uint8_t out[FLOW_FRAME_MAX];
	uint32_t n = 0;

	(void)state;
	for (uint32_t ms = 0; ms < 40; ms++) {
		flow->now_ns += FLOW_MS;
		for (uint32_t i = 0; i < 250; i++) {
			base_store_be32(flood.endpoint.ip.bytes, 0xc6330000U + n++);
			knock(flow, &flood, 1);
		}
		while (flow_tx(flow, 0, 0, out) > 0)
			continue;
		forget(flow);
	}
	assert_int_equal(flow_counter(flow, ABI_COUNTER_DROP_COOKIE_LIMIT), 0);
	/* the others were trials */
	assert_true(flow_counter(flow, ABI_COUNTER_HS_COOKIE_OUT)
	            >= n - STATE_GATE_TRIAL_BURST - STATE_GATE_TRIAL_PER_S / 20);
	flow_destroy(flow);
}

/* While whole bursts wait in front of the worker, what waits there comes first. */
static void who_is_behind_offers_fewer(void **state)
{
	struct flow *flow = under_load();
	struct client flood = client_at("203.0.113.99:9");
	const uint32_t most = STATE_GATE_REPLIES_BURST
	                      + STATE_GATE_BEHIND_PER_S / 25; /* in 40 ms */
	uint8_t out[FLOW_FRAME_MAX];
	uint32_t n = 0;

	(void)state;
	for (uint32_t ms = 0; ms < 40; ms++) {
		flow->now_ns += FLOW_MS;
		for (uint32_t i = 0; i < 4; i++) { /* of as many ports: none asks too often */
			flood.endpoint.port++;
			knock(flow, &flood, PATH_BURST_MAX);
			n += PATH_BURST_MAX;
		}
		while (flow_tx(flow, 0, 0, out) > 0)
			continue;
		forget(flow);
	}
	assert_true(flow_counter(flow, ABI_COUNTER_HS_COOKIE_OUT) <= most);
	assert_true(flow_counter(flow, ABI_COUNTER_DROP_COOKIE_LIMIT)
	            >= n - most - STATE_GATE_TRIAL_BURST - STATE_GATE_TRIAL_PER_S / 20);
	flow_destroy(flow);
}

/* As many as find room are served, and the next is told that there is none: nothing grows. All keep an entry
 * for 50 ms, in which 5,000 come; those that the trials let through are not proven. */
static void a_full_table_of_proven_sources_refuses_under_its_name(void **state)
{
	struct flow *flow = under_load();
	struct client client = client_at("198.51.0.0:7777");
	uint64_t n_entries = BASE_SOURCE_SETS * BASE_SOURCE_WAYS, n_asked = 0, n_full, n_in;
	uint16_t type;

	(void)state;
	flow_reset(flow);
	for (uint32_t i = 0; i < 5000; i++) {
		uint64_t before = flow_counter(flow, ABI_COUNTER_HS_COOKIE_OUT);

		base_store_be32(client.endpoint.ip.bytes, 0xc6330000U + i);
		client.maker.cookie_birth_ns = 0;
		flow->now_ns += 10000;
		knock(flow, &client, 1);
		if (flow_counter(flow, ABI_COUNTER_HS_COOKIE_OUT) != before) {
			n_asked++;
			take_cookie(flow, &client);
			knock(flow, &client, 1);
		}
		while (flow_event(flow, 0, &type, NULL, 0))
			continue;
	}
	n_full = flow_counter(flow, ABI_COUNTER_DROP_SOURCE_FULL);
	n_in = n_asked - n_full;
	assert_true(n_in > n_entries * 3 / 4 && n_in <= n_entries);
	assert_int_equal(flow_counter(flow, ABI_COUNTER_DROP_SOURCE_LIMIT), 0);
	flow_expect_balance(flow);
	flow_destroy(flow);
}

static void hub_keys(struct flow *flow, uint8_t first, uint8_t second)
{
	struct abi_cmd_hub hub = {.listen_port = FLOW_PORT, .tunnel_mtu = FLOW_TUN_MTU};

	hub.n_keys = second != 0 ? 2 : 1;
	memset(hub.public_keys[0], first, WG_KEY_LEN);
	if (second != 0)
		memset(hub.public_keys[1], second, WG_KEY_LEN);
	FLOW_CMD_ALL(flow, ABI_CMD_HUB, hub);
	flow_turn(flow);
}

/* While the hub changes its key: both are answered, each message with the key that it was meant for; and
 * a cookie outlives the change. */
static void two_keys_of_the_hub(void **state)
{
	struct flow *flow = under_load();
	struct client old = client_at("198.51.100.7:7777");
	struct client new = client_of("198.51.100.8:7777", 0x33, WG_MESSAGE_INITIATION);
	uint8_t key[WG_KEY_LEN];

	(void)state;
	flow_public_key(key);
	knock(flow, &old, 1);
	take_cookie(flow, &old);
	flow_reset(flow);
	knock(flow, &new, 1);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_DROP_WG_MAC1, 1});
	hub_keys(flow, 0x33, key[0]);
	knock(flow, &new, 1);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, ASKED(1));
	take_cookie(flow, &new);
	knock(flow, &new, 1);
	assert_int_equal(n_events(flow, true, 0), 1);
	knock(flow, &old, 1);
	assert_int_equal(n_events(flow, true, 1), 1);
	hub_keys(flow, 0x33, 0);
	flow_reset(flow);
	knock(flow, &old, 1);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_DROP_WG_MAC1, 1});
	knock(flow, &new, 1);
	assert_int_equal(n_events(flow, true, 0), 1);
	flow_destroy(flow);
}

/* Junk, answers and data in one burst: each its way, data in order. */
static void a_mixed_burst(void **state)
{
	struct flow *flow = under_load();
	struct flow_session peer = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct client client = client_at("198.51.100.7:7777");
	struct client junk = client_of("198.51.100.9:7777", 0x55, WG_MESSAGE_RESPONSE);
	uint8_t frame[FLOW_FRAME_MAX], inner[FLOW_FRAME_MAX];
	struct base_ip hub = flow_ip("10.0.0.1"), there = flow_inner_ip(1, BASE_IP_V4);
	uint32_t inner_len = flow_inner(inner, &there, &hub, 64, 100);
	uint32_t n = BURST / 4;

	(void)state;
	forget(flow);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t len = flow_knock(frame, &client.endpoint, client.type, &client.maker, 1);

		flow_rx(flow, 0, 0, frame, len);
		flow_rx_data(flow, &peer, inner, inner_len);
		len = flow_knock(frame, &junk.endpoint, junk.type, &junk.maker, 1);
		flow_rx(flow, 0, 0, frame, len);
		flow_rx_data(flow, &peer, NULL, 0);
	}
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, BURST}, {ABI_COUNTER_DROP_WG_MAC1, n}, ASKED(n),
	            {ABI_COUNTER_TO_TUN, n}, {ABI_COUNTER_KEEPALIVE_IN, n},
	            {ABI_COUNTER_OPENED, BURST / 2});
	flow_destroy(flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_answers_its_cookie_is_let_through),
		cmocka_unit_test(a_wrong_mac1_is_never_answered),
		cmocka_unit_test(a_cookie_is_good_for_its_address_and_port_only),
		cmocka_unit_test(a_secret_lives_120_s),
		cmocka_unit_test(a_proven_source_has_its_share),
		cmocka_unit_test(nobody_uses_up_the_share_of_another),
		cmocka_unit_test(who_is_new_needs_no_cookie_while_few_press),
		cmocka_unit_test(load_ends_a_second_after_the_last_of_it),
		cmocka_unit_test(load_goes_on_while_it_presses),
		cmocka_unit_test(who_takes_no_cookie_is_offered_fewer),
		cmocka_unit_test(cookies_have_a_budget),
		cmocka_unit_test(in_a_flood_from_everywhere_all_are_offered_cookies),
		cmocka_unit_test(who_is_behind_offers_fewer),
		cmocka_unit_test(a_full_table_of_proven_sources_refuses_under_its_name),
		cmocka_unit_test(two_keys_of_the_hub),
		cmocka_unit_test(a_mixed_burst),
	};

	return cmocka_run_group_tests_name("flow/gate", tests, flow_start, NULL);
}
