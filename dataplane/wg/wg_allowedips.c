/* Changing the cryptokey routing table: the writer's side of the trie. Its shape, and
 * what readers may meet meanwhile, are told in wg_allowedips_private.h. */
#include "wg_allowedips_trie.h"

#include <errno.h>

#define DEPTH_MAX 24U /* nodes from the root to the longest prefix: 128 / 6, and some */

/* Does it lie in the hash? */
static bool is_hashed(const struct wg_allowedips *table, const struct base_prefix *prefix)
{
	return !table->is_ordered && prefix->len == 8 * base_ip_len(prefix->ip.family);
}

/* ---- nodes --------------------------------------------------------------------------------------- */

static unsigned int n_slots(const struct wg_node *node)
{
	return wg__node_n_external(node) + (unsigned int)__builtin_popcountll(node->internal);
}

static struct wg_place place_of(const struct wg_node *node, struct wg_key key, unsigned int len)
{
	unsigned int more = len - node->block.len;
	unsigned int bits = wg__key_bits(key, node->block.len);

	if (more < WG_STRIDE)
		return (struct wg_place){true, 1U << more | bits >> (WG_STRIDE - more)};
	return (struct wg_place){false, bits};
}

/* An empty node that begins at bit number at, with room for so many slots. Returns its ref or 0. */
static uint32_t make_node(struct wg_allowedips *table, struct wg_key key, unsigned int at,
                          unsigned int n)
{
	uint32_t ref = wg__arena_take(table, sizeof(struct wg_node) + n * sizeof(uint32_t));

	if (ref != 0) {
		wg__node(table, ref)->block.key = wg__key_mask(key, at);
		wg__node(table, ref)->block.len = (uint8_t)at;
	}
	return ref;
}

/* Set the bit of a place that is free and put ref into its slot. The node has room, and readers
 * cannot reach it yet. */
static void add_slot(struct wg_node *node, struct wg_place place, uint32_t ref)
{
	unsigned int n = n_slots(node);
	uint32_t *slot;

	*(place.is_internal ? &node->internal : &node->external) |= UINT64_C(1) << place.bit;
	slot = wg__node_slot(node, place);
	memmove(slot + 1, slot, (size_t)(&node->slots[n] - slot) * sizeof(*slot));
	*slot = ref;
}

/* Call for each slot of a node, in the order of the slots. */
typedef void slot_fn(void *arg, struct wg_place place, uint32_t *slot);
static void each_slot(struct wg_node *node, slot_fn *fn, void *arg)
{
	uint32_t *slot = node->slots;

	for (uint64_t bits = node->external; bits != 0; bits &= bits - 1)
		fn(arg, (struct wg_place){false, (unsigned int)__builtin_ctzll(bits)}, slot++);
	for (uint64_t bits = node->internal; bits != 0; bits &= bits - 1)
		fn(arg, (struct wg_place){true, (unsigned int)__builtin_ctzll(bits)}, slot++);
}

static void copy_slot(void *arg, struct wg_place place, uint32_t *slot)
{
	if (*slot != WG_REF_NONE)
		add_slot((struct wg_node *)arg, place, *slot);
}

/* A copy without holes and with room for n_more slots. Returns its ref or 0. */
static uint32_t copy_node(struct wg_allowedips *table, struct wg_node *node, unsigned int n_more)
{
	uint32_t ref = make_node(table, node->block.key, node->block.len, n_slots(node) + n_more);

	if (ref != 0)
		each_slot(node, copy_slot, wg__node(table, ref));
	return ref;
}

/* ---- inserting ----------------------------------------------------------------------------------- */

/* What to put where an item stands alone and depth bits are decided. Returns 0: no memory. */
static uint32_t make_alone(struct wg_allowedips *table, const struct wg_item *item,
                           unsigned int depth)
{
	uint32_t number;
	struct wg_leaf *leaf;

	if (item->len == depth)
		return WG_REF_VALUE | item->value;
	number = wg__arena_take(table, sizeof(*leaf));
	if (number == 0)
		return 0;
	leaf = wg__leaf(table, number);
	leaf->block.key = item->key;
	leaf->block.len = (uint8_t)item->len;
	leaf->ref = WG_REF_VALUE | item->value;
	return WG_REF_LEAF | number;
}

