/* peer.limit, quota.reset: limits of peers, from weir peer limit, the peer's entry in the configuration file,
 * or that file's default for all; what the workers are told; and quotas.
 *
 * A worker stops a peer at a count of bytes of its own (abi_limit.rx_used and the others), which lie in the
 * region. Every second the counts are read, what passed is added to the month's use and stored, and a
 * worker is told another stop only when something passed at another one. While a peer has one owner, which
 * session sees to (session_peer_stay), no quota is passed by more than the packet that reaches it; a peer that
 * had sessions at two workers when it got its quota may pass what the second one lets through in a
 * second. When both processes are killed at once, what passed since the last store is not known any more:
 * a second's worth (after a power cut, what SQLite had not synced: some seconds more). */
#include "base_log.h"
#include "base_time.h"
#include "model_audit.h"
#include "model_limit_private.h"
#include "model_peer.h"
#include "program.h"
#include "session.h"
#include "store_limit.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(LIMIT_KEPT == STORE_USAGE_KEPT, "every month that is kept is stored");

static const struct timeval look_interval = {1, 0};

/* ---- entries ------------------------------------------------------------------------------------ */

static struct model_limit_peer *entry_of(const struct model *model, uint32_t id)
{
	return id < model->setup.config->max_peers ? model->limits.peers[id] : NULL;
}

/* NULL: memory is short. */
static struct model_limit_peer *entry_make(struct model *model, uint32_t id)
{
	size_t n_workers = program_n_workers(model->setup.program);
	struct model_limit_peer **at;

	if (id >= model->setup.config->max_peers)
		return NULL;
	at = &model->limits.peers[id];
	if (!*at)
		*at = calloc(1, sizeof(**at) + n_workers * sizeof((*at)->told[0]));
	return *at;
}

static void entry_free(struct model *model, uint32_t id)
{
	free(model->limits.peers[id]);
	model->limits.peers[id] = NULL;
}

/* ---- who has which ------------------------------------------------------------------------------ */

static enum model_limit_origin wanted(const struct model *model, const struct peer *peer,
                                      struct limit_spec *out)
{
	const struct model_limit_peer *entry = entry_of(model, peer->row.id);
	enum model_limit_origin origin = ORIGIN_DEFAULT;

	*out = model->setup.config->limits;
	if (entry && entry->has_own) {
		*out = entry->own;
		origin = ORIGIN_OWN;
	}
	if (peer->limits) {
		*out = *peer->limits;
		origin = ORIGIN_DECLARED;
	}
	return limit_spec_is_none(out) && origin != ORIGIN_OWN ? ORIGIN_NONE : origin;
}

static void end(struct model *model, uint32_t id, struct model_limit_peer *entry)
{
	int err;

	if (!entry->is_live)
		return;
	entry->is_live = false;
	model->limits.n_quotas -= limit_spec_has_quota(&entry->spec);
	err = program_limit_put(model->setup.program, id, NULL);
	if (err < 0 && err != -ENOENT)
		log_err("limit", "limits not taken away peer=%u err=%s", id, strerror(-err));
	session_peer_stay(model->setup.session, id, false);
}

/* Bring one peer's limits to what is wanted. */
static void refresh(struct model *model, const struct peer *peer)
{
	struct limit_spec spec;
	enum model_limit_origin origin = wanted(model, peer, &spec);
	struct model_limit_peer *entry = entry_of(model, peer->row.id);
	bool is_same;

	if (limit_spec_is_none(&spec)) {
		if (entry) {
			model__limits_look(model, peer);
			end(model, peer->row.id, entry);
			entry->spec = spec;
			entry->origin = origin;
		}
		return;
	}
	entry = entry_make(model, peer->row.id);
	if (!entry) {
		log_err("limit", "limits not set peer=%u err=out of memory", peer->row.id);
		return;
	}
	spec = limit_spec_complete(&spec);
	is_same = entry->is_live && memcmp(&spec, &entry->spec, sizeof(spec)) == 0;
	entry->origin = origin;
	if (is_same) { /* for a peer that comes back, with counts that began anew */
		model__limits_look(model, peer);
		model__limit_tell(model, peer->row.id, entry);
		return;
	}
	model->limits.n_quotas += limit_spec_has_quota(&spec);
	model->limits.n_quotas -= entry->is_live && limit_spec_has_quota(&entry->spec);
	if (!entry->is_live && entry->has_meter) /* what an earlier control has said of it */
		entry->level = model__limit_level(&spec, &entry->meter);
	entry->is_live = true;
	entry->spec = spec;
	model__limit_look(model, peer->row.id, entry, true);
}

