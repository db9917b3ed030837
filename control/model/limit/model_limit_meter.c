/* What the workers counted, where they are to stop, and what of it is in the store. */
#include "base_log.h"
#include "base_time.h"
#include "model_limit_private.h"
#include "program.h"
#include "session.h"
#include "store_limit.h"
#include "watch_event.h"

#include <errno.h>
#include <string.h>

/* ---- counts ------------------------------------------------------------------------------------- */

struct model_limit_counts model__limit_count(const struct model *model, uint32_t id)
{
	struct model_limit_counts sum = {.n_workers = program_n_workers(model->setup.program)};

	for (uint32_t i = 0; i < sum.n_workers; i++) {
		struct abi_limit *one = &sum.here[i];

		*one = program_limit(model->setup.program, i, id);
		sum.rx += one->rx_used;
		sum.tx += one->tx_used;
		sum.limit_drops += one->rx.drops + one->tx.drops;
		sum.quota_drops += one->rx_drops + one->tx_drops;
	}
	return sum;
}

static int64_t period_now(const struct model *model)
{
	return limit_period_start((int64_t)(base_time_wall_ns() / BASE_NS_PER_S),
	                          model->setup.config->quota_day);
}

struct limit_meter model__limit_meter_now(const struct model *model,
                                          const struct model_limit_peer *entry,
                                          const struct model_limit_counts *now)
{
	struct limit_meter meter = entry->meter;

	limit_meter_look(&meter, program_epoch(model->setup.program), now->rx, now->tx,
	                 period_now(model));
	return meter;
}

/* ---- telling ------------------------------------------------------------------------------------ */

/* What one worker is to be told, for the meter that has seen these counts. */
static struct abi_cmd_peer_limit command(uint32_t id, const struct model_limit_peer *entry,
                                         const struct abi_limit *here)
{
	const struct limit_meter *meter = &entry->meter;

	return (struct abi_cmd_peer_limit){
		.peer = id,
		.rx = entry->spec.rx,
		.tx = entry->spec.tx,
		.rx_until = limit_until(entry->spec.quota_rx, meter->rx, here->rx_used),
		.tx_until = limit_until(entry->spec.quota_tx, meter->tx, here->tx_used),
		.total_until = limit_until(entry->spec.quota, meter->rx + meter->tx,
	                                   here->rx_used + here->tx_used),
	};
}

/* What the workers may let pass. all: whatever they were told; else only a worker at which more could
 * pass than is left, because something passed at another. */
static void reckon(uint32_t id, struct model_limit_peer *entry,
                   const struct model_limit_counts *now, bool all)
{
	for (uint32_t i = 0; i < now->n_workers; i++) {
		struct abi_cmd_peer_limit fresh = command(id, entry, &now->here[i]);
		struct abi_cmd_peer_limit *told = &entry->told[i];

		if (all || fresh.rx_until < told->rx_until || fresh.tx_until < told->tx_until
		    || fresh.total_until < told->total_until)
			*told = fresh;
	}
}

void model__limit_tell(struct model *model, uint32_t id, const struct model_limit_peer *entry)
{
	int err = program_limit_put(model->setup.program, id, entry->told);

	if (err < 0 && err != -ENOENT) /* a disabled peer is not there, and gets them when it is */
		log_err("limit", "limits not set peer=%u err=%s", id, strerror(-err));
	session_peer_stay(model->setup.session, id, true);
}

/* ---- the second's look -------------------------------------------------------------------------- */

enum model_limit_level model__limit_level(const struct limit_spec *spec,
                                          const struct limit_meter *meter)
{
	if (limit_is_reached(spec, meter))
		return MODEL_LIMIT_REACHED;
	return limit_used_percent(spec, meter) >= MODEL_LIMIT_WARN_PERCENT ? MODEL_LIMIT_WARNED
	                                                                   : MODEL_LIMIT_BELOW;
}

