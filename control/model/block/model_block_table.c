/* The workers' table of drop lists: made of all entries whenever one comes, goes or ends.
 *
 * Making it costs some 0.2 us a prefix, and changes come in rows (a feed adds hundreds of addresses a
 * minute). So after a table that took t the next one is made ten times t later at the earliest, with
 * whatever has come until then: an address alone is in force within milliseconds, and with a million
 * listed control spends a tenth of its time at most. Nothing is lost on the way: a change is in the store
 * first, and the table is made of all there is.
 *
 * A long table is made by model's thread, of a copy of the entries, while the loop goes on.
 *
 * When an entry ends a table without it is made; the workers know no times. It is taken out of the store when the
 * clock was not set for an hour: one that ended because the clock was set comes back with the right time. */
#include "base_log.h"
#include "base_time.h"
#include "model_block.h"
#include "work.h"

#include <sodium.h>

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONG_N      16384 /* prefixes: from here on not on the loop, below it takes 5 ms */
#define REST_FACTOR 10
#define RETRY_NS    BASE_NS_PER_S
#define CLOSER_S    3600 /* wall clocks are set: look again within that time */
#define ENDED_S     60   /* the same while entries have ended that may come back */
#define SETTLED_NS  (3600 * BASE_NS_PER_S)

/* Ports behind which services are published: what BLOCK_PUBLISHED is about. */
static void add_ports(struct block_source *source, const struct base_endpoint *endpoints,
                      uint32_t n)
{
	for (uint32_t i = 0; i < n && source->n_ports < BLOCK_PORTS_MAX; i++)
		source->ports[source->n_ports++] = (struct block_port){.port = endpoints[i].port,
		                                                       .protocol = 6};
}

static int hand_over(struct model *model, const void *table, size_t len, uint64_t generation)
{
	if (!model->setup.block_set)
		return 0;
	model->block.sent = table ? generation : 0;
	model->block.is_in_force = false;
	return model->setup.block_set(model->setup.policy_arg, table, len, generation);
}

/* A table on its way. */
struct table_job {
	struct work_job job;
	struct model *model;
	struct block_source source;
	uint64_t start_ns;
	void *table;
	size_t len;
	int err;
};

static void job_free(struct table_job *job)
{
	free(job->source.prefixes);
	free(job->table);
	free(job);
}

/* In the work's thread, or for few on the loop. Without entries the workers have no table, and look up
 * nothing. */
static void job_run(struct work_job *work_job)
{
	struct table_job *job = (struct table_job *)work_job;

	if (job->source.n > 0)
		job->err = block_build(&job->source, &job->table, &job->len);
}

static void job_drop(struct work_job *work_job)
{
	job_free((struct table_job *)work_job);
}

static void again_in(struct model *model, uint64_t delay_ns)
{
	const struct timeval delay = {
		.tv_sec = (time_t)(delay_ns / BASE_NS_PER_S),
		.tv_usec = (suseconds_t)(delay_ns % BASE_NS_PER_S / 1000),
	};

	if (event_add(model->block.timer, &delay) < 0)
		log_err("model", "drop lists will not be compiled in time: no timer");
}

/* Until there is something to do, or do it. */
static void wait_for_next(struct model *model)
{
	struct model_block *block = &model->block;
	uint64_t now_ns = base_time_monotonic_ns();
	uint64_t now_s = base_time_wall_ns() / BASE_NS_PER_S;
	uint64_t end_s = blocklist_next_end(block->list);
	uint64_t rest_ns = block->ready_ns > now_ns ? block->ready_ns - now_ns : 0;
	uint64_t delay_s = blocklist_has_ended(block->list) ? ENDED_S : CLOSER_S;

	if (block->is_building) { /* job_done() comes here again */
		event_del(block->timer);
	} else if (block->is_dirty) {
		again_in(model, rest_ns);
	} else if (end_s != 0 || blocklist_has_ended(block->list)) {
		if (end_s != 0 && end_s < now_s + delay_s)
			delay_s = end_s > now_s ? end_s - now_s : 0;
		again_in(model, delay_s * BASE_NS_PER_S + rest_ns);
	} else {
		event_del(block->timer);
	}
}

