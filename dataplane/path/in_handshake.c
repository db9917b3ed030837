/* Handshake messages on their way to control: initiations and responses, of which in_parse has checked the
 * form. Their mac1 is checked here, all of a burst at once; and when more come than control can look at,
 * they must prove where they come from (whitepaper 5.3): without a right mac2 a message is answered with a
 * cookie, in its own buffer. Only what has a right mac1 is ever answered. */
#include "base_time.h"
#include "path.h"
#include "path_header.h"

#include <errno.h>

/* A message with a right mac1. */
struct knock {
	struct path_pkt *p;
	uint32_t key; /* whose */
	bool proven;
	struct base_endpoint source;
	struct base_ip local; /* what was asked */
};

static uint32_t to_control(struct state *st, const struct knock *knock)
{
	path_to_control(st, knock->p, knock->key, knock->proven);
	return PATH_GONE;
}

/* Its buffer becomes the answer. */
static uint32_t send_cookie(struct state *st, const struct knock *knock,
                            const struct state_hop *hop)
{
	const uint64_t random[3] = {state_random(st), state_random(st), state_random(st)};
	struct path_pkt *p = knock->p;
	uint8_t reply[WG_COOKIE_LEN];

	state_gate_reply(&st->gate, knock->key, p->data, p->len, &knock->source, random, st->now_ns,
	                 reply);
	memcpy(p->data, reply, sizeof(reply));
	p->len = sizeof(reply);
	path_header_frame(st, p, hop, &knock->source);
	path_aside(&st->replies, p->mbuf);
	state_count(st, ABI_COUNTER_HS_REFUSED_UNDER_LOAD, 1);
	state_count(st, ABI_COUNTER_HS_COOKIE_OUT, 1);
	return PATH_GONE;
}

/* Of all cookies, and of those that are given while others wait. */
static bool take_reply(struct state *st)
{
	struct state_gate *gate = &st->gate;

	if (gate->is_behind
	    && !state_gate_take(&gate->replies_behind, STATE_GATE_BEHIND_PER_S,
	                        STATE_GATE_REPLIES_BURST, 1, st->now_ns))
		return false;
	return state_gate_take(&gate->replies, STATE_GATE_REPLIES_PER_S, STATE_GATE_REPLIES_BURST,
	                       1, st->now_ns);
}

static uint32_t ask_for_proof(struct state *st, const struct knock *knock)
{
	struct state_hop hop;

	/* A full table is no reason: then the budget of all decides alone. */
	if (base_source_take_port(&st->gate.asked_of, &knock->source, st->now_ns)
	            == BASE_SOURCE_OVER
	    || !take_reply(st))
		return ABI_COUNTER_DROP_COOKIE_LIMIT;
	switch (state_wan_resolve(st, &knock->source.ip, &knock->local, knock->p->mbuf->port,
	                          &hop)) {
	case 0:
		return send_cookie(st, knock, &hop);
	case -EHOSTUNREACH:
		state_event_neighbour(st, &hop.next, hop.port);
		return ABI_COUNTER_DROP_NO_NEIGHBOUR;
	default:
		return ABI_COUNTER_DROP_NO_WAN_ROUTE;
	}
}

/* It has answered a cookie: it is where it says, and gets its share. */
static uint32_t judge_proven(struct state *st, const struct knock *knock)
{
	struct state_gate *gate = &st->gate;

	switch (base_source_take(&gate->proven_of, &knock->source.ip, st->now_ns)) {
	case BASE_SOURCE_OK:
		break;
	case BASE_SOURCE_OVER:
		return ABI_COUNTER_DROP_SOURCE_LIMIT;
	case BASE_SOURCE_FULL:
		return ABI_COUNTER_DROP_SOURCE_FULL;
	}
	if (!state_gate_take(&gate->proven, STATE_GATE_CONTROL_PER_S, STATE_GATE_CONTROL_BURST,
	                     st->n_workers, st->now_ns))
		return ABI_COUNTER_DROP_CONTROL_LIMIT;
	return to_control(st, knock);
}

