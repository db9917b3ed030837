/* X25519 by libsodium. Programs call sodium_init() first, which picks its fastest code. */
#include "wg_key.h"

#include "base_bytes.h"

#include <sodium.h>

#include <errno.h>
#include <string.h>

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

/* What every private key takes to zero, since clamping makes it a multiple of 8: the points of order 1, 2, 4 and 8, those
 * on the twist, and 0 and 1 once more as p and p + 1. That these are all the tests ask X25519 itself. */
static const uint8_t low_order[][WG_KEY_LEN] = {
	{0},
	{1},
	{0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
         0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
         0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
	{0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1,
         0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c,
         0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57},
	{0xec, [1 ... 30] = 0xff, 0x7f}, /* p - 1 */
	{0xed, [1 ... 30] = 0xff, 0x7f},
	{0xee, [1 ... 30] = 0xff, 0x7f},
};

int wg_key_check_public(const uint8_t public_key[static WG_KEY_LEN])
{
	uint8_t point[WG_KEY_LEN];

	memcpy(point, public_key, WG_KEY_LEN);
	point[WG_KEY_LEN - 1] &= 0x7f; /* X25519 does not look at this bit */
	for (size_t i = 0; i < BASE_ARRAY_LEN(low_order); i++)
		if (memcmp(point, low_order[i], WG_KEY_LEN) == 0)
			return -EINVAL;
	return 0;
}
