/* Numbers mod 2^130 - 5 are held in three limbs of 44, 44 and 42 bits, in radix 2^44, so that IFMA
 * (52 x 52 bits, low and high half of the product added to 64 bits) has 8 bits to spare for sums.
 *
 * A message is a row of steps of 64 bytes (four blocks), and each packet is moved to the right so that
 * its last block, the two lengths, is the last block of the last step (of short packets, comes after
 * it). Before its first block a shorter packet has blocks without bytes and without the bit 2^128: they
 * add nothing to an accumulator that is still 0. So all lanes end together, and none needs to be held
 * back.
 *
 * Horner's rule, four blocks at a time where it pays for the powers:
 * h = (h + m0) r^4 + m1 r^3 + m2 r^2 + m3 r, with one carry for the four.
 *
 * Bounds. Limbs of r: 2^44, 2^44, 2^42; of a block 2^44, 2^44, 2^41. A product's limbs are carried once,
 * all at the same time: < 2^44 + 2^17, 2^44 + 2^15, 2^42 + 2^13, which goes for h and the powers of r. So a
 * factor is < 2^46, 20 times a limb < 2^49, and neither is cut to 52 bits. A sum of 12 low halves is < 2^56,
 * one of 12 high halves < 2^47; those of the third column have no times 20 in them and are < 2^43, so that
 * 5 * 2^10 times that is < 2^56 too.
 *
 * Nothing branches on or is indexed by keys, accumulators or bytes of a message; lengths are public. */
#include "aead_avx512_poly.h"

#include "base_bytes.h"

#include <immintrin.h>

#define BLOCK_LEN   16 /* Poly1305 */
#define STEP_LEN    64
#define STEP_BLOCKS 4

#define MASK_44 ((UINT64_C(1) << 44) - 1)
#define MASK_42 ((UINT64_C(1) << 42) - 1)
#define PAD_BIT (UINT64_C(1) << 40) /* 2^128 in the third limb */

/* Groups whose longest packet has at most this many blocks before the lengths go block by block: to
 * compute r^2 .. r^4 costs about as much as three blocks. There the lengths come after the last step, so
 * that 64 bytes are one step. */
#define SHORT_BLOCKS 8U
#define SHORT_GROUPS 2U /* of short packets, that run side by side */

struct number {
	__m512i limb[3];
};

/* A factor: limbs, and the upper two times 20, for what comes over 2^132 (5 times 2^2). */
struct factor {
	__m512i limb[3];
	__m512i times_20[2];
};

/* Column sums of a product before the carry: low[i] in units of 2^(44 i), high[i] of 2^(44 i + 52). */
struct product {
	__m512i low[3];
	__m512i high[3];
};

#define splat(v) _mm512_set1_epi64((long long)(v))

static inline __attribute__((always_inline)) void product_clear(struct product *sum)
{
	for (unsigned int i = 0; i < 3; i++)
		sum->low[i] = sum->high[i] = _mm512_setzero_si512();
}

#define MULTIPLY_ADD(column, a, b)                                                                 \
	do {                                                                                       \
		sum->low[column] = _mm512_madd52lo_epu64(sum->low[column], a, b);                  \
		sum->high[column] = _mm512_madd52hi_epu64(sum->high[column], a, b);                \
	} while (0)

/* sum += a f */
static inline __attribute__((always_inline)) void
product_add(struct product *sum, const struct number *a, const struct factor *f)
{
	MULTIPLY_ADD(0, a->limb[0], f->limb[0]);
	MULTIPLY_ADD(1, a->limb[0], f->limb[1]);
	MULTIPLY_ADD(2, a->limb[0], f->limb[2]);
	MULTIPLY_ADD(0, a->limb[1], f->times_20[1]);
	MULTIPLY_ADD(1, a->limb[1], f->limb[0]);
	MULTIPLY_ADD(2, a->limb[1], f->limb[1]);
	MULTIPLY_ADD(0, a->limb[2], f->times_20[0]);
	MULTIPLY_ADD(1, a->limb[2], f->times_20[1]);
	MULTIPLY_ADD(2, a->limb[2], f->limb[0]);
}

