#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench.h"

/* Print a run on stdout, as a table or (options->json) as one JSON object and nothing else. Orders
 * the samples. Returns 0 or 1 when it cannot be written. */
int bench_report(struct bench_run *run);

#endif
