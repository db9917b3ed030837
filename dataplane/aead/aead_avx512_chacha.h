/* ChaCha20 (RFC 8439 2.3) with a block a lane, for CPUs with AVX512F, BW, DQ and VL. */
#ifndef AEAD_AVX512_CHACHA_H
#define AEAD_AVX512_CHACHA_H

#include "aead_lanes.h"

/* XOR the 16 lanes from first on, a multiple of 8; a lane that is not used has len 0 and a key that may be read. */
void aead__avx512_chacha_lanes16(const struct aead_lanes *lanes, unsigned int first);

/* 8 lanes, in about half the time. */
void aead__avx512_chacha_lanes8(const struct aead_lanes *lanes, unsigned int first);

/* 32 lanes, in less than twice the time. */
void aead__avx512_chacha_lanes32(const struct aead_lanes *lanes, unsigned int first);

/* XOR 16 consecutive blocks over run->data[1024]. */
void aead__avx512_chacha_run(const struct aead_run *run);

/* Two of them, in less than twice the time; over the same data both. */
void aead__avx512_chacha_run_two(const struct aead_run *a, const struct aead_run *b);

#endif
