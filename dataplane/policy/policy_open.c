/* Frames that open a flow, the quick way: plain ones, of which policy_flow_find() has found out, on its way,
 * that there is no flow they could be of, so that their key is known and their bucket at hand.
 * All that policy_flow_judge() has to ask of such a packet is the decision, and often that was given
 * before. What is less simple is left to it.
 *
 * Most bursts have none, and most others have one: then nothing is in the first-level caches, neither what is
 * read nor the instructions, so that one goes a way of its own, which is short. */
#include "policy_flow_index.h"

/* ---- ahead --------------------------------------------------------------------------------------- */

/* Does it open a flow, and is there surely none that it could be of? Packets to the sender itself have no low
 * side: there might be. */
static bool is_opener(const struct policy_flow *flow, const struct policy_frame *frame, uint32_t i)
{
	const struct flow_burst *b = flow->burst;
	const struct flow_entry *key = &b->keys[i];

	return flow_peers_are_plain(frame)
	       && ((b->syns >> i & 1) != 0 || flow_proto(key) == POLICY_PROTO_UDP)
	       && b->numbers[i] == 0 && flow->buckets[b->buckets[i]].n_next_door == 0
	       && !policy_address_equal(key->address[0], key->address[1]);
}

/* The tuple as the frame bears it. */
static inline void read_packet(struct flow_burst *b, const struct policy_frame *frame, uint32_t i)
{
	const struct flow_entry *key = &b->keys[i];
	uint32_t is_high = (uint32_t)(b->highs >> i) & 1;
	uint64_t ports = (uint64_t)key->ports << 32 | key->ports; /* low, high, low, high side's */

	b->packets[i] = (struct policy_packet){
		.src = key->address[is_high],
		.dst = key->address[is_high ^ 1],
		.in_peer = frame->in_peer,
		.out_peer = frame->out_peer,
		.sport = (uint16_t)(ports >> (16 + 16 * is_high)),
		.dport = (uint16_t)(ports >> (16 * is_high)),
		.proto = flow_proto(key),
	};
}

void policy_flow_foresee(struct policy_flow *flow, const struct policy_table *table,
                         const struct policy_frame *frames, uint64_t of)
{
	struct flow_burst *b = flow->burst;

	for (; of != 0; of &= of - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(of);

		if (!is_opener(flow, &frames[i], i))
			continue;
		b->openers |= of & -of;
		flow_burst_add_peers(b, &frames[i], i);
		read_packet(b, &frames[i], i);
		policy__decide_prefetch(table, &b->packets[i]);
	}
}

/* ---- making -------------------------------------------------------------------------------------- */

/* The first free place in frame number i's bucket, or NULL. */
static inline uint32_t *find_room(const struct policy_flow *flow, uint32_t i)
{
	struct flow_bucket *bucket = &flow->buckets[flow->burst->buckets[i]];
	uint32_t empty = flow_bucket_match(bucket, UINT32_MAX, 0);

	return empty != 0 ? &bucket->place[__builtin_ctz(empty)] : NULL;
}

/* list: of the second in which what is half open since now may time out. */
static inline void make(struct policy_flow *flow, const struct flow_moment *now, uint32_t i,
                        const struct policy_decision *decision, uint32_t *room, uint32_t *list,
                        struct policy_flow_result *result)
{
	const struct flow_burst *b = flow->burst;
	const struct flow_entry *key = &b->keys[i];
	uint32_t opener = b->packets[i].in_peer;
	struct flow_charge *charge = flow_charge_of(flow, opener);
	enum policy_flow_state state = flow_proto(key) == POLICY_PROTO_TCP ? POLICY_FLOW_TCP_OPENING
	                                                                   : POLICY_FLOW_ONE_WAY;
	uint32_t is_high = (uint32_t)(b->highs >> i) & 1;
	uint32_t number = flow_next_free(flow, 0);
	struct flow_entry *e = &flow->entries[number];

	*result = (struct policy_flow_result){.verdict = (uint8_t)flow_charge_check(flow, opener)};
	if (result->verdict == POLICY_FLOW_PASS && number == 0)
		result->verdict = POLICY_FLOW_FULL;
	if (result->verdict != POLICY_FLOW_PASS)
		return;
	flow_use(flow, number);
	*room = b->tags[i] | number;
	charge->n++;
	charge->n_half++;
	e->address[0] = key->address[0];
	e->address[1] = key->address[1];
	e->low = key->low;
	e->high = (key->high & FLOW_PEER_MASK) | (uint32_t)state << FLOW_STATE_SHIFT
	          | is_high * FLOW_OPENER_HIGH;
	e->ports = key->ports;
	e->grant = result->grant = decision->grant;
	e->epoch = now->epoch;
	e->seen_s = now->now_s;
	e->recheck_s = flow_recheck_of(decision);
	e->next = *list;
	*list = number;
	result->note = (uint8_t)(FLOW_NOTE | FLOW_NOTE_FROM_OPENER | (uint32_t)state);
}

