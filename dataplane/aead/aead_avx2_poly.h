/* Poly1305 (RFC 8439 2.5) of 4 packets at once, a packet a 64-bit lane, for CPUs with AVX2. */
#ifndef AEAD_AVX2_POLY_H
#define AEAD_AVX2_POLY_H

#include "aead_lanes.h"

#define AEAD_AVX2_GROUP 4

/* Tags of the first n ranks, as aead__avx512_poly() has them. */
void aead__avx2_poly(struct aead_macs *macs, unsigned int n);

/* The same with additional data before. Slow: for published test vectors. */
void aead__avx2_poly_extra(struct aead_macs *macs, unsigned int n);

#endif
