/* Changing the cryptokey routing table. */
#include "state_route.h"

#include "state.h"

#include <errno.h>
#include <stdlib.h>

/* ---- making and unmaking ------------------------------------------------------------------------- */

static uint64_t grace_begin(void *arg)
{
	return rte_rcu_qsbr_start((struct rte_rcu_qsbr *)arg);
}

static bool grace_passed(void *arg, uint64_t token)
{
	struct rte_rcu_qsbr *readers = (struct rte_rcu_qsbr *)arg;

	/* The writer is a reader too, but not now. */
	rte_rcu_qsbr_quiescent(readers, ABI_ROUTE_WORKER);
	return rte_rcu_qsbr_check(readers, token, false) == 1;
}

static struct wg_allowedips *make_table(struct state_routes *routes)
{
	const struct wg_allowedips_grace grace = {routes->readers, grace_begin, grace_passed};

	return wg_allowedips_create(&grace);
}

static struct rte_rcu_qsbr *make_readers(uint32_t n_workers)
{
	struct rte_rcu_qsbr *readers = aligned_alloc(RTE_CACHE_LINE_SIZE,
	                                             rte_rcu_qsbr_get_memsize(n_workers));
	bool ok = readers && rte_rcu_qsbr_init(readers, n_workers) == 0;

	for (uint32_t i = 0; ok && i < n_workers; i++)
		ok = rte_rcu_qsbr_thread_register(readers, i) == 0;
	if (ok)
		return readers;
	free(readers);
	return NULL;
}

int state_routes_create(uint32_t n_workers, uint32_t n_peers, struct state_routes **out)
{
	struct state_routes *routes = calloc(1, sizeof(*routes));

	if (!routes)
		return -ENOMEM;
	routes->n_peers = n_peers;
	routes->generation = 1;
	routes->readers = make_readers(n_workers);
	routes->n_held = calloc(n_peers, sizeof(*routes->n_held));
	if (routes->readers && routes->n_held)
		routes->table = make_table(routes);
	if (!routes->table) {
		state_routes_destroy(routes);
		return -ENOMEM;
	}
	*out = routes;
	return 0;
}

static void drop_fresh(struct state_routes *routes)
{
	wg_allowedips_destroy(routes->fresh);
	free(routes->n_held_fresh);
	routes->fresh = NULL;
	routes->n_held_fresh = NULL;
}

void state_routes_destroy(struct state_routes *routes)
{
	if (!routes)
		return;
	for (uint32_t i = 0; i < routes->n_retired; i++)
		wg_allowedips_destroy(routes->retired[i].table);
	drop_fresh(routes);
	wg_allowedips_destroy(routes->table);
	free(routes->n_held);
	free(routes->readers);
	free(routes);
}

/* ---- one by one ---------------------------------------------------------------------------------- */

static bool may_write(const struct state *st, uint32_t peer)
{
	return st->id == ABI_ROUTE_WORKER && peer < st->n_peers;
}

/* The table that is read has changed. */
static void changed(struct state_routes *routes)
{
	uint32_t next = routes->generation + 1;

	__atomic_store_n(&routes->generation, next != 0 ? next : 1, __ATOMIC_RELEASE);
}

static int insert(struct wg_allowedips *table, uint32_t *n_held, const struct abi_cmd_route *cmd)
{
	size_t before = wg_allowedips_count(table);
	uint32_t holder;
	int rc = wg_allowedips_insert(table, &cmd->prefix, cmd->peer, &holder);

	if (rc < 0)
		return rc;
	if (holder != WG_ALLOWEDIPS_NONE)
		n_held[holder]--;
	if (holder != WG_ALLOWEDIPS_NONE || wg_allowedips_count(table) != before)
		n_held[cmd->peer]++;
	return 0;
}

