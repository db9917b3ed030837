/* The workers' table of drop lists: made of all entries whenever one comes, goes or ends.
 *
 * Making it costs some 0.2 us a prefix, and changes come in rows (a feed adds hundreds of addresses a
 * minute). So after a table that took t the next one is made ten times t later at the earliest, with
 * whatever has come until then: an address alone is in force within milliseconds, and with a million
 * listed control spends a tenth of its time at most. Nothing is lost on the way: a change is in the store
 * first, and the table is made of all there is.
 *
 * When an entry ends a table without it is made; the workers know no times. */
#include "base_log.h"
#include "base_time.h"
#include "model_block.h"

#include <sodium.h>

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REST_FACTOR 10
#define RETRY_NS    BASE_NS_PER_S
#define CLOSER_S    3600 /* wall clocks are set: look again within that time */

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
	return model->setup.block_set(model->setup.policy_arg, table, len, generation);
}

/* From entries to workers. */
static int make_table(struct model *model)
{
	struct model_block *block = &model->block;
	struct block_source source = {.generation = block->generation + 1, .seed = block->seed};
	void *table = NULL;
	size_t len = 0;
	int err = blocklist_collect(block->list, &source.prefixes, &source.n);

	add_ports(&source, model->setup.config->https, model->setup.config->n_https);
	add_ports(&source, model->setup.config->http, model->setup.config->n_http);
	/* Without entries the workers have no table, and look up nothing. */
	if (err == 0 && source.n > 0)
		err = block_build(&source, &table, &len);
	if (err == 0)
		err = hand_over(model, table, len, source.generation);
	if (err == 0)
		block->generation = source.generation;
	free(source.prefixes);
	free(table);
	return err;
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
	uint64_t delay_s;

	if (block->is_dirty) {
		again_in(model, rest_ns);
	} else if (end_s != 0) {
		delay_s = end_s > now_s ? end_s - now_s : 0;
		again_in(model,
		         (delay_s < CLOSER_S ? delay_s : CLOSER_S) * BASE_NS_PER_S + rest_ns);
	} else {
		event_del(block->timer);
	}
}

static void refresh(struct model *model)
{
	struct model_block *block = &model->block;
	uint64_t start_ns = base_time_monotonic_ns();
	uint64_t end_ns;
	size_t n_ended;
	int err = blocklist_expire(block->list, base_time_wall_ns() / BASE_NS_PER_S, &n_ended);

	if (n_ended > 0)
		block->is_dirty = true;
	if (err == 0 && block->is_dirty)
		err = make_table(model);
	end_ns = base_time_monotonic_ns();
	block->ready_ns = end_ns + REST_FACTOR * (end_ns - start_ns);
	if (err < 0) {
		log_err("model", "drop lists not compiled, tried again err=%s", strerror(-err));
		block->is_dirty = true;
		block->ready_ns = end_ns + RETRY_NS;
	} else {
		block->is_dirty = false;
	}
	wait_for_next(model);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	refresh(arg);
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
		block->in_force = generation;
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
	refresh(model);
	return 0;
}

void model__block_unload(struct model *model)
{
	if (model->block.timer)
		event_free(model->block.timer);
	blocklist_destroy(model->block.list);
}
