/* What a check of the workers' tables goes through: program_drift.c asks, program_drift_finding.c keeps what
 * is found, tells it and puts it right. Private to these two. */
#ifndef PROGRAM_DRIFT_PRIVATE_H
#define PROGRAM_DRIFT_PRIVATE_H

#include "program_compare.h"
#include "program_drift.h"
#include "program_private.h"

enum program_drift_phase {
	PROGRAM_DRIFT_IDLE = 0,
	PROGRAM_DRIFT_SUMS = 1,    /* asked for */
	PROGRAM_DRIFT_ENTRIES = 2, /* asked for */
	PROGRAM_DRIFT_MISSING = 3, /* looking for what was not among them */
};

struct program_findings {
	struct program_finding list[PROGRAM_DRIFT_MAX];
	uint32_t n;
	uint32_t n_more;
	uint32_t n_more_parts;
};

struct program_drift {
	struct program *program;
	uint32_t period_ms;
	bool repair;
	struct event *period_event;
	struct event *step_event; /* next slice; while an answer is awaited, its time limit */
	enum program_drift_phase phase;
	uint32_t worker;
	uint32_t attempt;
	uint64_t token;
	uint64_t since; /* changes of what is wanted, when the sums were asked for */
	uint64_t asked_ns;
	uint64_t begun_ns;
	uint32_t n_sums;
	uint64_t sums[ABI_CHECK_N_PARTS];
	uint64_t uncertain[ABI_WORKERS_MAX][ABI_CHECK_WORDS];
	struct program_compare compare;
	struct program_findings *fresh; /* of this check, so far */
	struct program_findings *last;  /* of the last complete one */
	struct program_drift_status status;
};

/* Come back so long after now, unless an answer does before. */
void program__drift_wait(struct program_drift *drift, uint32_t ms);

/* One more of this check. */
void program__drift_keep(struct program_findings *findings, const struct program_finding *finding);

/* All workers have answered: tell what is new and what is gone, put right what is to be, be idle. */
void program__drift_finish(struct program_drift *drift);

#endif
