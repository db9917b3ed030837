/* Frames: the headers outside and inside the tunnel, written from templates and read back. What is
 * the same for all packets of a run lies in the templates; a packet pays for what differs. */
#ifndef PKTGEN_WIRE_H
#define PKTGEN_WIRE_H

#include "pktgen_flow.h"
#include "pktgen_peer.h"
#include "pktgen_stamp.h"

#include <stdbool.h>
#include <stdint.h>

#define PKTGEN_WIRE_ETHER_LEN   14U
#define PKTGEN_WIRE_IP4_LEN     20U
#define PKTGEN_WIRE_IP6_LEN     40U
#define PKTGEN_WIRE_UDP_LEN     8U
#define PKTGEN_WIRE_HEADER_MAX  62U
#define PKTGEN_WIRE_PATTERN_LEN (PKTGEN_SIZE_MAX + 512U)

struct pktgen_wire {
	/* outside */
	uint8_t header[PKTGEN_WIRE_HEADER_MAX]; /* Ethernet, IP, UDP */
	uint32_t header_len;                    /* 42 or 62 */
	bool is_v6;
	uint32_t sum; /* of the IPv4 header without source and length */
	struct base_endpoint hub;

	/* inside */
	uint8_t inner[PKTGEN_WIRE_IP6_LEN + PKTGEN_WIRE_UDP_LEN]; /* IP, UDP or ICMP echo */
	uint32_t inner_len;                                       /* 28 or 48 */
	bool inner_is_v6;
	bool is_echo; /* ping the hub */
	uint32_t inner_sum;
	struct base_ip inner_first; /* of peer 0 */
	struct base_ip inner_hub;
	uint8_t pattern[PKTGEN_WIRE_PATTERN_LEN];
};

enum pktgen_wire_verdict {
	PKTGEN_WIRE_OK = 0,
	PKTGEN_WIRE_CORRUPTED = 1,    /* not what was sent */
	PKTGEN_WIRE_MISDELIVERED = 2, /* somebody else's */
	PKTGEN_WIRE_OTHER = 3,        /* not of our making */
};

void pktgen_wire_init(struct pktgen_wire *wire, const struct pktgen_options *options,
                      const uint8_t mac[static 6]);
void pktgen_wire_set_hub_mac(struct pktgen_wire *wire, const uint8_t mac[static 6]);

/* Write the headers in front of a message of len bytes that lies, finished, at
 * frame + wire->header_len. Returns the length of the frame. */
uint32_t pktgen_wire_wrap(const struct pktgen_wire *wire, const struct pktgen_peers *peers,
                          const struct pktgen_peer *from, uint8_t *frame, uint32_t len);

/* Write the inner packet of len bytes: headers, stamp, pattern. */
void pktgen_wire_fill(const struct pktgen_wire *wire, const struct pktgen_flow *flow,
                      const struct pktgen_stamp *stamp, uint8_t *packet, uint32_t len);

/* Is an opened packet of room bytes (padding included), that came for peer `to`, one of ours, whole
 * and in the right place? On PKTGEN_WIRE_OK *stamp and *len (without padding) are set. */
enum pktgen_wire_verdict pktgen_wire_check(const struct pktgen_wire *wire,
                                           const struct pktgen_flows *flows, uint32_t to,
                                           const uint8_t *packet, uint32_t room,
                                           struct pktgen_stamp *stamp, uint32_t *len);

#endif
