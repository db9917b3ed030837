/* Receiving: a burst from the port, opened, checked and counted. */
#ifndef PKTGEN_RX_H
#define PKTGEN_RX_H

#include "pktgen_run.h"

/* Returns the number of frames that came. */
uint32_t pktgen_rx_turn(struct pktgen_run *run);

#endif
