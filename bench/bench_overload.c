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
#define MILLION   1e6

static const double loads[] = {0.5, 1, 2, 4};
#define N_LOADS (sizeof(loads) / sizeof(loads[0]))

/* Goodput is kept as its inverse, so that bench_samples serves. A machine's speed changes from one moment to the next, so
 * loads are compared within their round, where they follow each other, up and down in turn; and the median of the rounds
 * counts: the best of some rounds says how good a moment was. */
struct series {
	const struct bench_size *size;
	bool junk;
	struct bench_samples gaps[N_LOADS]; /* picoseconds a good frame */
	struct bench_samples shares[N_LOADS]
				   [N_LOADS]; /* [of][k]: millionths of what load of gave in
	                                                  the same round */
	double carried;                       /* frames a second, junk among them */
	double missed[N_LOADS];               /* sums over the rounds */
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
		for (unsigned int k = 0; k < N_LOADS; k++) {
			if (bench_samples_init(&series->gaps[k], options->rounds) != 0)
				return -1;
			for (unsigned int of = 0; of < N_LOADS; of++)
				if (bench_samples_init(&series->shares[of][k], options->rounds)
				    != 0)
					return -1;
		}
		if (bench_samples_init(&series->slowest, options->rounds) != 0)
			return -1;
	}
	return 0;
}

static void free_series(struct overload *overload)
{
	for (unsigned int i = 0; i < overload->n_series; i++) {
		for (unsigned int k = 0; k < N_LOADS; k++) {
			bench_samples_fini(&overload->series[i].gaps[k]);
			for (unsigned int of = 0; of < N_LOADS; of++)
				bench_samples_fini(&overload->series[i].shares[of][k]);
		}
		bench_samples_fini(&overload->series[i].slowest);
	}
}

static uint64_t gap_of(const struct bench_offered *got)
{
	return got->n_good > 0 ? (uint64_t)(got->seconds * 1e12 / (double)got->n_good) : UINT64_MAX;
}

static void measure_load(struct overload *overload, struct series *series, unsigned int k,
                         bool counts, uint64_t *gap)
{
	struct bench_offered got;

	bench_offer_run(overload->offer, series->size, series->junk, series->carried * loads[k],
	                WINDOW_NS, &got);
	*gap = gap_of(&got);
	if (!counts)
		return;
	bench_samples_add(&series->gaps[k], *gap);
	series->missed[k] += (double)got.n_missed;
	series->offered[k] += (double)got.n_offered;
	series->n_barriers += got.n_barriers;
	if (k == N_LOADS - 1)
		bench_samples_add(&series->slowest, got.barrier_max_ns);
}

static void measure_series(struct overload *overload, struct series *series, unsigned int round)
{
	bool counts = round >= BENCH_WARM_UP;
	struct bench_offered got;
	uint64_t gaps[N_LOADS];
	double found;

	/* As many as there is room for: what the worker can carry. The machine is shared, so the most
	 * that was ever found counts. */
	bench_offer_run(overload->offer, series->size, series->junk, 0, WINDOW_NS, &got);
	found = (double)(got.n_offered - got.n_missed) / got.seconds;
	if (found > series->carried)
		series->carried = found;
	for (unsigned int i = 0; i < N_LOADS; i++) {
		unsigned int k = round % 2 != 0 ? N_LOADS - 1 - i : i;

		measure_load(overload, series, k, counts, &gaps[k]);
	}
	for (unsigned int of = 0; of < N_LOADS && counts; of++)
		for (unsigned int k = 0; k < N_LOADS; k++)
			bench_samples_add(&series->shares[of][k],
			                  (uint64_t)((double)gaps[of] / (double)gaps[k] * MILLION));
}

/* ---- report ----------------------------------------------------------------------------------------- */

/* The load at which most comes through. */
static unsigned int peak_load(struct series *series)
{
	unsigned int peak = 0;

	for (unsigned int k = 1; k < N_LOADS; k++)
		if (bench_samples_summary(&series->shares[peak][k], 1).median > MILLION)
			peak = k;
	return peak;
}

/* Good frames, millions a second; 0: there was none. */
static double mpps(struct series *series, unsigned int k)
{
	double gap = bench_samples_summary(&series->gaps[k], 1).median;

	return gap > 0 ? 1e6 / gap : 0;
}

/* What load k gave, of what the peak gave. */
static double share(struct series *series, unsigned int peak, unsigned int k)
{
	return bench_samples_summary(&series->shares[peak][k], 1).median / MILLION;
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
	unsigned int peak = peak_load(series);

	json_object_set_new(object, "size",
	                    series->size->len != 0 ? json_integer(series->size->len)
	                                           : json_string(series->size->name));
	json_object_set_new(object, "junk", json_real(series->junk ? 0.2 : 0));
	json_object_set_new(object, "rounds", json_integer((json_int_t)rounds));
	json_object_set_new(object, "peak_mpps", json_real(thousandths(mpps(series, peak))));
	for (unsigned int k = 0; k < N_LOADS; k++) {
		json_t *load = json_object();

		json_object_set_new(load, "offered", json_real(loads[k]));
		json_object_set_new(load, "goodput_mpps", json_real(thousandths(mpps(series, k))));
		json_object_set_new(load, "ratio", json_real(thousandths(share(series, peak, k))));
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
	printf("goodput by load in multiples of the peak, medians of the rounds; missed of what was "
	       "offered\n\n");
	printf(" size  junk  peak Mpps      0.5 x        1 x        2 x        4 x  missed at 4 x  "
	       "slowest command\n");
	printf("----- -----  ---------  ---------  ---------  ---------  ---------  -------------  "
	       "---------------\n");
	for (unsigned int i = 0; i < overload->n_series; i++) {
		struct series *series = &overload->series[i];
		unsigned int peak = peak_load(series);

		printf("%5s  %3s%%  %9.2f", series->size->name, series->junk ? "20" : "0",
		       mpps(series, peak));
		for (unsigned int k = 0; k < N_LOADS; k++)
			printf("  %9.3f", share(series, peak, k));
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
			measure_series(&overload, &overload.series[i], round);
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