/* What to put into a node at a place for an item. */
static uint32_t make_part(struct wg_allowedips *table, const struct wg_item *item,
                          struct wg_place place, unsigned int at)
{
	return place.is_internal ? WG_REF_VALUE | item->value
	                         : make_alone(table, item, at + WG_STRIDE);
}

/* A copy of the node at *slot with the item in it takes its place. */
static int insert_into_node(struct wg_allowedips *table, uint32_t *slot, const struct wg_item *item,
                            struct wg_place place)
{
	uint32_t old = *slot;
	unsigned int at = wg__node(table, old)->block.len;
	uint32_t fresh = copy_node(table, wg__node(table, old), 1);
	uint32_t part = fresh != 0 ? make_part(table, item, place, at) : 0;

	if (part == 0) {
		if (fresh != 0)
			wg__arena_give_back(table, fresh);
		return -ENOMEM;
	}
	add_slot(wg__node(table, fresh), place, part);
	wg__ref_store(slot, fresh);
	wg__arena_retire(table, old);
	return 0;
}

/* What stands at *slot (its first old_len bits are old_key's) and the item do not begin with the
 * same bits, or end too early, to be one below the other: put both under a new node. */
static int insert_beside(struct wg_allowedips *table, uint32_t *slot, struct wg_key old_key,
                         unsigned int old_len, const struct wg_item *item)
{
	uint32_t old = *slot;
	unsigned int common = wg__key_common(old_key, item->key);
	unsigned int at;
	uint32_t fresh, part, old_part = old;
	struct wg_place place, old_place;

	common = common < old_len ? common : old_len;
	common = common < item->len ? common : item->len;
	at = common / WG_STRIDE * WG_STRIDE;
	fresh = make_node(table, item->key, at, 2);
	if (fresh == 0)
		return -ENOMEM;
	place = place_of(wg__node(table, fresh), item->key, item->len);
	old_place = place_of(wg__node(table, fresh), old_key, old_len);
	part = make_part(table, item, place, at);
	if (part == 0) {
		wg__arena_give_back(table, fresh);
		return -ENOMEM;
	}
	/* A leaf that now ends exactly here, or in the node, needs no block any more. */
	if (old & WG_REF_LEAF && (old_place.is_internal || old_len == at + WG_STRIDE))
		old_part = wg__leaf(table, old)->ref;
	add_slot(wg__node(table, fresh), place, part);
	add_slot(wg__node(table, fresh), old_place, old_part);
	wg__ref_store(slot, fresh);
	if (old_part != old)
		wg__arena_retire(table, old & WG_REF_BLOCK);
	return 0;
}

/* Nothing stands at *slot. */
static int insert_alone(struct wg_allowedips *table, uint32_t *slot, const struct wg_item *item,
                        unsigned int depth)
{
	uint32_t ref = make_alone(table, item, depth);

	if (ref == 0)
		return -ENOMEM;
	wg__ref_store(slot, ref);
	return 0;
}

/* The slot where exactly this prefix stands, or NULL; path[*n_path], path[DEPTH_MAX] long, gets the
 * slots of the blocks above it. */
static uint32_t *find_slot(struct wg_allowedips *table, uint32_t *slot, struct wg_key key,
                           unsigned int len, uint32_t **path, unsigned int *n_path)
{
	unsigned int depth = 0;

	*n_path = 0;
	while (*slot != WG_REF_NONE) {
		struct wg_node *node = wg__node(table, *slot);
		struct wg_place place;

		if (*slot & WG_REF_VALUE)
			return depth == len ? slot : NULL;
		if (node->block.len > len || wg__key_common(node->block.key, key) < node->block.len)
			return NULL;
		path[(*n_path)++] = slot;
		if (*slot & WG_REF_LEAF)
			return node->block.len == len ? &wg__leaf(table, *slot)->ref : NULL;
		place = place_of(node, key, len);
		depth = node->block.len + WG_STRIDE;
		if (!wg__node_has(node, place))
			return NULL;
		slot = wg__node_slot(node, place);
		if (place.is_internal)
			return slot;
	}
	return NULL;
}

