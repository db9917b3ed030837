/* The peer table: every peer that the hub knows, from the store and from the configuration file,
 * with its id in the region, its addresses and its allowed IPs. A change is checked whole, written
 * to the store, and then told to session (keys) and program (routes). */
#ifndef PEER_H
#define PEER_H

#include "config.h"
#include "store_peer.h"
#include "store_rotation.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct peer_table;
struct peer_name;
struct program;
struct resolve;
struct session_table;

/* One peer; borrowed until it is removed. row.preshared_key is always wiped here. */
struct peer {
	struct store_peer row;
	struct base_endpoint configured; /* by the configuration file; port 0 = none */
	const struct base_host_port
		*configured_name; /* the same by name, borrowed of the configuration; or NULL */
	struct peer_name *name;   /* its endpoint is looked up (peer_name.h); or NULL */
	int line;                 /* in the configuration file, of a declared peer */
	const struct limit_spec
		*limits; /* declared for it, borrowed from the configuration; or NULL */
	struct store_rotation rotation; /* its preshared_key is always wiped here */
	uint64_t rotation_end_ns;       /* of the window, monotonic */
	uint64_t rotation_loaded_ns; /* the same: when control began in the window; 0 = before it */
	/* The newest initiations with its key and its next one, that the store was to be told of at once. */
	uint8_t heard[2][12];
	struct base_ip
		told_inside; /* endpoint that the log has named as lying in its own networks */
};

/* Why a change was refused. */
struct peer_error {
	const char *code;  /* "exists", "not_found", "declared", "full", "invalid", "failed" */
	const char *field; /* argument to blame, or NULL */
	char text[320];
};

struct peer_setup {
	struct event_base *base;
	struct store *store;
	struct session_table *session;
	struct program *program;
	struct resolve *resolve;
	const struct config *config; /* borrowed until peer_table_destroy() */
	/* In the transaction in which those go that the file has no longer: what else goes with their names[n], n > 0.
	 * Returns 0, or -errno with one line in error, which undoes all. NULL = nothing does. */
	int (*store_gone)(void *arg, char (*names)[CONFIG_NAME_LEN], uint32_t n, char *error,
	                  size_t error_len);
	void *store_gone_arg;
};

/* Read the store, merge the peers that the file declares, tell session and program. Declared peers
 * replace those of an earlier file by name or by key; those that the file has no longer are
 * removed, with what setup->store_gone knows of their names. Addresses that no longer lie in a tunnel net are
 * given anew, with a warning.
 * Returns 0, -EINVAL (file and store contradict each other), -errno, with one line in error.
 * Caller: peer_table_destroy(). */
int peer_table_create(const struct peer_setup *setup, struct peer_table **out, char *error,
                      size_t error_len) __attribute__((warn_unused_result));
/* Writes what is not yet in the store; session and program keep their peers. */
void peer_table_destroy(struct peer_table *table);

/* What the configuration that a peer is given has: the whole tunnel nets instead of what it may reach;
 * and its own keepalives, 0 = none. */
struct peer_client {
	bool whole_subnet;
	uint16_t keepalive_s;
};
#define PEER_CLIENT_KEEPALIVE_S 25 /* holds NAT bindings of 30 s and more open */

/* Where a peer is found: at most one of the two; port 0 = not that. */
struct peer_endpoint {
	struct base_endpoint address;
	struct base_host_port name; /* looked up, and again */
};

struct peer_request {
	const char *name;              /* already known to be a name: a-z 0-9 - */
	const uint8_t *public_key;     /* 32 bytes */
	const uint8_t *preshared_key;  /* 32 bytes or NULL */
	const struct base_prefix *ips; /* [n_ips], beside the addresses that are given; one in a
	                                  tunnel net and of full length becomes the address there */
	uint32_t n_ips;
	uint16_t keepalive_s;
	bool is_gateway; /* networks that are no address in a tunnel net are approved; else they are
	                      refused */
	struct peer_client client;
	bool expected_up;
	struct peer_endpoint endpoint;
};

/* Returns 0, or -errno with error filled and nothing changed. */
int peer_add(struct peer_table *table, const struct peer_request *request, const struct peer **out,
             struct peer_error *error) __attribute__((warn_unused_result));
/* What is stored in the same transaction as a change of peers: -errno with error undoes both. */
struct peer_also {
	int (*store)(void *arg, struct peer_error *error);
	void *arg;
};
/* Returns 0, or -errno with error filled and nothing changed. Ends the peer's sessions. also may be NULL. */
int peer_remove(struct peer_table *table, const char *name, const struct peer_also *also,
                struct peer_error *error) __attribute__((warn_unused_result));

