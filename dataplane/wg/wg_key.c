/* X25519 by libsodium. Programs call sodium_init() first, which picks its fastest code. */
#include "wg_key.h"

#include "base_bytes.h"

#include <sodium.h>

#include <errno.h>

_Static_assert(WG_KEY_LEN == crypto_scalarmult_curve25519_BYTES, "size of a point");
_Static_assert(WG_KEY_LEN == crypto_scalarmult_curve25519_SCALARBYTES, "size of a scalar");

void wg_key_clamp(uint8_t key[static WG_KEY_LEN])
{
	key[0] &= 248;
	key[31] = (uint8_t)((key[31] & 127) | 64);
}

void wg_key_public(uint8_t public_key[static WG_KEY_LEN],
                   const uint8_t private_key[static WG_KEY_LEN])
{
	/* It has no failure: the base point has a large order. */
	crypto_scalarmult_curve25519_base(public_key, private_key);
}

int wg_key_shared(uint8_t shared[static WG_KEY_LEN], const uint8_t private_key[static WG_KEY_LEN],
                  const uint8_t public_key[static WG_KEY_LEN])
{
	int low_order = crypto_scalarmult_curve25519(shared, private_key, public_key);

	/* libsodium answers by itself; this does not rest on its version. */
	if (low_order != 0 || base_is_zero_ct(shared, WG_KEY_LEN)) {
		base_wipe(shared, WG_KEY_LEN);
		return -EINVAL;
	}
	return 0;
}

int wg_key_check_public(const uint8_t public_key[static WG_KEY_LEN])
{
	/* Any clamped scalar is a multiple of 8, the largest of the low orders: it takes every such
	 * point, however it is encoded, and no other to zero. */
	static const uint8_t scalar[WG_KEY_LEN] = {[31] = 64};
	uint8_t shared[WG_KEY_LEN];
	int result = wg_key_shared(shared, scalar, public_key);

	base_wipe(shared, sizeof(shared));
	return result;
}
