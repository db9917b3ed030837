/* Operations that answer later: what they have in common. Private to model.
 *
 * A method with "later" in methods.json has a function of its own beside its handler, which is asked first when the
 * caller can wait (model_call_later()): it says that the operation is short (0, the handler does it), refuses it, or
 * begins it. What was begun says what has become of it with model__later_answer(), once. */
#ifndef MODEL_LATER_H
#define MODEL_LATER_H

#include "model_method.h"

/* Part of what the operation keeps. */
struct model_later {
	struct model *model;
	const struct model_method *method;
	json_t *params; /* held */
	uid_t uid;      /* of who asked */
	pid_t pid;
	model_reply_fn *reply; /* NULL: nobody waits any more */
	void *arg;
	LIST_ENTRY(model_later) link;
};

/* From the call that is under way. Caller: model__later_fini(). */
void model__later_init(struct model_later *later, struct model *model,
                       const struct model_method *method, const json_t *params);
void model__later_fini(struct model_later *later);

/* To whoever still waits: *result, or with err < 0 error. Takes result. */
void model__later_answer(struct model_later *later, int err, json_t *result,
                         struct model_error *error);

/* model_trail.c: a change that was begun earlier, by whom later says, in the place of its handler. It is recorded as
 * model__trail_call() does, with a summary that was made before. */
typedef int model_change_fn(void *arg, json_t **result, struct model_error *error);
int model__trail_later(struct model_later *later, const char *summary, model_change_fn *change,
                       void *arg, json_t **result, struct model_error *error);

#endif
