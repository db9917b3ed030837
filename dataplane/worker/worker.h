/* One worker: a thread that owns its sessions and runs the stations over bursts (worker_run.c), and
 * applies control's commands (worker_cmd.c). main.c makes the surroundings and hands them over. */
#ifndef WORKER_H
#define WORKER_H

#include "abi_region.h"
#include "aead.h"
#include "assist.h"
#include "port_link.h"

#include <rte_mempool.h>
#include <rte_ring.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct worker;

struct state_blobs;
struct state_routes;

/* What all workers of one dataplane share, beside the region. Made by worker_shared_create(). */
struct worker_shared;

struct worker_setup {
	uint32_t id;                     /* 0 .. n_workers - 1 */
	const struct abi_region *region; /* borrowed until worker_destroy() */
	struct worker_shared *shared;    /* borrowed */
	struct rte_mempool *pool;        /* borrowed */
	uint32_t n_ports;
	uint16_t ethdev[ABI_PORTS_MAX]; /* DPDK port id of each WAN port */
	uint16_t queue[ABI_PORTS_MAX];  /* this worker's rx and tx queue there */
	bool sums_udp[ABI_PORTS_MAX];   /* the port completes UDP checksums */
	struct port_link *link; /* to the exception thread; NULL in tests: frames are dropped */
	struct rte_ring *mesh_in[ABI_WORKERS_MAX];  /* from worker i, SPSC, NULL for i == id */
	struct rte_ring *mesh_out[ABI_WORKERS_MAX]; /* to worker i */
	int control_wake_fd;                        /* eventfd, borrowed; -1 in tests */
	/* Descriptors that poll readable when one of our queues holds frames (port_wake.h), borrowed:
	 * an idle worker sleeps on them and on wake_fd, for long when each port has one. */
	int wake_fds[ABI_PORTS_MAX];
	uint32_t n_wake_fds;
	int wake_fd; /* eventfd by which others wake it, borrowed; -1 = it polls all the time */
	enum aead_backend aead;
	enum assist_mode assist; /* shall others help when we are in backlog? */
};

/* The array of current sessions by peer, one word a peer, that all workers read and the owner of a
 * new session release-stores; and the routes, which worker 0 writes. Returns 0 or -ENOMEM. */
int worker_shared_create(uint32_t n_workers, uint32_t n_peers, struct worker_shared **out)
	__attribute__((warn_unused_result));
/* How others wake this worker, once it was made; borrowed. */
struct port_bell *worker_shared_bell(struct worker_shared *shared, uint32_t worker);
/* Where tables are published for all workers, and whose quiet points to wait for (dataplane/blob);
 * borrowed. */
struct state_blobs *worker_shared_blobs(struct worker_shared *shared);
struct state_routes *worker_shared_routes(struct worker_shared *shared);
/* worker_port.c: a port goes (was: what the workers have of it now), or is back (now). Each only when
 * the one before has settled: every worker has taken notice, and none is inside the port's driver. A worker
 * that sleeps wants its bell rung. What is to be sent on a port that is off is dropped (drop_stray).
 * Thread: main. */
struct worker_port {
	uint16_t ethdev;
	int wake_fds[ABI_WORKERS_MAX]; /* -1 = none */
};
void worker_shared_port_off(struct worker_shared *shared, uint32_t port,
                            const struct worker_port *was);
void worker_shared_port_on(struct worker_shared *shared, uint32_t port,
                           const struct worker_port *now);
bool worker_shared_ports_settled(const struct worker_shared *shared, uint32_t n_workers);
void worker_shared_destroy(struct worker_shared *shared);

/* Make a worker; sessions found in its region slots are resumed (send counters from the reserved
 * mark, replay window closed below receive_next). Returns 0 or -errno. */
int worker_create(const struct worker_setup *setup, struct worker **out)
	__attribute__((warn_unused_result));
void worker_destroy(struct worker *worker);

/* Run until *stop is not 0. Thread: the worker's own, already pinned. */
void worker_run(struct worker *worker, const _Atomic uint32_t *stop);

/* One turn of the loop, for tests and benches. Returns the number of packets moved,
 * and of bursts worked on for other workers. */
uint32_t worker_turn(struct worker *worker, uint64_t now_ns);

#endif