/* Returns false: it is for policy_flow_judge(). */
static inline bool refuse(const struct policy_flow *flow, const struct flow_moment *now, uint32_t i,
                          const struct policy_decision *decision, struct policy_flow_result *result)
{
	const struct policy_packet *packet = &flow->burst->packets[i];

	if (packet->proto == POLICY_PROTO_UDP /* may answer what came before this table */
	    && flow__is_picking_up(flow, now->now_s, packet->in_peer, packet->out_peer))
		return false;
	*result = (struct policy_flow_result){
		.verdict = (uint8_t)flow__verdict_of(decision->reason)};
	return true;
}

/* ---- one ----------------------------------------------------------------------------------------- */

static __attribute__((noinline)) bool make_one(struct policy_flow *flow,
                                               const struct flow_moment *now, uint32_t i,
                                               const struct policy_decision *decision,
                                               struct policy_flow_result *result)
{
	uint32_t *room = find_room(flow, i);

	if (room != NULL)
		make(flow, now, i, decision, room,
		     flow_wheel_list(flow, now->now_s + FLOW_OPENING_S), result);
	return room != NULL;
}

static inline bool finish_one(struct policy_flow *flow, const struct flow_moment *now, uint32_t i,
                              const struct policy_decision *decision,
                              struct policy_flow_result *result)
{
	return decision->reason == POLICY_ALLOWED ? make_one(flow, now, i, decision, result)
	                                          : refuse(flow, now, i, decision, result);
}

static bool open_one(struct policy_flow *flow, const struct flow_moment *now, uint32_t i,
                     struct policy_flow_result *result)
{
	const struct policy_packet *packet = &flow->burst->packets[i];
	const struct flow_answer *answer;
	struct policy_decision decision;

	if (policy__decide_quickly(now->table, &packet, 1, now->wall_s, &decision) == 0)
		return finish_one(flow, now, i, &decision, result);
	answer = flow_answer_of(flow, packet);
	if (flow_answer_fits(answer, packet, now)) {
		decision = flow_answer_read(answer);
	} else {
		decision = policy_decide(now->table, packet, now->wall_s);
		flow_answer_keep(flow, now, packet, &decision);
	}
	return finish_one(flow, now, i, &decision, result);
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
	uint32_t *rooms[POLICY_FLOW_BURST_MAX];
	struct policy_decision decisions[POLICY_FLOW_BURST_MAX];
};

static void begin(const struct policy_flow *flow, struct opening *o, uint64_t openers)
{
	o->n = 0;
	for (; openers != 0; openers &= openers - 1, o->n++) {
		uint32_t i = (uint32_t)__builtin_ctzll(openers);

		o->number[o->n] = (uint8_t)i;
		o->packets[o->n] = &flow->burst->packets[i];
		o->rooms[o->n] = find_room(flow, i);
		flow_make_prefetch(flow, o->packets[o->n]->in_peer, o->n);
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

/* room: the first free place of its bucket, before the burst; NULL if there was none. */
static inline bool finish(struct policy_flow *flow, const struct flow_moment *now, uint32_t i,
                          const struct policy_decision *decision, uint32_t *room, uint32_t *list,
                          struct policy_flow_result *result)
{
	if (room == NULL || *room != 0) /* taken by one before it, of the same flow perhaps */
		return false;
	if (decision->reason != POLICY_ALLOWED)
		return refuse(flow, now, i, decision, result);
	make(flow, now, i, decision, room, list, result);
	return true;
}

static uint64_t open_many(struct policy_flow *flow, const struct flow_moment *now,
                          struct policy_flow_result *results, uint64_t openers)
{
	uint32_t *list = flow_wheel_list(flow, now->now_s + FLOW_OPENING_S);
	struct opening o;
	uint64_t judged = 0;

	begin(flow, &o, openers);
	read_answers(flow, now, &o,
	             policy__decide_quickly(now->table, o.packets, o.n, now->wall_s, o.decisions));
	if (o.n_asked != 0)
		ask(flow, now, &o);
	for (uint32_t k = 0; k < o.n; k++) {
		uint32_t i = o.number[k];

		judged |= (uint64_t)finish(flow, now, i, &o.decisions[k], o.rooms[k], list,
		                           &results[i])
		          << i;
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
