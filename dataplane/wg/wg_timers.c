/* What is due. Events that arm and disarm in the data path are inline in the header. */
#include "wg_timers.h"

static bool is_due(uint64_t due_ns, uint64_t now_ns)
{
	return due_ns != 0 && now_ns >= due_ns;
}

void wg_timers_data_init(struct wg_timers_data *timers, uint64_t now_ns)
{
	*timers = (struct wg_timers_data){.packet_ns = now_ns};
}

void wg_timers_data_begin_persistent(struct wg_timers_data *timers)
{
	timers->packet_ns = 0;
}

/* When was this tick? Not later than now, and at most 73 minutes ago. 0: there was none. */
static uint64_t time_of(uint32_t tick, uint64_t now_ns)
{
	uint32_t age = wg_timers_tick(now_ns) - ((tick & ~3U) | 1U);

	return tick != 0 ? ((now_ns >> 10 & ~UINT64_C(3)) - age) << 10 : 0;
}

/* What was noted since the last time. */
static void take_notes(struct wg_timers_data *timers, uint32_t *sent, uint64_t now_ns)
{
	uint64_t received_ns = time_of(timers->received, now_ns);
	uint64_t data_ns = time_of(timers->received_data, now_ns);
	uint64_t sent_ns = time_of(*sent, now_ns);

	if (received_ns > timers->packet_ns)
		timers->packet_ns = received_ns;
	if (sent_ns > timers->packet_ns)
		timers->packet_ns = sent_ns;

	if (received_ns > timers->silent_ns)
		timers->silent_ns = 0;
	if ((*sent & WG_TIMERS_SENT_DATA) != 0 && timers->silent_ns == 0 && sent_ns >= received_ns)
		timers->silent_ns = sent_ns;

	if (sent_ns >= timers->unanswered_ns)
		timers->unanswered_ns = 0;
	if (sent_ns >= data_ns)
		timers->received_data = 0;
	/* A tick that stays says that more came after the data that waits for an answer. */
	if (timers->received_data != 0 && timers->unanswered_ns == 0) {
		timers->unanswered_ns = data_ns;
		timers->received_data = 0;
	}
	timers->received = 0;
	*sent = 0;
}

/* Asked for, and not again at once if the caller cannot send, else it would be for ever. */
static void ask_keepalive(struct wg_timers_data *timers, bool is_answer, uint64_t now_ns)
{
	timers->packet_ns = now_ns;
	if (!is_answer)
		return;
	/* The one that is sent now, in this tick, ends the next as well. */
	timers->unanswered_ns = timers->received_data != 0 ? time_of(wg_timers_tick(now_ns), now_ns)
	                                                   : 0;
	timers->received_data = 0;
}

enum wg_timers_data_due wg_timers_data_poll(struct wg_timers_data *timers, uint32_t *sent,
                                            uint32_t persistent_s, uint64_t jitter_ns,
                                            uint64_t now_ns)
{
	bool is_answer, is_persistent;

	take_notes(timers, sent, now_ns);
	is_answer = timers->unanswered_ns != 0
	            && now_ns >= timers->unanswered_ns + WG_KEEPALIVE_TIMEOUT_NS;
	is_persistent = persistent_s != 0
	                && (timers->packet_ns == 0
	                    || now_ns >= timers->packet_ns + persistent_s * BASE_NS_PER_S);
	if (is_answer || is_persistent) {
		ask_keepalive(timers, is_answer, now_ns);
		return WG_TIMERS_DATA_SEND_KEEPALIVE;
	}
	if (timers->silent_ns != 0
	    && now_ns >= timers->silent_ns + WG_KEEPALIVE_TIMEOUT_NS + WG_REKEY_TIMEOUT_NS
	                         + jitter_ns) {
		timers->silent_ns = 0;
		return WG_TIMERS_DATA_WANT_HANDSHAKE;
	}
	return WG_TIMERS_DATA_NOTHING;
}

void wg_timers_handshake_init(struct wg_timers_handshake *timers)
{
	*timers = (struct wg_timers_handshake){0};
}

static void arm_retransmit(struct wg_timers_handshake *timers, uint64_t now_ns, uint64_t jitter_ns)
{
	if (timers->retransmit_due_ns == 0) {
		timers->give_up_ns = now_ns + WG_REKEY_ATTEMPT_TIME_NS;
		timers->n_attempts = 0;
	}
	timers->retransmit_due_ns = now_ns + WG_REKEY_TIMEOUT_NS + jitter_ns;
}

static void disarm_retransmit(struct wg_timers_handshake *timers)
{
	timers->retransmit_due_ns = 0;
	timers->give_up_ns = 0;
	timers->n_attempts = 0;
}

bool wg_timers_handshake_want(struct wg_timers_handshake *timers, uint64_t now_ns)
{
	if (timers->retransmit_due_ns != 0) {
		/* Somebody still needs it: the 90 s begin anew (whitepaper 6.4). */
		timers->give_up_ns = now_ns + WG_REKEY_ATTEMPT_TIME_NS;
		return false;
	}
	if (timers->last_initiation_sent_ns != 0
	    && now_ns < timers->last_initiation_sent_ns + WG_REKEY_TIMEOUT_NS)
		return false;
	arm_retransmit(timers, now_ns, 0);
	return true;
}

void wg_timers_handshake_sent(struct wg_timers_handshake *timers, uint64_t now_ns,
                              uint64_t jitter_ns)
{
	arm_retransmit(timers, now_ns, jitter_ns);
	timers->last_initiation_sent_ns = now_ns;
	timers->n_attempts++;
}

void wg_timers_handshake_derived(struct wg_timers_handshake *timers, bool initiator,
                                 uint64_t now_ns)
{
	timers->zero_due_ns = now_ns + WG_ZERO_AFTER_NS;
	if (initiator)
		disarm_retransmit(timers);
}

void wg_timers_handshake_confirmed(struct wg_timers_handshake *timers)
{
	disarm_retransmit(timers);
}

/* The earlier of two points in time of which 0 means never. */
static uint64_t earlier(uint64_t next_ns, uint64_t due_ns)
{
	return due_ns != 0 && due_ns < next_ns ? due_ns : next_ns;
}

static enum wg_timers_handshake_due take_due(struct wg_timers_handshake *timers, uint64_t now_ns)
{
	if (is_due(timers->zero_due_ns, now_ns)) {
		timers->zero_due_ns = 0;
		return WG_TIMERS_HANDSHAKE_ZERO_KEYS;
	}
	if (is_due(timers->give_up_ns, now_ns)) {
		disarm_retransmit(timers);
		if (timers->zero_due_ns == 0)
			timers->zero_due_ns = now_ns + WG_ZERO_AFTER_NS;
		return WG_TIMERS_HANDSHAKE_GIVE_UP;
	}
	if (is_due(timers->retransmit_due_ns, now_ns)) {
		/* Again in 5 s even if the caller cannot send now. */
		arm_retransmit(timers, now_ns, 0);
		return WG_TIMERS_HANDSHAKE_SEND_INITIATION;
	}
	return WG_TIMERS_HANDSHAKE_NOTHING;
}

enum wg_timers_handshake_due wg_timers_handshake_poll(struct wg_timers_handshake *timers,
                                                      uint64_t now_ns, uint64_t *next_ns)
{
	enum wg_timers_handshake_due due = take_due(timers, now_ns);

	*next_ns = earlier(WG_TIMER_NEVER, timers->retransmit_due_ns);
	*next_ns = earlier(*next_ns, timers->give_up_ns);
	*next_ns = earlier(*next_ns, timers->zero_due_ns);
	return due;
}
