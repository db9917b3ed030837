/* Judging packets: what policy_flow_pass() has left over, and what other workers tell. */
#include "policy_flow_index.h"

/* What one call works with. */
struct judge {
	struct policy_flow *flow;
	struct flow_moment now;
};

/* The flow that a packet is of, if there is one, and what was found out about it ahead. */
struct arrival {
	struct flow_key key;
	uint32_t hash;
	uint32_t number;   /* of its entry, probably; 0 = none, probably */
	uint32_t stranger; /* enum policy_flow_verdict: not POLICY_FLOW_PASS: it names no peer */
	bool is_decided;   /* may the high (or else the low) side open it? */
	bool is_decided_high;
	struct policy_decision decision;
};

static struct judge judge_begin(struct policy_flow *flow, const struct policy_table *table,
                                struct policy_flow_clock clock)
{
	return (struct judge){.flow = flow, .now = flow_moment(flow, table, clock)};
}

static inline bool opener_is_high(const struct flow_entry *e)
{
	return (e->high & FLOW_OPENER_HIGH) != 0;
}

void flow__opener(const struct flow_entry *e, struct policy_packet *out)
{
	struct flow_key key = flow_key_of(e);

	flow_turn_to(&key, opener_is_high(e), out);
}

static void arrive(struct arrival *arrival, const struct policy_flow *flow,
                   const struct policy_packet *packet)
{
	arrival->stranger = POLICY_FLOW_PASS;
	if (packet->in_peer > POLICY_HUB)
		arrival->stranger = POLICY_FLOW_NO_SOURCE;
	else if (packet->out_peer > POLICY_HUB)
		arrival->stranger = POLICY_FLOW_NO_DESTINATION;
	flow_key_make(&arrival->key, packet);
	arrival->hash = flow_hash(flow->secret, &arrival->key);
	arrival->is_decided = false;
}

/* ---- decisions ----------------------------------------------------------------------------------- */

enum policy_flow_verdict flow__verdict_of(uint32_t reason)
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
	e->epoch = j->now.table_epoch; /* what is judged here may come from anywhere */
	e->recheck_s = flow_recheck_of(decision);
}

/* May this side open the flow? */
static struct policy_decision decide(const struct judge *j, const struct arrival *arrival,
                                     bool is_high)
{
	struct policy_packet opener;

	if (arrival->is_decided && arrival->is_decided_high == is_high)
		return arrival->decision;
	flow_turn_to(&arrival->key, is_high, &opener);
	return policy_decide(j->now.table, &opener, j->now.wall_s);
}

/* Is what once was allowed still? Ends the flow if not. */
static bool is_still_allowed(const struct judge *j, const struct arrival *arrival,
                             struct flow_entry *e)
{
	struct policy_decision decision;

	if (flow_entry_is_current(e, &j->now))
		return true;
	decision = decide(j, arrival, opener_is_high(e));
	if (decision.reason != POLICY_ALLOWED) {
		flow__end(j->flow, e);
		return false;
	}
	remember(j, e, &decision);
	return true;
}

/* ---- opening ------------------------------------------------------------------------------------- */

/* May this side open any such flow at all? The hub's own services only answer. */
static bool can_open(const struct flow_key *key, bool is_high)
{
	uint8_t proto = (uint8_t)(key->low >> 24);
	uint32_t opener = (is_high ? key->high : key->low) & FLOW_PEER_MASK;
	uint16_t port = (uint16_t)(is_high ? key->ports : key->ports >> 16);

	if (opener != POLICY_HUB || proto == POLICY_PROTO_ICMP || proto == POLICY_PROTO_ICMPV6)
		return true;
	return (proto == POLICY_PROTO_TCP || proto == POLICY_PROTO_UDP) && port >= FLOW_CLIENT_PORT;
}

/* Make the flow that this side would open, if policy and room allow it. old: an entry of this key that is
 * over, or NULL. *made is written on POLICY_FLOW_PASS. */
static enum policy_flow_verdict open_flow(const struct judge *j, const struct arrival *arrival,
                                          bool is_high, enum policy_flow_state state,
                                          struct flow_entry *old, struct flow_entry **made)
{
	uint32_t opener = (is_high ? arrival->key.high : arrival->key.low) & FLOW_PEER_MASK;
	enum policy_flow_verdict verdict = (enum policy_flow_verdict)arrival->stranger;
	struct policy_decision decision;

