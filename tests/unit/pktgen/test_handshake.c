/* The initiator against a responder of wg_noise, with a clock that the tests turn. */
#include "base_bytes.h"
#include "base_time.h"
#include "pktgen_handshake.h"
#include "test.h"
#include "wg_key.h"

#include <string.h>

#define N 5U
#define S BASE_NS_PER_S

static struct pktgen_peers peers;
static struct pktgen_handshakes hs;
static struct wg_noise_identity hub;
static struct wg_cookie_checker checker;
static struct wg_noise_peer remote[N]; /* as the hub knows them */

/* What was sent last, and how often. */
static uint8_t sent[WG_INITIATION_LEN];
static uint32_t n_sent, n_established, last_peer;

static void send_message(void *arg, uint32_t peer, const uint8_t *message, uint32_t len)
{
	(void)arg;
	assert_in_range(len, WG_RESPONSE_LEN, sizeof(sent));
	memcpy(sent, message, len);
	last_peer = peer;
	n_sent++;
}

static void established(void *arg, uint32_t peer)
{
	(void)arg;
	(void)peer;
	n_established++;
}

static void begin(bool measured, uint32_t window, double rate)
{
	static const struct pktgen_handshake_calls calls = {NULL, send_message, established};
	static const uint8_t none[WG_KEY_LEN];
	struct pktgen_options options = {.seed = "s", .n_peers = N, .n_addresses = 1};
	uint8_t private_key[WG_KEY_LEN];

	pktgen_peer_private_key(private_key, "the hub", 0);
	wg_noise_identity_init(&hub, private_key);
	wg_cookie_checker_init(&checker, hub.public_key);
	memcpy(options.hub_key, hub.public_key, WG_KEY_LEN);
	assert_int_equal(base_ip_parse("10.77.0.2", &options.inner), 0);
	assert_int_equal(base_prefix_parse("192.0.2.100/24", &options.source), 0);
	assert_int_equal(pktgen_peers_init(&peers, &options), 0);
	for (uint32_t i = 0; i < N; i++)
		assert_int_equal(wg_noise_peer_init(&remote[i], &hub,
		                                    peers.peer[i].identity.public_key, none),
		                 0);
	assert_int_equal(pktgen_handshakes_init(&hs, &peers, window, rate, measured, &calls), 0);
	n_sent = n_established = 0;
	if (measured)
		for (uint32_t i = 0; i < N; i++)
			pktgen_handshakes_prepare(&hs, i);
	for (uint32_t i = 0; i < N; i++)
		pktgen_handshakes_want(&hs, i);
}

static void end(void)
{
	pktgen_handshakes_fini(&hs);
	pktgen_peers_fini(&peers);
}

/* The hub answers what was sent last. */
static void answer(uint8_t response[static WG_RESPONSE_LEN], struct wg_noise_keys *keys)
{
	uint8_t ephemeral[WG_KEY_LEN];
	struct wg_noise_opened opened;

	assert_true(wg_cookie_mac1_ok(checker.mac1_key, sent, sizeof(sent)));
	assert_int_equal(wg_noise_initiation_open(&hub, sent, &opened), WG_NOISE_OK);
	assert_memory_equal(opened.static_public, remote[last_peer].public_key, WG_KEY_LEN);
	assert_int_equal(wg_noise_initiation_consume(&remote[last_peer], sent, n_sent * S, &opened),
	                 WG_NOISE_OK);
	memset(ephemeral, (int)n_sent, sizeof(ephemeral));
	assert_int_equal(wg_noise_response_create(&remote[last_peer], &opened.handshake,
	                                          1000 + last_peer, ephemeral, response, keys),
	                 0);
}

