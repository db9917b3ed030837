/* weir-bench overload: what comes through a worker when more is offered than it can carry. The peak is
 * found first; then half of it, the peak, and two and four times as much are offered in turn, of good
 * frames alone and with one frame of five that is junk. */
#include "base_time.h"
#include "bench.h"
#include "bench_machine.h"
#include "bench_offer.h"
#include "bench_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_NS (2 * BASE_NS_PER_MS)

static const double loads[] = {0.5, 1, 2, 4};
#define N_LOADS (sizeof(loads) / sizeof(loads[0]))

/* Goodput is kept as its inverse, so that bench_samples serves. */
struct series {
	const struct bench_size *size;
	bool junk;
	struct bench_samples gaps[N_LOADS]; /* picoseconds a good frame */
	double carried;                     /* frames a second, junk among them */
	double missed[N_LOADS];             /* sums over the rounds */
	double offered[N_LOADS];
	struct bench_samples slowest; /* ns, answer to a command in a window at the greatest load */
	uint64_t n_barriers;
};

struct overload {
	struct bench_offer *offer;
	unsigned int n_series;
	struct series series[2 * BENCH_N_SIZES];
};

static int make_series(struct overload *overload, const struct bench_options *options)
{
	for (unsigned int i = 0; i < 2 * BENCH_N_SIZES; i++) {
		struct series *series = &overload->series[overload->n_series];

		if (!options->size_wanted[i / 2])
			continue;
		*series = (struct series){.size = &bench_sizes[i / 2], .junk = i % 2 != 0};
		overload->n_series++;
		for (unsigned int k = 0; k < N_LOADS; k++)
			if (bench_samples_init(&series->gaps[k], options->rounds) != 0)
				return -1;
		if (bench_samples_init(&series->slowest, options->rounds) != 0)
			return -1;
	}
	return 0;
}

static void free_series(struct overload *overload)
{
	for (unsigned int i = 0; i < overload->n_series; i++) {
		for (unsigned int k = 0; k < N_LOADS; k++)
			bench_samples_fini(&overload->series[i].gaps[k]);
		bench_samples_fini(&overload->series[i].slowest);
	}
}

static uint64_t gap_of(const struct bench_offered *got)
{
	return got->n_good > 0 ? (uint64_t)(got->seconds * 1e12 / (double)got->n_good) : UINT64_MAX;
}

static void measure_series(struct overload *overload, struct series *series, bool counts)
{
	struct bench_offered got;
	double found;

	/* As many as there is room for: what the worker can carry. The machine is shared, so the most
	 * that was ever found counts. */
	bench_offer_run(overload->offer, series->size, series->junk, 0, WINDOW_NS, &got);
	found = (double)(got.n_offered - got.n_missed) / got.seconds;
	if (found > series->carried)
		series->carried = found;
	for (unsigned int k = 0; k < N_LOADS; k++) {
		bench_offer_run(overload->offer, series->size, series->junk,
		                series->carried * loads[k], WINDOW_NS, &got);
		if (!counts)
			continue;
		bench_samples_add(&series->gaps[k], gap_of(&got));
		series->missed[k] += (double)got.n_missed;
		series->offered[k] += (double)got.n_offered;
		series->n_barriers += got.n_barriers;
		if (k == N_LOADS - 1)
			bench_samples_add(&series->slowest, got.barrier_max_ns);
	}
}

/* ---- report ----------------------------------------------------------------------------------------- */

/* Of one load: good frames, millions a second. */
struct goodput {
	double best; /* of the rounds: what nobody disturbed */
	double median;
};

static void goodputs(struct series *series, struct goodput out[static N_LOADS],
                     struct goodput *peak)
{
	*peak = (struct goodput){0};
	for (unsigned int k = 0; k < N_LOADS; k++) {
		struct bench_summary gap = bench_samples_summary(&series->gaps[k], 1);

		out[k] = (struct goodput){gap.min > 0 ? 1e6 / gap.min : 0,
		                          gap.median > 0 ? 1e6 / gap.median : 0};
		if (out[k].best > peak->best)
			peak->best = out[k].best;
		if (out[k].median > peak->median)
			peak->median = out[k].median;
	}
}

/* The slowest answer to a command in a window at four times the peak, median of the windows. */
static double slowest_us(struct series *series)
{
	return bench_samples_summary(&series->slowest, 1).median / 1000;
}

static double thousandths(double value)
{
	return (double)(int64_t)(value * 1000 + 0.5) / 1000;
}

