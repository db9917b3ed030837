/* Whole handshakes between two of us, and everything that must not get through. */
#include "base_bytes.h"
#include "base_time.h"
#include "test.h"
#include "wg_cookie.h"
#include "wg_key.h"
#include "wg_noise.h"

#include <sodium.h>

#include <errno.h>

#define T0   (1000 * BASE_NS_PER_S)
#define MS   BASE_NS_PER_MS
#define WALL (UINT64_C(1790000000) * BASE_NS_PER_S)

#define INITIATOR_INDEX 0x11223344U
#define RESPONDER_INDEX 0xa0b0c0d0U

struct side {
	struct wg_noise_identity identity;
	struct wg_noise_peer peer; /* what it knows of the other */
	struct wg_cookie_maker maker;
	struct wg_cookie_checker checker;
};

struct handshake {
	struct side initiator, responder;
	struct wg_noise_handshake hs;
	struct wg_noise_opened opened;
	uint8_t initiation[WG_INITIATION_LEN];
	uint8_t response[WG_RESPONSE_LEN];
	struct wg_noise_keys initiator_keys, responder_keys;
};

static const uint8_t no_psk[WG_KEY_LEN];

static void key_of(uint8_t key[static WG_KEY_LEN], uint8_t tag)
{
	for (size_t i = 0; i < WG_KEY_LEN; i++)
		key[i] = (uint8_t)(tag + 13 * i);
}

static void meet(struct side *a, struct side *b, const uint8_t *psk_a, const uint8_t *psk_b)
{
	assert_int_equal(wg_noise_peer_init(&a->peer, &a->identity, b->identity.public_key, psk_a),
	                 0);
	assert_int_equal(wg_noise_peer_init(&b->peer, &b->identity, a->identity.public_key, psk_b),
	                 0);
	wg_cookie_maker_init(&a->maker, b->identity.public_key);
	wg_cookie_maker_init(&b->maker, a->identity.public_key);
	wg_cookie_checker_init(&a->checker, a->identity.public_key);
	wg_cookie_checker_init(&b->checker, b->identity.public_key);
}

static void begin(struct handshake *h, const uint8_t *psk_initiator, const uint8_t *psk_responder)
{
	uint8_t key[WG_KEY_LEN];

	memset(h, 0, sizeof(*h));
	key_of(key, 1);
	wg_noise_identity_init(&h->initiator.identity, key);
	key_of(key, 2);
	wg_noise_identity_init(&h->responder.identity, key);
	meet(&h->initiator, &h->responder, psk_initiator, psk_responder);
}

static void initiate(struct handshake *h, uint8_t ephemeral_tag, uint64_t wall_ns)
{
	uint8_t ephemeral[WG_KEY_LEN];
	uint8_t timestamp[WG_TIMESTAMP_LEN];

	key_of(ephemeral, ephemeral_tag);
	wg_noise_timestamp(timestamp, wall_ns);
	assert_int_equal(wg_noise_initiation_create(&h->initiator.identity, &h->initiator.peer,
	                                            INITIATOR_INDEX, ephemeral, timestamp, &h->hs,
	                                            h->initiation),
	                 0);
	wg_cookie_stamp(&h->initiator.maker, h->initiation, WG_INITIATION_LEN, T0);
}

/* All that a receiver does with an initiation; -1 when it does not come as far as Noise. */
static int receive_initiation(struct handshake *h, const uint8_t *msg, uint64_t now_ns)
{
	enum wg_noise_verdict verdict;

	if (wg_message_check(msg, WG_INITIATION_LEN) != WG_MESSAGE_OK
	    || !wg_cookie_mac1_ok(h->responder.checker.mac1_key, msg, WG_INITIATION_LEN))
		return -1;
	verdict = wg_noise_initiation_open(&h->responder.identity, msg, &h->opened);
	if (verdict != WG_NOISE_OK)
		return (int)verdict;
	return (int)wg_noise_initiation_consume(&h->responder.peer, msg, now_ns, &h->opened);
}

