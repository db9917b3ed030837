/* Handshakes of the simulated peers, who are the initiator: a queue of peers that want one, a window of
 * those under way, retransmission and giving up as whitepaper 6.4 says, cookies. And the answer to a
 * hub that begins one itself.
 *
 * Measured, handshakes are prepared: an initiator's work (4 X25519) is as much as a responder's, so
 * it is done before (initiations) and after (responses) the time that counts, and one core of ours
 * can ask more of the hub than one core of the hub can answer. */
#ifndef PKTGEN_HANDSHAKE_H
#define PKTGEN_HANDSHAKE_H

#include "pktgen_hist.h"
#include "pktgen_peer.h"
#include "wg_timers.h"

#include <stdbool.h>
#include <stdint.h>

struct pktgen_handshake {
	struct wg_noise_handshake noise;
	struct wg_timers_handshake timers;
	uint64_t sent_ns;
	uint32_t peer;
	uint32_t is_prepared; /* message lies ready */
	uint32_t is_answered; /* response waits to be consumed */
	uint8_t message[WG_INITIATION_LEN];
	uint8_t response[WG_RESPONSE_LEN];
};

struct pktgen_handshake_stats {
	uint64_t sent; /* initiations */
	uint64_t retried;
	uint64_t cookies;
	uint64_t completed;
	uint64_t failed;            /* given up after 90 s */
	uint64_t answered;          /* the hub's initiations */
	uint64_t refused;           /* messages that fit nothing */
	uint64_t first_ns;          /* first initiation sent */
	uint64_t last_ns;           /* last response */
	struct pktgen_hist latency; /* from the last initiation to its response */
};

/* What the owner does for it. */
struct pktgen_handshake_calls {
	void *arg;
	/* Send a message as a peer. */
	void (*send)(void *arg, uint32_t peer, const uint8_t *message, uint32_t len);
	/* The peer has new keys: the hub may use them once it has heard a packet on them. */
	void (*established)(void *arg, uint32_t peer);
};

struct pktgen_handshakes {
	struct pktgen_peers *peers; /* borrowed */
	struct pktgen_handshake_calls calls;
	bool measured;
	uint64_t interval_ns; /* between starts; 0 = none */
	uint64_t next_ns;

	uint32_t *queue; /* ring of peers->n */
	uint32_t queue_first, n_queued;

	struct pktgen_handshake *slot; /* [n_slots]; measured: one a peer */
	uint32_t n_slots;
	uint32_t *in_flight; /* [window] slots */
	uint32_t n_in_flight, window;
	uint32_t *free_slots; /* [n_slots] */
	uint32_t n_free;

	struct pktgen_handshake_stats stats;
};

/* rate: starts a second, 0 = no limit. Returns 0 or -ENOMEM. Caller: pktgen_handshakes_fini(). */
int pktgen_handshakes_init(struct pktgen_handshakes *hs, struct pktgen_peers *peers,
                           uint32_t window, double rate, bool measured,
                           const struct pktgen_handshake_calls *calls)
	__attribute__((warn_unused_result));
void pktgen_handshakes_fini(struct pktgen_handshakes *hs); /* wipes keys */

/* The peer wants a session; nothing when it is in the queue or under way already. */
void pktgen_handshakes_want(struct pktgen_handshakes *hs, uint32_t peer);

/* Measured: make the initiation of peer. 2 X25519. */
void pktgen_handshakes_prepare(struct pktgen_handshakes *hs, uint32_t peer);

/* Start one that waits, when window and rate allow, and repeat those that are due. */
void pktgen_handshakes_turn(struct pktgen_handshakes *hs, uint64_t now_ns);

/* A response or cookie reply came, checked for length, for the peer that its receiver index names. */
void pktgen_handshakes_response(struct pktgen_handshakes *hs, const uint8_t *message,
                                uint64_t now_ns);
void pktgen_handshakes_cookie(struct pktgen_handshakes *hs, const uint8_t *message,
                              uint64_t now_ns);

/* The hub begins a handshake with a peer. Answered when it is the hub's and not an old one; not while
 * handshakes are measured. Cost: 4 X25519. */
void pktgen_handshakes_initiation(struct pktgen_handshakes *hs, uint32_t peer,
                                  const uint8_t *message, uint64_t now_ns);

/* Measured, when all is over: consume the response of peer, if it got one. Returns false when it
 * was none: it counts as refused then, and no longer as completed. */
bool pktgen_handshakes_verify(struct pktgen_handshakes *hs, uint32_t peer);

static inline uint32_t pktgen_handshakes_open(const struct pktgen_handshakes *hs)
{
	return hs->n_queued + hs->n_in_flight;
}

#endif
