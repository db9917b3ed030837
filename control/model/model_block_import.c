/* block.import: a file of up to a million prefixes, all of it or nothing.
 *
 * Reading, sorting, checking and packing take most of a second; they touch neither lists nor store. So for who
 * has other things to do meanwhile (model_call_later()) they are done by model's thread, one import after the
 * other, and the loop only puts the entry in, in one transaction: until then nothing has changed, a control that
 * is killed has imported nothing, and what other clients do meanwhile comes before it. */
#include "model_block.h"
#include "work.h"

#include <errno.h>
#include <stdlib.h>

#define LONG_LEN    (256 * 1024) /* bytes of text: from here on not on the loop, below it takes 5 ms */
#define IMPORTS_MAX 8            /* long ones at once: each holds its text, and then its prefixes */

struct model_import {
	struct work_job job;
	struct model *model;
	json_t *params;                   /* held */
	struct blocklist_request request; /* without its prefixes */
	struct blocklist_ready ready;
	int err; /* of reading: then error says why */
	struct model_error error;
	model_reply_fn *reply; /* NULL: nobody waits any more */
	void *arg;
	LIST_ENTRY(model_import) link;
};

/* ---- reading: of the import alone, in any thread ------------------------------------------------- */

static const char *file_name(const json_t *params)
{
	const char *name = json_string_value(
		json_object_get(json_object_get(params, "file"), "name"));

	return name ? name : "file";
}

static int refuse_memory(int err, struct model_error *error)
{
	return model__refuse(error, err, "failed", NULL, "not enough memory");
}

/* import->ready from the prefixes, if they may be dropped. */
static int make_ready(struct model_import *import, struct model_error *error)
{
	const struct blocklist_request *request = &import->request;
	int err;

	if (request->n == 0)
		return model__refuse(error, -EINVAL, "invalid", "file",
		                     "%s: has no prefix; block clear takes a source away",
		                     file_name(import->params));
	err = model__block_guard(import->model, import->params, request->prefixes, request->n,
	                         request->scopes, error);
	if (err < 0)
		return err;
	err = blocklist_ready_init(&import->ready, request);
	return err < 0 ? refuse_memory(err, error) : 0;
}

static int read_file(struct model_import *import, struct model_error *error)
{
	const json_t *text = json_object_get(json_object_get(import->params, "file"), "text");
	struct blocklist_request *request = &import->request;
	struct blocklist_text_error why;
	struct block_prefix *prefixes = NULL;
	int err = blocklist_text_read(json_string_value(text), json_string_length(text),
	                              request->scopes, &prefixes, &request->n, &why);

	if (err == -EINVAL || err == -E2BIG)
		return model__refuse(error, err, "invalid", "file", "%s:%u: %s",
		                     file_name(import->params), why.line, why.text);
	if (err < 0)
		return refuse_memory(err, error);
	request->prefixes = prefixes;
	err = make_ready(import, error);
	request->prefixes = NULL;
	free(prefixes);
	return err;
}

static void import_run(struct work_job *job)
{
	struct model_import *import = (struct model_import *)job;

	import->err = read_file(import, &import->error);
}

/* ---- on the loop --------------------------------------------------------------------------------- */

static int import_make(struct model *model, const json_t *params, struct model_import **out,
                       struct model_error *error)
{
	struct blocklist_request request;
	struct model_import *import;
	int err = model__block_request(params, &request, error);

	if (err < 0)
		return err;
	import = calloc(1, sizeof(*import));
	if (!import)
		return refuse_memory(-ENOMEM, error);
	import->model = model;
	import->params = json_incref((json_t *)(uintptr_t)params);
	import->request = request;
	import->request.is_list = true;
	import->request.replaces = json_is_true(json_object_get(params, "replace"));
	LIST_INSERT_HEAD(&model->imports, import, link);
	model->n_imports++;
	*out = import;
	return 0;
}

static void import_free(struct model_import *import)
{
	LIST_REMOVE(import, link);
	import->model->n_imports--;
	blocklist_ready_fini(&import->ready);
	json_decref(import->params);
	free(import);
}

static void import_drop(struct work_job *job)
{
	import_free((struct model_import *)job);
}

static void import_done(struct work_job *job)
{
	struct model_import *import = (struct model_import *)job;
	json_t *result = NULL;
	json_t *error = NULL;
	int err = import->err;

	if (err == 0)
		err = model__block_put(import->model, &import->ready, &result, &import->error);
	if (err < 0)
		error = model__error_json(&import->error);
	if (import->reply) {
		import->reply(import->arg, result, error);
	} else {
		json_decref(result);
		json_decref(error);
	}
	import_free(import);
}

void model__imports_forget(struct model *model, const void *arg)
{
	struct model_import *import;

	LIST_FOREACH(import, &model->imports, link)
		if (import->arg == arg)
			import->reply = NULL;
}

/* It is in line: import_done() answers. */
static int begin(struct model *model, struct model_import *import)
{
	import->job = (struct work_job){
		.run = import_run,
		.done = import_done,
		.drop = import_drop,
	};
	import->reply = model->waiter.reply;
	import->arg = model->waiter.arg;
	work_submit(model->work, &import->job);
	return MODEL_LATER;
}

int model__block_import(struct model *model, const json_t *params, json_t **result,
                        struct model_error *error)
{
	const json_t *text = json_object_get(json_object_get(params, "file"), "text");
	bool is_later = model->waiter.reply && json_string_length(text) >= LONG_LEN;
	struct model_import *import = NULL;
	int err;

	if (is_later && model->n_imports >= IMPORTS_MAX)
		return model__refuse(error, -EBUSY, "busy", NULL,
		                     "%u long lists are being imported, which is the most at "
		                     "once; try again when they are done",
		                     model->n_imports);
	err = import_make(model, params, &import, error);
	if (err < 0)
		return err;
	if (is_later)
		return begin(model, import);
	err = read_file(import, error);
	if (err == 0)
		err = model__block_put(model, &import->ready, result, error);
	import_free(import);
	return err;
}
