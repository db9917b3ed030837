/* Entries of a worker's tables that are not as wanted (program_drift.h), as people read them. */
#ifndef WATCH_DRIFT_H
#define WATCH_DRIFT_H

#include "base_log.h"
#include "program_drift.h"
#include "watch.h"

#define WATCH_ENTRY_LEN 200U

struct watch_drift {
	const char *
		kind; /* "peer", "route", "session", "hub", "address", "wan-route", "neighbour", "table" */
	char peer[WATCH_NAME_LEN];  /* whom it is about; "-" = nobody */
	char what[WATCH_ENTRY_LEN]; /* which entry: a prefix, an address, a peer's name, policy */
	char expected[WATCH_ENTRY_LEN]; /* "nothing" = it should not be there */
	char actual[WATCH_ENTRY_LEN];   /* "nothing" = it is not there */
};

void watch_drift_describe(const struct peer_table *peers, const struct program_finding *finding,
                          struct watch_drift *out);

/* program's event: one line in the log, with the prefix wg-drift:, and an event of watch (NULL = nobody
 * looks). */
void watch_drift_in(struct watch *watch, struct base_log_limit *limit,
                    const struct peer_table *peers, const struct program_finding *finding,
                    enum program_drift_news news);

#endif
