/* One decision: the first grant that is for sender, receiver, protocol and port, and is open now. Of a port with
 * few grants it is in the port's list, and fits by its ends; else it is in the intersection of three sets. */
#include "policy_private.h"

#include <emmintrin.h>

/* In a run of nets, the one that contains the address, or NULL. */
static const struct policy_net *find_net(const struct policy_net *run,
                                         struct policy_address address)
{
	uint32_t low = 0;
	uint32_t high = run->left;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (policy__address_less(run[middle].last, address))
			low = middle + 1;
		else
			high = middle;
	}
	if (low == run->left || policy__address_less(address, run[low].first))
		return NULL;
	return &run[low];
}

static bool is_own(const struct policy_place *place, struct policy_address address)
{
	if (policy_address_is_v4(address))
		return place->v4 != 0 && (uint32_t)address.low == place->v4;
	return (address.high | address.low) != 0 && policy_address_equal(place->v6, address);
}

bool policy__find(const struct policy_table *table, uint32_t peer, struct policy_address address,
                  struct policy_found *found)
{
	bool is_hub = peer == POLICY_HUB;
	const struct policy_place *place;

	if (peer >= table->n_peers && !is_hub)
		return false;
	place = &policy__peers(table)[is_hub ? table->n_peers : peer];
	*found = (struct policy_found){.from = place->from, .to = place->to, .ends = place->ends};
	if (!is_hub && is_own(place, address)) {
		found->any = ~UINT64_C(0);
		return true;
	}
	if (place->nets != 0) {
		const struct policy_net *net = find_net(&policy__nets(table)[place->nets - 1],
		                                        address);

		if (net != NULL) {
			*found = (struct policy_found){net->from, net->to,
			                               -(uint64_t)(net->is_own != 0), NULL};
			return true;
		}
	}
	return is_hub;
}

bool policy__rule_is_open(const struct policy_table *table, const struct policy_rule *rule,
                          uint64_t now_s, uint64_t *until_s)
{
	const struct policy_span *spans = &policy__windows(table)[rule->windows];
	uint32_t low = 0;
	uint32_t high = rule->n_windows;

	*until_s = UINT64_MAX;
	if (rule->n_windows == 0)
		return true;
	while (low < high) { /* the first that has not ended */
		uint32_t middle = low + (high - low) / 2;

		if (spans[middle].until_s <= now_s)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == rule->n_windows)
		return false;
	if (spans[low].from_s > now_s) {
		*until_s = spans[low].from_s;
		return false;
	}
	*until_s = spans[low].until_s;
	return true;
}

/* What of the table every decision reads. */
struct ground {
	const struct policy_table *table;
	const uint64_t *arena;
	const uint64_t
		*any[POLICY_N_DIMS]; /* grants in every set of a dimension: sums, then words */
	uint32_t n_sums;
};

static inline struct ground ground_of(const struct policy_table *table)
{
	struct ground g = {.table = table, .arena = policy__arena(table), .n_sums = table->n_sums};

	for (unsigned int dimension = 0; dimension < POLICY_N_DIMS; dimension++)
		g.any[dimension] = policy__any(table, dimension);
	return g;
}

/* One of the three sets during a walk through their summaries. */
struct cursor {
	const uint64_t *words; /* next of the set's own that belongs to the summary word */
	const uint64_t *sums;  /* of the set */
	uint64_t any; /* all ones: the grants that are in every set of this dimension count */
};

static inline struct cursor cursor_make(const struct ground *g, uint32_t set, uint64_t any)
{
	const uint64_t *sums = g->arena + set;

	return (struct cursor){.words = sums + g->n_sums, .sums = sums, .any = any};
}

/* Where word 64 * i + bit of the bit map is, or would be. policy_table_check() has made sure that there is
 * one behind every set. */
static inline const uint64_t *cursor_at(const struct cursor *c, uint32_t i, unsigned int bit)
{
	uint64_t below = c->sums[i] & ((UINT64_C(1) << bit) - 1);

	return &c->words[__builtin_popcountll(below)];
}

/* Reads one word of the arena in any case. */
static inline uint64_t cursor_word(const struct ground *g, const struct cursor *c,
                                   unsigned int dimension, uint32_t i, unsigned int bit)
{
	uint64_t own = *cursor_at(c, i, bit) & -(c->sums[i] >> bit & 1);

	return own | (g->any[dimension][g->n_sums + i * 64 + bit] & c->any);
}

static inline uint64_t cursor_sum(const struct ground *g, const struct cursor *c,
                                  unsigned int dimension, uint32_t i)
{
	return c->sums[i] | (g->any[dimension][i] & c->any);
}

/* Go on to the next word of the summary, if steps is all ones and not zero. */
static inline void cursor_advance(struct cursor *c, uint32_t i, uint64_t steps)
{
	c->words += (uint64_t)__builtin_popcountll(c->sums[i]) & steps;
}

