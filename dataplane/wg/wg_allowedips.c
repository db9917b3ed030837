/* Two path-compressed binary tries in one array of nodes.
 *
 * A node stands for a prefix; below it are only longer prefixes that it contains, child[b] those
 * whose next bit is b. A node without a value (a fork) has two children, so there are fewer than
 * 2 * count nodes, and a look-up visits only nodes that lie on the way to the address: each costs
 * one comparison of the whole key, whatever its length.
 *
 * Most prefixes of a hub are single addresses, and most packets are for them: these nodes are found
 * by a hash as well, without walking the trie, and nothing longer can match. Nobody outside chooses
 * what is in the hash, so a chain is never longer than its owner's own prefixes make it.
 *
 * Keys are held as two 64-bit words in host order, an IPv4 address in the upper half of the first,
 * so that one code changes both tries and only the look-ups are written twice. */
#include "wg_allowedips.h"

#include "base_bytes.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define NIL          UINT32_MAX
#define N_NODES_MIN  64U
#define N_NODES_MAX  (UINT32_C(1) << 30)
#define NODE_ALIGN   64U /* two nodes to a cache line, none across two */
#define BITS_MIN     6U  /* slots of the hash */
#define SLOTS_A_HOST 4U  /* at least: so that most are found in their first slot */

struct key {
	uint64_t high;
	uint64_t low;
};

struct node {
	struct key key; /* bits behind len are zero */
	uint32_t child[2];
	uint32_t value; /* WG_ALLOWEDIPS_NONE: a fork */
	uint8_t len;
	uint8_t host; /* enum base_ip_family of a whole address, which is in the hash; else NONE */
	uint8_t pad[2];
};
_Static_assert(sizeof(struct node) == 32, "two nodes to a cache line");

struct wg_allowedips {
	struct node *nodes;
	uint32_t root[2]; /* IPv4, IPv6 */
	uint32_t n_nodes; /* ever used; those given back hang on free */
	uint32_t n_allocated;
	uint32_t free; /* list through child[0] */
	uint32_t n_free;
	size_t count;
	uint32_t *slots; /* [1 << bits], node of a host or NIL; open addressing, linear probing */
	uint32_t bits;
	uint32_t n_hosts;
};

/* Number of leading bits that are equal, 0..128. */
static inline unsigned int common_bits(struct key a, struct key b)
{
	uint64_t high = a.high ^ b.high;
	uint64_t low = a.low ^ b.low;

	if (high != 0)
		return (unsigned int)__builtin_clzll(high);
	return low != 0 ? 64U + (unsigned int)__builtin_clzll(low) : 128U;
}

/* Bit number i counted from the front, i < 128. */
static inline unsigned int key_bit(struct key key, unsigned int i)
{
	return (unsigned int)((i < 64 ? key.high >> (63 - i) : key.low >> (127 - i)) & 1);
}

static struct key key_mask(struct key key, unsigned int len)
{
	if (len == 0)
		return (struct key){0};
	if (len <= 64)
		return (struct key){.high = key.high & UINT64_MAX << (64 - len)};
	return (struct key){.high = key.high, .low = key.low & UINT64_MAX << (128 - len)};
}

static bool key_equal(struct key a, struct key b)
{
	return a.high == b.high && a.low == b.low;
}

static struct key key_from_v4(const uint8_t address[static 4])
{
	return (struct key){.high = (uint64_t)base_load_be32(address) << 32};
}

static struct key key_from_v6(const uint8_t address[static 16])
{
	return (struct key){.high = base_load_be64(address), .low = base_load_be64(address + 8)};
}

/* Returns -EINVAL for what is no prefix. */
static int prefix_to_key(const struct base_prefix *prefix, struct key *key, unsigned int *root)
{
	if (prefix->ip.family == BASE_IP_V4 && prefix->len <= 32) {
		*key = key_mask(key_from_v4(prefix->ip.bytes), prefix->len);
		*root = 0;
		return 0;
	}
	if (prefix->ip.family == BASE_IP_V6 && prefix->len <= 128) {
		*key = key_mask(key_from_v6(prefix->ip.bytes), prefix->len);
		*root = 1;
		return 0;
	}
	return -EINVAL;
}

/* ---- hash of hosts ------------------------------------------------------------------------------- */

