/* The header of an inner packet, as far as a hub must understand it. */
#ifndef PATH_INNER_H
#define PATH_INNER_H

#include "path_burst.h"
#include "path_sum.h"

#define PATH_INNER_V4_MIN 20U
#define PATH_INNER_V6_LEN 40U

/* First byte of an IPv4 header without options. */
#define PATH_INNER_V4_PLAIN 0x45U

/* Check version and lengths of data[len], len > 0, and trim p->len to what the header says.
 * Returns PATH_KEEP or a drop counter. */
static inline uint32_t path_inner_check(struct path_pkt *p)
{
	uint32_t version = p->data[0] >> 4;
	uint32_t len;

	if (likely(version == 4)) {
		uint32_t header_len = (p->data[0] & 0x0fU) * 4U;

		if (unlikely(p->len < PATH_INNER_V4_MIN || header_len < PATH_INNER_V4_MIN))
			return ABI_COUNTER_DROP_INNER_HEADER;
		len = base_load_be16(p->data + 2);
		if (unlikely(len < header_len))
			return ABI_COUNTER_DROP_INNER_HEADER;
	} else if (version == 6) {
		if (unlikely(p->len < PATH_INNER_V6_LEN))
			return ABI_COUNTER_DROP_INNER_HEADER;
		len = PATH_INNER_V6_LEN + base_load_be16(p->data + 4);
	} else {
		return ABI_COUNTER_DROP_INNER_HEADER;
	}
	if (unlikely(len > p->len))
		return ABI_COUNTER_DROP_INNER_LENGTH;
	p->len = len;
	return PATH_KEEP;
}

#define PATH_ECN_MASK 3U
#define PATH_ECN_ECT1 1U
#define PATH_ECN_ECT0 2U
#define PATH_ECN_CE   3U

/* Version, addresses and traffic class (DSCP and ECN) of a packet that was checked. */
static inline uint32_t path_inner_version(const struct path_pkt *p)
{
	return p->data[0] >> 4;
}

static inline const uint8_t *path_inner_source(const struct path_pkt *p)
{
	return p->data + (path_inner_version(p) == 4 ? 12 : 8);
}

static inline const uint8_t *path_inner_destination(const struct path_pkt *p)
{
	return p->data + (path_inner_version(p) == 4 ? 16 : 24);
}

/* The first word is 4 bits of version, 4 of header length and 8 of class, or version, class, 4 of label. */
static inline uint8_t path_inner_tos(const struct path_pkt *p)
{
	uint32_t word = base_load_be16(p->data);

	return (uint8_t)(word >> 12 == 4 ? word : word >> 4);
}

/* Replace the 16-bit word at header + at of a checked IPv4 header, and mend its checksum
 * (RFC 1624: HC' = ~(~HC + ~m + m')). */
static inline void path_inner_patch_v4(uint8_t *header, uint32_t at, uint16_t word)
{
	uint32_t sum = (uint16_t)~base_load_be16(header + 10);

	sum += (uint16_t)~base_load_be16(header + at);
	sum += word;
	base_store_be16(header + at, word);
	base_store_be16(header + 10, (uint16_t)~path_sum_fold(sum));
}

/* Take one from the time to live, not 0, of a checked IPv4 header: in the upper byte of its word, so the
 * checksum grows by 0x100 (RFC 1141; never to 0xffff, as there). */
static inline void path_inner_hop_v4(uint8_t *header)
{
	uint32_t sum = base_load_be16(header + 10) + 0x100U;

	header[8]--;
	base_store_be16(header + 10, (uint16_t)(sum + (sum >= 0xffff)));
}

#endif
