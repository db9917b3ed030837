/* What happens to sessions by time alone. */
#ifndef STATE_TIMER_H
#define STATE_TIMER_H

struct state;

/* Every session is seen at least this often (as long as turns come that often). */
#define STATE_TIMER_PERIOD_NS (50 * 1000 * UINT64_C(1000))

/* Look at as many sessions as st->now_ns - st->scan_ns is a part of the period: expire them at 180 s,
 * run their timers (st->keepalives gets those that owe an empty packet; no room: the rest of the
 * slice waits), repeat events that found no room, publish times and counters to the region. */
void state_timer_scan(struct state *st);

#endif
