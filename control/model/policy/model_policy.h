/* The policy inside the model: one value, changed as a whole. Private to model. */
#ifndef MODEL_POLICY_H
#define MODEL_POLICY_H

#include "grant_lint.h"
#include "grant_world.h"
#include "model_method.h"

/* The peers there are, as the policy sees them; until the next change of a peer. */
struct model_world {
	struct grant_world world;
	struct grant_peer *peers;
};
int model__world_init(const struct model *model, struct model_world *out, struct model_error *error)
	__attribute__((warn_unused_result));
void model__world_fini(struct model_world *world);

/* model_policy_store.c: read the policy from the store, at start; write what differs in the next one, all
 * of it or nothing. */
int model__policy_load(struct model *model, struct model_error *error)
	__attribute__((warn_unused_result));
int model__policy_store(struct model *model, const struct grant_policy *next,
                        struct model_error *error) __attribute__((warn_unused_result));
/* The same inside a transaction of the caller's, who undoes it when this returns -errno. */
int model__policy_write(struct model *model, const struct grant_policy *next,
                        struct model_error *error) __attribute__((warn_unused_result));

/* A change begins with a copy, and ends with model__policy_change(), which checks it against the peers,
 * refuses what would end the session that asks for it (params: session, force), compiles and stores it
 * and puts it in the place of the old one, with the next generation. No difference is no change. next is
 * emptied in any case. With params.dry_run nothing changes, and *result is the answer: what would have
 * changed (as policy.plan, and dry_run). Else *result is left alone. Returns 0, or -errno with error and
 * nothing changed. */
int model__policy_begin(const struct model *model, struct grant_policy *next,
                        struct model_error *error) __attribute__((warn_unused_result));
int model__policy_change(struct model *model, struct grant_policy *next, const json_t *params,
                         json_t **result, struct model_error *error)
	__attribute__((warn_unused_result));

/* What a policy that is to come would be refused for: why when the policy is wrong, else only error. */
int model__policy_judge(const struct model *model, const struct grant_policy *next,
                        const json_t *params, struct grant_error *why, struct model_error *error)
	__attribute__((warn_unused_result));
/* Refuse what would cut this peer off when the session that asks for it (params: session, force) comes from
 * there. */
int model__session_keep(const struct model *model, const char *peer, const json_t *params,
                        struct model_error *error) __attribute__((warn_unused_result));
/* The same in two steps: the peer that the session comes from, "" = none that is to be kept; and the refusal. */
int model__session_peer(const struct model *model, const json_t *params,
                        char peer[static CONFIG_NAME_LEN], struct model_error *error)
	__attribute__((warn_unused_result));
int model__session_refuse(const char *peer, const json_t *params, struct model_error *error);
/* model_policy_text.c: text that was written to out, a memory stream over *text, as JSON; closes and frees it. */
json_t *model__stream_json(FILE *out, char **text);
/* model_policy_text.c: generation, difference and findings of a policy that is to come. */
int model__policy_plan_json(struct model *model, const struct grant_policy *next, json_t **result,
                            struct model_error *error) __attribute__((warn_unused_result));

/* Refuse with a lower module's reason. */
int model__refuse_grant(struct model_error *error, int err, const struct grant_error *why);

/* Findings of a policy as a JSON array, in *n_errors how many are errors; about: only those on this
 * object, or NULL. NULL when memory is short. */
json_t *model__findings(const struct grant_policy *policy, const struct grant_world *world,
                        const char *about, size_t *n_errors);

/* Array of at most limit objects behind cursor, from params, for lists sorted by name. */
struct model_page {
	const char *cursor; /* "" = from the beginning */
	size_t limit;
};
struct model_page model__page(const json_t *params);

/* That page of n objects of the policy, of which row makes number i, and name names it; *next: the cursor of
 * the page behind, borrowed from the policy, or NULL. */
typedef json_t *model_row_fn(const struct grant_policy *policy, uint32_t i);
typedef const char *model_name_fn(const struct grant_policy *policy, uint32_t i);
json_t *model__page_rows(const struct grant_policy *policy, const struct model_page *page,
                         uint32_t n, model_name_fn *name, model_row_fn *row, const char **next);

#endif
