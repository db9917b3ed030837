/* As aead_avx512_poly.c, with limbs of 26 bits in radix 2^26 for the multiplication of 32 by 32 bits,
 * and two blocks a step: h = (h + m0) r^2 + m1 r. Messages are moved to the right likewise.
 *
 * Bounds. Limbs of r, r^2 and h: < 2^26 + 2^10; of a block 2^26. So a factor is < 2^28, 5 times a limb
 * < 2^29, a sum of ten products < 2^61.
 *
 * (Measured instead: one packet after the other in 64-bit registers, two side by side. 7.7 cycles a
 * block with clang, 14.4 with gcc, whose 128-bit sums go through the stack.)
 *
 * Nothing branches on or is indexed by keys, accumulators or bytes of a message; lengths are public. */
#include "aead_avx2_poly.h"

#include "base_bytes.h"

#include <immintrin.h>

#define BLOCK_LEN   16 /* Poly1305 */
#define STEP_LEN    32
#define STEP_BLOCKS 2
#define N_LIMBS     5

#define MASK_26 ((UINT64_C(1) << 26) - 1)
#define PAD_BIT (UINT64_C(1) << 24) /* 2^128 in the fifth limb */

#define INLINE static inline __attribute__((always_inline))

#define splat(v) _mm256_set1_epi64x((long long)(v))

struct number {
	__m256i limb[N_LIMBS];
};

/* A factor: limbs, and limbs 1 to 4 times 5, for what comes over 2^130. */
struct factor {
	__m256i limb[N_LIMBS];
	__m256i times_5[N_LIMBS];
};

INLINE struct factor make_factor(const struct number *a)
{
	struct factor f;

	for (unsigned int i = 0; i < N_LIMBS; i++) {
		f.limb[i] = a->limb[i];
		f.times_5[i] = _mm256_add_epi64(a->limb[i], _mm256_slli_epi64(a->limb[i], 2));
	}
	return f;
}

/* sum[i] += a f, columns without carry */
INLINE void product_add(__m256i sum[N_LIMBS], const struct number *a, const struct factor *f)
{
	for (unsigned int i = 0; i < N_LIMBS; i++) {
		for (unsigned int j = 0; j < N_LIMBS; j++) {
			__m256i by = i + j < N_LIMBS ? f->limb[j] : f->times_5[j];
			unsigned int column = (i + j) % N_LIMBS;

			sum[column] = _mm256_add_epi64(sum[column],
			                               _mm256_mul_epu32(a->limb[i], by));
		}
	}
}

#define CARRY(from, to)                                                                            \
	do {                                                                                       \
		to = _mm256_add_epi64(to, _mm256_srli_epi64(from, 26));                            \
		from = _mm256_and_si256(from, mask);                                               \
	} while (0)

#define CARRY_ROUND(from, to)                                                                      \
	do {                                                                                       \
		__m256i over = _mm256_srli_epi64(from, 26);                                        \
                                                                                                   \
		to = _mm256_add_epi64(to, _mm256_add_epi64(over, _mm256_slli_epi64(over, 2)));     \
		from = _mm256_and_si256(from, mask);                                               \
	} while (0)

/* Two carries under way at a time, from limbs 0 and 3. */
INLINE struct number product_carry(const __m256i sum[N_LIMBS])
{
	const __m256i mask = splat(MASK_26);
	__m256i d0 = sum[0], d1 = sum[1], d2 = sum[2], d3 = sum[3], d4 = sum[4];

	CARRY(d0, d1);
	CARRY(d3, d4);
	CARRY(d1, d2);
	CARRY_ROUND(d4, d0);
	CARRY(d2, d3);
	CARRY(d0, d1);
	CARRY(d3, d4);
	return (struct number){.limb = {d0, d1, d2, d3, d4}};
}

INLINE struct number multiply(const struct number *a, const struct factor *f)
{
	__m256i sum[N_LIMBS];

	for (unsigned int i = 0; i < N_LIMBS; i++)
		sum[i] = _mm256_setzero_si256();
	product_add(sum, a, f);
	return product_carry(sum);
}

INLINE struct number add(const struct number *a, const struct number *b)
{
	struct number c;

	for (unsigned int i = 0; i < N_LIMBS; i++)
		c.limb[i] = _mm256_add_epi64(a->limb[i], b->limb[i]);
	return c;
}

