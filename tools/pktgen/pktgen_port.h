/* The port that packets leave by and come from: EAL, one ethdev with one queue each way, a pool. */
#ifndef PKTGEN_PORT_H
#define PKTGEN_PORT_H

#include "pktgen_args.h"

#include <rte_mempool.h>

#include <stdint.h>

struct pktgen_port {
	uint16_t id; /* DPDK's */
	uint8_t mac[6];
	bool runs;
	struct rte_mempool *pool;
	char driver[32];
};

/* Start EAL and the port. Once a process. Returns 0 or -errno, with one line logged.
 * Caller: pktgen_port_stop(), also after a failure. */
int pktgen_port_start(const struct pktgen_options *options, struct pktgen_port *port)
	__attribute__((warn_unused_result));
void pktgen_port_stop(struct pktgen_port *port);

/* Is the other side there? */
bool pktgen_port_is_up(const struct pktgen_port *port);

#endif
