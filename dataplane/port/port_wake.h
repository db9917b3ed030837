/* What an idle worker may sleep on instead of the clock: the packet sockets of af_packet ports. */
#ifndef PORT_WAKE_H
#define PORT_WAKE_H

#include "port_eth.h"

/* The descriptor that polls readable when frames wait in a receive queue, for poll() only: it stays
 * the driver's, and must not be closed, read or used after port_eth_stop(). DPDK 22.11 offers no
 * receive interrupt for af_packet and does not tell its sockets, so they are found among the
 * process's descriptors: packet sockets bound to the port's interface, which the driver opens in
 * the order of its queues.
 * n_queues  of the port; with another number of sockets none is trusted
 * Returns the descriptor or -1: this port cannot wake anybody. Call after port_eth_start(). */
int port_wake_fd(const struct port_eth *port, uint32_t queue, uint32_t n_queues);

#endif