/* The item's prefix has no holder. */
static int insert_new(struct wg_allowedips *table, uint32_t *slot, const struct wg_item *item)
{
	unsigned int depth = 0;

	for (;;) {
		struct wg_node *node = wg__node(table, *slot);
		struct wg_place place;
		uint32_t *next;

		if (*slot == WG_REF_NONE)
			return insert_alone(table, slot, item, depth);
		if (*slot & WG_REF_VALUE)
			return insert_beside(table, slot, item->key, depth, item);
		if (*slot & WG_REF_LEAF || node->block.len > item->len
		    || wg__key_common(node->block.key, item->key) < node->block.len)
			return insert_beside(table, slot, node->block.key, node->block.len, item);
		place = place_of(node, item->key, item->len);
		if (!wg__node_has(node, place))
			return insert_into_node(table, slot, item, place);
		next = wg__node_slot(node, place);
		if (place.is_internal) {
			wg__ref_store(next, WG_REF_VALUE | item->value);
			return 0;
		}
		depth = node->block.len + WG_STRIDE;
		slot = next;
	}
}

static int insert(struct wg_allowedips *table, unsigned int root, const struct wg_item *item,
                  uint32_t *holder)
{
	uint32_t *path[DEPTH_MAX];
	unsigned int n_path;
	uint32_t *slot = find_slot(table, &table->root[root], item->key, item->len, path, &n_path);

	*holder = WG_ALLOWEDIPS_NONE;
	if (!slot)
		return insert_new(table, &table->root[root], item);
	if (*slot != WG_REF_NONE)
		*holder = *slot & WG_ALLOWEDIPS_VALUE_MAX;
	wg__ref_store(slot, WG_REF_VALUE | item->value);
	return 0;
}

int wg_allowedips_insert(struct wg_allowedips *table, const struct base_prefix *prefix,
                         uint32_t value, uint32_t *moved_from)
{
	struct wg_item item;
	unsigned int root;
	uint32_t holder;
	int rc = wg__item_of(prefix, value, &item, &root);

	wg__arena_reclaim(table);
	if (rc == 0)
		rc = is_hashed(table, prefix)
		             ? wg__hosts_insert(table, root, item.key, value, &holder)
		             : insert(table, root, &item, &holder);
	if (rc < 0)
		return rc;
	if (holder == WG_ALLOWEDIPS_NONE)
		table->count++;
	if (moved_from)
		*moved_from = holder != value ? holder : WG_ALLOWEDIPS_NONE;
	wg__arena_reclaim(table);
	return 0;
}

uint32_t wg_allowedips_holder(struct wg_allowedips *table, const struct base_prefix *prefix)
{
	uint32_t *path[DEPTH_MAX];
	struct wg_item item;
	unsigned int n_path;
	unsigned int root;
	const uint32_t *slot;

	if (wg__item_of(prefix, 0, &item, &root) < 0)
		return WG_ALLOWEDIPS_NONE;
	slot = find_slot(table, &table->root[root], item.key, item.len, path, &n_path);
	return slot && *slot != WG_REF_NONE ? *slot & WG_ALLOWEDIPS_VALUE_MAX : WG_ALLOWEDIPS_NONE;
}

/* ---- removing ------------------------------------------------------------------------------------ */

struct survey {
	unsigned int n;
	struct wg_place place; /* of the last */
	uint32_t ref;
};

static void survey_slot(void *arg, struct wg_place place, uint32_t *slot)
{
	struct survey *survey = (struct survey *)arg;

	if (*slot == WG_REF_NONE)
		return;
	survey->n++;
	survey->place = place;
	survey->ref = *slot;
}

/* What can stand in the place of a node of which one slot is left. Returns 0: no memory. depth: bits
 * decided where the node stands. */
static uint32_t make_rest(struct wg_allowedips *table, const struct wg_node *node,
                          const struct survey *survey, unsigned int depth)
{
	struct wg_item item;

	if (!(survey->ref & WG_REF_VALUE))
		return survey->ref;
	item = wg__item_at(node, survey->place, survey->ref);
	return make_alone(table, &item, depth);
}

/* Let what stands at *slot be as small as it can: no node with holes, none with one slot. Without
 * memory it stays, holes and all. */
