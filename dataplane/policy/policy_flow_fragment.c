/* Datagrams in fragments: which ports the first one had. */
#include "policy_flow_private.h"

/* IPv4 numbers datagrams for each protocol, IPv6 does not; and behind extension headers a later
 * fragment does not know its own. */
static uint8_t key_proto(const struct policy_packet *p)
{
	return policy_address_is_v4(p->src) ? p->proto : 0;
}

static struct flow_datagram *find_set(const struct policy_flow *flow, const struct policy_packet *p)
{
	const struct policy_address both[2] = {p->src, p->dst};
	uint64_t peers = (uint64_t)p->out_peer << 32 | p->in_peer;
	uint64_t which = (uint64_t)key_proto(p) << 32 | p->datagram;
	uint32_t set = flow_hash_words(flow->secret, both, peers, which) & flow->datagram_mask;

	return &flow->datagrams[(size_t)set * FLOW_WAYS];
}

static bool is_same(const struct flow_datagram *d, const struct policy_packet *p)
{
	return d->datagram == p->datagram && d->in_peer == p->in_peer && d->out_peer == p->out_peer
	       && policy_address_equal(d->src, p->src) && policy_address_equal(d->dst, p->dst)
	       && (!policy_address_is_v4(p->src) || d->proto == p->proto);
}

void flow__datagram_put(struct policy_flow *flow, const struct policy_packet *first, uint32_t now_s)
{
	struct flow_datagram *set = find_set(flow, first);
	struct flow_datagram *d = &set[0];

	for (unsigned int i = 0; i < FLOW_WAYS; i++) {
		if (is_same(&set[i], first)) {
			d = &set[i];
			break;
		}
		if (set[i].until_s < d->until_s)
			d = &set[i];
	}
	*d = (struct flow_datagram){
		.src = first->src,
		.dst = first->dst,
		.datagram = first->datagram,
		.in_peer = first->in_peer,
		.out_peer = first->out_peer,
		.until_s = now_s + FLOW_DATAGRAM_S,
		.sport = first->sport,
		.dport = first->dport,
		.proto = first->proto,
	};
}

bool flow__datagram_complete(const struct policy_flow *flow, struct policy_packet *later,
                             uint32_t now_s)
{
	const struct flow_datagram *set = find_set(flow, later);

	for (unsigned int i = 0; i < FLOW_WAYS; i++) {
		if (set[i].until_s <= now_s || !is_same(&set[i], later))
			continue;
		later->sport = set[i].sport;
		later->dport = set[i].dport;
		later->proto = set[i].proto;
		return true;
	}
	return false;
}
