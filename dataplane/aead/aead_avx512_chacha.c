/* Word i of the states of 16 (or 8) blocks stands in vector xi, one block a 32-bit lane, so the
 * rounds need no shuffles. Keys come in and keystream goes out row by row (a row is a block), by a
 * transpose each way.
 *
 * Nothing branches on or is indexed by key, keystream or payload; lengths and addresses are public.
 * A row is read and written under a mask of its bytes: nothing outside data[len] is touched. */
#include "aead_avx512_chacha.h"

#include "base_bytes.h"

#include <immintrin.h>

#define N_DOUBLE_ROUNDS 10

/* "expand 32-byte k" */
#define CONSTANT_0 0x61707865
#define CONSTANT_1 0x3320646e
#define CONSTANT_2 0x79622d32
#define CONSTANT_3 0x6b206574

/* Vectors of 16 lanes ("zmm") and of 8 ("ymm") differ in nothing but the names of the intrinsics. */
#define ADD_zmm(a, b) _mm512_add_epi32(a, b)
#define XOR_zmm(a, b) _mm512_xor_si512(a, b)
#define ROL_zmm(a, n) _mm512_rol_epi32(a, n)
#define SET_zmm(v)    _mm512_set1_epi32((int)(v))
#define LOAD_zmm(p)   _mm512_load_si512(p)
#define ADD_ymm(a, b) _mm256_add_epi32(a, b)
#define XOR_ymm(a, b) _mm256_xor_si256(a, b)
#define ROL_ymm(a, n) _mm256_rol_epi32(a, n)
#define SET_ymm(v)    _mm256_set1_epi32((int)(v))
#define LOAD_ymm(p)   _mm256_load_si256((const __m256i *)(const void *)(p))

/* a += b; d = (d ^ a) <<< n, for four columns: their chains hide each other's latency. Column by
 * column rather than operation by operation: rotations have half the ports of the rest, so it is good
 * when they come evenly spread (measured: 2 % of a block with gcc, 4 % with clang). */
#define STEP_COLUMN(V, n, a, b, d)                                                                 \
	do {                                                                                       \
		a = ADD_##V(a, b);                                                                 \
		d = XOR_##V(d, a);                                                                 \
		d = ROL_##V(d, n);                                                                 \
	} while (0)

#define STEP(V, n, a0, a1, a2, a3, b0, b1, b2, b3, d0, d1, d2, d3)                                 \
	do {                                                                                       \
		STEP_COLUMN(V, n, a0, b0, d0);                                                     \
		STEP_COLUMN(V, n, a1, b1, d1);                                                     \
		STEP_COLUMN(V, n, a2, b2, d2);                                                     \
		STEP_COLUMN(V, n, a3, b3, d3);                                                     \
	} while (0)

#define ROUND(V, a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3)                   \
	do {                                                                                       \
		STEP(V, 16, a0, a1, a2, a3, b0, b1, b2, b3, d0, d1, d2, d3);                       \
		STEP(V, 12, c0, c1, c2, c3, d0, d1, d2, d3, b0, b1, b2, b3);                       \
		STEP(V, 8, a0, a1, a2, a3, b0, b1, b2, b3, d0, d1, d2, d3);                        \
		STEP(V, 7, c0, c1, c2, c3, d0, d1, d2, d3, b0, b1, b2, b3);                        \
	} while (0)

#define DOUBLE_ROUND(V)                                                                            \
	do {                                                                                       \
		ROUND(V, x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, x12, x13, x14, x15);    \
		ROUND(V, x0, x1, x2, x3, x5, x6, x7, x4, x10, x11, x8, x9, x15, x12, x13, x14);    \
	} while (0)

#define ROUNDS(V)                                                                                  \
	do {                                                                                       \
		for (unsigned int round = 0; round < N_DOUBLE_ROUNDS; round++)                     \
			DOUBLE_ROUND(V);                                                           \
	} while (0)

/* gcc ends each turn of the loop with 16 moves: without turns a run costs it 29.2 cycles a block, not
 * 31.4. clang needs 28.6, and more without the loop. */
#ifdef __clang__
#define RUN_ROUNDS(V) ROUNDS(V)
#else
#define RUN_ROUNDS(V)                                                                              \
	do {                                                                                       \
		_Pragma("GCC unroll 10") for (unsigned int round = 0; round < N_DOUBLE_ROUNDS;     \
		                              round++) DOUBLE_ROUND(V);                            \
	} while (0)
