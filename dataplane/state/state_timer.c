/* The timer scan: a slice of the sessions each turn, round and round. */
#include "state_timer.h"

#include "state.h"

/* Of the session, the same each time: hosts that fell silent at once shall not all call at once. */
static uint64_t jitter_of(const struct state_session *session)
{
	uint32_t spread = session->index * UINT32_C(0x9e3779b1); /* 2^32 by the golden ratio */

	_Static_assert(WG_JITTER_MAX_NS <= UINT32_MAX, "the product fits");
	return (uint64_t)spread * WG_JITTER_MAX_NS >> 32;
}

/* Timers of the data half belong to the peer (whitepaper 6.5), so only the session that sends now
 * runs them: an older one, which still receives, would report silence for the new one. */
static void run_timers(struct state *st, struct state_session *session)
{
	if (state_current_get(&st->current[session->peer]) != session->index)
		return;
	switch (wg_timers_data_poll(&session->timers, &session->sent,
	                            st->peers[session->peer].keepalive_s, jitter_of(session),
	                            st->now_ns)) {
	case WG_TIMERS_DATA_NOTHING:
		return;
	case WG_TIMERS_DATA_SEND_KEEPALIVE:
		st->keepalives[st->n_keepalives++] = abi_index_slot(session->index);
		return;
	case WG_TIMERS_DATA_WANT_HANDSHAKE:
		state_event_session(st, session, STATE_EVENT_SILENT);
		return;
	}
}

static void relist_events(struct state *st, struct state_session *session)
{
	uint32_t bits = session->events;

	if (bits == 0)
		return;
	session->events = 0;
	state_event_session(st, session, bits);
}

static void look_at(struct state *st, struct state_session *session)
{
	if (st->now_ns >= session->birth_ns + WG_REJECT_AFTER_TIME_NS)
		state_session_expire(st, session);
	else
		run_timers(st, session);
	relist_events(st, session);
	state_session_publish(st, session);
}

void state_timer_scan(struct state *st)
{
	uint64_t elapsed_ns = st->now_ns - st->scan_ns;
	uint64_t n = st->n_active;

	if (elapsed_ns < STATE_TIMER_PERIOD_NS) {
		n = n * elapsed_ns / STATE_TIMER_PERIOD_NS;
		if (n == 0)
			return; /* too early for one: let time pass */
	}
	st->scan_ns = st->now_ns;
	while (n-- > 0 && st->n_keepalives < STATE_SIDE_MAX) {
		if (st->scan_next >= st->n_active)
			st->scan_next = 0;
		look_at(st, &st->sessions[st->active[st->scan_next++]]);
	}
}
