/* From one packet as the kernel's TUN or TAP gives it (struct virtio_net_hdr in front: a TCP or UDP
 * super-packet of up to 64 KB, or a packet whose checksum is left to us) to packets as they go on
 * the wire: cut at gso_size, headers repeated, every checksum complete. Pure: no I/O, no DPDK, no
 * allocation; one segment at a time into the caller's buffer. */
#ifndef PORT_GSO_H
#define PORT_GSO_H

#include <linux/virtio_net.h>
#include <stdint.h>

/* Linux cuts TCP at an MSS of 48 or more, so 64 KB give less than 1400. */
#define PORT_GSO_SEGMENTS_MAX 1400U

/* In kernels since 6.2; Debian 12's headers do not know it. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* A packet being cut up. Private but for n_segments and segment_max. */
struct port_gso {
	uint32_t n_segments;  /* how often port_gso_next() gives one */
	uint32_t segment_max; /* bytes of the longest */

	const uint8_t *packet; /* borrowed */
	uint32_t len;
	uint32_t l3;      /* offset of the IP header */
	uint32_t l4;      /* offset of TCP or UDP */
	uint32_t payload; /* offset behind it */
	uint32_t gso_size;
	uint32_t i; /* next segment */
	uint8_t version;
	uint8_t protocol;    /* IPPROTO_TCP, IPPROTO_UDP, 0 = not cut */
	uint16_t csum_start; /* not cut: checksum to complete; 0 = none */
	uint16_t csum_offset;
	uint64_t pseudo; /* partial sum of the pseudo header, without length */
};

/* Look at one packet.
 * vnet    as read, native byte order
 * packet  packet[len], borrowed until the last segment was taken
 * l3      bytes before the IP header: 0 on a TUN, 14 on a TAP
 * Returns 0, or -EPROTO (cannot be used: headers do not fit the length, a fragment, a kind of
 * segmentation that nobody asked for, more than PORT_GSO_SEGMENTS_MAX pieces). */
int port_gso_begin(struct port_gso *gso, const struct virtio_net_hdr *vnet, const uint8_t *packet,
                   uint32_t len, uint32_t l3) __attribute__((warn_unused_result));

/* Write the next segment.
 * out  out[segment_max]
 * Returns its length in bytes, 0 when there is none left. */
uint32_t port_gso_next(struct port_gso *gso, uint8_t *out);

#endif
