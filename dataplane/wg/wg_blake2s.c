/* BLAKE2s after RFC 7693, section 3. libsodium has only BLAKE2b. */
#include "wg_blake2s.h"

#include "base_bytes.h"
#include "wg_blake2s_table.h"

#include <assert.h>

static inline uint32_t rotate_right(uint32_t v, unsigned int n)
{
	return v >> n | v << (32 - n);
}

/* RFC 7693, 3.1. */
static inline void mix(uint32_t v[16], unsigned int a, unsigned int b, unsigned int c,
                       unsigned int d, uint32_t x, uint32_t y)
{
	v[a] += v[b] + x;
	v[d] = rotate_right(v[d] ^ v[a], 16);
	v[c] += v[d];
	v[b] = rotate_right(v[b] ^ v[c], 12);
	v[a] += v[b] + y;
	v[d] = rotate_right(v[d] ^ v[a], 8);
	v[c] += v[d];
	v[b] = rotate_right(v[b] ^ v[c], 7);
}

static inline void mix_round(uint32_t v[16], const uint32_t m[16], const uint8_t s[16])
{
	mix(v, 0, 4, 8, 12, m[s[0]], m[s[1]]);
	mix(v, 1, 5, 9, 13, m[s[2]], m[s[3]]);
	mix(v, 2, 6, 10, 14, m[s[4]], m[s[5]]);
	mix(v, 3, 7, 11, 15, m[s[6]], m[s[7]]);
	mix(v, 0, 5, 10, 15, m[s[8]], m[s[9]]);
	mix(v, 1, 6, 11, 12, m[s[10]], m[s[11]]);
	mix(v, 2, 7, 8, 13, m[s[12]], m[s[13]]);
	mix(v, 3, 4, 9, 14, m[s[14]], m[s[15]]);
}

/* RFC 7693, 3.2. n_bytes counts this block too. */
static void compress(uint32_t h[8], const uint8_t block[static WG_BLAKE2S_BLOCK_LEN],
                     uint64_t n_bytes, uint32_t last)
{
	uint32_t v[16];
	uint32_t m[16];

	for (size_t i = 0; i < 16; i++)
		m[i] = base_load_le32(block + 4 * i);
	memcpy(v, h, 8 * sizeof(v[0]));
	memcpy(v + 8, wg_blake2s_initial, sizeof(wg_blake2s_initial));
	v[12] ^= (uint32_t)n_bytes;
	v[13] ^= (uint32_t)(n_bytes >> 32);
	v[14] ^= last;
	for (size_t round = 0; round < WG_BLAKE2S_ROUNDS; round++)
		mix_round(v, m, wg_blake2s_sigma[round]);
	for (size_t i = 0; i < 8; i++)
		h[i] ^= v[i] ^ v[i + 8];
	base_wipe(v, sizeof(v));
	base_wipe(m, sizeof(m));
}

void wg_blake2s_init(struct wg_blake2s *state, size_t out_len, const uint8_t *key, size_t key_len)
{
	assert(out_len >= 1 && out_len <= WG_BLAKE2S_HASH_LEN && key_len <= WG_BLAKE2S_KEY_MAX);
	memset(state, 0, sizeof(*state));
	memcpy(state->h, wg_blake2s_initial, sizeof(wg_blake2s_initial));
	state->h[0] ^= 0x01010000U ^ (uint32_t)key_len << 8 ^ (uint32_t)out_len;
	state->out_len = (uint32_t)out_len;
	if (key_len != 0) {
		memcpy(state->block, key, key_len);
		state->fill = WG_BLAKE2S_BLOCK_LEN;
	}
}

void wg_blake2s_flush(struct wg_blake2s *state)
{
	if (state->fill != WG_BLAKE2S_BLOCK_LEN)
		return;
	state->n_bytes += WG_BLAKE2S_BLOCK_LEN;
	compress(state->h, state->block, state->n_bytes, 0);
	state->fill = 0;
}

