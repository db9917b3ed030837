/* What the files of the cryptokey routing table share, and nobody else sees.
 *
 *   wg_allowedips.c         inserting, removing: the writer
 *   wg_allowedips_walk.c    walking: the writer
 *   wg_allowedips_lookup.c  looking up: the readers
 *   wg_allowedips_hosts.c   single addresses: a hash
 *   wg_allowedips_arena.c   memory of the trie, and waiting for readers before it is reused
 *
 * **Single addresses** (most prefixes of a hub, and most packets are for them) lie in a hash by
 * family, nothing longer can match: one cache line a look-up.
 *
 * **All other prefixes** lie in a trie of nodes that each decide 6 bits of the address (a tree
 * bitmap): `internal` says which of the 63 prefixes of 0 to 5 further bits exist, `external` below
 * which of the 64 ways there is more, and the slots behind hold one word for each bit set. A node
 * begins at a multiple of 6 bits and knows the bits before, so that runs of nodes with one way are
 * left out. A word (a "ref") is
 *
 *   0                 nothing
 *   REF_VALUE|value   a prefix that ends exactly here, and nothing longer
 *   REF_LEAF|block    one prefix, with its own key
 *   block             a node
 *
 * **Readers in other threads.** A block that readers can reach is constant but for its slots and a
 * leaf's value, which are written in place, each with one store: that is how a prefix moves, and how
 * it goes. Whatever changes the shape makes a new block, fills it, and stores its ref with release
 * where the old one's was; readers load refs with acquire. The old block waits in limbo.
 *
 * A hole (a slot that says "nothing" though its bit is set) is legal: removing makes one first,
 * which cannot fail, and tidies up afterwards if there is memory for the smaller copy. */
#ifndef WG_ALLOWEDIPS_PRIVATE_H
#define WG_ALLOWEDIPS_PRIVATE_H

#include "base_bytes.h"
#include "wg_allowedips.h"

/* ---- keys: an address as two words in host order, IPv4 in the upper half of the first ------------ */

struct wg_key {
	uint64_t high;
	uint64_t low;
};

static inline struct wg_key wg__key_v4(const uint8_t *address)
{
	return (struct wg_key){.high = (uint64_t)base_load_be32(address) << 32};
}

static inline struct wg_key wg__key_v6(const uint8_t *address)
{
	return (struct wg_key){.high = base_load_be64(address), .low = base_load_be64(address + 8)};
}

static inline bool wg__key_equal(struct wg_key a, struct wg_key b)
{
	return a.high == b.high && a.low == b.low;
}

/* Number of leading bits that are equal, 0..128. */
static inline unsigned int wg__key_common(struct wg_key a, struct wg_key b)
{
	uint64_t high = a.high ^ b.high;
	uint64_t low = a.low ^ b.low;

	if (high != 0)
		return (unsigned int)__builtin_clzll(high);
	return low != 0 ? 64U + (unsigned int)__builtin_clzll(low) : 128U;
}

#define WG_STRIDE 6U

/* The 6 bits from bit number at on, a multiple of 6 up to 126; zeros behind bit 127. */
static inline unsigned int wg__key_bits(struct wg_key key, unsigned int at)
{
	if (at <= 58)
		return (unsigned int)(key.high >> (58 - at) & 63);
	if (at == 60)
		return (unsigned int)((key.high << 2 | key.low >> 62) & 63);
	return (unsigned int)((at <= 122 ? key.low >> (122 - at) : key.low << (at - 122)) & 63);
}

/* ---- blocks of the trie -------------------------------------------------------------------------- */

#define WG_UNIT      32U /* bytes; blocks are whole units, refs count them */
#define WG_UNITS_MAX 18U

#define WG_REF_NONE  UINT32_C(0)
#define WG_REF_LEAF  (UINT32_C(1) << 30)
#define WG_REF_VALUE (UINT32_C(1) << 31)
#define WG_REF_BLOCK (WG_REF_LEAF - 1) /* mask: number of the block's first unit; of a value */

_Static_assert(WG_ALLOWEDIPS_VALUE_MAX == WG_REF_BLOCK, "a value fits beside the mark");

struct wg_block {      /* what all blocks begin with */
	uint32_t next; /* in limbo or free: the writer's; readers do not look */
	uint8_t len;   /* bits of key that count */
	uint8_t n_units;
	uint16_t pad;
	struct wg_key key; /* zero behind len */
};

struct wg_leaf {
	struct wg_block block;
	uint32_t ref; /* REF_VALUE|value, or 0: hole. In place */
	uint32_t pad;
};
_Static_assert(sizeof(struct wg_leaf) == WG_UNIT, "one unit");

struct wg_node {
	struct wg_block block; /* len: where the node begins, a multiple of 6 */
	uint64_t external;     /* bit i: there is more below way i */
	uint64_t internal;     /* bit 1 << k | bits: prefix of k more bits; bit 0 unused */
	uint32_t slots[];      /* refs of external, then of internal, ascending. In place */
};
_Static_assert(sizeof(struct wg_node) == 40, "six slots in the first cache line");
_Static_assert(sizeof(struct wg_node) + (64 + 63) * 4 <= WG_UNITS_MAX * WG_UNIT, "largest node");

static inline uint32_t wg__ref_load(const uint32_t *slot)
{
	return __atomic_load_n(slot, __ATOMIC_ACQUIRE);
}

static inline void wg__ref_store(uint32_t *slot, uint32_t ref)
{
	__atomic_store_n(slot, ref, __ATOMIC_RELEASE);
}

/* ---- hash of single addresses -------------------------------------------------------------------- */

