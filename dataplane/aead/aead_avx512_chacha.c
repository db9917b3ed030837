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

/* Two states of 16 blocks, x and y, side by side. A rotation takes two cycles here and all else one, and the four columns
 * of one state leave a quarter of the vector units idle: two states take 766 TSC cycles where one takes 446 (AMD EPYC,
 * family 25 model 17, rounds alone). They fill all 32 registers. */
#define STEP_COLUMN_TWO(n, a, b, d)                                                                \
	do {                                                                                       \
		x##a = ADD_zmm(x##a, x##b);                                                        \
		y##a = ADD_zmm(y##a, y##b);                                                        \
		x##d = XOR_zmm(x##d, x##a);                                                        \
		y##d = XOR_zmm(y##d, y##a);                                                        \
		x##d = ROL_zmm(x##d, n);                                                           \
		y##d = ROL_zmm(y##d, n);                                                           \
	} while (0)

#define STEP_TWO(n, a0, a1, a2, a3, b0, b1, b2, b3, d0, d1, d2, d3)                                \
	do {                                                                                       \
		STEP_COLUMN_TWO(n, a0, b0, d0);                                                    \
		STEP_COLUMN_TWO(n, a1, b1, d1);                                                    \
		STEP_COLUMN_TWO(n, a2, b2, d2);                                                    \
		STEP_COLUMN_TWO(n, a3, b3, d3);                                                    \
	} while (0)

#define ROUND_TWO(a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3)                  \
	do {                                                                                       \
		STEP_TWO(16, a0, a1, a2, a3, b0, b1, b2, b3, d0, d1, d2, d3);                      \
		STEP_TWO(12, c0, c1, c2, c3, d0, d1, d2, d3, b0, b1, b2, b3);                      \
		STEP_TWO(8, a0, a1, a2, a3, b0, b1, b2, b3, d0, d1, d2, d3);                       \
		STEP_TWO(7, c0, c1, c2, c3, d0, d1, d2, d3, b0, b1, b2, b3);                       \
	} while (0)

#define DOUBLE_ROUND_TWO()                                                                         \
	do {                                                                                       \
		ROUND_TWO(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);                   \
		ROUND_TWO(0, 1, 2, 3, 5, 6, 7, 4, 10, 11, 8, 9, 15, 12, 13, 14);                   \
	} while (0)

/* gcc ends each turn of a loop with moves of all registers, a fifth of the time, so no loop for it. clang is faster with
 * one. */
#ifdef __clang__
#define UNROLL
#else
#define UNROLL _Pragma("GCC unroll 10")
#endif

#define ROUNDS_TWO()                                                                               \
	do {                                                                                       \
		UNROLL for (unsigned int round = 0; round < N_DOUBLE_ROUNDS; round++)              \
			DOUBLE_ROUND_TWO();                                                        \
	} while (0)

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

