/* Making replay windows; using them is inline in the header. */
#include "wg_replay.h"

#include <string.h>

void wg_replay_init(struct wg_replay *replay, struct wg_replay_ring *ring)
{
	*replay = (struct wg_replay){0};
	memset(ring, 0, sizeof(*ring));
}

void wg_replay_resume(struct wg_replay *replay, struct wg_replay_ring *ring, uint64_t next)
{
	memset(ring, 0xff, sizeof(*ring));
	/* Bits above next in its own word stand for counters to come. */
	replay->newest = UINT64_MAX >> (63 - next % 64);
	replay->next = next;
}