/* A bucket is a cache line: 8 IPv4 addresses or 3 IPv6 ones. Its slots are filled in order, and a
 * slot's key is written once, before its mark: 1 + value, 0 = never used, WG_MARK_GONE = removed. So
 * a reader that sees the mark sees the key, and it is still that key. */
#define WG_MARK_GONE UINT32_MAX
#define WG_BUCKET_V4 8U
#define WG_BUCKET_V6 3U

union wg_bucket {
	struct {
		uint32_t address[WG_BUCKET_V4];
		uint32_t mark[WG_BUCKET_V4];
	} v4;
	struct {
		uint64_t high[WG_BUCKET_V6];
		uint64_t low[WG_BUCKET_V6];
		uint32_t mark[WG_BUCKET_V6];
	} v6;
} __attribute__((aligned(64)));
_Static_assert(sizeof(union wg_bucket) == 64, "a cache line");

struct wg_hosts {
	struct wg_hosts *next; /* limbo */
	uint32_t bits;         /* 1 << bits buckets */
	uint32_t n_used;       /* slots with a mark */
	uint32_t n_live;       /* of these, not removed */
	uint8_t family;        /* enum base_ip_family */
	union wg_bucket buckets[];
};

/* Number of the bucket in which a search begins. Who chooses addresses cannot choose many (a peer's
 * prefixes are configured), so the mixing need not be keyed. Of an IPv4 address only the lower half of the last
 * factor counts, and that is 2^32 by the golden ratio: so addresses that follow one another, as a hub gives
 * them to its peers, fill the buckets evenly, and few searches go beyond the first. */
static inline uint32_t wg__hosts_start(const struct wg_hosts *hosts, struct wg_key key)
{
	uint64_t mixed = (key.high ^ key.low * UINT64_C(0x9e3779b97f4a7c15))
	                 * UINT64_C(0xd6e8feb89e3779b9);

	return (uint32_t)(mixed >> 32) >> (32 - hosts->bits);
}

static inline uint32_t wg__hosts_next(const struct wg_hosts *hosts, uint32_t bucket)
{
	return (bucket + 1) & ((UINT32_C(1) << hosts->bits) - 1);
}

/* ---- the table ----------------------------------------------------------------------------------- */

enum { WG_ROOT_V4 = 0, WG_ROOT_V6 = 1, WG_N_ROOTS };

/* What was taken out of the table and may still be read. */
struct wg_limbo {
	uint32_t blocks; /* list through next, 0 ends it */
	struct wg_hosts *hosts;
};

struct wg_allowedips {
	/* read by readers; written by the writer */
	uint8_t *arena; /* constant */
	uint32_t root[WG_N_ROOTS];
	struct wg_hosts *hosts[WG_N_ROOTS]; /* loaded with acquire */
	/* the writer's */
	uint32_t n_units_max;
	uint32_t n_units_open; /* readable and writable */
	uint32_t n_units_used; /* ever handed out, unit 0 never */
	uint32_t free[WG_UNITS_MAX + 1];
	uint32_t n_moves[WG_N_ROOTS]; /* times that the array of single addresses was replaced */
	bool is_ordered;              /* single addresses lie in the trie too */
	size_t count;
	struct wg_allowedips_grace grace; /* begin NULL: none */
	uint64_t token;
	struct wg_limbo waiting; /* until the token has passed */
	struct wg_limbo fresh;   /* since */
};

static inline struct wg_node *wg__node(const struct wg_allowedips *table, uint32_t ref)
{
	void *at = table->arena + (size_t)(ref & WG_REF_BLOCK) * WG_UNIT;

	return at;
}

static inline struct wg_leaf *wg__leaf(const struct wg_allowedips *table, uint32_t ref)
{
	void *at = table->arena + (size_t)(ref & WG_REF_BLOCK) * WG_UNIT;

	return at;
}

/* wg_allowedips_arena.c. A table with room for so many units of trie: for tests. */
struct wg_allowedips *wg_allowedips__create(const struct wg_allowedips_grace *grace,
                                            uint32_t n_units_max);

/* A block of len bytes, filled with zeros but for n_units. Returns its number or 0: no memory. */
uint32_t wg__arena_take(struct wg_allowedips *table, size_t len);
/* The block is out of readers' reach: reuse it when they have let go. */
void wg__arena_retire(struct wg_allowedips *table, uint32_t block);
/* The block was never in their reach: reuse it now. */
void wg__arena_give_back(struct wg_allowedips *table, uint32_t block);
void wg__hosts_retire(struct wg_allowedips *table, struct wg_hosts *hosts);
/* Make reusable what readers have let go of. */
void wg__arena_reclaim(struct wg_allowedips *table);

/* wg_allowedips_hosts.c. As the public functions, for a whole address: -ENOMEM, -ENOENT. */
int wg__hosts_insert(struct wg_allowedips *table, unsigned int root, struct wg_key key,
                     uint32_t value, uint32_t *holder);
int wg__hosts_remove(struct wg_allowedips *table, unsigned int root, struct wg_key key,
                     uint32_t value);
size_t wg__hosts_remove_value(struct wg_allowedips *table, unsigned int root, uint32_t value);
size_t wg__hosts_memory(const struct wg_hosts *hosts);
typedef int wg_hosts_fn(void *arg, struct wg_key key, uint32_t value);
int wg__hosts_each(struct wg_hosts *hosts, wg_hosts_fn *fn, void *arg);
/* From slot *next on, which moves on; looks at no more than budget buckets. Returns 1 there is more, 0
 * that was all. */
int wg__hosts_walk(struct wg_hosts *hosts, uint64_t *next, uint32_t budget, wg_hosts_fn *fn,
                   void *arg);

#endif