static void respond(struct handshake *h, uint8_t ephemeral_tag)
{
	uint8_t ephemeral[WG_KEY_LEN];

	key_of(ephemeral, ephemeral_tag);
	assert_int_equal(wg_noise_response_create(&h->responder.peer, &h->opened.handshake,
	                                          RESPONDER_INDEX, ephemeral, h->response,
	                                          &h->responder_keys),
	                 0);
	wg_cookie_stamp(&h->responder.maker, h->response, WG_RESPONSE_LEN, T0);
}

static int receive_response(struct handshake *h, const uint8_t *msg, uint32_t *remote_index)
{
	if (wg_message_check(msg, WG_RESPONSE_LEN) != WG_MESSAGE_OK
	    || !wg_cookie_mac1_ok(h->initiator.checker.mac1_key, msg, WG_RESPONSE_LEN))
		return -1;
	return (int)wg_noise_response_consume(&h->initiator.identity, &h->initiator.peer, &h->hs,
	                                      msg, &h->initiator_keys, remote_index);
}

static void complete(struct handshake *h)
{
	uint32_t remote_index = 0;

	initiate(h, 3, WALL);
	assert_int_equal(receive_initiation(h, h->initiation, T0), WG_NOISE_OK);
	assert_memory_equal(h->opened.static_public, h->initiator.identity.public_key, WG_KEY_LEN);
	respond(h, 4);
	assert_int_equal(receive_response(h, h->response, &remote_index), WG_NOISE_OK);
	assert_int_equal(remote_index, RESPONDER_INDEX);
}

static void assert_keys_fit(const struct handshake *h)
{
	assert_memory_equal(h->initiator_keys.send, h->responder_keys.receive, WG_KEY_LEN);
	assert_memory_equal(h->initiator_keys.receive, h->responder_keys.send, WG_KEY_LEN);
	assert_memory_not_equal(h->initiator_keys.send, h->initiator_keys.receive, WG_KEY_LEN);
	assert_false(base_is_zero_ct(h->initiator_keys.send, WG_KEY_LEN));
}

static void assert_wiped(const void *p, size_t len)
{
	assert_true(base_is_zero_ct(p, len));
}

/* ---- what works ---------------------------------------------------------------------------------- */

static void handshake_gives_both_sides_the_same_keys(void **state)
{
	struct handshake h;

	(void)state;
	begin(&h, no_psk, no_psk);
	complete(&h);
	assert_keys_fit(&h);
}

static void handshake_with_preshared_key_gives_other_keys(void **state)
{
	struct handshake h, without;
	uint8_t psk[WG_KEY_LEN];

	(void)state;
	key_of(psk, 9);
	begin(&h, psk, psk);
	complete(&h);
	assert_keys_fit(&h);
	begin(&without, no_psk, no_psk);
	complete(&without);
	assert_memory_not_equal(&h.initiator_keys, &without.initiator_keys, WG_KEY_LEN);
	/* The initiation does not depend on it, the response's tag does. */
	assert_memory_equal(h.initiation, without.initiation, WG_INITIATION_LEN);
	assert_memory_not_equal(h.response + 44, without.response + 44, 16);
}

static void messages_have_their_fields_where_the_whitepaper_says(void **state)
{
	struct handshake h;
	uint8_t ephemeral[WG_KEY_LEN];
	uint8_t public_key[WG_KEY_LEN];

	(void)state;
	begin(&h, no_psk, no_psk);
	complete(&h);
	assert_int_equal(wg_message_check(h.initiation, WG_INITIATION_LEN), WG_MESSAGE_OK);
	assert_int_equal(base_load_le32(h.initiation + 4), INITIATOR_INDEX);
	key_of(ephemeral, 3);
	wg_key_public(public_key, ephemeral);
	assert_memory_equal(h.initiation + 8, public_key, WG_KEY_LEN);
	assert_int_equal(wg_message_check(h.response, WG_RESPONSE_LEN), WG_MESSAGE_OK);
	assert_int_equal(base_load_le32(h.response + 4), RESPONDER_INDEX);
	assert_int_equal(base_load_le32(h.response + 8), INITIATOR_INDEX);
	key_of(ephemeral, 4);
	wg_key_public(public_key, ephemeral);
	assert_memory_equal(h.response + 12, public_key, WG_KEY_LEN);
}

