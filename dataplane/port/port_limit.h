/* How much of what arrives on the WAN may reach the kernel. Each write to a TAP costs the exception
 * thread about 5,000 cycles in the kernel, so 500,000 a second would fill a core; and the kernel's
 * own answers (SYN ACK, echo replies, neighbours) cost as much again. Limited by class, and by
 * class and source address, so that one source cannot use up what is there for all. What counts is
 * the write: a run of packets that port_gro.h made one of is one.
 *
 * Each limit is a rate and a burst, kept as the time at which the next packet would be due ("virtual
 * scheduling"): one word a limit, no refill loop. Sources lie in a table of fixed size; a new one
 * takes the place of the one in its set that was silent longest. Whoever invents source addresses
 * escapes the limit a source, never the limit of the class. Pure: time and seed are arguments. */
#ifndef PORT_LIMIT_H
#define PORT_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

enum port_limit_class {
	PORT_LIMIT_NEIGHBOUR = 0, /* ARP, IPv6 neighbour and router discovery */
	PORT_LIMIT_ICMP = 1,
	PORT_LIMIT_SYN = 2, /* TCP that opens a connection */
	PORT_LIMIT_OTHER = 3,
	PORT_LIMIT_N_CLASSES
};

/* Writes a second and writes at once. Generous: the aim is that the kernel stays alive, fairness
 * between services is for the kernel's own filters. */
#define PORT_LIMIT_NEIGHBOUR_RATE         5000U
#define PORT_LIMIT_NEIGHBOUR_BURST        1000U
#define PORT_LIMIT_ICMP_RATE              20000U
#define PORT_LIMIT_ICMP_BURST             2000U
#define PORT_LIMIT_SYN_RATE               20000U
#define PORT_LIMIT_SYN_BURST              4000U
#define PORT_LIMIT_OTHER_RATE             200000U
#define PORT_LIMIT_OTHER_BURST            20000U
#define PORT_LIMIT_SOURCE_NEIGHBOUR_RATE  1000U
#define PORT_LIMIT_SOURCE_NEIGHBOUR_BURST 200U
#define PORT_LIMIT_SOURCE_ICMP_RATE       2000U
#define PORT_LIMIT_SOURCE_ICMP_BURST      500U
#define PORT_LIMIT_SOURCE_SYN_RATE        2000U
#define PORT_LIMIT_SOURCE_SYN_BURST       2000U
#define PORT_LIMIT_SOURCE_OTHER_RATE      150000U
#define PORT_LIMIT_SOURCE_OTHER_BURST     15000U

#define PORT_LIMIT_SETS 1024U /* of sources; power of two */
#define PORT_LIMIT_WAYS 4U

/* One source: an IPv4 address, an IPv6 /64, or a MAC where there is no IP header. */
struct port_limit_source {
	uint64_t key; /* 0 = free */
	uint64_t last_ns;
	uint64_t due_ns[PORT_LIMIT_N_CLASSES];
};

/* 192 KB. Zero-initialized is ready but for the seed. */
struct port_limit {
	uint64_t seed; /* random: keeps outsiders from aiming at one set */
	uint64_t due_ns[PORT_LIMIT_N_CLASSES];
	struct port_limit_source sources[PORT_LIMIT_SETS][PORT_LIMIT_WAYS];
};

void port_limit_init(struct port_limit *limit, uint64_t seed);

/* True when this Ethernet frame may be written to the kernel now; false changes nothing.
 * frame   frame[len], len >= 0, not trusted
 * now_ns  monotonic, must not go back */
bool port_limit_pass(struct port_limit *limit, const uint8_t *frame, uint32_t len, uint64_t now_ns);

/* The class of a frame, for tests. */
enum port_limit_class port_limit_classify(const uint8_t *frame, uint32_t len);

#endif
