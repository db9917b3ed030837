/* Poly1305 (RFC 8439 2.5) of up to 8 packets at once, a packet a 64-bit lane, for CPUs with AVX512F,
 * BW, DQ, VL, IFMA and VBMI2. */
#ifndef AEAD_AVX512_POLY_H
#define AEAD_AVX512_POLY_H

#include "aead_lanes.h"

/* Tags of a group as ChaCha20-Poly1305 wants them: additional data and payload each padded to 16,
 * then the two lengths. otk[AEAD_GROUP_MAX]: one-time keys, those from group->n on of any value. */
void aead__avx512_poly(struct aead_mac_group *group,
                       const uint8_t otk[static AEAD_GROUP_MAX * AEAD_OTK_LEN]);

/* The same for packets without additional data: the product's. */
void aead__avx512_poly_extra(struct aead_mac_group *group,
                             const uint8_t otk[static AEAD_GROUP_MAX * AEAD_OTK_LEN]);

#endif