/* No limb waits for its neighbour: its carry goes up one limb and no further. */
static inline __attribute__((always_inline)) struct number product_carry(const struct product *sum)
{
	const __m512i mask_44 = splat(MASK_44);
	const __m512i mask_42 = splat(MASK_42);
	__m512i over = _mm512_slli_epi64(sum->high[2], 10); /* in units of 2^130 */
	__m512i d0 = _mm512_add_epi64(_mm512_add_epi64(sum->low[0], over),
	                              _mm512_slli_epi64(over, 2));
	__m512i d1 = _mm512_add_epi64(sum->low[1], _mm512_slli_epi64(sum->high[0], 8));
	__m512i d2 = _mm512_add_epi64(sum->low[2], _mm512_slli_epi64(sum->high[1], 8));
	struct number h;

	over = _mm512_srli_epi64(d2, 42);
	h.limb[0] = _mm512_add_epi64(_mm512_add_epi64(_mm512_and_si512(d0, mask_44), over),
	                             _mm512_slli_epi64(over, 2));
	h.limb[1] = _mm512_add_epi64(_mm512_and_si512(d1, mask_44), _mm512_srli_epi64(d0, 44));
	h.limb[2] = _mm512_add_epi64(_mm512_and_si512(d2, mask_42), _mm512_srli_epi64(d1, 44));
	return h;
}

static inline __attribute__((always_inline)) struct factor make_factor(const struct number *a)
{
	struct factor f = {.limb = {a->limb[0], a->limb[1], a->limb[2]}};

	for (unsigned int i = 0; i < 2; i++)
		f.times_20[i] = _mm512_add_epi64(_mm512_slli_epi64(a->limb[i + 1], 4),
		                                 _mm512_slli_epi64(a->limb[i + 1], 2));
	return f;
}

static inline __attribute__((always_inline)) struct number add(const struct number *a,
                                                               const struct number *b)
{
	return (struct number){.limb = {_mm512_add_epi64(a->limb[0], b->limb[0]),
	                                _mm512_add_epi64(a->limb[1], b->limb[1]),
	                                _mm512_add_epi64(a->limb[2], b->limb[2])}};
}

static inline __attribute__((always_inline)) struct number zero(void)
{
	return (struct number){
		.limb = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()}};
}

static inline __attribute__((always_inline)) struct number multiply(const struct number *a,
                                                                    const struct factor *f)
{
	struct product sum;

	product_clear(&sum);
	product_add(&sum, a, f);
	return product_carry(&sum);
}

/* 128 bits of each lane, and pad_bit (2^128 or 0) over them. */
static inline __attribute__((always_inline)) struct number make_number(__m512i low, __m512i high,
                                                                       __m512i pad_bit)
{
	const __m512i mask_44 = splat(MASK_44);
	struct number m;

	m.limb[0] = _mm512_and_si512(low, mask_44);
	m.limb[1] = _mm512_and_si512(_mm512_shrdi_epi64(low, high, 44), mask_44);
	m.limb[2] = _mm512_or_si512(_mm512_srli_epi64(high, 24), pad_bit);
	return m;
}

