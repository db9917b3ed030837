/* Peers in the store. */
#ifndef STORE_PEER_H
#define STORE_PEER_H

#include "base_ip.h"
#include "config.h"
#include "store.h"

#include <stdint.h>

/* What changes by itself while a peer lives. */
struct store_peer_state {
	struct base_endpoint endpoint;   /* last seen; port 0 = never */
	uint64_t last_handshake_wall_ns; /* 0 = never */
	uint8_t last_timestamp[12];      /* TAI64N of the last initiation; zero = none */
};

#define STORE_NETWORKS_MAX CONFIG_NETWORKS_MAX

/* Plain data but for allowed_ips, whose owner is whoever made the row: a copy by = borrows them. */
struct store_peer {
	uint32_t id; /* the region's peer id, stable over restarts */
	char name[CONFIG_NAME_LEN];
	uint8_t public_key[32];
	bool has_preshared_key;
	bool declared; /* by the configuration file, not by `weir peer add` */
	bool disabled; /* known, and yet nobody: no handshake, no route */
	/* The configuration that it was given last has the tunnel nets, whatever the grants say; and keeps
	 * alive so often (s), 0 = never. */
	bool whole_subnet;
	uint16_t client_keepalive_s;
	uint8_t preshared_key[32];
	struct base_ip addresses[CONFIG_TUNNEL_MAX]; /* its own, in the tunnel nets */
	uint32_t n_addresses;
	struct base_prefix *allowed_ips; /* [n_allowed_ips], beside its addresses; NULL = none */
	uint32_t n_allowed_ips;          /* <= STORE_NETWORKS_MAX */
	uint16_t keepalive_s;
	uint64_t created_wall_ns;
	uint64_t key_set_wall_ns; /* since when it has this key */
	/* When wg(8) said last which addresses and networks it has; 0 = never. Since then it has these and
	 * no other: none is given beside them. */
	uint64_t wg_set_wall_ns;
	uint64_t expected_wall_ns; /* since when it should be up; 0 = it need not be */
	struct store_peer_state state;
};

/* Replace the row's networks by a copy of these. Returns 0, or -ENOMEM with nothing changed. */
int store_peer_networks_set(struct store_peer *peer, const struct base_prefix *nets,
                            uint32_t n_nets) __attribute__((warn_unused_result));
/* Frees the networks and wipes the row. */
void store_peer_fini(struct store_peer *peer);

/* Insert the peer, or replace what is stored under its id except the state.
 * Returns 0, -EEXIST (name or key belongs to another id), -errno. */
int store_peer_put(struct store *store, const struct store_peer *peer)
	__attribute__((warn_unused_result));
/* Write what changes of a peer while it lives: addresses, allowed IPs, wg_set_wall_ns, keepalive_s,
 * disabled, whole_subnet, client_keepalive_s, expected_wall_ns. Its keys need not be in peer. Returns 0, -ENOENT, -errno. */
int store_peer_change(struct store *store, const struct store_peer *peer)
	__attribute__((warn_unused_result));
/* Another key, since key_set_wall_ns, and what was heard with it: 12 bytes TAI64N. preshared_key: 32 bytes,
 * or NULL: it keeps what it has. Returns 0, -ENOENT, -EEXIST, -errno. */
int store_peer_key_put(struct store *store, uint32_t id, const uint8_t public_key[static 32],
                       const uint8_t *preshared_key, const uint8_t last_timestamp[static 12],
                       uint64_t key_set_wall_ns) __attribute__((warn_unused_result));
/* Returns 0, -ENOENT, -errno. */
int store_peer_drop(struct store *store, uint32_t id) __attribute__((warn_unused_result));
/* Returns 0, -ENOENT, -errno. */
int store_peer_state_put(struct store *store, uint32_t id, const struct store_peer_state *state)
	__attribute__((warn_unused_result));

/* Call fn for every peer, ascending by id. peer, with its networks and its preshared key in the clear, is
 * valid during the call and wiped behind it. Stops with fn's value when that is not 0. Returns 0,
 * -EUCLEAN (a row cannot be what we wrote), -errno. */
typedef int store_peer_fn(void *arg, const struct store_peer *peer);
int store_peer_each(struct store *store, store_peer_fn *fn, void *arg)
	__attribute__((warn_unused_result));
/* The same for one of them; -ENOENT when there is none. */
int store_peer_find(struct store *store, uint32_t id, store_peer_fn *fn, void *arg)
	__attribute__((warn_unused_result));

#endif
