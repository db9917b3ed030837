/* What the multi-packet backends fill and their kernels work off: ChaCha20 blocks of any packets
 * side by side, and Poly1305 over up to 8 packets side by side. Private to aead_multi.h and the
 * kernels aead_avx512_*.c, aead_avx2_*.c. */
#ifndef AEAD_LANES_H
#define AEAD_LANES_H

#include "aead_backend.h"

#include <stdbool.h>

#define AEAD_QUEUE_MAX   128 /* ChaCha20 blocks planned ahead; a multiple of all kernels' lanes */
#define AEAD_GROUP_MAX   8   /* packets of one call of Poly1305 */
#define AEAD_BLOCK_LEN   64  /* ChaCha20 */
#define AEAD_OTK_LEN     32  /* one-time key of Poly1305: r, then s */
#define AEAD_STREAM_BITS 6   /* log2(AEAD_BLOCK_LEN) */

/* Behind the queue there is room for what is written before it is known whether it is needed. */
#define AEAD_QUEUE_ROOM (AEAD_QUEUE_MAX + 16)

/* Keystream block number counter[i] under key[i] and nonce[i] is to be XORed over data[i][len[i]],
 * len <= 64, in place. A queue, filled well ahead of the kernels: a vector load of words that were
 * just stored one by one waits until all stores before them are in the cache. */
struct aead_lanes {
	const uint8_t *key[AEAD_QUEUE_ROOM];
	uint8_t *data[AEAD_QUEUE_ROOM];
	_Alignas(64) uint32_t len[AEAD_QUEUE_ROOM];
	_Alignas(64) uint32_t counter[AEAD_QUEUE_ROOM];
	_Alignas(64) uint32_t nonce[3][AEAD_QUEUE_ROOM]; /* words of the nonce, by lane */
};

/* So many consecutive blocks of one packet as the kernel has lanes, from block number counter on: the keystream
 * under key and nonce is to be XORed over data, in place. */
struct aead_run {
	const uint8_t *key;
	uint8_t *data;
	uint32_t nonce[3];
	uint32_t counter;
};

/* Packets of a burst to authenticate, by rank: longest first, so that neighbours are of like length.
 * Behind the last one the arrays are filled up to a whole group with copies of it, which are computed
 * for nothing: of the same length, so that they hold nobody up. */
struct aead_macs {
	const uint8_t *data[AEAD_BURST_MAX];
	_Alignas(64) uint32_t len[AEAD_BURST_MAX];
	const struct aead_extra *extra[AEAD_BURST_MAX]; /* set if any packet has additional data */
	/* The first AEAD_OTK_LEN bytes of each. A line apart: the kernels load whole rows under a mask, and a
	 * load that touches a masked store before it, if only by bytes that both leave out, waits until that
	 * is in the cache. */
	_Alignas(64) uint8_t otk[AEAD_BURST_MAX][AEAD_BLOCK_LEN];
	_Alignas(64) uint8_t tag[AEAD_BURST_MAX][AEAD_TAG_LEN]; /* out */
	bool backward; /* a hint: groups of long packets from the last to the first */
};

#endif
