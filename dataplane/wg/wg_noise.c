/* The handshake written as the Noise tokens come. Every step feeds the transcript's hash, every
 * Diffie-Hellman result the chaining key; whitepaper 5.4 names the two H and C. */
#include "wg_noise.h"

#include "base_bytes.h"
#include "base_time.h"
#include "wg_blake2s.h"
#include "wg_key.h"

#include <sodium.h>

#include <errno.h>

#define CONSTRUCTION     "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
#define IDENTIFIER       "WireGuard v1 zx2c4 Jason@zx2c4.com"
#define FLOOD_NS         (20 * BASE_NS_PER_MS)        /* 50 initiations a second and peer */
#define TAI64_OFFSET     UINT64_C(0x400000000000000a) /* 1970 as TAI64 */
#define TIMESTAMP_COARSE ((UINT32_C(1) << 24) - 1)    /* ns, 16.8 ms */

_Static_assert(WG_INITIATION_TIMESTAMP == WG_INITIATION_STATIC + WG_KEY_LEN + WG_TAG_LEN,
               "encrypted static key");
_Static_assert(WG_INITIATION_MAC1 == WG_INITIATION_TIMESTAMP + WG_TIMESTAMP_LEN + WG_TAG_LEN,
               "encrypted timestamp");
_Static_assert(WG_RESPONSE_MAC1 == WG_RESPONSE_EMPTY + WG_TAG_LEN, "encrypted nothing");

/* Each key of the handshake seals one text, so the counter is always 0. */
static const uint8_t nonce_zero[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

void wg_noise_identity_init(struct wg_noise_identity *identity,
                            const uint8_t private_key[static WG_KEY_LEN])
{
	memcpy(identity->private_key, private_key, WG_KEY_LEN);
	wg_key_clamp(identity->private_key);
	wg_key_public(identity->public_key, identity->private_key);
}

int wg_noise_peer_init(struct wg_noise_peer *peer, const struct wg_noise_identity *identity,
                       const uint8_t public_key[static WG_KEY_LEN],
                       const uint8_t preshared_key[static WG_KEY_LEN])
{
	memset(peer, 0, sizeof(*peer));
	if (wg_key_shared(peer->static_static, identity->private_key, public_key) < 0)
		return -EINVAL;
	memcpy(peer->public_key, public_key, WG_KEY_LEN);
	memcpy(peer->preshared_key, preshared_key, WG_KEY_LEN);
	return 0;
}

void wg_noise_timestamp(uint8_t out[static WG_TIMESTAMP_LEN], uint64_t wall_ns)
{
	uint32_t ns = (uint32_t)(wall_ns % BASE_NS_PER_S);

	base_store_be64(out, TAI64_OFFSET + wall_ns / BASE_NS_PER_S);
	base_store_be32(out + 8, ns & ~TIMESTAMP_COARSE);
}

/* ---- steps --------------------------------------------------------------------------------------- */

static void mix_hash(struct wg_noise_handshake *hs, const void *in, size_t len)
{
	wg_hash2(hs->hash, hs->hash, sizeof(hs->hash), in, len);
}

/* Token e: the ephemeral also goes into the chaining key, as preshared keys require. */
static void mix_ephemeral(struct wg_noise_handshake *hs,
                          const uint8_t public_key[static WG_KEY_LEN])
{
	mix_hash(hs, public_key, WG_KEY_LEN);
	wg_kdf(hs->chaining_key, NULL, NULL, hs->chaining_key, public_key, WG_KEY_LEN);
}

/* Tokens es, ee, se. key may be NULL. Returns -EINVAL for a low-order point. */
static int mix_dh(struct wg_noise_handshake *hs, uint8_t *key,
                  const uint8_t private_key[static WG_KEY_LEN],
                  const uint8_t public_key[static WG_KEY_LEN])
{
	uint8_t shared[WG_KEY_LEN];

	if (wg_key_shared(shared, private_key, public_key) < 0)
		return -EINVAL;
	wg_kdf(hs->chaining_key, key, NULL, hs->chaining_key, shared, sizeof(shared));
	base_wipe(shared, sizeof(shared));
	return 0;
}

/* Token ss, which was computed when the peer was made known. */
static void mix_static_static(struct wg_noise_handshake *hs, uint8_t key[static 32],
                              const struct wg_noise_peer *peer)
{
	wg_kdf(hs->chaining_key, key, NULL, hs->chaining_key, peer->static_static, WG_KEY_LEN);
}

/* Token psk. */
static void mix_psk(struct wg_noise_handshake *hs, uint8_t key[static 32],
                    const struct wg_noise_peer *peer)
{
	uint8_t tau[32];

	wg_kdf(hs->chaining_key, tau, key, hs->chaining_key, peer->preshared_key, WG_KEY_LEN);
	mix_hash(hs, tau, sizeof(tau));
	base_wipe(tau, sizeof(tau));
}

/* out[len + 16]; what is sent goes into the hash. */
static void seal_and_mix(struct wg_noise_handshake *hs, const uint8_t key[static 32], uint8_t *out,
                         const uint8_t *in, size_t len)
{
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, in, len, hs->hash, sizeof(hs->hash),
	                                          NULL, nonce_zero, key);
	mix_hash(hs, out, len + WG_TAG_LEN);
}

