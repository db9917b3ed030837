/* Frames that open a flow, the quick way: plain ones, of which policy_flow_pass() has found out, on its way,
 * that there is no flow they could be of, so that their key and hash are known and their bucket is at hand.
 * All that policy_flow_judge() has to ask of such a packet is the decision, and often that was given
 * before. What is less simple is left to it.
 *
 * Most bursts have none, and most others have one: then nothing is in the first-level caches, neither what is
 * read nor the instructions, so that one goes a way of its own, which is short. */
#include "policy_flow_private.h"

static __attribute__((noinline)) bool make(struct policy_flow *flow, const struct flow_moment *now,
                                           uint32_t i, const struct policy_decision *decision,
                                           struct policy_flow_result *result)
{
	const struct policy_packet *packet = &flow->burst->packets[i];
	bool is_tcp = packet->proto == POLICY_PROTO_TCP;
	enum policy_flow_state state = is_tcp ? POLICY_FLOW_TCP_OPENING : POLICY_FLOW_ONE_WAY;
	bool is_high = (flow->burst->highs >> i & 1) != 0;
	struct flow_entry e = flow->burst->keys[i];

	result->verdict = (uint8_t)flow__charge_check(flow, packet->in_peer);
	if (result->verdict != POLICY_FLOW_PASS)
		return true;
	e.high = (e.high & FLOW_PEER_MASK) | (uint32_t)state << FLOW_STATE_SHIFT
	         | (is_high ? FLOW_OPENER_HIGH : 0);
	e.seen_s = now->now_s;
	e.grant = result->grant = decision->grant;
	e.epoch = now->epoch;
	e.recheck_s = flow_recheck_of(decision);
	result->note = flow_note_make(&e, true);
	if (!flow__put(flow, &e, flow_burst_hash(flow->burst, i), packet->in_peer)) {
		*result = (struct policy_flow_result){.verdict = POLICY_FLOW_FULL};
		return true;
	}
	return true;
}

/* Frame number i is decided, and those before it may have opened its flow, in either direction. Returns
 * false: it is for policy_flow_judge(). */
static inline bool finish(struct policy_flow *flow, const struct flow_moment *now, uint32_t i,
                          const struct policy_decision *decision, struct policy_flow_result *result)
{
	const struct policy_packet *packet = &flow->burst->packets[i];

	*result = (struct policy_flow_result){0};
	if (decision->reason == POLICY_ALLOWED)
		return make(flow, now, i, decision, result);
	if (packet->proto == POLICY_PROTO_UDP /* may answer what came before this table */
	    && flow__is_picking_up(flow, now->now_s, packet->in_peer, packet->out_peer))
		return false;
	result->verdict = (uint8_t)flow__verdict_of(decision->reason);
	return true;
}

/* ---- one ----------------------------------------------------------------------------------------- */

static bool open_one(struct policy_flow *flow, const struct flow_moment *now, uint32_t i,
                     struct policy_flow_result *result)
{
	const struct policy_packet *packet = &flow->burst->packets[i];
	const struct flow_answer *answer = flow_answer_of(flow, packet);
	struct policy_decision decision;

	if (policy__decide_quickly(now->table, &packet, 1, now->wall_s, &decision) == 0)
		return finish(flow, now, i, &decision, result);
	if (flow_answer_fits(answer, packet, now)) {
		decision = flow_answer_read(answer);
	} else {
		decision = policy_decide(now->table, packet, now->wall_s);
		flow_answer_keep(flow, now, packet, &decision);
	}
	return finish(flow, now, i, &decision, result);
}

/* ---- many ---------------------------------------------------------------------------------------- */

struct opening {
	uint32_t n;
	uint32_t n_asked;
	uint8_t number[POLICY_FLOW_BURST_MAX]; /* of the frame */
	uint8_t whose
		[POLICY_FLOW_BURST_MAX]; /* of what is asked: a place in number and decisions */
	const struct policy_packet *packets[POLICY_FLOW_BURST_MAX];
	const struct policy_packet *asked[POLICY_FLOW_BURST_MAX];
	struct policy_decision decisions[POLICY_FLOW_BURST_MAX];
};

static void begin(const struct policy_flow *flow, struct opening *o, uint64_t openers)
{
	o->n = 0;
	for (; openers != 0; openers &= openers - 1, o->n++) {
		uint32_t i = (uint32_t)__builtin_ctzll(openers);

		o->number[o->n] = (uint8_t)i;
		o->packets[o->n] = &flow->burst->packets[i];
		flow__make_prefetch(flow, o->packets[o->n]->in_peer, o->n);
	}
}

/* Of those left what this table has said before. */
static void read_answers(const struct policy_flow *flow, const struct flow_moment *now,
                         struct opening *o, uint64_t left)
{
	o->n_asked = 0;
	for (; left != 0; left &= left - 1) {
		uint32_t k = (uint32_t)__builtin_ctzll(left);
		const struct policy_packet *packet = o->packets[k];
		const struct flow_answer *answer = flow_answer_of(flow, packet);

		if (flow_answer_fits(answer, packet, now)) {
			o->decisions[k] = flow_answer_read(answer);
			continue;
		}
		o->whose[o->n_asked] = (uint8_t)k;
		o->asked[o->n_asked++] = packet;
	}
}

/* What it says now. */
static void ask(const struct policy_flow *flow, const struct flow_moment *now, struct opening *o)
{
	struct policy_decision decisions[POLICY_FLOW_BURST_MAX];

	policy_decide_many(now->table, o->asked, o->n_asked, now->wall_s, decisions);
	for (uint32_t k = 0; k < o->n_asked; k++) {
		o->decisions[o->whose[k]] = decisions[k];
		flow_answer_keep(flow, now, o->asked[k], &decisions[k]);
	}
}

static uint64_t open_many(struct policy_flow *flow, const struct flow_moment *now,
                          struct policy_flow_result *results, uint64_t openers)
{
	struct opening o;
	uint64_t judged = 0;

	begin(flow, &o, openers);
	read_answers(flow, now, &o,
	             policy__decide_quickly(now->table, o.packets, o.n, now->wall_s, o.decisions));
	if (o.n_asked != 0)
		ask(flow, now, &o);
	for (uint32_t k = 0; k < o.n; k++) {
		uint32_t i = o.number[k];

		if (flow__has_none(flow, flow_burst_hash(flow->burst, i))
		    && finish(flow, now, i, &o.decisions[k], &results[i]))
			judged |= UINT64_C(1) << i;
	}
	return judged;
}

uint64_t policy_flow_open(struct policy_flow *flow, const struct policy_table *table,
                          struct policy_flow_clock clock, struct policy_flow_result *results,
                          uint64_t left)
{
	struct flow_moment now = flow_moment(flow, table, clock);

	left &= flow->burst->openers;
	if (left == 0)
		return 0;
	if ((left & (left - 1)) == 0) {
		uint32_t i = (uint32_t)__builtin_ctzll(left);

		return (uint64_t)open_one(flow, &now, i, &results[i]) << i;
	}
	return open_many(flow, &now, results, left);
}
