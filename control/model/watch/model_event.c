/* events: what has happened that somebody may want to act on. */
#include "hook.h"
#include "model_method.h"
#include "watch_event.h"

#include <stdlib.h>

#define LIMIT_DEFAULT 100

static json_t *event_json(const struct watch_event *event)
{
	return json_pack("{s:I, s:o, s:s, s:s, s:s, s:s}", "number", (json_int_t)event->number,
	                 "at", model__time(event->wall_ns), "kind", event->kind, "what",
	                 event->what, "peer", event->peer, "text", event->text);
}

static void on_event(void *arg, const struct watch_event *event)
{
	const struct model *model = arg;
	json_t *json = event_json(event);
	char *line = json ? json_dumps(json, JSON_COMPACT) : NULL;

	if (line)
		hook_post(model->setup.hook, line);
	else
		log_err("model", "event not posted: not enough memory");
	free(line);
	json_decref(json);
}

void model__events_hook(struct model *model, bool on)
{
	if (model->setup.hook)
		watch_on_event(model->setup.watch, on ? on_event : NULL, model);
}

json_t *model__webhook_json(const struct model *model)
{
	struct hook_counters counters;

	if (!model->setup.hook)
		return json_null();
	counters = hook_counters(model->setup.hook);
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "posted", (json_int_t)counters.posted,
	                 "waiting", (json_int_t)counters.waiting, "dropped",
	                 (json_int_t)counters.dropped, "refused", (json_int_t)counters.refused,
	                 "failures", (json_int_t)counters.failures);
}

int model__events(struct model *model, const json_t *params, json_t **result,
                  struct model_error *error)
{
	const struct watch *watch = model->setup.watch;
	const json_t *limit = json_object_get(params, "limit");
	uint64_t n = limit ? (uint64_t)json_integer_value(limit) : LIMIT_DEFAULT;
	uint64_t newest = watch_event_newest(watch);
	uint64_t after = (uint64_t)json_integer_value(json_object_get(params, "after"));
	const struct watch_event *event;
	json_t *array = json_array();

	(void)error;
	if (after > newest)
		after = 0; /* of an earlier control, and the clock was set back since */
	if (newest > n && after < newest - n)
		after = newest - n;
	for (; (event = watch_event_after(watch, after)) != NULL; after = event->number)
		json_array_append_new(array, event_json(event));
	*result = json_pack("{s:o, s:I}", "events", array, "next", (json_int_t)newest);
	return 0;
}
