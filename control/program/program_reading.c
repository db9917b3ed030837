/* Reading what the workers publish: sessions, counters, status. */
#include "base_bytes.h"
#include "program_private.h"

#include <string.h>
#include <unistd.h>

/* ---- sessions --------------------------------------------------------------------------------- */

/* Copy a slot that its worker may be changing. Returns false when it is free, changed under our
 * hands, or not a session of this slot. */
static bool copy_session(const struct program *program, uint32_t worker, uint32_t slot,
                         struct abi_session *out)
{
	const struct abi_session *shared = abi_region_session(&program->region, worker, slot);
	uint32_t index = __atomic_load_n(&shared->index, __ATOMIC_ACQUIRE);

	if (index == ABI_INDEX_NONE)
		return false;
	memcpy(out, shared, sizeof(*out));
	/* The load below must not be done before the copy. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	out->index = index;
	return __atomic_load_n(&shared->index, __ATOMIC_RELAXED) == index
	       && abi_index_worker(index) == worker && abi_index_slot(index) == slot
	       && out->peer < program->region.n_peers;
}

static int each_between(const struct program *program, uint32_t worker, uint32_t first,
                        uint32_t end, program_session_fn *fn, void *arg)
{
	struct abi_session session;
	int result = 0;

	for (uint32_t slot = first; slot < end && result == 0; slot++) {
		if (copy_session(program, worker, slot, &session))
			result = fn(arg, worker, slot, &session);
		base_wipe(&session, sizeof(session));
	}
	return result;
}

/* Looks only at pages that exist: reading the others would make them. (A memfd tells its holes; an
 * error here means there is no data behind.) */
static int each_of_worker(const struct program *program, uint32_t worker, program_session_fn *fn,
                          void *arg)
{
	const struct abi_region *region = &program->region;
	const off_t size = sizeof(struct abi_session);
	off_t start = (const uint8_t *)abi_region_session(region, worker, 0) - region->base;
	off_t end = start + (off_t)region->n_slots * size;
	int result = 0;

	for (off_t at = start; at < end && result == 0;) {
		off_t data = lseek(region->fd, at, SEEK_DATA);

		if (data < 0 || data >= end)
			break;
		at = lseek(region->fd, data, SEEK_HOLE);
		if (at < 0 || at > end)
			at = end;
		/* those that begin in it */
		result = each_between(program, worker, (uint32_t)((data - start + size - 1) / size),
		                      (uint32_t)((at - start + size - 1) / size), fn, arg);
	}
	return result;
}

int program_session_each(struct program *program, program_session_fn *fn, void *arg)
{
	int result = 0;

	if (!program->has_region)
		return 0;
	for (uint32_t i = 0; i < program->region.n_workers && result == 0; i++)
		result = each_of_worker(program, i, fn, arg);
	return result;
}

uint32_t program_n_workers(const struct program *program)
{
	return program->setup.dataplane.n_workers;
}

uint32_t program_n_slots(const struct program *program)
{
	return abi_region_slots(program->setup.n_peers);
}

bool program_session_arrives_at(const struct program *program, uint32_t index, uint32_t *worker)
{
	uint32_t owner = abi_index_worker(index);
	uint32_t slot = abi_index_slot(index);
	const struct abi_session *shared;
	uint32_t arrives_at;

	if (!program->has_region || index == ABI_INDEX_NONE || owner >= program->region.n_workers
	    || slot >= program->region.n_slots)
		return false;
	shared = abi_region_session(&program->region, owner, slot);
	arrives_at = __atomic_load_n(&shared->arrives_at, __ATOMIC_RELAXED);
	if (__atomic_load_n(&shared->index, __ATOMIC_ACQUIRE) != index || arrives_at == 0
	    || arrives_at > program->region.n_workers)
		return false;
	*worker = arrives_at - 1;
	return true;
}

/* ---- counters and status ----------------------------------------------------------------------- */

static uint64_t load(const uint64_t *shared)
{
	return __atomic_load_n(shared, __ATOMIC_RELAXED);
}

static uint64_t newer(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t program_counter(const struct program *program, enum abi_counter counter)
{
	return program->has_region ? abi_region_counter(&program->region, counter) : 0;
}

uint64_t program_worker_counter(const struct program *program, uint32_t worker,
                                enum abi_counter counter)
{
	if (!program->has_region)
		return 0;
	return load(&abi_region_worker_counters(&program->region, worker)[counter]);
}

struct abi_peer_counters program_peer_counters(const struct program *program, uint32_t peer)
{
	struct abi_peer_counters sum = {0};

	if (!program->has_region)
		return sum;
	for (uint32_t i = 0; i < program->region.n_workers; i++) {
		const struct abi_peer_counters *one = abi_region_peer_counters(&program->region, i,
		                                                               peer);

		sum.rx_packets += load(&one->rx_packets);
		sum.rx_bytes += load(&one->rx_bytes);
		sum.tx_packets += load(&one->tx_packets);
		sum.tx_bytes += load(&one->tx_bytes);
		sum.drops += load(&one->drops);
		sum.last_rx_ns = newer(sum.last_rx_ns, load(&one->last_rx_ns));
		sum.last_tx_ns = newer(sum.last_tx_ns, load(&one->last_tx_ns));
	}
	return sum;
}

struct abi_limit program_limit(const struct program *program, uint32_t worker, uint32_t peer)
{
	const struct abi_limit *shared;

	if (!program->has_region)
		return (struct abi_limit){0};
	shared = abi_region_limit(&program->region, worker, peer);
	return (struct abi_limit){
		.rx.drops = load(&shared->rx.drops),
		.tx.drops = load(&shared->tx.drops),
		.rx_used = load(&shared->rx_used),
		.tx_used = load(&shared->tx_used),
		.rx_drops = load(&shared->rx_drops),
		.tx_drops = load(&shared->tx_drops),
	};
}

uint64_t program_epoch(const struct program *program)
{
	return program->has_region ? program->region.epoch : 0;
}

struct abi_worker_status program_worker_status(const struct program *program, uint32_t worker)
{
	if (!program->has_region)
		return (struct abi_worker_status){0};

	const struct abi_worker_status *shared = abi_region_worker_status(&program->region, worker);

	return (struct abi_worker_status){
		.heartbeat_ns = load(&shared->heartbeat_ns),
		.n_loops = load(&shared->n_loops),
		.busy_ns = load(&shared->busy_ns),
		.idle_ns = load(&shared->idle_ns),
		.longest_loop_ns = load(&shared->longest_loop_ns),
		.n_sessions = load(&shared->n_sessions),
	};
}

struct abi_port_status program_port_status(const struct program *program, uint32_t port)
{
	if (!program->has_region)
		return (struct abi_port_status){0};
	return *abi_region_port_status(&program->region, port);
}

void program_count(struct program *program, enum abi_counter counter, uint64_t n)
{
	if (!program->has_region)
		return;

	uint64_t *own = &abi_region_control_counters(&program->region)[counter];

	__atomic_store_n(own, load(own) + n, __ATOMIC_RELAXED);
}

uint32_t program_dataplane_pid(const struct program *program)
{
	return program->is_attached ? program->dataplane_pid : 0;
}

bool program_dataplane_ready(const struct program *program)
{
	return program->is_attached
	       && __atomic_load_n(&abi_region_header(&program->region)->dataplane_ready,
	                          __ATOMIC_ACQUIRE)
	                  == 1;
}
