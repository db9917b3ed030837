/* BLAKE2s (RFC 7693), its keyed MAC, and HMAC and HKDF over it as the whitepaper names them (5.4).
 * Time depends on lengths only. Every state is wiped when its digest is out. */
#ifndef WG_BLAKE2S_H
#define WG_BLAKE2S_H

#include <stddef.h>
#include <stdint.h>

#define WG_BLAKE2S_BLOCK_LEN 64U
#define WG_BLAKE2S_HASH_LEN  32U
#define WG_BLAKE2S_KEY_MAX   32U

struct wg_blake2s {
	uint32_t h[8];
	uint64_t n_bytes; /* compressed so far */
	uint32_t fill;    /* bytes waiting in block, 1..64 once anything was fed */
	uint32_t out_len;
	uint8_t block[WG_BLAKE2S_BLOCK_LEN];
};

/* Begin a digest of out_len bytes (1..32); key_len 0 (key may be NULL) to 32. */
void wg_blake2s_init(struct wg_blake2s *state, size_t out_len, const uint8_t *key, size_t key_len);
/* Compress what fills a block, if one waits. For what begins the same many times (a key): do so once,
 * and go on with copies. At least one byte must follow. */
void wg_blake2s_flush(struct wg_blake2s *state);
void wg_blake2s_update(struct wg_blake2s *state, const void *in, size_t len);
/* Write out_len bytes and wipe the state. */
void wg_blake2s_final(struct wg_blake2s *state, uint8_t *out);

/* HASH(in): 32 bytes. */
void wg_hash(uint8_t out[static WG_BLAKE2S_HASH_LEN], const void *in, size_t len);

/* HASH(a || b). out may be a or b. */
void wg_hash2(uint8_t out[static WG_BLAKE2S_HASH_LEN], const void *a, size_t a_len, const void *b,
              size_t b_len);

/* MAC(key, in): keyed BLAKE2s of 16 bytes; key_len up to 32. */
void wg_mac(uint8_t out[static 16], const uint8_t *key, size_t key_len, const void *in, size_t len);

/* HMAC-BLAKE2s (RFC 2104) of 32 bytes; any key_len. */
void wg_hmac(uint8_t out[static WG_BLAKE2S_HASH_LEN], const uint8_t *key, size_t key_len,
             const void *in, size_t len);

/* KDF1, KDF2, KDF3(key, in): as many outputs of 32 bytes as are not NULL, in order; out1 may be
 * key. */
void wg_kdf(uint8_t *out1, uint8_t *out2, uint8_t *out3,
            const uint8_t key[static WG_BLAKE2S_HASH_LEN], const void *in, size_t len);

#endif
