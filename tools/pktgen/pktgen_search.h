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

/* What a trial came to, in packets. */
struct pktgen_search_trial {
	uint64_t offered; /* sent, or would have been if the port had had room */
	uint64_t skipped; /* not made: the generator was late */
	uint64_t received;
	uint64_t wrong; /* received, and not as sent */
};

/* Did a trial pass? No more than `allowed` (0..1) of what was offered did not arrive, nothing arrived
 * changed, and the generator kept its rate to 2 %: else the trial says nothing about that rate. */
bool pktgen_search_passes(const struct pktgen_search_trial *trial, double allowed);

#endif
