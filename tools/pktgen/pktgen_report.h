/* Results as a table for people or one JSON object for scripts (README.md has its shape). */
#ifndef PKTGEN_REPORT_H
#define PKTGEN_REPORT_H

#include "pktgen_run.h"

struct pktgen_results {
	struct pktgen_trial *trial; /* [n_trials] */
	uint32_t n_trials;
	bool searched;
	double found_pps; /* of a search; 0 = none */
};

/* One line on stderr about the last seconds. */
void pktgen_report_progress(const struct pktgen_run *run, double seconds);

/* Returns 0 or -EIO. */
int pktgen_report_print(const struct pktgen_run *run, const struct pktgen_results *results)
	__attribute__((warn_unused_result));

#endif
