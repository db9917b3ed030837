/* Looking up in the cryptokey routing table: the readers' side. May run while the writer changes the
 * table: every word that the writer changes in place is loaded once, atomically. */
#include "base_fetch.h"
#include "wg_allowedips_private.h"

#include <emmintrin.h>

/* From 32 KB on the buckets do not stay in the first cache, from 1 MB on not in the second: then they are
 * asked into that, where more can be under way than the two dozen that the first has room for. */
#define BITS_COLD 9U
#define BITS_FAR  14U

/* ---- single addresses ---------------------------------------------------------------------------- */

/* Bit i: slot i has this address, or is free and the address is 0.0.0.0. All at once, since where in
 * its bucket an address lies cannot be foreseen. Not for TSan's eyes, which know no atomic vectors;
 * each lane is one aligned load, and what it means is decided by the mark. */
__attribute__((no_sanitize("thread"))) static inline unsigned int
match_v4(const uint32_t *addresses, uint32_t address)
{
	__m128i wanted = _mm_set1_epi32((int)address);
	__m128i low, high;

	memcpy(&low, addresses, sizeof(low));
	memcpy(&high, addresses + 4, sizeof(high));
	low = _mm_cmpeq_epi32(low, wanted);
	high = _mm_cmpeq_epi32(high, wanted);
	return (unsigned int)_mm_movemask_ps(_mm_castsi128_ps(low))
	       | (unsigned int)_mm_movemask_ps(_mm_castsi128_ps(high)) << 4;
}

/* Buckets fill in order, so one whose last slot was never used ends the search. */
static inline uint32_t find_v4(const struct wg_hosts *hosts, struct wg_key key)
{
	uint32_t address = (uint32_t)(key.high >> 32);

	for (uint32_t i = wg__hosts_start(hosts, key);; i = wg__hosts_next(hosts, i)) {
		const union wg_bucket *bucket = &hosts->buckets[i];
		unsigned int matching = match_v4(bucket->v4.address, address);

		for (; matching != 0; matching &= matching - 1) {
			const uint32_t *at = &bucket->v4.mark[__builtin_ctz(matching)];
			uint32_t mark = __atomic_load_n(at, __ATOMIC_ACQUIRE);

			if (mark != 0)
				return mark == WG_MARK_GONE ? WG_ALLOWEDIPS_NONE : mark - 1;
		}
		if (__atomic_load_n(&bucket->v4.mark[WG_BUCKET_V4 - 1], __ATOMIC_RELAXED) == 0)
			return WG_ALLOWEDIPS_NONE;
	}
}

/* All slots of a bucket are compared before the first branch, as above. */
static inline uint32_t find_v6(const struct wg_hosts *hosts, struct wg_key key)
{
	for (uint32_t i = wg__hosts_start(hosts, key);; i = wg__hosts_next(hosts, i)) {
		const union wg_bucket *bucket = &hosts->buckets[i];
		uint32_t found = 0;
		uint32_t mark = 0;

#pragma GCC unroll 3
		for (unsigned int way = 0; way < WG_BUCKET_V6; way++) {
			uint64_t differ;

			mark = __atomic_load_n(&bucket->v6.mark[way], __ATOMIC_ACQUIRE);
			differ = __atomic_load_n(&bucket->v6.high[way], __ATOMIC_RELAXED)
			         ^ key.high;
			differ |= __atomic_load_n(&bucket->v6.low[way], __ATOMIC_RELAXED) ^ key.low;
			found |= differ == 0 ? mark : 0;
		}
		if (found != 0 || mark == 0)
			return found == WG_MARK_GONE ? WG_ALLOWEDIPS_NONE : found - 1;
	}
}

static inline const struct wg_hosts *hosts_of(const struct wg_allowedips *table, unsigned int root)
{
	return __atomic_load_n(&table->hosts[root], __ATOMIC_ACQUIRE);
}

static inline uint32_t find_host(const struct wg_allowedips *table, unsigned int root,
                                 struct wg_key key)
{
	const struct wg_hosts *hosts = hosts_of(table, root);

