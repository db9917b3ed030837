/* 64-bit words into two chains, their carries counted beside them. */
#include "port_sum.h"

uint64_t port_sum(const uint8_t *bytes, size_t len)
{
	uint64_t x = 0, y = 0, carries = 0, rest = 0;

	for (; len >= 32; bytes += 32, len -= 32) {
		uint64_t w[4];

		memcpy(w, bytes, sizeof(w));
		carries += __builtin_add_overflow(x, w[0], &x);
		carries += __builtin_add_overflow(x, w[1], &x);
		carries += __builtin_add_overflow(y, w[2], &y);
		carries += __builtin_add_overflow(y, w[3], &y);
	}
	for (; len >= 4; bytes += 4, len -= 4) {
		uint32_t w;

		memcpy(&w, bytes, sizeof(w));
		rest += w;
	}
	if (len > 0) {
		uint32_t w = 0;

		memcpy(&w, bytes, len);
		rest += w;
	}
	/* 2^64 is 1 modulo 2^16 - 1, so a carry counts 1. */
	return (uint64_t)port_sum_fold(x) + port_sum_fold(y) + port_sum_fold(carries + rest);
}

uint64_t port_sum_pseudo(const uint8_t *addresses, size_t ip_len, uint8_t protocol)
{
	return port_sum(addresses, 2 * ip_len) + port_sum_be16(protocol);
}