/* A row a packet in, a 64-bit word of all packets a vector out. */
static inline __attribute__((always_inline)) void transpose(__m512i v[8])
{
	__m512i a0 = _mm512_unpacklo_epi64(v[0], v[1]);
	__m512i a1 = _mm512_unpackhi_epi64(v[0], v[1]);
	__m512i a2 = _mm512_unpacklo_epi64(v[2], v[3]);
	__m512i a3 = _mm512_unpackhi_epi64(v[2], v[3]);
	__m512i a4 = _mm512_unpacklo_epi64(v[4], v[5]);
	__m512i a5 = _mm512_unpackhi_epi64(v[4], v[5]);
	__m512i a6 = _mm512_unpacklo_epi64(v[6], v[7]);
	__m512i a7 = _mm512_unpackhi_epi64(v[6], v[7]);
	__m512i b0 = _mm512_shuffle_i64x2(a0, a2, 0x44);
	__m512i b1 = _mm512_shuffle_i64x2(a1, a3, 0x44);
	__m512i b2 = _mm512_shuffle_i64x2(a0, a2, 0xee);
	__m512i b3 = _mm512_shuffle_i64x2(a1, a3, 0xee);
	__m512i b4 = _mm512_shuffle_i64x2(a4, a6, 0x44);
	__m512i b5 = _mm512_shuffle_i64x2(a5, a7, 0x44);
	__m512i b6 = _mm512_shuffle_i64x2(a4, a6, 0xee);
	__m512i b7 = _mm512_shuffle_i64x2(a5, a7, 0xee);

	v[0] = _mm512_shuffle_i64x2(b0, b4, 0x88);
	v[1] = _mm512_shuffle_i64x2(b1, b5, 0x88);
	v[2] = _mm512_shuffle_i64x2(b0, b4, 0xdd);
	v[3] = _mm512_shuffle_i64x2(b1, b5, 0xdd);
	v[4] = _mm512_shuffle_i64x2(b2, b6, 0x88);
	v[5] = _mm512_shuffle_i64x2(b3, b7, 0x88);
	v[6] = _mm512_shuffle_i64x2(b2, b6, 0xdd);
	v[7] = _mm512_shuffle_i64x2(b3, b7, 0xdd);
}

/* The same, straight from eight addresses. Half rows of two packets share a vector, which saves the
 * third exchange: shuffles have fewer ports than everything else here. */