	if (!hosts)
		return WG_ALLOWEDIPS_NONE;
	return root == WG_ROOT_V4 ? find_v4(hosts, key) : find_v6(hosts, key);
}

/* ---- trie ---------------------------------------------------------------------------------------- */

/* The prefixes of 0 to 5 bits that contain these 6 bits, as bits of `internal`. */
#define A(i)                                                                                       \
	(UINT64_C(2) | UINT64_C(1) << (2 | (i) >> 5) | UINT64_C(1) << (4 | (i) >> 4)               \
	 | UINT64_C(1) << (8 | (i) >> 3) | UINT64_C(1) << (16 | (i) >> 2)                          \
	 | UINT64_C(1) << (32 | (i) >> 1))
#define A8(i) A(i), A(i + 1), A(i + 2), A(i + 3), A(i + 4), A(i + 5), A(i + 6), A(i + 7)
static const uint64_t containing[64] = {A8(0),  A8(8),  A8(16), A8(24),
                                        A8(32), A8(40), A8(48), A8(56)};

static inline unsigned int count_below(uint64_t bits, unsigned int bit)
{
	return (unsigned int)__builtin_popcountll(bits & ((UINT64_C(1) << bit) - 1));
}

/* The longest of the node's own prefixes that holds, or best. The loop runs once but for holes. */
static inline uint32_t best_internal(const struct wg_node *node, unsigned int bits, uint32_t best)
{
	uint64_t matching = node->internal & containing[bits];

	while (matching != 0) {
		unsigned int bit = 63U - (unsigned int)__builtin_clzll(matching);
		unsigned int at = (unsigned int)__builtin_popcountll(node->external)
		                  + count_below(node->internal, bit);
		uint32_t ref = wg__ref_load(&node->slots[at]);

		if (ref != WG_REF_NONE)
			return ref & WG_ALLOWEDIPS_VALUE_MAX;
		matching ^= UINT64_C(1) << bit;
	}
	return best;
}

/* One block of the way down. Returns where to go on, NONE at the end; *best is the longest match so
 * far. */
static inline uint32_t step(const struct wg_allowedips *table, uint32_t ref, struct wg_key key,
                            uint32_t *best)
{
	const struct wg_node *node = wg__node(table, ref);
	unsigned int bits;

	if (ref & WG_REF_VALUE) {
		*best = ref & WG_ALLOWEDIPS_VALUE_MAX;
		return WG_REF_NONE;
	}
	if (wg__key_common(node->block.key, key) < node->block.len)
		return WG_REF_NONE;
	if (ref & WG_REF_LEAF) {
		uint32_t held = wg__ref_load(&wg__leaf(table, ref)->ref);

		if (held != WG_REF_NONE)
			*best = held & WG_ALLOWEDIPS_VALUE_MAX;
		return WG_REF_NONE;
	}
	bits = wg__key_bits(key, node->block.len);
	*best = best_internal(node, bits, *best);
	if ((node->external >> bits & 1) == 0)
		return WG_REF_NONE;
	return wg__ref_load(&node->slots[count_below(node->external, bits)]);
}

/* Not inlined: most addresses are single ones, and for those the functions below need no frame. */
static __attribute__((noinline)) uint32_t lookup_trie(const struct wg_allowedips *table,
                                                      unsigned int root, struct wg_key key)
{
	uint32_t best = WG_ALLOWEDIPS_NONE;

	for (uint32_t ref = wg__ref_load(&table->root[root]); ref != WG_REF_NONE;)
		ref = step(table, ref, key, &best);
	return best;
}

static inline uint32_t lookup(const struct wg_allowedips *table, unsigned int root,
                              struct wg_key key)
{
	uint32_t value = find_host(table, root, key);

	if (__builtin_expect(value != WG_ALLOWEDIPS_NONE, 1))
		return value;
	return lookup_trie(table, root, key);
}

uint32_t wg_allowedips_lookup_v4(const struct wg_allowedips *table, const uint8_t address[static 4])
{
	return lookup(table, WG_ROOT_V4, wg__key_v4(address));
}

uint32_t wg_allowedips_lookup_v6(const struct wg_allowedips *table,
                                 const uint8_t address[static 16])
{
	return lookup(table, WG_ROOT_V6, wg__key_v6(address));
}

