/* What the files of this module share, and nobody else sees. */
#ifndef WORKER_PRIVATE_H
#define WORKER_PRIVATE_H

#include "assist.h"
#include "base_log.h"
#include "base_time.h"
#include "path.h"
#include "state_timer.h"
#include "worker.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

/* Written by the main thread, but for seen[i], which is worker i's. */
struct worker_ports {
	_Atomic uint32_t generation;
	uint32_t off; /* bit i: port i is gone */
	struct worker_port at[ABI_PORTS_MAX];
	_Atomic uint32_t seen[ABI_WORKERS_MAX]; /* generation that the worker acts on */
};

struct worker_shared {
	uint32_t n_peers;
	struct state_current *current; /* [n_peers] */
	struct assist_shared assist;
	struct port_bell bells[ABI_WORKERS_MAX];
	struct state_routes *routes;
	struct state_blobs blobs; /* the main thread writes, once in a while */
	struct worker_ports ports;
};

struct worker {
	struct state st;
	struct path_burst in;  /* the burst that is on its way in, and on through */
	struct path_burst out; /* the burst that begins with out_route or later */
	struct worker_setup setup;
	struct assist assist;
	struct abi_ring_end cmd_ring;
	struct abi_worker_status *status;            /* in the region: this worker writes */
	uint64_t blob_generations[ABI_N_BLOBS];      /* as published in status */
	const struct state_blob *blobs[ABI_N_BLOBS]; /* of these; not to be read, it may be freed */

	/* commands */
	uint64_t barrier_token; /* to be answered as soon as the event ring has room */
	uint64_t barrier_grace; /* answered when no worker misses a route any more */
	bool barrier_due;
	struct base_log_limit cmd_log;

	/* time */
	uint64_t heartbeat_ns; /* last */
	uint64_t held_ns;      /* when held handshake messages were last tried */
	uint64_t loop_ns;      /* start of the last turn */
	uint64_t n_loops;
	uint64_t busy_ns;
	uint64_t idle_ns;
	uint64_t longest_loop_ns;
	uint64_t wall_ahead_ns; /* of the monotonic clock */
	uint64_t wall_read_ns;  /* when it was asked last */
	uint32_t idle_cap_us;
	uint32_t n_empty;                      /* turns without work in a row */
	struct pollfd wake[ABI_PORTS_MAX + 1]; /* [n_wake]: setup.wake_fds, then our bell */
	uint32_t n_wake;
	bool woke_in_vain;                 /* a port woke us and had nothing */
	bool is_deaf;                      /* a port came back that cannot wake us */
	uint8_t wake_place[ABI_PORTS_MAX]; /* 1 + place in wake of a port that is or was off */
	uint32_t ports_off;                /* as adopted last, and which generation that was */
	uint32_t ports_seen;
};

/* Commands applied in one turn at most, so that a long sync does not hold up packets. */
#define WORKER_CMD_MAX 32U

/* worker_rest.c: at the start of the thread; and when a turn found nothing to do. */
void worker__rest_init(struct worker *worker);
void worker__rest(struct worker *worker);

/* Ask the wall clock, which may be set, once a second. */
static inline void worker__follow_wall(struct worker *worker, uint64_t now_ns)
{
	if (now_ns < worker->wall_read_ns + BASE_NS_PER_S)
		return;
	worker->wall_read_ns = now_ns;
	worker->wall_ahead_ns = base_time_wall_ns() - now_ns;
}

/* worker_port.c: adopt which ports there are. */
void worker__ports_take(struct worker *worker);
static inline bool worker__ports_changed(const struct worker *worker)
{
	return atomic_load_explicit(&worker->setup.shared->ports.generation, memory_order_relaxed)
	       != worker->ports_seen;
}

/* worker_blob.c: go over to the tables that are in force. To be called after everything in a turn that
 * says this worker is quiet: its own end, and the commands, whose barrier may say so. */
void worker__blob_take(struct worker *worker);
/* At the start: we use none, whatever the dataplane before us said. */
void worker__blob_init(struct worker *worker);

/* Apply waiting commands. Frames of injected handshake messages are appended to b, which is empty.
 * Returns how many were taken. */
uint32_t worker__cmd_poll(struct worker *worker, struct path_burst *b);

#endif
