/* Is a peer there that should be up? The decision alone: no clock, no store, no peer table; who looks, how often,
 * and what becomes of the answer is in model_alarm.c.
 *
 *            age > stale_after                       heard again, age <= 5/6 of stale_after
 *     up ---------------------> raised (stale, never) ---------------------> up
 *                                      +--- nobody expects it any more ---> ended
 *
 * Between the two ages everything stays as it is. What lies before this control's start can raise an
 * alarm but never clear one, since its age is by a clock that people set. */
#ifndef ALARM_H
#define ALARM_H

#include <stdbool.h>
#include <stdint.h>

enum alarm_heard {
	ALARM_HEARD_NEVER = 0,
	ALARM_HEARD_BEFORE = 1, /* as the store has it, before control's start */
	ALARM_HEARD_NOW = 2,
};

/* What is seen of a peer at one moment. */
struct alarm_sight {
	bool is_expected; /* it should be up, and may be */
	enum alarm_heard heard;
	uint64_t age_ns;      /* of its last handshake; any when there was none */
	uint64_t expected_ns; /* for how long it has been expected */
};

enum alarm_news {
	ALARM_NOTHING = 0,
	ALARM_STALE = 1, /* raised: its last handshake is too old */
	ALARM_NEVER = 2, /* raised: there was none */
	ALARM_UP = 3,    /* over: it is back */
	ALARM_ENDED = 4, /* over: it need not be up */
};

/* is_raised: whether an alarm stands. It does after ALARM_STALE and ALARM_NEVER, and does not after the last two. */
enum alarm_news alarm_look(bool is_raised, const struct alarm_sight *sight, uint64_t stale_after_ns)
	__attribute__((warn_unused_result));

/* "stale", "never", "up", "ended"; a literal. */
const char *alarm_news_text(enum alarm_news news);

#endif
