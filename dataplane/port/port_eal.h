/* DPDK's environment layer, started from the set-up in the region; buffers; threads that it knows.
 * EAL gets no files, no telemetry, no shared configuration: two dataplanes do not see each other.
 * It keeps its main thread only; workers are threads of ours, registered with it. */
#ifndef PORT_EAL_H
#define PORT_EAL_H

#include "abi_layout.h"

#include <rte_mempool.h>

#include <pthread.h>
#include <stdint.h>

#define PORT_EAL_MBUFS_DEFAULT 8191U
#define PORT_EAL_ARGS_MAX      40U
#define PORT_EAL_ARG_LEN       320U

struct port_eal_args {
	int n;
	char text[PORT_EAL_ARGS_MAX][PORT_EAL_ARG_LEN];
};

/* Number of buffers in the pool: what the set-up says, or enough for its workers and ports. */
uint32_t port_eal_n_mbufs(const struct abi_setup *setup);

/* Bytes of packet that a buffer must hold behind its headroom: 2048, or more for large MTUs. */
uint32_t port_eal_buffer_len(const struct abi_setup *setup);

/* Rings of af_packet ports are short, or long from here on, until it is called again: if this process may lock so
 * much memory, which it tries. Before there are threads. */
void port_eal_ring_choose(const struct abi_setup *setup);

/* Compose EAL's command line, for port_eal_init() and tests.
 * cpus        CPUs that this process may use, as a list like "0-3,8"
 * hugepages   1: take them; 0: ordinary memory */
void port_eal_compose(const struct abi_setup *setup, const char *cpus, int hugepages,
                      struct port_eal_args *args);

/* Name and arguments of the device of af_packet port i, by which it can also be made again.
 * name, args: [PORT_EAL_ARG_LEN] */
void port_eal_af_packet(const struct abi_setup *setup, uint32_t i, char *name, char *args);

/* Start EAL: hugepages when the set-up wants them and enough are free, else ordinary memory with
 * one warning. The thread's CPU affinity is as before afterwards. Once a process.
 * Returns 0 or -errno, with one line logged. */
int port_eal_init(const struct abi_setup *setup) __attribute__((warn_unused_result));

void port_eal_fini(void);

/* The pool of packet buffers, each with PORT_LINK_PRIV_LEN private bytes.
 * Returns 0 or -errno, with one line logged. Caller: rte_mempool_free(). */
int port_eal_pool_create(const struct abi_setup *setup, struct rte_mempool **out)
	__attribute__((warn_unused_result));

/* Start a thread that EAL knows (so that it has a cache in the pool). All signals are blocked in
 * it.
 * name  at most 15 characters
 * core  CPU to bind it to, -1 = wherever the process may run
 * Returns 0 or -errno, with one line logged. Caller: pthread_join(). */
int port_eal_thread_start(pthread_t *thread, const char *name, int core, void (*run)(void *arg),
                          void *arg) __attribute__((warn_unused_result));

#endif
