/* Frames as they lie on the wire between a hub and its peers, for benchmarks that run a whole worker:
 * addresses, headers, and a data message that is ready to be sealed. */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include "base_bytes.h"
#include "base_ip.h"

#include <stdint.h>

#define BENCH_WIRE_ETHER_LEN 14U
#define BENCH_WIRE_IP4_LEN   20U
#define BENCH_WIRE_UDP_LEN   8U
#define BENCH_WIRE_MESSAGE   (BENCH_WIRE_ETHER_LEN + BENCH_WIRE_IP4_LEN + BENCH_WIRE_UDP_LEN)
#define BENCH_WIRE_INNER     (BENCH_WIRE_MESSAGE + 16U)
#define BENCH_WIRE_PORT      51820U /* the hub's */
#define BENCH_WIRE_PEER_PORT 40000U
#define BENCH_WIRE_MTU       1420U /* of the tunnel */
#define BENCH_WIRE_TTL       64U

#define BENCH_WIRE_HUB     0xc0000202U /* 192.0.2.2, RFC 5737 */
#define BENCH_WIRE_GATEWAY 0xc0000201U
#define BENCH_WIRE_OUTER   0xc6120000U /* 198.18.0.0/15, RFC 2544: + peer, its endpoint */
#define BENCH_WIRE_TUNNEL  0x0a400000U /* 10.64.0.0: + peer, its inner address */

struct base_ip bench_wire_ip(uint32_t address);

/* An IPv4 header for UDP, len bytes with what follows it. */
void bench_wire_ip4(uint8_t *ip, uint32_t len, uint32_t source, uint32_t destination);

/* The ports behind it, always the same: a flow for each two addresses, which the worker knows after its first
 * packet. The sender's is one that also the hub may open from. */
void bench_wire_ports(uint8_t *ip);

/* WireGuard pads to 16 bytes, but not beyond the tunnel's MTU (whitepaper 5.4.6). */
uint32_t bench_wire_padded(uint32_t len);

/* Headers around a message of len bytes, from an endpoint to the hub. Returns the frame's length. */
uint32_t bench_wire_frame(uint8_t *frame, uint32_t peer, uint32_t len);

#endif
