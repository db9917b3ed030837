/* What callers change goes into the audit trail (store_trail.h), with who asked and why; audit.trail reads it. As a
 * whole: model_trail_keep.c. */
#include "base_text.h"
#include "base_time.h"
#include "grant_part.h"
#include "model_later.h"
#include "store_trail.h"

#include <sodium.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LAST_DEFAULT 100

/* ---- what was asked ----------------------------------------------------------------------------- */

struct line {
	char *text; /* [STORE_TRAIL_SUMMARY_LEN] */
	size_t len;
};

static void add(struct line *line, const char *text)
{
	size_t left = STORE_TRAIL_SUMMARY_LEN - line->len;
	size_t len = strlen(text);

	if (len >= left)
		len = left - 1;
	memcpy(line->text + line->len, text, len);
	line->len += len;
	line->text[line->len] = '\0';
}

/* A file as its name, its size and its hash. */
static void add_file(struct line *line, const json_t *value)
{
	const json_t *text = json_object_get(value, "text");
	uint8_t hash[crypto_hash_sha256_BYTES];
	char hex[2 * sizeof(hash) + 1], tail[40 + sizeof(hex)];

	crypto_hash_sha256(hash, (const uint8_t *)json_string_value(text),
	                   json_string_length(text));
	base_hex_encode(hex, hash, sizeof(hash));
	snprintf(tail, sizeof(tail), " bytes=%zu sha256=%s", json_string_length(text), hex);
	add(line, json_string_value(json_object_get(value, "name")));
	add(line, tail);
}

static void add_value(struct line *line, const json_t *value)
{
	const char *text = json_string_value(value);
	char number[32];

	if (json_is_integer(value)) {
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
		add(line, number);
	} else if (text) {
		bool has_space = strchr(text, ' ') != NULL;

		add(line, has_space ? "\"" : "");
		add(line, text);
		add(line, has_space ? "\"" : "");
	} else if (json_is_array(value)) {
		for (size_t i = 0; i < json_array_size(value); i++) {
			add(line, i > 0 ? "," : "");
			add_value(line, json_array_get(value, i));
		}
	} else if (json_is_object(value)) {
		add_file(line, value);
	}
}

static bool is_told_elsewhere(const char *name)
{
	return strcmp(name, "name") == 0 || strcmp(name, "why") == 0
	       || strcmp(name, "session") == 0;
}

/* The arguments in the order of the description. No type of argument is a secret. */
void model__trail_summarize(const struct model_method *method, const json_t *params,
                            char out[static STORE_TRAIL_SUMMARY_LEN])
{
	struct line line = {.text = out};

	out[0] = '\0';
	for (size_t i = 0; i < method->n_arguments; i++) {
		const char *name = method->arguments[i].name;
		const json_t *value = json_object_get(params, name);

		if (!value || json_is_false(value) || is_told_elsewhere(name))
			continue;
		add(&line, line.len > 0 ? " " : "");
		add(&line, name);
		if (json_is_true(value))
			continue;
		add(&line, "=");
		add_value(&line, value);
	}
}

/* What the operation is about. */
static const char *object_of(const json_t *params)
{
	static const char *const names[] = {"name", "peer", "prefix", "source"};
	const char *text;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		text = json_string_value(json_object_get(params, names[i]));
		if (text)
			return text;
	}
	text = json_string_value(json_object_get(json_object_get(params, "file"), "name"));
	return text ? text : "hub";
}

/* A change, and what the trail says of it. */
struct asked {
	const struct model_method *method;
	const json_t *params;
	const char *summary;
	uid_t uid;
	pid_t pid;
};