static void handshake_is_pure_and_every_ephemeral_gives_other_keys(void **state)
{
	struct handshake a, b;

	(void)state;
	begin(&a, no_psk, no_psk);
	complete(&a);
	begin(&b, no_psk, no_psk);
	complete(&b);
	assert_memory_equal(&a, &b, sizeof(a));
	begin(&b, no_psk, no_psk);
	initiate(&b, 33, WALL);
	assert_int_equal(receive_initiation(&b, b.initiation, T0), WG_NOISE_OK);
	respond(&b, 4);
	assert_memory_not_equal(&a.responder_keys, &b.responder_keys, WG_KEY_LEN);
}

static void secrets_are_wiped_when_the_handshake_ends(void **state)
{
	struct handshake h;

	(void)state;
	begin(&h, no_psk, no_psk);
	complete(&h);
	assert_wiped(&h.hs, sizeof(h.hs));
	assert_wiped(&h.opened.handshake, sizeof(h.opened.handshake));
}

static void crossing_handshakes_both_complete(void **state)
{
	struct handshake h, back;
	uint32_t index;

	(void)state;
	begin(&h, no_psk, no_psk);
	back = h;
	back.initiator = h.responder;
	back.responder = h.initiator;
	initiate(&h, 3, WALL);
	initiate(&back, 5, WALL);
	assert_int_equal(receive_initiation(&h, h.initiation, T0), WG_NOISE_OK);
	assert_int_equal(receive_initiation(&back, back.initiation, T0), WG_NOISE_OK);
	respond(&h, 4);
	respond(&back, 6);
	assert_int_equal(receive_response(&h, h.response, &index), WG_NOISE_OK);
	assert_int_equal(receive_response(&back, back.response, &index), WG_NOISE_OK);
	assert_keys_fit(&h);
	assert_keys_fit(&back);
}

/* ---- what does not ------------------------------------------------------------------------------- */

static void initiation_with_any_bit_flipped_is_refused_and_changes_nothing(void **state)
{
	struct handshake h;
	struct wg_noise_peer before;
	uint8_t msg[WG_INITIATION_LEN];

	(void)state;
	begin(&h, no_psk, no_psk);
	initiate(&h, 3, WALL);
	before = h.responder.peer;
	for (size_t bit = 0; bit < WG_INITIATION_MAC2 * 8; bit++) {
		memcpy(msg, h.initiation, sizeof(msg));
		msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (receive_initiation(&h, msg, T0) == WG_NOISE_OK)
			fail_msg("bit %zu of byte %zu", bit % 8, bit / 8);
		assert_memory_equal(&before, &h.responder.peer, sizeof(before));
	}
	assert_int_equal(receive_initiation(&h, h.initiation, T0), WG_NOISE_OK);
}

/* mac1 is no secret: whoever knows our public key can make a fitting one. */
static void initiation_changed_and_stamped_anew_is_refused_by_noise(void **state)
{
	struct handshake h;
	struct wg_noise_peer before;
	uint8_t msg[WG_INITIATION_LEN];

	(void)state;
	begin(&h, no_psk, no_psk);
	initiate(&h, 3, WALL);
	before = h.responder.peer;
	for (size_t bit = WG_INITIATION_EPHEMERAL * 8; bit < WG_INITIATION_MAC1 * 8; bit++) {
		memcpy(msg, h.initiation, sizeof(msg));
		msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
		wg_cookie_stamp(&h.initiator.maker, msg, sizeof(msg), T0);
		assert_int_equal(receive_initiation(&h, msg, T0), WG_NOISE_DECRYPT);
		assert_wiped(&h.opened, sizeof(h.opened));
		assert_memory_equal(&before, &h.responder.peer, sizeof(before));
	}
}

