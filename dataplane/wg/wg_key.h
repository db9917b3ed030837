/* Curve25519 keys (RFC 7748) as WireGuard uses them. */
#ifndef WG_KEY_H
#define WG_KEY_H

#include "wg_message.h"

#include <stdint.h>

/* Clamp 32 random bytes into a private key in place (RFC 7748 5). */
void wg_key_clamp(uint8_t key[static WG_KEY_LEN]);

/* Public key of a private key. */
void wg_key_public(uint8_t public_key[static WG_KEY_LEN],
                   const uint8_t private_key[static WG_KEY_LEN]);

/* X25519. Returns 0, or -EINVAL when the result is all zero: the public key has low order; then
 * shared is wiped. */
int wg_key_shared(uint8_t shared[static WG_KEY_LEN], const uint8_t private_key[static WG_KEY_LEN],
                  const uint8_t public_key[static WG_KEY_LEN]) __attribute__((warn_unused_result));

/* 0 when key may be a peer's static public key; -EINVAL for all-zero and every low-order point, for which and no others
 * wg_key_shared() fails. Not for what is secret: the time depends on it. Cost: no X25519. */
int wg_key_check_public(const uint8_t public_key[static WG_KEY_LEN])
	__attribute__((warn_unused_result));

#endif
