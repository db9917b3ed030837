/* mac1, mac2 and cookies. Both macs are the last 32 bytes of a message. */
#include "wg_cookie.h"

#include "base_bytes.h"
#include "wg_blake2s.h"

#include <sodium.h>

#include <assert.h>
#include <errno.h>

#define MACS_LEN   (2 * WG_MAC_LEN)
#define SENDER     4U
#define SOURCE_MAX 18U
#define LABEL_LEN  8U
#define TAG_BEHIND (WG_COOKIE_COOKIE + WG_COOKIE_VALUE_LEN)

_Static_assert(WG_INITIATION_MAC1 == WG_INITIATION_LEN - MACS_LEN, "mac1 of an initiation");
_Static_assert(WG_RESPONSE_MAC1 == WG_RESPONSE_LEN - MACS_LEN, "mac1 of a response");
_Static_assert(WG_INITIATION_SENDER == SENDER && WG_RESPONSE_SENDER == SENDER, "sender index");
_Static_assert(TAG_BEHIND + WG_TAG_LEN == WG_COOKIE_LEN, "cookie reply ends with its tag");

static void labelled_key(uint8_t out[static 32], const char *label,
                         const uint8_t public_key[static WG_KEY_LEN])
{
	wg_hash2(out, label, LABEL_LEN, public_key, WG_KEY_LEN);
}

void wg_cookie_mac1_key(uint8_t out[static 32], const uint8_t public_key[static WG_KEY_LEN])
{
	labelled_key(out, "mac1----", public_key);
}

static void compute_mac1(uint8_t out[static WG_MAC_LEN], const uint8_t mac1_key[static 32],
                         const uint8_t *msg, size_t msg_len)
{
	wg_mac(out, mac1_key, 32, msg, msg_len - MACS_LEN);
}

static void compute_mac2(uint8_t out[static WG_MAC_LEN],
                         const uint8_t cookie[static WG_COOKIE_VALUE_LEN], const uint8_t *msg,
                         size_t msg_len)
{
	wg_mac(out, cookie, WG_COOKIE_VALUE_LEN, msg, msg_len - WG_MAC_LEN);
}

bool wg_cookie_mac1_ok(const uint8_t mac1_key[static 32], const uint8_t *msg, size_t msg_len)
{
	uint8_t mac[WG_MAC_LEN];

	assert(msg_len == WG_INITIATION_LEN || msg_len == WG_RESPONSE_LEN);
	compute_mac1(mac, mac1_key, msg, msg_len);
	return base_equal_ct(mac, msg + msg_len - MACS_LEN, WG_MAC_LEN);
}

void wg_cookie_checker_init(struct wg_cookie_checker *checker,
                            const uint8_t public_key[static WG_KEY_LEN])
{
	memset(checker, 0, sizeof(*checker));
	labelled_key(checker->mac1_key, "mac1----", public_key);
	labelled_key(checker->cookie_key, "cookie--", public_key);
}

bool wg_cookie_secret_is_fresh(const struct wg_cookie_checker *checker, uint64_t now_ns)
{
	return checker->secret_birth_ns != 0
	       && now_ns < checker->secret_birth_ns + WG_COOKIE_SECRET_NS;
}

/* MAC(secret, address || port), both in network order. */
static void make_cookie(uint8_t out[static WG_COOKIE_VALUE_LEN],
                        const struct wg_cookie_checker *checker, const struct base_endpoint *source)
{
	uint8_t text[SOURCE_MAX];
	size_t len = base_ip_len(source->ip.family);

	memcpy(text, source->ip.bytes, len);
	base_store_be16(text + len, source->port);
	wg_mac(out, checker->secret, sizeof(checker->secret), text, len + 2);
}

bool wg_cookie_mac2_ok(const struct wg_cookie_checker *checker, const uint8_t *msg, size_t msg_len,
                       const struct base_endpoint *source, uint64_t now_ns)
{
	uint8_t cookie[WG_COOKIE_VALUE_LEN];
	uint8_t mac[WG_MAC_LEN];
	bool ok;

	if (!wg_cookie_secret_is_fresh(checker, now_ns)
	    || base_is_zero_ct(msg + msg_len - WG_MAC_LEN, WG_MAC_LEN))
		return false;
	make_cookie(cookie, checker, source);
	compute_mac2(mac, cookie, msg, msg_len);
	ok = base_equal_ct(mac, msg + msg_len - WG_MAC_LEN, WG_MAC_LEN);
	base_wipe(cookie, sizeof(cookie));
	base_wipe(mac, sizeof(mac));
	return ok;
}

