/* Chunks in a chain, records one behind the other. */
#include "program_queue.h"

#include "abi_layout.h"
#include "base_bytes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_LEN 16384U

struct prefix {
	uint16_t type;
	uint16_t len;
};

struct program_chunk {
	struct program_chunk *next;
	uint32_t head; /* where the next record goes */
	uint32_t tail; /* where the oldest begins */
	uint8_t bytes[CHUNK_LEN - 16];
};

/* Returns the chunk that has room for len more bytes, or NULL when there is no memory. */
static struct program_chunk *chunk_with_room(struct program_queue *queue, size_t len)
{
	struct program_chunk *last = queue->last;

	if (last != NULL && sizeof(last->bytes) - last->head >= len)
		return last;

	struct program_chunk *fresh = malloc(sizeof(*fresh));

	if (fresh == NULL)
		return NULL;
	fresh->next = NULL;
	fresh->head = 0;
	fresh->tail = 0;
	if (last != NULL)
		last->next = fresh;
	else
		queue->first = fresh;
	queue->last = fresh;
	return fresh;
}

int program_queue_push(struct program_queue *queue, uint16_t type, const void *payload,
                       uint16_t len)
{
	struct prefix prefix = {.type = type, .len = len};
	struct program_chunk *chunk;

	assert(len <= ABI_PAYLOAD_MAX);
	chunk = chunk_with_room(queue, sizeof(prefix) + len);
	if (chunk == NULL)
		return -ENOMEM;
	memcpy(chunk->bytes + chunk->head, &prefix, sizeof(prefix));
	if (len != 0)
		memcpy(chunk->bytes + chunk->head + sizeof(prefix), payload, len);
	chunk->head += (uint32_t)(sizeof(prefix) + len);
	queue->n++;
	return 0;
}

struct program_queued program_queue_peek(const struct program_queue *queue)
{
	const struct program_chunk *chunk = queue->first;
	struct prefix prefix;

	assert(queue->n != 0);
	memcpy(&prefix, chunk->bytes + chunk->tail, sizeof(prefix));
	return (struct program_queued){
		.payload = chunk->bytes + chunk->tail + sizeof(prefix),
		.type = prefix.type,
		.len = prefix.len,
	};
}

static void drop_first_chunk(struct program_queue *queue)
{
	struct program_chunk *chunk = queue->first;

	queue->first = chunk->next;
	if (queue->first == NULL)
		queue->last = NULL;
	base_wipe(chunk, sizeof(*chunk));
	free(chunk);
}

void program_queue_pop(struct program_queue *queue)
{
	struct program_queued oldest = program_queue_peek(queue);
	struct program_chunk *chunk = queue->first;
	uint32_t len = (uint32_t)sizeof(struct prefix) + oldest.len;

	base_wipe(chunk->bytes + chunk->tail, len);
	chunk->tail += len;
	queue->n--;
	if (chunk->tail == chunk->head)
		drop_first_chunk(queue);
}

void program_queue_clear(struct program_queue *queue)
{
	while (queue->first != NULL)
		drop_first_chunk(queue);
	queue->n = 0;
}
