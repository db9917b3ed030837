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

#endif
