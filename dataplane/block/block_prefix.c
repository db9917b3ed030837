/* Prefixes as two words. */
#include "base_bytes.h"
#include "block_build.h"

/* Bits of the first and the second word that len keeps. */
static uint64_t mask_high(uint32_t len)
{
	return len == 0 ? 0 : len >= 64 ? UINT64_MAX : ~(UINT64_MAX >> len);
}

static uint64_t mask_low(uint32_t len)
{
	return len <= 64 ? 0 : mask_high(len - 64);
}

struct block_prefix block_prefix_make(const struct base_prefix *prefix, uint8_t scopes)
{
	struct block_prefix out = {
		.family = prefix->ip.family,
		.len = prefix->len,
		.scopes = scopes,
	};

	if (prefix->ip.family == BASE_IP_V4) {
		out.high = (uint64_t)base_load_be32(prefix->ip.bytes) << 32;
	} else {
		out.high = base_load_be64(prefix->ip.bytes);
		out.low = base_load_be64(prefix->ip.bytes + 8);
	}
	out.high &= mask_high(prefix->len);
	out.low &= mask_low(prefix->len);
	return out;
}

struct base_prefix block_prefix_text(const struct block_prefix *prefix)
{
	struct base_prefix out = {.len = prefix->len};
	uint8_t bytes[16];

	base_store_be64(bytes, prefix->high);
	base_store_be64(bytes + 8, prefix->low);
	out.ip = base_ip_make(prefix->family, bytes);
	return out;
}

bool block_prefix_contains(const struct block_prefix *prefix, const struct block_prefix *inner)
{
	return prefix->family == inner->family && prefix->len <= inner->len
	       && prefix->high == (inner->high & mask_high(prefix->len))
	       && prefix->low == (inner->low & mask_low(prefix->len));
}
