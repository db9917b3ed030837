/* What a packet does to a flow. The TCP part as a table: a row a state, a column an event. */
#include "policy_flow_private.h"

/* Events of TCP: what the flags say, from the side that opened the flow or from the other. */
enum event {
	EVENT_SYN = 0,
	EVENT_SYN_ACK = 1,
	EVENT_ACK = 2, /* data too */
	EVENT_FIN = 3,
	EVENT_RST = 4,
	N_EVENTS = 5,
	EVENT_BAD = 5,
};

/* FIN goes with ACK, nothing goes with SYN but ACK, and only SYN and RST come without it. */
static enum event event_of(uint8_t flags)
{
	switch (flags & (POLICY_TCP_SYN | POLICY_TCP_ACK | POLICY_TCP_FIN | POLICY_TCP_RST)) {
	case POLICY_TCP_SYN:
		return EVENT_SYN;
	case POLICY_TCP_SYN | POLICY_TCP_ACK:
		return EVENT_SYN_ACK;
	case POLICY_TCP_ACK:
		return EVENT_ACK;
	case POLICY_TCP_FIN | POLICY_TCP_ACK:
		return EVENT_FIN;
	case POLICY_TCP_RST:
	case POLICY_TCP_RST | POLICY_TCP_ACK:
		return EVENT_RST;
	default:
		return EVENT_BAD;
	}
}

enum { NO = 0, OPENS = POLICY_FLOW_N_STATES }; /* refused; decided anew */
#define SYN    POLICY_FLOW_TCP_OPENING
#define SYNACK POLICY_FLOW_TCP_ANSWERED
#define EST    POLICY_FLOW_TCP_ESTABLISHED
#define HALF   POLICY_FLOW_TCP_HALF_CLOSED
#define CLOSED POLICY_FLOW_TCP_CLOSED
#define RESET  POLICY_FLOW_TCP_RESET

/* [state][from the opener][event] -> state. A FIN in HALF closes if it is the second side's. */
static const uint8_t tcp[POLICY_FLOW_N_STATES][2][N_EVENTS] = {
	/*               SYN     SYN_ACK  ACK     FIN     RST */
	[SYN] = {{NO, SYNACK, NO, NO, RESET}, {SYN, NO, NO, NO, RESET}},
	[SYNACK] = {{NO, SYNACK, NO, NO, RESET}, {SYNACK, NO, EST, HALF, RESET}},
	[EST] = {{NO, EST, EST, HALF, RESET}, {EST, NO, EST, HALF, RESET}},
	[HALF] = {{NO, NO, HALF, HALF, RESET}, {HALF, NO, HALF, HALF, RESET}},
	[CLOSED] = {{OPENS, NO, CLOSED, CLOSED, RESET}, {OPENS, NO, CLOSED, CLOSED, RESET}},
	[RESET] = {{OPENS, NO, NO, NO, NO}, {OPENS, NO, NO, NO, NO}},
};

static struct flow_step refuse(const struct flow_entry *e, enum policy_flow_verdict verdict)
{
	return (struct flow_step){.verdict = verdict, .state = flow_state(e)};
}

static struct flow_step step_tcp(const struct flow_entry *e, const struct policy_packet *packet,
                                 bool from_opener)
{
	enum policy_flow_state state = flow_state(e);
	struct flow_step step = {.verdict = POLICY_FLOW_PASS};
	enum event event = packet->kind == POLICY_KIND_FRAGMENT ? EVENT_ACK
	                                                        : event_of(packet->tcp_flags);
	uint8_t next;

	if (event == EVENT_BAD)
		return refuse(e, POLICY_FLOW_TCP_FLAGS);
	next = tcp[state][from_opener][event];
	if (next == NO)
		return refuse(e, POLICY_FLOW_STATE);
	step.is_opening = next == OPENS;
	step.state = step.is_opening ? state : (enum policy_flow_state)next;
	if (event == EVENT_FIN && step.state == HALF) {
		step.fins = from_opener ? FLOW_FIN_OPENER : FLOW_FIN_OTHER;
		if (((e->high | step.fins) & FLOW_FINS) == FLOW_FINS)
			step.state = CLOSED;
	}
	step.is_silent = state == CLOSED && step.state == CLOSED;
	return step;
}

/* Without a handshake: one side, then both. */
static struct flow_step step_plain(const struct flow_entry *e, const struct policy_packet *packet,
                                   bool from_opener)
{
	struct flow_step step = {.verdict = POLICY_FLOW_PASS, .state = flow_state(e)};

	if (packet->kind == (from_opener ? POLICY_KIND_ECHO_REPLY : POLICY_KIND_ECHO_REQUEST))
		return refuse(e, POLICY_FLOW_STATE);
	if (!from_opener)
		step.state = POLICY_FLOW_BOTH_WAYS;
	return step;
}

