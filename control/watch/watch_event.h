/* What has happened that somebody may want to act on: quotas, drift, rotations of keys. The last ones are kept and numbered, so
 * that people and programs read them (weir events) and go on where they were; each is a line in the log as
 * well, which its maker writes. */
#ifndef WATCH_EVENT_H
#define WATCH_EVENT_H

#include "watch.h"

#define WATCH_EVENT_TEXT_LEN 400U

struct watch_event {
	uint64_t number; /* one by one, above all of an earlier control */
	uint64_t wall_ns;
	const char *kind;          /* a literal: "quota", "drift", "rotation" */
	const char *what;          /* a literal: what became of it, "reached", "found" */
	char peer[WATCH_NAME_LEN]; /* whom it is about; "-" = nobody */
	char text[WATCH_EVENT_TEXT_LEN];
};

/* watch NULL: nobody looks. */
void watch_event_add(struct watch *watch, const char *kind, const char *what, const char *peer,
                     const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Called for each event as it comes; fn NULL: nobody is told. */
typedef void watch_event_fn(void *arg, const struct watch_event *event);
void watch_on_event(struct watch *watch, watch_event_fn *fn, void *arg);

/* The oldest one that is still kept with a number above this; NULL = none. Borrowed until the next one. */
const struct watch_event *watch_event_after(const struct watch *watch, uint64_t number);
/* Its number; without any, the one below the first to come. */
uint64_t watch_event_newest(const struct watch *watch);

#endif