static void response_with_any_bit_flipped_is_refused_and_leaves_the_handshake(void **state)
{
	struct handshake h;
	struct wg_noise_handshake before;
	uint32_t index;
	uint8_t msg[WG_RESPONSE_LEN];

	(void)state;
	begin(&h, no_psk, no_psk);
	initiate(&h, 3, WALL);
	assert_int_equal(receive_initiation(&h, h.initiation, T0), WG_NOISE_OK);
	respond(&h, 4);
	before = h.hs;
	for (int stamp = 0; stamp < 2; stamp++) {
		/* stamped anew only from where Noise covers: the sender's index is mac1's */
		for (size_t bit = stamp ? 64 : 0; bit < (stamp ? 60 : 76) * 8; bit++) {
			memcpy(msg, h.response, sizeof(msg));
			msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (stamp)
				wg_cookie_stamp(&h.responder.maker, msg, sizeof(msg), T0);
			if (receive_response(&h, msg, &index) == WG_NOISE_OK)
				fail_msg("bit %zu of byte %zu", bit % 8, bit / 8);
			assert_memory_equal(&before, &h.hs, sizeof(before));
			assert_wiped(&h.initiator_keys, sizeof(h.initiator_keys));
		}
	}
	assert_int_equal(receive_response(&h, h.response, &index), WG_NOISE_OK);
	assert_keys_fit(&h);
}

static void replayed_or_older_initiation_is_refused(void **state)
{
	static const struct {
		uint64_t wall_ns;
		enum wg_noise_verdict expected;
	} cases[] = {
		/* 0: the same */ {WALL, WG_NOISE_TIMESTAMP},
		/* 1 */ {WALL - 1000 * BASE_NS_PER_S, WG_NOISE_TIMESTAMP},
		/* 2 */ {WALL - 1, WG_NOISE_TIMESTAMP},
		/* 3: newer, but not in what is left of the nanoseconds */
		{WALL + 1, WG_NOISE_TIMESTAMP},
		/* 4 */ {0, WG_NOISE_TIMESTAMP},
		/* 5 */ {WALL + 17 * MS, WG_NOISE_OK},
		/* 6 */ {WALL + 17 * MS, WG_NOISE_TIMESTAMP},
		/* 7 */ {WALL + BASE_NS_PER_S, WG_NOISE_OK},
		/* 8 */ {WALL + 17 * MS, WG_NOISE_TIMESTAMP},
	};
	struct handshake h;
	uint64_t now = T0;

	(void)state;
	begin(&h, no_psk, no_psk);
	initiate(&h, 3, WALL);
	assert_int_equal(receive_initiation(&h, h.initiation, now), WG_NOISE_OK);
	assert_int_equal(receive_initiation(&h, h.initiation, now + BASE_NS_PER_S),
	                 WG_NOISE_TIMESTAMP);
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		struct wg_noise_peer before = h.responder.peer;
		int got;

		now += BASE_NS_PER_S;
		initiate(&h, (uint8_t)(40 + i), cases[i].wall_ns);
		got = receive_initiation(&h, h.initiation, now);
		if (got != (int)cases[i].expected)
			fail_msg("case %zu: got %d", i, got);
		if (got == WG_NOISE_OK)
			continue;
		assert_memory_equal(&before, &h.responder.peer, sizeof(before));
		assert_wiped(&h.opened, sizeof(h.opened));
	}
}

static void stored_timestamp_is_respected_after_a_restart(void **state)
{
	struct handshake h;

	(void)state;
	begin(&h, no_psk, no_psk);
	wg_noise_timestamp(h.responder.peer.last_timestamp, WALL);
	initiate(&h, 3, WALL);
	assert_int_equal(receive_initiation(&h, h.initiation, T0), WG_NOISE_TIMESTAMP);
	initiate(&h, 3, WALL + BASE_NS_PER_S);
	assert_int_equal(receive_initiation(&h, h.initiation, T0), WG_NOISE_OK);
}

