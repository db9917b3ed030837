/* Poly1305 (RFC 8439 2.5) of 8 packets at once, a packet a 64-bit lane, for CPUs with AVX512F, BW, DQ,
 * VL, IFMA and VBMI2. */
#ifndef AEAD_AVX512_POLY_H
#define AEAD_AVX512_POLY_H

#include "aead_lanes.h"

#define AEAD_AVX512_GROUP 8

/* Tags of the first n ranks, and of those that fill up the last group, as ChaCha20-Poly1305 wants them: payload padded to 16, then 0 and
 * the payload's length. extra is not looked at. */
void aead__avx512_poly(struct aead_macs *macs, unsigned int n);

/* The same with additional data before. Slow: for published test vectors. */
void aead__avx512_poly_extra(struct aead_macs *macs, unsigned int n);

#endif
