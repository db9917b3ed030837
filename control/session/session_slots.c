/* Slots of the workers' session tables. */
#include "session_table.h"

#include <sodium.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int session__slots_init(struct session_slots *slots, uint32_t n_workers, uint32_t n_slots)
{
	*slots = (struct session_slots){.n_workers = n_workers, .n_slots = n_slots};
	slots->slots = calloc((size_t)n_workers * n_slots, sizeof(*slots->slots));
	slots->free = calloc((size_t)n_workers * n_slots, sizeof(*slots->free));
	slots->free_first = calloc(n_workers, sizeof(*slots->free_first));
	slots->n_free = calloc(n_workers, sizeof(*slots->n_free));
	if (slots->slots == NULL || slots->free == NULL || slots->free_first == NULL
	    || slots->n_free == NULL) {
		session__slots_fini(slots);
		return -ENOMEM;
	}
	session__slots_reset(slots);
	session__slots_refill(slots);
	return 0;
}

void session__slots_fini(struct session_slots *slots)
{
	free(slots->slots);
	free(slots->free);
	free(slots->free_first);
	free(slots->n_free);
	*slots = (struct session_slots){0};
}

void session__slots_reset(struct session_slots *slots)
{
	for (size_t i = 0; i < (size_t)slots->n_workers * slots->n_slots; i++)
		slots->slots[i] = (struct session_slot){.peer = ABI_PEER_NONE};
}

/* The slot that index names, or NULL when there is none. */
static struct session_slot *slot_of(const struct session_slots *slots, uint32_t index)
{
	uint32_t worker = abi_index_worker(index);
	uint32_t slot = abi_index_slot(index);

	if (worker >= slots->n_workers || slot == 0 || slot >= slots->n_slots)
		return NULL;
	return &slots->slots[(size_t)worker * slots->n_slots + slot];
}

bool session__slots_occupy(struct session_slots *slots, uint32_t index, uint32_t peer)
{
	struct session_slot *slot = slot_of(slots, index);

	if (slot == NULL || slot->index != 0)
		return false;
	*slot = (struct session_slot){.index = index, .peer = peer};
	return true;
}

void session__slots_vacate(struct session_slots *slots, uint32_t index)
{
	struct session_slot *slot = slot_of(slots, index);

	if (slot != NULL && slot->index == index)
		*slot = (struct session_slot){.peer = ABI_PEER_NONE};
}

static void free_push(struct session_slots *slots, uint32_t worker, uint32_t slot)
{
	uint32_t *ring = slots->free + (size_t)worker * slots->n_slots;
	uint32_t at = (slots->free_first[worker] + slots->n_free[worker]) % slots->n_slots;

	ring[at] = slot;
	slots->n_free[worker]++;
}

void session__slots_refill(struct session_slots *slots)
{
	for (uint32_t worker = 0; worker < slots->n_workers; worker++) {
		slots->free_first[worker] = 0;
		slots->n_free[worker] = 0;
		for (uint32_t slot = 1; slot < slots->n_slots; slot++)
			if (slots->slots[(size_t)worker * slots->n_slots + slot].index == 0)
				free_push(slots, worker, slot);
	}
}

uint32_t session__slots_take(struct session_slots *slots, uint32_t worker, uint32_t peer)
{
	uint32_t slot, index;

	if (worker >= slots->n_workers || slots->n_free[worker] == 0)
		return ABI_INDEX_NONE;
	slot = slots->free[(size_t)worker * slots->n_slots + slots->free_first[worker]];
	slots->free_first[worker] = (slots->free_first[worker] + 1) % slots->n_slots;
	slots->n_free[worker]--;
	index = abi_index_make(worker, slot, randombytes_random());
	slots->slots[(size_t)worker * slots->n_slots + slot] = (struct session_slot){.index = index,
	                                                                             .peer = peer};
	return index;
}

void session__slots_release(struct session_slots *slots, uint32_t index)
{
	struct session_slot *slot = slot_of(slots, index);

	if (slot == NULL || slot->index != index)
		return;
	*slot = (struct session_slot){.peer = ABI_PEER_NONE};
	free_push(slots, abi_index_worker(index), abi_index_slot(index));
}

void session__slots_hub_set(struct session_slots *slots, uint32_t index, uint32_t serial)
{
	struct session_slot *slot = slot_of(slots, index);

	if (slot != NULL && slot->index == index)
		slot->hub_serial = serial;
}

uint32_t session__slots_hub(const struct session_slots *slots, uint32_t index)
{
	const struct session_slot *slot = slot_of(slots, index);

	return slot != NULL && slot->index == index ? slot->hub_serial : 0;
}

uint32_t session__slots_peer(const struct session_slots *slots, uint32_t index)
{
	const struct session_slot *slot = slot_of(slots, index);

	return slot != NULL && slot->index == index ? slot->peer : ABI_PEER_NONE;
}
