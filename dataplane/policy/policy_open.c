/* Frames that open a flow, the quick way: plain ones, of which policy_flow_pass() has found out, on its way,
 * that there is no flow they could be of, so that their key and hash are known and their bucket is at hand.
 * All that policy_flow_judge() has to ask of such a packet is the decision, and often that was given
 * before. What is less simple is left to it. */
#include "policy_flow_private.h"

struct opening {
	struct flow_moment now;
	uint32_t n;
	uint8_t number[POLICY_FLOW_BURST_MAX]; /* of the frame */
	struct policy_packet packets[POLICY_FLOW_BURST_MAX];
	struct policy_decision decisions[POLICY_FLOW_BURST_MAX];
};

/* First step: who asks for what; what may be written for it comes nearer. */
static void read_openers(const struct policy_flow *flow, struct opening *o, uint64_t openers)
{
	o->n = 0;
	for (; openers != 0; openers &= openers - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(openers);
		struct flow_key key = flow_key_of(&flow->ahead->keys[i]);
		struct policy_packet *packet = &o->packets[o->n];

		flow__turn_to(&key, (flow->ahead->highs >> i & 1) != 0, packet);
		__builtin_prefetch(flow_answer_of(flow, packet));
		flow__make_prefetch(flow, packet->in_peer, o->n);
		o->number[o->n++] = (uint8_t)i;
	}
}

/* Second step: what this table has said before, and what it says now. */
static void decide(const struct policy_flow *flow, const struct policy_table *table,
                   struct opening *o)
{
	const struct policy_packet *asked[POLICY_FLOW_BURST_MAX];
	struct policy_decision decisions[POLICY_FLOW_BURST_MAX];
	uint8_t whose[POLICY_FLOW_BURST_MAX];
	uint32_t n_asked = 0;

	for (uint32_t k = 0; k < o->n; k++) {
		const struct flow_answer *answer = flow_answer_of(flow, &o->packets[k]);

		if (flow_answer_fits(answer, &o->packets[k], &o->now)) {
			o->decisions[k] = flow_answer_read(answer);
		} else {
			whose[n_asked] = (uint8_t)k;
			asked[n_asked++] = &o->packets[k];
		}
	}
	if (n_asked == 0)
		return;
	policy_decide_many(table, asked, n_asked, o->now.wall_s, decisions);
	for (uint32_t k = 0; k < n_asked; k++) {
		o->decisions[whose[k]] = decisions[k];
		flow_answer_keep(flow, &o->now, asked[k], &decisions[k]);
	}
}

static enum policy_flow_verdict make(struct policy_flow *flow, const struct opening *o, uint32_t k,
                                     struct policy_flow_result *result)
{
	uint32_t i = o->number[k];
	bool is_high = (flow->ahead->highs >> i & 1) != 0;
	const struct policy_decision *decision = &o->decisions[k];
	enum policy_flow_state state = o->packets[k].proto == POLICY_PROTO_TCP
	                                       ? POLICY_FLOW_TCP_OPENING
	                                       : POLICY_FLOW_ONE_WAY;
	enum policy_flow_verdict verdict = flow__charge_check(flow, o->packets[k].in_peer);
	struct flow_key key;
	struct flow_entry *e;

	if (verdict != POLICY_FLOW_PASS)
		return verdict;
	key = flow_key_of(&flow->ahead->keys[i]);
	e = flow__make(flow, &key, flow->ahead->hashes[i], is_high, state, o->now.now_s);
	if (e == NULL)
		return POLICY_FLOW_FULL;
	e->grant = result->grant = decision->grant;
	e->generation = o->now.generation;
	e->recheck_s = flow_recheck_of(decision);
	result->note = flow_note_make(e, true);
	return POLICY_FLOW_PASS;
}

/* Last step, one after the other: one before it may have opened its flow, in either direction. Returns
 * false: it is for policy_flow_judge(). */
static bool finish(struct policy_flow *flow, const struct opening *o, uint32_t k,
                   struct policy_flow_result *result)
{
	const struct policy_packet *packet = &o->packets[k];
	enum policy_flow_verdict verdict = flow__verdict_of(o->decisions[k].reason);

	if (!flow__has_none(flow, flow->ahead->hashes[o->number[k]]))
		return false;
	*result = (struct policy_flow_result){0};
	if (verdict == POLICY_FLOW_PASS)
		verdict = make(flow, o, k, result);
	else if (packet->proto == POLICY_PROTO_UDP /* may answer what came before this table */
	         && flow__is_picking_up(flow, o->now.now_s, packet->in_peer, packet->out_peer))
		return false;
	result->verdict = (uint8_t)verdict;
	return true;
}

uint64_t policy_flow_open(struct policy_flow *flow, const struct policy_table *table,
                          struct policy_flow_clock clock, struct policy_flow_result *results,
                          uint64_t left)
{
	struct opening o;
	uint64_t judged = 0;

	left &= flow->ahead->openers;
	if (left == 0)
		return 0;
	o.now = flow_moment(table, clock);
	read_openers(flow, &o, left);
	decide(flow, table, &o);
	for (uint32_t k = 0; k < o.n; k++)
		if (finish(flow, &o, k, &results[o.number[k]]))
			judged |= UINT64_C(1) << o.number[k];
	return judged;
}
