/* Internet checksums (RFC 1071) on bytes of any alignment, kept as a 32-bit sum of big-endian words
 * until folded. */
#ifndef PATH_SUM_H
#define PATH_SUM_H

#include "base_bytes.h"

#include <stdint.h>

/* Add len bytes to sum; an odd last byte is the high half of its word. len <= 65535. */
static inline uint32_t path_sum_add(uint32_t sum, const uint8_t *bytes, uint32_t len)
{
	uint64_t wide = 0;
	uint32_t i = 0;

	/* Little-endian words sum up to the byte-swapped result (RFC 1071 2B): 32 bits at a time. */
	for (; i + 4 <= len; i += 4)
		wide += base_load_le32(bytes + i);
	if (i + 2 <= len) {
		wide += base_load_le16(bytes + i);
		i += 2;
	}
	if (i < len)
		wide += bytes[i];
	while (wide >> 16)
		wide = (wide & 0xffff) + (wide >> 16);
	return sum + __builtin_bswap16((uint16_t)wide);
}

/* One's complement sum in 16 bits; not inverted. */
static inline uint16_t path_sum_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	return (uint16_t)sum;
}

/* Is the checksum of an IPv4 header of 20 bytes right? Words in any order sum up to the same. */
static inline bool path_sum_ok_v4(const uint8_t *ip)
{
	uint64_t sum = (uint64_t)base_load_le32(ip) + base_load_le32(ip + 4)
	               + base_load_le32(ip + 8) + base_load_le32(ip + 12) + base_load_le32(ip + 16);

	sum = (sum & UINT32_MAX) + (sum >> 32); /* at most 33 bits */
	sum = (sum & 0xffff) + (sum >> 16);     /* 18 */
	return path_sum_fold((uint32_t)sum) == 0xffff;
}

#endif
