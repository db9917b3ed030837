/* mac1 of handshake messages by the burst (whitepaper 5.4.4): what a worker does with every message of a
 * stranger's before anything else. BLAKE2s of one message leaves most of a vector unit idle, so each lane
 * takes a message: 16 with AVX-512, 8 with AVX2, 4 without. wg_cookie.h has the same for one message. */
#ifndef WG_MAC1_H
#define WG_MAC1_H

#include "wg_blake2s.h"
#include "wg_message.h"

#include <stdbool.h>
#include <stdint.h>

#define WG_MAC1_MAX 64U /* messages at once */

/* What BLAKE2s has made of HASH("mac1----" || public key), which begins every mac1. Public. */
struct wg_mac1_key {
	struct wg_blake2s begun;
};

/* How it is computed; the best that the CPU has is the default. */
enum wg_mac1_way { WG_MAC1_PLAIN = 0, WG_MAC1_AVX2 = 1, WG_MAC1_AVX512 = 2, WG_MAC1_N_WAYS };

void wg_mac1_key_init(struct wg_mac1_key *key, const uint8_t public_key[static WG_KEY_LEN]);

/* Which of these have a right mac1? msgs[n], n <= WG_MAC1_MAX: initiations and responses, mixed, whose
 * type and length were checked. Returns bit i for msgs[i].
 * Cost, TSC cycles each of 64: 103 with AVX-512, 150 with AVX2, 267 without; a single one 860, as in
 * wg_cookie.h (1118). */
uint64_t wg_mac1_check(const struct wg_mac1_key *key, const uint8_t *const msgs[], uint32_t n);

/* The same by a way that the CPU has. For tests and benches. */
bool wg_mac1_has(enum wg_mac1_way way);
uint64_t wg_mac1_check_by(enum wg_mac1_way way, const struct wg_mac1_key *key,
                          const uint8_t *const msgs[], uint32_t n);

#endif
