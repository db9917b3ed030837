/* The multi-packet backend for CPUs with AVX2: 8 ChaCha20 blocks and 4 Poly1305 packets
 * at once. */
#include "aead_avx2_chacha.h"
#include "aead_avx2_poly.h"
#include "aead_multi.h"

#include <errno.h>
#include <immintrin.h>

/* AVX2 compares signed: the uppermost bit is turned round. */
static __m256i load_keys(const uint16_t *keys)
{
	__m256i loaded = _mm256_load_si256((const __m256i *)(const void *)keys);

	return _mm256_xor_si256(loaded, _mm256_set1_epi16(INT16_MIN));
}

static void rank(const uint16_t *keys, unsigned int n, uint8_t *order)
{
	__m256i part[AEAD_BURST_MAX / 16];

	for (unsigned int j = 0; j < AEAD_BURST_MAX / 16; j++)
		part[j] = load_keys(keys + 16 * (size_t)j);
	for (unsigned int i = 0; i < n; i++) {
		__m256i mine = _mm256_set1_epi16((short)(keys[i] ^ 0x8000));
		__m256i above_low = _mm256_packs_epi16(_mm256_cmpgt_epi16(part[0], mine),
		                                       _mm256_cmpgt_epi16(part[1], mine));
		__m256i above_high = _mm256_packs_epi16(_mm256_cmpgt_epi16(part[2], mine),
		                                        _mm256_cmpgt_epi16(part[3], mine));
		uint64_t above = (uint32_t)_mm256_movemask_epi8(above_low)
		                 | (uint64_t)(uint32_t)_mm256_movemask_epi8(above_high) << 32;

		order[__builtin_popcountll(above)] = (uint8_t)i;
	}
}

#define RUN_BLOCKS 8

static const struct aead_multi_kernel kernel = {
	.n_lanes = 8,
	.n_short = 0,
	.run_blocks = RUN_BLOCKS,
	.costs =
		{
			.n_group = AEAD_AVX2_GROUP,
			.block = 66,
			.blocks_min = 8,
			.group = 330,
			.group_block = 85,
			.open = 300,
			.one = 490,
			.one_block = 86,
		},
	.rank = rank,
	.lanes = aead__avx2_chacha_lanes8,
	.run = aead__avx2_chacha_run,
	.poly = aead__avx2_poly,
	.poly_extra = aead__avx2_poly_extra,
};

/* __builtin_cpu_supports() also asks whether the operating system saves the registers. */
static bool cpu_can(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")
	       && __builtin_cpu_supports("popcnt");
}

static int avx2_create(void **context, char label[static AEAD_LABEL_LEN])
{
	return cpu_can() ? aead_multi_create("avx2", context, label) : -ENOTSUP;
}

static void avx2_seal(void *context, struct aead_op *ops, const struct aead_extra *extra,
                      unsigned int n)
{
	aead_multi_seal(context, &kernel, ops, extra, n);
}

static void avx2_open(void *context, struct aead_op *ops, const struct aead_extra *extra,
                      unsigned int n)
{
	aead_multi_open(context, &kernel, ops, extra, n);
}

static uint64_t avx2_open_head(void *context, struct aead_op *ops, unsigned int n)
{
	return aead_multi_open_head(context, &kernel, ops, n);
}

static void avx2_open_rests(void *context, uint8_t *const *data, const struct aead_rest *rests,
                            unsigned int n)
{
	aead_multi_open_rests(context, &kernel, data, rests, n);
}

static void avx2_seal_over(void *context, struct aead_op *ops, const struct aead_rest *rests,
                           unsigned int n)
{
	aead_multi_seal_over(context, &kernel, ops, rests, n);
}

const struct aead_backend_ops aead_avx2_ops = {
	.name = "avx2",
	.create = avx2_create,
	.destroy = aead_multi_destroy,
	.seal = avx2_seal,
	.open = avx2_open,
	.open_head = avx2_open_head,
	.open_rests = avx2_open_rests,
	.seal_over = avx2_seal_over,
	.rest_unit = RUN_BLOCKS * AEAD_BLOCK_LEN,
};
