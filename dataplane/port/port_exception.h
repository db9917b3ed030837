/* The exception thread: it alone talks to the kernel's TUN and TAPs, because a write to one runs
 * the kernel's whole receive path in the caller, and no worker shall pay for that. What workers
 * have for the kernel comes over a ring of each (port_link.h), is joined (port_gro.h) and written;
 * what the kernel sends is read in super-packets, cut up (port_gso.h) and goes to a worker's ring.
 * Rings are bounded and full ones are counted drops, so it can wait for nobody.
 *
 * It sleeps in poll() when there is nothing to do; a worker kicks it then, and only then. */
#ifndef PORT_EXCEPTION_H
#define PORT_EXCEPTION_H

#include "abi_layout.h"
#include "port_link.h"

#include <rte_mempool.h>

#include <stdatomic.h>
#include <stdint.h>

struct port_exception;

struct port_exception_setup {
	uint32_t n_workers;
	struct rte_mempool *pool; /* borrowed */
	int tun;                  /* -1 = none; all descriptors borrowed, non-blocking, with a
	                           * virtio_net_hdr of 10 bytes */
	int taps[ABI_PORTS_MAX];  /* -1 = none */
	uint64_t *counters;       /* [ABI_COUNTERS_LEN], borrowed; written by this thread alone */
	uint64_t seed;            /* random */
};

/* Make it with its rings and its eventfd. Needs EAL. name tells two of one process apart (tests).
 * Returns 0 or -errno. */
int port_exception_create(const struct port_exception_setup *setup, const char *name,
                          struct port_exception **out) __attribute__((warn_unused_result));

/* Free it and every buffer that is still in its rings. Thread and workers must have ended. */
void port_exception_destroy(struct port_exception *exception);

/* The link of one worker; borrowed, lives as long as the exception thread's state. */
struct port_link *port_exception_link(struct port_exception *exception, uint32_t worker);

/* Run until *stop is not 0; after setting it, call port_exception_wake(). Thread: its own,
 * registered with EAL. */
void port_exception_run(struct port_exception *exception, const _Atomic uint32_t *stop);

/* End its sleep. Thread: any. */
void port_exception_wake(struct port_exception *exception);

/* One turn of the loop: at most one burst from each worker and a few reads of each device. Returns
 * the number of packets moved. Thread: as port_exception_run(). */
uint32_t port_exception_turn(struct port_exception *exception);

#endif
