/* mac1, mac2 and cookies: what is bound to what, and for how long. */
#include "base_bytes.h"
#include "base_time.h"
#include "test.h"
#include "wg_blake2s.h"
#include "wg_cookie.h"

#include <sodium.h>

#include <errno.h>

#define S  BASE_NS_PER_S
#define T0 (1000 * S)

static const uint8_t public_key[WG_KEY_LEN] = {1, 2, 3, 4, 5};
static const uint8_t other_key[WG_KEY_LEN] = {1, 2, 3, 4, 6};
static const uint8_t random_a[32] = {0xa};
static const uint8_t random_b[32] = {0xb};
static const uint8_t nonce[WG_COOKIE_NONCE_LEN] = {7, 7, 7};

static struct base_endpoint endpoint(const char *text)
{
	struct base_endpoint e;

	if (base_endpoint_parse(text, &e) < 0)
		fail_msg("bad endpoint in test: %s", text);
	return e;
}

/* Some handshake message up to mac1. */
static void fill(uint8_t *msg, size_t len)
{
	memset(msg, 0, len);
	for (size_t i = 4; i < len - 32; i++)
		msg[i] = (uint8_t)(i * 7);
	msg[0] = len == WG_INITIATION_LEN ? WG_MESSAGE_INITIATION : WG_MESSAGE_RESPONSE;
}

static const size_t lengths[] = {WG_INITIATION_LEN, WG_RESPONSE_LEN};

