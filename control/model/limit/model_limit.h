/* Limits of peers: whose they are, what the workers are told, and what was used of quotas. Private to model. */
#ifndef MODEL_LIMIT_H
#define MODEL_LIMIT_H

#include "limit.h"
#include "model_method.h"

struct model_limit_peer;

/* Read the store. Returns 0 or -errno with error. */
int model__limits_load(struct model *model, struct model_error *error);
void model__limits_unload(struct model *model);

/* Peers have come, gone or changed: whoever is to have limits has them. */
void model__limits_refresh(struct model *model);
/* The same of one that has come, and of one that is gone. */
void model__limits_come(struct model *model, const struct peer *peer);
void model__limits_go(struct model *model, uint32_t id);

/* It is about to lose its limits or to be disabled, and workers forget what they counted of it: what passed is noted
 * before. */
void model__limits_look(struct model *model, const struct peer *peer);

/* What holds for a peer now. False when it has no limits. */
struct model_limit_state {
	struct limit_spec spec;
	struct limit_meter meter; /* of the month, up to the moment */
	uint64_t drops;           /* packets that found no tokens */
};
bool model__limit_state(const struct model *model, uint32_t peer, struct model_limit_state *out);

/* A peer's limits as peer.show tells them, or null. */
json_t *model__limits_json(const struct model *model, const struct peer *peer);

#endif