/* 128 bits of each lane, and pad_bit (2^128 or 0) over them. */
INLINE struct number make_number(__m256i low, __m256i high, __m256i pad_bit)
{
	const __m256i mask = splat(MASK_26);
	__m256i middle = _mm256_or_si256(_mm256_srli_epi64(low, 52), _mm256_slli_epi64(high, 12));

	return (struct number){.limb = {
				       _mm256_and_si256(low, mask),
				       _mm256_and_si256(_mm256_srli_epi64(low, 26), mask),
				       _mm256_and_si256(middle, mask),
				       _mm256_and_si256(_mm256_srli_epi64(high, 14), mask),
				       _mm256_or_si256(_mm256_srli_epi64(high, 40), pad_bit),
			       }};
}

/* A row a packet in, a 64-bit word of all packets a vector out. */
INLINE void transpose(__m256i v[4])
{
	__m256i a = _mm256_unpacklo_epi64(v[0], v[1]);
	__m256i b = _mm256_unpackhi_epi64(v[0], v[1]);
	__m256i c = _mm256_unpacklo_epi64(v[2], v[3]);
	__m256i d = _mm256_unpackhi_epi64(v[2], v[3]);

	v[0] = _mm256_permute2x128_si256(a, c, 0x20);
	v[1] = _mm256_permute2x128_si256(b, d, 0x20);
	v[2] = _mm256_permute2x128_si256(a, c, 0x31);
	v[3] = _mm256_permute2x128_si256(b, d, 0x31);
}

INLINE __m256i load(const void *p)
{
	return _mm256_loadu_si256((const __m256i *)p);
}

/* What a group computes with. */
struct mac {
	const struct aead_macs *macs;
	unsigned int first;
	int start[AEAD_AVX2_GROUP]; /* of step 0 in the payload: before it, or in it */
	uint64_t len[AEAD_AVX2_GROUP];
	uint64_t aad_len[AEAD_AVX2_GROUP];
	unsigned int n_steps;
	unsigned int n_ragged; /* first steps in which some lane lacks a block */
	__m256i lead;          /* blocks that a lane lacks at the start */
	struct factor r, r2;
};

INLINE unsigned int count_blocks(uint64_t len)
{
	return (unsigned int)((len + BLOCK_LEN - 1) / BLOCK_LEN);
}

INLINE void mac_layout(struct mac *mac, const struct aead_macs *macs, unsigned int first,
                       bool extra)
{
	long long n_blocks[AEAD_AVX2_GROUP];
	long long longest = 0;
	long long shortest = INT32_MAX;
	int steps_len;

	mac->macs = macs;
	mac->first = first;
	for (unsigned int i = 0; i < AEAD_AVX2_GROUP; i++) {
		const struct aead_extra *more = extra ? macs->extra[first + i] : NULL;

		mac->len[i] = macs->len[first + i];
		mac->aad_len[i] = more == NULL ? 0 : more->aad_len;
		n_blocks[i] = count_blocks(mac->aad_len[i]) + count_blocks(mac->len[i]) + 1;
		longest = n_blocks[i] > longest ? n_blocks[i] : longest;
		shortest = n_blocks[i] < shortest ? n_blocks[i] : shortest;
	}
	mac->n_steps = (unsigned int)(longest + STEP_BLOCKS - 1) / STEP_BLOCKS;
	mac->n_ragged = mac->n_steps - (unsigned int)shortest / STEP_BLOCKS;
	mac->lead = _mm256_sub_epi64(splat(mac->n_steps * STEP_BLOCKS),
	                             _mm256_setr_epi64x(n_blocks[0], n_blocks[1], n_blocks[2],
	                                                n_blocks[3]));
	steps_len = (int)(mac->n_steps * STEP_LEN);
	for (unsigned int i = 0; i < AEAD_AVX2_GROUP; i++)
		mac->start[i] = BLOCK_LEN * (int)(count_blocks(mac->len[i]) + 1) - steps_len;
}