void model__limits_come(struct model *model, const struct peer *peer)
{
	refresh(model, peer);
}

void model__limits_look(struct model *model, const struct peer *peer)
{
	struct model_limit_peer *entry = entry_of(model, peer->row.id);

	if (entry && entry->is_live && limit_spec_has_quota(&entry->spec))
		model__limit_look(model, peer->row.id, entry, false);
}

void model__limits_go(struct model *model, uint32_t id)
{
	struct model_limit_peer *entry = entry_of(model, id);

	if (!entry)
		return; /* its rows went with the peer's */
	end(model, id, entry);
	entry_free(model, id);
}

void model__limits_refresh(struct model *model)
{
	const struct peer *peer;
	uint32_t max = model->setup.config->max_peers;

	memset(model->limits.is_there, 0, max);
	for (peer = peer_after(model->setup.peers, ""); peer;
	     peer = peer_after(model->setup.peers, peer->row.name)) {
		model->limits.is_there[peer->row.id] = 1;
		refresh(model, peer);
	}
	for (uint32_t id = 0; id < max; id++)
		if (!model->limits.is_there[id])
			model__limits_go(model, id);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	model__limit_look_at_all(arg);
}

/* ---- life --------------------------------------------------------------------------------------- */

static int on_limit(void *arg, uint32_t id, const char *text)
{
	struct model *model = arg;
	struct model_limit_peer *entry = entry_make(model, id);

	if (!entry)
		return id >= model->setup.config->max_peers ? 0 : -ENOMEM;
	entry->has_own = true;
	return limit_spec_read(text, &entry->own);
}

static int on_usage(void *arg, uint32_t id, const struct store_usage *usage)
{
	struct model *model = arg;
	struct model_limit_peer *entry = entry_make(model, id);

	if (!entry)
		return id >= model->setup.config->max_peers ? 0 : -ENOMEM;
	entry->has_meter = true;
	entry->meter = (struct limit_meter){.period_s = usage->period_s,
	                                    .rx = usage->rx,
	                                    .tx = usage->tx,
	                                    .epoch = usage->epoch,
	                                    .rx_seen = usage->rx_seen,
	                                    .tx_seen = usage->tx_seen};
	for (size_t i = 0; i < LIMIT_KEPT; i++)
		entry->meter.kept[i] = (struct limit_use){usage->kept[i].period_s,
		                                          usage->kept[i].rx, usage->kept[i].tx};
	return 0;
}

int model__limits_load(struct model *model, struct model_error *error)
{
	uint32_t max = model->setup.config->max_peers;
	int err = -ENOMEM;

	model->limits.peers = calloc(max, sizeof(*model->limits.peers));
	model->limits.is_there = calloc(max, 1);
	model->limits.timer = event_new(model->setup.base, -1, EV_PERSIST, on_look, model);
	if (!model->limits.peers || !model->limits.is_there || !model->limits.timer
	    || event_add(model->limits.timer, &look_interval) < 0)
		return model__refuse(error, err, "failed", NULL, "not enough memory");
	err = store_limit_each(model->setup.store, on_limit, model);
	if (err == 0)
		err = store_usage_each(model->setup.store, on_usage, model);
	if (err < 0)
		return model__refuse(error, err, "failed", NULL, "store: %s",
		                     err == -EUCLEAN ? "limits cannot be read"
		                                     : store_error(model->setup.store));
	return 0;
}

void model__limits_unload(struct model *model)
{
	if (model->limits.timer) {
		on_look(-1, 0, model); /* the last second's, too */
		event_free(model->limits.timer);
	}
	for (uint32_t id = 0; model->limits.peers && id < model->setup.config->max_peers; id++)
		free(model->limits.peers[id]);
	free(model->limits.peers);
	free(model->limits.is_there);
}

