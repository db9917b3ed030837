/* Neighbours: who has the next hop, and "I have" for the own addresses. ARP and neighbour
 * discovery (RFC 826, RFC 4861), the little of both that two ends of a wire need. Pure: a frame in,
 * a frame out. */
#ifndef PKTGEN_RESOLVE_H
#define PKTGEN_RESOLVE_H

#include "base_ip.h"

#include <stdbool.h>
#include <stdint.h>

#define PKTGEN_RESOLVE_FRAME_MAX 128U

struct pktgen_resolve {
	uint8_t mac[6];            /* own */
	const struct base_ip *own; /* [n_own], consecutive; borrowed */
	uint32_t n_own;
	struct base_ip next_hop; /* hub or gateway */
	uint8_t next_mac[6];
	bool is_known;
};

/* Write the question for the next hop, as asked by own address `from`: whom it reaches learns where
 * that address is, too. Returns the length of the frame. */
uint32_t pktgen_resolve_ask(const struct pktgen_resolve *resolve, uint32_t from,
                            uint8_t frame[static PKTGEN_RESOLVE_FRAME_MAX]);

/* Look at a frame that is not WireGuard. Learns the next hop's address from answers (is_known), and
 * writes an answer to questions about own addresses.
 * Returns the length of the answer in out, 0 when there is none. */
uint32_t pktgen_resolve_take(struct pktgen_resolve *resolve, const uint8_t *frame, uint32_t len,
                             uint8_t out[static PKTGEN_RESOLVE_FRAME_MAX]);

#endif
