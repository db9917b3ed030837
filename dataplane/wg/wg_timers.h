/* The timers of whitepaper section 6 as two pure state machines. Events are functions named after
 * what happened; wg_timers_..._poll() says what is due now, and when to ask again.
 *
 *   data half       with the session's owner (a worker): passive keepalive, persistent keepalive,
 *                   "sent data, heard nothing for 15 s"
 *   handshake half  with whoever runs the handshake (control): retransmission after 5 s plus
 *                   jitter, giving up after 90 s, wiping keys after 540 s */
#ifndef WG_TIMERS_H
#define WG_TIMERS_H

#include "wg_keypair.h"

#include <stdbool.h>
#include <stdint.h>

#define WG_TIMER_NEVER UINT64_MAX

/* ---- data half: one a session, inside a worker's session. 32 bytes, zero = fresh --------------- */

struct wg_timers_data {
	uint64_t keepalive_due_ns;  /* passive keepalive; 0 = not armed */
	uint64_t silence_due_ns;    /* new handshake if nothing is heard by then; 0 = not armed */
	uint64_t persistent_due_ns; /* 0 = not armed */
	uint32_t persistent_s;      /* 0 = off */
	uint32_t need_another_keepalive; /* data came while a passive keepalive was armed */
};

enum wg_timers_data_due {
	WG_TIMERS_DATA_NOTHING = 0,
	WG_TIMERS_DATA_SEND_KEEPALIVE = 1,
	WG_TIMERS_DATA_WANT_HANDSHAKE = 2,
};

void wg_timers_data_init(struct wg_timers_data *timers, uint32_t persistent_s, uint64_t now_ns);
/* Change persistent keepalive; 0 turns it off. Turned on, the first is due at once. */
void wg_timers_data_set_persistent(struct wg_timers_data *timers, uint32_t persistent_s,
                                   uint64_t now_ns);
/* A non-empty data packet was sent. jitter_ns: random, 0..WG_JITTER_MAX_NS. */
static inline void wg_timers_data_sent(struct wg_timers_data *timers, uint64_t now_ns,
                                       uint64_t jitter_ns)
{
	if (timers->silence_due_ns == 0)
		timers->silence_due_ns = now_ns + WG_KEEPALIVE_TIMEOUT_NS + WG_REKEY_TIMEOUT_NS
		                         + jitter_ns;
}

/* A non-empty data packet was authenticated. */
static inline void wg_timers_data_received(struct wg_timers_data *timers, uint64_t now_ns)
{
	if (timers->keepalive_due_ns == 0)
		timers->keepalive_due_ns = now_ns + WG_KEEPALIVE_TIMEOUT_NS;
	else
		timers->need_another_keepalive = 1;
}

/* Any packet was sent, keepalives too: the passive keepalive is no longer needed. */
static inline void wg_timers_any_sent(struct wg_timers_data *timers, uint64_t now_ns)
{
	timers->keepalive_due_ns = 0;
	timers->need_another_keepalive = 0;
	if (timers->persistent_s != 0)
		timers->persistent_due_ns = now_ns + timers->persistent_s * BASE_NS_PER_S;
}

/* Any packet was authenticated, keepalives too: the peer is alive. */
static inline void wg_timers_any_received(struct wg_timers_data *timers, uint64_t now_ns)
{
	timers->silence_due_ns = 0;
	if (timers->persistent_s != 0)
		timers->persistent_due_ns = now_ns + timers->persistent_s * BASE_NS_PER_S;
}

/* What is due. After SEND_KEEPALIVE the caller sends one and calls wg_timers_any_sent() (if it
 * cannot send, it is asked again after the interval); after WANT_HANDSHAKE the timer is disarmed
 * until data is sent again. Call again until NOTHING. */
enum wg_timers_data_due wg_timers_data_poll(struct wg_timers_data *timers, uint64_t now_ns);

/* ---- handshake half: one a peer, in control ----------------------------------------------------- */

struct wg_timers_handshake {
	uint64_t retransmit_due_ns; /* 0 = no handshake under way */
	uint64_t give_up_ns;
	uint64_t zero_due_ns; /* wipe all keys of the peer; 0 = not armed */
	uint64_t last_initiation_sent_ns;
	uint32_t n_attempts;
	uint32_t pad;
};

enum wg_timers_handshake_due {
	WG_TIMERS_HANDSHAKE_NOTHING = 0,
	WG_TIMERS_HANDSHAKE_SEND_INITIATION = 1,
	WG_TIMERS_HANDSHAKE_GIVE_UP = 2,
	WG_TIMERS_HANDSHAKE_ZERO_KEYS = 3,
};

void wg_timers_handshake_init(struct wg_timers_handshake *timers);
/* A session is wanted. True when an initiation is to be sent now: none is under way and the last
 * was sent at least 5 s ago (whitepaper 6.1). True arms retransmission, so asking again before the
 * initiation is ready answers false; it is due again in 5 s if the caller does not get to send.
 * While a handshake is under way its 90 s begin anew, as in the kernel. */
bool wg_timers_handshake_want(struct wg_timers_handshake *timers, uint64_t now_ns);
/* An initiation was sent. jitter_ns: random, 0..WG_JITTER_MAX_NS. */
void wg_timers_handshake_sent(struct wg_timers_handshake *timers, uint64_t now_ns,
                              uint64_t jitter_ns);
/* Keys were derived: wiping is re-armed at 540 s. For the initiator the handshake is complete and
 * retransmission stops; the responder's own, if one is under way, goes on until the peer confirms:
 * when two hubs initiate at once and both responses are lost, somebody must try again. */
void wg_timers_handshake_derived(struct wg_timers_handshake *timers, bool initiator,
                                 uint64_t now_ns);
/* The first packet came on a keypair derived as responder: retransmission stops. */
void wg_timers_handshake_confirmed(struct wg_timers_handshake *timers);
/* What is due; next_ns gets when to ask again (WG_TIMER_NEVER). Call again until NOTHING. After
 * GIVE_UP drop what waits for the session; keys are wiped 540 s later if nothing happens. */
enum wg_timers_handshake_due wg_timers_handshake_poll(struct wg_timers_handshake *timers,
                                                      uint64_t now_ns, uint64_t *next_ns);

#endif