/* x0 .. x15 (or y0 ..) become blocks 0 .. 15. */
#define TRANSPOSE_BLOCKS(x)                                                                        \
	do {                                                                                       \
		TRANSPOSE_QUARTERS(_mm512, x##0, x##1, x##2, x##3);                                \
		TRANSPOSE_QUARTERS(_mm512, x##4, x##5, x##6, x##7);                                \
		TRANSPOSE_QUARTERS(_mm512, x##8, x##9, x##10, x##11);                              \
		TRANSPOSE_QUARTERS(_mm512, x##12, x##13, x##14, x##15);                            \
		GATHER_QUARTERS(x##0, x##4, x##8, x##12);                                          \
		GATHER_QUARTERS(x##1, x##5, x##9, x##13);                                          \
		GATHER_QUARTERS(x##2, x##6, x##10, x##14);                                         \
		GATHER_QUARTERS(x##3, x##7, x##11, x##15);                                         \
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

/* Words of the initial state of lanes from first on: x4 .. x11 are set, of two keys each; here the rest. */
#define KEYS_OF_LANES(x, first)                                                                    \
	__m512i x##4 = load_two_keys(lanes, (first) + 0);                                          \
	__m512i x##5 = load_two_keys(lanes, (first) + 1);                                          \
	__m512i x##6 = load_two_keys(lanes, (first) + 2);                                          \
	__m512i x##7 = load_two_keys(lanes, (first) + 3);                                          \
	__m512i x##8 = load_two_keys(lanes, (first) + 4);                                          \
	__m512i x##9 = load_two_keys(lanes, (first) + 5);                                          \
	__m512i x##10 = load_two_keys(lanes, (first) + 6);                                         \
	__m512i x##11 = load_two_keys(lanes, (first) + 7);                                         \
                                                                                                   \
	TRANSPOSE_KEYS_zmm(x##4, x##5, x##6, x##7, x##8, x##9, x##10, x##11)

#define STATE_OF_LANES(V, T, x, k, first)                                                          \
	T k##0 = x##4, k##1 = x##5, k##2 = x##6, k##3 = x##7;                                      \
	T k##4 = x##8, k##5 = x##9, k##6 = x##10, k##7 = x##11;                                    \
	T x##0 = SET_##V(CONSTANT_0);                                                              \
	T x##1 = SET_##V(CONSTANT_1);                                                              \
	T x##2 = SET_##V(CONSTANT_2);                                                              \
	T x##3 = SET_##V(CONSTANT_3);                                                              \
	T x##12 = LOAD_##V(lanes->counter + (first));                                              \
	T x##13 = LOAD_##V(lanes->nonce[0] + (first));                                             \
	T x##14 = LOAD_##V(lanes->nonce[1] + (first));                                             \
	T x##15 = LOAD_##V(lanes->nonce[2] + (first))

/* After the rounds: the initial state once more. */
#define ADD_STATE_OF_LANES(V, x, k, first)                                                         \
	do {                                                                                       \
		x##0 = ADD_##V(x##0, SET_##V(CONSTANT_0));                                         \
		x##1 = ADD_##V(x##1, SET_##V(CONSTANT_1));                                         \
		x##2 = ADD_##V(x##2, SET_##V(CONSTANT_2));                                         \
		x##3 = ADD_##V(x##3, SET_##V(CONSTANT_3));                                         \
		x##4 = ADD_##V(x##4, k##0);                                                        \
		x##5 = ADD_##V(x##5, k##1);                                                        \
		x##6 = ADD_##V(x##6, k##2);                                                        \
		x##7 = ADD_##V(x##7, k##3);                                                        \
		x##8 = ADD_##V(x##8, k##4);                                                        \
		x##9 = ADD_##V(x##9, k##5);                                                        \
		x##10 = ADD_##V(x##10, k##6);                                                      \
		x##11 = ADD_##V(x##11, k##7);                                                      \
		x##12 = ADD_##V(x##12, LOAD_##V(lanes->counter + (first)));                        \
		x##13 = ADD_##V(x##13, LOAD_##V(lanes->nonce[0] + (first)));                       \
		x##14 = ADD_##V(x##14, LOAD_##V(lanes->nonce[1] + (first)));                       \
		x##15 = ADD_##V(x##15, LOAD_##V(lanes->nonce[2] + (first)));                       \
	} while (0)

#define XOR_LANES(x, first)                                                                        \
	do {                                                                                       \
		TRANSPOSE_BLOCKS(x);                                                               \
		xor_row(lanes->data[(first) + 0], lanes->len[(first) + 0], x##0);                  \
		xor_row(lanes->data[(first) + 1], lanes->len[(first) + 1], x##1);                  \
		xor_row(lanes->data[(first) + 2], lanes->len[(first) + 2], x##2);                  \
		xor_row(lanes->data[(first) + 3], lanes->len[(first) + 3], x##3);                  \
		xor_row(lanes->data[(first) + 4], lanes->len[(first) + 4], x##4);                  \
		xor_row(lanes->data[(first) + 5], lanes->len[(first) + 5], x##5);                  \
		xor_row(lanes->data[(first) + 6], lanes->len[(first) + 6], x##6);                  \
		xor_row(lanes->data[(first) + 7], lanes->len[(first) + 7], x##7);                  \
		xor_row(lanes->data[(first) + 8], lanes->len[(first) + 8], x##8);                  \
		xor_row(lanes->data[(first) + 9], lanes->len[(first) + 9], x##9);                  \
		xor_row(lanes->data[(first) + 10], lanes->len[(first) + 10], x##10);               \
		xor_row(lanes->data[(first) + 11], lanes->len[(first) + 11], x##11);               \
		xor_row(lanes->data[(first) + 12], lanes->len[(first) + 12], x##12);               \
		xor_row(lanes->data[(first) + 13], lanes->len[(first) + 13], x##13);               \
		xor_row(lanes->data[(first) + 14], lanes->len[(first) + 14], x##14);               \
		xor_row(lanes->data[(first) + 15], lanes->len[(first) + 15], x##15);               \
	} while (0)

void aead__avx512_chacha_lanes16(const struct aead_lanes *lanes, unsigned int first)
{
	KEYS_OF_LANES(x, first);
	STATE_OF_LANES(zmm, __m512i, x, k, first);
	ROUNDS(zmm);
	ADD_STATE_OF_LANES(zmm, x, k, first);
	XOR_LANES(x, first);
}

void aead__avx512_chacha_lanes32(const struct aead_lanes *lanes, unsigned int first)
{
	KEYS_OF_LANES(x, first);
	KEYS_OF_LANES(y, first + 16);
	STATE_OF_LANES(zmm, __m512i, x, k, first);
	STATE_OF_LANES(zmm, __m512i, y, l, first + 16);
	ROUNDS_TWO();
	ADD_STATE_OF_LANES(zmm, x, k, first);
	ADD_STATE_OF_LANES(zmm, y, l, first + 16);
	XOR_LANES(x, first);
	XOR_LANES(y, first + 16);
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
	STATE_OF_LANES(ymm, __m256i, x, k, first);
	ROUNDS(ymm);
	ADD_STATE_OF_LANES(ymm, x, k, first);

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

/* Words of the initial state of a run of 16 blocks, the same in all of them but for the counters. */
#define STATE_OF_RUN(x, run, counters)                                                             \
	__m512i x##0 = SET_zmm(CONSTANT_0);                                                        \
	__m512i x##1 = SET_zmm(CONSTANT_1);                                                        \
	__m512i x##2 = SET_zmm(CONSTANT_2);                                                        \
	__m512i x##3 = SET_zmm(CONSTANT_3);                                                        \
	__m512i x##4 = broadcast((run)->key, 0);                                                   \
	__m512i x##5 = broadcast((run)->key, 1);                                                   \
	__m512i x##6 = broadcast((run)->key, 2);                                                   \
	__m512i x##7 = broadcast((run)->key, 3);                                                   \
	__m512i x##8 = broadcast((run)->key, 4);                                                   \
	__m512i x##9 = broadcast((run)->key, 5);                                                   \
	__m512i x##10 = broadcast((run)->key, 6);                                                  \
	__m512i x##11 = broadcast((run)->key, 7);                                                  \
	__m512i x##12 = (counters);                                                                \
	__m512i x##13 = SET_zmm((run)->nonce[0]);                                                  \
	__m512i x##14 = SET_zmm((run)->nonce[1]);                                                  \
	__m512i x##15 = SET_zmm((run)->nonce[2])

#define ADD_STATE_OF_RUN(x, run, counters)                                                         \
	do {                                                                                       \
		x##0 = ADD_zmm(x##0, SET_zmm(CONSTANT_0));                                         \
		x##1 = ADD_zmm(x##1, SET_zmm(CONSTANT_1));                                         \
		x##2 = ADD_zmm(x##2, SET_zmm(CONSTANT_2));                                         \
		x##3 = ADD_zmm(x##3, SET_zmm(CONSTANT_3));                                         \
		x##4 = ADD_zmm(x##4, broadcast((run)->key, 0));                                    \
		x##5 = ADD_zmm(x##5, broadcast((run)->key, 1));                                    \
		x##6 = ADD_zmm(x##6, broadcast((run)->key, 2));                                    \
		x##7 = ADD_zmm(x##7, broadcast((run)->key, 3));                                    \
		x##8 = ADD_zmm(x##8, broadcast((run)->key, 4));                                    \
		x##9 = ADD_zmm(x##9, broadcast((run)->key, 5));                                    \
		x##10 = ADD_zmm(x##10, broadcast((run)->key, 6));                                  \
		x##11 = ADD_zmm(x##11, broadcast((run)->key, 7));                                  \
		x##12 = ADD_zmm(x##12, counters);                                                  \
		x##13 = ADD_zmm(x##13, SET_zmm((run)->nonce[0]));                                  \
		x##14 = ADD_zmm(x##14, SET_zmm((run)->nonce[1]));                                  \
		x##15 = ADD_zmm(x##15, SET_zmm((run)->nonce[2]));                                  \
	} while (0)

#define XOR_RUN(x, data)                                                                           \
	do {                                                                                       \
		TRANSPOSE_BLOCKS(x);                                                               \
		xor_whole_row(data, x##0);                                                         \
		xor_whole_row((data) + 64, x##1);                                                  \
		xor_whole_row((data) + 128, x##2);                                                 \
		xor_whole_row((data) + 192, x##3);                                                 \
		xor_whole_row((data) + 256, x##4);                                                 \
		xor_whole_row((data) + 320, x##5);                                                 \
		xor_whole_row((data) + 384, x##6);                                                 \
		xor_whole_row((data) + 448, x##7);                                                 \
		xor_whole_row((data) + 512, x##8);                                                 \
		xor_whole_row((data) + 576, x##9);                                                 \
		xor_whole_row((data) + 640, x##10);                                                \
		xor_whole_row((data) + 704, x##11);                                                \
		xor_whole_row((data) + 768, x##12);                                                \
		xor_whole_row((data) + 832, x##13);                                                \
		xor_whole_row((data) + 896, x##14);                                                \
		xor_whole_row((data) + 960, x##15);                                                \
	} while (0)

#define JOIN(i) x##i = XOR_zmm(x##i, y##i)

static inline __m512i run_counters(const struct aead_run *run)
{
	return _mm512_add_epi32(_mm512_set1_epi32((int)run->counter),
	                        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
	                                          15));
}

void aead__avx512_chacha_run(const struct aead_run *run)
{
	__m512i counters = run_counters(run);

	STATE_OF_RUN(x, run, counters);
	ROUNDS(zmm);
	ADD_STATE_OF_RUN(x, run, counters);
	XOR_RUN(x, run->data);
}

void aead__avx512_chacha_run_two(const struct aead_run *a, const struct aead_run *b)
{
	STATE_OF_RUN(x, a, run_counters(a));
	STATE_OF_RUN(y, b, run_counters(b));
	ROUNDS_TWO();
	ADD_STATE_OF_RUN(x, a, run_counters(a));
	ADD_STATE_OF_RUN(y, b, run_counters(b));
	if (a->data != b->data) {
		XOR_RUN(x, a->data);
		XOR_RUN(y, b->data);
		return;
	}
	/* joined before they are brought into the order of bytes */
	JOIN(0), JOIN(1), JOIN(2), JOIN(3), JOIN(4), JOIN(5), JOIN(6), JOIN(7);
	JOIN(8), JOIN(9), JOIN(10), JOIN(11), JOIN(12), JOIN(13), JOIN(14), JOIN(15);
	XOR_RUN(x, a->data);
}