	if (verdict != POLICY_FLOW_PASS)
		return verdict;
	if (!can_open(&arrival->key, is_high))
		return POLICY_FLOW_NO_FLOW;
	decision = decide(j, arrival, is_high);
	verdict = flow__verdict_of(decision.reason);
	if (verdict == POLICY_FLOW_PASS)
		verdict = flow_charge_check(j->flow, opener);
	if (verdict != POLICY_FLOW_PASS)
		return verdict;
	if (old != NULL)
		flow__make_again(j->flow, old, is_high, state, j->now.now_s);
	else
		old = flow__make(j->flow, &arrival->key, arrival->hash, is_high, state,
		                 j->now.now_s);
	if (old == NULL)
		return POLICY_FLOW_FULL;
	remember(j, old, &decision);
	*made = old;
	return POLICY_FLOW_PASS;
}

bool flow__is_picking_up(const struct policy_flow *flow, uint32_t now_s, uint32_t in_peer,
                         uint32_t out_peer)
{
	return now_s - flow->start_s < flow->pickup_s || flow__has_arrived(flow, in_peer, now_s)
	       || flow__has_arrived(flow, out_peer, now_s);
}

/* A packet in the middle of a flow that began before this table did, or elsewhere: its sender's or its
 * receiver's. */
static enum policy_flow_verdict open_in_the_middle(const struct judge *j,
                                                   const struct arrival *arrival,
                                                   const struct policy_packet *packet,
                                                   struct flow_entry *old, struct flow_entry **made)
{
	bool is_tcp = packet->proto == POLICY_PROTO_TCP;
	enum policy_flow_state state = is_tcp ? POLICY_FLOW_TCP_ESTABLISHED : POLICY_FLOW_BOTH_WAYS;
	bool high = flow_sender_is_high(packet);

	if (!flow__is_picking_up(j->flow, j->now.now_s, packet->in_peer, packet->out_peer)
	    || packet->kind == POLICY_KIND_ERROR || packet->kind == POLICY_KIND_FRAGMENT
	    || (is_tcp && (packet->tcp_flags & (POLICY_TCP_SYN | POLICY_TCP_RST)) != 0))
		return POLICY_FLOW_NO_FLOW;
	if (packet->kind != POLICY_KIND_ECHO_REPLY
	    && open_flow(j, arrival, high, state, old, made) == POLICY_FLOW_PASS)
		return POLICY_FLOW_PASS;
	return open_flow(j, arrival, !high, state, old, made) == POLICY_FLOW_PASS
	               ? POLICY_FLOW_PASS
	               : POLICY_FLOW_NO_FLOW;
}

static enum policy_flow_verdict pick_up(const struct judge *j, const struct arrival *arrival,
                                        const struct policy_packet *packet, struct flow_entry *old,
                                        struct flow_entry **made)
{
	enum policy_flow_verdict verdict = open_in_the_middle(j, arrival, packet, old, made);

	j->flow->n_picked_up += verdict == POLICY_FLOW_PASS;
	return verdict;
}

uint32_t policy_flow_picked_up(struct policy_flow *flow)
{
	uint32_t n = flow->n_picked_up;

	flow->n_picked_up = 0;
	return n;
}

/* The packet belongs to no flow that lives. */
static enum policy_flow_verdict open_for(const struct judge *j, const struct arrival *arrival,
                                         const struct policy_packet *packet, struct flow_entry *old,
                                         struct flow_entry **made)
{
	enum policy_flow_state state;
	enum policy_flow_verdict verdict = flow__opening(packet, &state);

