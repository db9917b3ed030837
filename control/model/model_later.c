/* Who waits for which operation. */
#include "model_later.h"

#include <string.h>

void model__later_init(struct model_later *later, struct model *model,
                       const struct model_method *method, const json_t *params)
{
	*later = (struct model_later){
		.model = model,
		.method = method,
		.params = json_incref((json_t *)(uintptr_t)params),
		.uid = model->caller.uid,
		.pid = model->caller.pid,
		.reply = model->waiter.reply,
		.arg = model->waiter.arg,
	};
	LIST_INSERT_HEAD(&model->laters, later, link);
}

void model__later_fini(struct model_later *later)
{
	LIST_REMOVE(later, link);
	json_decref(later->params);
}

void model__later_answer(struct model_later *later, int err, json_t *result,
                         struct model_error *error)
{
	json_t *why = NULL;

	if (err < 0) {
		json_decref(result);
		result = NULL;
		why = model__error_json(error);
	}
	if (later->reply) {
		later->reply(later->arg, result, why);
	} else {
		json_decref(result);
		json_decref(why);
	}
	later->reply = NULL;
}

void model_forget(struct model *model, const void *arg)
{
	struct model_later *later;

	LIST_FOREACH(later, &model->laters, link)
		if (later->arg == arg)
			later->reply = NULL;
}
