/* A binary heap of peers by the time at which they have to be looked at. Its array has room for all
 * peers, so nothing here can fail. */
#include "session_table.h"

static void put_at(struct session_heap *heap, uint32_t at, struct session_peer *peer)
{
	heap->at[at] = peer;
	peer->heap_at = at;
}

static void sift_up(struct session_heap *heap, uint32_t at)
{
	struct session_peer *peer = heap->at[at];

	while (at > 0 && heap->at[(at - 1) / 2]->wake_ns > peer->wake_ns) {
		put_at(heap, at, heap->at[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	put_at(heap, at, peer);
}

static void sift_down(struct session_heap *heap, uint32_t at)
{
	struct session_peer *peer = heap->at[at];

	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= heap->n)
			break;
		if (child + 1 < heap->n && heap->at[child + 1]->wake_ns < heap->at[child]->wake_ns)
			child++;
		if (heap->at[child]->wake_ns >= peer->wake_ns)
			break;
		put_at(heap, at, heap->at[child]);
		at = child;
	}
	put_at(heap, at, peer);
}

static void take_out(struct session_heap *heap, struct session_peer *peer)
{
	uint32_t at = peer->heap_at;
	struct session_peer *last = heap->at[--heap->n];

	peer->heap_at = SESSION_HEAP_NONE;
	if (last == peer)
		return;
	put_at(heap, at, last);
	sift_up(heap, at);
	sift_down(heap, last->heap_at);
}

void session__heap_set(struct session_heap *heap, struct session_peer *peer, uint64_t wake_ns)
{
	peer->wake_ns = wake_ns;
	if (wake_ns == WG_TIMER_NEVER) {
		if (peer->heap_at != SESSION_HEAP_NONE)
			take_out(heap, peer);
		return;
	}
	if (peer->heap_at == SESSION_HEAP_NONE)
		put_at(heap, heap->n++, peer);
	sift_up(heap, peer->heap_at);
	sift_down(heap, peer->heap_at);
}

struct session_peer *session__heap_first(const struct session_heap *heap)
{
	return heap->n > 0 ? heap->at[0] : NULL;
}
