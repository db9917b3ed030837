/* What the files of watch share. */
#ifndef WATCH_PRIVATE_H
#define WATCH_PRIVATE_H

#include "base_bucket.h"
#include "base_log.h"
#include "watch.h"
#include "watch_event.h"

#include <event2/event.h>
#include <stdbool.h>

#define WATCH_KEPT   1024U /* drops that are kept; power of two */
#define WATCH_EVENTS 256U  /* events that are kept; power of two */
#define WATCH_OPEN   4096U /* pairs of which lines are left out at a time */

/* One worker's count of one peer and reason, as the log has it. */
struct watch_pair {
	uint64_t logged; /* of abi_drop_pair.count: by lines and as suppressed */
	struct base_bucket lines;
	bool is_open;  /* in watch.open */
	bool is_fresh; /* a sample came since the last flush: more may follow without one */
};

/* A pair that may have drops which no line speaks of yet. */
struct watch_open {
	uint32_t worker;
	uint32_t place;
	uint32_t peer;
	uint32_t reason;
};

struct watch_capture;
struct watch_snapshot;

struct watch {
	struct watch_setup setup;
	struct watch_capture *capture;   /* NULL = none */
	struct watch_snapshot *snapshot; /* of flows; NULL = none */
	uint64_t last_snapshot;
	struct event *timer;
	struct event *flush;
	bool knows_counts; /* the pairs' counts of before were read */
	/* Numbers of drops and events begin behind this: the wall clock in us when we began, so that they are
	 * above those of an earlier control, by which somebody may ask now. */
	uint64_t before;

	struct watch_drop kept[WATCH_KEPT];
	uint64_t newest; /* number of the last one, in kept[number % WATCH_KEPT] */

	struct watch_event events[WATCH_EVENTS];
	uint64_t newest_event; /* likewise */
	watch_event_fn *on_event;
	void *on_event_arg;

	struct watch_pair *pairs[ABI_WORKERS_MAX]; /* [n_pairs] of each */
	uint32_t n_pairs;
	struct base_bucket lines; /* of all */
	struct watch_open open[WATCH_OPEN];
	uint32_t n_open;
};

/* watch_log.c: one sample to the log, if there is room; and what was left out. now_ns is monotonic. */
void watch__log_drop(struct watch *watch, const struct watch_drop *drop, uint64_t now_ns);
void watch__log_flush(struct watch *watch, uint64_t now_ns);

/* watch.c: the same moment on the other clock. */
uint64_t watch__wall_of(uint64_t monotonic_ns, uint64_t now_ns);

/* watch.c: the lowest number above this one of the n_kept up to newest; 0 = none. */
uint64_t watch__number_after(const struct watch *watch, uint64_t number, uint64_t newest,
                             uint32_t n_kept) __attribute__((warn_unused_result));

/* watch_capture.c: it is over, if there is one. */
void watch__capture_end(struct watch *watch, const char *why);

/* watch_flow.c: it is over, if there is one. */
void watch__flows_end(struct watch *watch);

#endif
