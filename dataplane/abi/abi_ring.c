/* The ring's two ends. README.md, "Memory order", argues each atomic below. */
#include "abi_ring.h"

#include "base_bytes.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

struct abi_ring_end abi_ring_end_make(struct abi_ring *ring, struct abi_record *records,
                                      uint32_t n_slots)
{
	assert(n_slots != 0 && (n_slots & (n_slots - 1)) == 0);
	return (struct abi_ring_end){
		.ring = ring,
		.records = records,
		.mask = n_slots - 1,
		.head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE),
		.tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE),
	};
}

static uint64_t n_slots_of(const struct abi_ring_end *end)
{
	return (uint64_t)end->mask + 1;
}

/* Publish the new head and learn whether the consumer sleeps. The store, the load and the two of
 * abi_ring_sleep() are sequentially consistent: in their one order either our store comes before
 * the consumer's second look, or its announcement before our load. */
static bool publish_and_ask(struct abi_ring_end *end)
{
	__atomic_store_n(&end->ring->head, end->head, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&end->ring->consumer_sleeps, __ATOMIC_SEQ_CST) == 0)
		return false;
	return __atomic_exchange_n(&end->ring->consumer_sleeps, 0, __ATOMIC_SEQ_CST) != 0;
}

int abi_ring_push(struct abi_ring_end *end, uint16_t type, const void *payload, uint16_t len,
                  bool *wake)
{
	if (len > ABI_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (end->head - end->tail >= n_slots_of(end))
		end->tail = __atomic_load_n(&end->ring->tail, __ATOMIC_ACQUIRE);
	if (end->head - end->tail > n_slots_of(end))
		return -EPROTO;
	if (end->head - end->tail == n_slots_of(end))
		return -EAGAIN;

	struct abi_record *slot = &end->records[end->head & end->mask];

	slot->type = type;
	slot->len = len;
	slot->pad = 0;
	slot->seq = end->head + 1;
	if (len != 0)
		memcpy(slot->payload, payload, len);
	end->head++;
	if (wake == NULL)
		__atomic_store_n(&end->ring->head, end->head, __ATOMIC_RELEASE);
	else if (publish_and_ask(end))
		*wake = true;
	return 0;
}

int abi_ring_peek(struct abi_ring_end *end, struct abi_record *out)
{
	if (end->head == end->tail)
		end->head = __atomic_load_n(&end->ring->head, __ATOMIC_ACQUIRE);
	if (end->head == end->tail)
		return 0;
	if (end->head - end->tail > n_slots_of(end))
		return -EPROTO;

	memcpy(out, &end->records[end->tail & end->mask], sizeof(*out));
	/* From here on only the copy is looked at: the compiler must not read the slot again,
	 * which a lying producer may be changing. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (out->len > ABI_PAYLOAD_MAX || out->seq != end->tail + 1)
		out->type = 0;
	if (out->type == 0)
		out->len = 0;
	return 1;
}

void abi_ring_free(struct abi_ring_end *end)
{
	struct abi_record *slot = &end->records[end->tail & end->mask];

	assert(end->head != end->tail);
	/* Killed between here and the store of tail, we leave a record without a type, not one
	 * with half a payload: a kill cuts between two instructions, so what counts is the order of
	 * the stores in the program, and the fence keeps the compiler to it. */
	slot->type = 0;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	/* All of it: a producer killed while writing leaves bytes behind the next record's len. */
	base_wipe(slot->payload, sizeof(slot->payload));
	end->tail++;
	__atomic_store_n(&end->ring->tail, end->tail, __ATOMIC_RELEASE);
}

int abi_ring_pop(struct abi_ring_end *end, struct abi_record *out)
{
	int found = abi_ring_peek(end, out);

	if (found == 1)
		abi_ring_free(end);
	return found;
}

bool abi_ring_sleep(struct abi_ring_end *end)
{
	if (end->head != end->tail)
		return false;
	__atomic_store_n(&end->ring->consumer_sleeps, 1, __ATOMIC_SEQ_CST);
	end->head = __atomic_load_n(&end->ring->head, __ATOMIC_SEQ_CST);
	if (end->head == end->tail)
		return true;
	__atomic_store_n(&end->ring->consumer_sleeps, 0, __ATOMIC_RELAXED);
	return false;
}

void abi_ring_awake(struct abi_ring_end *end)
{
	__atomic_store_n(&end->ring->consumer_sleeps, 0, __ATOMIC_RELAXED);
}

uint32_t abi_ring_depth(const struct abi_ring_end *end)
{
	uint64_t tail = __atomic_load_n(&end->ring->tail, __ATOMIC_RELAXED);
	uint64_t head = __atomic_load_n(&end->ring->head, __ATOMIC_RELAXED);
	uint64_t depth = head - tail;

	return (uint32_t)(depth > n_slots_of(end) ? n_slots_of(end) : depth);
}
