/* When grants were last used: what workers tell by number is kept with the grants, by the hour, and in the
 * store, so that a grant that nobody needs any more can be found months later. Times are those of flows, so
 * one that is held open counts as long as packets pass. */
#include "base_bytes.h"
#include "base_log.h"
#include "base_time.h"
#include "grant_part.h"
#include "model_audit.h"
#include "model_grant.h"
#include "program.h"
#include "store_policy.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#define HOUR_S UINT64_C(3600)
#define DAY_S  (24 * HOUR_S)

static const struct timeval read_interval = {60, 0};

/* ---- what workers tell -------------------------------------------------------------------------- */

/* Grants by number, while their use is read. */
struct reading {
	struct grant **by_number; /* [n] */
	size_t n;
};

static int compare_numbers(const void *a, const void *b)
{
	const struct grant *const *x = a;
	const struct grant *const *y = b;

	return ((*x)->number > (*y)->number) - ((*x)->number < (*y)->number);
}

/* Not those of the hub's own grants, nor of one that is gone. */
static void on_used(void *arg, uint32_t number, uint64_t wall_s)
{
	const struct reading *reading = arg;
	struct grant wanted = {.number = number};
	const struct grant *key = &wanted;
	struct grant **found = bsearch(&key, reading->by_number, reading->n, sizeof(*found),
	                               compare_numbers);
	uint64_t hour_s = wall_s - wall_s % HOUR_S;

	if (found && (*found)->used_s < hour_s)
		(*found)->used_s = hour_s;
}

/* Those that were used in a later hour than before, in one transaction. before: [n_grants]. */
static int store_all(struct model *model, const uint64_t *before)
{
	struct store *store = model->setup.store;
	int err = store_begin(store);

	if (err < 0)
		return err;
	for (uint32_t i = 0; i < model->policy.n_grants && err == 0; i++)
		if (model->policy.grants[i].used_s != before[i])
			err = store_policy_used_put(store, model->policy.grants[i].name,
			                            model->policy.grants[i].used_s);
	if (err == 0)
		return store_end(store, true);
	return store_end(store, false) < 0 ? -EIO : err;
}

/* What could not be stored is found again: put it back as it was. */
static void store_news(struct model *model, const uint64_t *before)
{
	struct grant_policy *policy = &model->policy;
	bool is_new = false;
	int err;

	for (uint32_t i = 0; i < policy->n_grants; i++)
		is_new |= policy->grants[i].used_s != before[i];
	if (!is_new)
		return;
	err = store_all(model, before);
	if (err == 0)
		return;
	log_err("model", "last use of grants not stored: %s", store_error(model->setup.store));
	for (uint32_t i = 0; i < policy->n_grants; i++)
		policy->grants[i].used_s = before[i];
}

void model__grants_used_read(struct model *model)
{
	struct grant_policy *policy = &model->policy;
	struct reading reading = {.n = policy->n_grants};
	uint64_t *before = calloc(reading.n + 1, sizeof(*before));

	reading.by_number = calloc(reading.n + 1, sizeof(*reading.by_number));
	for (size_t i = 0; before && reading.by_number && i < reading.n; i++) {
		before[i] = policy->grants[i].used_s;
		reading.by_number[i] = &policy->grants[i];
	}
	if (before && reading.by_number) {
		qsort(reading.by_number, reading.n, sizeof(*reading.by_number), compare_numbers);
		program_used_each(model->setup.program, on_used, &reading);
		store_news(model, before);
	}
	free(reading.by_number);
	free(before);
}

static void on_read_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	model__grants_used_read(arg);
}

int model__grants_used_begin(struct model *model)
{
	model->used_timer = event_new(model->setup.base, -1, EV_PERSIST, on_read_timer, model);
	if (!model->used_timer || event_add(model->used_timer, &read_interval) < 0)
		return -ENOMEM;
	return 0;
}

void model__grants_used_end(struct model *model)
{
	if (model->used_timer)
		event_free(model->used_timer);
	model->used_timer = NULL;
}

/* ---- what is found ------------------------------------------------------------------------------ */

/* Since when it could have been used. */
static uint64_t begin_of(const struct grant *grant)
{
	uint64_t created_s = grant->created_wall_ns / BASE_NS_PER_S;

	return grant->from_s > created_s ? grant->from_s : created_s;
}

static void audit_grant(struct model_audit *audit, const struct grant *grant, uint64_t now_s)
{
	uint64_t begin_s = begin_of(grant);
	uint64_t since_s = grant->used_s > begin_s ? grant->used_s : begin_s;
	char when[GRANT_TIME_STRLEN];

	if ((grant->until_s != 0 && grant->until_s <= now_s) || now_s < since_s
	    || (now_s - since_s) / DAY_S < audit->unused_days)
		return;
	if (grant->used_s == 0)
		model__audit_report(audit, GRANT_WARNING, "unused", "grant", grant->name,
		                    "was never used in the %llu days that it is there: take it "
		                    "away if nobody needs it (weir grant remove %s)",
		                    (unsigned long long)((now_s - begin_s) / DAY_S), grant->name);
	else
		model__audit_report(audit, GRANT_WARNING, "unused", "grant", grant->name,
		                    "was last used on %s, %llu days ago: take it away if nobody "
		                    "needs it (weir grant remove %s)",
		                    grant_time_format(grant->used_s, when),
		                    (unsigned long long)((now_s - grant->used_s) / DAY_S),
		                    grant->name);
}

void model__audit_unused(struct model_audit *audit)
{
	const struct grant_policy *policy = &audit->model->policy;

	/* Where everybody reaches everybody, nothing passes by a grant. */
	if (audit->unused_days == 0 || audit->model->setup.config->peer_to_peer
	    || !audit->model->setup.policy_set)
		return;
	model__grants_used_read(audit->model);
	for (uint32_t i = 0; i < policy->n_grants; i++)
		audit_grant(audit, &policy->grants[i], audit->now_wall_ns / BASE_NS_PER_S);
}
