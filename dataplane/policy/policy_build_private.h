/* What the files of the compiler share:
 *
 *   policy_build.c        the order of things: check, sort, sets of peers, blob
 *   policy_build_check.c  is the source what policy_build.h asks for?
 *   policy_build_sets.c   sets of grants, each stored once; sweeps over ranges
 *   policy_build_ends.c   ends of grants by number; lists of the grants of a port
 *   policy_build_nets.c   address ranges behind a peer */
#ifndef POLICY_BUILD_PRIVATE_H
#define POLICY_BUILD_PRIVATE_H

#include "policy_build.h"
#include "policy_private.h"

/* An array that grows. */
struct policy_array {
	void *data;
	size_t n;
	size_t room;
};

/* Append n elements, of zeros. Returns the first or NULL: no memory, or longer than a table may be. */
void *policy__array_add(struct policy_array *array, size_t n, size_t element);

/* ---- sets ---------------------------------------------------------------------------------------- */

/* One bit map under construction, and all sets so far. */
struct policy_sets {
	uint32_t n_grants;
	uint32_t n_words;
	uint32_t n_sums;
	uint64_t *bits;            /* [n_words] */
	uint32_t *counts;          /* [n_grants], for sweeps: how many open ranges have the grant */
	struct policy_array arena; /* of uint64_t */
	uint32_t *slots;           /* hash of the sets in the arena, 0 = free: set 0 is not in it */
	uint32_t n_slots;          /* power of 2 */
	uint32_t n_used;
};

int policy__sets_init(struct policy_sets *sets, uint32_t n_grants);
void policy__sets_fini(struct policy_sets *sets);

static inline void policy__sets_mark(struct policy_sets *sets, uint32_t grant)
{
	sets->bits[grant / 64] |= UINT64_C(1) << grant % 64;
}

/* The set of the grants marked; the marks stay. Returns 0 or -ENOMEM, -E2BIG. */
int policy__sets_store(struct policy_sets *sets, uint32_t *set);

/* The same, and all marks are wiped off. */
int policy__sets_take(struct policy_sets *sets, uint32_t *set);

/* ---- sweeps -------------------------------------------------------------------------------------- */

typedef unsigned __int128 policy_position;

/* At this position a range of the grant begins (+1) or is over (-1). */
struct policy_edge {
	policy_position at;
	uint32_t grant;
	int32_t change;
};

/* Sort the edges. */
void policy__sweep_sort(struct policy_edge *edges, size_t n);

/* Take over all edges at the position of edge *next into the marks, and move *next behind them.
 * Returns the position. Marks and counts are all zero before the first and after the last one. */
policy_position policy__sweep_step(struct policy_sets *sets, const struct policy_edge *edges,
                                   size_t n, size_t *next);

/* ---- what is built ------------------------------------------------------------------------------- */

/* Numbers of rules by key, as lists behind each other: those of key k are
 * rules[first[k]] .. rules[first[k + 1] - 1], ascending. */
struct policy_lists {
	uint32_t n_keys;
	uint32_t *first; /* [n_keys + 1] */
	uint32_t *rules;
};

/* Numbers of the ends of grants in one dimension; 0 = it is no grant's. */
struct policy_ends {
	uint32_t n;
	uint32_t n_peers;
	uint16_t *of_peer;  /* [n_peers] */
	uint16_t *of_group; /* [n_groups] */
	uint16_t any;
	uint16_t hub; /* at all its addresses */
};

struct policy_builder {
	const struct policy_source *source;
	const struct policy_grant **grants; /* [n_grants], in the order of rules */
	uint32_t n_peers;                   /* highest number + 1 */
	struct policy_sets sets;
	struct policy_lists of_peer[2];  /* [dimension]: by peer number */
	struct policy_lists of_group[2]; /* by group */
	struct policy_lists of_net[2]; /* by gateway; the hub at n_peers, with an address or not */
	struct policy_lists of_behind[2]; /* key 0: of all gateways of a family */
	struct policy_array places;       /* struct policy_place */
	struct policy_array nets;         /* struct policy_net */
	struct policy_array windows;      /* struct policy_span */
	struct policy_array pages;        /* struct policy_page */
	struct policy_array quick;        /* struct policy_quick */
	struct policy_ends ends[2];
	uint64_t *any_proto;        /* [n_words], bits of rules for any protocol */
	bool has_no_lists;          /* there are more ends than numbers */
	struct policy_array edges;  /* struct policy_edge: scratch */
	struct policy_array bounds; /* policy_position: scratch */
	uint32_t port_page[POLICY_N_PORTED][POLICY_N_PAGES];
	struct policy_port icmp;
	struct policy_port other;
};

/* Returns 0 or -EINVAL and *error. */
int policy__build_check(const struct policy_source *source, struct policy_build_error *error);

/* Number the ends; what b->ends and b->any_proto hold is freed by fini. Returns 0 or -ENOMEM. */
int policy__build_ends(struct policy_builder *b);
void policy__ends_fini(struct policy_builder *b);

/* Fill place->ends. peer: NULL for the hub. */
void policy__place_ends(const struct policy_builder *b, const struct policy_peer *peer,
                        struct policy_place *place);

/* The list of the rules that are marked and of those for any protocol, as struct policy_port has it. Returns 0
 * or -ENOMEM. */
int policy__build_list(struct policy_builder *b, uint32_t *list);

/* Ranges of addresses behind place number key (n_peers: the hub), and its own addresses beyond the
 * first of each family, into nets; *first as policy_place.nets. peer: NULL for the hub. own: what
 * the place has at its own addresses. Returns 0, -ENOMEM, -E2BIG. */
int policy__build_nets(struct policy_builder *b, uint32_t key, const struct policy_peer *peer,
                       const struct policy_place *own, uint32_t *first);

/* The end of a grant in this dimension (from or to). */
static inline const struct policy_end *policy__end(const struct policy_grant *grant,
                                                   unsigned int dimension)
{
	return dimension == POLICY_DIM_FROM ? &grant->from : &grant->to;
}

#endif
