/* weir-pktgen: a traffic generator and sink that speaks WireGuard. Wiring, and the order of trials. */
#include "base_log.h"
#include "pktgen_peer.h"
#include "pktgen_report.h"
#include "pktgen_run.h"
#include "pktgen_search.h"

#include <sodium.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define TRIALS_MAX 80U

static void on_signal(int number)
{
	(void)number;
	pktgen_run_interrupt();
}

/* At most TRIALS_MAX; returns what the trial returned. */
static int add_trial(struct pktgen_run *run, struct pktgen_results *results, double pps)
{
	return pktgen_run_trial(run, pps, &results->trial[results->n_trials++]);
}

static int run_loss(struct pktgen_run *run, struct pktgen_results *results)
{
	const struct pktgen_options *o = run->options;
	double pps = pktgen_args_pps(&o->rate, pktgen_run_mean_len(o));
	int r = 0;

	for (uint32_t i = 0; i < o->n_steps && r == 0; i++)
		r = add_trial(run, results, pps * o->steps[i]);
	return r;
}

static bool trial_passes(const struct pktgen_run *run, const struct pktgen_trial *trial)
{
	const struct pktgen_stats *s = &trial->stats;
	/* As fast as it goes, what the port does not take is held back and was never offered. */
	uint64_t unsent = trial->rate_pps > 0 ? s->unsent : 0;
	const struct pktgen_search_trial seen = {
		.offered = s->sent + unsent + s->no_session,
		.skipped = s->skipped,
		.received = s->received,
		.wrong = s->corrupted + s->misdelivered + s->forged,
	};

	return pktgen_search_passes(&seen, run->options->loss);
}

static int run_search(struct pktgen_run *run, struct pktgen_results *results)
{
	struct pktgen_search search;
	double pps = run->options->max_rate;
	const struct pktgen_trial *trial;
	bool passes;
	int r = 0;

	results->searched = true;
	if (pps <= 0) {
		r = add_trial(run, results, 0);
		trial = &results->trial[0];
		pps = (double)trial->stats.sent / trial->seconds;
	}
	pktgen_search_init(&search, pps, run->options->resolution);
	while (r == 0 && (pps = pktgen_search_next(&search)) > 0) {
		r = add_trial(run, results, pps);
		trial = &results->trial[results->n_trials - 1];
		passes = trial_passes(run, trial);
		pktgen_search_judge(&search, passes);
		if (passes)
			results->found_pps = (double)trial->stats.sent / trial->seconds;
	}
	return r;
}

static int run_trials(struct pktgen_run *run, struct pktgen_results *results)
{
	const struct pktgen_options *o = run->options;

	switch (o->command) {
	case PKTGEN_TRAFFIC:
		return add_trial(run, results, pktgen_args_pps(&o->rate, pktgen_run_mean_len(o)));
	case PKTGEN_SEARCH:
		return run_search(run, results);
	case PKTGEN_LOSS:
		return run_loss(run, results);
	default:
		return 0;
	}
}

static int run_all(struct pktgen_run *run, struct pktgen_results *results)
{
	int r = pktgen_run_resolve(run), printed;

	if (r < 0)
		return r;
	r = pktgen_run_handshakes(run);
	if (r == 0)
		r = run_trials(run, results);
	/* Also after an interrupt: what there is. */
	printed = pktgen_report_print(run, results);
	if (r == 0 && results->searched && results->found_pps <= 0)
		return -ERANGE;
	return r == 0 ? printed : r;
}

static int run(const struct pktgen_options *options)
{
	static struct pktgen_run state;
	struct pktgen_results results = {.trial = calloc(TRIALS_MAX, sizeof(struct pktgen_trial))};
	int r = results.trial != NULL ? pktgen_run_init(&state, options) : -ENOMEM;

	if (r == 0)
		r = run_all(&state, &results);
	pktgen_run_fini(&state);
	free(results.trial);
	return r;
}

int main(int argc, char **argv)
{
	const struct sigaction action = {.sa_handler = on_signal};
	struct pktgen_options options;
	int r = pktgen_args_read(argc, argv, &options);

	if (r >= 0)
		return r;
	base_log_init("weir-pktgen", BASE_LOG_INFO);
	if (options.command == PKTGEN_CONFIG) {
		if (sodium_init() < 0)
			return EXIT_FAILURE;
		return pktgen_peer_print_config(&options, stdout) == 0 ? EXIT_SUCCESS
		                                                       : EXIT_FAILURE;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	return run(&options) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