#endif

/* In each 128-bit quarter: four vectors of four words become four words of four vectors. */
#define TRANSPOSE_QUARTERS(P, a, b, c, d)                                                          \
	do {                                                                                       \
		__typeof__(a) ab_low = P##_unpacklo_epi32(a, b);                                   \
		__typeof__(a) ab_high = P##_unpackhi_epi32(a, b);                                  \
		__typeof__(a) cd_low = P##_unpacklo_epi32(c, d);                                   \
		__typeof__(a) cd_high = P##_unpackhi_epi32(c, d);                                  \
                                                                                                   \
		a = P##_unpacklo_epi64(ab_low, cd_low);                                            \
		b = P##_unpackhi_epi64(ab_low, cd_low);                                            \
		c = P##_unpacklo_epi64(ab_high, cd_high);                                          \
		d = P##_unpackhi_epi64(ab_high, cd_high);                                          \
	} while (0)

/* a, b, c, d hold words 0-3, 4-7, 8-11, 12-15 of blocks i, i + 4, i + 8, i + 12, a block a quarter;
 * they become those four blocks. */
#define GATHER_QUARTERS(a, b, c, d)                                                                \
	do {                                                                                       \
		__m512i ab_low = _mm512_shuffle_i32x4(a, b, 0x44);                                 \
		__m512i ab_high = _mm512_shuffle_i32x4(a, b, 0xee);                                \
		__m512i cd_low = _mm512_shuffle_i32x4(c, d, 0x44);                                 \
		__m512i cd_high = _mm512_shuffle_i32x4(c, d, 0xee);                                \
                                                                                                   \
		a = _mm512_shuffle_i32x4(ab_low, cd_low, 0x88);                                    \
		b = _mm512_shuffle_i32x4(ab_low, cd_low, 0xdd);                                    \
		c = _mm512_shuffle_i32x4(ab_high, cd_high, 0x88);                                  \
		d = _mm512_shuffle_i32x4(ab_high, cd_high, 0xdd);                                  \
	} while (0)

/* x0 .. x15 become blocks 0 .. 15, but in the order that GATHER_QUARTERS leaves. */
#define TRANSPOSE_BLOCKS_zmm()                                                                     \
	do {                                                                                       \
		TRANSPOSE_QUARTERS(_mm512, x0, x1, x2, x3);                                        \
		TRANSPOSE_QUARTERS(_mm512, x4, x5, x6, x7);                                        \
		TRANSPOSE_QUARTERS(_mm512, x8, x9, x10, x11);                                      \
		TRANSPOSE_QUARTERS(_mm512, x12, x13, x14, x15);                                    \
		GATHER_QUARTERS(x0, x4, x8, x12);                                                  \
		GATHER_QUARTERS(x1, x5, x9, x13);                                                  \
		GATHER_QUARTERS(x2, x6, x10, x14);                                                 \
		GATHER_QUARTERS(x3, x7, x11, x15);                                                 \
	} while (0)

static inline void xor_row(uint8_t *data, uint32_t len, __m512i keystream)
{
	__mmask64 mask = _bzhi_u64(~UINT64_C(0), len);
	__m512i row = _mm512_maskz_loadu_epi8(mask, data);

	_mm512_mask_storeu_epi8(data, mask, _mm512_xor_si512(row, keystream));
}

static inline void xor_whole_row(uint8_t *data, __m512i keystream)
{
	_mm512_storeu_si512(data, _mm512_xor_si512(_mm512_loadu_si512(data), keystream));
}

/* The keys of lanes i and i + 8 side by side. */
static inline __m512i load_two_keys(const struct aead_lanes *lanes, unsigned int i)
{
	__m256i low = _mm256_loadu_si256((const __m256i *)(const void *)lanes->key[i]);
	__m256i high = _mm256_loadu_si256((const __m256i *)(const void *)lanes->key[i + 8]);

	return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

static inline __m256i load_key(const struct aead_lanes *lanes, unsigned int i)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)lanes->key[i]);
}

