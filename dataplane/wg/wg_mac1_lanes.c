/* BLAKE2s (RFC 7693, 3.1 to 3.3) of as many messages at once as a vector has 32-bit lanes. Compiled once
 * for each instruction set, with WG_LANES and WG_LANES_FN from meson.build. */
#include "wg_mac1_lanes.h"

#include "base_bytes.h"
#include "wg_blake2s.h"
#include "wg_blake2s_table.h"

typedef uint32_t vec __attribute__((vector_size(4 * WG_LANES)));

#define N_WORDS (WG_BLAKE2S_BLOCK_LEN / 4)

static inline vec all(uint32_t word)
{
	return (vec){0} + word;
}

static inline vec rotate_right(vec v, unsigned int n)
{
	return v >> n | v << (32 - n);
}

#define MIX(a, b, c, d, x, y)                                                                      \
	do {                                                                                       \
		v[a] += v[b] + m[s[x]];                                                            \
		v[d] = rotate_right(v[d] ^ v[a], 16);                                              \
		v[c] += v[d];                                                                      \
		v[b] = rotate_right(v[b] ^ v[c], 12);                                              \
		v[a] += v[b] + m[s[y]];                                                            \
		v[d] = rotate_right(v[d] ^ v[a], 8);                                               \
		v[c] += v[d];                                                                      \
		v[b] = rotate_right(v[b] ^ v[c], 7);                                               \
	} while (0)

/* n_bytes counts this block too. */
static inline void compress(vec h[8], const vec m[N_WORDS], uint32_t n_bytes, uint32_t last)
{
	vec v[16];

	for (uint32_t i = 0; i < 8; i++) {
		v[i] = h[i];
		v[8 + i] = all(wg_blake2s_initial[i]);
	}
	v[12] ^= all(n_bytes);
	v[14] ^= all(last);
	for (uint32_t round = 0; round < WG_BLAKE2S_ROUNDS; round++) {
		const uint8_t *s = wg_blake2s_sigma[round];

		MIX(0, 4, 8, 12, 0, 1);
		MIX(1, 5, 9, 13, 2, 3);
		MIX(2, 6, 10, 14, 4, 5);
		MIX(3, 7, 11, 15, 6, 7);
		MIX(0, 5, 10, 15, 8, 9);
		MIX(1, 6, 11, 12, 10, 11);
		MIX(2, 7, 8, 13, 12, 13);
		MIX(3, 4, 9, 14, 14, 15);
	}
	for (uint32_t i = 0; i < 8; i++)
		h[i] ^= v[i] ^ v[8 + i];
}

/* The block at `at` of each message; what lies behind its end is 0. */
static inline void load(vec m[N_WORDS], const uint8_t *const msgs[], size_t at, size_t len)
{
	size_t n = len - at < WG_BLAKE2S_BLOCK_LEN ? (len - at) / 4 : N_WORDS;

	for (size_t i = 0; i < n; i++)
		for (uint32_t lane = 0; lane < WG_LANES; lane++)
			m[i][lane] = base_load_le32(msgs[lane] + at + 4 * i);
	for (size_t i = n; i < N_WORDS; i++)
		m[i] = all(0);
}

void WG_LANES_FN(const uint32_t start[8], const uint8_t *const msgs[], size_t len,
                 uint8_t out[][16])
{
	vec h[8], m[N_WORDS];

	for (uint32_t i = 0; i < 8; i++)
		h[i] = all(start[i]);
	for (size_t at = 0; at < len; at += WG_BLAKE2S_BLOCK_LEN) {
		size_t end = at + WG_BLAKE2S_BLOCK_LEN < len ? at + WG_BLAKE2S_BLOCK_LEN : len;

		load(m, msgs, at, len);
		compress(h, m, (uint32_t)(WG_BLAKE2S_BLOCK_LEN + end), end == len ? UINT32_MAX : 0);
	}
	for (uint32_t i = 0; i < 4; i++)
		for (uint32_t lane = 0; lane < WG_LANES; lane++)
			base_store_le32(out[lane] + 4 * i, h[i][lane]);
}
