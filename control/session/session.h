/* Handshakes for all peers: message in, reply out, keys to program. X25519 runs on threads of its
 * own; everything else, and every function here, on control's main loop. */
#ifndef SESSION_H
#define SESSION_H

#include "abi_layout.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct program;
struct session_table;

/* private_key: 32 bytes, copied; the caller wipes its own. n_threads >= 1. */
int session_create(struct event_base *base, struct program *program,
                   const uint8_t private_key[static 32], uint32_t n_threads, uint32_t n_peers,
                   struct session_table **out) __attribute__((warn_unused_result));
void session_destroy(struct session_table *table); /* wipes all keys */

/* The hub's public key (borrowed). */
const uint8_t *session_public_key(const struct session_table *table);

/* Know a peer, or change it; a changed key or preshared key ends its sessions. preshared_key may
 * be NULL (none). endpoint may be NULL; it is where the hub itself initiates to.
 * last_timestamp: 12 bytes TAI64N as stored, or NULL.
 * Returns 0, -EINVAL (low-order public key), -EEXIST (another peer has this key), -ENOMEM. */
int session_peer_put(struct session_table *table, uint32_t peer,
                     const uint8_t public_key[static 32], const uint8_t *preshared_key,
                     const struct base_endpoint *endpoint, const uint8_t *last_timestamp)
	__attribute__((warn_unused_result));
/* The hub speaks to the peer there from now on, with the sessions it has; until it is heard from
 * elsewhere. */
void session_peer_redirect(struct session_table *table, uint32_t peer,
                           const struct base_endpoint *endpoint);
/* The next initiation goes there, and what is sent meanwhile where it went before; until the peer is heard on an
 * authenticated message, from wherever. NULL: it goes where everything goes. A peer that has no endpoint has
 * this one, and is called at once. */
void session_peer_call(struct session_table *table, uint32_t peer,
                       const struct base_endpoint *endpoint);
/* Called when an initiation was not answered within 5 s, before the next one is sent: fn may say where to. */
typedef void session_unanswered_fn(void *arg, uint32_t peer);
void session_on_unanswered(struct session_table *table, session_unanswered_fn *fn, void *arg);
/* Forget a peer: handshakes under way are cancelled, sessions retired, keys wiped. */
void session_peer_drop(struct session_table *table, uint32_t peer);

/* Names the peer's key in the sessions that lie in the region (abi_session.key_serial): those of another
 * name are retired when a resumed dataplane attaches. 0 until it is set. */
void session_peer_serial(struct session_table *table, uint32_t peer, uint32_t serial);

/* A key, or another preshared key for the key there is, that shall take the place of the peer's. Until then
 * handshakes with both are answered, each has sessions of its own, and what the peer is sent goes by the
 * session on which it was heard last. */
struct session_next {
	const uint8_t
		*public_key; /* 32 bytes; that of the peer: only the preshared key is another */
	const uint8_t *preshared_key;  /* 32 bytes, or NULL = none */
	const uint8_t *last_timestamp; /* 12 bytes, as stored, or NULL */
	uint32_t serial;
};
/* put: returns 0, -ENOENT (no such peer), -EBUSY (it has one), -EINVAL (low order), -EEXIST (a peer has this
 * key), -ENOMEM. confirm: the next key is the peer's only one; the other's sessions end, and handshakes
 * with it get no answer. drop: the same with the roles changed. Both do nothing without a next key. */
int session_next_put(struct session_table *table, uint32_t peer, const struct session_next *next)
	__attribute__((warn_unused_result));
void session_next_confirm(struct session_table *table, uint32_t peer);
void session_next_drop(struct session_table *table, uint32_t peer);

/* Until now this peer's id was another's, or its keys were others: sessions that a resumed dataplane
 * still has of that time are retired when it attaches, not taken over. */
void session_peer_disown(struct session_table *table, uint32_t peer);

/* The peer's next keypairs stay at the worker that had the last, wherever its packets arrive: what that
 * worker counts of it (limits) is then all there is. */
void session_peer_stay(struct session_table *table, uint32_t peer, bool stays);

/* A key that shall take the place of the hub's own: until then both are answered. next_put: 32 bytes, copied;
 * 0, -EBUSY (there is one), -EEXIST (it is the one it has). confirm, drop: the other key is no more, and its
 * sessions end; without a next key nothing happens. */
int session_hub_next_put(struct session_table *table, const uint8_t private_key[static 32])
	__attribute__((warn_unused_result));
void session_hub_next_confirm(struct session_table *table);
void session_hub_next_drop(struct session_table *table);
/* NULL = there is none. */
const uint8_t *session_next_public_key(const struct session_table *table);
/* Called when a peer has a session of the next key, confirmed in both directions. */
typedef void session_hub_used_fn(void *arg);
void session_on_hub_used(struct session_table *table, session_hub_used_fn *fn, void *arg);

struct session_peer_info {
	uint64_t last_handshake_wall_ns; /* a session confirmed in both directions, 0 = never */
	uint64_t last_handshake_ns;      /* the same, monotonic, of those that this control knows */
	struct base_endpoint endpoint;   /* last authenticated, or configured; port 0 = unknown */
	struct base_endpoint call; /* session_peer_call(); port 0 = none, or it was heard since */
	uint32_t current_index;    /* 0 = none */
	uint8_t last_timestamp[12];
	uint32_t n_moves; /* times that it was heard from another endpoint, since control's start */
	bool uses_next_hub;              /* its last handshake was with the hub's next key */
	bool has_next;                   /* session_next_put() */
	uint64_t next_handshake_wall_ns; /* as last_handshake_wall_ns, with the next key alone */
	uint8_t next_timestamp[12];
};
/* Returns 0 or -ENOENT. */
int session_peer_info(const struct session_table *table, uint32_t peer,
                      struct session_peer_info *out) __attribute__((warn_unused_result));

/* Called when a session was confirmed or an endpoint moved, so that the caller can persist it. */
typedef void session_changed_fn(void *arg, uint32_t peer);
void session_on_change(struct session_table *table, session_changed_fn *fn, void *arg);

/* Timestamps of our own initiations only grow, also over restarts and steps of the wall clock: fn is
 * called before one is used that lies beyond the last mark, with a new mark some seconds ahead,
 * which the caller stores. floor: the mark stored by the run before, or NULL. One for all peers. */
typedef void session_stamp_fn(void *arg, const uint8_t mark[static 12]);
void session_on_stamp(struct session_table *table, const uint8_t *floor, session_stamp_fn *fn,
                      void *arg);

/* From program's events. */
void session_handshake_in(struct session_table *table, uint32_t worker,
                          const struct abi_event_handshake *event);
void session_confirmed(struct session_table *table, uint32_t index, uint32_t peer);
void session_endpoint_moved(struct session_table *table, const struct abi_event_endpoint *event);
void session_wanted(struct session_table *table, uint32_t peer, uint32_t index);
void session_rekey_due(struct session_table *table, uint32_t peer, uint32_t index);
/* resumed: read the session table back. Otherwise initiate to every peer whose endpoint is known,
 * paced, since a fresh dataplane has no session. */
void session_attached(struct session_table *table, bool resumed);
void session_detached(struct session_table *table);

/* Is no handshake message being worked on? */
bool session_is_quiet(const struct session_table *table);

#endif
