/* As aead_avx512_chacha.c with 8 lanes: word i of the states of 8 blocks stands in vector xi. There are
 * 16 registers for 16 words, so the compiler keeps one or two of them in memory, and no masks, so the
 * last bytes of a payload go through a buffer.
 *
 * Nothing branches on or is indexed by key, keystream or payload; lengths and addresses are public. */
#include "aead_avx2_chacha.h"

#include "base_bytes.h"

#include <immintrin.h>

#define N_DOUBLE_ROUNDS 10

/* "expand 32-byte k" */
#define CONSTANT_0 0x61707865
#define CONSTANT_1 0x3320646e
#define CONSTANT_2 0x79622d32
#define CONSTANT_3 0x6b206574

static inline __attribute__((always_inline)) __m256i rotate_16(__m256i v)
{
	return _mm256_shuffle_epi8(v, _mm256_setr_epi8(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15,
	                                               12, 13, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9,
	                                               14, 15, 12, 13));
}

static inline __attribute__((always_inline)) __m256i rotate_8(__m256i v)
{
	return _mm256_shuffle_epi8(v, _mm256_setr_epi8(3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12,
	                                               13, 14, 3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10,
	                                               15, 12, 13, 14));
}

static inline __attribute__((always_inline)) __m256i rotate_12(__m256i v)
{
	return _mm256_or_si256(_mm256_slli_epi32(v, 12), _mm256_srli_epi32(v, 20));
}

static inline __attribute__((always_inline)) __m256i rotate_7(__m256i v)
{
	return _mm256_or_si256(_mm256_slli_epi32(v, 7), _mm256_srli_epi32(v, 25));
}

/* a += b; d = (d ^ a) <<< n, for four columns: their chains hide each other's latency. Column by
 * column, so that only one needs a register more for its rotation. */
#define STEP_COLUMN(n, a, b, d)                                                                    \
	do {                                                                                       \
		a = _mm256_add_epi32(a, b);                                                        \
		d = rotate_##n(_mm256_xor_si256(d, a));                                            \
	} while (0)

#define STEP(n, a0, a1, a2, a3, b0, b1, b2, b3, d0, d1, d2, d3)                                    \
	do {                                                                                       \
		STEP_COLUMN(n, a0, b0, d0);                                                        \
		STEP_COLUMN(n, a1, b1, d1);                                                        \
		STEP_COLUMN(n, a2, b2, d2);                                                        \
		STEP_COLUMN(n, a3, b3, d3);                                                        \
	} while (0)

#define ROUND(a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3)                      \
	do {                                                                                       \
		STEP(16, a0, a1, a2, a3, b0, b1, b2, b3, d0, d1, d2, d3);                          \
		STEP(12, c0, c1, c2, c3, d0, d1, d2, d3, b0, b1, b2, b3);                          \
		STEP(8, a0, a1, a2, a3, b0, b1, b2, b3, d0, d1, d2, d3);                           \
		STEP(7, c0, c1, c2, c3, d0, d1, d2, d3, b0, b1, b2, b3);                           \
	} while (0)

#define ROUNDS()                                                                                   \
	do {                                                                                       \
		for (unsigned int round = 0; round < N_DOUBLE_ROUNDS; round++) {                   \
			ROUND(x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, x12, x13, x14,     \
			      x15);                                                                \
			ROUND(x0, x1, x2, x3, x5, x6, x7, x4, x10, x11, x8, x9, x15, x12, x13,     \
			      x14);                                                                \
		}                                                                                  \
	} while (0)

/* In each half: four vectors of four words become four words of four vectors. */
#define TRANSPOSE_HALVES(a, b, c, d)                                                               \
	do {                                                                                       \
		__m256i ab_low = _mm256_unpacklo_epi32(a, b);                                      \
		__m256i ab_high = _mm256_unpackhi_epi32(a, b);                                     \
		__m256i cd_low = _mm256_unpacklo_epi32(c, d);                                      \
		__m256i cd_high = _mm256_unpackhi_epi32(c, d);                                     \
                                                                                                   \
		a = _mm256_unpacklo_epi64(ab_low, cd_low);                                         \
		b = _mm256_unpackhi_epi64(ab_low, cd_low);                                         \
		c = _mm256_unpacklo_epi64(ab_high, cd_high);                                       \
		d = _mm256_unpackhi_epi64(ab_high, cd_high);                                       \
	} while (0)

#define PAIR_HALVES(a, b)                                                                          \
	do {                                                                                       \
		__m256i even = _mm256_permute2x128_si256(a, b, 0x20);                              \
		__m256i odd = _mm256_permute2x128_si256(a, b, 0x31);                               \
                                                                                                   \
		a = even;                                                                          \
		b = odd;                                                                           \
	} while (0)

