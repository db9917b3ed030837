/* Sending: bursts of sealed packets, and single messages. */
#ifndef PKTGEN_TX_H
#define PKTGEN_TX_H

#include "pktgen_run.h"

/* Size of the i-th inner packet. */
uint32_t pktgen_tx_size(const struct pktgen_options *options, uint32_t i);

/* Send what the pace says is due now. Returns the packets generated. */
uint32_t pktgen_tx_turn(struct pktgen_run *run);

/* Give up packets that wait for the port: they were never sent. */
void pktgen_tx_drop_held(struct pktgen_run *run);

/* Send a WireGuard message as a peer, now or not at all. */
void pktgen_tx_message(struct pktgen_run *run, uint32_t peer, const uint8_t *message, uint32_t len);

/* Send a frame, now or not at all. */
void pktgen_tx_frame(struct pktgen_run *run, const uint8_t *frame, uint32_t len);

/* Send a keepalive as a peer that has a session. */
void pktgen_tx_keepalive(struct pktgen_run *run, uint32_t peer);

#endif