int state_route_put(struct state *st, const struct abi_cmd_route *cmd)
{
	struct state_routes *routes = st->routes;

	if (!may_write(st, cmd->peer) || !st->peers[cmd->peer].present)
		return -EINVAL;

	int rc = insert(routes->table, routes->n_held, cmd);

	changed(routes);
	if (rc == 0 && routes->fresh)
		rc = insert(routes->fresh, routes->n_held_fresh, cmd);
	return rc;
}

int state_route_drop(struct state *st, const struct abi_cmd_route *cmd)
{
	struct state_routes *routes = st->routes;

	if (!may_write(st, cmd->peer))
		return -EINVAL;
	/* Absent is what was asked for: a command may come twice. */
	if (wg_allowedips_remove(routes->table, &cmd->prefix, cmd->peer) == 0)
		routes->n_held[cmd->peer]--;
	changed(routes);
	if (routes->fresh && wg_allowedips_remove(routes->fresh, &cmd->prefix, cmd->peer) == 0)
		routes->n_held_fresh[cmd->peer]--;
	return 0;
}

void state_route_remove_peer(struct state *st, uint32_t peer)
{
	struct state_routes *routes = st->routes;

	if (!may_write(st, peer))
		return;
	if (routes->n_held[peer] != 0)
		wg_allowedips_remove_value(routes->table, peer);
	routes->n_held[peer] = 0;
	changed(routes);
	if (!routes->fresh)
		return;
	if (routes->n_held_fresh[peer] != 0)
		wg_allowedips_remove_value(routes->fresh, peer);
	routes->n_held_fresh[peer] = 0;
}

/* ---- waiting for readers ------------------------------------------------------------------------- */

static void free_retired(struct state_routes *routes)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < routes->n_retired; i++) {
		if (grace_passed(routes->readers, routes->retired[i].token))
			wg_allowedips_destroy(routes->retired[i].table);
		else
			routes->retired[n++] = routes->retired[i];
	}
	routes->n_retired = n;
}

uint64_t state_route_token(struct state *st)
{
	return rte_rcu_qsbr_start(st->routes->readers);
}

bool state_route_passed(struct state *st, uint64_t token)
{
	free_retired(st->routes);
	return grace_passed(st->routes->readers, token);
}

uint64_t state_route_grace(struct state_routes *routes)
{
	return rte_rcu_qsbr_start(routes->readers);
}

bool state_route_grace_passed(struct state_routes *routes, uint64_t token)
{
	return rte_rcu_qsbr_check(routes->readers, token, false) == 1;
}

/* ---- syncs --------------------------------------------------------------------------------------- */

int state_route_sync_begin(struct state *st)
{
	struct state_routes *routes = st->routes;

	if (st->id != ABI_ROUTE_WORKER)
		return 0;
	/* A sync that was cut short by control's death leaves its half behind. */
	drop_fresh(routes);
	free_retired(routes);
	/* Nothing that could go: a dataplane that just started builds the table in its place. */
	if (wg_allowedips_count(routes->table) == 0)
		return 0;
	if (routes->n_retired == STATE_ROUTE_RETIRED_MAX)
		return -EBUSY;
	routes->fresh = make_table(routes);
	routes->n_held_fresh = calloc(routes->n_peers, sizeof(*routes->n_held_fresh));
	if (routes->fresh && routes->n_held_fresh)
		return 0;
	drop_fresh(routes);
	return -ENOMEM;
}

void state_route_sync_end(struct state *st)
{
	struct state_routes *routes = st->routes;
	struct wg_allowedips *old = routes->table;

	if (st->id != ABI_ROUTE_WORKER || !routes->fresh)
		return;
	__atomic_store_n(&routes->table, routes->fresh, __ATOMIC_RELEASE);
	changed(routes);
	routes->fresh = NULL;
	routes->n_swaps++;
	free(routes->n_held);
	routes->n_held = routes->n_held_fresh;
	routes->n_held_fresh = NULL;
	routes->retired[routes->n_retired].table = old;
	routes->retired[routes->n_retired++].token = rte_rcu_qsbr_start(routes->readers);
	free_retired(routes);
}
