/* Binary search between a rate that passed and one that did not. */
#include "pktgen_search.h"

#define TRIALS_MAX 64U

void pktgen_search_init(struct pktgen_search *search, double rate, double resolution)
{
	*search = (struct pktgen_search){.rate = rate, .resolution = resolution};
}

double pktgen_search_next(struct pktgen_search *search)
{
	if (search->n_trials == 0)
		return search->rate;
	/* The highest that makes sense passed, or nothing does. */
	if (search->failed <= 0 || search->n_trials == TRIALS_MAX || search->failed < 1)
		return 0;
	if (search->failed - search->passed <= search->resolution * search->failed)
		return 0;
	search->rate = (search->passed + search->failed) / 2;
	return search->rate;
}

void pktgen_search_judge(struct pktgen_search *search, bool passed)
{
	search->n_trials++;
	if (passed)
		search->passed = search->rate;
	else
		search->failed = search->rate;
}

bool pktgen_search_passes(uint64_t offered, uint64_t received, double allowed)
{
	uint64_t lost = offered > received ? offered - received : 0;

	return offered > 0 && (double)lost <= allowed * (double)offered;
}