static void tidy(struct wg_allowedips *table, uint32_t *slot, unsigned int depth)
{
	uint32_t old = *slot;
	struct survey survey = {0};
	struct wg_node *node = wg__node(table, old);
	uint32_t rest = WG_REF_NONE;

	if (old == WG_REF_NONE || old & WG_REF_VALUE)
		return;
	if (old & WG_REF_LEAF) {
		if (wg__leaf(table, old)->ref != WG_REF_NONE)
			return;
	} else {
		each_slot(node, survey_slot, &survey);
		if (survey.n == n_slots(node) && survey.n > 1)
			return;
		if (survey.n == 1)
			rest = make_rest(table, node, &survey, depth);
		else if (survey.n > 1)
			rest = copy_node(table, node, 0);
		if (survey.n != 0 && rest == WG_REF_NONE)
			return;
	}
	wg__ref_store(slot, rest);
	wg__arena_retire(table, old & WG_REF_BLOCK);
}

static unsigned int depth_of(const struct wg_allowedips *table, uint32_t *const *path,
                             unsigned int i)
{
	return i == 0 ? 0 : wg__node(table, *path[i - 1])->block.len + WG_STRIDE;
}

static int remove_item(struct wg_allowedips *table, unsigned int root, const struct wg_item *item)
{
	uint32_t *path[DEPTH_MAX];
	unsigned int n_path;
	uint32_t *slot = find_slot(table, &table->root[root], item->key, item->len, path, &n_path);

	if (!slot || *slot != (WG_REF_VALUE | item->value))
		return -ENOENT;
	wg__ref_store(slot, WG_REF_NONE);
	/* Upwards: a node that became one slot, or none, changes its parent's slot. */
	for (unsigned int i = n_path; i-- > 0;)
		tidy(table, path[i], depth_of(table, path, i));
	return 0;
}

int wg_allowedips_remove(struct wg_allowedips *table, const struct base_prefix *prefix,
                         uint32_t value)
{
	struct wg_item item;
	unsigned int root;

	if (wg__item_of(prefix, value, &item, &root) < 0)
		return -ENOENT;
	wg__arena_reclaim(table);
	if ((is_hashed(table, prefix) ? wg__hosts_remove(table, root, item.key, value)
	                              : remove_item(table, root, &item))
	    < 0)
		return -ENOENT;
	table->count--;
	wg__arena_reclaim(table);
	return 0;
}

struct removal {
	struct wg_allowedips *table;
	uint32_t value;
	unsigned int depth; /* bits decided before a slot */
	size_t n;
};

static void remove_below(void *arg, struct wg_place place, uint32_t *slot);

/* Recursion is bounded: each level is at least 6 bits longer, so 23 at most. */
static void remove_in_node(struct removal *removal, struct wg_node *node)
{
	struct removal below = *removal;

	below.depth = node->block.len + WG_STRIDE;
	each_slot(node, remove_below, &below);
	removal->n = below.n;
}

static void remove_below(void *arg, struct wg_place place, uint32_t *slot)
{
	struct removal *removal = (struct removal *)arg;
	struct wg_allowedips *table = removal->table;
	uint32_t ref = *slot;

	if (ref == (WG_REF_VALUE | removal->value)) {
		wg__ref_store(slot, WG_REF_NONE);
		removal->n++;
	}
	if (ref == WG_REF_NONE || ref & WG_REF_VALUE)
		return;
	if (ref & WG_REF_LEAF)
		remove_below(removal, place, &wg__leaf(table, ref)->ref);
	else
		remove_in_node(removal, wg__node(table, ref));
	tidy(table, slot, removal->depth);
}

size_t wg_allowedips_remove_value(struct wg_allowedips *table, uint32_t value)
{
	struct removal removal = {.table = table, .value = value};

	if (value > WG_ALLOWEDIPS_VALUE_MAX)
		return 0;
	wg__arena_reclaim(table);
	for (unsigned int root = 0; root < WG_N_ROOTS; root++) {
		remove_below(&removal, (struct wg_place){0}, &table->root[root]);
		removal.n += wg__hosts_remove_value(table, root, value);
	}
	table->count -= removal.n;
	wg__arena_reclaim(table);
	return removal.n;
}