	if (verdict == POLICY_FLOW_NO_FLOW)
		return pick_up(j, arrival, packet, old, made);
	if (verdict == POLICY_FLOW_PASS)
		verdict = open_flow(j, arrival, flow_sender_is_high(packet), state, old, made);
	/* a reply whose question was before this table */
	if ((verdict == POLICY_FLOW_NO_GRANT || verdict == POLICY_FLOW_NOT_NOW
	     || verdict == POLICY_FLOW_NO_FLOW)
	    && state == POLICY_FLOW_ONE_WAY && packet->kind != POLICY_KIND_ECHO_REQUEST
	    && pick_up(j, arrival, packet, old, made) == POLICY_FLOW_PASS)
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

static void judge_known(const struct judge *j, const struct arrival *arrival, struct flow_entry *e,
                        const struct policy_packet *packet, struct policy_flow_result *result)
{
	bool is_high = flow_sender_is_high(packet);
	bool from_opener = is_high == opener_is_high(e);
	struct flow_step step = flow__step(e, packet, from_opener);
	struct flow_entry *made;

	result->verdict = (uint8_t)step.verdict;
	if (step.verdict != POLICY_FLOW_PASS)
		return;
	if (!step.is_opening) {
		apply(j, e, &step, from_opener, result);
		return;
	}
	result->verdict = (uint8_t)open_flow(j, arrival, is_high, POLICY_FLOW_TCP_OPENING, e,
	                                     &made);
	if (result->verdict == POLICY_FLOW_PASS) {
		result->grant = made->grant;
		result->note = flow_note_make(made, true);
	}
}

static void judge_unknown(const struct judge *j, const struct arrival *arrival,
                          const struct policy_packet *packet, struct flow_entry *old,
                          struct policy_flow_result *result)
{
	struct flow_entry *made;

	result->verdict = (uint8_t)open_for(j, arrival, packet, old, &made);
	if (result->verdict != POLICY_FLOW_PASS)
		return;
	result->grant = made->grant;
	result->note = flow_note_make(made, flow_sender_is_high(packet) == opener_is_high(made));
}

static void judge_arrival(const struct judge *j, const struct arrival *arrival,
                          const struct policy_packet *packet, struct policy_flow_result *result)
{
	struct flow_entry *e = flow__find(j->flow, &arrival->key, arrival->hash);

	*result = (struct policy_flow_result){0};
	if (e == NULL || flow__timed_out(e, j->now.now_s)) {
		judge_unknown(j, arrival, packet, e, result);
	} else if (is_still_allowed(j, arrival, e)) {
		judge_known(j, arrival, e, packet, result);
	} else {
		judge_unknown(j, arrival, packet, NULL, result);
		if (result->verdict != POLICY_FLOW_PASS)
			result->verdict = POLICY_FLOW_REVOKED;
	}
}

/* Not the first of its datagram: judged as a packet of the flow that the first was of. */
static void judge_fragment(const struct judge *j, const struct policy_packet *later,
                           struct policy_flow_result *result)
{
	struct policy_packet whole = *later;
	struct arrival arrival;