/* The last one is made, or could not be: what comes next. */
static void rest(struct model *model, uint64_t start_ns, int err)
{
	struct model_block *block = &model->block;
	uint64_t end_ns = base_time_monotonic_ns();

	block->ready_ns = end_ns + REST_FACTOR * (end_ns - start_ns);
	if (err < 0) {
		log_err("model", "drop lists not compiled, tried again err=%s", strerror(-err));
		block->is_dirty = true;
		block->ready_ns = end_ns + RETRY_NS;
	}
	wait_for_next(model);
}

static void job_done(struct work_job *work_job)
{
	struct table_job *job = (struct table_job *)work_job;
	struct model *model = job->model;
	uint64_t start_ns = job->start_ns;
	int err = job->err;

	if (err == 0)
		err = hand_over(model, job->table, job->len, job->source.generation);
	if (err == 0)
		model->block.generation = job->source.generation;
	model->block.is_building = false;
	job_free(job);
	rest(model, start_ns, err);
}

/* A copy of all entries, so that they can change meanwhile. */
static int job_make(struct model *model, uint64_t start_ns, struct table_job **out)
{
	struct table_job *job = calloc(1, sizeof(*job));
	int err;

	if (!job)
		return -ENOMEM;
	job->job = (struct work_job){.run = job_run, .done = job_done, .drop = job_drop};
	job->model = model;
	job->start_ns = start_ns;
	job->source.generation = model->block.generation + 1;
	job->source.seed = model->block.seed;
	add_ports(&job->source, model->setup.config->https, model->setup.config->n_https);
	add_ports(&job->source, model->setup.config->http, model->setup.config->n_http);
	err = blocklist_collect(model->block.list, &job->source.prefixes, &job->source.n);
	if (err < 0) {
		job_free(job);
		return err;
	}
	*out = job;
	return 0;
}

/* waits: the table is handed over before this returns. */
static void refresh(struct model *model, bool waits)
{
	struct model_block *block = &model->block;
	uint64_t start_ns = base_time_monotonic_ns();
	struct table_job *job = NULL;
	uint64_t now_s = base_time_wall_ns() / BASE_NS_PER_S;
	size_t n_changed;
	int err = blocklist_expire(block->list, now_s, model__clock_is_settled(model, SETTLED_NS),
	                           &n_changed);

	if (n_changed > 0)
		block->is_dirty = true;
	if (err == 0 && block->is_dirty)
		err = job_make(model, start_ns, &job);
	if (!job) {
		rest(model, start_ns, err);
		return;
	}
	block->is_dirty = false; /* what changes from here on is for the next one */
	block->is_building = true;
	if (waits || job->source.n < LONG_N) {
		job_run(&job->job);
		job_done(&job->job);
	} else {
		work_submit(model->work, &job->job);
	}
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	refresh(arg, false);
}

void model__block_changed(struct model *model)
{
	model->block.is_dirty = true;
	wait_for_next(model);
}

void model_block_done(struct model *model, uint64_t generation, int err, const char *reason)
{
	struct model_block *block = &model->block;

	if (err == 0)
		block->is_in_force = generation == block->sent;
	snprintf(block->refused, sizeof(block->refused), "%s", err == 0 ? "" : reason);
}

int model__block_load(struct model *model, struct model_error *error)
{
	struct model_block *block = &model->block;
	int err;

	/* Above that of any control before: they count changes, this counts
	 * microseconds, and a change takes longer than one. */
	block->generation = base_time_wall_ns() / BASE_NS_PER_US;
	randombytes_buf(&block->seed, sizeof(block->seed));
	block->timer = evtimer_new(model->setup.base, on_timer, model);
	if (!block->timer)
		return model__refuse(error, -ENOMEM, "failed", NULL, "not enough memory");
	err = blocklist_create(model->setup.store, &block->list);
	if (err < 0)
		return model__refuse(error, err, "failed", NULL, "%s",
		                     store_error(model->setup.store));
	block->is_dirty = true;
	refresh(model, true);
	return 0;
}

void model__block_unload(struct model *model)
{
	if (model->block.timer)
		event_free(model->block.timer);
	blocklist_destroy(model->block.list);
}