/* Quarters 0, 1 of four vectors each: k0 .. k3 hold words 0 .. 3 (first quarters) and 4 .. 7 of lanes
 * 0 .. 3, k4 .. k7 those of lanes 4 .. 7; they become words 0 .. 7 of lanes 0 .. 7. The upper halves
 * likewise, with lanes 8 .. 15. */
#define TRANSPOSE_KEYS_zmm(k0, k1, k2, k3, k4, k5, k6, k7)                                         \
	do {                                                                                       \
		TRANSPOSE_QUARTERS(_mm512, k0, k1, k2, k3);                                        \
		TRANSPOSE_QUARTERS(_mm512, k4, k5, k6, k7);                                        \
		PAIR_QUARTERS_zmm(k0, k4);                                                         \
		PAIR_QUARTERS_zmm(k1, k5);                                                         \
		PAIR_QUARTERS_zmm(k2, k6);                                                         \
		PAIR_QUARTERS_zmm(k3, k7);                                                         \
	} while (0)

#define PAIR_QUARTERS_zmm(a, b)                                                                    \
	do {                                                                                       \
		__m512i even = _mm512_permutex2var_epi64(                                          \
			a, _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), b);                        \
		__m512i odd = _mm512_permutex2var_epi64(                                           \
			a, _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15), b);                      \
                                                                                                   \
		a = even;                                                                          \
		b = odd;                                                                           \
	} while (0)

#define PAIR_QUARTERS_ymm(a, b)                                                                    \
	do {                                                                                       \
		__m256i even = _mm256_permute2x128_si256(a, b, 0x20);                              \
		__m256i odd = _mm256_permute2x128_si256(a, b, 0x31);                               \
                                                                                                   \
		a = even;                                                                          \
		b = odd;                                                                           \
	} while (0)

#define TRANSPOSE_KEYS_ymm(k0, k1, k2, k3, k4, k5, k6, k7)                                         \
	do {                                                                                       \
		TRANSPOSE_QUARTERS(_mm256, k0, k1, k2, k3);                                        \
		TRANSPOSE_QUARTERS(_mm256, k4, k5, k6, k7);                                        \
		PAIR_QUARTERS_ymm(k0, k4);                                                         \
		PAIR_QUARTERS_ymm(k1, k5);                                                         \
		PAIR_QUARTERS_ymm(k2, k6);                                                         \
		PAIR_QUARTERS_ymm(k3, k7);                                                         \
	} while (0)

/* x4 .. x11 are set; the rest of the initial state, the rounds, and the state added again. */
#define BLOCKS_OF_LANES(V, T)                                                                      \
	T k0 = x4, k1 = x5, k2 = x6, k3 = x7, k4 = x8, k5 = x9, k6 = x10, k7 = x11;                \
	T x0 = SET_##V(CONSTANT_0);                                                                \
	T x1 = SET_##V(CONSTANT_1);                                                                \
	T x2 = SET_##V(CONSTANT_2);                                                                \
	T x3 = SET_##V(CONSTANT_3);                                                                \
	T x12 = LOAD_##V(lanes->counter + first);                                                  \
	T x13 = LOAD_##V(lanes->nonce[0] + first);                                                 \
	T x14 = LOAD_##V(lanes->nonce[1] + first);                                                 \
	T x15 = LOAD_##V(lanes->nonce[2] + first);                                                 \
                                                                                                   \
	ROUNDS(V);                                                                                 \
	x0 = ADD_##V(x0, SET_##V(CONSTANT_0));                                                     \
	x1 = ADD_##V(x1, SET_##V(CONSTANT_1));                                                     \
	x2 = ADD_##V(x2, SET_##V(CONSTANT_2));                                                     \
	x3 = ADD_##V(x3, SET_##V(CONSTANT_3));                                                     \
	x4 = ADD_##V(x4, k0);                                                                      \
	x5 = ADD_##V(x5, k1);                                                                      \
	x6 = ADD_##V(x6, k2);                                                                      \
	x7 = ADD_##V(x7, k3);                                                                      \
	x8 = ADD_##V(x8, k4);                                                                      \
	x9 = ADD_##V(x9, k5);                                                                      \
	x10 = ADD_##V(x10, k6);                                                                    \
	x11 = ADD_##V(x11, k7);                                                                    \
	x12 = ADD_##V(x12, LOAD_##V(lanes->counter + first));                                      \
	x13 = ADD_##V(x13, LOAD_##V(lanes->nonce[0] + first));                                     \
	x14 = ADD_##V(x14, LOAD_##V(lanes->nonce[1] + first));                                     \
	x15 = ADD_##V(x15, LOAD_##V(lanes->nonce[2] + first))

