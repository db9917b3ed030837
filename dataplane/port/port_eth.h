/* WAN ports: which ethdev each one is, configured with a receive and a transmit queue a worker. */
#ifndef PORT_ETH_H
#define PORT_ETH_H

#include "abi_layout.h"

#include <rte_mempool.h>

#include <stdbool.h>
#include <stdint.h>

struct port_eth {
	const struct abi_port_setup *setup; /* borrowed */
	uint16_t id;                        /* DPDK's */
	int socket;                         /* to ask the kernel about the interface; -1 = none */
	uint8_t mac[6];
	bool sums_udp; /* completes the UDP checksum of a frame that asks for it */
};

/* Before EAL: does each port's interface or PCI device exist, and may we use it? Most of what can
 * go wrong is said here more plainly than a driver does.
 * Returns 0 or -errno, with one line logged that names the port and a remedy. */
int port_eth_check(const struct abi_setup *setup) __attribute__((warn_unused_result));

/* After EAL: configure and start every port.
 * ports  ports[setup->n_ports], filled on success; caller: port_eth_stop()
 * Returns 0 or -errno, with one line logged; then nothing is left running. */
int port_eth_start(const struct abi_setup *setup, struct rte_mempool *pool, struct port_eth *ports)
	__attribute__((warn_unused_result));

void port_eth_stop(struct port_eth *ports, uint32_t n_ports);

/* MAC, MTU and link of one port, as they are now, into the region. Thread: main. Does not block. */
void port_eth_status(const struct port_eth *port, struct abi_port_status *out);

#endif