/* Write an initiation of the hub's for peer. */
static void hub_begins(uint32_t peer, uint32_t number, struct wg_noise_handshake *noise,
                       uint8_t message[static WG_INITIATION_LEN])
{
	struct wg_cookie_maker maker;
	uint8_t ephemeral[WG_KEY_LEN], timestamp[WG_TIMESTAMP_LEN];

	memset(ephemeral, (int)number, sizeof(ephemeral));
	wg_noise_timestamp(timestamp, number * S);
	assert_int_equal(wg_noise_initiation_create(&hub, &remote[peer], 500 + number, ephemeral,
	                                            timestamp, noise, message),
	                 0);
	wg_cookie_maker_init(&maker, remote[peer].public_key);
	wg_cookie_stamp(&maker, message, WG_INITIATION_LEN, number * S);
}

static void a_peer_gets_the_keys_that_the_hub_has(void **state)
{
	uint8_t response[WG_RESPONSE_LEN];
	struct wg_noise_keys keys;

	(void)state;
	begin(false, 1, 0);
	for (uint32_t i = 0; i < N; i++) {
		const struct pktgen_peer *peer = &peers.peer[i];

		pktgen_handshakes_turn(&hs, 10 * S);
		assert_int_equal(last_peer, i);
		answer(response, &keys);
		pktgen_handshakes_response(&hs, response, 10 * S + 5000);
		assert_memory_equal(peer->send_key, keys.receive, WG_KEY_LEN);
		assert_memory_equal(peer->receive_key, keys.send, WG_KEY_LEN);
		assert_int_equal(peer->remote_index, 1000 + i);
		assert_int_equal(pktgen_peer_of_index(peer->local_index), i);
	}
	assert_int_equal(hs.stats.completed, N);
	assert_int_equal(n_established, N);
	assert_int_equal(hs.stats.latency.max_ns, 5000);
	assert_int_equal(pktgen_handshakes_open(&hs), 0);
	end();
}

static void the_window_bounds_those_under_way(void **state)
{
	(void)state;
	begin(false, 2, 0);
	for (int i = 0; i < 10; i++)
		pktgen_handshakes_turn(&hs, S);
	assert_int_equal(n_sent, 2);
	assert_int_equal(pktgen_handshakes_open(&hs), N);
	end();
}

static void the_rate_bounds_how_often_one_starts(void **state)
{
	(void)state;
	begin(false, 5, 10);
	for (uint64_t ms = 0; ms < 250; ms++)
		pktgen_handshakes_turn(&hs, S + ms * BASE_NS_PER_MS);
	assert_int_equal(n_sent, 3); /* at 0, 100 and 200 ms */
	end();
}

static void an_unanswered_one_is_repeated_and_given_up(void **state)
{
	(void)state;
	begin(false, 5, 0);
	for (int i = 0; i < 5; i++)
		pktgen_handshakes_turn(&hs, S);
	pktgen_handshakes_turn(&hs, 5 * S);
	assert_int_equal(n_sent, 5);
	pktgen_handshakes_turn(&hs, 7 * S); /* 5 s and jitter */
	assert_int_equal(n_sent, 10);
	assert_int_equal(hs.stats.retried, 5);
	for (uint64_t s = 8; s < 120; s++)
		pktgen_handshakes_turn(&hs, s * S);
	assert_int_equal(hs.stats.failed, 5);
	assert_int_equal(pktgen_handshakes_open(&hs), 0);
	end();
}

static void a_cookie_is_used_at_the_next_try_and_not_before(void **state)
{
	const struct base_endpoint source = {.ip = {.family = BASE_IP_V4}, .port = 10000};
	uint8_t reply[WG_COOKIE_LEN], random[32] = {1}, nonce[WG_COOKIE_NONCE_LEN] = {2};

	(void)state;
	begin(false, 1, 0);
	pktgen_handshakes_turn(&hs, S);
	wg_cookie_reply_create(&checker, sent, sizeof(sent), &source, random, nonce, S, reply);
	pktgen_handshakes_cookie(&hs, reply, S + 1000);
	assert_int_equal(hs.stats.cookies, 1);
	pktgen_handshakes_turn(&hs, 2 * S);
	assert_int_equal(n_sent, 1);
	pktgen_handshakes_turn(&hs, 7 * S);
	assert_int_equal(n_sent, 2);
	assert_int_equal(wg_cookie_check(&checker, sent, sizeof(sent), &source, 7 * S),
	                 WG_COOKIE_MAC2_OK);
	pktgen_handshakes_cookie(&hs, reply, 7 * S); /* of the message before */
	assert_int_equal(hs.stats.refused, 1);
	end();
}

