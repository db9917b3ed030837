/* ChaCha20 (RFC 8439 2.3) with a block a lane, for CPUs with AVX2. */
#ifndef AEAD_AVX2_CHACHA_H
#define AEAD_AVX2_CHACHA_H

#include "aead_lanes.h"

/* XOR the 8 lanes from first on; a lane that is not used has len 0 and a key that may be read. */
void aead__avx2_chacha_lanes8(const struct aead_lanes *lanes, unsigned int first);

/* XOR n_runs times 8 consecutive blocks, from block number counter on, over data[n_runs * 512].
 * nonce: its three words. */
void aead__avx2_chacha_run(const uint8_t key[static AEAD_KEY_LEN], const uint32_t nonce[static 3],
                           uint32_t counter, uint8_t *data, size_t n_runs);

#endif
