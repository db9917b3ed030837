/* Results as a table for people, or as JSON for whoever keeps them. */
#include "bench_report.h"

#include "base_bytes.h"
#include "bench_machine.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const direction_names[BENCH_N_WAYS] = {
	[BENCH_SEAL] = "seal",
	[BENCH_OPEN] = "open",
	[BENCH_HUB] = "hub",
};

static double mean_len(const struct bench_result *result)
{
	uint64_t sum = 0;

	for (unsigned int i = BENCH_PACKETS - result->n_timed; i < BENCH_PACKETS; i++)
		sum += bench_size_len(result->size, i);
	return (double)sum / result->n_timed;
}

static struct bench_summary summary_of(const struct bench_result *result,
                                       struct bench_samples *samples)
{
	return bench_samples_summary(samples, result->n_timed);
}

static double ratio(double value, double reference)
{
	return reference > 0 ? value / reference : 0;
}

/* One decimal, so that the JSON shows what the measurement can. */
static json_t *cycles(double value)
{
	return json_real((double)(int64_t)(value * 10 + 0.5) / 10);
}

static json_t *ratio_of(double value, double reference)
{
	return json_real((double)(int64_t)(ratio(value, reference) * 1000 + 0.5) / 1000);
}

static json_t *stations_json(struct bench_result *result)
{
	json_t *object = json_object();

	for (unsigned int i = 0; i < result->n_stations; i++) {
		struct bench_summary own = summary_of(result, &result->station[i].cycles);

		json_object_set_new(object, result->station[i].name, cycles(own.min));
	}
	return object;
}

/* What a packet costs beside the cipher: the difference of the minima. */
static double other_min(struct bench_result *result)
{
	return summary_of(result, &result->cycles).min - summary_of(result, &result->aead).min;
}

/* Of results in the order of enum bench_direction: the hub's way against the others of its size. */
struct one_way {
	double mean;
	double smaller;
};

static struct one_way one_way_of(struct bench_result *hub)
{
	double own = summary_of(hub, &hub->cycles).min;
	double open = summary_of(hub - 1, &(hub - 1)->cycles).min;
	double seal = summary_of(hub - 2, &(hub - 2)->cycles).min;

	return (struct one_way){.mean = ratio(own, (open + seal) / 2),
	                        .smaller = ratio(own, open < seal ? open : seal)};
}

/* ---- bounds: DESIGN.md section 6 ----------------------------------------------------------------- */

#define BOUND_PEERS       256U  /* of the table there */
#define BOUND_OTHER_PEERS 4096U /* of what a packet may cost beside the cipher */
#define BOUND_OTHER       100.0
#define BOUND_ONE_WAY     1.95
#define BOUNDS_MAX        3U

struct bound {
	const char *figure; /* as the JSON calls it */
	double value;
	double max;
};

static unsigned int add_bound(struct bound *bounds, unsigned int n, const char *figure,
                              double value, double max)
{
	bounds[n] = (struct bound){figure, value, max};
	return n + 1;
}

/* Those that a result of path or hub is under, of the minima; returns how many. */
static unsigned int bounds_of(struct bench_result *result, unsigned int n_peers,
                              struct bound bounds[static BOUNDS_MAX])
{
	static const struct {
		uint32_t len; /* 0 = IMIX */
		double cycles;
		double ratio;
	} table[] = {{64, 200, 0.60}, {512, 540, 0.72}, {1420, 1200, 0.92}, {0, 520, 0.92}};
	double own = summary_of(result, &result->cycles).min;
	double reference = summary_of(result, &result->reference).min;
	unsigned int n = 0;

