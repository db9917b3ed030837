/* The roster: who the peers are, as text to be reviewed and applied. In libconfig's syntax:
 *
 *   peers: (
 *           { name = "alice"; public_key = "..."; addresses = [ "10.77.0.2", "fd77::2" ];
 *             networks = [ "10.1.0.0/16" ]; endpoint = "alice.example.org:51820"; keepalive = 25;
 *             client_keepalive = 0; whole_subnet = true; expected_up = true; enabled = false;
 *             preshared_key = false; }
 *   );
 *
 * The same peers give the same text, byte for byte: peers by name, addresses and networks in order, keys in this
 * order, what is as of a new peer left out (no networks, no endpoint, keepalive 0, client_keepalive 25, enabled,
 * with a preshared key). It has no secrets: only that a peer has no preshared key. It does not have the peers that
 * the configuration file declares, which are reviewed there; nor an endpoint that is an address, which changes by
 * itself as the peer roams. Private to model. */
#ifndef MODEL_ROSTER_H
#define MODEL_ROSTER_H

#include "grant.h"
#include "peer_set.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct roster_peer {
	char name[CONFIG_NAME_LEN];
	uint8_t public_key[32];
	struct base_prefix
		*ips; /* [n_addresses + n_networks]: addresses, then networks, both in order */
	uint32_t n_addresses; /* in the tunnel nets */
	uint32_t n_networks;
	bool has_addresses; /* else: those that it has, or is given */
	bool no_preshared_key;
	bool whole_subnet;
	bool expected_up;
	bool is_disabled;
	uint16_t keepalive_s;
	uint16_t client_keepalive_s;
	struct peer_endpoint endpoint;
	int line; /* of the text, or 0 */
};

/* By name. All zero = empty. Caller: roster_fini(). */
struct roster {
	struct roster_peer *peers;
	uint32_t n;
	uint32_t max;
};

/* The peers that the file does not declare. Returns 0 or -ENOMEM, then *out is empty. */
int roster_of_table(const struct peer_table *table, const struct config *config, struct roster *out)
	__attribute__((warn_unused_result));
/* Read a text: each value good by itself, names, keys, addresses and networks once; whether the hub can have them is
 * for peer_set_apply(). Unknown keys are refused, and so is @include. Returns 0, -EINVAL, -EEXIST, -ENOMEM with
 * error, whose line is where; then *out is empty. */
int roster_read(const char *text, const struct config *config, struct roster *out,
                struct grant_error *error) __attribute__((warn_unused_result));
/* Refuse an address or network that two have: when all are filled in. */
int roster_check_ips(const struct roster *roster, struct grant_error *error)
	__attribute__((warn_unused_result));
/* NULL = none. */
struct roster_peer *roster_find(const struct roster *roster, const char *name);
/* Give it these addresses instead of its own. Returns 0 or -ENOMEM. */
int roster_addresses_set(struct roster_peer *peer, const struct base_prefix *addresses, uint32_t n)
	__attribute__((warn_unused_result));
void roster_fini(struct roster *roster);

void roster_write(const struct roster *roster, FILE *out);
void roster_write_one(const struct roster_peer *peer, FILE *out);

/* Does a peer differ? An endpoint that is an address does only from a name: nobody knows what was configured. */
bool roster_equal(const struct roster_peer *old, const struct roster_peer *new);
bool roster_same_ips(const struct roster_peer *old, const struct roster_peer *new);
bool roster_same_endpoint(const struct roster_peer *old, const struct roster_peer *new);
/* What of it does, for people: a line for each key, "~ peer alice: keepalive 0 -> 25". */
void roster_write_difference(const struct roster_peer *old, const struct roster_peer *new,
                             FILE *out);

#endif