/* r with the bits cleared that RFC 8439 2.5 clears, and r^2. */
INLINE void mac_load_keys(struct mac *mac)
{
	const uint8_t(*otk)[AEAD_BLOCK_LEN] = &mac->macs->otk[mac->first];
	__m256i word[4] = {load(otk[0]), load(otk[1]), load(otk[2]), load(otk[3])};
	struct number r;

	transpose(word);
	word[0] = _mm256_and_si256(word[0], splat(UINT64_C(0x0ffffffc0fffffff)));
	word[1] = _mm256_and_si256(word[1], splat(UINT64_C(0x0ffffffc0ffffffc)));
	r = make_number(word[0], word[1], _mm256_setzero_si256());
	mac->r = make_factor(&r);
	r = multiply(&r, &mac->r);
	mac->r2 = make_factor(&r);
}

/* Row of a packet at a step, those of its bytes that are there; nothing else is read. */
static __m256i load_part(const struct mac *mac, unsigned int i, int at)
{
	_Alignas(32) uint8_t row[STEP_LEN] = {0};
	const uint8_t *data = mac->macs->data[mac->first + i];
	int len = (int)mac->len[i];
	int from = at < 0 ? 0 : at;
	int to = at + STEP_LEN < len ? at + STEP_LEN : len;

	if (at >= 0 && at + STEP_LEN <= len)
		return load(data + at);
	if (from < to)
		memcpy(row + (from - at), data + from, (size_t)(to - from));
	return load(row);
}

/* With additional data before, padded to a whole block. Rare, so byte by byte is good enough. */
static __m256i load_part_extra(const struct mac *mac, unsigned int i, int at)
{
	_Alignas(32) uint8_t row[STEP_LEN] = {0};
	const uint8_t *data = mac->macs->data[mac->first + i];
	int64_t aad_len = (int64_t)mac->aad_len[i];
	int64_t aad_start = -((aad_len + BLOCK_LEN - 1) / BLOCK_LEN * BLOCK_LEN);

	for (unsigned int j = 0; j < STEP_LEN; j++, at++) {
		if (at >= 0 && (uint64_t)at < mac->len[i])
			row[j] = data[at];
		else if (at < 0 && at >= aad_start && at - aad_start < aad_len)
			row[j] = mac->macs->extra[mac->first + i]->aad[at - aad_start];
	}
	return load(row);
}

/* h = (h + m0) r^2 + m1 r; what does not wait for h goes first. */
INLINE void absorb_step(struct number *h, const __m256i v[4], __m256i pad0, __m256i pad1,
                        const struct mac *mac)
{
	struct number m0 = make_number(v[0], v[1], pad0);
	struct number m1 = make_number(v[2], v[3], pad1);
	__m256i sum[N_LIMBS];

	for (unsigned int i = 0; i < N_LIMBS; i++)
		sum[i] = _mm256_setzero_si256();
	product_add(sum, &m1, &mac->r);
	m0 = add(h, &m0);
	product_add(sum, &m0, &mac->r2);
	*h = product_carry(sum);
}

/* The 2^128 over block j of a step, for the lanes that have that block. */
INLINE __m256i pad_bits(const struct mac *mac, unsigned int step, unsigned int j)
{
	__m256i has = _mm256_cmpgt_epi64(splat(step * STEP_BLOCKS + j + 1), mac->lead);

	return _mm256_and_si256(has, splat(PAD_BIT));
}

INLINE void absorb_ragged(struct number *h, const struct mac *mac, unsigned int step, bool extra)
{
	__m256i v[4];

	for (unsigned int i = 0; i < AEAD_AVX2_GROUP; i++) {
		int at = mac->start[i] + (int)(step * STEP_LEN);

		v[i] = extra ? load_part_extra(mac, i, at) : load_part(mac, i, at);
	}
	transpose(v);
	if (step == mac->n_steps - 1) {
		v[2] = load(mac->aad_len);
		v[3] = load(mac->len);
	}
	absorb_step(h, v, pad_bits(mac, step, 0), pad_bits(mac, step, 1), mac);
}

