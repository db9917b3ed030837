/* Handshakes that wireguard-go took part in, played again: what we sent comes out byte for byte,
 * and what it sent opens. Made by tests/netns/test_interop.sh --regenerate, which plays the same
 * live. argv[1]: the JSON file. */
#include "base_bytes.h"
#include "vectors.h"
#include "wg_cookie.h"
#include "wg_noise.h"

#include <sodium.h>

#define DATAGRAM_MAX 2048
#define NOW_NS       UINT64_C(1000000000000)

struct replay {
	struct wg_noise_identity us, them;
	struct wg_noise_peer peer; /* they, as we know them */
	struct wg_cookie_maker maker;
	uint8_t own_mac1_key[32];
	uint32_t local_index;
};

static void begin(struct replay *replay, const json_t *vector)
{
	uint8_t key[WG_KEY_LEN], psk[WG_KEY_LEN];

	vectors_bytes(vector, "our_private", key, WG_KEY_LEN);
	wg_noise_identity_init(&replay->us, key);
	vectors_bytes(vector, "their_private", key, WG_KEY_LEN);
	wg_noise_identity_init(&replay->them, key);
	vectors_bytes(vector, "psk", psk, WG_KEY_LEN);
	assert_int_equal(
		wg_noise_peer_init(&replay->peer, &replay->us, replay->them.public_key, psk), 0);
	wg_cookie_maker_init(&replay->maker, replay->them.public_key);
	wg_cookie_mac1_key(replay->own_mac1_key, replay->us.public_key);
	replay->local_index = (uint32_t)json_integer_value(json_object_get(vector, "local_index"));
	assert_int_not_equal(replay->local_index, 0);
}

/* Our initiation again, macs too. */
static void replay_initiation(struct replay *replay, const json_t *vector,
                              struct wg_noise_handshake *hs)
{
	uint8_t ephemeral[WG_KEY_LEN], timestamp[WG_TIMESTAMP_LEN];
	uint8_t expected[WG_INITIATION_LEN], msg[WG_INITIATION_LEN];

	vectors_bytes(vector, "our_ephemeral", ephemeral, sizeof(ephemeral));
	vectors_bytes(vector, "our_timestamp", timestamp, sizeof(timestamp));
	vectors_bytes(vector, "initiation", expected, sizeof(expected));
	assert_int_equal(wg_noise_initiation_create(&replay->us, &replay->peer, replay->local_index,
	                                            ephemeral, timestamp, hs, msg),
	                 0);
	wg_cookie_stamp(&replay->maker, msg, sizeof(msg), NOW_NS);
	assert_memory_equal(msg, expected, sizeof(msg));
}

/* Their response, from the wire; and it holds against every flipped bit. */
static void replay_response(struct replay *replay, const json_t *vector,
                            struct wg_noise_handshake *hs, struct wg_noise_keys *keys)
{
	uint8_t msg[WG_RESPONSE_LEN];
	uint32_t remote_index = 0;