/* ---- replies ------------------------------------------------------------------------------------ */

static json_t *from_json(const struct model *model, const struct peer *peer,
                         enum model_limit_origin origin)
{
	if (origin == ORIGIN_DECLARED)
		return json_sprintf("%s:%d", model->setup.config->path, peer->line);
	return json_string(origin == ORIGIN_OWN ? "peer" : "default");
}

bool model__limit_state(const struct model *model, uint32_t peer, struct model_limit_state *out)
{
	const struct model_limit_peer *entry = entry_of(model, peer);
	struct model_limit_counts now;

	if (!entry || !entry->is_live)
		return false;
	now = model__limit_count(model, peer);
	*out = (struct model_limit_state){
		.spec = entry->spec,
		.meter = model__limit_meter_now(model, entry, &now),
		.drops = now.limit_drops,
	};
	return true;
}

void model__audit_quota(struct model_audit *audit, const struct peer *peer,
                        const struct grant_peer *world)
{
	struct model_limit_state state;

	(void)world;
	if (!model__limit_state(audit->model, peer->row.id, &state))
		return;
	switch (model__limit_level(&state.spec, &state.meter)) {
	case MODEL_LIMIT_BELOW:
		break;
	case MODEL_LIMIT_WARNED:
		model__audit_report(audit, GRANT_INFO, "quota-low", "peer", peer->row.name,
		                    "has used %u %% of its quota of the month",
		                    limit_used_percent(&state.spec, &state.meter));
		break;
	case MODEL_LIMIT_REACHED:
		model__audit_report(audit, GRANT_WARNING, "quota-reached", "peer", peer->row.name,
		                    "has used up its quota of the month: nothing passes (weir peer "
		                    "limit, weir quota reset)");
		break;
	}
}

/* The month so far, up to the moment. */
static json_t *quota_json(const struct model *model, const struct model_limit_peer *entry,
                          const struct model_limit_counts *now)
{
	struct limit_meter meter = model__limit_meter_now(model, entry, now);

	return json_pack("{s:o, s:o, s:I, s:I, s:b, s:I}", "since",
	                 model__time((uint64_t)meter.period_s * BASE_NS_PER_S), "until",
	                 model__time((uint64_t)limit_period_end(meter.period_s) * BASE_NS_PER_S),
	                 "rx_used", (json_int_t)meter.rx, "tx_used", (json_int_t)meter.tx,
	                 "reached", limit_is_reached(&entry->spec, &meter), "drops",
	                 (json_int_t)now->quota_drops);
}

json_t *model__limits_json(const struct model *model, const struct peer *peer)
{
	const struct model_limit_peer *entry = entry_of(model, peer->row.id);
	struct model_limit_counts now;
	json_t *limits;

	if (!entry || entry->origin == ORIGIN_NONE)
		return json_null();
	now = model__limit_count(model, peer->row.id);
	limits = json_pack("{s:o}", "from", from_json(model, peer, entry->origin));
	for (size_t i = 0; limits && i < LIMIT_N_FIELDS; i++) {
		uint64_t value = limit_field_get(&limit_fields[i], &entry->spec);

		if (value != 0)
			json_object_set_new(limits, limit_fields[i].name,
			                    json_integer((json_int_t)value));
	}
	if (limits)
		json_object_set_new(limits, "drops", json_integer((json_int_t)now.limit_drops));
	if (limits && entry->is_live && limit_spec_has_quota(&entry->spec))
		json_object_set_new(limits, "month", quota_json(model, entry, &now));
	return limits;
}

/* ---- methods ------------------------------------------------------------------------------------ */

/* One argument into spec, when it is there. */
static int read_field(const json_t *params, const struct limit_field *field,
                      struct limit_spec *spec, struct model_error *error)
{
	const json_t *value = json_object_get(params, field->name);
	const char *text = json_string_value(value);
	int err;

