/* Binary search between a rate that passed and one that did not. */
#include "pktgen_search.h"

#define TRIALS_MAX    64U
#define SKIPPED_SHARE 50U

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

bool pktgen_search_passes(const struct pktgen_search_trial *trial, double allowed)
{
	uint64_t lost = trial->offered > trial->received ? trial->offered - trial->received : 0;

	if (trial->offered == 0 || trial->wrong > 0
	    || trial->skipped > trial->offered / SKIPPED_SHARE)
		return false;
	return (double)lost <= allowed * (double)trial->offered;
}