/* in[len + 16] -> out[len]. */
static bool open_and_mix(struct wg_noise_handshake *hs, const uint8_t key[static 32], uint8_t *out,
                         const uint8_t *in, size_t len)
{
	if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, in, len + WG_TAG_LEN,
	                                              hs->hash, sizeof(hs->hash), nonce_zero, key)
	    != 0)
		return false;
	mix_hash(hs, in, len + WG_TAG_LEN);
	return true;
}

/* Both sides begin with the responder's static key. */
static void begin(struct wg_noise_handshake *hs, const uint8_t responder[static WG_KEY_LEN])
{
	memset(hs, 0, sizeof(*hs));
	wg_hash(hs->chaining_key, CONSTRUCTION, strlen(CONSTRUCTION));
	wg_hash2(hs->hash, hs->chaining_key, sizeof(hs->chaining_key), IDENTIFIER,
	         strlen(IDENTIFIER));
	mix_hash(hs, responder, WG_KEY_LEN);
}

/* The keypair; the initiator sends with the first, the responder with the second. */
static void split(struct wg_noise_handshake *hs, uint8_t first[static WG_KEY_LEN],
                  uint8_t second[static WG_KEY_LEN])
{
	wg_kdf(first, second, NULL, hs->chaining_key, NULL, 0);
	base_wipe(hs, sizeof(*hs));
}

static void make_ephemeral(struct wg_noise_handshake *hs, uint8_t public_key[static WG_KEY_LEN],
                           const uint8_t random[static WG_KEY_LEN])
{
	memcpy(hs->ephemeral_private, random, WG_KEY_LEN);
	wg_key_clamp(hs->ephemeral_private);
	wg_key_public(public_key, hs->ephemeral_private);
}

/* ---- initiation: -> e, es, s, ss, {t} ------------------------------------------------------------ */

int wg_noise_initiation_create(const struct wg_noise_identity *identity,
                               const struct wg_noise_peer *peer, uint32_t local_index,
                               const uint8_t ephemeral[static WG_KEY_LEN],
                               const uint8_t timestamp[static WG_TIMESTAMP_LEN],
                               struct wg_noise_handshake *hs, uint8_t msg[static WG_INITIATION_LEN])
{
	uint8_t key[32];

	memset(msg, 0, WG_INITIATION_LEN);
	base_store_le32(msg, WG_MESSAGE_INITIATION);
	base_store_le32(msg + WG_INITIATION_SENDER, local_index);

	begin(hs, peer->public_key);
	hs->local_index = local_index;
	make_ephemeral(hs, msg + WG_INITIATION_EPHEMERAL, ephemeral);
	mix_ephemeral(hs, msg + WG_INITIATION_EPHEMERAL);
	if (mix_dh(hs, key, hs->ephemeral_private, peer->public_key) < 0) {
		base_wipe(hs, sizeof(*hs));
		return -EINVAL;
	}
	seal_and_mix(hs, key, msg + WG_INITIATION_STATIC, identity->public_key, WG_KEY_LEN);
	mix_static_static(hs, key, peer);
	seal_and_mix(hs, key, msg + WG_INITIATION_TIMESTAMP, timestamp, WG_TIMESTAMP_LEN);
	base_wipe(key, sizeof(key));
	return 0;
}

enum wg_noise_verdict wg_noise_initiation_open(const struct wg_noise_identity *identity,
                                               const uint8_t msg[static WG_INITIATION_LEN],
                                               struct wg_noise_opened *out)
{
	struct wg_noise_handshake *hs = &out->handshake;
	uint8_t key[32] = {0};
	bool ok;

	memset(out, 0, sizeof(*out));
	begin(hs, identity->public_key);
	hs->remote_index = base_load_le32(msg + WG_INITIATION_SENDER);
	memcpy(hs->remote_ephemeral, msg + WG_INITIATION_EPHEMERAL, WG_KEY_LEN);
	mix_ephemeral(hs, hs->remote_ephemeral);
	ok = mix_dh(hs, key, identity->private_key, hs->remote_ephemeral) == 0
	     && open_and_mix(hs, key, out->static_public, msg + WG_INITIATION_STATIC, WG_KEY_LEN);
	base_wipe(key, sizeof(key));
	if (!ok) {
		base_wipe(out, sizeof(*out));
		return WG_NOISE_DECRYPT;
	}
	return WG_NOISE_OK;
}