	if (!value)
		return 0;
	err = text ? limit_field_parse(field, spec, text)
	           : limit_field_set(field, spec, (uint64_t)json_integer_value(value));
	if (err == 0)
		return 0;
	if (text)
		return model__refuse(error, -EINVAL, "bad_argument", field->name,
		                     "%s is \"%.40s\", must be %s", field->name, text,
		                     field->allowed);
	return model__refuse(error, -EINVAL, "bad_argument", field->name, "%s is %lld, must be %s",
	                     field->name, (long long)json_integer_value(value), field->allowed);
}

/* What the peer is to have: as it has, changed by the arguments. */
static int read_spec(const json_t *params, struct limit_spec *spec, bool *is_given,
                     struct model_error *error)
{
	const struct limit_field *stray;

	*is_given = false;
	for (size_t i = 0; i < LIMIT_N_FIELDS; i++) {
		if (read_field(params, &limit_fields[i], spec, error) < 0)
			return -EINVAL;
		*is_given = *is_given || json_object_get(params, limit_fields[i].name);
	}
	stray = limit_spec_stray(spec);
	if (stray)
		return model__refuse(error, -EINVAL, "bad_argument", stray->name,
		                     "%s stands alone, must be beside the rate that it is of",
		                     stray->name);
	return 0;
}

/* Only one of --none, --default and limits. */
static int read_change(const json_t *params, struct limit_spec *spec, bool *has_own,
                       struct model_error *error)
{
	bool none = json_is_true(json_object_get(params, "none"));
	bool as_default = json_is_true(json_object_get(params, "default"));
	bool is_given;

	if (read_spec(params, spec, &is_given, error) < 0)
		return -EINVAL;
	if (none + as_default + is_given != 1)
		return model__refuse(error, -EINVAL, "bad_argument", NULL,
		                     "must be given: limits, or none, or default, and one of these "
		                     "alone");
	if (none || as_default)
		*spec = (struct limit_spec){0};
	*has_own = !as_default;
	return 0;
}

int model__peer_limit(struct model *model, const json_t *params, json_t **result,
                      struct model_error *error)
{
	const struct peer *peer = model__peer_find(model, params, error);
	struct model_limit_peer *entry;
	struct limit_spec spec;
	char text[LIMIT_TEXT_LEN];
	bool has_own = false;

	if (!peer)
		return -ENOENT;
	if (peer->limits)
		return model__refuse(
			error, -EPERM, "declared", "name",
			"name: limits of peer \"%s\" are declared in %s:%d; change them "
			"there and restart weir",
			peer->row.name, model->setup.config->path, peer->line);
	entry = entry_make(model, peer->row.id);
	if (!entry)
		return model__refuse(error, -ENOMEM, "failed", NULL, "not enough memory");
	spec = entry->has_own ? entry->own : model->setup.config->limits;
	if (read_change(params, &spec, &has_own, error) < 0)
		return -EINVAL;
	limit_spec_format(&spec, text);
	if (store_limit_put(model->setup.store, peer->row.id, has_own ? text : NULL) < 0)
		return model__refuse(error, -EIO, "failed", NULL, "store: %s",
		                     store_error(model->setup.store));
	entry->has_own = has_own;
	entry->own = spec;
	refresh(model, peer);
	log_info("limit", "set peer=%u %s", peer->row.id, has_own ? text : "default");
	*result = json_pack("{s:o}", "peer", model__peer_json(model, peer));
	return 0;
}

int model__quota_reset(struct model *model, const json_t *params, json_t **result,
                       struct model_error *error)
{
	const struct peer *peer = model__peer_find(model, params, error);
	struct model_limit_peer *entry;

	if (!peer)
		return -ENOENT;
	entry = entry_of(model, peer->row.id);
	if (!entry || !entry->is_live || !limit_spec_has_quota(&entry->spec))
		return model__refuse(error, -ENOENT, "not_found", "name",
		                     "name: peer \"%s\" has no quota", peer->row.name);
	model__limit_look(model, peer->row.id, entry, false);
	entry->meter.rx = 0;
	entry->meter.tx = 0;
	model__limit_look(model, peer->row.id, entry, true);
	model__limit_store(model);
	*result = json_pack("{s:o}", "peer", model__peer_json(model, peer));
	return 0;
}
