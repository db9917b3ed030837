/* Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s, both roles (whitepaper 5.4.2, 5.4.3, 5.4.5).
 *
 * Pure: time, randomness and the look-up of the peer are the caller's. Each function verifies
 * first, commits only when everything fits, and wipes what it derived on the way on every exit.
 * MACs are wg_cookie.h's: here messages are complete up to mac1. A message handed in has passed
 * wg_message_check() and its mac1: type, reserved bytes and the sender's index are covered by mac1
 * alone. No branch and no index depends on a secret, but for the verdict itself. */
#ifndef WG_NOISE_H
#define WG_NOISE_H

#include "wg_message.h"

#include <stdbool.h>
#include <stdint.h>

#define WG_TIMESTAMP_LEN 12 /* TAI64N, big endian: compares with memcmp() */

enum wg_noise_verdict {
	WG_NOISE_OK = 0,
	WG_NOISE_DECRYPT = 1,      /* a tag does not fit, or a low-order point */
	WG_NOISE_UNKNOWN_PEER = 2, /* for the caller's look-up between open and consume */
	WG_NOISE_TIMESTAMP = 3,    /* not newer than the last accepted */
	WG_NOISE_FLOOD = 4,        /* less than 20 ms after the last accepted */
	WG_NOISE_NO_HANDSHAKE = 5, /* response to no initiation of ours */
};

/* The hub's identity. Secret; caller wipes. */
struct wg_noise_identity {
	uint8_t private_key[WG_KEY_LEN];
	uint8_t public_key[WG_KEY_LEN];
};

/* A remote peer's long-term part. Secret; one owner thread at a time. */
struct wg_noise_peer {
	uint8_t public_key[WG_KEY_LEN];
	uint8_t preshared_key[WG_KEY_LEN];        /* all zero = none */
	uint8_t static_static[WG_KEY_LEN];        /* precomputed DH */
	uint8_t last_timestamp[WG_TIMESTAMP_LEN]; /* newest accepted initiation */
	uint64_t last_initiation_ns;              /* when it was accepted, 0 = never */
};

/* A handshake under way: after creating an initiation, or between opening one and answering. */
struct wg_noise_handshake {
	uint8_t chaining_key[32];
	uint8_t hash[32];
	uint8_t ephemeral_private[WG_KEY_LEN];
	uint8_t remote_ephemeral[WG_KEY_LEN];
	uint32_t local_index;
	uint32_t remote_index;
};

struct wg_noise_keys {
	uint8_t send[WG_KEY_LEN];
	uint8_t receive[WG_KEY_LEN];
};

/* An initiation whose static key was decrypted, before the peer is looked up. */
struct wg_noise_opened {
	struct wg_noise_handshake handshake;
	uint8_t static_public[WG_KEY_LEN];
};

void wg_noise_identity_init(struct wg_noise_identity *identity,
                            const uint8_t private_key[static WG_KEY_LEN]);

/* Precompute the static-static DH; last_timestamp is zero until the caller restores a stored one.
 * preshared_key all zero = none. Returns 0 or -EINVAL (low-order public key; peer all zero). */
int wg_noise_peer_init(struct wg_noise_peer *peer, const struct wg_noise_identity *identity,
                       const uint8_t public_key[static WG_KEY_LEN],
                       const uint8_t preshared_key[static WG_KEY_LEN])
	__attribute__((warn_unused_result));

/* TAI64N of a wall-clock time, rounded down to 2^24 ns (whitepaper 5.4.2 and its note on
 * fingerprinting: precision is reduced so that load does not leak). */
void wg_noise_timestamp(uint8_t out[static WG_TIMESTAMP_LEN], uint64_t wall_ns);

/* -> e, es, s, ss, {t}. Write an initiation up to mac1 (macs zeroed).
 * ephemeral  32 random bytes, clamped here
 * timestamp  must be newer than that of every earlier initiation to this peer
 * hs         overwritten; caller keeps it for the response, wipes it when the handshake ends
 * Returns 0 or -EINVAL (degenerate key; hs wiped). Cost: 2 X25519. */
int wg_noise_initiation_create(const struct wg_noise_identity *identity,
                               const struct wg_noise_peer *peer, uint32_t local_index,
                               const uint8_t ephemeral[static WG_KEY_LEN],
                               const uint8_t timestamp[static WG_TIMESTAMP_LEN],
                               struct wg_noise_handshake *hs, uint8_t msg[static WG_INITIATION_LEN])
	__attribute__((warn_unused_result));

/* First half of consuming an initiation: e, es, s. out->static_public says who it claims to be.
 * Returns WG_NOISE_OK or WG_NOISE_DECRYPT (out wiped). Cost: 1 X25519. */
enum wg_noise_verdict wg_noise_initiation_open(const struct wg_noise_identity *identity,
                                               const uint8_t msg[static WG_INITIATION_LEN],
                                               struct wg_noise_opened *out);

/* Second half: ss, {t}, and the checks against replay and flood. On WG_NOISE_OK the peer's
 * last_timestamp and last_initiation_ns are committed and opened->handshake is ready for
 * wg_noise_response_create(); on anything else the peer is unchanged and opened is wiped.
 * Returns WG_NOISE_OK, DECRYPT, TIMESTAMP, FLOOD. Cost: no X25519. */
enum wg_noise_verdict wg_noise_initiation_consume(struct wg_noise_peer *peer,
                                                  const uint8_t msg[static WG_INITIATION_LEN],
                                                  uint64_t now_ns, struct wg_noise_opened *opened);

/* <- e, ee, se, psk, {}. Write a response up to mac1 and derive the responder's keys. hs is wiped.
 * Returns 0 or -EINVAL (degenerate key; keys wiped). Cost: 3 X25519. */
int wg_noise_response_create(const struct wg_noise_peer *peer, struct wg_noise_handshake *hs,
                             uint32_t local_index, const uint8_t ephemeral[static WG_KEY_LEN],
                             uint8_t msg[static WG_RESPONSE_LEN], struct wg_noise_keys *keys)
	__attribute__((warn_unused_result));

/* Initiator: consume the response to hs and derive keys. hs is wiped on OK and left untouched
 * otherwise, so a forged response does not end the handshake. *remote_index gets the responder's.
 * Returns WG_NOISE_OK, DECRYPT, NO_HANDSHAKE (receiver index is not hs->local_index, or hs was
 * wiped).
 * Cost: 2 X25519. */
enum wg_noise_verdict wg_noise_response_consume(const struct wg_noise_identity *identity,
                                                const struct wg_noise_peer *peer,
                                                struct wg_noise_handshake *hs,
                                                const uint8_t msg[static WG_RESPONSE_LEN],
                                                struct wg_noise_keys *keys, uint32_t *remote_index);

#endif
