/* Cryptokey routing: inner prefix -> peer. One table for all workers of a dataplane.
 *
 * One worker writes it, between its bursts, because it gets control's commands: worker 0. Control
 * sends routes to it alone. Everybody else reads, in the middle of a burst, without lock, wait or
 * atomic read-modify-write. What is taken out of the table is freed after every worker has been
 * between two bursts (QSBR, rte_rcu_qsbr): each says so once a turn with one store, and goes offline
 * while it sleeps.
 *
 * During a sync a second table is built beside the one in use, and replaces it at the end; so
 * nothing that control repeats is ever away. */
#ifndef STATE_ROUTE_H
#define STATE_ROUTE_H

#include "abi_layout.h"
#include "wg_allowedips.h"

#include <rte_rcu_qsbr.h>

#include <stdbool.h>
#include <stdint.h>

struct state;

#define STATE_ROUTE_RETIRED_MAX 4U

struct state_routes {
	struct wg_allowedips *table; /* the writer stores, everybody loads with acquire */
	/* never 0; the writer raises it, with release, after each change that a reader may see */
	uint32_t generation;
	struct rte_rcu_qsbr *readers;
	/* the writer's */
	uint32_t *n_held;            /* [n_peers] prefixes in table */
	struct wg_allowedips *fresh; /* being built by a sync, else NULL */
	uint32_t *n_held_fresh;
	uint32_t n_peers;
	uint32_t n_swaps; /* times that a sync replaced the table */
	uint32_t n_retired;
	struct {
		struct wg_allowedips *table;
		uint64_t token;
	} retired[STATE_ROUTE_RETIRED_MAX];
};

/* Make the table, empty. Returns 0 or -ENOMEM. Destroy when no worker runs. */
int state_routes_create(uint32_t n_workers, uint32_t n_peers, struct state_routes **out)
	__attribute__((warn_unused_result));
void state_routes_destroy(struct state_routes *routes);

/* ---- the writer's --------------------------------------------------------------------------------
 * Any other worker is refused with -EINVAL. */

/* Give the prefix to the peer, or take it away if it is the peer's. Return 0, -EINVAL, -ENOMEM. */
int state_route_put(struct state *st, const struct abi_cmd_route *cmd)
	__attribute__((warn_unused_result));
int state_route_drop(struct state *st, const struct abi_cmd_route *cmd)
	__attribute__((warn_unused_result));

/* Remove all prefixes of a peer. Not the writer: nothing happens. Cost: a walk of the table, if the
 * peer has prefixes left; control drops them one by one first. */
void state_route_remove_peer(struct state *st, uint32_t peer);

/* Not the writer: nothing happens. begin: 0, -ENOMEM, -EBUSY (a worker has not moved for several
 * syncs). */
int state_route_sync_begin(struct state *st) __attribute__((warn_unused_result));
void state_route_sync_end(struct state *st);

/* A token for all changes made so far, and: has every worker ended the burst in which it may have
 * missed them? Also frees what nobody reads any more. Call between bursts. */
uint64_t state_route_token(struct state *st);
bool state_route_passed(struct state *st, uint64_t token);

/* The same for whoever is no worker and publishes something else that workers take between two bursts:
 * call grace when it is published. Thread: any. */
uint64_t state_route_grace(struct state_routes *routes);
bool state_route_grace_passed(struct state_routes *routes, uint64_t token);

/* ---- the readers' -------------------------------------------------------------------------------- */

/* A worker begins to read, or ends (before a sleep: then nobody waits for it). */
static inline void state_route_online(struct state_routes *routes, uint32_t worker)
{
	rte_rcu_qsbr_thread_online(routes->readers, worker);
}

static inline void state_route_offline(struct state_routes *routes, uint32_t worker)
{
	rte_rcu_qsbr_thread_offline(routes->readers, worker);
}

/* The worker is between two bursts and holds nothing of the table. */
static inline void state_route_quiet(struct state_routes *routes, uint32_t worker)
{
	rte_rcu_qsbr_quiescent(routes->readers, worker);
}

static inline const struct wg_allowedips *state_route_table(const struct state_routes *routes)
{
	return __atomic_load_n(&routes->table, __ATOMIC_ACQUIRE);
}

/* Peer of an inner packet's address; version is that of its header, 4 or 6. ABI_PEER_NONE = none. */
static inline uint32_t state_route_lookup(const struct state_routes *routes, uint32_t version,
                                          const uint8_t *address)
{
	const struct wg_allowedips *table = state_route_table(routes);

	return version == 4 ? wg_allowedips_lookup_v4(table, address)
	                    : wg_allowedips_lookup_v6(table, address);
}

/* What a look-up said holds as long as this, read before it, stays the same: whoever keeps an answer keeps
 * this beside it. A change counts for all workers when each has been between two bursts. */
static inline uint32_t state_route_generation(const struct state_routes *routes)
{
	return __atomic_load_n(&routes->generation, __ATOMIC_ACQUIRE);
}

/* Is it worth a pass over the burst to prefetch? */
static inline bool state_route_is_cold(const struct state_routes *routes)
{
	return wg_allowedips_is_cold(state_route_table(routes));
}

/* Reach for what the look-up of this address will read. */
static inline void state_route_prefetch(const struct state_routes *routes, uint32_t version,
                                        const uint8_t *address)
{
	const struct wg_allowedips *table = state_route_table(routes);

	if (version == 4)
		wg_allowedips_prefetch_v4(table, address);
	else
		wg_allowedips_prefetch_v6(table, address);
}

_Static_assert(WG_ALLOWEDIPS_NONE == ABI_PEER_NONE, "a miss is no peer");
_Static_assert(ABI_PEERS_MAX - 1 <= WG_ALLOWEDIPS_VALUE_MAX, "a peer is a value");

#endif
