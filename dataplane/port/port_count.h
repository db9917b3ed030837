/* What a WAN port lost before a worker saw it: the overload that costs nothing. The driver counts it,
 * or, for af_packet, the kernel's sockets do. */
#ifndef PORT_COUNT_H
#define PORT_COUNT_H

#include "port_eth.h"

#include <stdint.h>

struct port_count {
	const struct port_eth *port;  /* borrowed */
	int sockets[ABI_WORKERS_MAX]; /* [n_sockets], the driver's, borrowed; af_packet only */
	uint32_t n_sockets;
	uint64_t missed; /* as the driver said last */
	uint64_t errors;
};

/* The port has been started, with so many receive queues. What was lost before is not counted. */
void port_count_init(struct port_count *count, const struct port_eth *port, uint32_t n_queues);

/* Add what was lost since the last call to counters[ABI_COUNTERS_LEN], in the region, of which the
 * caller is the one writer as far as ABI_COUNTER_PORT_... go. Thread: main. */
void port_count_turn(struct port_count *count, uint64_t *counters);

#endif