struct flow_step flow__step(const struct flow_entry *e, const struct policy_packet *packet,
                            bool from_opener)
{
	struct flow_step step;

	if (packet->kind == POLICY_KIND_ERROR) {
		step = refuse(e, POLICY_FLOW_PASS);
		if (step.state == RESET)
			step.verdict = POLICY_FLOW_NO_FLOW;
		step.is_silent = true;
		return step;
	}
	step = flow_proto(e) == POLICY_PROTO_TCP ? step_tcp(e, packet, from_opener)
	                                         : step_plain(e, packet, from_opener);
	/* its first fragment did, and a note would go with a packet that does not say its ports */
	if (packet->kind == POLICY_KIND_FRAGMENT)
		step.is_silent = true;
	return step;
}

enum policy_flow_verdict flow__opening(const struct policy_packet *packet,
                                       enum policy_flow_state *state)
{
	*state = POLICY_FLOW_ONE_WAY;
	switch ((enum policy_kind)packet->kind) {
	case POLICY_KIND_TCP:
		*state = POLICY_FLOW_TCP_OPENING;
		if (event_of(packet->tcp_flags) == EVENT_SYN)
			return POLICY_FLOW_PASS;
		return event_of(packet->tcp_flags) == EVENT_BAD ? POLICY_FLOW_TCP_FLAGS
		                                                : POLICY_FLOW_NO_FLOW;
	case POLICY_KIND_UDP:
	case POLICY_KIND_OTHER:
	case POLICY_KIND_ECHO_REQUEST:
		return POLICY_FLOW_PASS;
	default:
		return POLICY_FLOW_NO_FLOW;
	}
}

uint32_t policy_flow_timeout_s(enum policy_flow_state state, uint8_t proto)
{
	static const uint16_t timeouts_s[POLICY_FLOW_N_STATES] = {
		[POLICY_FLOW_TCP_OPENING] = FLOW_OPENING_S,
		[POLICY_FLOW_TCP_ANSWERED] = 30,
		[POLICY_FLOW_TCP_ESTABLISHED] = FLOW_ESTABLISHED_S,
		[POLICY_FLOW_TCP_HALF_CLOSED] = 600,
		[POLICY_FLOW_TCP_CLOSED] = 10,
		[POLICY_FLOW_TCP_RESET] = 5,
		[POLICY_FLOW_ONE_WAY] = FLOW_ONE_WAY_S,
		[POLICY_FLOW_BOTH_WAYS] = FLOW_BOTH_WAYS_S,
	};

	if (state == POLICY_FLOW_BOTH_WAYS
	    && (proto == POLICY_PROTO_ICMP || proto == POLICY_PROTO_ICMPV6))
		return 30;
	return timeouts_s[state];
}

const char *policy_flow_verdict_text(enum policy_flow_verdict verdict)
{
	static const char *const texts[POLICY_FLOW_N_VERDICTS] = {
		[POLICY_FLOW_PASS] = "passes",
		[POLICY_FLOW_NO_FLOW] = "belongs to no flow and opens none",
		[POLICY_FLOW_NO_DATAGRAM] = "later fragment of a datagram that is not known",
		[POLICY_FLOW_NO_SOURCE] = "the policy knows no such sender at this address",
		[POLICY_FLOW_NO_DESTINATION] = "the policy knows no such receiver at this address",
		[POLICY_FLOW_NO_GRANT] = "no grant for this sender, receiver, protocol and port",
		[POLICY_FLOW_NOT_NOW] = "its grants are outside their windows of time",
		[POLICY_FLOW_REVOKED] = "the grant of this flow is gone",
		[POLICY_FLOW_TCP_FLAGS] = "flags that no TCP sends",
		[POLICY_FLOW_STATE] = "not in this state of the flow, or not from this side",
		[POLICY_FLOW_FULL] = "the flow table is full",
		[POLICY_FLOW_PEER_FULL] = "its opener has as many flows as a peer may",
		[POLICY_FLOW_PEER_HALF] = "its opener has as many half open flows as a peer may",
	};

	return (unsigned int)verdict < POLICY_FLOW_N_VERDICTS ? texts[verdict] : "unknown verdict";
}

const char *policy_flow_state_text(enum policy_flow_state state)
{
	static const char *const texts[POLICY_FLOW_N_STATES] = {
		[POLICY_FLOW_FREE] = "free",
		[POLICY_FLOW_TCP_OPENING] = "opening",
		[POLICY_FLOW_TCP_ANSWERED] = "answered",
		[POLICY_FLOW_TCP_ESTABLISHED] = "established",
		[POLICY_FLOW_TCP_HALF_CLOSED] = "half-closed",
		[POLICY_FLOW_TCP_CLOSED] = "closed",
		[POLICY_FLOW_TCP_RESET] = "reset",
		[POLICY_FLOW_ONE_WAY] = "one-way",
		[POLICY_FLOW_BOTH_WAYS] = "both-ways",
	};

	return (unsigned int)state < POLICY_FLOW_N_STATES ? texts[state] : "unknown";
}
