/* Is what the workers hold what is wanted? Looked at every so often, and on demand, worker after worker,
 * without stopping anybody: first sums of parts, and where these differ the entries (program_compare.h
 * says what counts as drift and what is only under way). What is found is told once, kept until a
 * check no longer finds it, and put right if that is wanted: by repeating just these entries, or, when
 * it is too much, everything.
 *
 * Thread: control's main loop, all functions. */
#ifndef PROGRAM_DRIFT_H
#define PROGRAM_DRIFT_H

#include "program_finding.h"

#include <stdbool.h>
#include <stdint.h>

struct program;

#define PROGRAM_DRIFT_MAX 1024U /* findings kept, of all workers; more are counted */

enum program_drift_news {
	PROGRAM_DRIFT_FOUND = 0,    /* by this check, and not by the one before */
	PROGRAM_DRIFT_REPAIRED = 1, /* the same, and it was put right */
	PROGRAM_DRIFT_CLEARED = 2,  /* no longer found */
};

/* Check every period_ms (0 = on demand only), and put right what is found. To be called once, from
 * program_start() on. Returns 0 or -ENOMEM. */
int program_drift_start(struct program *program, uint32_t period_ms, bool repair)
	__attribute__((warn_unused_result));

/* Check now. Returns 0 (begun, or one was under way), -ENOTCONN (no dataplane is attached), -EAGAIN (a
 * worker takes no commands), -ENOMEM. */
int program_drift_check(struct program *program);

struct program_drift_status {
	bool is_checking;
	uint64_t n_checks;   /* completed */
	uint64_t n_failed;   /* not completed: no answer, or the dataplane went */
	uint64_t n_found;    /* findings ever told */
	uint64_t n_repaired; /* of these, put right */
	/* of the last complete check */
	uint64_t wall_ns; /* when it ended; 0 = there was none */
	uint64_t took_ns;
	uint32_t n_findings;  /* kept */
	uint32_t n_more;      /* entries and parts beyond those kept */
	uint32_t n_peers;     /* peers about whom there are findings, or parts with more of them */
	uint32_t n_uncertain; /* parts that were being changed each time they were looked at */
};
struct program_drift_status program_drift_status(const struct program *program);

/* i < n_findings; ordered by worker, kind, and as the worker holds them. Borrowed until the event loop
 * runs. */
const struct program_finding *program_drift_finding(const struct program *program, uint32_t i);

/* For tests of all this: send a worker a command that changes its tables and not what is wanted. type is that
 * of a command whose payload is entry (program_finding.h). Returns as program_session_install(). */
int program_debug_push(struct program *program, uint32_t worker, uint16_t type, const void *entry);

#endif
