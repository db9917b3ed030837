/* A pcapng file (the IETF draft "PCAP Now Generic"), block by block, little endian: one section with one
 * interface of raw IP packets. (libpcap, which Debian has, reads this format and does not write it; and
 * what it does write, pcap, has no comments.) Pure: bytes into a buffer of the caller's. */
#ifndef WATCH_PCAPNG_H
#define WATCH_PCAPNG_H

#include <stddef.h>
#include <stdint.h>

#define WATCH_PCAPNG_COMMENT_MAX     512U
#define WATCH_PCAPNG_HEAD_MAX        512U /* what watch_pcapng_begin() writes at most */
#define WATCH_PCAPNG_TAIL_MAX        128U
/* What one packet of len kept bytes takes at most. */
#define WATCH_PCAPNG_PACKET_MAX(len) ((size_t)(len) + WATCH_PCAPNG_COMMENT_MAX + 64U)

enum watch_pcapng_way { /* epb_flags */
	                WATCH_PCAPNG_UNKNOWN = 0,
	                WATCH_PCAPNG_INBOUND = 1,
	                WATCH_PCAPNG_OUTBOUND = 2,
};

struct watch_pcapng_packet {
	uint64_t wall_ns;
	const uint8_t *bytes; /* [kept] */
	uint32_t kept;
	uint32_t len; /* before it was cut */
	enum watch_pcapng_way way;
	const char *comment; /* UTF-8, at most WATCH_PCAPNG_COMMENT_MAX bytes count; NULL = none */
};

/* Section header and interface. program, interface: at most 100 bytes count. All return the bytes written
 * to out, which has room for what is said above. */
size_t watch_pcapng_begin(uint8_t *out, const char *program, const char *interface,
                          uint32_t snaplen);
size_t watch_pcapng_packet(uint8_t *out, const struct watch_pcapng_packet *packet);
/* Interface statistics: packets that were wanted, and those of them that are missing. */
size_t watch_pcapng_end(uint8_t *out, uint64_t wall_ns, uint64_t n_received, uint64_t n_lost);

#endif