/* The first open one of the rules in bits, which is word number word of the bit map. */
static bool first_open(const struct policy_table *table, uint32_t word, uint64_t bits,
                       uint64_t now_s, struct policy_decision *decision)
{
	for (; bits != 0; bits &= bits - 1) {
		uint32_t number = word * 64 + (uint32_t)__builtin_ctzll(bits);
		const struct policy_rule *rule = &policy__rules(table)[number];
		uint64_t until_s;

		if (policy__rule_is_open(table, rule, now_s, &until_s)) {
			*decision = (struct policy_decision){
				.reason = POLICY_ALLOWED, .grant = rule->id, .until_s = until_s};
			return true;
		}
		decision->reason = POLICY_NOT_NOW;
		if (until_s < decision->until_s)
			decision->until_s = until_s;
	}
	return false;
}

/* Is no grant in every set of this dimension? */
static inline bool is_any_empty(const struct ground *g, unsigned int dimension)
{
	uint64_t any = 0;

	for (uint32_t i = 0; i < g->n_sums; i++)
		any |= g->any[dimension][i];
	return any == 0;
}

/* ---- by ends ------------------------------------------------------------------------------------- */

/* Grants of a port in a list, and the ends that sender and receiver are. */
struct quick {
	const struct policy_quick *list;
	const uint16_t *from; /* [POLICY_PLACE_ENDS] */
	const uint16_t *to;
};

static inline int has_end(const uint16_t *ends, uint16_t end)
{
	__m128i all, equal;

	memcpy(&all, ends, sizeof(all));
	equal = _mm_cmpeq_epi16(all, _mm_set1_epi16((short)end));
	return _mm_movemask_epi8(equal) != 0;
}

static const struct policy_decision undecided = {.reason = POLICY_NO_GRANT, .until_s = UINT64_MAX};

/* Those that fit in their order, as first_open() does it. */
static inline void decide_quickly(const struct policy_table *table, const struct quick *quick,
                                  uint64_t now_s, struct policy_decision *decision)
{
	const struct policy_quick *grant = quick->list;

	*decision = undecided;
	for (uint32_t left = grant->left; left != 0; left--, grant++) {
		uint64_t until_s = UINT64_MAX;
		uint32_t rule = grant->rule & ~POLICY_QUICK_TIMED;

		if (!(has_end(quick->from, grant->from) & has_end(quick->to, grant->to)))
			continue;
		if ((grant->rule & POLICY_QUICK_TIMED) == 0
		    || policy__rule_is_open(table, &policy__rules(table)[rule], now_s, &until_s)) {
			*decision = (struct policy_decision){.reason = POLICY_ALLOWED,
			                                     .grant = grant->grant,
			                                     .until_s = until_s};
			return;
		}
		decision->reason = POLICY_NOT_NOW;
		if (until_s < decision->until_s)
			decision->until_s = until_s;
	}
}

/* ---- by sets ------------------------------------------------------------------------------------- */

/* A decision on its way, so that many can be made side by side. */
struct walk {
	struct cursor of[POLICY_N_DIMS];
	uint32_t i;    /* word of the summaries */
	uint32_t word; /* of the bit maps .. */
	uint64_t sum;  /* of word i: words that are still to be looked at */
	uint64_t bits; /* .. and what is in all three */
};

/* How a decision goes on. */
enum way { WAY_DECIDED = 0, WAY_QUICK = 1, WAY_SETS = 2 };

static inline bool knows_ends(const struct policy_found *found, unsigned int dimension)
{
	return found->ends != NULL && found->ends[dimension][0] != POLICY_ENDS_MANY;
}

/* Where the list is, or the sets are. */
static __attribute__((noinline)) enum way walk_begin(struct walk *walk, struct quick *quick,
                                                     const struct ground *g,
                                                     const struct policy_packet *packet,
                                                     struct policy_decision *decision)
{
	struct policy_found sender, receiver;
	const struct policy_port *port;