/* 8 x 8 words: vector i of words 0-7 becomes word i of vectors 0-7, and the other way round. */
#define TRANSPOSE(v0, v1, v2, v3, v4, v5, v6, v7)                                                  \
	do {                                                                                       \
		TRANSPOSE_HALVES(v0, v1, v2, v3);                                                  \
		TRANSPOSE_HALVES(v4, v5, v6, v7);                                                  \
		PAIR_HALVES(v0, v4);                                                               \
		PAIR_HALVES(v1, v5);                                                               \
		PAIR_HALVES(v2, v6);                                                               \
		PAIR_HALVES(v3, v7);                                                               \
	} while (0)

static inline __m256i load(const void *p)
{
	return _mm256_loadu_si256((const __m256i *)p);
}

static inline void xor_half(uint8_t *data, __m256i keystream)
{
	_mm256_storeu_si256((__m256i *)(void *)data, _mm256_xor_si256(load(data), keystream));
}

static inline void xor_part(uint8_t *data, uint32_t len, __m256i low, __m256i high)
{
	_Alignas(32) uint8_t row[AEAD_BLOCK_LEN] = {0};

	memcpy(row, data, len);
	xor_half(row, low);
	xor_half(row + 32, high);
	memcpy(data, row, len);
}

static inline void xor_row(uint8_t *data, uint32_t len, __m256i low, __m256i high)
{
	if (len == AEAD_BLOCK_LEN) {
		xor_half(data, low);
		xor_half(data + 32, high);
	} else if (len == AEAD_OTK_LEN) {
		xor_half(data, low);
	} else {
		xor_part(data, len, low, high);
	}
}

void aead__avx2_chacha_lanes8(const struct aead_lanes *lanes, unsigned int first)
{
	_Alignas(32) __m256i key[8];
	__m256i x0 = load(lanes->key[first]);
	__m256i x1 = load(lanes->key[first + 1]);
	__m256i x2 = load(lanes->key[first + 2]);
	__m256i x3 = load(lanes->key[first + 3]);
	__m256i x4 = load(lanes->key[first + 4]);
	__m256i x5 = load(lanes->key[first + 5]);
	__m256i x6 = load(lanes->key[first + 6]);
	__m256i x7 = load(lanes->key[first + 7]);
	__m256i x8, x9, x10, x11, x12, x13, x14, x15;

	TRANSPOSE(x0, x1, x2, x3, x4, x5, x6, x7);
	key[0] = x0;
	key[1] = x1;
	key[2] = x2;
	key[3] = x3;
	key[4] = x8 = x4;
	key[5] = x9 = x5;
	key[6] = x10 = x6;
	key[7] = x11 = x7;
	x4 = x0;
	x5 = x1;
	x6 = x2;
	x7 = x3;
	x0 = _mm256_set1_epi32(CONSTANT_0);
	x1 = _mm256_set1_epi32(CONSTANT_1);
	x2 = _mm256_set1_epi32(CONSTANT_2);
	x3 = _mm256_set1_epi32(CONSTANT_3);
	x12 = load(lanes->counter + first);
	x13 = load(lanes->nonce[0] + first);
	x14 = load(lanes->nonce[1] + first);
	x15 = load(lanes->nonce[2] + first);

	ROUNDS();
	x0 = _mm256_add_epi32(x0, _mm256_set1_epi32(CONSTANT_0));
	x1 = _mm256_add_epi32(x1, _mm256_set1_epi32(CONSTANT_1));
	x2 = _mm256_add_epi32(x2, _mm256_set1_epi32(CONSTANT_2));
	x3 = _mm256_add_epi32(x3, _mm256_set1_epi32(CONSTANT_3));
	x4 = _mm256_add_epi32(x4, key[0]);
	x5 = _mm256_add_epi32(x5, key[1]);
	x6 = _mm256_add_epi32(x6, key[2]);
	x7 = _mm256_add_epi32(x7, key[3]);
	x8 = _mm256_add_epi32(x8, key[4]);
	x9 = _mm256_add_epi32(x9, key[5]);
	x10 = _mm256_add_epi32(x10, key[6]);
	x11 = _mm256_add_epi32(x11, key[7]);
	x12 = _mm256_add_epi32(x12, load(lanes->counter + first));
	x13 = _mm256_add_epi32(x13, load(lanes->nonce[0] + first));
	x14 = _mm256_add_epi32(x14, load(lanes->nonce[1] + first));
	x15 = _mm256_add_epi32(x15, load(lanes->nonce[2] + first));

	TRANSPOSE(x0, x1, x2, x3, x4, x5, x6, x7);
	TRANSPOSE(x8, x9, x10, x11, x12, x13, x14, x15);
	xor_row(lanes->data[first], lanes->len[first], x0, x8);
	xor_row(lanes->data[first + 1], lanes->len[first + 1], x1, x9);
	xor_row(lanes->data[first + 2], lanes->len[first + 2], x2, x10);
	xor_row(lanes->data[first + 3], lanes->len[first + 3], x3, x11);
	xor_row(lanes->data[first + 4], lanes->len[first + 4], x4, x12);
	xor_row(lanes->data[first + 5], lanes->len[first + 5], x5, x13);
	xor_row(lanes->data[first + 6], lanes->len[first + 6], x6, x14);
	xor_row(lanes->data[first + 7], lanes->len[first + 7], x7, x15);
}

