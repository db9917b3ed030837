/* X25519 by each library at hand, from keys as bytes, which is how wg_key has them. */
#ifndef BENCH_X25519_H
#define BENCH_X25519_H

#include "wg_message.h"

#include <stdint.h>

struct bench_x25519 {
	const char *library; /* literal */
	/* Return 0 or -EINVAL. shared[32], public_key[32], private_key[32] */
	int (*shared)(uint8_t *shared, const uint8_t *private_key, const uint8_t *public_key);
	int (*public_of)(uint8_t *public_key, const uint8_t *private_key);
};

#define BENCH_N_X25519 2U
extern const struct bench_x25519 bench_x25519[BENCH_N_X25519];

#endif
