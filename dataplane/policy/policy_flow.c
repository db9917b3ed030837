/* Judging packets: what policy_flow_pass() has left over, and what other workers tell. */
#include "policy_flow_private.h"

/* A packet, its key, and where its bucket says its entry is. */
struct probe {
	struct flow_key key;
	uint32_t hash;
	uint32_t number;
};

/* What one call works with. */
struct judge {
	struct policy_flow *flow;
	const struct policy_table *table;
	struct flow_moment now;
};

static struct judge judge_begin(struct policy_flow *flow, const struct policy_table *table,
                                struct policy_flow_clock clock)
{
	return (struct judge){.flow = flow, .table = table, .now = flow_moment(table, clock)};
}

static inline bool opener_is_high(const struct flow_entry *e)
{
	return (e->high & FLOW_OPENER_HIGH) != 0;
}

void flow__opener(const struct flow_entry *e, bool high, struct policy_packet *out)
{
	uint16_t low_port = (uint16_t)(e->ports >> 16);
	uint16_t high_port = (uint16_t)e->ports;

	*out = (struct policy_packet){
		.src = e->address[high],
		.dst = e->address[!high],
		.in_peer = (high ? e->high : e->low) & FLOW_PEER_MASK,
		.out_peer = (high ? e->low : e->high) & FLOW_PEER_MASK,
		.sport = high ? high_port : low_port,
		.dport = high ? low_port : high_port,
		.proto = flow_proto(e),
	};
}

/* ---- decisions ----------------------------------------------------------------------------------- */

static enum policy_flow_verdict verdict_of(uint32_t reason)
{
	static const uint8_t verdicts[POLICY_N_REASONS] = {
		[POLICY_ALLOWED] = POLICY_FLOW_PASS,
		[POLICY_NO_SOURCE] = POLICY_FLOW_NO_SOURCE,
		[POLICY_NO_DESTINATION] = POLICY_FLOW_NO_DESTINATION,
		[POLICY_NO_GRANT] = POLICY_FLOW_NO_GRANT,
		[POLICY_NOT_NOW] = POLICY_FLOW_NOT_NOW,
	};

	return (enum policy_flow_verdict)verdicts[reason];
}

static void remember(const struct judge *j, struct flow_entry *e,
                     const struct policy_decision *decision)
{
	e->grant = decision->grant;
	e->generation = j->now.generation;
	e->recheck_s = decision->until_s < UINT32_MAX ? (uint32_t)decision->until_s : UINT32_MAX;
}

/* Is what once was allowed still? Ends the flow if not. */
static bool is_still_allowed(const struct judge *j, struct flow_entry *e)
{
	struct policy_packet opener;
	struct policy_decision decision;

	if (flow_entry_is_current(e, &j->now))
		return true;
	flow__opener(e, opener_is_high(e), &opener);
	decision = policy_decide(j->table, &opener, j->now.wall_s);
	if (decision.reason != POLICY_ALLOWED) {
		flow__end(j->flow, e);
		return false;
	}
	remember(j, e, &decision);
	return true;
}

/* ---- opening ------------------------------------------------------------------------------------- */

/* Make the flow that opener would open, if policy and room allow it. old: an entry of this key that is
 * over, or NULL. *made is written on POLICY_FLOW_PASS. */
static enum policy_flow_verdict open_flow(const struct judge *j, const struct policy_packet *opener,
                                          enum policy_flow_state state, struct flow_entry *old,
                                          struct flow_entry **made)
{
	struct policy_decision decision = policy_decide(j->table, opener, j->now.wall_s);
	enum policy_flow_verdict verdict = verdict_of(decision.reason);
	bool high = flow_sender_is_high(opener);
	struct flow_key key;

	if (verdict == POLICY_FLOW_PASS)
		verdict = flow__charge_check(j->flow, opener->in_peer);
	if (verdict != POLICY_FLOW_PASS)
		return verdict;
	if (old != NULL) {
		flow__make_again(j->flow, old, high, state, j->now.now_s);
		*made = old;
	} else {
		flow_key_make(&key, opener);
		*made = flow__make(j->flow, &key, flow_hash(j->flow->secret, &key), high, state,
		                   j->now.now_s);
		if (*made == NULL)
			return POLICY_FLOW_FULL;
	}
	remember(j, *made, &decision);
	return POLICY_FLOW_PASS;
}

static struct policy_packet turned(const struct policy_packet *packet)
{
	struct policy_packet reply = *packet;

	reply.src = packet->dst;
	reply.dst = packet->src;
	reply.in_peer = packet->out_peer;
	reply.out_peer = packet->in_peer;
	reply.sport = packet->dport;
	reply.dport = packet->sport;
	return reply;
}