	*result = (struct policy_flow_result){.verdict = POLICY_FLOW_NO_DATAGRAM};
	if (!flow__datagram_complete(j->flow, &whole, j->now.now_s))
		return;
	arrive(&arrival, j->flow, &whole);
	judge_arrival(j, &arrival, &whole, result);
}

/* ---- a burst ------------------------------------------------------------------------------------- */

/* Packets that a decision will be needed for, most probably. */
struct asked {
	uint32_t n;
	const struct policy_packet *packets[POLICY_FLOW_BURST_MAX];
	struct arrival *arrivals[POLICY_FLOW_BURST_MAX];
	struct policy_packet openers[POLICY_FLOW_BURST_MAX]; /* those that are not of the burst */
};

/* May the sender of this packet open the flow? */
static void ask(const struct judge *j, struct asked *asked, struct arrival *arrival,
                const struct policy_packet *packet, bool is_high)
{
	const struct flow_answer *answer = flow_answer_of(j->flow, packet);

	arrival->is_decided_high = is_high;
	if (flow_answer_fits(answer, packet, &j->now)) {
		arrival->is_decided = true;
		arrival->decision = flow_answer_read(answer);
		return;
	}
	asked->packets[asked->n] = packet;
	asked->arrivals[asked->n++] = arrival;
}

static bool is_opening(const struct arrival *arrival, const struct policy_packet *packet)
{
	enum policy_flow_state state;

	return arrival->number == 0 && arrival->stranger == POLICY_FLOW_PASS
	       && packet->kind != POLICY_KIND_FRAGMENT
	       && flow__opening(packet, &state) == POLICY_FLOW_PASS;
}

/* Second step: the entry, or what a new one needs. *n_new: new ones before it. */
static void look_up(const struct judge *j, struct arrival *arrival,
                    const struct policy_packet *packet, uint32_t *n_new)
{
	arrival->number = flow__candidate(j->flow, arrival->hash);
	if (!is_opening(arrival, packet)) {
		__builtin_prefetch(&j->flow->entries[arrival->number], 1);
		return;
	}
	__builtin_prefetch(flow_answer_of(j->flow, packet));
	flow_make_prefetch(j->flow, packet->in_peer, (*n_new)++);
}

/* Third step: what is to be decided. */
static void foresee(const struct judge *j, struct asked *asked, struct arrival *arrival,
                    const struct policy_packet *packet)
{
	const struct flow_entry *e = &j->flow->entries[arrival->number];

	if (is_opening(arrival, packet)) {
		ask(j, asked, arrival, packet, flow_sender_is_high(packet));
	} else if (arrival->number != 0 && !flow_entry_is_current(e, &j->now)
	           && flow_key_equal(e, &arrival->key)) {
		flow__opener(e, &asked->openers[asked->n]);
		ask(j, asked, arrival, &asked->openers[asked->n], opener_is_high(e));
	}
}

static void decide_asked(const struct judge *j, struct asked *asked)
{
	struct policy_decision decisions[POLICY_FLOW_BURST_MAX];

	policy_decide_many(j->now.table, asked->packets, asked->n, j->now.wall_s, decisions);
	for (uint32_t i = 0; i < asked->n; i++) {
		asked->arrivals[i]->decision = decisions[i];
		asked->arrivals[i]->is_decided = true;
		flow_answer_keep(j->flow, &j->now, asked->packets[i], &decisions[i]);
	}
}

void policy_flow_judge(struct policy_flow *flow, const struct policy_table *table,
                       struct policy_flow_clock clock, const struct policy_packet *packets,
                       struct policy_flow_result *results, uint32_t n)
{
	struct judge j = judge_begin(flow, table, clock);
	struct arrival arrivals[POLICY_FLOW_BURST_MAX];
	struct asked asked;
	uint32_t n_new = 0;

	for (uint32_t i = 0; i < n; i++) {
		arrive(&arrivals[i], flow, &packets[i]);
		__builtin_prefetch(&flow->buckets[flow_bucket_of(flow, arrivals[i].hash)]);
	}
	for (uint32_t i = 0; i < n; i++)
		look_up(&j, &arrivals[i], &packets[i], &n_new);
	asked.n = 0;
	for (uint32_t i = 0; i < n; i++)
		foresee(&j, &asked, &arrivals[i], &packets[i]);
	if (asked.n != 0)
		decide_asked(&j, &asked);
	for (uint32_t i = 0; i < n; i++) {
		if (packets[i].kind == POLICY_KIND_FRAGMENT) {
			judge_fragment(&j, &packets[i], &results[i]);
			continue;
		}
		judge_arrival(&j, &arrivals[i], &packets[i], &results[i]);
		if (packets[i].is_fragment != 0 && results[i].verdict == POLICY_FLOW_PASS)
			flow__datagram_put(flow, &packets[i], clock.now_s);
	}
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
	bool is_high = flow_sender_is_high(packet) == ((note & FLOW_NOTE_FROM_OPENER) != 0);
	enum policy_flow_verdict verdict;
	struct arrival arrival;
	struct flow_entry *e;

	if (!flow_state_fits((enum policy_flow_state)(note & FLOW_NOTE_STATE), packet->proto))
		return POLICY_FLOW_NO_FLOW;
	arrive(&arrival, flow, packet);
	e = flow__find(flow, &arrival.key, arrival.hash);
	if (e != NULL && !flow__timed_out(e, j.now.now_s) && !is_newer(e, note)) {
		if (!is_still_allowed(&j, &arrival, e))
			return POLICY_FLOW_REVOKED;
		take_over(&j, e, note, is_high == opener_is_high(e));
		return POLICY_FLOW_PASS;
	}
	verdict = open_flow(&j, &arrival, is_high, (enum policy_flow_state)(note & FLOW_NOTE_STATE),
	                    e, &e);
	if (verdict == POLICY_FLOW_PASS)
		take_over(&j, e, note, true);
	return verdict;
}