static inline __attribute__((always_inline)) __m512i load_halves(const uint8_t *a, const uint8_t *b)
{
	__m256i low = _mm256_loadu_si256((const __m256i *)(const void *)a);
	__m256i high = _mm256_loadu_si256((const __m256i *)(const void *)b);

	return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

static inline __attribute__((always_inline)) void load_transposed(const uint8_t *const row[8],
                                                                  size_t at, __m512i v[8])
{
	for (unsigned int half = 0; half < 2; half++, at += 32, v += 4) {
		__m512i a = load_halves(row[0] + at, row[2] + at);
		__m512i b = load_halves(row[1] + at, row[3] + at);
		__m512i c = load_halves(row[4] + at, row[6] + at);
		__m512i d = load_halves(row[5] + at, row[7] + at);
		__m512i ab_even = _mm512_unpacklo_epi64(a, b);
		__m512i ab_odd = _mm512_unpackhi_epi64(a, b);
		__m512i cd_even = _mm512_unpacklo_epi64(c, d);
		__m512i cd_odd = _mm512_unpackhi_epi64(c, d);

		v[0] = _mm512_shuffle_i64x2(ab_even, cd_even, 0x88);
		v[1] = _mm512_shuffle_i64x2(ab_odd, cd_odd, 0x88);
		v[2] = _mm512_shuffle_i64x2(ab_even, cd_even, 0xdd);
		v[3] = _mm512_shuffle_i64x2(ab_odd, cd_odd, 0xdd);
	}
}

/* What a group computes with. Vectors have a packet a lane. */
struct mac {
	const struct aead_macs *macs;
	unsigned int first;
	unsigned int n_steps;
	unsigned int n_blocks; /* of the longest */
	bool is_short;         /* block by block, and the lengths after the last step */
	unsigned int n_ragged; /* first steps in which some lane lacks a block */
	__m512i start;         /* of step 0 in the payload: before it, or in it; bytes, signed */
	__m512i lead;          /* blocks that a lane lacks at the start */
	__m512i len;
	__m512i aad_len;
	__m512i s_low, s_high;
	struct factor r;
};

static inline size_t aad_len_of(const struct mac *mac, unsigned int i)
{
	const struct aead_extra *extra = mac->macs->extra[mac->first + i];

	return extra == NULL ? 0 : extra->aad_len;
}

static inline __m512i count_blocks(__m512i len)
{
	return _mm512_srli_epi64(_mm512_add_epi64(len, splat(BLOCK_LEN - 1)), 4);
}

static inline __m512i load_aad_lens(const struct mac *mac)
{
	_Alignas(64) uint64_t aad_len[AEAD_AVX512_GROUP];

	for (unsigned int i = 0; i < AEAD_AVX512_GROUP; i++)
		aad_len[i] = aad_len_of(mac, i);
	return _mm512_load_si512(aad_len);
}

/* Where the packets of a group begin. is_short is a constant; n_min: blocks to lay out at least. */
static inline __attribute__((always_inline)) void mac_layout(struct mac *mac,
                                                             const struct aead_macs *macs,
                                                             unsigned int first, bool is_short,
                                                             unsigned int n_min, bool extra)
{
	__m256i lens = _mm256_load_si256((const __m256i *)(const void *)&macs->len[first]);
	__m512i n_data, n_all;
	unsigned int longest, shortest;

	mac->macs = macs;
	mac->first = first;
	mac->is_short = is_short;
	mac->len = _mm512_cvtepu32_epi64(lens);
	mac->aad_len = extra ? load_aad_lens(mac) : _mm512_setzero_si512();
	n_data = count_blocks(mac->len);
	n_all = _mm512_add_epi64(n_data, count_blocks(mac->aad_len));
	longest = (unsigned int)_mm512_reduce_max_epu64(n_all);
	shortest = (unsigned int)_mm512_reduce_min_epu64(n_all);
	if (!is_short) {
		n_data = _mm512_add_epi64(n_data, splat(1));
		n_all = _mm512_add_epi64(n_all, splat(1));
		longest++;
		shortest++;
	}
	mac->n_blocks = longest > n_min ? longest : n_min;
	mac->n_steps = (mac->n_blocks + STEP_BLOCKS - 1) / STEP_BLOCKS;
	mac->n_ragged = mac->n_steps - shortest / STEP_BLOCKS;
	mac->lead = _mm512_sub_epi64(splat(mac->n_steps * STEP_BLOCKS), n_all);
	mac->start = _mm512_slli_epi64(_mm512_sub_epi64(n_data, splat(mac->n_steps * STEP_BLOCKS)),
	                               4);
}

/* r with the bits cleared that RFC 8439 2.5 clears, and s. */
static inline __attribute__((always_inline)) void
mac_load_keys(struct mac *mac, const uint8_t (*otk)[AEAD_BLOCK_LEN])
{
	const __m512i low_index = _mm512_setr_epi64(0, 4, 8, 12, 1, 5, 9, 13);
	const __m512i high_index = _mm512_setr_epi64(2, 6, 10, 14, 3, 7, 11, 15);
	__m512i a = load_halves(otk[0], otk[1]);
	__m512i b = load_halves(otk[2], otk[3]);
	__m512i c = load_halves(otk[4], otk[5]);
	__m512i d = load_halves(otk[6], otk[7]);
	__m512i r_first = _mm512_permutex2var_epi64(a, low_index, b); /* r low, r high of 0-3 */
	__m512i r_last = _mm512_permutex2var_epi64(c, low_index, d);
	__m512i s_first = _mm512_permutex2var_epi64(a, high_index, b);
	__m512i s_last = _mm512_permutex2var_epi64(c, high_index, d);
	__m512i r_low = _mm512_shuffle_i64x2(r_first, r_last, 0x44);
	__m512i r_high = _mm512_shuffle_i64x2(r_first, r_last, 0xee);
	struct number r;

	mac->s_low = _mm512_shuffle_i64x2(s_first, s_last, 0x44);
	mac->s_high = _mm512_shuffle_i64x2(s_first, s_last, 0xee);
	r_low = _mm512_and_si512(r_low, splat(UINT64_C(0x0ffffffc0fffffff)));
	r_high = _mm512_and_si512(r_high, splat(UINT64_C(0x0ffffffc0ffffffc)));
	r = make_number(r_low, r_high, _mm512_setzero_si512());
	mac->r = make_factor(&r);
}

/* Which of the 64 bytes from at on (signed, in each lane) lie in [0, len): a bit each. Shifts by 64
 * and more give 0. */
static inline __m512i byte_masks(__m512i at, __m512i len)
{
	const __m512i zero = _mm512_setzero_si512();
	const __m512i ones = _mm512_set1_epi64(-1);
	__m512i n_before = _mm512_max_epi64(_mm512_sub_epi64(zero, at), zero);
	__m512i n_behind = _mm512_max_epi64(
		_mm512_sub_epi64(_mm512_add_epi64(at, splat(STEP_LEN)), len), zero);

	return _mm512_and_si512(_mm512_sllv_epi64(ones, n_before),
	                        _mm512_srlv_epi64(ones, n_behind));
}

/* A step's row of each packet, only those of its bytes that are there. Nothing else is read, and a
 * lane without any reads its first byte's address under an empty mask, not one far away. */
static inline __attribute__((always_inline)) void load_parts(const struct mac *mac, __m512i at,
                                                             __m512i v[8])
{
	_Alignas(64) uint64_t mask[AEAD_AVX512_GROUP];
	_Alignas(64) const uint8_t *row[AEAD_AVX512_GROUP];
	__m512i masks = byte_masks(at, mac->len);
	__m512i data = _mm512_loadu_si512(&mac->macs->data[mac->first]);

	at = _mm512_maskz_mov_epi64(_mm512_test_epi64_mask(masks, masks), at);
	_mm512_store_si512(mask, masks);
	_mm512_store_si512(row, _mm512_add_epi64(data, at));
	for (unsigned int i = 0; i < AEAD_AVX512_GROUP; i++)
		v[i] = _mm512_maskz_loadu_epi8(mask[i], row[i]);
}

/* With additional data before, padded to a whole block. Rare, so byte by byte is good enough. */
static __m512i load_part_extra(const struct mac *mac, unsigned int i, int64_t at)
{
	_Alignas(64) uint8_t row[STEP_LEN] = {0};
	const uint8_t *data = mac->macs->data[mac->first + i];
	int64_t len = mac->macs->len[mac->first + i];
	int64_t aad_len = (int64_t)aad_len_of(mac, i);
	int64_t aad_start = -((aad_len + BLOCK_LEN - 1) / BLOCK_LEN * BLOCK_LEN);

	for (unsigned int j = 0; j < STEP_LEN; j++, at++) {
		if (at >= 0 && at < len)
			row[j] = data[at];
		else if (at < 0 && at >= aad_start && at - aad_start < aad_len)
			row[j] = mac->macs->extra[mac->first + i]->aad[at - aad_start];
	}
	return _mm512_load_si512(row);
}

static inline __attribute__((always_inline)) void load_parts_extra(const struct mac *mac,
                                                                   __m512i at, __m512i v[8])
{
	_Alignas(64) int64_t start[AEAD_AVX512_GROUP];

	_mm512_store_si512(start, at);
	for (unsigned int i = 0; i < AEAD_AVX512_GROUP; i++)
		v[i] = load_part_extra(mac, i, start[i]);
}

/* Ends of messages: the row of each packet at a step, transposed; the lengths are the last
 * block, unless they come apart. */
static inline __attribute__((always_inline)) void
load_rows(const struct mac *mac, unsigned int step, bool extra, __m512i v[8])
{
	__m512i at = _mm512_add_epi64(mac->start, splat(step * STEP_LEN));

	if (extra)
		load_parts_extra(mac, at, v);
	else
		load_parts(mac, at, v);
	transpose(v);
	if (!mac->is_short && step == mac->n_steps - 1) {
		v[6] = mac->aad_len;
		v[7] = mac->len;
	}
}

/* The 2^128 over block j of a step, for the lanes that have that block. */
static inline __m512i pad_bits(const struct mac *mac, unsigned int step, unsigned int j)
{
	__mmask8 has = _mm512_cmple_epu64_mask(mac->lead, splat(step * STEP_BLOCKS + j));

	return _mm512_maskz_mov_epi64(has, splat(PAD_BIT));
}

/* h = (h + m) r */
static inline __attribute__((always_inline)) void
absorb_block(struct number *h, const struct number *m, const struct factor *r)
{
	struct number sum = add(h, m);

	*h = multiply(&sum, r);
}

/* Of mac[n_groups], all of as many blocks: alone a group waits for one product after the other. */
static inline __attribute__((always_inline)) void
absorb_short(struct number *h, const struct mac *mac, unsigned int n_groups)
{
	unsigned int j = mac->n_steps * STEP_BLOCKS - mac->n_blocks;

	for (unsigned int i = 0; i < n_groups; i++)
		h[i] = zero();
	for (unsigned int step = 0; step < mac->n_steps; step++) {
		_Alignas(64) __m512i v[SHORT_GROUPS][8];

		for (unsigned int i = 0; i < n_groups; i++)
			load_rows(&mac[i], step, false, v[i]);
		for (; j < STEP_BLOCKS; j++) {
			for (unsigned int i = 0; i < n_groups; i++) {
				struct number m = make_number(v[i][2 * j], v[i][2 * j + 1],
				                              pad_bits(&mac[i], step, j));

				absorb_block(&h[i], &m, &mac[i].r);
			}
		}
		j = 0;
	}
	for (unsigned int i = 0; i < n_groups; i++) {
		struct number lengths = make_number(mac[i].aad_len, mac[i].len, splat(PAD_BIT));

		absorb_block(&h[i], &lengths, &mac[i].r);
	}
}

struct powers {
	struct factor r2, r3, r4;
};

static inline __attribute__((always_inline)) void make_powers(struct powers *powers,
                                                              const struct factor *r)
{
	struct number r1 = {.limb = {r->limb[0], r->limb[1], r->limb[2]}};
	struct number r2 = multiply(&r1, r);
	struct number r3, r4;

	powers->r2 = make_factor(&r2);
	r3 = multiply(&r1, &powers->r2);
	r4 = multiply(&r2, &powers->r2);
	powers->r3 = make_factor(&r3);
	powers->r4 = make_factor(&r4);
}

/* h = (h + m0) r^4 + m1 r^3 + m2 r^2 + m3 r; what does not wait for h goes first. */
static inline __attribute__((always_inline)) void absorb_step(struct number *h, const __m512i v[8],
                                                              const __m512i pad[4],
                                                              const struct factor *r,
                                                              const struct powers *powers)
{
	struct number m;
	struct product sum;

	product_clear(&sum);
	m = make_number(v[6], v[7], pad[3]);
	product_add(&sum, &m, r);
	m = make_number(v[4], v[5], pad[2]);
	product_add(&sum, &m, &powers->r2);
	m = make_number(v[2], v[3], pad[1]);
	product_add(&sum, &m, &powers->r3);
	m = make_number(v[0], v[1], pad[0]);
	m = add(h, &m);
	product_add(&sum, &m, &powers->r4);
	*h = product_carry(&sum);
}

static inline __attribute__((always_inline)) void absorb_ragged(struct number *h,
                                                                const struct mac *mac,
                                                                const struct powers *powers,
                                                                unsigned int step, bool extra)
{
	__m512i pad[STEP_BLOCKS];
	__m512i v[8];

	load_rows(mac, step, extra, v);
	for (unsigned int j = 0; j < STEP_BLOCKS; j++)
		pad[j] = pad_bits(mac, step, j);
	absorb_step(h, v, pad, &mac->r, powers);
}

/* A step in which each lane has all its 64 bytes or none. Returns false, and has done nothing, if some
 * packet begins within it. */
static inline __attribute__((always_inline)) bool absorb_all_or_none(struct number *h,
                                                                     const struct mac *mac,
                                                                     const struct powers *powers,
                                                                     unsigned int step)
{
	_Alignas(64) static const uint8_t none[STEP_LEN];
	_Alignas(64) const uint8_t *row[AEAD_AVX512_GROUP];
	__m512i at = _mm512_add_epi64(mac->start, splat(step * STEP_LEN));
	__m512i data = _mm512_loadu_si512(&mac->macs->data[mac->first]);
	__mmask8 has_all = _mm512_cmpge_epi64_mask(at, _mm512_setzero_si512());
	__mmask8 has_none = _mm512_cmple_epi64_mask(at, _mm512_set1_epi64(-STEP_LEN));
	__m512i pad_bit = _mm512_maskz_mov_epi64(has_all, splat(PAD_BIT));
	const __m512i pad[STEP_BLOCKS] = {pad_bit, pad_bit, pad_bit, pad_bit};
	__m512i v[8];

	if ((has_all | has_none) != 0xff)
		return false;
	_mm512_store_si512(row, _mm512_mask_add_epi64(splat((uintptr_t)none), has_all, data, at));
	load_transposed(row, 0, v);
	absorb_step(h, v, pad, &mac->r, powers);
	return true;
}

/* Steps in which every lane has all its 64 bytes. */
static inline __attribute__((always_inline)) void absorb_whole(struct number *h,
                                                               const struct mac *mac,
                                                               const struct powers *powers,
                                                               unsigned int first, unsigned int end)
{
	const __m512i pad[STEP_BLOCKS] = {splat(PAD_BIT), splat(PAD_BIT), splat(PAD_BIT),
	                                  splat(PAD_BIT)};
	const uint8_t *row[AEAD_AVX512_GROUP];
	__m512i data = _mm512_loadu_si512(&mac->macs->data[mac->first]);

	_mm512_storeu_si512(row, _mm512_add_epi64(data, mac->start));
	for (unsigned int step = first; step < end; step++) {
		__m512i v[8];

		load_transposed(row, (size_t)step * STEP_LEN, v);
		absorb_step(h, v, pad, &mac->r, powers);
	}
}

static inline __attribute__((always_inline)) struct number absorb_long(const struct mac *mac,
                                                                       bool extra)
{
	unsigned int n_ragged = extra ? mac->n_steps - 1 : mac->n_ragged;
	struct number h = zero();
	struct powers powers;

	if (n_ragged > mac->n_steps - 1)
		n_ragged = mac->n_steps - 1;
	make_powers(&powers, &mac->r);
	for (unsigned int step = 0; step < n_ragged; step++) {
		if (extra || !absorb_all_or_none(&h, mac, &powers, step))
			absorb_ragged(&h, mac, &powers, step, extra);
	}
	absorb_whole(&h, mac, &powers, n_ragged, mac->n_steps - 1);
	absorb_ragged(&h, mac, &powers, mac->n_steps - 1, extra);
	return h;
}

/* The one representation below 2^130 - 5, then + s mod 2^128. */
static inline __attribute__((always_inline)) void store_tags(const struct mac *mac, struct number h,
                                                             uint8_t tag[][AEAD_TAG_LEN])
{
	const __m512i mask_44 = splat(MASK_44);
	const __m512i mask_42 = splat(MASK_42);
	__m512i d0 = h.limb[0], d1 = h.limb[1], d2 = h.limb[2];
	__m512i g0, g1, g2, carry, low, high;
	__mmask8 below, wraps;

	/* limbs below their widths: each may be over its own, and after it the next */
	d2 = _mm512_add_epi64(d2, _mm512_srli_epi64(d1, 44));
	d1 = _mm512_and_si512(d1, mask_44);
	carry = _mm512_srli_epi64(d2, 42);
	d2 = _mm512_and_si512(d2, mask_42);
	d0 = _mm512_add_epi64(d0, _mm512_add_epi64(carry, _mm512_slli_epi64(carry, 2)));
	d1 = _mm512_add_epi64(d1, _mm512_srli_epi64(d0, 44));
	d0 = _mm512_and_si512(d0, mask_44);
	d2 = _mm512_add_epi64(d2, _mm512_srli_epi64(d1, 44));
	d1 = _mm512_and_si512(d1, mask_44);
	/* g = h + 5 - 2^130 is the answer unless it is negative */
	g0 = _mm512_add_epi64(d0, splat(5));
	g1 = _mm512_add_epi64(d1, _mm512_srli_epi64(g0, 44));
	g0 = _mm512_and_si512(g0, mask_44);
	g2 = _mm512_add_epi64(d2, _mm512_srli_epi64(g1, 44));
	g1 = _mm512_and_si512(g1, mask_44);
	below = _mm512_cmple_epu64_mask(g2, mask_42);
	g2 = _mm512_and_si512(g2, mask_42);
	d0 = _mm512_mask_mov_epi64(g0, below, d0);
	d1 = _mm512_mask_mov_epi64(g1, below, d1);
	d2 = _mm512_mask_mov_epi64(g2, below, d2);

	low = _mm512_or_si512(d0, _mm512_slli_epi64(d1, 44));
	high = _mm512_or_si512(_mm512_srli_epi64(d1, 20), _mm512_slli_epi64(d2, 24));
	low = _mm512_add_epi64(low, mac->s_low);
	wraps = _mm512_cmplt_epu64_mask(low, mac->s_low);
	high = _mm512_add_epi64(high, mac->s_high);
	high = _mm512_mask_add_epi64(high, wraps, high, splat(1));
	_mm512_store_si512(tag, _mm512_permutex2var_epi64(
					low, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), high));
	_mm512_store_si512(tag + 4,
	                   _mm512_permutex2var_epi64(
				   low, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), high));
}

