/* Limits in two files: model_limit.c, who has which, and what people see and say of them; model_limit_meter.c,
 * counts of workers, stops of quotas, and the store of what was used. Private to these. */
#ifndef MODEL_LIMIT_PRIVATE_H
#define MODEL_LIMIT_PRIVATE_H

#include "model_limit.h"

enum model_limit_origin {
	ORIGIN_NONE = 0,
	ORIGIN_DEFAULT = 1,
	ORIGIN_DECLARED = 2,
	ORIGIN_OWN = 3
};

enum model_limit_level {
	MODEL_LIMIT_BELOW = 0,
	MODEL_LIMIT_WARNED = 1, /* MODEL_LIMIT_WARN_PERCENT */
	MODEL_LIMIT_REACHED = 2,
};
#define MODEL_LIMIT_WARN_PERCENT 80U

struct model_limit_peer {
	bool has_own; /* by peer.limit */
	bool is_live; /* the workers have its limits */
	bool is_dirty;
	enum model_limit_level level; /* of its quota, that was told */
	bool has_meter;               /* of this period or an earlier one */
	enum model_limit_origin origin;
	struct limit_spec own;
	struct limit_spec spec; /* what holds; bursts complete */
	struct limit_meter meter;
	struct abi_cmd_peer_limit told[]; /* [n_workers] */
};

/* What the workers counted of a peer, read once, so that all that follows from it fits together. */
struct model_limit_counts {
	uint32_t n_workers;
	struct abi_limit here[ABI_WORKERS_MAX];
	uint64_t rx; /* bytes that passed, all workers */
	uint64_t tx;
	uint64_t limit_drops;
	uint64_t quota_drops;
};
struct model_limit_counts model__limit_count(const struct model *model, uint32_t id);

/* The month so far, up to the moment. */
struct limit_meter model__limit_meter_now(const struct model *model,
                                          const struct model_limit_peer *entry,
                                          const struct model_limit_counts *now);
enum model_limit_level model__limit_level(const struct limit_spec *spec,
                                          const struct limit_meter *meter);

/* Give a peer's limits to the workers. */
void model__limit_tell(struct model *model, uint32_t id, const struct model_limit_peer *entry);
/* Read what passed, and stop the workers where they are to. all: reckon every worker's stop anew, whatever
 * passed. */
void model__limit_look(struct model *model, uint32_t id, struct model_limit_peer *entry, bool all);
/* The same for everybody with a quota. */
void model__limit_look_at_all(struct model *model);
void model__limit_store(struct model *model);

#endif
