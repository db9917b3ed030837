/* One decision: three sets, their intersection, the first grant in it that is open now. */
#include "policy_private.h"

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
	*found = (struct policy_found){.from = place->from, .to = place->to};
	if (!is_hub && is_own(place, address)) {
		found->any = ~UINT64_C(0);
		return true;
	}
	if (place->nets != 0) {
		const struct policy_net *net = find_net(&policy__nets(table)[place->nets - 1],
		                                        address);

		if (net != NULL) {
			*found = (struct policy_found){net->from, net->to,
			                               -(uint64_t)(net->is_own != 0)};
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

/* One of the three sets during a walk through their summaries. */
struct cursor {
	const uint64_t *words;    /* next of the set's own that belongs to the summary word */
	const uint64_t *sums;     /* of the set */
	const uint64_t *any_sums; /* of the grants that are in every set of this dimension */
	const uint64_t *any_words;
	uint64_t any; /* all ones: they count */
};

static inline void cursor_init(struct cursor *c, const struct policy_table *table,
                               unsigned int dimension, uint32_t set, uint64_t any)
{
	c->sums = policy__arena(table) + set;
	c->words = c->sums + table->n_sums;
	c->any_sums = policy__any(table, dimension);
	c->any_words = c->any_sums + table->n_sums;
	c->any = any;
}

/* Word 64 * i + bit of the bit map. Reads one word of the arena in any case: policy_table_check() has
 * made sure that there is one behind every set. */
static inline uint64_t cursor_word(const struct cursor *c, uint32_t i, unsigned int bit)
{
	uint64_t sum = c->sums[i];
	uint64_t below = sum & ((UINT64_C(1) << bit) - 1);
	uint64_t own = c->words[__builtin_popcountll(below)];

	return (own & -(sum >> bit & 1)) | (c->any_words[i * 64 + bit] & c->any);
}

static inline uint64_t cursor_sum(const struct cursor *c, uint32_t i)
{
	return c->sums[i] | (c->any_sums[i] & c->any);
}

static inline void cursor_advance(struct cursor *c, uint32_t i)
{
	c->words += __builtin_popcountll(c->sums[i]);
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

struct policy_decision policy_decide(const struct policy_table *table,
                                     const struct policy_packet *packet, uint64_t now_s)
{
	struct policy_decision decision = {.reason = POLICY_NO_GRANT, .until_s = UINT64_MAX};
	struct cursor from, to, port;
	struct policy_found sender, receiver;

	if (!policy__find(table, packet->in_peer, packet->src, &sender)) {
		decision.reason = POLICY_NO_SOURCE;
		return decision;
	}
	if (!policy__find(table, packet->out_peer, packet->dst, &receiver)) {
		decision.reason = POLICY_NO_DESTINATION;
		return decision;
	}
	cursor_init(&from, table, POLICY_DIM_FROM, sender.from, sender.any);
	cursor_init(&to, table, POLICY_DIM_TO, receiver.to, receiver.any);
	cursor_init(&port, table, POLICY_DIM_PORT,
	            policy__port_set(table, packet->proto, packet->dport), ~UINT64_C(0));
	for (uint32_t i = 0; i < table->n_sums; i++) {
		uint64_t sum = cursor_sum(&from, i) & cursor_sum(&to, i) & cursor_sum(&port, i);

		for (; sum != 0; sum &= sum - 1) {
			unsigned int bit = (unsigned int)__builtin_ctzll(sum);
			uint64_t bits = cursor_word(&from, i, bit) & cursor_word(&to, i, bit)
			                & cursor_word(&port, i, bit);

			if (bits != 0 && first_open(table, i * 64 + bit, bits, now_s, &decision))
				return decision;
		}
		cursor_advance(&from, i);
		cursor_advance(&to, i);
		cursor_advance(&port, i);
	}
	return decision;
}

void policy_decide_prefetch(const struct policy_table *table, const struct policy_packet *packet)
{
	const struct policy_place *peers = policy__peers(table);

	if (packet->in_peer < table->n_peers)
		__builtin_prefetch(&peers[packet->in_peer]);
	if (packet->out_peer < table->n_peers)
		__builtin_prefetch(&peers[packet->out_peer]);
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