static void initiations_less_than_20_ms_apart_are_a_flood(void **state)
{
	struct handshake h;
	struct wg_noise_peer before;

	(void)state;
	begin(&h, no_psk, no_psk);
	initiate(&h, 3, WALL);
	assert_int_equal(receive_initiation(&h, h.initiation, T0), WG_NOISE_OK);
	before = h.responder.peer;
	initiate(&h, 4, WALL + BASE_NS_PER_S);
	assert_int_equal(receive_initiation(&h, h.initiation, T0), WG_NOISE_FLOOD);
	assert_int_equal(receive_initiation(&h, h.initiation, T0 + 20 * MS - 1), WG_NOISE_FLOOD);
	assert_memory_equal(&before, &h.responder.peer, sizeof(before));
	assert_wiped(&h.opened, sizeof(h.opened));
	/* Refusing did not start the 20 ms anew, nor use up the timestamp. */
	assert_int_equal(receive_initiation(&h, h.initiation, T0 + 20 * MS), WG_NOISE_OK);
	assert_true(h.responder.peer.last_initiation_ns == T0 + 20 * MS);
}

static void response_to_no_handshake_of_ours_is_refused(void **state)
{
	struct handshake h;
	struct wg_noise_handshake before;
	uint32_t index = 77;

	(void)state;
	begin(&h, no_psk, no_psk);
	initiate(&h, 3, WALL);
	assert_int_equal(receive_initiation(&h, h.initiation, T0), WG_NOISE_OK);
	respond(&h, 4);
	before = h.hs;
	base_store_le32(h.response + WG_RESPONSE_RECEIVER, INITIATOR_INDEX + 1);
	wg_cookie_stamp(&h.responder.maker, h.response, WG_RESPONSE_LEN, T0);
	assert_int_equal(receive_response(&h, h.response, &index), WG_NOISE_NO_HANDSHAKE);
	assert_memory_equal(&before, &h.hs, sizeof(before));
	base_store_le32(h.response + WG_RESPONSE_RECEIVER, INITIATOR_INDEX);
	wg_cookie_stamp(&h.responder.maker, h.response, WG_RESPONSE_LEN, T0);
	assert_int_equal(receive_response(&h, h.response, &index), WG_NOISE_OK);

	/* Consumed once, it is over; index 0 of a wiped handshake is nobody's either. */
	assert_int_equal(receive_response(&h, h.response, &index), WG_NOISE_NO_HANDSHAKE);
	base_store_le32(h.response + WG_RESPONSE_RECEIVER, 0);
	wg_cookie_stamp(&h.responder.maker, h.response, WG_RESPONSE_LEN, T0);
	assert_int_equal(receive_response(&h, h.response, &index), WG_NOISE_NO_HANDSHAKE);
}

static void forged_response_does_not_end_the_handshake(void **state)
{
	struct handshake h, forger;
	struct wg_noise_handshake before;
	uint32_t index = 0;
	uint8_t key[WG_KEY_LEN];

	(void)state;
	begin(&h, no_psk, no_psk);
	initiate(&h, 3, WALL);
	assert_int_equal(receive_initiation(&h, h.initiation, T0), WG_NOISE_OK);
	respond(&h, 4);
	before = h.hs;

	/* Somebody who saw the initiation, and is not the responder. */
	forger = h;
	key_of(key, 66);
	wg_noise_identity_init(&forger.responder.identity, key);
	memset(&forger.opened, 0, sizeof(forger.opened));
	memcpy(forger.opened.handshake.remote_ephemeral, h.initiation + 8, WG_KEY_LEN);
	forger.opened.handshake.remote_index = INITIATOR_INDEX;
	respond(&forger, 6);
	assert_int_equal(receive_response(&h, forger.response, &index), WG_NOISE_DECRYPT);
	assert_memory_equal(&before, &h.hs, sizeof(before));
	assert_wiped(&h.initiator_keys, sizeof(h.initiator_keys));
	assert_int_equal(index, 0);

	assert_int_equal(receive_response(&h, h.response, &index), WG_NOISE_OK);
	assert_keys_fit(&h);
}

