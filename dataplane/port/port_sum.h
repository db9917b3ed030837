/* The Internet checksum (RFC 1071) as a 64-bit partial sum that can be added up from pieces and
 * folded at the end. Sums are in memory order, so a folded sum is stored with memcpy() as it is. */
#ifndef PORT_SUM_H
#define PORT_SUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Partial sum of len bytes; an odd last byte counts as if a zero followed. Pieces that are added
 * to each other must have an even length, but for the last. */
uint64_t port_sum(const uint8_t *bytes, size_t len);

/* Partial sum of the pseudo header without its length field: src and dst lie behind each other, 4
 * or 16 bytes each.
 * addresses  src[ip_len] dst[ip_len]
 * ip_len     4 or 16 */
uint64_t port_sum_pseudo(const uint8_t *addresses, size_t ip_len, uint8_t protocol);

/* A 16-bit number as it stands in a header, for adding to a partial sum. */
static inline uint64_t port_sum_be16(uint16_t v)
{
	return __builtin_bswap16(v);
}

/* Fold to 16 bits, not complemented. */
static inline uint16_t port_sum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Store a folded sum, or its complement, into a header. */
static inline void port_sum_store(uint8_t *field, uint16_t folded)
{
	memcpy(field, &folded, sizeof(folded));
}

#endif
