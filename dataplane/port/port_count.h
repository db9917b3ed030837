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

/* All zero before the first call. */
struct port_truncated {
	uint64_t n;       /* as told last */
	uint64_t told_ns; /* 0 = never */
};

/* n frames in all were shorter than their IP length says: told to the operator with what to do, at most once a
 * minute. Thread: main. */
void port_count_truncated(struct port_truncated *truncated, uint64_t n, uint64_t now_ns);

#endif
