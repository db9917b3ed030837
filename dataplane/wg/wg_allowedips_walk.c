/* Walking the cryptokey routing table: the whole at once, what overlaps a prefix, or in slices that
 * changes may come between. By the writer, in its thread. */
#include "wg_allowedips_trie.h"

struct each {
	const struct wg_allowedips *table;
	wg_allowedips_fn *fn;
	void *arg;
	uint8_t family;
	struct wg_item within; /* only what overlaps this prefix; of no length: everything */
	struct wg_item after;  /* only what comes behind this prefix, if is_resumed */
	bool is_resumed;
};

static bool is_less(struct wg_key a, struct wg_key b)
{
	return a.high != b.high ? a.high < b.high : a.low < b.low;
}

/* Is the prefix, or anything below it, wanted? */
static bool is_wanted(const struct each *each, struct wg_key key, unsigned int len)
{
	unsigned int shorter = len < each->within.len ? len : each->within.len;

	/* All that is below it begins with its bits: it comes before what does so too, or is less. */
	if (each->is_resumed && is_less(key, each->after.key)
	    && wg__key_common(key, each->after.key) < len)
		return false;
	return wg__key_common(key, each->within.key) >= shorter;
}

/* The prefix itself was told by the part of the walk before. */
static bool is_told(const struct each *each, struct wg_key key, unsigned int len)
{
	return each->is_resumed
	       && (is_less(key, each->after.key)
	           || (wg__key_equal(key, each->after.key) && len <= each->after.len));
}

static int tell(void *arg, struct wg_key key, unsigned int len, uint32_t value)
{
	const struct each *each = (const struct each *)arg;
	struct base_prefix prefix = {.ip.family = each->family, .len = (uint8_t)len};

	if (is_told(each, key, len))
		return 0;
	if (each->family == BASE_IP_V4) {
		base_store_be32(prefix.ip.bytes, (uint32_t)(key.high >> 32));
	} else {
		base_store_be64(prefix.ip.bytes, key.high);
		base_store_be64(prefix.ip.bytes + 8, key.low);
	}
	return each->fn(each->arg, &prefix, value);
}

static int tell_host(void *arg, struct wg_key key, uint32_t value)
{
	const struct each *each = (const struct each *)arg;

	return tell(arg, key, each->family == BASE_IP_V4 ? 32 : 128, value);
}

static int each_below(struct each *each, uint32_t ref);

/* The node's own prefixes that begin with heap number i, and what is below: a prefix before those it
 * contains, lower before higher. */
static int each_in_node(struct each *each, struct wg_node *node, unsigned int i)
{
	struct wg_place place = {i < 64, i < 64 ? i : i - 64};
	uint32_t ref = wg__node_has(node, place) ? *wg__node_slot(node, place) : WG_REF_NONE;
	struct wg_item item;
	int stop;

	if (node->block.len + wg__place_bits(place) > 128) /* a node at the end of an address */
		return 0;
	item = wg__item_at(node, place, ref);
	if (!is_wanted(each, item.key, item.len))
		return 0;
	if (ref & WG_REF_VALUE)
		stop = tell(each, item.key, item.len, item.value);
	else
		stop = each_below(each, ref);
	if (i >= 64 || stop != 0)
		return stop;
	stop = each_in_node(each, node, 2 * i);
	return stop != 0 ? stop : each_in_node(each, node, 2 * i + 1);
}

static int each_below(struct each *each, uint32_t ref)
{
	if (ref == WG_REF_NONE)
		return 0;
	if (!(ref & WG_REF_VALUE)
	    && !is_wanted(each, wg__node(each->table, ref)->block.key,
	                  wg__node(each->table, ref)->block.len))
		return 0;
	if (ref & WG_REF_VALUE) /* of no bits, at the root */
		return tell(each, (struct wg_key){0}, 0, ref & WG_ALLOWEDIPS_VALUE_MAX);
	if (ref & WG_REF_LEAF) {
		const struct wg_leaf *leaf = wg__leaf(each->table, ref);

		return leaf->ref == WG_REF_NONE ? 0
		                                : tell(each, leaf->block.key, leaf->block.len,
		                                       leaf->ref & WG_ALLOWEDIPS_VALUE_MAX);
	}
	return each_in_node(each, wg__node(each->table, ref), 1);
}

