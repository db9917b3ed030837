/* What is due. Events that arm and disarm in the data path are inline in the header. */
#include "wg_timers.h"

static bool is_due(uint64_t due_ns, uint64_t now_ns)
{
	return due_ns != 0 && now_ns >= due_ns;
}

void wg_timers_data_init(struct wg_timers_data *timers, uint32_t persistent_s, uint64_t now_ns)
{
	*timers = (struct wg_timers_data){.persistent_s = persistent_s};
	if (persistent_s != 0)
		timers->persistent_due_ns = now_ns + persistent_s * BASE_NS_PER_S;
}

void wg_timers_data_set_persistent(struct wg_timers_data *timers, uint32_t persistent_s,
                                   uint64_t now_ns)
{
	if (persistent_s == timers->persistent_s)
		return;
	if (persistent_s == 0)
		timers->persistent_due_ns = 0;
	else if (timers->persistent_s == 0)
		timers->persistent_due_ns = now_ns;
	else
		timers->persistent_due_ns = now_ns + persistent_s * BASE_NS_PER_S;
	timers->persistent_s = persistent_s;
}

enum wg_timers_data_due wg_timers_data_poll(struct wg_timers_data *timers, uint64_t now_ns)
{
	bool keepalive = is_due(timers->keepalive_due_ns, now_ns);
	bool persistent = is_due(timers->persistent_due_ns, now_ns);

	/* Both are re-armed here too, for a caller that could not send: else it would be asked
	 * again at once, for ever. */
	if (keepalive) {
		timers->keepalive_due_ns = timers->need_another_keepalive
		                                   ? now_ns + WG_KEEPALIVE_TIMEOUT_NS
		                                   : 0;
		timers->need_another_keepalive = 0;
	}
	if (persistent)
		timers->persistent_due_ns = now_ns + timers->persistent_s * BASE_NS_PER_S;
	if (keepalive || persistent)
		return WG_TIMERS_DATA_SEND_KEEPALIVE;
	if (is_due(timers->silence_due_ns, now_ns)) {
		timers->silence_due_ns = 0;
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
