/* ChaCha20 (RFC 8439 2.3) with a block a lane, for CPUs with AVX2. */
#ifndef AEAD_AVX2_CHACHA_H
#define AEAD_AVX2_CHACHA_H

#include "aead_lanes.h"

/* XOR the 8 lanes from first on; a lane that is not used has len 0 and a key that may be read. */
void aead__avx2_chacha_lanes8(const struct aead_lanes *lanes, unsigned int first);

/* XOR 8 consecutive blocks over run->data[512]. */
void aead__avx2_chacha_run(const struct aead_run *run);

#endif