/* peer_change.c. All return 0, or -errno with error filled and nothing changed, and are stored.
 *
 * A disabled peer is nobody to session and program, as one that is removed: its handshakes are not
 * answered, its sessions end, nothing is routed to it. It keeps its name, key, addresses and networks,
 * also over a restart, and when the file declares it. To what is so already, nothing happens. */
int peer_enable(struct peer_table *table, const char *name, bool enable, struct peer_error *error)
	__attribute__((warn_unused_result));
/* Approve networks behind the peer, which makes it a gateway; or withdraw some of those it has. All or
 * none; not of a peer that the file declares, which says them itself. */
int peer_networks_add(struct peer_table *table, const char *name, const struct base_prefix *nets,
                      uint32_t n_nets, struct peer_error *error)
	__attribute__((warn_unused_result));
int peer_networks_drop(struct peer_table *table, const char *name, const struct base_prefix *nets,
                       uint32_t n_nets, struct peer_error *error)
	__attribute__((warn_unused_result));
/* Remember what the configuration has that it was given last. */
int peer_client_set(struct peer_table *table, const char *name, const struct peer_client *client,
                    struct peer_error *error) __attribute__((warn_unused_result));

/* What is said of a peer by hand; NULL = it stays. Both or none; not of a peer that the file declares, which says it
 * itself. */
struct peer_change {
	/* Should it be up? Then an alarm is raised when it is not. To what is so already, nothing happens. */
	const bool *expected_up;
	/* The hub finds the peer there from now on, until it is heard elsewhere. With neither address nor name it is no
	 * longer looked up, and stays where it was last. */
	const struct peer_endpoint *endpoint;
};
int peer_change(struct peer_table *table, const char *name, const struct peer_change *change,
                struct peer_error *error) __attribute__((warn_unused_result));

/* peer_rotate.c: another key, another preshared key, or both. */
#define PEER_OVERLAP_S 120U
struct peer_rotation {
	const char *name;
	const uint8_t *public_key;    /* 32 bytes; NULL = it keeps its key */
	const uint8_t *preshared_key; /* 32 bytes; NULL = it keeps what it has */
	uint32_t overlap_s;           /* both are good so long */
	bool emergency;               /* no window: what it has now is dead at once */
};
/* Begin. At the end of the window the old key is dropped if the new one was used meanwhile, and the new one
 * if not. A peer that is disabled, or between two keys, can only be given another in an emergency; one that
 * the file declares cannot. Returns 0, or -errno with error filled and nothing changed. */
int peer_rotate(struct peer_table *table, const struct peer_rotation *request,
                struct peer_error *error) __attribute__((warn_unused_result));
/* End the window now: with the next key, if it was used, or without it. The latter also puts aside that the
 * last rotation expired. */
int peer_rotate_end(struct peer_table *table, const char *name, bool with_next,
                    struct peer_error *error) __attribute__((warn_unused_result));
bool peer_is_rotating(const struct peer *peer);
/* Called when a rotation has come to another state: peer->rotation says which. */
typedef void peer_rotation_fn(void *arg, const struct peer *peer);
void peer_on_rotation(struct peer_table *table, peer_rotation_fn *fn, void *arg);

/* NULL = none. */
const struct peer *peer_find(const struct peer_table *table, const char *name);
/* By its number in the region; NULL = nobody has it. */
const struct peer *peer_numbered(const struct peer_table *table, uint32_t number);
/* The first peer whose name sorts behind this one ("" = the very first). */
const struct peer *peer_after(const struct peer_table *table, const char *name);
/* The first n at most of those that sort behind this name, in order. Returns how many. */
uint32_t peers_after(const struct peer_table *table, const char *name, const struct peer **out,
                     uint32_t n);
uint32_t peer_count(const struct peer_table *table);

/* What changes by itself, up to date. */
struct store_peer_state peer_state(const struct peer_table *table, const struct peer *peer);

/* Its last handshake, and how old that is: by a clock that nobody sets, but for one before control's start. */
struct peer_handshake {
	uint64_t wall_ns; /* 0 = never */
	uint64_t age_ns;
	bool is_of_before;
};
struct peer_handshake peer_handshake(const struct peer_table *table, const struct peer *peer);
/* Had it one within the last 180 s, which is how long a session lives? */
bool peer_is_active(const struct peer_table *table, const struct peer *peer);

/* peer_endpoint.c: would a packet for this endpoint's address that comes out of the tunnel go to the peer
 * itself? Then the prefix of its addresses and networks by which it would is in *inside. */
bool peer_endpoint_is_inside(const struct peer_table *table, const struct peer *peer,
                             const struct base_endpoint *endpoint, struct base_prefix *inside);

/* The peer's address in the tunnel: IPv4 when it has one. family NONE = it has none. */
struct base_ip peer_address(const struct peer *peer);

/* Write changed states to the store now instead of within 100 ms. */
void peer_flush(struct peer_table *table);

#endif