static void a_cookie_for_a_response_is_taken_too(void **state)
{
	const struct base_endpoint source = {.ip = {.family = BASE_IP_V4}, .port = 10000};
	uint8_t message[WG_INITIATION_LEN], reply[WG_COOKIE_LEN];
	uint8_t random[32] = {1}, nonce[WG_COOKIE_NONCE_LEN] = {2};
	struct wg_noise_handshake noise;

	(void)state;
	begin(false, 1, 0);
	hub_begins(3, 1, &noise, message);
	pktgen_handshakes_initiation(&hs, 3, message, S);
	wg_cookie_reply_create(&checker, sent, WG_RESPONSE_LEN, &source, random, nonce, S, reply);
	pktgen_handshakes_cookie(&hs, reply, S);
	assert_int_equal(hs.stats.cookies, 1);
	hub_begins(3, 2, &noise, message);
	pktgen_handshakes_initiation(&hs, 3, message, 2 * S);
	assert_int_equal(wg_cookie_check(&checker, sent, WG_RESPONSE_LEN, &source, 2 * S),
	                 WG_COOKIE_MAC2_OK);
	end();
}

static void a_forged_response_changes_nothing(void **state)
{
	uint8_t response[WG_RESPONSE_LEN];
	struct wg_noise_keys keys;

	(void)state;
	begin(false, 1, 0);
	pktgen_handshakes_turn(&hs, S);
	answer(response, &keys);
	response[WG_RESPONSE_EMPTY] ^= 1;
	pktgen_handshakes_response(&hs, response, 2 * S);
	assert_int_equal(hs.stats.refused, 1);
	assert_int_equal(peers.peer[0].remote_index, 0);
	response[WG_RESPONSE_EMPTY] ^= 1;
	pktgen_handshakes_response(&hs, response, 2 * S);
	assert_int_equal(hs.stats.completed, 1);
	pktgen_handshakes_response(&hs, response, 2 * S); /* once more: nobody waits for it */
	assert_int_equal(hs.stats.refused, 2);
	end();
}

static void a_new_session_keeps_the_old_keys_for_what_is_on_its_way(void **state)
{
	uint8_t response[WG_RESPONSE_LEN], before[WG_KEY_LEN];
	struct timespec grain = {.tv_nsec = 1L << 25};
	struct wg_noise_keys keys;
	uint32_t index;

	(void)state;
	begin(false, N, 0);
	pktgen_handshakes_turn(&hs, S);
	answer(response, &keys);
	pktgen_handshakes_response(&hs, response, S);
	memcpy(before, peers.peer[0].receive_key, WG_KEY_LEN);
	index = peers.peer[0].local_index;
	for (int i = 0; i < 4; i++)
		pktgen_handshakes_turn(&hs, S);
	/* Timestamps are the wall clock's and have a grain of 17 ms. */
	nanosleep(&grain, NULL);
	pktgen_handshakes_want(&hs, 0);
	pktgen_handshakes_turn(&hs, 2 * S);
	assert_int_equal(last_peer, 0);
	answer(response, &keys);
	pktgen_handshakes_response(&hs, response, 2 * S);
	assert_memory_equal(peers.peer[0].previous_key, before, WG_KEY_LEN);
	assert_int_equal(peers.peer[0].previous_index, index);
	assert_int_not_equal(peers.peer[0].local_index, index);
	end();
}

static void a_response_to_another_try_is_not_taken(void **state)
{
	uint8_t response[WG_RESPONSE_LEN];
	struct wg_noise_keys keys;

	(void)state;
	begin(true, 1, 0);
	pktgen_handshakes_turn(&hs, S);
	answer(response, &keys);
	base_store_le32(response + WG_RESPONSE_RECEIVER,
	                pktgen_peer_index(0, peers.peer[0].generation - 1));
	pktgen_handshakes_response(&hs, response, S);
	assert_int_equal(hs.stats.refused, 1);
	assert_int_equal(hs.stats.completed, 0);
	end();
}