static enum wg_noise_verdict check_freshness(const struct wg_noise_peer *peer,
                                             const uint8_t timestamp[static WG_TIMESTAMP_LEN],
                                             uint64_t now_ns)
{
	if (memcmp(timestamp, peer->last_timestamp, WG_TIMESTAMP_LEN) <= 0)
		return WG_NOISE_TIMESTAMP;
	if (peer->last_initiation_ns != 0 && now_ns < peer->last_initiation_ns + FLOOD_NS)
		return WG_NOISE_FLOOD;
	return WG_NOISE_OK;
}

enum wg_noise_verdict wg_noise_initiation_consume(struct wg_noise_peer *peer,
                                                  const uint8_t msg[static WG_INITIATION_LEN],
                                                  uint64_t now_ns, struct wg_noise_opened *opened)
{
	enum wg_noise_verdict verdict = WG_NOISE_DECRYPT;
	uint8_t timestamp[WG_TIMESTAMP_LEN];
	uint8_t key[32];

	mix_static_static(&opened->handshake, key, peer);
	if (open_and_mix(&opened->handshake, key, timestamp, msg + WG_INITIATION_TIMESTAMP,
	                 WG_TIMESTAMP_LEN))
		verdict = check_freshness(peer, timestamp, now_ns);
	if (verdict == WG_NOISE_OK) {
		memcpy(peer->last_timestamp, timestamp, WG_TIMESTAMP_LEN);
		peer->last_initiation_ns = now_ns;
	} else {
		base_wipe(opened, sizeof(*opened));
	}
	base_wipe(key, sizeof(key));
	base_wipe(timestamp, sizeof(timestamp));
	return verdict;
}

/* ---- response: <- e, ee, se, psk, {} -------------------------------------------------------------- */

int wg_noise_response_create(const struct wg_noise_peer *peer, struct wg_noise_handshake *hs,
                             uint32_t local_index, const uint8_t ephemeral[static WG_KEY_LEN],
                             uint8_t msg[static WG_RESPONSE_LEN], struct wg_noise_keys *keys)
{
	uint8_t key[32];

	memset(msg, 0, WG_RESPONSE_LEN);
	base_store_le32(msg, WG_MESSAGE_RESPONSE);
	base_store_le32(msg + WG_RESPONSE_SENDER, local_index);
	base_store_le32(msg + WG_RESPONSE_RECEIVER, hs->remote_index);

	hs->local_index = local_index;
	make_ephemeral(hs, msg + WG_RESPONSE_EPHEMERAL, ephemeral);
	mix_ephemeral(hs, msg + WG_RESPONSE_EPHEMERAL);
	if (mix_dh(hs, NULL, hs->ephemeral_private, hs->remote_ephemeral) < 0
	    || mix_dh(hs, NULL, hs->ephemeral_private, peer->public_key) < 0) {
		base_wipe(hs, sizeof(*hs));
		base_wipe(keys, sizeof(*keys));
		return -EINVAL;
	}
	mix_psk(hs, key, peer);
	seal_and_mix(hs, key, msg + WG_RESPONSE_EMPTY, NULL, 0);
	base_wipe(key, sizeof(key));
	split(hs, keys->receive, keys->send);
	return 0;
}

/* hs is advanced over the response; true when its tag fits. */
static bool read_response(struct wg_noise_handshake *hs, const struct wg_noise_identity *identity,
                          const struct wg_noise_peer *peer,
                          const uint8_t msg[static WG_RESPONSE_LEN])
{
	const uint8_t *ephemeral = msg + WG_RESPONSE_EPHEMERAL;
	uint8_t key[32];
	bool ok;

	mix_ephemeral(hs, ephemeral);
	if (mix_dh(hs, NULL, hs->ephemeral_private, ephemeral) < 0
	    || mix_dh(hs, NULL, identity->private_key, ephemeral) < 0)
		return false;
	mix_psk(hs, key, peer);
	ok = open_and_mix(hs, key, NULL, msg + WG_RESPONSE_EMPTY, 0);
	base_wipe(key, sizeof(key));
	return ok;
}

enum wg_noise_verdict wg_noise_response_consume(const struct wg_noise_identity *identity,
                                                const struct wg_noise_peer *peer,
                                                struct wg_noise_handshake *hs,
                                                const uint8_t msg[static WG_RESPONSE_LEN],
                                                struct wg_noise_keys *keys, uint32_t *remote_index)
{
	struct wg_noise_handshake work;

	/* A wiped handshake has index 0, which is nobody's. */
	if (hs->local_index == 0 || base_load_le32(msg + WG_RESPONSE_RECEIVER) != hs->local_index)
		return WG_NOISE_NO_HANDSHAKE;
	work = *hs;
	if (!read_response(&work, identity, peer, msg)) {
		base_wipe(&work, sizeof(work));
		return WG_NOISE_DECRYPT;
	}
	split(&work, keys->send, keys->receive);
	*remote_index = base_load_le32(msg + WG_RESPONSE_SENDER);
	base_wipe(hs, sizeof(*hs));
	return WG_NOISE_OK;
}
