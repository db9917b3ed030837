/* What the files of metrics share. Private to model. */
#ifndef MODEL_METRIC_H
#define MODEL_METRIC_H

#include "metric_text.h"
#include "model_method.h"

/* The labels that every sample of a peer has. They point into the struct and to the peer's name. */
#define MODEL_METRIC_LABELS 3U
struct model_metric_peer {
	char id[12];
	char key[45];
	struct metric_label labels[MODEL_METRIC_LABELS + 1]; /* and room for one more */
};
void model__metric_labels(const struct peer *peer, struct model_metric_peer *out);

/* model_metric_drop.c: samples of what these peers[n] dropped, by reason. Returns 0 or -ENOMEM. */
int model__metric_drops(const struct model *model, const char *name,
                        const struct peer *const *peers, size_t n, struct metric_text *text);

#endif