/* Where the search for key begins. */
static inline uint32_t host_start(const struct wg_allowedips *table, struct key key)
{
	uint64_t mixed = (key.high ^ key.low * UINT64_C(0x9e3779b97f4a7c15))
	                 * UINT64_C(0xd6e8feb86659fd93);

	return (uint32_t)(mixed >> (64 - table->bits));
}

static inline uint32_t host_next(const struct wg_allowedips *table, uint32_t slot)
{
	return (slot + 1) & ((UINT32_C(1) << table->bits) - 1);
}

/* Slot of the host with this key, or the free slot where it would be. */
static inline uint32_t host_slot(const struct wg_allowedips *table, struct key key, uint8_t family)
{
	uint32_t slot = host_start(table, key);

	for (; table->slots[slot] != NIL; slot = host_next(table, slot)) {
		const struct node *node = &table->nodes[table->slots[slot]];

		if (key_equal(node->key, key) && node->host == family)
			break;
	}
	return slot;
}

static void host_add(struct wg_allowedips *table, uint32_t index)
{
	const struct node *node = &table->nodes[index];

	table->slots[host_slot(table, node->key, node->host)] = index;
	table->n_hosts++;
}

/* Free the host's slot, and move up those behind that were pushed away from it. */
static void host_remove(struct wg_allowedips *table, uint32_t index)
{
	const struct node *node = &table->nodes[index];
	uint32_t hole = host_slot(table, node->key, node->host);
	uint32_t mask = (UINT32_C(1) << table->bits) - 1;

	for (uint32_t slot = host_next(table, hole); table->slots[slot] != NIL;
	     slot = host_next(table, slot)) {
		uint32_t start = host_start(table, table->nodes[table->slots[slot]].key);

		if (((slot - start) & mask) < ((slot - hole) & mask))
			continue; /* it starts behind the hole */
		table->slots[hole] = table->slots[slot];
		hole = slot;
	}
	table->slots[hole] = NIL;
	table->n_hosts--;
}

static int hosts_resize(struct wg_allowedips *table, uint32_t bits)
{
	size_t len = sizeof(*table->slots) << bits;
	uint32_t *old = table->slots;
	uint32_t n_old = old ? UINT32_C(1) << table->bits : 0;
	uint32_t *slots = malloc(len);

	if (!slots)
		return -ENOMEM;
	memset(slots, 0xff, len); /* NIL */
	table->slots = slots;
	table->bits = bits;
	table->n_hosts = 0;
	for (uint32_t i = 0; i < n_old; i++)
		if (old[i] != NIL)
			host_add(table, old[i]);
	free(old);
	return 0;
}

/* ---- table --------------------------------------------------------------------------------------- */

struct wg_allowedips *wg_allowedips_create(void)
{
	struct wg_allowedips *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	if (hosts_resize(table, BITS_MIN) < 0) {
		free(table);
		return NULL;
	}
	table->root[0] = NIL;
	table->root[1] = NIL;
	table->free = NIL;
	return table;
}

void wg_allowedips_destroy(struct wg_allowedips *table)
{
	if (!table)
		return;
	free(table->slots);
	free(table->nodes);
	free(table);
}

/* Make sure that n nodes, one of them a host, can be taken without failing. Indices stay valid,
 * pointers do not. */
