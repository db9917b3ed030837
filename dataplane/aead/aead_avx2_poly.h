/* Poly1305 (RFC 8439 2.5) of 4 packets at once, a packet a 64-bit lane, for CPUs with AVX2. */
#ifndef AEAD_AVX2_POLY_H
#define AEAD_AVX2_POLY_H

#include "aead_lanes.h"

#define AEAD_AVX2_GROUP 4

/* Tags of ranks [first, first + 4), as aead__avx512_poly() has them of eight. */
void aead__avx2_poly(struct aead_macs *macs, unsigned int first);

/* The same with additional data before. Slow: for published test vectors. */
void aead__avx2_poly_extra(struct aead_macs *macs, unsigned int first);

#endif