	if (result->n_stations == 0)
		return 0;
	if (result->direction == BENCH_HUB)
		return add_bound(bounds, 0, "ratio_one_way", one_way_of(result).mean,
		                 BOUND_ONE_WAY);
	for (size_t i = 0; i < BASE_ARRAY_LEN(table) && n_peers == BOUND_PEERS; i++) {
		if (table[i].len != result->size->len)
			continue;
		n = add_bound(bounds, n, "cycles_min", own, table[i].cycles);
		n = add_bound(bounds, n, "ratio", ratio(own, reference), table[i].ratio);
	}
	if (n_peers == BOUND_OTHER_PEERS)
		n = add_bound(bounds, n, "other_min", other_min(result), BOUND_OTHER);
	return n;
}

static json_t *bounds_json(struct bench_result *result, unsigned int n_peers)
{
	struct bound bounds[BOUNDS_MAX];
	unsigned int n = bounds_of(result, n_peers, bounds);
	json_t *object = json_object();

	for (unsigned int i = 0; i < n; i++)
		json_object_set_new(object, bounds[i].figure,
		                    json_pack("{s:f, s:b}", "bound", bounds[i].max, "met",
		                              bounds[i].value <= bounds[i].max));
	return object;
}

static void print_bounds(struct bench_result *result, unsigned int n_peers)
{
	struct bound bounds[BOUNDS_MAX];
	unsigned int n = bounds_of(result, n_peers, bounds);

	for (unsigned int i = 0; i < n; i++)
		printf("           %s %.*f, bound %.*f: %s\n", bounds[i].figure,
		       bounds[i].max < 10 ? 3 : 1, bounds[i].value, bounds[i].max < 10 ? 2 : 0,
		       bounds[i].max, bounds[i].value <= bounds[i].max ? "met" : "missed");
}

/* ---- JSON ---------------------------------------------------------------------------------------- */

static json_t *result_json(struct bench_result *result, const char *backend, unsigned int n_peers)
{
	struct bench_summary own = summary_of(result, &result->cycles);
	struct bench_summary reference = summary_of(result, &result->reference);
	json_t *object = json_object();

	json_object_set_new(object, "size",
	                    result->size->len != 0 ? json_integer(result->size->len)
	                                           : json_string(result->size->name));
	json_object_set_new(object, "direction", json_string(direction_names[result->direction]));
	json_object_set_new(object, "backend", json_string(backend));
	json_object_set_new(object, "rounds", json_integer(own.n));
	json_object_set_new(object, "cycles_min", cycles(own.min));
	json_object_set_new(object, "cycles_median", cycles(own.median));
	json_object_set_new(object, "reference_min", cycles(reference.min));
	json_object_set_new(object, "reference_median", cycles(reference.median));
	json_object_set_new(object, "ratio", ratio_of(own.min, reference.min));
	json_object_set_new(object, "ratio_median", ratio_of(own.median, reference.median));
	json_object_set_new(object, "stations", stations_json(result));
	if (result->aead.n != 0)
		json_object_set_new(object, "other_min", cycles(other_min(result)));
	if (result->direction == BENCH_HUB) {
		struct one_way to = one_way_of(result);

		json_object_set_new(object, "ratio_one_way", ratio_of(to.mean, 1));
		json_object_set_new(object, "ratio_one_way_smaller", ratio_of(to.smaller, 1));
	}
	json_object_set_new(object, "bounds", bounds_json(result, n_peers));
	return object;
}

static json_t *machine_json(void)
{
	struct bench_machine machine;
	json_t *object = json_object();

	bench_machine_read(&machine);
	json_object_set_new(object, "cpu", json_string(machine.cpu));
	json_object_set_new(object, "tsc_ghz", ratio_of(machine.tsc_ghz, 1));
	json_object_set_new(object, "clock_ratio", ratio_of(machine.clock_ratio, 1));
	return object;
}

int bench_report_json(json_t *root)
{
	int err;

	json_object_set_new(root, "machine", machine_json());
	err = json_dumpf(root, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(8));
	json_decref(root);
	printf("\n");
	return err == 0 && fflush(stdout) == 0 ? 0 : 1;
}