void aead__avx512_chacha_lanes16(const struct aead_lanes *lanes, unsigned int first)
{
	__m512i x4 = load_two_keys(lanes, first + 0);
	__m512i x5 = load_two_keys(lanes, first + 1);
	__m512i x6 = load_two_keys(lanes, first + 2);
	__m512i x7 = load_two_keys(lanes, first + 3);
	__m512i x8 = load_two_keys(lanes, first + 4);
	__m512i x9 = load_two_keys(lanes, first + 5);
	__m512i x10 = load_two_keys(lanes, first + 6);
	__m512i x11 = load_two_keys(lanes, first + 7);

	TRANSPOSE_KEYS_zmm(x4, x5, x6, x7, x8, x9, x10, x11);
	BLOCKS_OF_LANES(zmm, __m512i);

	TRANSPOSE_BLOCKS_zmm();
	xor_row(lanes->data[first + 0], lanes->len[first + 0], x0);
	xor_row(lanes->data[first + 1], lanes->len[first + 1], x1);
	xor_row(lanes->data[first + 2], lanes->len[first + 2], x2);
	xor_row(lanes->data[first + 3], lanes->len[first + 3], x3);
	xor_row(lanes->data[first + 4], lanes->len[first + 4], x4);
	xor_row(lanes->data[first + 5], lanes->len[first + 5], x5);
	xor_row(lanes->data[first + 6], lanes->len[first + 6], x6);
	xor_row(lanes->data[first + 7], lanes->len[first + 7], x7);
	xor_row(lanes->data[first + 8], lanes->len[first + 8], x8);
	xor_row(lanes->data[first + 9], lanes->len[first + 9], x9);
	xor_row(lanes->data[first + 10], lanes->len[first + 10], x10);
	xor_row(lanes->data[first + 11], lanes->len[first + 11], x11);
	xor_row(lanes->data[first + 12], lanes->len[first + 12], x12);
	xor_row(lanes->data[first + 13], lanes->len[first + 13], x13);
	xor_row(lanes->data[first + 14], lanes->len[first + 14], x14);
	xor_row(lanes->data[first + 15], lanes->len[first + 15], x15);
}

