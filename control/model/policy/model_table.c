/* Policy to workers. */
#include "model_table.h"

#include "base_log.h"
#include "base_time.h"
#include "grant_compile.h"
#include "model_limit.h"
#include "model_policy.h"
#include "policy_table.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_S   1
/* What cannot be compiled: a change compiles anew, so this is only to say it again. */
#define REFUSED_S 60
#define CLOSER_S  3600 /* the wall clock may be set: look again at least so often */

/* Between two tables for peers that come and go: so long, and so many times as long as making one takes. */
#define SPACING_NS    (20 * BASE_NS_PER_S / 1000)
#define SPACING_TIMES 4

/* Never 0, and never that of the table before, also not when that was an earlier process's. */
static uint32_t next_generation(struct model *model)
{
	if (model->table_generation == 0)
		model->table_generation = (uint32_t)(base_time_wall_ns() / BASE_NS_PER_S);
	model->table_generation++;
	if (model->table_generation == 0)
		model->table_generation = 1;
	return model->table_generation;
}

void model__table_fini(struct model_table *table)
{
	free(table->blob);
	memset(table, 0, sizeof(*table));
}

static int build(const struct policy_source *source, struct model_table *out,
                 struct model_error *error)
{
	struct policy_build_error why = {.field = "", .expected = ""};
	int err = policy_build(source, &out->blob, &out->len, &why);

	if (err == -E2BIG)
		return model__refuse(error, err, "full", NULL,
		                     "the policy does not fit the workers' table: name groups "
		                     "instead of peers");
	if (err == -EINVAL)
		return model__refuse(error, err, "failed", NULL,
		                     "the policy cannot be compiled: object %u %zu: %s must be %s",
		                     why.object, why.index, why.field, why.expected);
	return err < 0 ? model__refuse(error, err, "failed", NULL, "not enough memory") : 0;
}

int model__table_make(struct model *model, const struct grant_policy *policy,
                      struct model_table *out, struct model_error *error)
{
	struct grant_compiled compiled;
	struct model_world world;
	int err;

	memset(out, 0, sizeof(*out));
	if (!model->setup.policy_set)
		return 0;
	err = model__world_init(model, &world, error);
	if (err < 0)
		return err;
	err = grant_compile(policy, &world.world, base_time_wall_ns() / BASE_NS_PER_S,
	                    next_generation(model), &compiled);
	if (err < 0)
		model__refuse(error, err, "failed", NULL, "%s", strerror(-err));
	else
		err = build(&compiled.source, out, error);
	out->again_s = compiled.again_s;
	grant_compiled_fini(&compiled);
	model__world_fini(&world);
	return err;
}

static void again_in(struct model *model, uint64_t delay_s)
{
	const struct timeval delay = {.tv_sec = (time_t)delay_s};

	if (event_add(model->table_timer, &delay) < 0)
		log_err("model", "policy will not be compiled again in time: no timer");
}

void model__table_send(struct model *model, struct model_table *table)
{
	uint64_t now_s = base_time_wall_ns() / BASE_NS_PER_S;
	int err;

	if (!table->blob)
		return;
	model->table_waits = false;
	model->sent.table = policy_table_generation(table->blob);
	model->sent.policy = model->policy.generation;
	model->sent.is_in_force = false;
	model->sent.refused[0] = '\0';
	err = model->setup.policy_set(model->setup.policy_arg, table->blob, table->len);
	model->table_has_lost &= err < 0;
	if (err < 0) {
		log_err("model", "policy not handed to the workers, tried again err=%s",
		        strerror(-err));
		again_in(model, RETRY_S);
	} else if (table->again_s != UINT64_MAX) {
		uint64_t delay_s = table->again_s > now_s ? table->again_s - now_s : RETRY_S;

		again_in(model, delay_s < CLOSER_S ? delay_s : CLOSER_S);
	} else {
		event_del(model->table_timer);
	}
	model__table_fini(table);
}

void model_dataplane_gone(struct model *model)
{
	model->sent.is_in_force = false;
	model->block.is_in_force = false;
}

void model_policy_done(struct model *model, uint64_t table_generation, int err, const char *reason)
{
	if (table_generation != model->sent.table)
		return; /* another one is on its way already */
	model->sent.is_in_force = err == 0;
	snprintf(model->sent.refused, sizeof(model->sent.refused), "%s", err == 0 ? "" : reason);
	if (err == 0)
		log_info("model", "policy in force generation=%llu table=%u",
		         (unsigned long long)model->sent.policy, model->sent.table);
}

static void make_and_send(struct model *model)
{
	uint64_t begin_ns = base_time_monotonic_ns();
	uint64_t took_ns;
	struct model_table table;
	struct model_error why = {0};
	int err = model__table_make(model, &model->policy, &table, &why);

	if (err == 0) {
		model__table_send(model, &table);
	} else {
		/* The workers go on with the table they have, which refuses what it does not know. */
		log_err("model", "policy not compiled, tried again: %s", why.text);
		model__table_fini(&table);
		again_in(model, err == -ENOMEM ? RETRY_S : REFUSED_S);
	}
	took_ns = SPACING_TIMES * (base_time_monotonic_ns() - begin_ns);
	model->table_next_ns = begin_ns + (took_ns > SPACING_NS ? took_ns : SPACING_NS);
}

void model__table_refresh(struct model *model)
{
	model__limits_refresh(model);
	make_and_send(model);
}

/* Later, once for all that come until then. */
static void wait(struct model *model, uint64_t delay_ns)
{
	const struct timeval delay = {.tv_sec = (time_t)(delay_ns / BASE_NS_PER_S),
	                              .tv_usec = (suseconds_t)(delay_ns % BASE_NS_PER_S / 1000)};

	if (model->table_waits)
		return;
	if (event_add(model->table_timer, &delay) < 0) {
		log_warn("model", "policy compiled for each peer: no timer");
		make_and_send(model);
		return;
	}
	model->table_waits = true;
	model->sent.table = 0; /* none: what is said of the one before is old */
	model->sent.is_in_force = false;
	model->sent.refused[0] = '\0';
}

void model__table_peer(struct model *model, uint32_t id, const struct peer *peer)
{
	uint64_t now_ns = base_time_monotonic_ns();

	if (peer)
		model__limits_come(model, peer);
	else
		model__limits_go(model, id);
	if (!model->setup.policy_set)
		return;
	if (now_ns >= model->table_next_ns) {
		make_and_send(model);
		return;
	}
	model->table_has_lost |= !peer;
	wait(model, model->table_next_ns - now_ns);
}

void model__table_settle(struct model *model)
{
	if (model->table_has_lost)
		make_and_send(model);
}