static int print_json(struct bench_run *run)
{
	json_t *root = json_object();
	json_t *list = json_array();

	for (unsigned int i = 0; i < run->n_results; i++)
		json_array_append_new(list, result_json(&run->result[i], run->backend,
		                                        run->options->peers));
	json_object_set_new(root, "results", list);
	return bench_report_json(root);
}

/* ---- table --------------------------------------------------------------------------------------- */

static void print_head(const struct bench_run *run)
{
	const struct bench_options *options = run->options;
	struct bench_machine machine;

	bench_machine_read(&machine);
	printf("%s\n", run->title);
	printf("machine    %s, TSC %.2f GHz, core clock now %.2f x TSC, one core\n", machine.cpu,
	       machine.tsc_ghz, machine.clock_ratio);
	printf("backend    %s\n", run->backend);
	printf("reference  ipsec-mb job API, one job a packet, in turn in the same round\n");
	printf("runs       %u rounds of %u packets in bursts of %u, the last %u timed, keys of %u peer%s\n\n",
	       options->rounds, BENCH_PACKETS, options->burst, run->result[0].n_timed,
	       options->peers, options->peers == 1 ? "" : "s");
	printf("TSC cycles a packet; ratio = own / reference, of the minima and of the medians\n\n");
	printf(" size  dir    median      min      max   ref med  ref min   ratio  (med)   Gbit/s\n");
	printf("----- ----  -------- -------- -------- --------- --------  ------ ------  -------\n");
}

static void print_row(struct bench_result *result, double tsc_ghz)
{
	struct bench_summary own = summary_of(result, &result->cycles);
	struct bench_summary reference = summary_of(result, &result->reference);

	printf("%5s %s  %8.1f %8.1f %8.1f %9.1f %8.1f  %6.3f %6.3f  %7.2f\n", result->size->name,
	       direction_names[result->direction], own.median, own.min, own.max, reference.median,
	       reference.min, ratio(own.min, reference.min), ratio(own.median, reference.median),
	       own.median > 0 ? mean_len(result) * 8 * tsc_ghz / own.median : 0);
}

static void print_stations(struct bench_run *run)
{
	printf("\nstations, median (min), timed apart from the passes above\n");
	for (unsigned int i = 0; i < run->n_results; i++) {
		struct bench_result *result = &run->result[i];

		if (result->n_stations == 0)
			continue;
		printf("%5s %s ", result->size->name, direction_names[result->direction]);
		for (unsigned int j = 0; j < result->n_stations; j++) {
			struct bench_summary own = summary_of(result, &result->station[j].cycles);

			printf(" %s %.1f (%.1f)", result->station[j].name, own.median, own.min);
		}
		printf("\n           beside the AEAD %.1f", other_min(result));
		if (result->direction == BENCH_HUB)
			printf("; %.3f of the mean of open and seal, %.3f of the smaller",
			       one_way_of(result).mean, one_way_of(result).smaller);
		printf("\n");
		print_bounds(result, run->options->peers);
	}
}

static int print_table(struct bench_run *run)
{
	struct bench_machine machine;
	bool any_stations = false;

	print_head(run);
	bench_machine_read(&machine);
	for (unsigned int i = 0; i < run->n_results; i++) {
		print_row(&run->result[i], machine.tsc_ghz);
		any_stations |= run->result[i].n_stations != 0;
	}
	if (any_stations)
		print_stations(run);
	printf("\nnot shown  %s\n", run->shows_not);
	return fflush(stdout) == 0 ? 0 : 1;
}

int bench_report(struct bench_run *run)
{
	return run->options->json ? print_json(run) : print_table(run);
}

int bench_report_machine(const struct bench_options *options)
{
	struct bench_machine machine;

	if (options->json)
		return bench_report_json(json_object());
	bench_machine_read(&machine);
	printf("%s, TSC %.2f GHz, core clock now %.2f x TSC\n", machine.cpu, machine.tsc_ghz,
	       machine.clock_ratio);
	return fflush(stdout) == 0 ? 0 : 1;
}