void wg_blake2s_update(struct wg_blake2s *state, const void *in, size_t len)
{
	const uint8_t *bytes = in;

	/* A full block waits until more comes, since the last one is compressed differently. */
	while (len > 0) {
		wg_blake2s_flush(state);

		size_t room = WG_BLAKE2S_BLOCK_LEN - state->fill;
		size_t n = len < room ? len : room;

		memcpy(state->block + state->fill, bytes, n);
		state->fill += (uint32_t)n;
		bytes += n;
		len -= n;
	}
}

void wg_blake2s_final(struct wg_blake2s *state, uint8_t *out)
{
	uint8_t digest[WG_BLAKE2S_HASH_LEN];

	memset(state->block + state->fill, 0, WG_BLAKE2S_BLOCK_LEN - state->fill);
	compress(state->h, state->block, state->n_bytes + state->fill, UINT32_MAX);
	for (size_t i = 0; i < 8; i++)
		base_store_le32(digest + 4 * i, state->h[i]);
	memcpy(out, digest, state->out_len);
	base_wipe(digest, sizeof(digest));
	base_wipe(state, sizeof(*state));
}

void wg_hash(uint8_t out[static WG_BLAKE2S_HASH_LEN], const void *in, size_t len)
{
	struct wg_blake2s state;

	wg_blake2s_init(&state, WG_BLAKE2S_HASH_LEN, NULL, 0);
	wg_blake2s_update(&state, in, len);
	wg_blake2s_final(&state, out);
}

void wg_hash2(uint8_t out[static WG_BLAKE2S_HASH_LEN], const void *a, size_t a_len, const void *b,
              size_t b_len)
{
	struct wg_blake2s state;

	wg_blake2s_init(&state, WG_BLAKE2S_HASH_LEN, NULL, 0);
	wg_blake2s_update(&state, a, a_len);
	wg_blake2s_update(&state, b, b_len);
	wg_blake2s_final(&state, out);
}

void wg_mac(uint8_t out[static 16], const uint8_t *key, size_t key_len, const void *in, size_t len)
{
	struct wg_blake2s state;

	wg_blake2s_init(&state, 16, key, key_len);
	wg_blake2s_update(&state, in, len);
	wg_blake2s_final(&state, out);
}

void wg_hmac(uint8_t out[static WG_BLAKE2S_HASH_LEN], const uint8_t *key, size_t key_len,
             const void *in, size_t len)
{
	uint8_t pad[WG_BLAKE2S_BLOCK_LEN] = {0};
	uint8_t inner[WG_BLAKE2S_HASH_LEN];

	if (key_len > sizeof(pad))
		wg_hash(pad, key, key_len);
	else if (key_len != 0)
		memcpy(pad, key, key_len);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36;
	wg_hash2(inner, pad, sizeof(pad), in, len);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	wg_hash2(out, pad, sizeof(pad), inner, sizeof(inner));
	base_wipe(pad, sizeof(pad));
	base_wipe(inner, sizeof(inner));
}

void wg_kdf(uint8_t *out1, uint8_t *out2, uint8_t *out3,
            const uint8_t key[static WG_BLAKE2S_HASH_LEN], const void *in, size_t len)
{
	uint8_t *const outs[] = {out1, out2, out3};
	uint8_t secret[WG_BLAKE2S_HASH_LEN];
	uint8_t chain[WG_BLAKE2S_HASH_LEN + 1]; /* T(n), then the number of the next */
	size_t chain_len = 0;

	wg_hmac(secret, key, WG_BLAKE2S_HASH_LEN, in, len);
	for (size_t i = 0; i < BASE_ARRAY_LEN(outs) && outs[i]; i++) {
		chain[chain_len] = (uint8_t)(i + 1);
		wg_hmac(chain, secret, sizeof(secret), chain, chain_len + 1);
		memcpy(outs[i], chain, WG_BLAKE2S_HASH_LEN);
		chain_len = WG_BLAKE2S_HASH_LEN;
	}
	base_wipe(secret, sizeof(secret));
	base_wipe(chain, sizeof(chain));
}
