/* One end of a single-producer single-consumer ring in shared memory. README.md argues the memory
 * order. Each end keeps its own index and a copy of the other's; the other's is validated (never
 * more than n_slots apart), so a lying peer costs us records, never memory safety. */
#ifndef ABI_RING_H
#define ABI_RING_H

#include "abi_layout.h"

#include <stdbool.h>
#include <stdint.h>

/* Private to the process. The producer owns head and learns tail, the consumer the other way
 * round. */
struct abi_ring_end {
	struct abi_ring *ring;
	struct abi_record *records;
	uint32_t mask; /* n_slots - 1 */
	uint32_t pad;
	uint64_t head; /* producer: own index; consumer: last seen */
	uint64_t tail; /* consumer: own index; producer: last seen */
};

/* Make an end over ring and its n_slots records (a power of two). Reads both indexes, so that a
 * restarted side goes on where its predecessor was killed. */
struct abi_ring_end abi_ring_end_make(struct abi_ring *ring, struct abi_record *records,
                                      uint32_t n_slots);

/* Producer: append a record. payload is copied. wake, when not NULL, is set true if the consumer
 * announced that it sleeps, and else left as it is, so that one kick of its eventfd can follow
 * several records; NULL for a consumer that always polls.
 * Returns 0, -EAGAIN (full, nothing changed), -EMSGSIZE, -EPROTO when the consumer's tail is
 * impossible (then the ring is dead: the caller detaches). */
int abi_ring_push(struct abi_ring_end *end, uint16_t type, const void *payload, uint16_t len,
                  bool *wake) __attribute__((warn_unused_result));

/* Consumer: copy the oldest record out and leave it in the ring. Apply it, then abi_ring_free():
 * so a consumer that is killed in between finds it again. Records are idempotent for this.
 * Returns 1 when out is filled, 0 when empty, -EPROTO when the producer's head is impossible (then
 * the ring is dead: the caller detaches). A record that is malformed (len larger than
 * ABI_PAYLOAD_MAX, a seq that is not its place) or whose consumer was killed while freeing it
 * comes out with type 0 (ABI_CMD_NONE, ABI_EVENT_NONE): skip it. out may hold keys: wipe it. */
int abi_ring_peek(struct abi_ring_end *end, struct abi_record *out)
	__attribute__((warn_unused_result));

/* Consumer: give the slot of the record just peeked back to the producer, its payload wiped. */
void abi_ring_free(struct abi_ring_end *end);

/* Consumer: peek and free at once, for records that may be lost with the consumer. Returns as
 * abi_ring_peek(). */
int abi_ring_pop(struct abi_ring_end *end, struct abi_record *out)
	__attribute__((warn_unused_result));

/* Consumer: announce sleep. Returns true when the ring is still empty afterwards and the caller
 * may block (with a time limit: a producer may die before it kicks); false when there is work, and
 * then nothing is announced. */
bool abi_ring_sleep(struct abi_ring_end *end);

/* Consumer: awake again, whoever woke it. */
void abi_ring_awake(struct abi_ring_end *end);

/* Records waiting; either end, approximate. At most n_slots whatever the other side wrote. */
uint32_t abi_ring_depth(const struct abi_ring_end *end);

#endif