enum wg_cookie_verdict wg_cookie_check(const struct wg_cookie_checker *checker, const uint8_t *msg,
                                       size_t msg_len, const struct base_endpoint *source,
                                       uint64_t now_ns)
{
	if (!wg_cookie_mac1_ok(checker->mac1_key, msg, msg_len))
		return WG_COOKIE_MAC1_BAD;
	return wg_cookie_mac2_ok(checker, msg, msg_len, source, now_ns) ? WG_COOKIE_MAC2_OK
	                                                                : WG_COOKIE_MAC1_OK;
}

void wg_cookie_reply_create(struct wg_cookie_checker *checker, const uint8_t *msg, size_t msg_len,
                            const struct base_endpoint *source, const uint8_t random[static 32],
                            const uint8_t nonce[static WG_COOKIE_NONCE_LEN], uint64_t now_ns,
                            uint8_t reply[static WG_COOKIE_LEN])
{
	uint8_t cookie[WG_COOKIE_VALUE_LEN];

	if (!wg_cookie_secret_is_fresh(checker, now_ns)) {
		memcpy(checker->secret, random, sizeof(checker->secret));
		checker->secret_birth_ns = now_ns;
	}
	make_cookie(cookie, checker, source);
	base_store_le32(reply, WG_MESSAGE_COOKIE);
	memcpy(reply + WG_COOKIE_RECEIVER, msg + SENDER, 4);
	memcpy(reply + WG_COOKIE_NONCE, nonce, WG_COOKIE_NONCE_LEN);
	crypto_aead_xchacha20poly1305_ietf_encrypt(reply + WG_COOKIE_COOKIE, NULL, cookie,
	                                           sizeof(cookie), msg + msg_len - MACS_LEN,
	                                           WG_MAC_LEN, NULL, nonce, checker->cookie_key);
	base_wipe(cookie, sizeof(cookie));
}

void wg_cookie_maker_init(struct wg_cookie_maker *maker,
                          const uint8_t public_key[static WG_KEY_LEN])
{
	memset(maker, 0, sizeof(*maker));
	labelled_key(maker->mac1_key, "mac1----", public_key);
	labelled_key(maker->cookie_key, "cookie--", public_key);
}

static bool cookie_is_fresh(const struct wg_cookie_maker *maker, uint64_t now_ns)
{
	return maker->cookie_birth_ns != 0
	       && now_ns < maker->cookie_birth_ns + WG_COOKIE_SECRET_NS - WG_COOKIE_LATENCY_NS;
}

void wg_cookie_stamp(struct wg_cookie_maker *maker, uint8_t *msg, size_t msg_len, uint64_t now_ns)
{
	uint8_t *mac1 = msg + msg_len - MACS_LEN;
	uint8_t *mac2 = msg + msg_len - WG_MAC_LEN;

	assert(msg_len == WG_INITIATION_LEN || msg_len == WG_RESPONSE_LEN);
	compute_mac1(mac1, maker->mac1_key, msg, msg_len);
	memcpy(maker->last_mac1, mac1, WG_MAC_LEN);
	maker->have_last_mac1 = 1;
	if (cookie_is_fresh(maker, now_ns))
		compute_mac2(mac2, maker->cookie, msg, msg_len);
	else
		memset(mac2, 0, WG_MAC_LEN);
}

int wg_cookie_reply_consume(struct wg_cookie_maker *maker, const uint8_t msg[static WG_COOKIE_LEN],
                            uint64_t now_ns)
{
	uint8_t cookie[WG_COOKIE_VALUE_LEN];

	if (!maker->have_last_mac1)
		return -EBADMSG;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(
		    cookie, NULL, NULL, msg + WG_COOKIE_COOKIE, sizeof(cookie) + WG_TAG_LEN,
		    maker->last_mac1, WG_MAC_LEN, msg + WG_COOKIE_NONCE, maker->cookie_key)
	    != 0)
		return -EBADMSG;
	memcpy(maker->cookie, cookie, sizeof(cookie));
	maker->cookie_birth_ns = now_ns;
	/* One message, one reply: a second one with the same cookie would only extend its life. */
	maker->have_last_mac1 = 0;
	base_wipe(cookie, sizeof(cookie));
	return 0;
}