static void measured_responses_are_verified_afterwards(void **state)
{
	uint8_t response[WG_RESPONSE_LEN];
	struct wg_noise_keys keys;

	(void)state;
	begin(true, 1, 0);
	for (uint32_t i = 0; i < N; i++) {
		pktgen_handshakes_turn(&hs, S);
		answer(response, &keys);
		response[WG_RESPONSE_EMPTY] ^= i == 3; /* forged */
		pktgen_handshakes_response(&hs, response, S);
	}
	assert_int_equal(hs.stats.completed, N);
	assert_int_equal(n_established, 0);
	for (uint32_t i = 0; i < N; i++)
		assert_int_equal(pktgen_handshakes_verify(&hs, i), i != 3);
	assert_int_equal(hs.stats.completed, N - 1);
	assert_int_equal(hs.stats.refused, 1);
	assert_memory_equal(peers.peer[4].send_key, keys.receive, WG_KEY_LEN);
	end();
}

static void a_hub_that_begins_is_answered_and_its_session_used_when_heard(void **state)
{
	struct wg_noise_handshake noise;
	uint8_t message[WG_INITIATION_LEN], response[WG_RESPONSE_LEN];
	struct wg_noise_keys keys;
	struct pktgen_peer *peer;
	uint32_t index;

	(void)state;
	begin(false, 1, 0);
	peer = &peers.peer[3];
	hub_begins(3, 1, &noise, message);
	pktgen_handshakes_initiation(&hs, 3, message, S);
	assert_int_equal(hs.stats.answered, 1);
	assert_int_equal(last_peer, 3);
	memcpy(response, sent, sizeof(response));
	assert_int_equal(wg_noise_response_consume(&hub, &remote[3], &noise, response, &keys,
	                                           &index),
	                 WG_NOISE_OK);
	assert_int_equal(peer->remote_index, 0); /* not before a packet came */
	assert_int_equal(peer->next_index, index);
	pktgen_peer_promote(peer);
	assert_memory_equal(peer->send_key, keys.receive, WG_KEY_LEN);
	assert_memory_equal(peer->receive_key, keys.send, WG_KEY_LEN);
	assert_int_equal(peer->remote_index, 501);
	assert_int_equal(peer->local_index, index);
	assert_int_equal(peer->next_index, 0);

	pktgen_handshakes_initiation(&hs, 3, message, 2 * S); /* once more: an old one */
	hub_begins(3, 2, &noise, message);
	pktgen_handshakes_initiation(&hs, 2, message, 2 * S); /* not this peer's */
	message[WG_INITIATION_MAC1] ^= 1;
	pktgen_handshakes_initiation(&hs, 3, message, 2 * S);
	assert_int_equal(hs.stats.answered, 1);
	assert_int_equal(hs.stats.refused, 3);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_peer_gets_the_keys_that_the_hub_has),
		cmocka_unit_test(the_window_bounds_those_under_way),
		cmocka_unit_test(the_rate_bounds_how_often_one_starts),
		cmocka_unit_test(an_unanswered_one_is_repeated_and_given_up),
		cmocka_unit_test(a_cookie_is_used_at_the_next_try_and_not_before),
		cmocka_unit_test(a_cookie_for_a_response_is_taken_too),
		cmocka_unit_test(a_forged_response_changes_nothing),
		cmocka_unit_test(a_new_session_keeps_the_old_keys_for_what_is_on_its_way),
		cmocka_unit_test(a_response_to_another_try_is_not_taken),
		cmocka_unit_test(a_hub_that_begins_is_answered_and_its_session_used_when_heard),
		cmocka_unit_test(measured_responses_are_verified_afterwards),
	};

	return cmocka_run_group_tests_name("pktgen_handshake", tests, NULL, NULL);
}
