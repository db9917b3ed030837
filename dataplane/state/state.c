/* Making and unmaking a worker's state, and the frame of a sync. */
#include "state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Tables have room for every peer, but only what is used shall cost memory: mapped, not filled.
 * Large pages where the kernel has them, since the tables are read at random. */
static void *map_table(size_t n, size_t entry_len)
{
	void *table = mmap(NULL, n * entry_len, PROT_READ | PROT_WRITE,
	                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (table == MAP_FAILED)
		return NULL;
	(void)madvise(table, n * entry_len, MADV_HUGEPAGE);
	(void)madvise(table, n * entry_len, MADV_DONTDUMP); /* keys */
	return table;
}

static void unmap_table(void *table, size_t n, size_t entry_len)
{
	if (table)
		(void)munmap(table, n * entry_len);
}

/* An eighth of the packet buffers, for all workers. */
static uint32_t wait_room(const struct state *st)
{
	return st->pool ? st->pool->size / (8 * st->n_workers) : 0;
}

int state_init(struct state *st, const struct state_setup *setup)
{
	const struct abi_region *region = setup->region;

	*st = (struct state){
		.now_ns = setup->now_ns,
		.scan_ns = setup->now_ns,
		.id = setup->id,
		.n_workers = region->n_workers,
		.n_slots = region->n_slots,
		.n_peers = region->n_peers,
		.counters = abi_region_worker_counters(region, setup->id),
		.mirror = abi_region_session(region, setup->id, 0),
		.receive_next = abi_region_receive_next(region, setup->id, 0),
		.peer_counters = abi_region_peer_counters(region, setup->id, 0),
		.limits_of = abi_region_limit(region, setup->id, 0),
		.current = setup->current,
		.routes = setup->routes,
		.blobs = setup->blobs,
		.aead = setup->aead,
		.pool = setup->pool,
		.link = setup->link,
		.random = setup->seed,
		.event_ring = abi_region_event_ring(region, setup->id),
		.report_ring = abi_region_report_ring(region, setup->id),
		.drops = {.pairs = abi_region_drops(region, setup->id),
	                  .mask = abi_region_drop_pairs(region->n_peers) - 1},
	};
	state_wait_init(&st->wait, wait_room(st));
	state_gate_init(&st->gate, setup->random);
	if (state_wan_init(&st->wan) < 0)
		goto fail;
	st->sessions = map_table(st->n_slots, sizeof(*st->sessions));
	st->rings = map_table(st->n_slots, sizeof(*st->rings));
	st->peers = map_table(st->n_peers, sizeof(*st->peers));
	st->active = map_table(st->n_slots, sizeof(*st->active));
	if (st->sessions && st->rings && st->peers && st->active)
		return 0;
fail:
	state_fini(st);
	return -ENOMEM;
}

void state_resume(struct state *st, const struct abi_region *region)
{
	for (uint32_t slot = 1; slot < st->n_slots; slot++) {
		slot = abi_region_next_session(region, st->id, slot);
		if (slot < st->n_slots)
			state_session_resume(st, slot);
	}
}

void state_fini(struct state *st)
{
	for (uint32_t i = 0; i < st->n_active; i++)
		base_wipe(&st->sessions[st->active[i]], sizeof(*st->sessions));
	unmap_table(st->sessions, st->n_slots, sizeof(*st->sessions));
	unmap_table(st->rings, st->n_slots, sizeof(*st->rings));
	unmap_table(st->peers, st->n_peers, sizeof(*st->peers));
	unmap_table(st->active, st->n_slots, sizeof(*st->active));
	state_flow_destroy(st);
	state_wan_fini(&st->wan);
	base_wipe(st, sizeof(*st));
}

int state_sync_begin(struct state *st)
{
	int rc = state_route_sync_begin(st);

	if (rc < 0)
		return rc;
	st->sync++;
	st->syncing = true;
	return 0;
}

void state_sync_end(struct state *st)
{
	if (!st->syncing)
		return;
	st->syncing = false;
	state_route_sync_end(st);
	state_peer_sweep(st);
	state_limit_sweep(st);
	state_address_sweep(st);
	state_wan_sweep(st);
}
