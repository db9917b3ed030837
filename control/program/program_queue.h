/* Commands that wait for room in a worker's ring: first in, first out, as bytes in chunks. They may
 * hold session keys, so what leaves is wiped. */
#ifndef PROGRAM_QUEUE_H
#define PROGRAM_QUEUE_H

#include <stdint.h>

struct program_chunk;

/* Zero-initialized = empty. */
struct program_queue {
	struct program_chunk *first;
	struct program_chunk *last;
	uint32_t n; /* commands waiting */
};

/* One waiting command; payload is borrowed until program_queue_pop(). */
struct program_queued {
	const uint8_t *payload;
	uint16_t type;
	uint16_t len;
};

/* Append; payload is copied. len <= ABI_PAYLOAD_MAX. Returns 0 or -ENOMEM. */
int program_queue_push(struct program_queue *queue, uint16_t type, const void *payload,
                       uint16_t len) __attribute__((warn_unused_result));

/* The oldest; queue->n is not 0. */
struct program_queued program_queue_peek(const struct program_queue *queue);

/* Wipe and forget the oldest; queue->n is not 0. */
void program_queue_pop(struct program_queue *queue);

/* Wipe and forget all. */
void program_queue_clear(struct program_queue *queue);

#endif
