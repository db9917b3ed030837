/* Many changes of peers as one: what wg(8) asks for in a transaction. All of it is checked first, in the
 * order in which it came, on a sketch of what the table would be; then it is stored in one transaction and told
 * to session and program, or nothing of it happens. What ends as it was is no change: its session goes on.
 *
 * A peer is named by its key here. One that is new gets a name made of its key (peer_set_name()), unless the change
 * says the whole of it, as a roster does. */
#ifndef PEER_SET_H
#define PEER_SET_H

#include "peer.h"

#include <stdbool.h>
#include <stdint.h>

struct peer_set_ip {
	struct base_prefix prefix; /* host bits are ignored */
	bool drop;                 /* the peer lets go of it, when it has it */
};

/* What wg(8) does not know of a peer. */
struct peer_set_whole {
	const char *name; /* of one that is new; one that is there keeps its own */
	bool is_disabled;
	bool expected_up;
	bool whole_subnet;
	bool gives_addresses; /* to one that is new: one in each tunnel net */
	bool has_endpoint_name;
	uint16_t client_keepalive_s;
	struct base_host_port endpoint_name; /* port 0 = it is not looked up any more */
};

struct peer_set_one {
	uint8_t public_key[32];
	/* Borrowed until the set is applied; NULL = it says what wg(8) can say, and one that is disabled is not
	 * there. */
	const struct peer_set_whole *whole;
	bool is_removed;  /* the rest says nothing */
	bool update_only; /* of a peer that is not there, nothing */
	bool has_preshared_key;
	bool has_endpoint;
	bool has_keepalive;
	bool replaces_ips; /* those it has go first */
	uint16_t keepalive_s;
	uint8_t preshared_key[32]; /* zero = none from now on */
	struct base_endpoint endpoint;
	uint32_t first_ip; /* of the set's, filled by peer_set_add() and peer_set_add_ip() */
	uint32_t n_ips;
};

/* All zero = empty. Caller: peer_set_fini(). */
struct peer_set {
	bool replaces_peers; /* those that are not named go */
	bool is_dry_run;     /* it is tried, and nothing changes */
	struct peer_set_one *ones;
	uint32_t n_ones;
	uint32_t max_ones;
	struct peer_set_ip *ips;
	uint32_t n_ips;
	uint32_t max_ips;
};

/* Append a change, to be filled in until the next call; NULL = no memory. */
struct peer_set_one *peer_set_add(struct peer_set *set, const uint8_t public_key[static 32]);
/* Append an address or network to the last one. Returns 0 or -ENOMEM. */
int peer_set_add_ip(struct peer_set *set, const struct base_prefix *prefix, bool drop)
	__attribute__((warn_unused_result));
void peer_set_fini(struct peer_set *set); /* wipes the keys */

/* "wg-" and the first 80 bits of the key in hexadecimal: nobody finds another key of this name. */
void peer_set_name(const uint8_t public_key[static 32], char out[static CONFIG_NAME_LEN]);

/* What became of one peer. */
struct peer_set_news {
	const struct peer
		*peer; /* as it is now; of one that was removed: as it was, for the last time */
	bool was_added;
	bool was_removed;
	bool has_new_key; /* preshared */
	bool has_new_endpoint;
	bool has_new_keepalive;
	bool has_new_settings; /* of those in peer_set_whole */
	uint32_t n_gained;     /* addresses and networks */
	uint32_t n_lost;
};

/* Each may be NULL. The first two are asked before anything has changed, and refuse with -errno and error; store too,
 * in the transaction in which all is stored, which is undone then. changed is told when all has. */
struct peer_set_hooks {
	int (*may_remove)(void *arg, const struct peer *peer, struct peer_error *error);
	/* The peer loses this network, and nobody gets it. */
	int (*may_withdraw)(void *arg, const struct base_prefix *net, struct peer_error *error);
	int (*store)(void *arg, struct peer_error *error);
	void (*changed)(void *arg, const struct peer_set_news *news);
	/* Told before a refusal: error is about this peer. */
	void (*refused)(void *arg, const char *name);
	void *arg;
};

/* For qsort(): by family, address, length. */
int peer_prefix_compare(const void *a, const void *b);

/* Allowed IPs are what the set says, and no address is given beside them, now or later. They are under the
 * rules of peer_add() for a gateway, as they are when all is done: a network of another peer may move here
 * whole, and not in part. Of a peer that the file declares nothing may change; one that is disabled is not
 * there, and may not be added, but by a change that says the whole of it.
 * Returns 0, or -errno with error filled and nothing changed. */
int peer_set_apply(struct peer_table *table, const struct peer_set *set,
                   const struct peer_set_hooks *hooks, struct peer_error *error)
	__attribute__((warn_unused_result));

#endif
