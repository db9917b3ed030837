/* Grants by their ends: numbers for the ends, and for each protocol and port a list of the few grants there
 * are for it. */
#include "policy_build_private.h"

#include <errno.h>
#include <stdlib.h>

#define QUICK_A_LINE (POLICY_ALIGN / sizeof(struct policy_quick))

/* ---- numbers ------------------------------------------------------------------------------------- */

/* Where the number of an end is kept; NULL: it is none that a peer or the hub is at its own address. */
static uint16_t *end_slot(struct policy_ends *ends, const struct policy_end *end)
{
	switch ((enum policy_end_kind)end->kind) {
	case POLICY_END_PEER:
		return end->number < ends->n_peers ? &ends->of_peer[end->number] : NULL;
	case POLICY_END_GROUP:
		return &ends->of_group[end->number];
	case POLICY_END_ANY:
		return &ends->any;
	case POLICY_END_HUB:
		return end->prefix.ip.family == BASE_IP_NONE ? &ends->hub : NULL;
	default:
		return NULL;
	}
}

static int number_ends(struct policy_builder *b, unsigned int dimension)
{
	struct policy_ends *ends = &b->ends[dimension];

	ends->n_peers = b->n_peers;
	ends->of_peer = calloc((size_t)b->n_peers + 1, sizeof(*ends->of_peer));
	ends->of_group = calloc((size_t)b->source->n_groups + 1, sizeof(*ends->of_group));
	if (ends->of_peer == NULL || ends->of_group == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->source->n_grants; i++) {
		uint16_t *slot = end_slot(ends, policy__end(b->grants[i], dimension));

		if (slot == NULL || *slot != 0)
			continue;
		if (ends->n == POLICY_ENDS_MAX) {
			b->has_no_lists = true;
			return 0;
		}
		*slot = (uint16_t)++ends->n;
	}
	return 0;
}

int policy__build_ends(struct policy_builder *b)
{
	int err = number_ends(b, POLICY_DIM_FROM);

	if (err == 0)
		err = number_ends(b, POLICY_DIM_TO);
	b->any_proto = calloc(b->sets.n_words + 1, sizeof(*b->any_proto));
	if (err == 0 && b->any_proto == NULL)
		err = -ENOMEM;
	for (uint32_t i = 0; i < b->source->n_grants && err == 0; i++)
		if (b->grants[i]->proto == POLICY_ANY_PROTO)
			b->any_proto[i / 64] |= UINT64_C(1) << i % 64;
	return err;
}

void policy__ends_fini(struct policy_builder *b)
{
	for (unsigned int dimension = POLICY_DIM_FROM; dimension <= POLICY_DIM_TO; dimension++) {
		free(b->ends[dimension].of_peer);
		free(b->ends[dimension].of_group);
	}
	free(b->any_proto);
}

/* Add what is not 0. Too many: then it says so, and nothing else. */
static void add_end(struct policy_place *place, unsigned int dimension, uint16_t number)
{
	uint16_t *ends = place->ends[dimension];

	for (uint32_t i = 0; number != 0; i++) {
		if (i == POLICY_PLACE_ENDS) {
			ends[0] = POLICY_ENDS_MANY;
			return;
		}
		if (ends[i] == POLICY_ENDS_MANY || ends[i] == number)
			return;
		if (ends[i] == 0) {
			ends[i] = number;
			return;
		}
	}
}

void policy__place_ends(const struct policy_builder *b, const struct policy_peer *peer,
                        struct policy_place *place)
{
	for (unsigned int dimension = POLICY_DIM_FROM; dimension <= POLICY_DIM_TO; dimension++) {
		const struct policy_ends *ends = &b->ends[dimension];

		if (peer == NULL) {
			add_end(place, dimension, ends->hub);
			continue;
		}
		add_end(place, dimension, ends->any);
		add_end(place, dimension, ends->of_peer[peer->number]);
		for (uint32_t i = 0; i < peer->n_groups; i++)
			add_end(place, dimension, ends->of_group[peer->groups[i]]);
	}
}

/* ---- lists --------------------------------------------------------------------------------------- */

static uint16_t number_of(struct policy_builder *b, unsigned int dimension, uint32_t rule)
{
	const uint16_t *slot = end_slot(&b->ends[dimension],
	                                policy__end(b->grants[rule], dimension));

	return slot != NULL ? *slot : POLICY_ENDS_ELSEWHERE;
}

static uint32_t count_marked(const struct policy_builder *b)
{
	uint32_t n = 0;

	for (uint32_t w = 0; w < b->sets.n_words; w++)
		n += (uint32_t)__builtin_popcountll(b->sets.bits[w] | b->any_proto[w]);
	return n;
}

/* Room for n, in one cache line if they fit. Returns the first, *list its number and 1; NULL: no memory. */
static struct policy_quick *take_room(struct policy_builder *b, uint32_t n, uint32_t *list)
{
	size_t in_line = b->quick.n % QUICK_A_LINE;
	size_t pad = in_line + n > QUICK_A_LINE && in_line != 0 ? QUICK_A_LINE - in_line : 0;
	struct policy_quick *at = policy__array_add(&b->quick, pad + n, sizeof(*at));

	if (at == NULL)
		return NULL;
	*list = (uint32_t)(b->quick.n - n) + 1;
	return at + pad;
}

int policy__build_list(struct policy_builder *b, uint32_t *list)
{
	uint32_t n = count_marked(b);
	struct policy_quick *at;

	*list = n == 0 ? POLICY_LIST_NONE : POLICY_LIST_SETS;
	if (n == 0 || n > POLICY_LIST_MAX || b->has_no_lists)
		return 0;
	at = take_room(b, n, list);
	if (at == NULL)
		return -ENOMEM;
	for (uint32_t w = 0; w < b->sets.n_words; w++) {
		uint64_t bits = b->sets.bits[w] | b->any_proto[w];

		for (; bits != 0; bits &= bits - 1) {
			uint32_t rule = w * 64 + (uint32_t)__builtin_ctzll(bits);
			const struct policy_grant *grant = b->grants[rule];

			*at++ = (struct policy_quick){
				.from = number_of(b, POLICY_DIM_FROM, rule),
				.to = number_of(b, POLICY_DIM_TO, rule),
				.rule = rule | (grant->n_windows != 0 ? POLICY_QUICK_TIMED : 0),
				.grant = grant->id,
				.left = n--,
			};
		}
	}
	return 0;
}
