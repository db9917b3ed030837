/* What control shall hear, kept until path/punt.c has put it into the event ring.
 *
 * Events about a session are bits on the session (state_session.events): they cannot be lost, a full
 * ring only delays them until the timer scan comes round. Events without a session (no session for a
 * peer, no neighbour) are notes in a short list: a lost one is counted, and the next packet that
 * needs it repeats it, at most once a second. */
#ifndef STATE_EVENT_H
#define STATE_EVENT_H

#include "abi_layout.h"

#include <stdint.h>

struct state;
struct state_session;

enum state_event_bit {
	STATE_EVENT_CONFIRMED = 1,
	STATE_EVENT_MOVED = 2,
	STATE_EVENT_REKEY = 4,
	STATE_EVENT_SILENT = 8, /* session wanted, with the index of the silent one */
};

#define STATE_EVENT_SLOTS_MAX 128U
#define STATE_EVENT_NOTES_MAX 32U
#define STATE_EVENT_LIMITS    64U
#define STATE_EVENT_AGAIN_NS  (1000 * 1000 * UINT64_C(1000)) /* repeat a note after 1 s */

struct state_note {
	uint16_t type; /* ABI_EVENT_SESSION_WANTED or ABI_EVENT_NEIGHBOUR_WANTED */
	union {
		struct abi_event_session session;
		struct abi_event_neighbour neighbour;
	};
};

struct state_events {
	uint32_t n_slots;
	uint32_t n_notes;
	uint32_t slots[STATE_EVENT_SLOTS_MAX]; /* sessions with bits set */
	struct state_note notes[STATE_EVENT_NOTES_MAX];
	uint64_t neighbour_ns[STATE_EVENT_LIMITS]; /* last note by hash of the next hop */
};

/* Tell control bit about session, soon. */
void state_event_session(struct state *st, struct state_session *session, uint32_t bit);

/* Tell control that packets for peer find no session; at most once a second a peer. */
void state_event_wanted(struct state *st, uint32_t peer);

/* Tell control that next hop ip on port is not resolved; about once a second a next hop. */
void state_event_neighbour(struct state *st, const struct base_ip *ip, uint32_t port);

#endif
