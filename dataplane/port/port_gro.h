/* From a burst of packets for one TUN or TAP to few writes: runs of one TCP flow become one
 * super-packet (a virtio_net_hdr, the first packet's headers, and every payload by iovec, nothing
 * copied), because a write runs the kernel's receive path once, however much it carries.
 *
 * Only what the kernel could cut up again into the very same packets is put together; the order
 * within a flow never changes. Pure: no I/O, no DPDK, no allocation. */
#ifndef PORT_GRO_H
#define PORT_GRO_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define PORT_GRO_BURST 64U                   /* packets that one burst may hold */
#define PORT_GRO_IOV   (PORT_GRO_BURST + 1U) /* iovecs that one write may need */

struct port_gro_packet {
	uint8_t *data;
	uint32_t len;
	uint32_t payload; /* offset behind the TCP header, 0 = not TCP */
	uint16_t next;    /* in the same write; PORT_GRO_BURST = last */
	uint16_t l4;      /* offset of the TCP header */
};

struct port_gro_write {
	uint32_t hash; /* of the flow; 0 = has none */
	uint32_t next_seq;
	uint32_t len;      /* bytes of the super-packet from the IP header on */
	uint16_t gso_size; /* payload of the first packet */
	uint16_t first;
	uint16_t last;
	uint16_t n; /* packets in it */
	uint16_t ip_id;
	uint8_t id_step; /* IPv4 identification: 0 = constant, 1 = counts up, 2 = not known yet */
	uint8_t sum;     /* TCP checksum of the first packet: enum in port_gro.c */
	bool open;       /* may take more */
};

/* A burst at work. Private but for n_writes. About 6 KB: keep one a thread. */
struct port_gro {
	uint32_t n_writes;

	uint32_t n_packets;
	uint32_t l3;
	bool authenticated;
	struct port_gro_packet packets[PORT_GRO_BURST];
	struct port_gro_write writes[PORT_GRO_BURST];
	struct virtio_net_hdr vnet; /* of the write that was asked for last */
};

/* Start a burst.
 * l3             bytes before the IP header: 0 for a TUN, 14 for a TAP
 * authenticated  the packets were protected on their way (inside a tunnel): then the kernel is
 *                told so, and TCP checksums are not looked at. Otherwise a packet is put together
 *                with others only after its TCP checksum was verified here. */
void port_gro_begin(struct port_gro *gro, uint32_t l3, bool authenticated);

/* Add one packet, in order of arrival; at most PORT_GRO_BURST in a burst.
 * data  data[len], borrowed until the burst's last write is done; the headers of the first packet
 *       of a run are rewritten in place by port_gro_write_iov() */
void port_gro_add(struct port_gro *gro, uint8_t *data, uint32_t len);

/* Describe write i < n_writes; writes go out in this order, each once.
 * iov  iov[PORT_GRO_IOV], filled: [0] is the virtio_net_hdr (valid until the next call)
 * n_packets  how many of the burst it carries
 * Returns the number of iovecs. */
uint32_t port_gro_write_iov(struct port_gro *gro, uint32_t i, struct iovec *iov,
                            uint32_t *n_packets);

#endif