/* A packet in the middle of a flow that began before this table did: its sender's or its receiver's. */
static enum policy_flow_verdict pick_up(const struct judge *j, const struct policy_packet *packet,
                                        struct flow_entry *old, struct flow_entry **made)
{
	bool is_tcp = packet->kind == POLICY_KIND_TCP;
	enum policy_flow_state state = is_tcp ? POLICY_FLOW_TCP_ESTABLISHED : POLICY_FLOW_BOTH_WAYS;
	struct policy_packet reply;

	if (j->now.now_s - j->flow->start_s >= j->flow->pickup_s
	    || packet->kind == POLICY_KIND_ERROR || packet->kind == POLICY_KIND_FRAGMENT
	    || (is_tcp && (packet->tcp_flags & (POLICY_TCP_SYN | POLICY_TCP_RST)) != 0))
		return POLICY_FLOW_NO_FLOW;
	if (packet->kind != POLICY_KIND_ECHO_REPLY
	    && open_flow(j, packet, state, old, made) == POLICY_FLOW_PASS)
		return POLICY_FLOW_PASS;
	reply = turned(packet);
	return open_flow(j, &reply, state, old, made) == POLICY_FLOW_PASS ? POLICY_FLOW_PASS
	                                                                  : POLICY_FLOW_NO_FLOW;
}

/* The packet belongs to no flow that lives. */
static enum policy_flow_verdict open_for(const struct judge *j, const struct policy_packet *packet,
                                         struct flow_entry *old, struct flow_entry **made)
{
	enum policy_flow_state state;
	enum policy_flow_verdict verdict = flow__opening(packet, &state);

	if (verdict == POLICY_FLOW_NO_FLOW)
		return pick_up(j, packet, old, made);
	if (verdict == POLICY_FLOW_PASS)
		verdict = open_flow(j, packet, state, old, made);
	/* a reply whose question was before this table */
	if (verdict == POLICY_FLOW_NO_GRANT && state == POLICY_FLOW_ONE_WAY
	    && packet->kind != POLICY_KIND_ECHO_REQUEST
	    && pick_up(j, packet, old, made) == POLICY_FLOW_PASS)
		return POLICY_FLOW_PASS;
	return verdict;
}

/* ---- a packet ------------------------------------------------------------------------------------ */

/* Do to the entry what flow__step() said. */
static void apply(const struct judge *j, struct flow_entry *e, const struct flow_step *step,
                  bool from_opener, struct policy_flow_result *result)
{
	bool has_changed = step->state != flow_state(e) || (step->fins & ~e->high) != 0;

	if (has_changed)
		flow__set_state(j->flow, e, step->state);
	e->high |= step->fins;
	result->grant = e->grant;
	if (step->is_silent)
		return;
	if (has_changed || flow_note_is_due(e->seen_s, j->now.now_s))
		result->note = flow_note_make(e, from_opener);
	e->seen_s = j->now.now_s;
}

static void judge_known(const struct judge *j, struct flow_entry *e,
                        const struct policy_packet *packet, struct policy_flow_result *result)
{
	bool from_opener = flow_sender_is_high(packet) == opener_is_high(e);
	struct flow_step step = flow__step(e, packet, from_opener);
	struct flow_entry *made;

	result->verdict = (uint8_t)step.verdict;
	if (step.verdict != POLICY_FLOW_PASS)
		return;
	if (!step.is_opening) {
		apply(j, e, &step, from_opener, result);
		return;
	}
	result->verdict = (uint8_t)open_flow(j, packet, POLICY_FLOW_TCP_OPENING, e, &made);
	if (result->verdict == POLICY_FLOW_PASS) {
		result->grant = made->grant;
		result->note = flow_note_make(made, true);
	}
}

static void judge_unknown(const struct judge *j, const struct policy_packet *packet,
                          struct flow_entry *old, struct policy_flow_result *result)
{
	struct flow_entry *made;

	result->verdict = (uint8_t)open_for(j, packet, old, &made);
	if (result->verdict != POLICY_FLOW_PASS)
		return;
	result->grant = made->grant;
	result->note = flow_note_make(made, flow_sender_is_high(packet) == opener_is_high(made));
}

static void judge_slowly(const struct judge *j, const struct policy_packet *packet,
                         struct policy_flow_result *result)
{
	struct policy_packet whole = *packet;
	struct flow_entry *e;
	struct flow_key key;

