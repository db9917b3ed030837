/* Handshake messages: any bytes, and good messages bent in places, which must then be refused and
 * leave nothing behind. */
#include "base_bytes.h"
#include "base_time.h"
#include "fuzz.h"
#include "wg_cookie.h"
#include "wg_noise.h"

#include <sodium.h>

#include <stdlib.h>
#include <string.h>

enum mode { MODE_ANY = 0, MODE_INITIATION = 1, MODE_RESPONSE = 2, MODE_COOKIE = 3, N_MODES = 4 };

/* The hub (a) has answered b's initiation; b has not looked at the answer. */
static struct wg_noise_identity a, b;
static struct wg_noise_peer a_of_b, b_of_a;
static struct wg_noise_handshake waiting; /* b's */
static struct wg_cookie_checker checker;  /* a's */
static struct wg_cookie_maker maker;      /* b's */
static struct base_endpoint source;
static uint8_t initiation[WG_INITIATION_LEN], response[WG_RESPONSE_LEN], cookie[WG_COOKIE_LEN];

static void make_peers(void)
{
	static const uint8_t no_key[WG_KEY_LEN];
	uint8_t key[WG_KEY_LEN];
	int err;

	memset(key, 1, sizeof(key));
	wg_noise_identity_init(&a, key);
	memset(key, 2, sizeof(key));
	wg_noise_identity_init(&b, key);
	err = wg_noise_peer_init(&a_of_b, &a, b.public_key, no_key);
	assert(err == 0);
	err = wg_noise_peer_init(&b_of_a, &b, a.public_key, no_key);
	assert(err == 0);
	wg_cookie_checker_init(&checker, a.public_key);
	wg_cookie_maker_init(&maker, a.public_key);
}

void fuzz_start(void)
{
	uint8_t ephemeral[WG_KEY_LEN], timestamp[WG_TIMESTAMP_LEN], random[32] = {5};
	struct wg_noise_peer peer;
	struct wg_noise_opened opened;
	struct wg_noise_keys keys;
	int err = sodium_init();

	assert(err >= 0);
	make_peers();
	memset(ephemeral, 3, sizeof(ephemeral));
	wg_noise_timestamp(timestamp, BASE_NS_PER_S);
	err = wg_noise_initiation_create(&b, &b_of_a, 77, ephemeral, timestamp, &waiting,
	                                 initiation);
	assert(err == 0);
	wg_cookie_stamp(&maker, initiation, WG_INITIATION_LEN, 1);
	wg_cookie_reply_create(&checker, initiation, WG_INITIATION_LEN, &source, random, random, 1,
	                       cookie);
	peer = a_of_b;
	err = (int)wg_noise_initiation_open(&a, initiation, &opened);
	assert(err == WG_NOISE_OK);
	err = (int)wg_noise_initiation_consume(&peer, initiation, BASE_NS_PER_S, &opened);
	assert(err == WG_NOISE_OK);
	ephemeral[0] = 4;
	err = wg_noise_response_create(&peer, &opened.handshake, 88, ephemeral, response, &keys);
	assert(err == 0);
}

/* Copies have their exact size, so that ASan sees a read behind them. */
static uint8_t *bent(const uint8_t *message, size_t len, const struct fuzz_input *mask)
{
	uint8_t *copy = malloc(len);

	assert(copy != NULL);
	memcpy(copy, message, len);
	for (size_t i = 0; i < len && i < mask->len; i++)
		copy[i] ^= mask->data[i];
	return copy;
}

static bool same(const uint8_t *message, const uint8_t *copy, size_t from, size_t to)
{
	return memcmp(message + from, copy + from, to - from) == 0;
}

/* As control sees what a worker let through. */
static void consume_initiation(const uint8_t *copy)
{
	struct wg_noise_peer peer = a_of_b;
	struct wg_noise_opened opened;
	bool good = same(initiation, copy, WG_INITIATION_EPHEMERAL, WG_INITIATION_MAC1);
	bool mac_good = wg_cookie_check(&checker, copy, WG_INITIATION_LEN, &source, 2)
	                != WG_COOKIE_MAC1_BAD;
	enum wg_noise_verdict verdict = wg_noise_initiation_open(&a, copy, &opened);

	assert(mac_good == same(initiation, copy, 0, WG_INITIATION_MAC2));
	if (verdict == WG_NOISE_OK)
		verdict = wg_noise_initiation_consume(&peer, copy, BASE_NS_PER_S, &opened);
	assert((verdict == WG_NOISE_OK) == good);
	assert(good || memcmp(&peer, &a_of_b, sizeof(peer)) == 0);
}

static void consume_response(const uint8_t *copy)
{
	struct wg_noise_handshake hs = waiting;
	struct wg_noise_keys keys;
	uint32_t remote_index = 0;
	bool good = same(response, copy, WG_RESPONSE_RECEIVER, WG_RESPONSE_MAC1);
	enum wg_noise_verdict verdict = wg_noise_response_consume(&b, &b_of_a, &hs, copy, &keys,
	                                                          &remote_index);

	assert((verdict == WG_NOISE_OK) == good);
	assert(good || memcmp(&hs, &waiting, sizeof(hs)) == 0);
}

static void consume_cookie(const uint8_t *copy)
{
	struct wg_cookie_maker mine = maker;
	bool good = same(cookie, copy, WG_COOKIE_NONCE, WG_COOKIE_LEN);
	int err = wg_cookie_reply_consume(&mine, copy, 2);

	assert((err == 0) == good);
	assert(good || memcmp(&mine, &maker, sizeof(mine)) == 0);
}

static void any(const struct fuzz_input *in)
{
	uint8_t *copy = malloc(in->len > 0 ? in->len : 1);

	assert(copy != NULL);
	memcpy(copy, in->data, in->len);
	if (wg_message_check(copy, in->len) == WG_MESSAGE_OK) {
		if (copy[0] == WG_MESSAGE_INITIATION)
			consume_initiation(copy);
		else if (copy[0] == WG_MESSAGE_RESPONSE)
			consume_response(copy);
		else if (copy[0] == WG_MESSAGE_COOKIE)
			consume_cookie(copy);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = {data, len};
	enum mode mode = (enum mode)(fuzz_u8(&in) % N_MODES);
	uint8_t *copy = NULL;

	switch (mode) {
	case MODE_ANY:
	case N_MODES:
		any(&in);
		break;
	case MODE_INITIATION:
		copy = bent(initiation, sizeof(initiation), &in);
		consume_initiation(copy);
		break;
	case MODE_RESPONSE:
		copy = bent(response, sizeof(response), &in);
		consume_response(copy);
		break;
	case MODE_COOKIE:
		copy = bent(cookie, sizeof(cookie), &in);
		consume_cookie(copy);
		break;
	}
	free(copy);
	return 0;
}

void fuzz_seeds(void)
{
	static const uint8_t *const messages[] = {initiation, response, cookie};
	static const size_t lens[] = {sizeof(initiation), sizeof(response), sizeof(cookie)};
	uint8_t bytes[1 + WG_INITIATION_LEN] = {0};

	for (uint8_t i = 0; i < 3; i++) {
		char whole[] = "message_0", nothing[] = "unbent_0";

		whole[8] = nothing[7] = (char)('1' + i);
		bytes[0] = MODE_ANY;
		memcpy(bytes + 1, messages[i], lens[i]);
		fuzz_seed(whole, bytes, 1 + lens[i]);
		bytes[0] = (uint8_t)(MODE_INITIATION + i);
		fuzz_seed(nothing, bytes, 1);
	}
}
