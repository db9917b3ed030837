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
	int wake_fds[ABI_WORKERS_MAX]; /* of each queue (port_wake.h), the driver's; -1 = none */
	unsigned int ifindex;          /* of the interface below an af_packet port */
	bool sums_udp;                 /* completes the UDP checksum of a frame that asks for it */
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

/* Is the interface below an af_packet port gone, or another one of the same name? Its sockets are dead then,
 * for good. Does not block. */
bool port_eth_is_gone(const struct port_eth *port);
/* Take the driver's port apart, of port i. No worker may be inside it (worker_shared_ports_settled()). */
void port_eth_leave(uint32_t i, struct port_eth *port);
/* Make it again on the interface that has the name now, which gets the MAC address that the port had, so that
 * nobody has to be told of another.
 * Returns 0, -ENODEV (there is none yet, nothing logged), or -errno with one line logged: try again later. */
int port_eth_return(const struct abi_setup *setup, uint32_t i, struct rte_mempool *pool,
                    struct port_eth *port) __attribute__((warn_unused_result));

/* MAC, MTU and link of one port, as they are now, into the region. Thread: main. Does not block. */
void port_eth_status(const struct port_eth *port, struct abi_port_status *out);

#endif