static void different_preshared_keys_are_found_at_the_response(void **state)
{
	struct handshake h;
	struct wg_noise_handshake before;
	uint32_t index;
	uint8_t psk[WG_KEY_LEN];

	(void)state;
	key_of(psk, 9);
	for (int i = 0; i < 2; i++) {
		begin(&h, i ? psk : no_psk, i ? no_psk : psk);
		initiate(&h, 3, WALL);
		assert_int_equal(receive_initiation(&h, h.initiation, T0), WG_NOISE_OK);
		respond(&h, 4);
		before = h.hs;
		assert_int_equal(receive_response(&h, h.response, &index), WG_NOISE_DECRYPT);
		assert_memory_equal(&before, &h.hs, sizeof(before));
	}
}

static void initiation_to_another_hub_is_not_opened(void **state)
{
	struct handshake h;
	uint8_t key[WG_KEY_LEN];

	(void)state;
	begin(&h, no_psk, no_psk);
	initiate(&h, 3, WALL);
	key_of(key, 50);
	wg_noise_identity_init(&h.responder.identity, key);
	assert_int_equal(wg_noise_initiation_open(&h.responder.identity, h.initiation, &h.opened),
	                 WG_NOISE_DECRYPT);
	assert_wiped(&h.opened, sizeof(h.opened));
}

/* Anybody can seal anybody's public key; only ss shows that he holds the private one. */
static void stranger_who_claims_a_peers_key_is_refused(void **state)
{
	struct handshake h, stranger;
	struct wg_noise_peer before;
	uint8_t key[WG_KEY_LEN];

	(void)state;
	begin(&h, no_psk, no_psk);
	stranger = h;
	key_of(key, 66);
	wg_noise_identity_init(&stranger.initiator.identity, key);
	meet(&stranger.initiator, &stranger.responder, no_psk, no_psk);
	memcpy(stranger.initiator.identity.public_key, h.initiator.identity.public_key, WG_KEY_LEN);
	initiate(&stranger, 3, WALL);
	before = h.responder.peer;
	assert_int_equal(wg_noise_initiation_open(&h.responder.identity, stranger.initiation,
	                                          &h.opened),
	                 WG_NOISE_OK);
	assert_memory_equal(h.opened.static_public, h.initiator.identity.public_key, WG_KEY_LEN);
	assert_int_equal(wg_noise_initiation_consume(&h.responder.peer, stranger.initiation, T0,
	                                             &h.opened),
	                 WG_NOISE_DECRYPT);
	assert_wiped(&h.opened, sizeof(h.opened));
	assert_memory_equal(&before, &h.responder.peer, sizeof(before));
}

/* Every encoding of the points of order 1, 2, 4 and 8, and of two on the twist. */
static const char *const low_order[] = {
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b880",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f11d7",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
};

static void read_point(uint8_t out[static WG_KEY_LEN], const char *hex)
{
	size_t len;

	assert_int_equal(sodium_hex2bin(out, WG_KEY_LEN, hex, 64, NULL, &len, NULL), 0);
	assert_int_equal(len, WG_KEY_LEN);
}

static void low_order_points_are_refused_as_static_keys(void **state)
{
	struct wg_noise_peer peer;
	struct handshake h;

	(void)state;
	begin(&h, no_psk, no_psk);
	assert_int_equal(wg_key_check_public(h.initiator.identity.public_key), 0);
	for (size_t i = 0; i < BASE_ARRAY_LEN(low_order); i++) {
		uint8_t point[WG_KEY_LEN];
		uint8_t shared[WG_KEY_LEN];

		read_point(point, low_order[i]);
		memset(shared, 1, sizeof(shared));
		assert_int_equal(wg_key_check_public(point), -EINVAL);
		assert_int_equal(wg_key_shared(shared, h.initiator.identity.private_key, point),
		                 -EINVAL);
		assert_wiped(shared, sizeof(shared));
		memset(&peer, 1, sizeof(peer));
		assert_int_equal(wg_noise_peer_init(&peer, &h.initiator.identity, point, no_psk),
		                 -EINVAL);
		assert_wiped(&peer, sizeof(peer));
	}
}

