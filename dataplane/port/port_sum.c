/* 32-bit words added into two 64-bit accumulators: no carry can be lost before 16 GB. */
#include "port_sum.h"

uint64_t port_sum(const uint8_t *bytes, size_t len)
{
	uint64_t even = 0, odd = 0;

	for (; len >= 32; bytes += 32, len -= 32) {
		uint64_t w[4];

		memcpy(w, bytes, sizeof(w));
		even += (w[0] & 0xffffffff) + (w[1] & 0xffffffff) + (w[2] & 0xffffffff)
		        + (w[3] & 0xffffffff);
		odd += (w[0] >> 32) + (w[1] >> 32) + (w[2] >> 32) + (w[3] >> 32);
	}
	for (; len >= 4; bytes += 4, len -= 4) {
		uint32_t w;

		memcpy(&w, bytes, sizeof(w));
		even += w;
	}
	if (len > 0) {
		uint32_t w = 0;

		memcpy(&w, bytes, len);
		even += w;
	}
	return port_sum_fold(even) + (uint64_t)port_sum_fold(odd);
}

uint64_t port_sum_pseudo(const uint8_t *addresses, size_t ip_len, uint8_t protocol)
{
	return port_sum(addresses, 2 * ip_len) + port_sum_be16(protocol);
}
