/* An af_packet port whose interface is removed and made again: off, apart, and on again, without the end of
 * anybody (issue 5 item 7). Other ports and all sessions go on. */
#ifndef MAIN_PORT_H
#define MAIN_PORT_H

#include "base_log.h"
#include "port_count.h"
#include "port_eth.h"
#include "worker.h"

enum main_port_state {
	MAIN_PORT_RUNS = 0,
	MAIN_PORT_LEAVES = 1, /* workers have been told, not all have seen it */
	MAIN_PORT_GONE = 2,   /* the driver's port is apart */
};

struct main_port {
	struct port_eth *eth;     /* borrowed, as all here */
	struct port_count *count; /* not to be asked but while it runs */
	enum main_port_state state;
	uint64_t gone_ns;
	uint64_t tried_ns; /* in vain; 0 = not yet */
	uint64_t patience_ns;
};

struct main_port_setup {
	const struct abi_setup *setup;
	struct rte_mempool *pool;
	struct worker_shared *shared;
	const int *worker_wake; /* [setup->n_workers] eventfds */
};

/* Go on with port i. To be called at each tick. Does not wait. Thread: main. */
void main_port_turn(struct main_port *port, const struct main_port_setup *setup, uint32_t i,
                    uint64_t now_ns);

#endif
