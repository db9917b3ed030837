/* Life of the model, and the one way into it. */
#include "model.h"

#include "base_log.h"
#include "base_text.h"
#include "base_time.h"
#include "model_alarm.h"
#include "model_block.h"
#include "model_grant.h"
#include "model_limit.h"
#include "model_policy.h"
#include "model_table.h"
#include "work.h"

#include <errno.h>
#include <event2/event.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct timeval renewal_interval = {12 * 3600, 0};

int model__refuse(struct model_error *error, int err, const char *code, const char *field,
                  const char *format, ...)
{
	va_list args;

	snprintf(error->code, sizeof(error->code), "%s", code);
	snprintf(error->field, sizeof(error->field), "%s", field ? field : "");
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	base_utf8_repair(error->text); /* what was shown of an argument may be cut */
	return err;
}

int model__refuse_store(struct model *model, int err, struct model_error *error)
{
	return model__refuse(error, err, "failed", NULL, "store: %s",
	                     store_error(model->setup.store));
}

int model__refuse_peer(struct model_error *error, int err, const struct peer_error *why)
{
	return model__refuse(error, err, why->code, why->field, "%s", why->text);
}

/* Replies can hold private keys, so what jansson frees is wiped first. */
static void wiping_free(void *p)
{
	if (p)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

static void on_renewal(evutil_socket_t fd, short what, void *arg)
{
	struct model_error error = {0};

	(void)fd;
	(void)what;
	if (model__services_publish(arg, &error) < 0)
		log_err("model", "certificates not renewed: %s", error.text);
}

static void on_table_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	model__table_refresh(arg);
}

int model_create(const struct model_setup *setup, struct model **out, char *error, size_t error_len)
{
	struct model *model = calloc(1, sizeof(*model));
	struct model_error why = {0};
	int err;

	json_set_alloc_funcs(malloc, wiping_free);
	if (!model) {
		snprintf(error, error_len, "model: not enough memory");
		return -ENOMEM;
	}
	model->setup = *setup;
	model->started_wall_ns = base_time_wall_ns();
	model->renewal = event_new(setup->base, -1, EV_PERSIST, on_renewal, model);
	model->table_timer = evtimer_new(setup->base, on_table_timer, model);
	if (!model->renewal || !model->table_timer
	    || event_add(model->renewal, &renewal_interval) < 0) {
		snprintf(error, error_len, "model: not enough memory");
		model_destroy(model);
		return -ENOMEM;
	}
	err = work_create(setup->base, &model->work);
	if (err < 0) {
		snprintf(error, error_len, "model: no thread: %s", strerror(-err));
		model_destroy(model);
		return err;
	}
	err = model__policy_load(model, &why);
	if (err < 0) {
		snprintf(error, error_len, "policy: %s", why.text);
		model_destroy(model);
		return err;
	}
	err = model__block_load(model, &why);
	if (err < 0) {
		snprintf(error, error_len, "drop lists: %s", why.text);
		model_destroy(model);
		return err;
	}
	err = model__services_publish(model, &why);
	if (err < 0) {
		snprintf(error, error_len, "services: %s", why.text);
		model_destroy(model);
		return err;
	}
	err = model__limits_load(model, &why);
	if (err < 0) {
		snprintf(error, error_len, "limits: %s", why.text);
		model_destroy(model);
		return err;
	}
	err = model__alarms_begin(model, &why);
	if (err < 0) {
		snprintf(error, error_len, "alarms: %s", why.text);
		model_destroy(model);
		return err;
	}
	err = model__clock_begin(model, &why);
	if (err < 0) {
		snprintf(error, error_len, "clock: %s", why.text);
		model_destroy(model);
		return err;
	}
	if (model__grants_used_begin(model) < 0 || model__trail_keep_begin(model) < 0) {
		snprintf(error, error_len, "model: not enough memory");
		model_destroy(model);
		return -ENOMEM;
	}
	model__table_refresh(model);
	model__rotations_watch(model, true);
	model__events_hook(model, true);
	*out = model;
	return 0;
}

void model_destroy(struct model *model)
{
	if (!model)
		return;
	work_destroy(model->work); /* nothing of what was under way is done */
	if (model->renewal)
		event_free(model->renewal);
	if (model->table_timer)
		event_free(model->table_timer);
	model__trail_keep_end(model);
	model__clock_end(model);
	model__grants_used_end(model);
	model__rotations_watch(model, false);
	model__events_hook(model, false);
	model__alarms_end(model);
	model__limits_unload(model);
	model__block_unload(model);
	grant_policy_fini(&model->policy);
	free(model);
}

void model_caller_set(struct model *model, uid_t uid, pid_t pid)
{
	model->caller.uid = uid;
	model->caller.pid = pid;
}

int model_gather(struct model *model)
{
	return store_gather(model->setup.store);
}

int model_settle(struct model *model)
{
	return store_settle(model->setup.store);
}

static const struct model_method *find_method(const char *name)
{
	for (size_t i = 0; i < model_n_methods; i++)
		if (strcmp(model_methods[i].name, name) == 0)
			return &model_methods[i];
	return NULL;
}

json_t *model__error_json(const struct model_error *error)
{
	return json_pack("{s:s, s:s, s:s?}", "code", error->code, "message", error->text, "field",
	                 error->field[0] != '\0' ? error->field : NULL);
}

static int run(struct model *model, const struct model_method *method, const json_t *params,
               json_t **result, struct model_error *error)
{
	int err = 0;

	if (method->later && model->waiter.reply)
		err = method->later(model, method, params, error);
	return err != 0 ? err : model__trail_call(model, method, params, result, error);
}

int model_call(struct model *model, const char *name, json_t *params, json_t **result,
               json_t **error)
{
	const struct model_method *method = find_method(name);
	struct model_error why = {0};
	json_t *empty = NULL;
	int err;

	*result = NULL;
	*error = NULL;
	if (!method) {
		err = model__refuse(&why, -ENOSYS, "unknown_method", NULL,
		                    "there is no method \"%.64s\"", name);
	} else {
		err = model__check(method, params, &why);
		if (err == 0 && !params)
			params = empty = json_object();
		if (err == 0)
			err = params ? run(model, method, params, result, &why) : -ENOMEM;
		json_decref(empty);
		if (err == 0 && !*result)
			err = -ENOMEM;
		if (err < 0 && why.code[0] == '\0')
			model__refuse(&why, err, "failed", NULL, "%s", strerror(-err));
	}
	if (err < 0) {
		json_decref(*result);
		*result = NULL;
		*error = model__error_json(&why);
	}
	return err;
}

int model_call_later(struct model *model, const char *name, json_t *params, model_reply_fn *reply,
                     void *arg, json_t **result, json_t **error)
{
	int err;

	model->waiter.reply = reply;
	model->waiter.arg = arg;
	err = model_call(model, name, params, result, error);
	model->waiter.reply = NULL;
	return err;
}
