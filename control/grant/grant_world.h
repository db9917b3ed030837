/* The peers that a policy is judged against: who they are, and what is behind them. A view, made anew
 * for each use; all names and arrays are borrowed. */
#ifndef GRANT_WORLD_H
#define GRANT_WORLD_H

#include "grant.h"

struct grant_peer {
	const char *name;
	uint32_t number;                   /* the workers' */
	const struct base_ip *addresses;   /* [n_addresses], its own in the tunnel */
	const struct base_prefix *subnets; /* [n_subnets], approved, behind it */
	uint32_t n_addresses;
	uint32_t n_subnets;
};

/* A network behind a peer. */
struct grant_net {
	struct base_prefix prefix;
	uint32_t peer;   /* index */
	uint32_t around; /* 1 + index of the smallest network around it; 0 = none */
};

struct grant_world {
	const struct grant_peer *peers; /* [n_peers], sorted by name */
	uint32_t n_peers;
	uint32_t n_nets;
	struct grant_net *nets; /* [n_nets], by family, address, length: of grant_world_begin() */
	struct base_ip hub[CONFIG_TUNNEL_MAX]; /* [n_hub], its tunnel addresses */
	uint32_t n_hub;
	bool is_open; /* hub.peer_to_peer: what no grant allows passes too */
};

/* When peers are filled in, and before anything is asked: sorts what is behind them, so that a policy of many grants
 * can ask for many networks. Returns 0 or -ENOMEM. Caller: grant_world_end(). */
int grant_world_begin(struct grant_world *world) __attribute__((warn_unused_result));
void grant_world_end(struct grant_world *world);

/* NULL = none. */
const struct grant_peer *grant_world_peer(const struct grant_world *world, const char *name);
/* The peer that has this network, or one around it, behind it; of several the one to which its packets go: wg(8)
 * may set networks within networks. */
const struct grant_peer *grant_world_gateway(const struct grant_world *world,
                                             const struct base_prefix *subnet);
/* The peer that has this address, its own or behind it; NULL = none, or the hub (*is_hub). */
const struct grant_peer *grant_world_holder(const struct grant_world *world,
                                            const struct base_ip *ip, bool *is_hub);
bool grant_peer_is_at(const struct grant_peer *peer, const struct base_ip *ip);

/* grant_check.c: what of a policy cannot be: a grant or group that names what is not there, ports
 * without a protocol that has them, times that end before they begin. What is in before (may be NULL)
 * word for word is not looked at again: it was good once, and peers may have gone since.
 * Returns 0, or -errno with error, its line from the text. */
int grant_check(const struct grant_policy *policy, const struct grant_policy *before,
                const struct grant_world *world, struct grant_error *error)
	__attribute__((warn_unused_result));

#endif
