/* A capture: memory of its own (a blob of kind ABI_BLOB_CAPTURE) that is only there while somebody looks
 * at packets. Control says in its head what is wanted; each worker copies such packets into a ring of its
 * own, and counts those for which there was no room; control takes them out.
 *
 *   page 0   struct abi_capture: control writes, before it hands the memory over
 *   then, a worker:   struct abi_capture_ring, n_slots slots of slot_len bytes: struct
 *                     abi_capture_packet and as much of the packet as snaplen allows
 *
 * Both sides copy the head once and check the copy; from then on nothing that the other can write is
 * used but through a mask or a bound. Packets are users' data: the memory goes with the capture. */
#ifndef ABI_CAPTURE_H
#define ABI_CAPTURE_H

#include "abi_layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ABI_CAPTURE_MAGIC     UINT64_C(0x747061632d726577) /* "wer-capt" */
#define ABI_CAPTURE_VERSION   1U
#define ABI_CAPTURE_PEERS_MAX 16U
#define ABI_CAPTURE_SNAP_MAX  9600U
#define ABI_CAPTURE_SLOTS_MAX 65536U
#define ABI_CAPTURE_LEN_MAX   (UINT64_C(1) << 30)

#define ABI_CAPTURE_PACKETS 0x1U /* inner packets, from and to peers */
#define ABI_CAPTURE_DROPS   0x2U /* packets that are dropped */

struct abi_capture { /* written by control, then constant */
	uint64_t magic;
	uint32_t version;
	uint32_t n_workers;
	uint32_t n_slots; /* of each worker; power of two */
	uint32_t snaplen; /* bytes of a packet at most */
	uint32_t what;    /* ABI_CAPTURE_... */
	uint32_t n_peers; /* 0 = all of them, and what is nobody's */
	uint32_t peers[ABI_CAPTURE_PEERS_MAX];
};
ABI_ASSERT_SIZE(struct abi_capture, 96);

struct abi_capture_ring {
	_Alignas(64) uint64_t head; /* the worker writes: packets ever put in */
	uint64_t lost;              /* and those that found no room */
	_Alignas(64) uint64_t tail; /* control writes: packets ever taken */
};
ABI_ASSERT_SIZE(struct abi_capture_ring, 128);

enum abi_capture_way {
	ABI_CAPTURE_FROM_PEER = 0, /* opened; peer sent it */
	ABI_CAPTURE_TO_PEER = 1,   /* about to be sealed; peer gets it */
	ABI_CAPTURE_DROPPED = 2,   /* peer as in struct abi_report_drop */
};

struct abi_capture_packet {
	uint64_t time_ns;
	uint32_t peer;   /* or ABI_PEER_NONE, ABI_PEER_HUB */
	uint32_t way;    /* enum abi_capture_way */
	uint32_t reason; /* of a drop: enum abi_counter */
	uint32_t flags;  /* of a drop: ABI_DROP_... */
	uint32_t len;    /* of the packet */
	uint32_t kept;   /* of these, bytes that follow */
};
ABI_ASSERT_SIZE(struct abi_capture_packet, 32);

/* Bytes of memory for this (magic and version do not count), or 0 when something is out of range. */
size_t abi_capture_len(const struct abi_capture *capture);

/* Write the head into memory of that length, all zero. */
void abi_capture_init(void *data, const struct abi_capture *capture);

/* Is data[len] one? Returns NULL, or what is wrong, a literal. */
const char *abi_capture_check(const void *data, size_t len);

/* One side's end of one worker's ring. Private to the process. */
struct abi_capture_end {
	struct abi_capture_ring *ring;
	uint8_t *slots;
	uint32_t mask;
	uint32_t slot_len;
	uint32_t snaplen;
	uint32_t pad;
	uint64_t head;
	uint64_t tail;
};

/* Take an end, and a copy of the head. False when it is not one, or has no such worker. */
bool abi_capture_open(void *data, size_t len, uint32_t worker, struct abi_capture *capture,
                      struct abi_capture_end *end);

/* The worker: put a packet, bytes[packet->len]; kept is filled in. False: no room, counted. */
bool abi_capture_put(struct abi_capture_end *end, const struct abi_capture_packet *packet,
                     const uint8_t *bytes);

/* Control: the oldest packet, copied out, bytes[ABI_CAPTURE_SNAP_MAX]; it stays until
 * abi_capture_free(). False = there is none. */
bool abi_capture_peek(struct abi_capture_end *end, struct abi_capture_packet *packet,
                      uint8_t *bytes);
/* Only when and what the oldest is. */
bool abi_capture_peek_time(struct abi_capture_end *end, uint64_t *time_ns);
void abi_capture_free(struct abi_capture_end *end);
uint64_t abi_capture_lost(const struct abi_capture_end *end);

#endif