	vectors_bytes(vector, "response", msg, sizeof(msg));
	assert_int_equal(wg_message_check(msg, sizeof(msg)), WG_MESSAGE_OK);
	assert_true(wg_cookie_mac1_ok(replay->own_mac1_key, msg, sizeof(msg)));
	for (size_t bit = WG_RESPONSE_RECEIVER * 8; bit < WG_RESPONSE_MAC1 * 8; bit += 5) {
		msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(wg_noise_response_consume(&replay->us, &replay->peer, hs, msg,
		                                               keys, &remote_index),
		                     WG_NOISE_OK);
		msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(wg_noise_response_consume(&replay->us, &replay->peer, hs, msg, keys,
	                                           &remote_index),
	                 WG_NOISE_OK);
	assert_int_equal(remote_index, base_load_le32(msg + WG_RESPONSE_SENDER));
}

/* Their packet opens with the key we derived, and is what it was. */
static void replay_data(const struct replay *replay, const json_t *vector,
                        const struct wg_noise_keys *keys)
{
	uint8_t msg[DATAGRAM_MAX], plain[DATAGRAM_MAX], expected[DATAGRAM_MAX];
	uint8_t nonce[12] = {0};
	size_t msg_len = vectors_hex(vector, "data", msg, sizeof(msg));
	size_t expected_len = vectors_hex(vector, "plain", expected, sizeof(expected));
	unsigned long long len = 0;

	assert_int_equal(wg_message_check(msg, msg_len), WG_MESSAGE_OK);
	assert_int_equal(base_load_le32(msg + WG_DATA_RECEIVER), replay->local_index);
	memcpy(nonce + 4, msg + WG_DATA_COUNTER, 8);
	assert_int_equal(crypto_aead_chacha20poly1305_ietf_decrypt(
				 plain, &len, NULL, msg + WG_DATA_HEADER_LEN,
				 msg_len - WG_DATA_HEADER_LEN, NULL, 0, nonce, keys->receive),
	                 0);
	assert_int_equal(len, expected_len);
	assert_memory_equal(plain, expected, len);
	assert_int_equal(plain[0], 0x45); /* the IPv4 header of an echo */
}

static void check_initiate(const json_t *vector)
{
	struct replay replay;
	struct wg_noise_handshake hs;
	struct wg_noise_keys keys;

	begin(&replay, vector);
	replay_initiation(&replay, vector, &hs);
	replay_response(&replay, vector, &hs, &keys);
	replay_data(&replay, vector, &keys);
}

/* They initiated; our answer comes out again, and their packet opens. */
static void check_respond(const json_t *vector)
{
	struct replay replay;
	struct wg_noise_opened opened;
	struct wg_noise_keys keys;
	uint8_t msg[WG_INITIATION_LEN], expected[WG_RESPONSE_LEN], response[WG_RESPONSE_LEN];
	uint8_t ephemeral[WG_KEY_LEN];

	begin(&replay, vector);
	vectors_bytes(vector, "initiation", msg, sizeof(msg));
	vectors_bytes(vector, "our_ephemeral", ephemeral, sizeof(ephemeral));
	vectors_bytes(vector, "response", expected, sizeof(expected));
	assert_int_equal(wg_message_check(msg, sizeof(msg)), WG_MESSAGE_OK);
	assert_true(wg_cookie_mac1_ok(replay.own_mac1_key, msg, sizeof(msg)));
	assert_int_equal(wg_noise_initiation_open(&replay.us, msg, &opened), WG_NOISE_OK);
	assert_memory_equal(opened.static_public, replay.them.public_key, WG_KEY_LEN);
	assert_int_equal(wg_noise_initiation_consume(&replay.peer, msg, NOW_NS, &opened),
	                 WG_NOISE_OK);
	assert_int_equal(replay.peer.last_timestamp[0], 0x40);
	assert_int_equal(wg_noise_response_create(&replay.peer, &opened.handshake,
	                                          replay.local_index, ephemeral, response, &keys),
	                 0);
	wg_cookie_stamp(&replay.maker, response, sizeof(response), NOW_NS);
	assert_memory_equal(response, expected, sizeof(response));
	replay_data(&replay, vector, &keys);
}

/* A cookie they gave, and the initiation with mac2 that they then answered. */
static void check_cookie(const json_t *vector)
{
	const json_t *second = json_object_get(vector, "second");
	struct replay replay;
	struct wg_noise_handshake hs;
	struct wg_noise_keys keys;
	uint8_t reply[WG_COOKIE_LEN];

	begin(&replay, vector);
	replay_initiation(&replay, vector, &hs);
	vectors_bytes(vector, "cookie_reply", reply, sizeof(reply));
	assert_int_equal(wg_message_check(reply, sizeof(reply)), WG_MESSAGE_OK);
	assert_int_equal(wg_cookie_reply_consume(&replay.maker, reply, NOW_NS), 0);
	replay_initiation(&replay, second, &hs);
	replay_response(&replay, second, &hs, &keys);
	replay_data(&replay, second, &keys);
}

/* Returns how many vectors there are of this mode. */
static int each_of(const char *mode, void (*check)(const json_t *vector))
{
	int n = 0;
	size_t i;
	json_t *vector;

	json_array_foreach(json_object_get(vectors_root, "handshakes"), i, vector)
	{
		if (strcmp(vectors_text(vector, "mode"), mode) != 0)
			continue;
		check(vector);
		n++;
	}
	return n;
}

static void our_initiations_and_their_responses_fit(void **state)
{
	(void)state;
	assert_int_equal(each_of("initiate", check_initiate), 2);
}

static void their_initiations_and_our_responses_fit(void **state)
{
	(void)state;
	assert_int_equal(each_of("respond", check_respond), 2);
}

static void their_cookie_and_our_mac2_fit(void **state)
{
	(void)state;
	assert_int_equal(each_of("cookie", check_cookie), 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_initiations_and_their_responses_fit),
		cmocka_unit_test(their_initiations_and_our_responses_fit),
		cmocka_unit_test(their_cookie_and_our_mac2_fit),
	};

	if (argc != 2 || sodium_init() < 0)
		return 1;
	vectors_path = argv[1];
	return cmocka_run_group_tests(tests, vectors_set_up, vectors_tear_down);
}
