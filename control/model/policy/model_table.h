/* The workers' table of the policy: compiled, sent, and compiled again when peers or time ask for it.
 * Private to model. */
#ifndef MODEL_TABLE_H
#define MODEL_TABLE_H

#include "model_method.h"

struct model_table {
	void *blob; /* owned, or NULL: nobody wants one (model_setup.policy_set) */
	size_t len;
	uint64_t again_s; /* compile again by then, since 1970; UINT64_MAX = no need */
};

/* Compile a policy with the peers there are; refuses what does not fit a table. Caller:
 * model__table_send() or model__table_fini(). */
int model__table_make(struct model *model, const struct grant_policy *policy,
                      struct model_table *out, struct model_error *error)
	__attribute__((warn_unused_result));
void model__table_fini(struct model_table *table);

/* Hand it to the workers (emptied in any case), and see to it that it is made again in time: also when
 * they could not take it, then soon. */
void model__table_send(struct model *model, struct model_table *table);

/* The same for the policy there is: at start, after a change of peers, when time asks for it. */
void model__table_refresh(struct model *model);

/* One peer has come (peer), or gone (NULL): its number is id. Making the table costs time by all peers that there are,
 * so of those that come and go in quick succession the first makes it at once, and the others share one
 * some milliseconds later. Until then a new peer gets nothing; one that is gone was cut off before. */
void model__table_peer(struct model *model, uint32_t id, const struct peer *peer);
/* Before a peer is added: the number of one that the workers' table still knows must not become another's. */
void model__table_settle(struct model *model);

#endif