static json_t *series_json(struct series *series, unsigned int rounds)
{
	json_t *object = json_object();
	json_t *list = json_array();
	struct goodput mpps[N_LOADS], peak;

	goodputs(series, mpps, &peak);
	json_object_set_new(object, "size",
	                    series->size->len != 0 ? json_integer(series->size->len)
	                                           : json_string(series->size->name));
	json_object_set_new(object, "junk", json_real(series->junk ? 0.2 : 0));
	json_object_set_new(object, "rounds", json_integer((json_int_t)rounds));
	json_object_set_new(object, "peak_mpps", json_real(thousandths(peak.best)));
	for (unsigned int k = 0; k < N_LOADS; k++) {
		json_t *load = json_object();

		json_object_set_new(load, "offered", json_real(loads[k]));
		json_object_set_new(load, "goodput_mpps", json_real(thousandths(mpps[k].best)));
		json_object_set_new(load, "ratio",
		                    json_real(thousandths(mpps[k].best / peak.best)));
		json_object_set_new(load, "ratio_median",
		                    json_real(thousandths(mpps[k].median / peak.median)));
		json_object_set_new(load, "missed",
		                    json_real(thousandths(series->missed[k] / series->offered[k])));
		json_array_append_new(list, load);
	}
	json_object_set_new(object, "loads", list);
	json_object_set_new(object, "commands", json_integer((json_int_t)series->n_barriers));
	json_object_set_new(object, "command_max_us", json_real(thousandths(slowest_us(series))));
	return object;
}

static int report_json(struct overload *overload, unsigned int rounds)
{
	json_t *root = json_object();
	json_t *list = json_array();

	for (unsigned int i = 0; i < overload->n_series; i++)
		json_array_append_new(list, series_json(&overload->series[i], rounds));
	json_object_set_new(root, "results", list);
	return bench_report_json(root);
}

static int report_table(struct overload *overload, const struct bench_options *options)
{
	struct bench_machine machine;

	bench_machine_read(&machine);
	printf("weir-bench overload: more is offered than a worker can carry\n");
	printf("machine    %s, TSC %.2f GHz, core clock now %.2f x TSC, one core for the worker, one "
	       "for what is offered\n",
	       machine.cpu, machine.tsc_ghz, machine.clock_ratio);
	printf("runs       %u rounds of %u loads of %u ms, %u peers\n\n", options->rounds,
	       (unsigned int)N_LOADS, (unsigned int)(WINDOW_NS / BASE_NS_PER_MS), options->peers);
	printf("goodput by load in multiples of the peak, best of the rounds; missed of what was "
	       "offered\n\n");
	printf(" size  junk  peak Mpps      0.5 x        1 x        2 x        4 x  missed at 4 x  "
	       "slowest command\n");
	printf("----- -----  ---------  ---------  ---------  ---------  ---------  -------------  "
	       "---------------\n");
	for (unsigned int i = 0; i < overload->n_series; i++) {
		struct series *series = &overload->series[i];
		struct goodput mpps[N_LOADS], peak;

		goodputs(series, mpps, &peak);
		printf("%5s  %3s%%  %9.2f", series->size->name, series->junk ? "20" : "0",
		       peak.best);
		for (unsigned int k = 0; k < N_LOADS; k++)
			printf("  %9.3f", mpps[k].best / peak.best);
		printf("  %11.0f %%  %12.1f us\n",
		       100 * series->missed[N_LOADS - 1] / series->offered[N_LOADS - 1],
		       slowest_us(series));
	}
	printf("\nnot shown  a NIC's own behaviour when its queue is full; several workers; what the "
	       "kernel does\n");
	return fflush(stdout) == 0 ? 0 : 1;
}

int bench_overload(const struct bench_options *options)
{
	static struct overload overload;
	int ret = 1;

	if (bench_offer_create(options, &overload.offer) != 0)
		return 1;
	if (make_series(&overload, options) != 0) {
		fprintf(stderr, "weir-bench: no memory for samples\n");
		goto out;
	}
	for (unsigned int round = 0; round < BENCH_WARM_UP + options->rounds; round++)
		for (unsigned int i = 0; i < overload.n_series; i++)
			measure_series(&overload, &overload.series[i], round >= BENCH_WARM_UP);
	if (!bench_offer_right(overload.offer)) {
		fprintf(stderr, "weir-bench: a packet did not come through as it should\n");
		goto out;
	}
	ret = options->json ? report_json(&overload, options->rounds)
	                    : report_table(&overload, options);
out:
	free_series(&overload);
	bench_offer_destroy(overload.offer);
	return ret;
}
