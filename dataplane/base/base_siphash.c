/* SipHash with 2 rounds a word and 4 at the end. */
#include "base_siphash.h"

#include "base_bytes.h"

struct state {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate_left(uint64_t v, unsigned int n)
{
	return v << n | v >> (64 - n);
}

static inline void sip_round(struct state *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = rotate_left(s->v1, 13) ^ s->v0;
	s->v3 = rotate_left(s->v3, 16) ^ s->v2;
	s->v0 = rotate_left(s->v0, 32);
	s->v2 += s->v1;
	s->v0 += s->v3;
	s->v1 = rotate_left(s->v1, 17) ^ s->v2;
	s->v3 = rotate_left(s->v3, 21) ^ s->v0;
	s->v2 = rotate_left(s->v2, 32);
}

static inline struct state begin(struct base_siphash_key key)
{
	return (struct state){
		.v0 = key.k0 ^ UINT64_C(0x736f6d6570736575), /* "somepseu" */
		.v1 = key.k1 ^ UINT64_C(0x646f72616e646f6d), /* "dorandom" */
		.v2 = key.k0 ^ UINT64_C(0x6c7967656e657261), /* "lygenera" */
		.v3 = key.k1 ^ UINT64_C(0x7465646279746573), /* "tedbytes" */
	};
}

static inline void absorb(struct state *s, uint64_t word)
{
	s->v3 ^= word;
	sip_round(s);
	sip_round(s);
	s->v0 ^= word;
}

/* last: the bytes left over, below the length modulo 256 in the highest. */
static inline uint64_t finish(struct state *s, uint64_t last)
{
	absorb(s, last);
	s->v2 ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

struct base_siphash_key base_siphash_key(const uint8_t bytes[static 16])
{
	return (struct base_siphash_key){
		.k0 = base_load_le64(bytes),
		.k1 = base_load_le64(bytes + 8),
	};
}

uint64_t base_siphash(struct base_siphash_key key, const void *in, size_t len)
{
	struct state s = begin(key);
	const uint8_t *bytes = in;
	uint64_t last = (uint64_t)len << 56;
	size_t i;

	for (i = 0; i + 8 <= len; i += 8)
		absorb(&s, base_load_le64(bytes + i));
	for (size_t j = 0; i + j < len; j++)
		last |= (uint64_t)bytes[i + j] << (8 * j);
	return finish(&s, last);
}

uint64_t base_siphash_u64(struct base_siphash_key key, uint64_t v)
{
	struct state s = begin(key);

	absorb(&s, v);
	return finish(&s, UINT64_C(8) << 56);
}
