/* The rings between one worker and the exception thread, and how mbufs in them are labelled.
 * Written by both: the rings are SPSC rte_rings of mbufs; m->port says what a buffer is:
 *   < ABI_PORTS_MAX   an Ethernet frame from or for that WAN port (TAP side)
 *   PORT_LINK_TUN     an inner IP packet, data at the IP header (TUN side) */
#ifndef PORT_LINK_H
#define PORT_LINK_H

#include "abi_layout.h"
#include "port_bell.h"

#include <rte_ring.h>

#include <stdatomic.h>
#include <stdint.h>

#define PORT_LINK_TUN ABI_PORTS_MAX

/* Private area of every mbuf of the pool (priv_size of rte_pktmbuf_pool_create()): the worker's
 * label on a packet that leaves its burst (path/path_burst.h). Packets from the kernel come with
 * RTE_PKTMBUF_HEADROOM bytes in front, one segment, and room for padding and tag behind. */
#define PORT_LINK_PRIV_LEN 64U

struct port_link {
	struct rte_ring *to_kernel;   /* worker -> exception thread */
	struct rte_ring *from_kernel; /* exception thread -> worker */
	/* Shared by all links of the process: 1 while the exception thread sleeps in poll(). The
	 * worker exchanges it for 0 after enqueueing and then writes wake_fd (an eventfd). */
	_Atomic uint32_t *exception_sleeps;
	int wake_fd;              /* borrowed */
	struct port_bell *worker; /* the worker's, for the exception thread; NULL = it polls */
};

#endif
