/* Reading the nodes of the trie: what changing it (wg_allowedips.c) and walking it
 * (wg_allowedips_walk.c) share. Private to the cryptokey routing table. */
#ifndef WG_ALLOWEDIPS_TRIE_H
#define WG_ALLOWEDIPS_TRIE_H

#include "wg_allowedips_private.h"

#include <errno.h>

static inline struct wg_key wg__key_mask(struct wg_key key, unsigned int len)
{
	if (len == 0)
		return (struct wg_key){0};
	if (len <= 64)
		return (struct wg_key){.high = key.high & UINT64_MAX << (64 - len)};
	return (struct wg_key){.high = key.high, .low = key.low & UINT64_MAX << (128 - len)};
}

/* A prefix and who holds it. */
struct wg_item {
	struct wg_key key; /* zero behind len */
	unsigned int len;
	uint32_t value;
};

/* Returns -EINVAL for what is no prefix. */
static inline int wg__item_of(const struct base_prefix *prefix, uint32_t value,
                              struct wg_item *item, unsigned int *root)
{
	if (prefix->ip.family == BASE_IP_V4 && prefix->len <= 32) {
		item->key = wg__key_v4(prefix->ip.bytes);
		*root = WG_ROOT_V4;
	} else if (prefix->ip.family == BASE_IP_V6 && prefix->len <= 128) {
		item->key = wg__key_v6(prefix->ip.bytes);
		*root = WG_ROOT_V6;
	} else {
		return -EINVAL;
	}
	if (value > WG_ALLOWEDIPS_VALUE_MAX)
		return -EINVAL;
	item->key = wg__key_mask(item->key, prefix->len);
	item->len = prefix->len;
	item->value = value;
	return 0;
}

static inline unsigned int wg__node_n_external(const struct wg_node *node)
{
	return (unsigned int)__builtin_popcountll(node->external);
}

/* Where an item that begins with the node's bits belongs in it. */
struct wg_place {
	bool is_internal;
	unsigned int bit;
};

static inline bool wg__node_has(const struct wg_node *node, struct wg_place place)
{
	return ((place.is_internal ? node->internal : node->external) >> place.bit & 1) != 0;
}

/* The slot of a place whose bit is set. */
static inline uint32_t *wg__node_slot(struct wg_node *node, struct wg_place place)
{
	uint64_t bits = place.is_internal ? node->internal : node->external;
	uint64_t below = (UINT64_C(1) << place.bit) - 1;
	unsigned int at = place.is_internal ? wg__node_n_external(node) : 0;

	return &node->slots[at + (unsigned int)__builtin_popcountll(bits & below)];
}

/* Bits that a place stands for beyond those of its node. */
static inline unsigned int wg__place_bits(struct wg_place place)
{
	return place.is_internal ? 31U - (unsigned int)__builtin_clz(place.bit) : WG_STRIDE;
}

/* The prefix that a node's slot with a value stands for. */
static inline struct wg_item wg__item_at(const struct wg_node *node, struct wg_place place,
                                         uint32_t ref)
{
	unsigned int more = wg__place_bits(place);
	unsigned int len = node->block.len + more;
	uint64_t bits = place.is_internal ? place.bit ^ 1U << more : place.bit;
	struct wg_item item = {node->block.key, len, ref & WG_ALLOWEDIPS_VALUE_MAX};

	if (len == 0)
		return item;
	if (len <= 64) {
		item.key.high |= bits << (64 - len);
	} else {
		item.key.low |= bits << (128 - len);
		item.key.high |= len < 64 + more ? bits >> (len - 64) : 0;
	}
	return item;
}

#endif
