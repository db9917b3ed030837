/* mac1, mac2 and cookies (whitepaper 5.3, 5.4.4, 5.4.7). Checker: the side that receives handshake
 * messages. Maker: per peer, the side that sends them. Pure: time and randomness are arguments. */
#ifndef WG_COOKIE_H
#define WG_COOKIE_H

#include "base_ip.h"
#include "wg_message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WG_MAC_LEN           16U
#define WG_COOKIE_VALUE_LEN  16U
#define WG_COOKIE_NONCE_LEN  24U
#define WG_COOKIE_SECRET_NS  UINT64_C(120000000000) /* life of a secret and of a cookie */
#define WG_COOKIE_LATENCY_NS UINT64_C(5000000000) /* maker stops using a cookie this much sooner */

enum wg_cookie_verdict {
	WG_COOKIE_MAC1_BAD = 0,
	WG_COOKIE_MAC1_OK = 1, /* mac2 absent, stale or wrong */
	WG_COOKIE_MAC2_OK = 2,
};

struct wg_cookie_checker {
	uint8_t mac1_key[32];   /* HASH("mac1----" || our public key) */
	uint8_t cookie_key[32]; /* HASH("cookie--" || our public key) */
	uint8_t secret[32];
	uint64_t secret_birth_ns; /* 0 = none yet */
};

struct wg_cookie_maker {
	uint8_t mac1_key[32]; /* of the peer's public key */
	uint8_t cookie_key[32];
	uint8_t cookie[WG_COOKIE_VALUE_LEN];
	uint64_t cookie_birth_ns;      /* 0 = none */
	uint8_t last_mac1[WG_MAC_LEN]; /* of the last message sent, which a reply must quote */
	uint8_t have_last_mac1;
	uint8_t pad[7];
};

/* HASH("mac1----" || public_key): all that a worker needs to check mac1. Public. */
void wg_cookie_mac1_key(uint8_t out[static 32], const uint8_t public_key[static WG_KEY_LEN]);

/* Check mac1 of an initiation or response of msg_len bytes whose length was checked. */
bool wg_cookie_mac1_ok(const uint8_t mac1_key[static 32], const uint8_t *msg, size_t msg_len);

void wg_cookie_checker_init(struct wg_cookie_checker *checker,
                            const uint8_t public_key[static WG_KEY_LEN]);

/* Check both MACs of a message from this source. */
enum wg_cookie_verdict wg_cookie_check(const struct wg_cookie_checker *checker, const uint8_t *msg,
                                       size_t msg_len, const struct base_endpoint *source,
                                       uint64_t now_ns);

/* The second half alone, when mac1 was checked: does mac2 answer a cookie of ours to this source? */
bool wg_cookie_mac2_ok(const struct wg_cookie_checker *checker, const uint8_t *msg, size_t msg_len,
                       const struct base_endpoint *source, uint64_t now_ns);

/* False: the next reply takes a new secret, so random must be. */
bool wg_cookie_secret_is_fresh(const struct wg_cookie_checker *checker, uint64_t now_ns);

/* Answer msg with a cookie reply. random: 32 bytes used when the secret is due for renewal;
 * nonce: 24 random bytes. */
void wg_cookie_reply_create(struct wg_cookie_checker *checker, const uint8_t *msg, size_t msg_len,
                            const struct base_endpoint *source, const uint8_t random[static 32],
                            const uint8_t nonce[static WG_COOKIE_NONCE_LEN], uint64_t now_ns,
                            uint8_t reply[static WG_COOKIE_LEN]);

void wg_cookie_maker_init(struct wg_cookie_maker *maker,
                          const uint8_t public_key[static WG_KEY_LEN]);

/* Fill mac1 and, while a cookie is fresh, mac2 of a message about to be sent (else mac2 zero). */
void wg_cookie_stamp(struct wg_cookie_maker *maker, uint8_t *msg, size_t msg_len, uint64_t now_ns);

/* Take a cookie reply to our last message. Returns 0, or -EBADMSG (not to our last message, or
 * forged; maker unchanged). */
int wg_cookie_reply_consume(struct wg_cookie_maker *maker, const uint8_t msg[static WG_COOKIE_LEN],
                            uint64_t now_ns) __attribute__((warn_unused_result));

#endif