	*decision = undecided;
	if (g->table->open_grant != 0) {
		decision->reason = POLICY_ALLOWED;
		decision->grant = g->table->open_grant;
		return WAY_DECIDED;
	}
	if (!policy__find(g->table, packet->in_peer, packet->src, &sender)) {
		decision->reason = POLICY_NO_SOURCE;
		return WAY_DECIDED;
	}
	if (!policy__find(g->table, packet->out_peer, packet->dst, &receiver)) {
		decision->reason = POLICY_NO_DESTINATION;
		return WAY_DECIDED;
	}
	port = policy__port(g->table, packet->proto, packet->dport);
	if (port->list == POLICY_LIST_NONE)
		return WAY_DECIDED;
	if (port->list != POLICY_LIST_SETS && knows_ends(&sender, POLICY_DIM_FROM)
	    && knows_ends(&receiver, POLICY_DIM_TO)) {
		*quick = (struct quick){.list = &policy__quick(g->table)[port->list - 1],
		                        .from = sender.ends[POLICY_DIM_FROM],
		                        .to = receiver.ends[POLICY_DIM_TO]};
		return WAY_QUICK;
	}
	walk->of[POLICY_DIM_FROM] = cursor_make(g, sender.from, sender.any);
	walk->of[POLICY_DIM_TO] = cursor_make(g, receiver.to, receiver.any);
	walk->of[POLICY_DIM_PORT] = cursor_make(g, port->set, ~UINT64_C(0));
	walk->i = 0;
	return port->set != 0 || !is_any_empty(g, POLICY_DIM_PORT) ? WAY_SETS : WAY_DECIDED;
}

/* The same, at once where both ends are peers at their own addresses and of few ends, and the port's grants are few. */
static inline enum way begin(struct walk *walk, struct quick *quick, const struct ground *g,
                             const struct policy_packet *packet, struct policy_decision *decision)
{
	const struct policy_place *from = &policy__peers(g->table)[packet->in_peer];
	const struct policy_place *to = &policy__peers(g->table)[packet->out_peer];
	uint32_t list;

	if (packet->in_peer >= g->table->n_peers || packet->out_peer >= g->table->n_peers
	    || g->table->open_grant != 0 || !is_own(from, packet->src) || !is_own(to, packet->dst))
		return walk_begin(walk, quick, g, packet, decision);
	list = policy__port(g->table, packet->proto, packet->dport)->list;
	if (list == POLICY_LIST_NONE) {
		*decision = undecided;
		return WAY_DECIDED;
	}
	if (list == POLICY_LIST_SETS || from->ends[POLICY_DIM_FROM][0] == POLICY_ENDS_MANY
	    || to->ends[POLICY_DIM_TO][0] == POLICY_ENDS_MANY)
		return walk_begin(walk, quick, g, packet, decision);
	*quick = (struct quick){.list = &policy__quick(g->table)[list - 1],
	                        .from = from->ends[POLICY_DIM_FROM],
	                        .to = to->ends[POLICY_DIM_TO]};
	return WAY_QUICK;
}

/* From word i of the summaries on, the first that is in all three. False: there is none. Nobody can foretell
 * which it is, so there is no branch on it. */
static inline bool walk_sums(struct walk *walk, const struct ground *g)
{
	uint64_t found = 0;
	uint32_t at = walk->i;

	for (uint32_t i = walk->i; i < g->n_sums; i++) {
		uint64_t is_open = -(uint64_t)(found == 0);
		uint64_t sum = is_open;

		for (unsigned int k = 0; k < POLICY_N_DIMS; k++)
			sum &= cursor_sum(g, &walk->of[k], k, i);
		found |= sum;
		is_open &= -(uint64_t)(sum == 0);
		for (unsigned int k = 0; k < POLICY_N_DIMS; k++)
			cursor_advance(&walk->of[k], i, is_open);
		at += (uint32_t)is_open & 1;
	}
	walk->i = at;
	walk->sum = found;
	return found != 0;
}

/* Behind walk_sums(): the next word with grants that are in all three. False: there is none. */
static inline bool walk_words(struct walk *walk, const struct ground *g)
{
	do {
		while (walk->sum != 0) {
			unsigned int bit = (unsigned int)__builtin_ctzll(walk->sum);

			walk->sum &= walk->sum - 1;
			walk->word = walk->i * 64 + bit;
			walk->bits = ~UINT64_C(0);
			for (unsigned int k = 0; k < POLICY_N_DIMS; k++)
				walk->bits &= cursor_word(g, &walk->of[k], k, walk->i, bit);
			if (walk->bits != 0)
				return true;
		}
		for (unsigned int k = 0; k < POLICY_N_DIMS; k++)
			cursor_advance(&walk->of[k], walk->i, ~UINT64_C(0));
		walk->i++;
	} while (walk_sums(walk, g));
	return false;
}

/* The rest of it: the first grant that is open, of the walk's words from this one on. */
static inline void walk_rules(struct walk *walk, const struct ground *g, uint64_t now_s,
                              struct policy_decision *decision)
{
	while (!first_open(g->table, walk->word, walk->bits, now_s, decision)
	       && walk_words(walk, g))
		;
}

/* ---- one ----------------------------------------------------------------------------------------- */

struct policy_decision policy_decide(const struct policy_table *table,
                                     const struct policy_packet *packet, uint64_t now_s)
{
	struct ground g = ground_of(table);
	struct policy_decision decision;
	struct quick quick;
	struct walk walk;
	enum way way = begin(&walk, &quick, &g, packet, &decision);

	if (way == WAY_QUICK)
		decide_quickly(table, &quick, now_s, &decision);
	else if (way == WAY_SETS && walk_sums(&walk, &g) && walk_words(&walk, &g))
		walk_rules(&walk, &g, now_s, &decision);
	return decision;
}