static const uint8_t families[WG_N_ROOTS] = {BASE_IP_V4, BASE_IP_V6};

int wg_allowedips_each(const struct wg_allowedips *table, wg_allowedips_fn *fn, void *arg)
{
	struct each each = {.table = table, .fn = fn, .arg = arg};
	int stop = 0;

	for (unsigned int root = 0; root < WG_N_ROOTS && stop == 0; root++) {
		each.family = families[root];
		stop = each_below(&each, table->root[root]);
		if (stop == 0)
			stop = wg__hosts_each(table->hosts[root], tell_host, &each);
	}
	return stop;
}

int wg_allowedips_each_overlapping(const struct wg_allowedips *table,
                                   const struct base_prefix *prefix, wg_allowedips_fn *fn,
                                   void *arg)
{
	struct each each = {.table = table, .fn = fn, .arg = arg, .family = prefix->ip.family};
	unsigned int root;

	if (wg__item_of(prefix, 0, &each.within, &root) < 0)
		return 0;
	return each_below(&each, table->root[root]);
}

/* ---- in slices ----------------------------------------------------------------------------------- */

/* Stages of a walk: for each family the trie, then the hash. */
#define N_STAGES (2 * WG_N_ROOTS)

struct slice {
	struct each each;
	struct wg_allowedips_cursor *cursor;
	uint32_t budget;
	wg_allowedips_fn *fn;
	void *arg;
};

/* Pass one on, and remember it. */
static int tell_slice(void *arg, const struct base_prefix *prefix, uint32_t value)
{
	struct slice *slice = (struct slice *)arg;
	struct wg_allowedips_cursor *cursor = slice->cursor;

	memcpy(&cursor->last, prefix, sizeof(cursor->last));
	cursor->is_begun = true;
	slice->budget--;
	return slice->fn(slice->arg, prefix, value) != 0 || slice->budget == 0;
}

/* Returns 1 when there may be more in this trie. */
static int walk_trie(struct slice *slice, unsigned int root)
{
	struct each *each = &slice->each;
	const struct wg_allowedips_cursor *cursor = slice->cursor;

	each->is_resumed = cursor->is_begun;
	if (cursor->is_begun && wg__item_of(&cursor->last, 0, &each->after, &root) < 0)
		return -EINVAL;
	return each_below(each, each->table->root[root]);
}

/* Returns 1 when there may be more in this hash, -ESTALE when it was replaced meanwhile. */
static int walk_hosts(struct slice *slice, unsigned int root)
{
	struct wg_allowedips_cursor *cursor = slice->cursor;

	slice->each.is_resumed = false;
	if (cursor->slot != 0 && cursor->n_moves != slice->each.table->n_moves[root])
		return -ESTALE;
	cursor->n_moves = slice->each.table->n_moves[root];
	return wg__hosts_walk(slice->each.table->hosts[root], &cursor->slot, slice->budget,
	                      tell_host, &slice->each);
}

int wg_allowedips_walk(const struct wg_allowedips *table, struct wg_allowedips_cursor *cursor,
                       uint32_t budget, wg_allowedips_fn *fn, void *arg)
{
	struct slice slice = {
		.each = {.table = table, .fn = tell_slice, .arg = &slice},
		.cursor = cursor,
		.budget = budget,
		.fn = fn,
		.arg = arg,
	};

	while (cursor->stage < N_STAGES) {
		unsigned int root = cursor->stage / 2;
		int more;

		slice.each.family = families[root];
		more = cursor->stage % 2 == 0 ? walk_trie(&slice, root) : walk_hosts(&slice, root);
		if (more != 0)
			return more;
		cursor->stage++;
		cursor->is_begun = false;
		cursor->slot = 0;
	}
	return 0;
}
