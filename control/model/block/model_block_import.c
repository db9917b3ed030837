/* block.import: a file of up to a million prefixes, all of it or nothing.
 *
 * Reading, sorting, checking and packing take most of a second; they touch neither lists nor store. So for who
 * has other things to do meanwhile (model_later.h) they are done by model's thread, one import after the other, and
 * the loop only puts the entry in, in one transaction: until then nothing has changed, a control that is killed has
 * imported nothing, and what other clients do meanwhile comes before it. */
#include "model_block.h"
#include "model_later.h"
#include "work.h"

#include <errno.h>
#include <stdlib.h>

#define LONG_LEN    (256 * 1024) /* bytes of text: from here on not on the loop, below it takes 5 ms */
#define IMPORTS_MAX 8            /* long ones at once: each holds its text, and then its prefixes */

/* What is to be put in, made of the file. */
struct reading {
	const struct model *model;        /* its configuration: model__block_guard() */
	const json_t *params;             /* borrowed */
	struct blocklist_request request; /* without its prefixes */
	struct blocklist_ready ready;
};

/* ---- reading: of the file alone, in any thread --------------------------------------------------- */

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

/* reading->ready from the prefixes, if they may be dropped. */
static int make_ready(struct reading *reading, struct model_error *error)
{
	const struct blocklist_request *request = &reading->request;
	int err;

	if (request->n == 0)
		return model__refuse(error, -EINVAL, "invalid", "file",
		                     "%s: has no prefix; block clear takes a source away",
		                     file_name(reading->params));
	err = model__block_guard(reading->model, reading->params, request->prefixes, request->n,
	                         request->scopes, error);
	if (err < 0)
		return err;
	err = blocklist_ready_init(&reading->ready, request);
	return err < 0 ? refuse_memory(err, error) : 0;
}

static int read_file(struct reading *reading, struct model_error *error)
{
	const json_t *text = json_object_get(json_object_get(reading->params, "file"), "text");
	struct blocklist_request *request = &reading->request;
	struct blocklist_text_error why;
	struct block_prefix *prefixes = NULL;
	int err = blocklist_text_read(json_string_value(text), json_string_length(text),
	                              request->scopes, &prefixes, &request->n, &why);

	if (err == -EINVAL || err == -E2BIG)
		return model__refuse(error, err, "invalid", "file", "%s:%u: %s",
		                     file_name(reading->params), why.line, why.text);
	if (err < 0)
		return refuse_memory(err, error);
	request->prefixes = prefixes;
	err = make_ready(reading, error);
	request->prefixes = NULL;
	free(prefixes);
	return err;
}

/* ---- at once -------------------------------------------------------------------------------------- */

/* What can be said without reading the file. */
static int reading_begin(struct reading *reading, const struct model *model, const json_t *params,
                         struct model_error *error)
{
	int err;

	*reading = (struct reading){.model = model, .params = params};
	err = model__block_request(params, &reading->request, error);
	reading->request.is_list = true;
	reading->request.replaces = json_is_true(json_object_get(params, "replace"));
	return err;
}

int model__block_import(struct model *model, const json_t *params, json_t **result,
                        struct model_error *error)
{
	struct reading reading;
	int err = reading_begin(&reading, model, params, error);

	if (err == 0)
		err = read_file(&reading, error);
	if (err == 0)
		err = model__block_put(model, &reading.ready, result, error);
	blocklist_ready_fini(&reading.ready);
	return err;
}

/* ---- later ---------------------------------------------------------------------------------------- */

struct import {
	struct work_job job;
	struct model_later later;
	struct reading reading;
	char summary[STORE_TRAIL_SUMMARY_LEN]; /* for the audit trail, with the file's hash */
	int err;                               /* of reading: then error says why */
	struct model_error error;
};

static void import_run(struct work_job *job)
{
	struct import *import = (struct import *)job;

	import->err = read_file(&import->reading, &import->error);
	if (import->err == 0)
		model__trail_summarize(import->later.method, import->later.params, import->summary);
}

static void import_drop(struct work_job *job)
{
	struct import *import = (struct import *)job;

	import->later.model->imports.n--;
	blocklist_ready_fini(&import->reading.ready);
	model__later_fini(&import->later);
	free(import);
}

static int put(void *arg, json_t **result, struct model_error *error)
{
	struct import *import = arg;

	return model__block_put(import->later.model, &import->reading.ready, result, error);
}

static void import_done(struct work_job *job)
{
	struct import *import = (struct import *)job;
	json_t *result = NULL;
	int err = import->err;

	if (err == 0)
		err = model__trail_later(&import->later, import->summary, put, import, &result,
		                         &import->error);
	model__later_answer(&import->later, err, result, &import->error);
	import_drop(job);
}

int model__block_import_later(struct model *model, const struct model_method *method,
                              const json_t *params, struct model_error *error)
{
	const json_t *text = json_object_get(json_object_get(params, "file"), "text");
	struct import *import;
	int err;

	if (json_string_length(text) < LONG_LEN)
		return 0;
	if (model->imports.n >= IMPORTS_MAX) {
		model->imports.n_busy++;
		return model__refuse(error, -EBUSY, "busy", NULL,
		                     "%u long lists are being imported, which is the most at "
		                     "once; try again when they are done",
		                     model->imports.n);
	}
	import = calloc(1, sizeof(*import));
	if (!import)
		return refuse_memory(-ENOMEM, error);
	err = reading_begin(&import->reading, model, params, error);
	if (err < 0) {
		free(import);
		return err;
	}
	model__later_init(&import->later, model, method, params);
	model->imports.n++;
	import->job = (struct work_job){
		.run = import_run,
		.done = import_done,
		.drop = import_drop,
	};
	work_submit(model->work, &import->job);
	return MODEL_LATER;
}