uint32_t wg_allowedips_lookup(const struct wg_allowedips *table, const struct base_ip *ip)
{
	switch (ip->family) {
	case BASE_IP_V4:
		return wg_allowedips_lookup_v4(table, ip->bytes);
	case BASE_IP_V6:
		return wg_allowedips_lookup_v6(table, ip->bytes);
	default:
		return WG_ALLOWEDIPS_NONE;
	}
}

/* ---- bursts -------------------------------------------------------------------------------------- */

/* A look-up that goes on in the trie. */
struct walk {
	struct wg_key key;
	uint32_t ref;
	uint32_t at; /* position in the burst */
};

static BASE_FETCHES void prefetch_bucket(const struct wg_allowedips *table, unsigned int root,
                                         struct wg_key key)
{
	const struct wg_hosts *hosts = hosts_of(table, root);

	if (!hosts || hosts->bits < BITS_COLD)
		return;
	if (hosts->bits < BITS_FAR)
		__builtin_prefetch(&hosts->buckets[wg__hosts_start(hosts, key)]);
	else
		__builtin_prefetch(&hosts->buckets[wg__hosts_start(hosts, key)], 0, 2);
}

bool wg_allowedips_is_cold(const struct wg_allowedips *table)
{
	const struct wg_hosts *v4 = hosts_of(table, WG_ROOT_V4);
	const struct wg_hosts *v6 = hosts_of(table, WG_ROOT_V6);

	return (v4 && v4->bits >= BITS_COLD) || (v6 && v6->bits >= BITS_COLD);
}

void wg_allowedips_prefetch_v4(const struct wg_allowedips *table, const uint8_t address[static 4])
{
	prefetch_bucket(table, WG_ROOT_V4, wg__key_v4(address));
}

void wg_allowedips_prefetch_v6(const struct wg_allowedips *table, const uint8_t address[static 16])
{
	prefetch_bucket(table, WG_ROOT_V6, wg__key_v6(address));
}

/* All walks, a block each in turn, so that the next block of one is fetched while the others look
 * at theirs. */
static void finish_walks(const struct wg_allowedips *table, struct walk *walks, unsigned int n,
                         uint32_t *values)
{
	while (n > 0) {
		unsigned int n_left = 0;

		for (unsigned int i = 0; i < n; i++) {
			struct walk walk = walks[i];

			walk.ref = step(table, walk.ref, walk.key, &values[walk.at]);
			if (walk.ref == WG_REF_NONE)
				continue;
			if (!(walk.ref & WG_REF_VALUE))
				__builtin_prefetch(wg__node(table, walk.ref));
			walks[n_left++] = walk;
		}
		n = n_left;
	}
}

void wg_allowedips_lookup_burst(const struct wg_allowedips *table, const uint8_t *const *address,
                                const uint8_t *family, uint32_t *values, unsigned int n)
{
	struct walk walks[WG_ALLOWEDIPS_BURST_MAX];
	unsigned int n_walks = 0;

	for (unsigned int i = 0; i < n; i++) {
		walks[i].key = (struct wg_key){0};
		if (family[i] == BASE_IP_V4)
			walks[i].key = wg__key_v4(address[i]);
		else if (family[i] == BASE_IP_V6)
			walks[i].key = wg__key_v6(address[i]);
		prefetch_bucket(table, family[i] == BASE_IP_V6, walks[i].key);
	}
	for (unsigned int i = 0; i < n; i++) {
		unsigned int root = family[i] == BASE_IP_V6 ? WG_ROOT_V6 : WG_ROOT_V4;
		struct walk walk = {.key = walks[i].key, .at = i};

		values[i] = WG_ALLOWEDIPS_NONE;
		if (family[i] != BASE_IP_V4 && family[i] != BASE_IP_V6)
			continue;
		values[i] = find_host(table, root, walk.key);
		walk.ref = wg__ref_load(&table->root[root]);
		if (values[i] == WG_ALLOWEDIPS_NONE && walk.ref != WG_REF_NONE)
			walks[n_walks++] = walk;
	}
	finish_walks(table, walks, n_walks, values);
}
