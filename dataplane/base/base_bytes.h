/* Bytes on the wire and in memory: loads and stores with an explicit byte order, comparison in
 * constant time, wiping. No pointer casts: a packet may lie at any alignment. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BASE_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define base_container_of(ptr, type, member)                                                       \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline uint16_t base_load_be16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap16(v);
}

static inline uint32_t base_load_be32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}

static inline uint64_t base_load_be64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap64(v);
}

static inline uint16_t base_load_le16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t base_load_le32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t base_load_le64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void base_store_be16(void *p, uint16_t v)
{
	v = __builtin_bswap16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void base_store_be32(void *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void base_store_be64(void *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, sizeof(v));
}

static inline void base_store_le16(void *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void base_store_le32(void *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void base_store_le64(void *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

/* Overwrite a secret so that the compiler cannot leave the store out. Call on every exit. */
static inline void base_wipe(void *p, size_t len)
{
	explicit_bzero(p, len);
}

/* True when both ranges of len bytes are equal. Time depends on len only: for MACs and keys. */
static inline bool base_equal_ct(const void *a, const void *b, size_t len)
{
	const volatile uint8_t *x = (const volatile uint8_t *)a;
	const volatile uint8_t *y = (const volatile uint8_t *)b;
	uint8_t diff = 0;

	for (size_t i = 0; i < len; i++)
		diff = (uint8_t)(diff | (x[i] ^ y[i]));
	return diff == 0;
}

/* True when all len bytes are zero, in constant time. */
static inline bool base_is_zero_ct(const void *p, size_t len)
{
	const volatile uint8_t *x = (const volatile uint8_t *)p;
	uint8_t any = 0;

	for (size_t i = 0; i < len; i++)
		any = (uint8_t)(any | x[i]);
	return any == 0;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "weir runs on little-endian machines");

#endif