INLINE struct number absorb(const struct mac *mac, bool extra)
{
	unsigned int last = mac->n_steps - 1;
	unsigned int n_ragged = extra || mac->n_ragged > last ? last : mac->n_ragged;
	const uint8_t *const *data = &mac->macs->data[mac->first];
	struct number h;

	for (unsigned int i = 0; i < N_LIMBS; i++)
		h.limb[i] = _mm256_setzero_si256();
	for (unsigned int step = 0; step < n_ragged; step++)
		absorb_ragged(&h, mac, step, extra);
	for (unsigned int step = n_ragged; step < last; step++) {
		int at = (int)(step * STEP_LEN);
		__m256i v[4] = {
			load(data[0] + (mac->start[0] + at)),
			load(data[1] + (mac->start[1] + at)),
			load(data[2] + (mac->start[2] + at)),
			load(data[3] + (mac->start[3] + at)),
		};

		transpose(v);
		absorb_step(&h, v, splat(PAD_BIT), splat(PAD_BIT), mac);
	}
	absorb_ragged(&h, mac, last, extra);
	return h;
}

/* The one representation below 2^130 - 5, then + s mod 2^128. */
INLINE void store_tags(const struct mac *mac, const struct number *h, uint8_t tag[][AEAD_TAG_LEN])
{
	const __m256i mask = splat(MASK_26);
	__m256i d0 = h->limb[0], d1 = h->limb[1], d2 = h->limb[2], d3 = h->limb[3], d4 = h->limb[4];
	__m256i g0, g1, g2, g3, g4, is_above;
	_Alignas(32) uint64_t low[AEAD_AVX2_GROUP];
	_Alignas(32) uint64_t high[AEAD_AVX2_GROUP];

	CARRY(d1, d2);
	CARRY(d2, d3);
	CARRY(d3, d4);
	CARRY_ROUND(d4, d0);
	CARRY(d0, d1);
	CARRY(d1, d2);
	/* g = h + 5 - 2^130 is the answer unless it is negative */
	g0 = _mm256_add_epi64(d0, splat(5));
	g1 = d1;
	g2 = d2;
	g3 = d3;
	g4 = d4;
	CARRY(g0, g1);
	CARRY(g1, g2);
	CARRY(g2, g3);
	CARRY(g3, g4);
	is_above = _mm256_cmpgt_epi64(g4, mask);
	g4 = _mm256_and_si256(g4, mask);
	d0 = _mm256_blendv_epi8(d0, g0, is_above);
	d1 = _mm256_blendv_epi8(d1, g1, is_above);
	d2 = _mm256_blendv_epi8(d2, g2, is_above);
	d3 = _mm256_blendv_epi8(d3, g3, is_above);
	d4 = _mm256_blendv_epi8(d4, g4, is_above);
	/* limb 2 may hold 2^26 still */
	CARRY(d2, d3);
	CARRY(d3, d4);
	d0 = _mm256_or_si256(d0, _mm256_slli_epi64(d1, 26));
	_mm256_store_si256((__m256i *)(void *)low, _mm256_or_si256(d0, _mm256_slli_epi64(d2, 52)));
	_mm256_store_si256((__m256i *)(void *)high,
	                   _mm256_or_si256(_mm256_or_si256(_mm256_srli_epi64(d2, 12),
	                                                   _mm256_slli_epi64(d3, 14)),
	                                   _mm256_slli_epi64(d4, 40)));
	for (unsigned int i = 0; i < AEAD_AVX2_GROUP; i++) {
		const uint8_t *s = mac->macs->otk[mac->first + i] + 16;
		uint64_t tag_low = low[i] + base_load_le64(s);

		base_store_le64(tag[i], tag_low);
		base_store_le64(tag[i] + 8,
		                high[i] + base_load_le64(s + 8) + (tag_low < low[i] ? 1 : 0));
	}
}

INLINE void run_group(struct aead_macs *macs, unsigned int first, bool extra)
{
	struct mac mac;
	struct number h;

	mac_layout(&mac, macs, first, extra);
	mac_load_keys(&mac);
	h = absorb(&mac, extra);
	store_tags(&mac, &h, &macs->tag[first]);
}

INLINE void run(struct aead_macs *macs, unsigned int n, bool extra)
{
	for (unsigned int first = 0; first < n; first += AEAD_AVX2_GROUP)
		run_group(macs, first, extra);
}

void aead__avx2_poly(struct aead_macs *macs, unsigned int n)
{
	run(macs, n, false);
}

void aead__avx2_poly_extra(struct aead_macs *macs, unsigned int n)
{
	run(macs, n, true);
}