static int reserve(struct wg_allowedips *table, uint32_t n)
{
	struct node *nodes;
	uint32_t n_allocated;

	if ((table->n_hosts + UINT64_C(1)) * SLOTS_A_HOST > UINT64_C(1) << table->bits
	    && hosts_resize(table, table->bits + 1) < 0)
		return -ENOMEM;
	if (table->n_free + (table->n_allocated - table->n_nodes) >= n)
		return 0;
	if (table->n_allocated >= N_NODES_MAX)
		return -ENOMEM;
	n_allocated = table->n_allocated != 0 ? 2 * table->n_allocated : N_NODES_MIN;
	nodes = aligned_alloc(NODE_ALIGN, n_allocated * sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	if (table->nodes)
		memcpy(nodes, table->nodes, table->n_nodes * sizeof(*nodes));
	free(table->nodes);
	table->nodes = nodes;
	table->n_allocated = n_allocated;
	return 0;
}

/* Take a reserved node. family is that of a prefix, BASE_IP_NONE of a fork. */
static uint32_t node_take(struct wg_allowedips *table, struct key key, unsigned int len,
                          uint32_t value, uint8_t family)
{
	bool is_host = family != BASE_IP_NONE && len == 8 * base_ip_len(family);
	uint32_t index = table->free;

	if (index != NIL) {
		table->free = table->nodes[index].child[0];
		table->n_free--;
	} else {
		index = table->n_nodes++;
	}
	table->nodes[index] = (struct node){
		.key = key,
		.child = {NIL, NIL},
		.value = value,
		.len = (uint8_t)len,
		.host = is_host ? family : BASE_IP_NONE,
	};
	if (is_host)
		host_add(table, index);
	return index;
}

static void node_give_back(struct wg_allowedips *table, uint32_t index)
{
	if (table->nodes[index].host != BASE_IP_NONE)
		host_remove(table, index);
	table->nodes[index].child[0] = table->free;
	table->free = index;
	table->n_free++;
}

/* Put a new leaf where the node at *link does not contain its key: below *link's parent, with what
 * was there as its child or as its neighbour under a fork. */
static void insert_at(struct wg_allowedips *table, uint32_t *link, struct key key, unsigned int len,
                      uint32_t value, uint8_t family)
{
	uint32_t old = *link;
	uint32_t leaf = node_take(table, key, len, value, family);
	unsigned int common;
	struct key old_key;
	uint32_t fork;

	*link = leaf;
	if (old == NIL)
		return;
	old_key = table->nodes[old].key;
	common = common_bits(old_key, key);
	if (common >= len) {
		table->nodes[leaf].child[key_bit(old_key, len)] = old;
		return;
	}
	fork = node_take(table, key_mask(key, common), common, WG_ALLOWEDIPS_NONE, BASE_IP_NONE);
	table->nodes[fork].child[key_bit(old_key, common)] = old;
	table->nodes[fork].child[key_bit(key, common)] = leaf;
	*link = fork;
}

int wg_allowedips_insert(struct wg_allowedips *table, const struct base_prefix *prefix,
                         uint32_t value, uint32_t *moved_from)
{
	struct key key;
	unsigned int root;
	uint32_t holder = WG_ALLOWEDIPS_NONE;
	uint32_t *link;

	if (value == WG_ALLOWEDIPS_NONE || prefix_to_key(prefix, &key, &root) < 0)
		return -EINVAL;
	if (reserve(table, 2) < 0)
		return -ENOMEM;

	link = &table->root[root];
	while (*link != NIL) {
		struct node *node = &table->nodes[*link];

		if (node->len > prefix->len || common_bits(node->key, key) < node->len)
			break;
		if (node->len == prefix->len) {
			holder = node->value;
			node->value = value;
			goto out;
		}
		link = &node->child[key_bit(key, node->len)];
	}
	insert_at(table, link, key, prefix->len, value, prefix->ip.family);
out:
	if (holder == WG_ALLOWEDIPS_NONE)
		table->count++;
	if (moved_from)
		*moved_from = holder != value ? holder : WG_ALLOWEDIPS_NONE;
	return 0;
}

/* What has to stand in the place of a node after its value or a child went: itself, its only child,
 * or nothing. */
static uint32_t collapse(struct wg_allowedips *table, uint32_t index)
{
	const struct node *node = &table->nodes[index];
	uint32_t rest;

	if (node->value != WG_ALLOWEDIPS_NONE || (node->child[0] != NIL && node->child[1] != NIL))
		return index;
	rest = node->child[0] != NIL ? node->child[0] : node->child[1];
	node_give_back(table, index);
	return rest;
}

int wg_allowedips_remove(struct wg_allowedips *table, const struct base_prefix *prefix,
                         uint32_t value)
{
	struct key key;
	unsigned int root;
	uint32_t *link;
	uint32_t *parent_link = NULL;

	if (value == WG_ALLOWEDIPS_NONE || prefix_to_key(prefix, &key, &root) < 0)
		return -ENOENT;
	for (link = &table->root[root]; *link != NIL;) {
		struct node *node = &table->nodes[*link];

		if (node->len >= prefix->len)
			break;
		parent_link = link;
		link = &node->child[key_bit(key, node->len)];
	}
	if (*link == NIL)
		return -ENOENT;

	struct node *node = &table->nodes[*link];

	if (node->len != prefix->len || node->value != value || !key_equal(node->key, key))
		return -ENOENT;
	node->value = WG_ALLOWEDIPS_NONE;
	table->count--;
	*link = collapse(table, *link);
	if (parent_link)
		*parent_link = collapse(table, *parent_link);
	return 0;
}

/* Recursion is bounded: each level is at least one bit longer, so 129 at most. Returns what stands
 * at the place of index afterwards. */
static uint32_t remove_below(struct wg_allowedips *table, uint32_t index, uint32_t value)
{
	struct node *node;

	if (index == NIL)
		return NIL;
	node = &table->nodes[index];
	node->child[0] = remove_below(table, node->child[0], value);
	node->child[1] = remove_below(table, node->child[1], value);
	if (node->value == value) {
		node->value = WG_ALLOWEDIPS_NONE;
		table->count--;
	}
	return collapse(table, index);
}

size_t wg_allowedips_remove_value(struct wg_allowedips *table, uint32_t value)
{
	size_t before = table->count;

	if (value == WG_ALLOWEDIPS_NONE)
		return 0;
	table->root[0] = remove_below(table, table->root[0], value);
	table->root[1] = remove_below(table, table->root[1], value);
	return before - table->count;
}

uint32_t wg_allowedips_lookup_v4(const struct wg_allowedips *table, const uint8_t address[static 4])
{
	const struct node *nodes = table->nodes;
	uint32_t key = base_load_be32(address);
	uint32_t best = WG_ALLOWEDIPS_NONE;
	uint32_t host = table->slots[host_slot(table, key_from_v4(address), BASE_IP_V4)];

	if (host != NIL)
		return nodes[host].value;
	for (uint32_t i = table->root[0]; i != NIL;) {
		const struct node *node = &nodes[i];
		uint64_t differ = (uint64_t)key << 32 ^ node->key.high;

		/* The lower half, zero here, gets one bit for clz to find: 32 when all are equal. */
		if ((unsigned int)__builtin_clzll(differ | UINT32_C(1) << 31) < node->len)
			break;
		if (node->value != WG_ALLOWEDIPS_NONE)
			best = node->value;
		if (node->len == 32)
			break;
		i = node->child[key >> (31 - node->len) & 1];
	}
	return best;
}

uint32_t wg_allowedips_lookup_v6(const struct wg_allowedips *table,
                                 const uint8_t address[static 16])
{
	const struct node *nodes = table->nodes;
	struct key key = key_from_v6(address);
	uint32_t best = WG_ALLOWEDIPS_NONE;
	uint32_t host = table->slots[host_slot(table, key, BASE_IP_V6)];

	if (host != NIL)
		return nodes[host].value;
	for (uint32_t i = table->root[1]; i != NIL;) {
		const struct node *node = &nodes[i];

		if (common_bits(key, node->key) < node->len)
			break;
		if (node->value != WG_ALLOWEDIPS_NONE)
			best = node->value;
		if (node->len == 128)
			break;
		i = node->child[key_bit(key, node->len)];
	}
	return best;
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

size_t wg_allowedips_count(const struct wg_allowedips *table)
{
	return table->count;
}

size_t wg_allowedips_memory(const struct wg_allowedips *table)
{
	return sizeof(*table) + table->n_allocated * sizeof(*table->nodes)
	       + (sizeof(*table->slots) << table->bits);
}

static struct base_prefix node_prefix(const struct node *node, uint8_t family)
{
	struct base_prefix prefix = {.ip.family = family, .len = node->len};

	if (family == BASE_IP_V4) {
		base_store_be32(prefix.ip.bytes, (uint32_t)(node->key.high >> 32));
	} else {
		base_store_be64(prefix.ip.bytes, node->key.high);
		base_store_be64(prefix.ip.bytes + 8, node->key.low);
	}
	return prefix;
}

/* A prefix before those it contains, lower before higher. Recursion as in remove_below(). */
static int each_below(const struct wg_allowedips *table, uint32_t index, uint8_t family,
                      wg_allowedips_fn *fn, void *arg)
{
	const struct node *node;
	struct base_prefix prefix;
	int stop = 0;

	if (index == NIL)
		return 0;
	node = &table->nodes[index];
	prefix = node_prefix(node, family);
	if (node->value != WG_ALLOWEDIPS_NONE)
		stop = fn(arg, &prefix, node->value);
	if (stop == 0)
		stop = each_below(table, node->child[0], family, fn, arg);
	return stop != 0 ? stop : each_below(table, node->child[1], family, fn, arg);
}

int wg_allowedips_each(const struct wg_allowedips *table, wg_allowedips_fn *fn, void *arg)
{
	int stop = each_below(table, table->root[0], BASE_IP_V4, fn, arg);

	return stop != 0 ? stop : each_below(table, table->root[1], BASE_IP_V6, fn, arg);
}
