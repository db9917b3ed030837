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

/* ---- data half: one a session, inside a worker's session. 32 bytes, zero = fresh ---------------
 *
 * A packet only notes when it was there, in the word that lies where the packet works anyway: a received one
 * in struct wg_timers_data, a sent one in a word of the caller's. wg_timers_data_poll() draws the
 * conclusions; it is to be called often (a worker: 20 times a second), since of several packets between
 * two calls it sees the last. */

/* Now, as packets note it: 4.1 us each, 73 minutes until the same comes again; bit 0 is set, so that it
 * is never 0, and bit 1 is not. */
static inline uint32_t wg_timers_tick(uint64_t now_ns)
{
	return ((uint32_t)(now_ns >> 10) & ~3U) | 1U;
}

/* In the word of what was sent: data is among it. */
#define WG_TIMERS_SENT_DATA 2U

struct wg_timers_data {
	uint64_t
		packet_ns; /* last packet either way, or keepalive asked for; 0 = one is due at once */
	uint64_t unanswered_ns; /* data came and nothing was sent since; 0 = no */
	uint64_t silent_ns;     /* data was sent and nothing came since; 0 = no */
	uint32_t received;      /* tick of the last packet since the last poll; 0 = none */
	uint32_t received_data; /* tick of the last one with data */
};
_Static_assert(sizeof(struct wg_timers_data) == 32, "half a line");

enum wg_timers_data_due {
	WG_TIMERS_DATA_NOTHING = 0,
	WG_TIMERS_DATA_SEND_KEEPALIVE = 1,
	WG_TIMERS_DATA_WANT_HANDSHAKE = 2,
};

/* The session begins: as if a packet had been there just now. */
void wg_timers_data_init(struct wg_timers_data *timers, uint64_t now_ns);

/* Persistent keepalive was turned on: the first is due at once. */
void wg_timers_data_begin_persistent(struct wg_timers_data *timers);

/* A packet was authenticated; tick: wg_timers_tick(). */
static inline void wg_timers_received(struct wg_timers_data *timers, uint32_t tick)
{
	timers->received = tick;
}

/* It was not empty. */
static inline void wg_timers_received_data(struct wg_timers_data *timers, uint32_t tick)
{
	timers->received_data = tick;
}

/* An empty packet, a keepalive, was sent. */
static inline void wg_timers_sent_empty(uint32_t *sent, uint32_t tick)
{
	*sent = tick | (*sent & WG_TIMERS_SENT_DATA);
}

/* A packet with data was sent. */
static inline void wg_timers_sent_data(uint32_t *sent, uint32_t tick)
{
	*sent = tick | WG_TIMERS_SENT_DATA;
}

/* What is due; *sent is taken and cleared. persistent_s: the peer's interval, 0 = off. jitter_ns: random, but
 * each time the same for this session, 0..WG_JITTER_MAX_NS. After SEND_KEEPALIVE the caller sends one (if
 * it cannot, it is asked again after the interval); after WANT_HANDSHAKE it is not asked again before more data
 * is sent. Call again until NOTHING. Of what was sent and received in one tick the sent counts as the
 * later one. */
enum wg_timers_data_due wg_timers_data_poll(struct wg_timers_data *timers, uint32_t *sent,
                                            uint32_t persistent_s, uint64_t jitter_ns,
                                            uint64_t now_ns);

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
