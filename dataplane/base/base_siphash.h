/* SipHash-2-4 (Aumasson, Bernstein 2012): for hash tables keyed by what strangers send. The key is
 * 16 random bytes made once a process; without it nobody can aim at one chain. */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct base_siphash_key {
	uint64_t k0;
	uint64_t k1;
};

/* Key from 16 bytes, as the paper reads them (little endian). */
struct base_siphash_key base_siphash_key(const uint8_t bytes[static 16]);

uint64_t base_siphash(struct base_siphash_key key, const void *in, size_t len);

/* The same as base_siphash() of the 8 bytes of v, little endian, without the loop. */
uint64_t base_siphash_u64(struct base_siphash_key key, uint64_t v);

#endif
