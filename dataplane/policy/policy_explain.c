/* Why a decision is what it is, grant by grant, read from the same sets that policy_decide() reads. */
#include "policy_build.h"
#include "policy_private.h"

/* Is rule number in the set, or (with_any) one for any of this dimension? Slow and plain. */
static bool set_has(const struct policy_table *table, unsigned int dimension, uint32_t set,
                    bool with_any, uint32_t number)
{
	const uint64_t *sums = policy__arena(table) + set;
	const uint64_t *any = policy__any(table, dimension) + table->n_sums;
	uint32_t word = number / 64;
	uint64_t bit = UINT64_C(1) << number % 64;
	uint64_t below = (UINT64_C(1) << word % 64) - 1;
	size_t at = table->n_sums;

	if (with_any && (any[word] & bit) != 0)
		return true;
	for (uint32_t i = 0; i < word / 64; i++)
		at += (size_t)__builtin_popcountll(sums[i]);
	if ((sums[word / 64] >> word % 64 & 1) == 0)
		return false;
	at += (size_t)__builtin_popcountll(sums[word / 64] & below);
	return (sums[at] & bit) != 0;
}

static bool proto_fits(uint32_t rule_proto, uint8_t proto)
{
	switch (rule_proto) {
	case POLICY_ICMP:
		return proto == POLICY_PROTO_ICMP || proto == POLICY_PROTO_ICMPV6;
	case POLICY_TCP:
		return proto == POLICY_PROTO_TCP;
	case POLICY_UDP:
		return proto == POLICY_PROTO_UDP;
	default:
		return true;
	}
}

int policy_explain(const struct policy_table *table, const struct policy_packet *packet,
                   uint64_t now_s, policy_explain_fn *fn, void *arg)
{
	struct policy_found from = {0};
	struct policy_found to = {0};
	bool has_from = policy__find(table, packet->in_peer, packet->src, &from);
	bool has_to = policy__find(table, packet->out_peer, packet->dst, &to);
	uint32_t port = policy__port(table, packet->proto, packet->dport)->set;

	for (uint32_t i = 0; i < table->n_grants; i++) {
		const struct policy_rule *rule = &policy__rules(table)[i];
		uint32_t misses = 0;
		uint64_t until_s;
		int ret;

		if (!has_from || !set_has(table, POLICY_DIM_FROM, from.from, from.any != 0, i))
			misses |= POLICY_MISS_FROM;
		if (!has_to || !set_has(table, POLICY_DIM_TO, to.to, to.any != 0, i))
			misses |= POLICY_MISS_TO;
		if (!proto_fits(rule->proto, packet->proto))
			misses |= POLICY_MISS_PROTO;
		else if (!set_has(table, POLICY_DIM_PORT, port, true, i))
			misses |= POLICY_MISS_PORT;
		if (!policy__rule_is_open(table, rule, now_s, &until_s))
			misses |= POLICY_MISS_WINDOW;
		ret = fn(arg, rule->id, misses);
		if (ret != 0)
			return ret;
	}
	return 0;
}