/* ---- many ---------------------------------------------------------------------------------------- */

static BASE_FETCHES void fetch_sums(const struct walk *walk)
{
	for (unsigned int k = 0; k < POLICY_N_DIMS; k++)
		__builtin_prefetch(walk->of[k].sums);
}

static BASE_FETCHES void fetch_words(const struct walk *walk)
{
	unsigned int bit = (unsigned int)__builtin_ctzll(walk->sum);

	for (unsigned int k = 0; k < POLICY_N_DIMS; k++)
		__builtin_prefetch(cursor_at(&walk->of[k], walk->i, bit));
}

static BASE_FETCHES void fetch_rule(const struct walk *walk, const struct policy_table *table)
{
	uint32_t number = walk->word * 64 + (uint32_t)__builtin_ctzll(walk->bits);

	__builtin_prefetch(&policy__rules(table)[number]);
}

uint64_t policy__decide_quickly(const struct policy_table *table,
                                const struct policy_packet *const *packets, uint32_t n,
                                uint64_t now_s, struct policy_decision *decisions)
{
	struct ground g = ground_of(table);
	struct quick quicks[POLICY_DECIDE_MAX];
	uint32_t quickly[POLICY_DECIDE_MAX];
	uint32_t n_quick = 0;
	uint64_t left = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct walk unwanted;
		enum way way = begin(&unwanted, &quicks[n_quick], &g, packets[i], &decisions[i]);

		left |= (uint64_t)(way == WAY_SETS) << i;
		if (way != WAY_QUICK)
			continue;
		__builtin_prefetch(quicks[n_quick].list);
		quickly[n_quick++] = i;
	}
	for (uint32_t k = 0; k < n_quick; k++)
		decide_quickly(table, &quicks[k], now_s, &decisions[quickly[k]]);
	return left;
}

/* Each step of policy_decide() ends where it would miss the cache: so all take it before any takes the
 * next. left: those that are not decided yet. */
void policy_decide_many(const struct policy_table *table,
                        const struct policy_packet *const *packets, uint32_t n, uint64_t now_s,
                        struct policy_decision *decisions)
{
	struct ground g = ground_of(table);
	struct walk walks[POLICY_DECIDE_MAX];
	struct quick quicks[POLICY_DECIDE_MAX];
	uint32_t left[POLICY_DECIDE_MAX], quickly[POLICY_DECIDE_MAX];
	uint32_t n_found = 0, n_summed = 0, n_left = 0, n_quick = 0;

	for (uint32_t i = 0; i < n; i++)
		policy__decide_prefetch(table, packets[i]);
	for (uint32_t i = 0; i < n; i++) {
		enum way way = begin(&walks[i], &quicks[n_quick], &g, packets[i], &decisions[i]);

		if (way == WAY_QUICK) {
			__builtin_prefetch(quicks[n_quick].list);
			quickly[n_quick++] = i;
		} else if (way == WAY_SETS) {
			fetch_sums(&walks[i]);
			left[n_found++] = i;
		}
	}
	for (uint32_t k = 0; k < n_quick; k++)
		decide_quickly(table, &quicks[k], now_s, &decisions[quickly[k]]);
	for (uint32_t i = 0; i < n_found; i++) {
		if (!walk_sums(&walks[left[i]], &g))
			continue;
		fetch_words(&walks[left[i]]);
		left[n_summed++] = left[i];
	}
	for (uint32_t i = 0; i < n_summed; i++) {
		if (!walk_words(&walks[left[i]], &g))
			continue;
		fetch_rule(&walks[left[i]], table);
		left[n_left++] = left[i];
	}
	for (uint32_t i = 0; i < n_left; i++)
		walk_rules(&walks[left[i]], &g, now_s, &decisions[left[i]]);
}

uint32_t policy_table_generation(const struct policy_table *table)
{
	return table->generation;
}

uint32_t policy_table_grants(const struct policy_table *table)
{
	return table->n_grants;
}

size_t policy_table_len(const struct policy_table *table)
{
	return table->len;
}

const char *policy_reason_text(uint32_t reason)
{
	static const char *const texts[POLICY_N_REASONS] = {
		[POLICY_ALLOWED] = "allowed",
		[POLICY_NO_SOURCE] = "the policy knows no such sender at this address",
		[POLICY_NO_DESTINATION] = "the policy knows no such receiver at this address",
		[POLICY_NO_GRANT] = "no grant for this sender, receiver, protocol and port",
		[POLICY_NOT_NOW] = "its grants are outside their windows of time",
	};

	return reason < POLICY_N_REASONS ? texts[reason] : "unknown reason";
}
