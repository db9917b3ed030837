/* The three slots, moved as the kernel's noise.c moves them. */
#include "wg_keypair.h"

static void retire(struct wg_keypair_retired *retired, struct wg_keypair *slot)
{
	if (slot->index != 0)
		retired->index[retired->n++] = slot->index;
	*slot = (struct wg_keypair){0};
}

static void move(struct wg_keypair *to, struct wg_keypair *from)
{
	*to = *from;
	*from = (struct wg_keypair){0};
}

struct wg_keypair_retired wg_keypair_add(struct wg_keypair_ring *ring, struct wg_keypair fresh)
{
	struct wg_keypair_retired retired = {0};

	retire(&retired, &ring->previous);
	if (!fresh.initiator) {
		retire(&retired, &ring->next);
		ring->next = fresh;
		return retired;
	}
	if (ring->next.index != 0) {
		/* The peer may already send with it, so it must still be readable. */
		retire(&retired, &ring->current);
		move(&ring->previous, &ring->next);
	} else {
		move(&ring->previous, &ring->current);
	}
	ring->current = fresh;
	return retired;
}

struct wg_keypair_retired wg_keypair_confirm(struct wg_keypair_ring *ring, uint32_t index,
                                             bool *switched)
{
	struct wg_keypair_retired retired = {0};

	*switched = index != 0 && index == ring->next.index;
	if (!*switched)
		return retired;
	retire(&retired, &ring->previous);
	move(&ring->previous, &ring->current);
	move(&ring->current, &ring->next);
	return retired;
}

static void expire_slot(struct wg_keypair_retired *retired, struct wg_keypair *slot,
                        uint64_t now_ns)
{
	if (now_ns >= slot->birth_ns + WG_REJECT_AFTER_TIME_NS)
		retire(retired, slot);
}

struct wg_keypair_retired wg_keypair_expire(struct wg_keypair_ring *ring, uint64_t now_ns)
{
	struct wg_keypair_retired retired = {0};

	expire_slot(&retired, &ring->previous, now_ns);
	expire_slot(&retired, &ring->current, now_ns);
	expire_slot(&retired, &ring->next, now_ns);
	return retired;
}

struct wg_keypair_retired wg_keypair_clear(struct wg_keypair_ring *ring)
{
	struct wg_keypair_retired retired = {0};

	retire(&retired, &ring->previous);
	retire(&retired, &ring->current);
	retire(&retired, &ring->next);
	return retired;
}