static inline __m256i broadcast(const uint8_t *key, unsigned int word)
{
	return _mm256_set1_epi32((int)base_load_le32(key + 4 * (size_t)word));
}

static inline void xor_run(const uint8_t *key, const uint32_t *nonce, __m256i counters,
                           uint8_t *data)
{
	__m256i x0 = _mm256_set1_epi32(CONSTANT_0);
	__m256i x1 = _mm256_set1_epi32(CONSTANT_1);
	__m256i x2 = _mm256_set1_epi32(CONSTANT_2);
	__m256i x3 = _mm256_set1_epi32(CONSTANT_3);
	__m256i x4 = broadcast(key, 0);
	__m256i x5 = broadcast(key, 1);
	__m256i x6 = broadcast(key, 2);
	__m256i x7 = broadcast(key, 3);
	__m256i x8 = broadcast(key, 4);
	__m256i x9 = broadcast(key, 5);
	__m256i x10 = broadcast(key, 6);
	__m256i x11 = broadcast(key, 7);
	__m256i x12 = counters;
	__m256i x13 = _mm256_set1_epi32((int)nonce[0]);
	__m256i x14 = _mm256_set1_epi32((int)nonce[1]);
	__m256i x15 = _mm256_set1_epi32((int)nonce[2]);

	ROUNDS();
	x0 = _mm256_add_epi32(x0, _mm256_set1_epi32(CONSTANT_0));
	x1 = _mm256_add_epi32(x1, _mm256_set1_epi32(CONSTANT_1));
	x2 = _mm256_add_epi32(x2, _mm256_set1_epi32(CONSTANT_2));
	x3 = _mm256_add_epi32(x3, _mm256_set1_epi32(CONSTANT_3));
	x4 = _mm256_add_epi32(x4, broadcast(key, 0));
	x5 = _mm256_add_epi32(x5, broadcast(key, 1));
	x6 = _mm256_add_epi32(x6, broadcast(key, 2));
	x7 = _mm256_add_epi32(x7, broadcast(key, 3));
	x8 = _mm256_add_epi32(x8, broadcast(key, 4));
	x9 = _mm256_add_epi32(x9, broadcast(key, 5));
	x10 = _mm256_add_epi32(x10, broadcast(key, 6));
	x11 = _mm256_add_epi32(x11, broadcast(key, 7));
	x12 = _mm256_add_epi32(x12, counters);
	x13 = _mm256_add_epi32(x13, _mm256_set1_epi32((int)nonce[0]));
	x14 = _mm256_add_epi32(x14, _mm256_set1_epi32((int)nonce[1]));
	x15 = _mm256_add_epi32(x15, _mm256_set1_epi32((int)nonce[2]));

	TRANSPOSE(x0, x1, x2, x3, x4, x5, x6, x7);
	TRANSPOSE(x8, x9, x10, x11, x12, x13, x14, x15);
	xor_row(data, AEAD_BLOCK_LEN, x0, x8);
	xor_row(data + 64, AEAD_BLOCK_LEN, x1, x9);
	xor_row(data + 128, AEAD_BLOCK_LEN, x2, x10);
	xor_row(data + 192, AEAD_BLOCK_LEN, x3, x11);
	xor_row(data + 256, AEAD_BLOCK_LEN, x4, x12);
	xor_row(data + 320, AEAD_BLOCK_LEN, x5, x13);
	xor_row(data + 384, AEAD_BLOCK_LEN, x6, x14);
	xor_row(data + 448, AEAD_BLOCK_LEN, x7, x15);
}

void aead__avx2_chacha_run(const struct aead_run *run)
{
	xor_run(run->key, run->nonce,
	        _mm256_add_epi32(_mm256_set1_epi32((int)run->counter),
	                         _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
	        run->data);
}