static uint32_t judge_unproven(struct state *st, const struct knock *knock)
{
	struct state_gate *gate = &st->gate;

	if (base_source_take(&gate->unproven_of, &knock->source.ip, st->now_ns) == BASE_SOURCE_OK
	    && state_gate_take(&gate->trial, STATE_GATE_TRIAL_PER_S, STATE_GATE_TRIAL_BURST,
	                       st->n_workers, st->now_ns))
		return to_control(st, knock);
	return ask_for_proof(st, knock);
}

/* Is more wanted than control can do, now or within the last second? Every message counts. */
static bool is_under_load(struct state *st)
{
	struct state_gate *gate = &st->gate;
	bool was = st->now_ns < gate->load_until_ns;

	if (state_gate_take(&gate->control, STATE_GATE_CONTROL_PER_S, STATE_GATE_CONTROL_BURST,
	                    st->n_workers, st->now_ns))
		return was;
	gate->load_until_ns = st->now_ns + STATE_GATE_HOLD_NS;
	if (!was)
		state_count(st, ABI_COUNTER_UNDER_LOAD, 1);
	return true;
}

static uint32_t judge(struct state *st, struct path_pkt *p, uint32_t key)
{
	struct knock knock = {.p = p, .key = key};

	if (!is_under_load(st))
		return to_control(st, &knock);
	path_header_read(p->mbuf, p->data, &knock.source, &knock.local);
	knock.proven = wg_cookie_mac2_ok(&st->gate.keys[key].cookies, p->data, p->len,
	                                 &knock.source, st->now_ns);
	return knock.proven ? judge_proven(st, &knock) : judge_unproven(st, &knock);
}

/* The handshake messages of the burst and their places, as many as may be checked. */
static uint32_t collect(struct state *st, const struct path_burst *b, const uint8_t *messages[],
                        uint8_t place[])
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		if (b->pkt[i].data[0] == WG_MESSAGE_DATA)
			continue;
		if (!state_gate_take(&st->gate.mac1, STATE_GATE_MAC1_PER_S, STATE_GATE_MAC1_BURST,
		                     1, st->now_ns))
			break;
		messages[n] = b->pkt[i].data;
		place[n++] = (uint8_t)i;
	}
	return n;
}

/* By place in the burst: right for key k is RIGHT + k. */
enum {
	NOT_LOOKED_AT = 0,
	WRONG = 1,
	RIGHT = 2,
};

static void check_mac1(struct state *st, const struct path_burst *b, uint8_t found[PATH_BURST_MAX])
{
	const uint8_t *messages[PATH_BURST_MAX];
	uint8_t place[PATH_BURST_MAX];
	uint32_t n = collect(st, b, messages, place);

	memset(found, NOT_LOOKED_AT, PATH_BURST_MAX);
	for (uint32_t i = 0; i < n; i++)
		found[place[i]] = WRONG;
	for (uint32_t key = 0; key < st->gate.n_keys; key++) {
		uint64_t right = wg_mac1_check(&st->gate.keys[key].mac1, messages, n);

		for (uint32_t i = 0; i < n; i++)
			if (right >> i & 1)
				found[place[i]] = (uint8_t)(RIGHT + key);
	}
}

static uint32_t verdict(struct state *st, struct path_pkt *p, uint8_t found)
{
	if (p->data[0] == WG_MESSAGE_DATA)
		return PATH_KEEP;
	switch (found) {
	case NOT_LOOKED_AT:
		return ABI_COUNTER_DROP_MAC1_LIMIT;
	case WRONG:
		return ABI_COUNTER_DROP_WG_MAC1;
	default:
		return judge(st, p, found - (uint32_t)RIGHT);
	}
}

void in_handshake(struct state *st, struct path_burst *b)
{
	uint8_t found[PATH_BURST_MAX];
	uint32_t n = 0;

	check_mac1(st, b, found);
	for (uint32_t i = 0; i < b->n; i++)
		path_judge(st, b, i, verdict(st, &b->pkt[i], found[i]), &n);
	b->n = n;
	st->gate.n_waiting = 0;
}