/* A block of lane i: words 0-3 and 4-7 in a quarter each of a and b, 8-11 and 12-15 of c and d. */
static inline void xor_row_pair(const struct aead_lanes *lanes, unsigned int i, __m256i a,
                                __m256i b, __m256i c, __m256i d)
{
	__m256i low = _mm256_permute2x128_si256(a, b, 0x20);
	__m256i high = _mm256_permute2x128_si256(c, d, 0x20);

	xor_row(lanes->data[i], lanes->len[i],
	        _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
	low = _mm256_permute2x128_si256(a, b, 0x31);
	high = _mm256_permute2x128_si256(c, d, 0x31);
	xor_row(lanes->data[i + 4], lanes->len[i + 4],
	        _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
}

void aead__avx512_chacha_lanes8(const struct aead_lanes *lanes, unsigned int first)
{
	__m256i x4 = load_key(lanes, first + 0);
	__m256i x5 = load_key(lanes, first + 1);
	__m256i x6 = load_key(lanes, first + 2);
	__m256i x7 = load_key(lanes, first + 3);
	__m256i x8 = load_key(lanes, first + 4);
	__m256i x9 = load_key(lanes, first + 5);
	__m256i x10 = load_key(lanes, first + 6);
	__m256i x11 = load_key(lanes, first + 7);

	TRANSPOSE_KEYS_ymm(x4, x5, x6, x7, x8, x9, x10, x11);
	BLOCKS_OF_LANES(ymm, __m256i);

	TRANSPOSE_QUARTERS(_mm256, x0, x1, x2, x3);
	TRANSPOSE_QUARTERS(_mm256, x4, x5, x6, x7);
	TRANSPOSE_QUARTERS(_mm256, x8, x9, x10, x11);
	TRANSPOSE_QUARTERS(_mm256, x12, x13, x14, x15);
	xor_row_pair(lanes, first + 0, x0, x4, x8, x12);
	xor_row_pair(lanes, first + 1, x1, x5, x9, x13);
	xor_row_pair(lanes, first + 2, x2, x6, x10, x14);
	xor_row_pair(lanes, first + 3, x3, x7, x11, x15);
}

static inline __m512i broadcast(const uint8_t *key, unsigned int word)
{
	return _mm512_set1_epi32((int)base_load_le32(key + 4 * (size_t)word));
}

static inline void xor_run(const uint8_t *key, const uint32_t *nonce, __m512i counters,
                           uint8_t *data)
{
	__m512i x0 = _mm512_set1_epi32(CONSTANT_0);
	__m512i x1 = _mm512_set1_epi32(CONSTANT_1);
	__m512i x2 = _mm512_set1_epi32(CONSTANT_2);
	__m512i x3 = _mm512_set1_epi32(CONSTANT_3);
	__m512i x4 = broadcast(key, 0);
	__m512i x5 = broadcast(key, 1);
	__m512i x6 = broadcast(key, 2);
	__m512i x7 = broadcast(key, 3);
	__m512i x8 = broadcast(key, 4);
	__m512i x9 = broadcast(key, 5);
	__m512i x10 = broadcast(key, 6);
	__m512i x11 = broadcast(key, 7);
	__m512i x12 = counters;
	__m512i x13 = _mm512_set1_epi32((int)nonce[0]);
	__m512i x14 = _mm512_set1_epi32((int)nonce[1]);
	__m512i x15 = _mm512_set1_epi32((int)nonce[2]);

	RUN_ROUNDS(zmm);
	x0 = _mm512_add_epi32(x0, _mm512_set1_epi32(CONSTANT_0));
	x1 = _mm512_add_epi32(x1, _mm512_set1_epi32(CONSTANT_1));
	x2 = _mm512_add_epi32(x2, _mm512_set1_epi32(CONSTANT_2));
	x3 = _mm512_add_epi32(x3, _mm512_set1_epi32(CONSTANT_3));
	x4 = _mm512_add_epi32(x4, broadcast(key, 0));
	x5 = _mm512_add_epi32(x5, broadcast(key, 1));
	x6 = _mm512_add_epi32(x6, broadcast(key, 2));
	x7 = _mm512_add_epi32(x7, broadcast(key, 3));
	x8 = _mm512_add_epi32(x8, broadcast(key, 4));
	x9 = _mm512_add_epi32(x9, broadcast(key, 5));
	x10 = _mm512_add_epi32(x10, broadcast(key, 6));
	x11 = _mm512_add_epi32(x11, broadcast(key, 7));
	x12 = _mm512_add_epi32(x12, counters);
	x13 = _mm512_add_epi32(x13, _mm512_set1_epi32((int)nonce[0]));
	x14 = _mm512_add_epi32(x14, _mm512_set1_epi32((int)nonce[1]));
	x15 = _mm512_add_epi32(x15, _mm512_set1_epi32((int)nonce[2]));

	TRANSPOSE_BLOCKS_zmm();
	xor_whole_row(data, x0);
	xor_whole_row(data + 64, x1);
	xor_whole_row(data + 128, x2);
	xor_whole_row(data + 192, x3);
	xor_whole_row(data + 256, x4);
	xor_whole_row(data + 320, x5);
	xor_whole_row(data + 384, x6);
	xor_whole_row(data + 448, x7);
	xor_whole_row(data + 512, x8);
	xor_whole_row(data + 576, x9);
	xor_whole_row(data + 640, x10);
	xor_whole_row(data + 704, x11);
	xor_whole_row(data + 768, x12);
	xor_whole_row(data + 832, x13);
	xor_whole_row(data + 896, x14);
	xor_whole_row(data + 960, x15);
}

void aead__avx512_chacha_run(const uint8_t key[static AEAD_KEY_LEN], const uint32_t nonce[static 3],
                             uint32_t counter, uint8_t *data, size_t n_runs)
{
	__m512i counters = _mm512_add_epi32(_mm512_set1_epi32((int)counter),
	                                    _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
	                                                      12, 13, 14, 15));

	for (size_t i = 0; i < n_runs; i++) {
		xor_run(key, nonce, counters, data + 1024 * i);
		counters = _mm512_add_epi32(counters, _mm512_set1_epi32(16));
	}
}
