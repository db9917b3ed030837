/* The world of tests/flow for fuzz targets: one worker, peers 1 to 8 with sessions over IPv4 (odd) and
 * IPv6 (even). What lies behind a packet in its buffer is poisoned, so that ASan sees a read past
 * the end although the buffer goes on. */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include "flow.h"
#include "fuzz.h"

#define FUZZ_PEERS 8U

extern struct flow *fuzz_flow;
extern struct flow_session fuzz_sessions[FUZZ_PEERS + 1]; /* [0] unused */

/* Both with this backend; AEAD_BACKEND_SODIUM is ready soonest. */
void fuzz_world_start(enum aead_backend aead);
/* Make the world anew, when an input has changed more than packets do, or now and then; asserts the
 * balance and that no buffer was lost. */
void fuzz_world_renew(void);

/* A frame on WAN port 0; n_slack bytes behind it may be touched. In two segments when split > 0. */
void fuzz_world_rx(const uint8_t *frame, size_t len, size_t n_slack, size_t split);
/* From the kernel: PORT_LINK_TUN or a WAN port. */
void fuzz_world_from_kernel(uint16_t port, const uint8_t *bytes, size_t len);
/* From this peer, sealed with its next counter; padded or as it is. The first n_bend bytes of the
 * message are XORed with bend. */
void fuzz_world_inner(uint32_t peer, const uint8_t *inner, size_t len, bool padded,
                      const uint8_t *bend, size_t n_bend);
/* Run the worker until nothing is left to do, take all that it put out, check the balance. */
void fuzz_world_turn(void);

#endif
