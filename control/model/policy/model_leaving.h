/* Peers that go are in no group from then on: a name that stayed in one would be the next peer's of that name, with
 * all that is granted to the group. So both are stored in one transaction. Private to model. */
#ifndef MODEL_LEAVING_H
#define MODEL_LEAVING_H

#include "grant.h"
#include "model_method.h"

struct model_leaving {
	bool is_needed;           /* false: none of them is in a group, and next says nothing */
	struct grant_policy next; /* the policy without them */
};

/* Of these peers, names[n]. Returns 0, or -errno with error. Caller: model__leaving_fini(). */
int model__leaving_begin(const struct model *model, char (*names)[CONFIG_NAME_LEN], uint32_t n,
                         struct model_leaving *out, struct model_error *error)
	__attribute__((warn_unused_result));
/* Inside the transaction in which they go. Returns 0, or -errno with error: it must be undone. */
int model__leaving_store(struct model *model, const struct model_leaving *leaving,
                         struct model_error *error) __attribute__((warn_unused_result));
/* It stands. The workers' table is the caller's to make again: who is gone is in none. */
void model__leaving_done(struct model *model, struct model_leaving *leaving);
void model__leaving_fini(struct model_leaving *leaving);

#endif