/* The check is a list; X25519 itself is the plain version of it: beside each point of the list, and anywhere. */
static void a_key_is_refused_when_x25519_makes_nothing_of_it(void **state)
{
	uint32_t seed = randombytes_random();
	uint8_t seeds[randombytes_SEEDBYTES] = {0};
	uint8_t private_key[WG_KEY_LEN], point[WG_KEY_LEN], shared[WG_KEY_LEN];
	uint8_t points[256][WG_KEY_LEN];

	(void)state;
	key_of(private_key, 1);
	for (size_t i = 0; i < BASE_ARRAY_LEN(low_order); i++)
		for (uint32_t bit = 0; bit < 8 * WG_KEY_LEN; bit++) {
			read_point(point, low_order[i]);
			point[bit / 8] ^= (uint8_t)(1U << bit % 8);
			assert_int_equal(wg_key_check_public(point),
			                 wg_key_shared(shared, private_key, point));
		}
	base_store_le32(seeds, seed);
	randombytes_buf_deterministic(points, sizeof(points), seeds);
	for (size_t i = 0; i < BASE_ARRAY_LEN(points); i++)
		if (wg_key_check_public(points[i]) != wg_key_shared(shared, private_key, points[i]))
			fail_msg("seed %u, point %zu", seed, i);
}

static void low_order_points_are_refused_as_ephemerals(void **state)
{
	struct handshake h;
	uint32_t index;

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(low_order); i++) {
		struct wg_noise_handshake before;
		uint8_t ephemeral[WG_KEY_LEN];

		begin(&h, no_psk, no_psk);
		initiate(&h, 3, WALL);
		before = h.hs;
		read_point(h.initiation + WG_INITIATION_EPHEMERAL, low_order[i]);
		wg_cookie_stamp(&h.initiator.maker, h.initiation, WG_INITIATION_LEN, T0);
		assert_int_equal(receive_initiation(&h, h.initiation, T0), WG_NOISE_DECRYPT);
		assert_wiped(&h.opened, sizeof(h.opened));

		memset(h.response, 0, WG_RESPONSE_LEN);
		h.response[0] = WG_MESSAGE_RESPONSE;
		base_store_le32(h.response + WG_RESPONSE_RECEIVER, INITIATOR_INDEX);
		read_point(h.response + WG_RESPONSE_EPHEMERAL, low_order[i]);
		wg_cookie_stamp(&h.responder.maker, h.response, WG_RESPONSE_LEN, T0);
		assert_int_equal(receive_response(&h, h.response, &index), WG_NOISE_DECRYPT);
		assert_memory_equal(&before, &h.hs, sizeof(before));

		/* As responder too, should one ever come so far. */
		memset(&h.opened, 5, sizeof(h.opened));
		memset(&h.responder_keys, 5, sizeof(h.responder_keys));
		read_point(h.opened.handshake.remote_ephemeral, low_order[i]);
		key_of(ephemeral, 4);
		assert_int_equal(wg_noise_response_create(&h.responder.peer, &h.opened.handshake, 1,
		                                          ephemeral, h.response, &h.responder_keys),
		                 -EINVAL);
		assert_wiped(&h.opened.handshake, sizeof(h.opened.handshake));
		assert_wiped(&h.responder_keys, sizeof(h.responder_keys));

		/* And a peer whose key was spoilt after peer_init() checked it. */
		read_point(h.initiator.peer.public_key, low_order[i]);
		memset(&h.hs, 5, sizeof(h.hs));
		assert_int_equal(wg_noise_initiation_create(&h.initiator.identity,
		                                            &h.initiator.peer, 1, ephemeral,
		                                            ephemeral, &h.hs, h.initiation),
		                 -EINVAL);
		assert_wiped(&h.hs, sizeof(h.hs));
	}
}

/* ---- keys and time ------------------------------------------------------------------------------- */

