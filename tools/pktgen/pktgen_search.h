/* The search of RFC 2544 26.1: the highest rate at which a trial passes. Pure: rates out, verdicts
 * in. */
#ifndef PKTGEN_SEARCH_H
#define PKTGEN_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

struct pktgen_search {
	double passed; /* highest rate that passed; 0 = none yet */
	double failed; /* lowest that failed; 0 = none yet */
	double rate;   /* being tried */
	double resolution;
	uint32_t n_trials;
};

/* Begin at rate, the highest that makes sense; end when passed and failed are a share `resolution`
 * of failed apart. */
void pktgen_search_init(struct pktgen_search *search, double rate, double resolution);

/* The rate to be tried next; 0 when the search is over. */
double pktgen_search_next(struct pktgen_search *search);

void pktgen_search_judge(struct pktgen_search *search, bool passed);

/* Did a trial pass? Packets that the port did not take, and those that were skipped, were not sent
 * at this rate, so they count as lost.
 * allowed  share of what was offered */
bool pktgen_search_passes(uint64_t offered, uint64_t received, double allowed);

#endif
