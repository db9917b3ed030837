/* Sets of grants, each stored once, and sweeps that go through ranges from edge to edge. */
#include "policy_build_private.h"

#include <errno.h>
#include <stdlib.h>

#define SLOTS_MIN  1024U
#define LINE_WORDS (POLICY_ALIGN / sizeof(uint64_t))

void *policy__array_add(struct policy_array *array, size_t n, size_t element)
{
	size_t room = array->room;
	uint8_t *at;

	if (n > POLICY_TABLE_LEN_MAX / element - array->n)
		return NULL;
	while (array->n + n > room)
		room = room == 0 ? 256 : room * 2;
	if (room != array->room) {
		void *grown = realloc(array->data, room * element);

		if (grown == NULL)
			return NULL;
		array->data = grown;
		array->room = room;
	}
	if (n == 0)
		return array->data;
	at = (uint8_t *)array->data + array->n * element;
	memset(at, 0, n * element);
	array->n += n;
	return at;
}

static int no_room(const struct policy_array *array)
{
	return array->n > POLICY_TABLE_LEN_MAX / sizeof(uint64_t) / 2 ? -E2BIG : -ENOMEM;
}

int policy__sets_init(struct policy_sets *sets, uint32_t n_grants)
{
	sets->n_grants = n_grants;
	sets->n_words = (n_grants + 63) / 64;
	sets->n_sums = (sets->n_words + 63) / 64;
	sets->n_slots = SLOTS_MIN;
	sets->bits = calloc(sets->n_words + 1, sizeof(*sets->bits));
	sets->counts = calloc(n_grants + 1, sizeof(*sets->counts));
	sets->slots = calloc(sets->n_slots, sizeof(*sets->slots));
	if (sets->bits == NULL || sets->counts == NULL || sets->slots == NULL)
		return -ENOMEM;
	/* set 0, the empty one, and a word more so that no other has number 0 */
	if (policy__array_add(&sets->arena, sets->n_sums + 1, sizeof(uint64_t)) == NULL)
		return -ENOMEM;
	return 0;
}

void policy__sets_fini(struct policy_sets *sets)
{
	free(sets->bits);
	free(sets->counts);
	free(sets->slots);
	free(sets->arena.data);
}

static uint64_t *arena_at(const struct policy_sets *sets, size_t at)
{
	return (uint64_t *)sets->arena.data + at;
}

static size_t set_words(const struct policy_sets *sets, const uint64_t *set)
{
	size_t n = sets->n_sums;

	for (uint32_t i = 0; i < sets->n_sums; i++)
		n += (size_t)__builtin_popcountll(set[i]);
	return n;
}

static uint32_t set_hash(const uint64_t *set, size_t n)
{
	uint64_t hash = n;

	for (size_t i = 0; i < n; i++) {
		hash = (hash ^ set[i]) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 29;
	}
	return (uint32_t)(hash >> 32);
}

/* The slot of a set with these words, or the free one where it belongs. */
static uint32_t *find_slot(const struct policy_sets *sets, const uint64_t *set, size_t n)
{
	uint32_t i = set_hash(set, n) & (sets->n_slots - 1);

	for (;; i = (i + 1) & (sets->n_slots - 1)) {
		const uint64_t *other = arena_at(sets, sets->slots[i]);

		/* equal summaries make equal lengths */
		if (sets->slots[i] == 0
		    || (memcmp(other, set, sets->n_sums * sizeof(*set)) == 0
		        && memcmp(other, set, n * sizeof(*set)) == 0))
			return &sets->slots[i];
	}
}

static int grow_slots(struct policy_sets *sets)
{
	uint32_t *old = sets->slots;
	uint32_t n_old = sets->n_slots;
	uint32_t *slots = calloc((size_t)n_old * 2, sizeof(*slots));

	if (slots == NULL)
		return -ENOMEM;
	sets->slots = slots;
	sets->n_slots = n_old * 2;
	for (uint32_t i = 0; i < n_old; i++) {
		const uint64_t *set = arena_at(sets, old[i]);

		if (old[i] != 0)
			*find_slot(sets, set, set_words(sets, set)) = old[i];
	}
	free(old);
	return 0;
}

/* Write the marks as a set to out[n_sums + n_words]. Returns the number of its words. */
static size_t write_set(const struct policy_sets *sets, uint64_t *out)
{
	size_t n = sets->n_sums;

	for (uint32_t w = 0; w < sets->n_words; w++) {
		if (sets->bits[w] == 0)
			continue;
		out[w / 64] |= UINT64_C(1) << w % 64;
		out[n++] = sets->bits[w];
	}
	return n;
}

int policy__sets_store(struct policy_sets *sets, uint32_t *set)
{
	size_t room = LINE_WORDS + sets->n_sums + sets->n_words;
	size_t at = sets->arena.n;
	uint64_t *out = policy__array_add(&sets->arena, room, sizeof(uint64_t));
	uint32_t *slot;
	size_t n;

	*set = 0;
	if (out == NULL)
		return no_room(&sets->arena);
	n = write_set(sets, out);
	if (n == sets->n_sums) {
		sets->arena.n = at;
		return 0;
	}
	slot = find_slot(sets, out, n);
	if (*slot != 0) {
		*set = *slot;
		sets->arena.n = at;
		return 0;
	}
	if (n <= LINE_WORDS && at % LINE_WORDS + n > LINE_WORDS) { /* not across two lines */
		size_t pad = LINE_WORDS - at % LINE_WORDS;

		memmove(out + pad, out, n * sizeof(*out));
		memset(out, 0, pad * sizeof(*out));
		at += pad;
	}
	sets->arena.n = at + n;
	*slot = *set = (uint32_t)at;
	sets->n_used++;
	return sets->n_used > sets->n_slots / 2 ? grow_slots(sets) : 0;
}

int policy__sets_take(struct policy_sets *sets, uint32_t *set)
{
	int err = policy__sets_store(sets, set);

	memset(sets->bits, 0, sets->n_words * sizeof(*sets->bits));
	return err;
}

static int edge_compare(const void *a, const void *b)
{
	const struct policy_edge *x = a;
	const struct policy_edge *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	if (x->grant != y->grant)
		return x->grant < y->grant ? -1 : 1;
	return (x->change > y->change) - (x->change < y->change);
}

void policy__sweep_sort(struct policy_edge *edges, size_t n)
{
	if (n != 0)
		qsort(edges, n, sizeof(*edges), edge_compare);
}

policy_position policy__sweep_step(struct policy_sets *sets, const struct policy_edge *edges,
                                   size_t n, size_t *next)
{
	policy_position at = edges[*next].at;

	for (; *next < n && edges[*next].at == at; (*next)++) {
		uint32_t grant = edges[*next].grant;
		uint64_t bit = UINT64_C(1) << grant % 64;

		/* an end before a beginning at the same position: the count passes below zero */
		sets->counts[grant] += (uint32_t)edges[*next].change;
		if (sets->counts[grant] != 0)
			sets->bits[grant / 64] |= bit;
		else
			sets->bits[grant / 64] &= ~bit;
	}
	return at;
}
