/* Making replay windows; using them is inline in the header. */
#include "wg_replay.h"

#include <string.h>

void wg_replay_init(struct wg_replay *replay)
{
	memset(replay, 0, sizeof(*replay));
}

void wg_replay_resume(struct wg_replay *replay, uint64_t next)
{
	memset(replay->words, 0xff, sizeof(replay->words));
	/* Bits above next in its own word stand for counters to come. */
	replay->newest = UINT64_MAX >> (63 - next % 64);
	replay->next = next;
}
