/* Prometheus' text format (version 0.0.4), line by line: what a scrape reads. Only the bytes; which metrics there are is in
 * model_metric.c. A sample belongs below its family, all samples of a family together. */
#ifndef METRIC_TEXT_H
#define METRIC_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialize. metric_text_fini() frees. */
struct metric_text {
	char *text; /* terminated; NULL = nothing yet */
	size_t len;
	size_t size;
	bool has_failed; /* memory was short: the text is not whole */
};

enum metric_type { METRIC_GAUGE = 0, METRIC_COUNTER = 1 };

struct metric_label {
	const char *name;
	const char *value; /* any text; escaped here */
};

void metric_text_fini(struct metric_text *text);

/* # HELP and # TYPE. help: one line. */
void metric_family(struct metric_text *text, const char *name, enum metric_type type,
                   const char *help);
/* labels[n] */
void metric_sample(struct metric_text *text, const char *name, const struct metric_label *labels,
                   size_t n, uint64_t value);
/* The same of a time or a duration: in seconds with milliseconds. */
void metric_sample_ns(struct metric_text *text, const char *name, const struct metric_label *labels,
                      size_t n, uint64_t value_ns);

#endif