static int record(struct model *model, const struct asked *asked, model_change_fn *change,
                  void *arg, json_t **result, struct model_error *error)
{
	const char *why = json_string_value(json_object_get(asked->params, "why"));
	char actor[64];
	struct store_trail_entry entry = {
		.actor = actor,
		.operation = asked->method->name,
		.object = object_of(asked->params),
		.summary = asked->summary,
		.comment = why ? why : "",
		.each = asked->method->changes == MODEL_CHANGES_EACH,
	};
	int err, ended;

	snprintf(actor, sizeof(actor), "uid=%u pid=%d", (unsigned int)asked->uid, (int)asked->pid);
	store_trail_begin(model->setup.store, &entry);
	err = change(arg, result, error);
	ended = store_trail_end(model->setup.store,
	                        err == 0 && asked->method->changes == MODEL_CHANGES_ALWAYS);
	if (err == 0 && ended < 0)
		return model__refuse(error, ended, "failed", NULL,
		                     "done, but not in the audit trail: store: %s",
		                     store_error(model->setup.store));
	return err;
}

struct call {
	struct model *model;
	const struct asked *asked;
};

static int call_handler(void *arg, json_t **result, struct model_error *error)
{
	const struct call *call = arg;

	return call->asked->method->call(call->model, call->asked->params, result, error);
}

int model__trail_call(struct model *model, const struct model_method *method, const json_t *params,
                      json_t **result, struct model_error *error)
{
	char summary[STORE_TRAIL_SUMMARY_LEN];
	struct asked asked = {method, params, summary, model->caller.uid, model->caller.pid};
	struct call call = {model, &asked};

	if (method->changes == MODEL_CHANGES_NOTHING
	    || json_is_true(json_object_get(params, "dry_run")))
		return method->call(model, params, result, error);
	model__trail_summarize(method, params, summary);
	return record(model, &asked, call_handler, &call, result, error);
}

int model__trail_later(struct model_later *later, const char *summary, model_change_fn *change,
                       void *arg, json_t **result, struct model_error *error)
{
	struct asked asked = {later->method, later->params, summary, later->uid, later->pid};

	return record(later->model, &asked, change, arg, result, error);
}

/* ---- reading ------------------------------------------------------------------------------------ */

struct reading {
	json_t *array;
	bool newest_first;
};

static int add_record(void *arg, const struct store_trail_record *record)
{
	const struct reading *reading = arg;
	json_t *json = json_pack("{s:I, s:o, s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "sequence",
	                         (json_int_t)record->sequence, "at", model__time(record->wall_ns),
	                         "actor", record->actor, "operation", record->operation, "object",
	                         record->object, "summary", record->summary, "comment",
	                         record->comment, "previous", model__hash(record->previous), "hash",
	                         model__hash(record->hash));
	size_t place = reading->newest_first ? 0 : json_array_size(reading->array);

	return json_array_insert_new(reading->array, place, json) < 0 ? -ENOMEM : 0;
}

int model__audit_trail(struct model *model, const json_t *params, json_t **result,
                       struct model_error *error)
{
	const char *since = json_string_value(json_object_get(params, "since"));
	const json_t *after = json_object_get(params, "after");
	const json_t *last = json_object_get(params, "last");
	struct store_trail_query query = {
		.after = (uint64_t)json_integer_value(after),
		.limit = last ? (uint32_t)json_integer_value(last) : LAST_DEFAULT,
		.last = !after,
	};
	struct reading reading = {json_array(), query.last};
	uint64_t since_s = 0;
	size_t n;
	int err;

	if (since && grant_time_parse(since, &since_s) == 0)
		query.since_wall_ns = since_s < INT64_MAX / BASE_NS_PER_S ? since_s * BASE_NS_PER_S
		                                                          : INT64_MAX;
	err = store_trail_each(model->setup.store, &query, add_record, &reading);
	if (err < 0) {
		json_decref(reading.array);
		return model__refuse_store(model, err, error);
	}
	n = json_array_size(reading.array);
	*result = json_pack("{s:o, s:I}", "records", reading.array, "next",
	                    n > 0 ? json_integer_value(json_object_get(
				    json_array_get(reading.array, n - 1), "sequence"))
	                          : (json_int_t)query.after);
	return 0;
}
