/* The multi-packet backend for CPUs with AVX-512, IFMA and VBMI2: 16 ChaCha20 blocks and 8 Poly1305
 * packets at once.
 *
 * Constant time, by review of 2026-11 (valgrind, which watches the AVX2 backend, knows no AVX-512): all
 * loads and stores go to addresses made of data pointers, lengths and ranks; all shuffles have constant
 * indexes; masks of loads and stores are made of lengths. Masks made of secrets are two, both in
 * store_tags() of aead_avx512_poly.c (whether h reaches 2^130 - 5, whether a sum wraps), and select or
 * add within a register. Additions, shifts, rotations and IFMA products take the same time for all
 * operands. The verdict is computed without a branch; what is done upon it is public. */
#include "aead_avx512_chacha.h"
#include "aead_avx512_poly.h"
#include "aead_multi.h"

#include <errno.h>
#include <immintrin.h>

static void rank(const uint16_t *keys, unsigned int n, uint8_t *order)
{
	__m512i low = _mm512_load_si512(keys);
	__m512i high = _mm512_load_si512(keys + 32);

	for (unsigned int i = 0; i < n; i++) {
		__m512i mine = _mm512_set1_epi16((short)keys[i]);
		uint64_t above = _mm512_cmpgt_epu16_mask(low, mine)
		                 | (uint64_t)_mm512_cmpgt_epu16_mask(high, mine) << 32;

		order[__builtin_popcountll(above)] = (uint8_t)i;
	}
}

#define RUN_BLOCKS 16

static const struct aead_multi_kernel kernel = {
	.n_lanes = 16,
	.n_short = 8,
	.run_blocks = RUN_BLOCKS,
	.costs =
		{
			.n_group = AEAD_AVX512_GROUP,
			.block = 31,
			.blocks_min = 11,
			.group = 450,
			.group_block = 75,
			.open = 400,
			.one = 340,
			.one_block = 45,
		},
	.rank = rank,
	.lanes = aead__avx512_chacha_lanes16,
	.lanes_short = aead__avx512_chacha_lanes8,
	.lanes_two = aead__avx512_chacha_lanes32,
	.run = aead__avx512_chacha_run,
	.run_two = aead__avx512_chacha_run_two,
	.poly = aead__avx512_poly,
	.poly_extra = aead__avx512_poly_extra,
};

/* __builtin_cpu_supports() also asks whether the operating system saves the registers. */
static bool cpu_can(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
	       && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
	       && __builtin_cpu_supports("avx512ifma") && __builtin_cpu_supports("avx512vbmi2")
	       && __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("bmi2");
}

static int avx512_create(void **context, char label[static AEAD_LABEL_LEN])
{
	return cpu_can() ? aead_multi_create("avx512", context, label) : -ENOTSUP;
}

static void avx512_seal(void *context, struct aead_op *ops, const struct aead_extra *extra,
                        unsigned int n)
{
	aead_multi_seal(context, &kernel, ops, extra, n);
}

static void avx512_open(void *context, struct aead_op *ops, const struct aead_extra *extra,
                        unsigned int n)
{
	aead_multi_open(context, &kernel, ops, extra, n);
}

static uint64_t avx512_open_head(void *context, struct aead_op *ops, unsigned int n)
{
	return aead_multi_open_head(context, &kernel, ops, n);
}

static void avx512_open_rests(void *context, uint8_t *const *data, const struct aead_rest *rests,
                              unsigned int n)
{
	aead_multi_open_rests(context, &kernel, data, rests, n);
}

static void avx512_seal_over(void *context, struct aead_op *ops, const struct aead_rest *rests,
                             unsigned int n)
{
	aead_multi_seal_over(context, &kernel, ops, rests, n);
}

const struct aead_backend_ops aead_avx512_ops = {
	.name = "avx512",
	.create = avx512_create,
	.destroy = aead_multi_destroy,
	.seal = avx512_seal,
	.open = avx512_open,
	.open_head = avx512_open_head,
	.open_rests = avx512_open_rests,
	.seal_over = avx512_seal_over,
	.rest_unit = RUN_BLOCKS * AEAD_BLOCK_LEN,
};
