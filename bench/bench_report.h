#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench.h"

#include <jansson.h>

/* Print a run on stdout, as a table or (options->json) as one JSON object and nothing else. Orders
 * the samples. Returns 0 or 1 when it cannot be written. */
int bench_report(struct bench_run *run);

/* What every subcommand prints for --json: root and, in it, "machine": {cpu, tsc_ghz, clock_ratio},
 * measured now. Takes root. Returns 0 or 1 when it cannot be written. */
int bench_report_json(json_t *root);

/* The subcommand machine: this machine alone, without any measurement. Returns as above. */
int bench_report_machine(const struct bench_options *options);

#endif