/* Once each time that it is passed: a line, an event, a count. */
static void say_level(struct model *model, uint32_t id, struct model_limit_peer *entry)
{
	static const char *const texts[] = {
		[MODEL_LIMIT_BELOW] = "is there again",
		[MODEL_LIMIT_WARNED] = "is used to 80 %",
		[MODEL_LIMIT_REACHED] = "reached",
	};
	static const char *const whats[] = {
		[MODEL_LIMIT_BELOW] = "again",
		[MODEL_LIMIT_WARNED] = "warned",
		[MODEL_LIMIT_REACHED] = "reached",
	};
	enum model_limit_level level = model__limit_level(&entry->spec, &entry->meter);
	unsigned long long rx = entry->meter.rx;
	unsigned long long tx = entry->meter.tx;
	char buf[16];

	if (level == entry->level)
		return;
	/* a quota that grew leaves "reached" for 80 %: that is not news */
	if (level == MODEL_LIMIT_WARNED && entry->level == MODEL_LIMIT_REACHED)
		level = MODEL_LIMIT_BELOW;
	log_warn("limit", "wg-quota: quota %s peer=%u rx=%llu tx=%llu", texts[level], id, rx, tx);
	watch_event_add(model->setup.watch, "quota", whats[level],
	                watch_peer(model->setup.peers, id, buf),
	                "the quota of the month %s: received %llu bytes, sent %llu", texts[level],
	                rx, tx);
	if (level == MODEL_LIMIT_WARNED)
		program_count(model->setup.program, ABI_COUNTER_QUOTA_WARNED, 1);
	if (level == MODEL_LIMIT_REACHED)
		program_count(model->setup.program, ABI_COUNTER_QUOTA_REACHED, 1);
	entry->level = model__limit_level(&entry->spec, &entry->meter);
}

/* all: reckon every worker's stop anew, whatever passed. */
void model__limit_look(struct model *model, uint32_t id, struct model_limit_peer *entry, bool all)
{
	struct model_limit_counts now = model__limit_count(model, id);
	struct limit_meter *meter = &entry->meter;
	uint64_t epoch = program_epoch(model->setup.program);
	int64_t period_s = period_now(model);

	if (!entry->has_meter) { /* what passed before is not of this quota */
		*meter = (struct limit_meter){.epoch = epoch, .rx_seen = now.rx, .tx_seen = now.tx};
		entry->has_meter = true;
	}
	/* Another month; or counters that began anew, with the peer or with the region. */
	all = all || period_s != meter->period_s || epoch != meter->epoch || now.rx < meter->rx_seen
	      || now.tx < meter->tx_seen;
	if (!limit_meter_look(meter, epoch, now.rx, now.tx, period_s) && !all)
		return;
	entry->is_dirty = true;
	reckon(id, entry, &now, all);
	model__limit_tell(model, id, entry);
	say_level(model, id, entry);
}

static int store_one(struct store *store, uint32_t id, const struct limit_meter *meter)
{
	struct store_usage usage = {.period_s = meter->period_s,
	                            .rx = meter->rx,
	                            .tx = meter->tx,
	                            .epoch = meter->epoch,
	                            .rx_seen = meter->rx_seen,
	                            .tx_seen = meter->tx_seen};

	for (size_t i = 0; i < LIMIT_KEPT; i++)
		usage.kept[i] = (struct store_usage_month){meter->kept[i].period_s,
		                                           meter->kept[i].rx, meter->kept[i].tx};
	return store_usage_put(store, id, &usage);
}

static int store_dirty(struct model *model)
{
	struct store *store = model->setup.store;
	int err = store_begin_unsynced(store);
	int ended;

	if (err < 0)
		return err;
	for (uint32_t id = 0; err == 0 && id < model->setup.config->max_peers; id++) {
		struct model_limit_peer *entry = model->limits.peers[id];

		if (!entry || !entry->is_dirty)
			continue;
		err = store_one(store, id, &entry->meter);
	}
	ended = store_end(store, err == 0);
	return err < 0 ? err : ended;
}

void model__limit_store(struct model *model)
{
	static struct base_log_limit limit;
	bool is_dirty = false;
	uint32_t left_out;

	for (uint32_t id = 0; id < model->setup.config->max_peers; id++)
		is_dirty = is_dirty
		           || (model->limits.peers[id] && model->limits.peers[id]->is_dirty);
	if (!is_dirty)
		return;
	if (store_dirty(model) < 0) { /* they stay dirty */
		if (base_log_limit_pass(&limit, base_time_monotonic_ns(), &left_out))
			log_err("limit", "use of quotas not stored: %s left_out=%u",
			        store_error(model->setup.store), left_out);
		return;
	}
	for (uint32_t id = 0; id < model->setup.config->max_peers; id++)
		if (model->limits.peers[id])
			model->limits.peers[id]->is_dirty = false;
}

void model__limit_look_at_all(struct model *model)
{
	if (model->limits.n_quotas == 0)
		return;
	for (uint32_t id = 0; id < model->setup.config->max_peers; id++) {
		struct model_limit_peer *entry = model->limits.peers[id];

		if (entry && entry->is_live && limit_spec_has_quota(&entry->spec))
			model__limit_look(model, id, entry, false);
	}
	model__limit_store(model);
}
