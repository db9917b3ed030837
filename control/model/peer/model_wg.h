/* What wg(8) changes of peers, under the rules that operations have: whom a service or a grant needs is not
 * removed, groups are left, workers and edge hear of it, and who did what is logged. */
#ifndef MODEL_WG_H
#define MODEL_WG_H

#include <stdint.h>
#include <sys/types.h>

struct model;
struct peer_error;
struct peer_set;

/* For the caller that model_caller_set() named. Returns 0, or -errno with error and nothing changed. */
int model_wg_set(struct model *model, const struct peer_set *set, struct peer_error *error)
	__attribute__((warn_unused_result));

#endif
