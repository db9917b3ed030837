/* Drops of a page of peers: the workers' tables are walked once a page, since they are found by peer and reason only by
 * looking at places that may not exist yet, and looking would make them. */
#include "model_metric.h"
#include "program.h"
#include "watch.h"

#include <errno.h>
#include <stdlib.h>

/* Where a peer is in the page. */
struct place {
	uint32_t id;
	uint32_t row;
};

struct matrix {
	struct place *places; /* [n], by id */
	size_t n;
	uint64_t *counts; /* [n][ABI_N_COUNTERS], rows as the page has its peers */
};

static int by_id(const void *a, const void *b)
{
	const struct place *x = a;
	const struct place *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static int add(void *arg, const struct program_drops *drops)
{
	const struct matrix *matrix = arg;
	const struct place key = {.id = drops->peer};
	const struct place *place = bsearch(&key, matrix->places, matrix->n, sizeof(key), by_id);

	if (place)
		matrix->counts[(size_t)place->row * ABI_N_COUNTERS + drops->reason] += drops->count;
	return 0;
}

static void put_row(struct metric_text *text, const char *name, const struct peer *peer,
                    const uint64_t *counts)
{
	struct model_metric_peer one;

	model__metric_labels(peer, &one);
	for (uint32_t reason = 0; reason < ABI_N_COUNTERS; reason++) {
		if (counts[reason] == 0)
			continue;
		one.labels[MODEL_METRIC_LABELS] = (struct metric_label){"reason",
		                                                        watch_reason(reason)};
		metric_sample(text, name, one.labels, MODEL_METRIC_LABELS + 1, counts[reason]);
	}
}

int model__metric_drops(const struct model *model, const char *name,
                        const struct peer *const *peers, size_t n, struct metric_text *text)
{
	struct matrix matrix = {
		.places = calloc(n + 1, sizeof(*matrix.places)),
		.n = n,
		.counts = calloc(n + 1, ABI_N_COUNTERS * sizeof(*matrix.counts)),
	};
	int err = matrix.places && matrix.counts ? 0 : -ENOMEM;

	for (uint32_t i = 0; err == 0 && i < n; i++)
		matrix.places[i] = (struct place){.id = peers[i]->row.id, .row = i};
	if (err == 0) {
		qsort(matrix.places, n, sizeof(*matrix.places), by_id);
		err = program_drops_each(model->setup.program, add, &matrix);
	}
	for (size_t i = 0; err == 0 && i < n; i++)
		put_row(text, name, peers[i], &matrix.counts[i * ABI_N_COUNTERS]);
	free(matrix.places);
	free(matrix.counts);
	return err;
}