static void mac1_is_keyed_by_the_receivers_key_and_covers_all_before_it(void **state)
{
	(void)state;
	for (size_t l = 0; l < BASE_ARRAY_LEN(lengths); l++) {
		struct wg_cookie_maker maker;
		uint8_t mac1_key[32], wrong_key[32];
		uint8_t msg[WG_INITIATION_LEN];
		size_t len = lengths[l];

		wg_cookie_mac1_key(mac1_key, public_key);
		wg_cookie_mac1_key(wrong_key, other_key);
		wg_cookie_maker_init(&maker, public_key);
		fill(msg, len);
		wg_cookie_stamp(&maker, msg, len, T0);
		assert_true(wg_cookie_mac1_ok(mac1_key, msg, len));
		assert_false(wg_cookie_mac1_ok(wrong_key, msg, len));
		for (size_t bit = 0; bit < len * 8; bit++) {
			msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(wg_cookie_mac1_ok(mac1_key, msg, len),
			                 bit / 8 >= len - 16);
			msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

/* Spelled out from the whitepaper, 5.4.4, with libsodium's help nowhere. */
static void mac1_is_the_whitepapers_formula(void **state)
{
	struct wg_cookie_maker maker;
	uint8_t msg[WG_INITIATION_LEN];
	uint8_t label[8 + 32] = "mac1----";
	uint8_t key[32];
	uint8_t mac[16];

	(void)state;
	memcpy(label + 8, public_key, 32);
	wg_hash(key, label, sizeof(label));
	fill(msg, sizeof(msg));
	wg_mac(mac, key, 32, msg, 116);
	wg_cookie_maker_init(&maker, public_key);
	wg_cookie_stamp(&maker, msg, sizeof(msg), T0);
	assert_memory_equal(msg + 116, mac, 16);
	assert_true(base_is_zero_ct(msg + 132, 16));
}

struct pair {
	struct wg_cookie_checker checker;
	struct wg_cookie_maker maker;
	struct base_endpoint source;
	uint8_t msg[WG_INITIATION_LEN];
	uint8_t reply[WG_COOKIE_LEN];
};

/* The first message went out at now_ns and was answered with a cookie. */
static void begin(struct pair *pair, const char *source, uint64_t now_ns)
{
	wg_cookie_checker_init(&pair->checker, public_key);
	wg_cookie_maker_init(&pair->maker, public_key);
	pair->source = endpoint(source);
	fill(pair->msg, sizeof(pair->msg));
	wg_cookie_stamp(&pair->maker, pair->msg, sizeof(pair->msg), now_ns);
	assert_int_equal(wg_cookie_check(&pair->checker, pair->msg, sizeof(pair->msg),
	                                 &pair->source, now_ns),
	                 WG_COOKIE_MAC1_OK);
	wg_cookie_reply_create(&pair->checker, pair->msg, sizeof(pair->msg), &pair->source,
	                       random_a, nonce, now_ns, pair->reply);
}

static enum wg_cookie_verdict check(struct pair *pair, uint64_t now_ns)
{
	return wg_cookie_check(&pair->checker, pair->msg, sizeof(pair->msg), &pair->source, now_ns);
}

static void message_stamped_with_a_cookie_passes_mac2(void **state)
{
	static const char *const sources[] = {"192.0.2.1:51820", "[2001:db8::1]:51820"};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(sources); i++) {
		struct pair pair;

		begin(&pair, sources[i], T0);
		assert_int_equal(wg_message_check(pair.reply, WG_COOKIE_LEN), WG_MESSAGE_OK);
		assert_memory_equal(pair.reply + WG_COOKIE_RECEIVER,
		                    pair.msg + WG_INITIATION_SENDER, 4);
		assert_int_equal(wg_cookie_reply_consume(&pair.maker, pair.reply, T0), 0);
		wg_cookie_stamp(&pair.maker, pair.msg, sizeof(pair.msg), T0 + S);
		assert_int_equal(check(&pair, T0 + S), WG_COOKIE_MAC2_OK);
		for (size_t bit = 132 * 8; bit < 148 * 8; bit++) {
			pair.msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(check(&pair, T0 + S), WG_COOKIE_MAC1_OK);
			pair.msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		pair.msg[20] ^= 1;
		assert_int_equal(check(&pair, T0 + S), WG_COOKIE_MAC1_BAD);
	}
}

static void cookie_is_bound_to_address_and_port(void **state)
{
	static const char *const elsewhere[] = {"192.0.2.2:51820",    "192.0.2.1:51821",
	                                        "193.0.2.1:51820",    "192.0.2.1:1",
	                                        "[c000:201::]:51820", "[2001:db8::1]:51820"};
	struct pair pair;

	(void)state;
	begin(&pair, "192.0.2.1:51820", T0);
	assert_int_equal(wg_cookie_reply_consume(&pair.maker, pair.reply, T0), 0);
	wg_cookie_stamp(&pair.maker, pair.msg, sizeof(pair.msg), T0);
	assert_int_equal(check(&pair, T0), WG_COOKIE_MAC2_OK);
	for (size_t i = 0; i < BASE_ARRAY_LEN(elsewhere); i++) {
		pair.source = endpoint(elsewhere[i]);
		if (check(&pair, T0) != WG_COOKIE_MAC1_OK)
			fail_msg("case %zu: %s", i, elsewhere[i]);
	}
}

static void secret_lives_120_s_and_is_then_replaced(void **state)
{
	struct pair pair;
	uint8_t secret[32];

	(void)state;
	begin(&pair, "192.0.2.1:51820", T0);
	assert_memory_equal(pair.checker.secret, random_a, 32);
	assert_int_equal(wg_cookie_reply_consume(&pair.maker, pair.reply, T0), 0);
	wg_cookie_stamp(&pair.maker, pair.msg, sizeof(pair.msg), T0);
	assert_int_equal(check(&pair, T0 + 120 * S - 1), WG_COOKIE_MAC2_OK);
	assert_int_equal(check(&pair, T0 + 120 * S), WG_COOKIE_MAC1_OK);

	memcpy(secret, pair.checker.secret, 32);
	wg_cookie_reply_create(&pair.checker, pair.msg, sizeof(pair.msg), &pair.source, random_b,
	                       nonce, T0 + 120 * S - 1, pair.reply);
	assert_memory_equal(pair.checker.secret, secret, 32);
	wg_cookie_reply_create(&pair.checker, pair.msg, sizeof(pair.msg), &pair.source, random_b,
	                       nonce, T0 + 120 * S, pair.reply);
	assert_memory_equal(pair.checker.secret, random_b, 32);
	/* What the old secret gave is worth nothing under the new one. */
	assert_int_equal(check(&pair, T0 + 120 * S), WG_COOKIE_MAC1_OK);
}

static void maker_uses_a_cookie_for_115_s(void **state)
{
	struct pair pair;

	(void)state;
	begin(&pair, "192.0.2.1:51820", T0);
	assert_int_equal(wg_cookie_reply_consume(&pair.maker, pair.reply, T0), 0);
	wg_cookie_stamp(&pair.maker, pair.msg, sizeof(pair.msg), T0 + 115 * S - 1);
	assert_false(base_is_zero_ct(pair.msg + WG_INITIATION_MAC2, 16));
	wg_cookie_stamp(&pair.maker, pair.msg, sizeof(pair.msg), T0 + 115 * S);
	assert_true(base_is_zero_ct(pair.msg + WG_INITIATION_MAC2, 16));
}

static void checker_without_a_secret_passes_no_mac2(void **state)
{
	struct pair pair;
	uint8_t zero_secret_cookie[16];
	uint8_t text[6] = {192, 0, 2, 1, 51820 >> 8, 51820 & 0xff};
	static const uint8_t zero[32];

	(void)state;
	begin(&pair, "192.0.2.1:51820", T0);
	wg_cookie_checker_init(&pair.checker, public_key);
	wg_mac(zero_secret_cookie, zero, 32, text, sizeof(text));
	wg_mac(pair.msg + 132, zero_secret_cookie, 16, pair.msg, 132);
	assert_int_equal(check(&pair, 1), WG_COOKIE_MAC1_OK);
}

static void reply_is_taken_to_the_last_message_only(void **state)
{
	struct wg_cookie_maker before;
	struct pair pair;

	(void)state;
	begin(&pair, "192.0.2.1:51820", T0);
	pair.msg[30] ^= 1;
	wg_cookie_stamp(&pair.maker, pair.msg, sizeof(pair.msg), T0);
	before = pair.maker;
	assert_int_equal(wg_cookie_reply_consume(&pair.maker, pair.reply, T0), -EBADMSG);
	assert_memory_equal(&before, &pair.maker, sizeof(before));
}

static void reply_is_taken_once(void **state)
{
	struct wg_cookie_maker before;
	struct pair pair;

	(void)state;
	begin(&pair, "192.0.2.1:51820", T0);
	assert_int_equal(wg_cookie_reply_consume(&pair.maker, pair.reply, T0), 0);
	before = pair.maker;
	assert_int_equal(wg_cookie_reply_consume(&pair.maker, pair.reply, T0 + S), -EBADMSG);
	assert_memory_equal(&before, &pair.maker, sizeof(before));
}

static void reply_before_any_message_is_refused(void **state)
{
	struct pair pair;

	(void)state;
	begin(&pair, "192.0.2.1:51820", T0);
	wg_cookie_maker_init(&pair.maker, public_key);
	assert_int_equal(wg_cookie_reply_consume(&pair.maker, pair.reply, T0), -EBADMSG);
}

static void reply_with_a_bit_flipped_is_refused_and_changes_nothing(void **state)
{
	struct wg_cookie_maker before;
	struct pair pair;

	(void)state;
	begin(&pair, "192.0.2.1:51820", T0);
	before = pair.maker;
	for (size_t bit = WG_COOKIE_NONCE * 8; bit < WG_COOKIE_LEN * 8; bit++) {
		pair.reply[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(wg_cookie_reply_consume(&pair.maker, pair.reply, T0), -EBADMSG);
		assert_memory_equal(&before, &pair.maker, sizeof(before));
		pair.reply[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(wg_cookie_reply_consume(&pair.maker, pair.reply, T0), 0);
}

static void reply_by_somebody_else_is_refused(void **state)
{
	struct wg_cookie_checker impostor;
	struct pair pair;

	(void)state;
	begin(&pair, "192.0.2.1:51820", T0);
	wg_cookie_checker_init(&impostor, other_key);
	wg_cookie_reply_create(&impostor, pair.msg, sizeof(pair.msg), &pair.source, random_a, nonce,
	                       T0, pair.reply);
	assert_int_equal(wg_cookie_reply_consume(&pair.maker, pair.reply, T0), -EBADMSG);
}

static void response_can_carry_mac2_too(void **state)
{
	struct pair pair;
	uint8_t msg[WG_RESPONSE_LEN];

	(void)state;
	begin(&pair, "192.0.2.1:51820", T0);
	fill(msg, sizeof(msg));
	wg_cookie_stamp(&pair.maker, msg, sizeof(msg), T0);
	wg_cookie_reply_create(&pair.checker, msg, sizeof(msg), &pair.source, random_a, nonce, T0,
	                       pair.reply);
	assert_int_equal(wg_cookie_reply_consume(&pair.maker, pair.reply, T0), 0);
	wg_cookie_stamp(&pair.maker, msg, sizeof(msg), T0);
	assert_int_equal(wg_cookie_check(&pair.checker, msg, sizeof(msg), &pair.source, T0),
	                 WG_COOKIE_MAC2_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mac1_is_keyed_by_the_receivers_key_and_covers_all_before_it),
		cmocka_unit_test(mac1_is_the_whitepapers_formula),
		cmocka_unit_test(message_stamped_with_a_cookie_passes_mac2),
		cmocka_unit_test(cookie_is_bound_to_address_and_port),
		cmocka_unit_test(secret_lives_120_s_and_is_then_replaced),
		cmocka_unit_test(maker_uses_a_cookie_for_115_s),
		cmocka_unit_test(checker_without_a_secret_passes_no_mac2),
		cmocka_unit_test(reply_is_taken_to_the_last_message_only),
		cmocka_unit_test(reply_is_taken_once),
		cmocka_unit_test(reply_before_any_message_is_refused),
		cmocka_unit_test(reply_with_a_bit_flipped_is_refused_and_changes_nothing),
		cmocka_unit_test(reply_by_somebody_else_is_refused),
		cmocka_unit_test(response_can_carry_mac2_too),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
