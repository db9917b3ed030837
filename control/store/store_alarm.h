/* Alarms that stand, so that a restart neither repeats nor forgets one. They go with the peer's row. */
#ifndef STORE_ALARM_H
#define STORE_ALARM_H

#include "store.h"

#include <stdint.h>

/* Best within store_begin_unsynced(). put: it was raised then; again: the new time. drop: also when there is none.
 * Return 0 or -errno. */
int store_alarm_put(struct store *store, uint32_t peer, uint64_t since_wall_ns)
	__attribute__((warn_unused_result));
int store_alarm_drop(struct store *store, uint32_t peer) __attribute__((warn_unused_result));
/* Call fn for every one. Stops with fn's value when that is not 0. Returns 0 or -errno. */
typedef int store_alarm_fn(void *arg, uint32_t peer, uint64_t since_wall_ns);
int store_alarm_each(struct store *store, store_alarm_fn *fn, void *arg)
	__attribute__((warn_unused_result));

#endif
