/* One end of a single-producer single-consumer ring in shared memory. README.md argues the memory
 * order. Each end keeps its own index and a copy of the other's; the other's is validated (never
 * more than n_slots apart), so a lying peer costs us records, never memory safety. */
#ifndef ABI_RING_H
#define ABI_RING_H

#include "abi_layout.h"

#include <stdbool.h>
#include <stdint.h>

struct abi_ring_end {
	struct abi_ring *ring;
	struct abi_record *records;
	uint32_t mask; /* n_slots - 1 */
	uint32_t pad;
	uint64_t own;   /* producer: head; consumer: tail */
	uint64_t other; /* last seen value of the other index */
};

/* Producer: append a record. payload is copied. wake, when not NULL, is set true if the consumer
 * announced that it sleeps: kick its eventfd.
 * Returns 0, -EAGAIN (full, nothing changed), -EMSGSIZE. */
int abi_ring_push(struct abi_ring_end *end, uint16_t type, const void *payload, uint16_t len,
                  bool *wake) __attribute__((warn_unused_result));

/* Consumer: copy the oldest record out and free its slot. The slot's payload is wiped first (it
 * may hold keys). Returns 1 when out is filled, 0 when empty, -EPROTO when the producer's head is
 * impossible (then the ring is dead: the caller detaches). A record whose len is larger than
 * ABI_PAYLOAD_MAX comes out with type 0. */
int abi_ring_pop(struct abi_ring_end *end, struct abi_record *out)
	__attribute__((warn_unused_result));

/* Consumer: announce sleep. Returns true when the ring is still empty afterwards and the caller
 * may block (with a time limit); false when there is work, and then nothing is announced. */
bool abi_ring_sleep(struct abi_ring_end *end);

/* Records waiting; either end, approximate. */
uint32_t abi_ring_depth(const struct abi_ring_end *end);

#endif