static inline __attribute__((always_inline)) void
run_short(struct aead_macs *macs, unsigned int first, unsigned int n_groups)
{
	struct mac mac[SHORT_GROUPS];
	struct number h[SHORT_GROUPS];

	for (unsigned int i = 0; i < n_groups; i++) {
		/* the longest is in the first group */
		mac_layout(&mac[i], macs, first + i * AEAD_AVX512_GROUP, true,
		           i == 0 ? 0 : mac[0].n_blocks, false);
		mac_load_keys(&mac[i], &macs->otk[mac[i].first]);
	}
	absorb_short(h, mac, n_groups);
	for (unsigned int i = 0; i < n_groups; i++)
		store_tags(&mac[i], h[i], &macs->tag[mac[i].first]);
}

static inline __attribute__((always_inline)) void run_long(struct aead_macs *macs,
                                                           unsigned int first, bool extra)
{
	struct mac mac;
	struct number h;

	mac_layout(&mac, macs, first, false, 0, extra);
	mac_load_keys(&mac, &macs->otk[first]);
	h = absorb_long(&mac, extra);
	store_tags(&mac, h, &macs->tag[first]);
}

/* Functions of their own: inlined into one, gcc has registers for neither (1 to 3 % of a packet). */
static __attribute__((noinline)) void poly_short_pair(struct aead_macs *macs, unsigned int first)
{
	run_short(macs, first, 2);
}

static __attribute__((noinline)) void poly_short(struct aead_macs *macs, unsigned int first)
{
	run_short(macs, first, 1);
}

static __attribute__((noinline)) void poly_long(struct aead_macs *macs, unsigned int first)
{
	run_long(macs, first, false);
}

void aead__avx512_poly(struct aead_macs *macs, unsigned int n)
{
	unsigned int first = 0;

	while (first < n && macs->len[first] > SHORT_BLOCKS * BLOCK_LEN)
		first += AEAD_AVX512_GROUP;
	for (unsigned int i = 0; i < first; i += AEAD_AVX512_GROUP)
		poly_long(macs, macs->backward ? first - AEAD_AVX512_GROUP - i : i);
	for (; first + AEAD_AVX512_GROUP < n; first += 2 * AEAD_AVX512_GROUP)
		poly_short_pair(macs, first);
	if (first < n)
		poly_short(macs, first);
}

void aead__avx512_poly_extra(struct aead_macs *macs, unsigned int n)
{
	for (unsigned int first = 0; first < n; first += AEAD_AVX512_GROUP)
		run_long(macs, first, true);
}