	*result = (struct policy_flow_result){0};
	if (packet->kind == POLICY_KIND_FRAGMENT
	    && !flow__datagram_complete(j->flow, &whole, j->now.now_s)) {
		result->verdict = POLICY_FLOW_NO_DATAGRAM;
		return;
	}
	flow_key_make(&key, &whole);
	e = flow__find(j->flow, &key, flow_hash(j->flow->secret, &key));
	if (e == NULL || flow__timed_out(e, j->now.now_s)) {
		judge_unknown(j, &whole, e, result);
	} else if (is_still_allowed(j, e)) {
		judge_known(j, e, &whole, result);
	} else {
		judge_unknown(j, &whole, NULL, result);
		if (result->verdict != POLICY_FLOW_PASS)
			result->verdict = POLICY_FLOW_REVOKED;
	}
	if (result->verdict == POLICY_FLOW_PASS && packet->is_fragment != 0
	    && packet->kind != POLICY_KIND_FRAGMENT)
		flow__datagram_put(j->flow, packet, j->now.now_s);
}

void policy_flow_judge(struct policy_flow *flow, const struct policy_table *table,
                       struct policy_flow_clock clock, const struct policy_packet *packets,
                       struct policy_flow_result *results, uint32_t n)
{
	struct judge j = judge_begin(flow, table, clock);
	struct probe probes[POLICY_FLOW_BURST_MAX];

	for (uint32_t i = 0; i < n; i++) {
		flow_key_make(&probes[i].key, &packets[i]);
		probes[i].hash = flow_hash(flow->secret, &probes[i].key);
		__builtin_prefetch(&flow->buckets[flow_bucket_of(flow, probes[i].hash)]);
	}
	for (uint32_t i = 0; i < n; i++) {
		probes[i].number = flow__candidate(flow, probes[i].hash);
		if (probes[i].number != 0)
			__builtin_prefetch(&flow->entries[probes[i].number], 1);
		else
			policy_decide_prefetch(table, &packets[i]);
	}
	for (uint32_t i = 0; i < n; i++)
		judge_slowly(&j, &packets[i], &results[i]);
}

/* ---- the other worker ---------------------------------------------------------------------------- */

/* What the note says has happened, merged into what is known here: states only go on. */
static void take_over(const struct judge *j, struct flow_entry *e, uint8_t note, bool same_opener)
{
	enum policy_flow_state state = (enum policy_flow_state)(note & FLOW_NOTE_STATE);
	bool is_over = flow_state(e) == POLICY_FLOW_TCP_CLOSED
	               || flow_state(e) == POLICY_FLOW_TCP_RESET;

	if (!same_opener && flow_proto(e) != POLICY_PROTO_TCP)
		state = POLICY_FLOW_BOTH_WAYS; /* both opened it, each at its own worker */
	if (state > flow_state(e))
		flow__set_state(j->flow, e, state);
	if ((note & FLOW_NOTE_FIN_OPENER) != 0)
		e->high |= FLOW_FIN_OPENER;
	if ((note & FLOW_NOTE_FIN_OTHER) != 0)
		e->high |= FLOW_FIN_OTHER;
	if (flow_state(e) == POLICY_FLOW_TCP_HALF_CLOSED && (e->high & FLOW_FINS) == FLOW_FINS)
		flow__set_state(j->flow, e, POLICY_FLOW_TCP_CLOSED);
	if (!is_over)
		e->seen_s = j->now.now_s;
}

/* Does the note speak of a flow that began after this one was over? */
static bool is_newer(const struct flow_entry *e, uint8_t note)
{
	return flow_proto(e) == POLICY_PROTO_TCP && flow_state(e) >= POLICY_FLOW_TCP_CLOSED
	       && (note & FLOW_NOTE_STATE) == POLICY_FLOW_TCP_OPENING;
}

enum policy_flow_verdict policy_flow_expect(struct policy_flow *flow,
                                            const struct policy_table *table,
                                            struct policy_flow_clock clock,
                                            const struct policy_packet *packet, uint8_t note)
{
	struct judge j = judge_begin(flow, table, clock);
	bool from_opener = (note & FLOW_NOTE_FROM_OPENER) != 0;
	struct policy_packet opener = from_opener ? *packet : turned(packet);
	enum policy_flow_verdict verdict;
	struct flow_entry *e;
	struct flow_key key;

	if (!flow_state_fits((enum policy_flow_state)(note & FLOW_NOTE_STATE), packet->proto))
		return POLICY_FLOW_NO_FLOW;
	flow_key_make(&key, &opener);
	e = flow__find(flow, &key, flow_hash(flow->secret, &key));
	if (e != NULL && !flow__timed_out(e, j.now.now_s) && !is_newer(e, note)) {
		if (!is_still_allowed(&j, e))
			return POLICY_FLOW_REVOKED;
		take_over(&j, e, note, flow_sender_is_high(&opener) == opener_is_high(e));
		return POLICY_FLOW_PASS;
	}
	verdict = open_flow(&j, &opener, (enum policy_flow_state)(note & FLOW_NOTE_STATE), e, &e);
	if (verdict == POLICY_FLOW_PASS)
		take_over(&j, e, note, true);
	return verdict;
}