static void clamp_makes_a_private_key_of_any_bytes(void **state)
{
	uint8_t key[WG_KEY_LEN];

	(void)state;
	memset(key, 0xff, sizeof(key));
	wg_key_clamp(key);
	assert_int_equal(key[0], 0xf8);
	assert_int_equal(key[31], 0x7f);
	memset(key, 0, sizeof(key));
	wg_key_clamp(key);
	assert_int_equal(key[0], 0);
	assert_int_equal(key[31], 0x40);
	assert_wiped(key + 1, 30);
}

static void timestamp_is_tai64n_with_coarse_nanoseconds(void **state)
{
	static const struct {
		uint64_t wall_ns;
		uint8_t expected[WG_TIMESTAMP_LEN];
	} cases[] = {
		/* 0 */ {0, {0x40, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0}},
		/* 1 */ {(1 << 24) - 1, {0x40, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0}},
		/* 2 */ {1 << 24, {0x40, 0, 0, 0, 0, 0, 0, 10, 1, 0, 0, 0}},
		/* 3 */ {999999999, {0x40, 0, 0, 0, 0, 0, 0, 10, 0x3b, 0, 0, 0}},
		/* 4 */ {1000000000, {0x40, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 0}},
		/* 5: 2^32 - 1 s */
		{UINT64_C(4294967295) * BASE_NS_PER_S, {0x40, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0}},
	};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		uint8_t out[WG_TIMESTAMP_LEN];

		wg_noise_timestamp(out, cases[i].wall_ns);
		if (memcmp(out, cases[i].expected, sizeof(out)) != 0)
			fail_msg("case %zu", i);
	}
}

static void later_timestamps_compare_higher(void **state)
{
	uint8_t last[WG_TIMESTAMP_LEN];

	(void)state;
	wg_noise_timestamp(last, WALL);
	for (uint64_t i = 1; i < 200; i++) {
		uint8_t next[WG_TIMESTAMP_LEN];

		wg_noise_timestamp(next, WALL + i * 17 * MS);
		assert_true(memcmp(next, last, sizeof(next)) > 0);
		memcpy(last, next, sizeof(last));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handshake_gives_both_sides_the_same_keys),
		cmocka_unit_test(handshake_with_preshared_key_gives_other_keys),
		cmocka_unit_test(messages_have_their_fields_where_the_whitepaper_says),
		cmocka_unit_test(handshake_is_pure_and_every_ephemeral_gives_other_keys),
		cmocka_unit_test(secrets_are_wiped_when_the_handshake_ends),
		cmocka_unit_test(crossing_handshakes_both_complete),
		cmocka_unit_test(initiation_with_any_bit_flipped_is_refused_and_changes_nothing),
		cmocka_unit_test(initiation_changed_and_stamped_anew_is_refused_by_noise),
		cmocka_unit_test(response_with_any_bit_flipped_is_refused_and_leaves_the_handshake),
		cmocka_unit_test(replayed_or_older_initiation_is_refused),
		cmocka_unit_test(stored_timestamp_is_respected_after_a_restart),
		cmocka_unit_test(initiations_less_than_20_ms_apart_are_a_flood),
		cmocka_unit_test(response_to_no_handshake_of_ours_is_refused),
		cmocka_unit_test(forged_response_does_not_end_the_handshake),
		cmocka_unit_test(different_preshared_keys_are_found_at_the_response),
		cmocka_unit_test(initiation_to_another_hub_is_not_opened),
		cmocka_unit_test(stranger_who_claims_a_peers_key_is_refused),
		cmocka_unit_test(low_order_points_are_refused_as_static_keys),
		cmocka_unit_test(a_key_is_refused_when_x25519_makes_nothing_of_it),
		cmocka_unit_test(low_order_points_are_refused_as_ephemerals),
		cmocka_unit_test(clamp_makes_a_private_key_of_any_bytes),
		cmocka_unit_test(timestamp_is_tai64n_with_coarse_nanoseconds),
		cmocka_unit_test(later_timestamps_compare_higher),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
