/* Peers that should be up are looked at once a second, a slice of them at a time; what alarm.h makes of it is said once,
 * in the log (wg-alarm:) and as an event, and the alarms that stand are in the store, so that the next control
 * goes on with them. What is said goes out before it is stored: a control that is killed just
 * between the two says it again, rather than never. */
#include "model_alarm.h"

#include "alarm.h"
#include "base_log.h"
#include "base_time.h"
#include "store_alarm.h"
#include "watch_event.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#define SLICE          2048U /* numbers at a time: with all of them raising an alarm, some ms */
#define SLICE_PAUSE_NS (10 * BASE_NS_PER_MS)
#define START_GRACE_PART                                                                           \
	12U /* of stale_after: so long after the start nothing is raised, since peers
	                        of a hub that was down come back just then */

static uint64_t stale_after_ns(const struct model *model)
{
	return (uint64_t)model->setup.config->stale_after_s * BASE_NS_PER_S;
}

/* ---- one peer ----------------------------------------------------------------------------------- */

static struct alarm_sight sight_of(const struct model *model, const struct peer *peer)
{
	uint64_t now_wall_ns = base_time_wall_ns();
	struct peer_handshake handshake = peer_handshake(model->setup.peers, peer);
	struct alarm_sight sight = {
		.is_expected = peer->row.expected_wall_ns != 0 && !peer->row.disabled,
		.heard = handshake.wall_ns == 0   ? ALARM_HEARD_NEVER
	                 : handshake.is_of_before ? ALARM_HEARD_BEFORE
	                                          : ALARM_HEARD_NOW,
		.age_ns = handshake.age_ns,
		.expected_ns = UINT64_MAX, /* since a time to come: the clock was set back */
	};

	if (now_wall_ns >= peer->row.expected_wall_ns)
		sight.expected_ns = now_wall_ns - peer->row.expected_wall_ns;
	return sight;
}

/* The alarm is the peer's, not of one that had its number before. */
static bool is_same(const struct model_alarm *alarm, const struct peer *peer)
{
	return peer && peer->row.created_wall_ns == alarm->created_wall_ns;
}

static void say(struct model *model, const char *name, enum alarm_news news, uint64_t age_ns)
{
	static const char *const texts[] = {
		[ALARM_NOTHING] = "",
		[ALARM_STALE] = "should be up, and its last handshake is too old",
		[ALARM_NEVER] = "should be up, and there was never a handshake",
		[ALARM_UP] = "is up again",
		[ALARM_ENDED] = "need not be up any more",
	};
	unsigned long long age_s = news == ALARM_STALE || news == ALARM_UP ? age_ns / BASE_NS_PER_S
	                                                                   : 0;
	uint32_t n_left_out;

	watch_event_add(model->setup.watch, "alarm", alarm_news_text(news), name,
	                age_s != 0 ? "%s: %llu s" : "%s", texts[news], age_s);
	if (!base_log_limit_pass(&model->alarms.limit, base_time_monotonic_ns(), &n_left_out))
		return;
	base_log_write(news == ALARM_STALE || news == ALARM_NEVER ? BASE_LOG_WARN : BASE_LOG_INFO,
	               "alarm", "wg-alarm: %s peer=%s age_s=%llu left_out=%u",
	               alarm_news_text(news), name, age_s, n_left_out);
}

/* Returns -ENOMEM, and is tried again at the next look. */
static int raise_alarm(struct model *model, const struct peer *peer, uint64_t since_wall_ns)
{
	struct model_alarm *alarm = calloc(1, sizeof(*alarm));

	if (!alarm)
		return -ENOMEM;
	alarm->since_wall_ns = since_wall_ns;
	alarm->created_wall_ns = peer->row.created_wall_ns;
	snprintf(alarm->name, sizeof(alarm->name), "%s", peer->row.name);
	model->alarms.raised[peer->row.id] = alarm;
	model->alarms.n++;
	return 0;
}

static void lower_alarm(struct model *model, uint32_t id)
{
	free(model->alarms.raised[id]);
	model->alarms.raised[id] = NULL;
	model->alarms.n--;
}

/* ---- a slice of them ---------------------------------------------------------------------------- */

/* What is to be stored of a slice, all in one transaction. */
struct batch {
	struct model *model;
	bool is_open;
	int err;
};

static void batch_add(struct batch *batch, uint32_t id, uint64_t since_wall_ns)
{
	struct store *store = batch->model->setup.store;

	if (!batch->is_open && batch->err == 0) {
		batch->err = store_begin_unsynced(store);
		batch->is_open = batch->err == 0;
	}
	if (batch->err == 0)
		batch->err = since_wall_ns != 0 ? store_alarm_put(store, id, since_wall_ns)
		                                : store_alarm_drop(store, id);
}

static void batch_end(struct batch *batch)
{
	struct store *store = batch->model->setup.store;

	if (batch->is_open && store_end(store, batch->err == 0) < 0)
		batch->err = -EIO;
	if (batch->err < 0)
		log_err("alarm", "alarms not stored, a restart will say them again: %s",
		        store_error(store));
}

static void look_at(struct batch *batch, uint32_t id, bool may_raise)
{
	struct model *model = batch->model;
	const struct peer *peer = peer_numbered(model->setup.peers, id);
	const struct model_alarm *alarm = model->alarms.raised[id];
	struct alarm_sight sight = {.is_expected = false};
	enum alarm_news news;

	if (!alarm && (!peer || peer->row.expected_wall_ns == 0))
		return;
	if (peer && (!alarm || is_same(alarm, peer)))
		sight = sight_of(model, peer);
	news = alarm_look(alarm != NULL, &sight, stale_after_ns(model));
	if (news == ALARM_NOTHING || (!alarm && !may_raise))
		return;
	if (!alarm && raise_alarm(model, peer, base_time_wall_ns()) < 0)
		return;
	say(model, model->alarms.raised[id]->name, news, sight.age_ns);
	batch_add(batch, id, alarm ? 0 : model->alarms.raised[id]->since_wall_ns);
	if (alarm)
		lower_alarm(model, id);
}

void model__alarms_look(struct model *model, uint32_t n)
{
	struct batch batch = {.model = model};
	uint64_t running_ns = base_time_monotonic_ns() - model->alarms.started_ns;
	bool may_raise = running_ns >= stale_after_ns(model) / START_GRACE_PART;

	for (; n > 0; n--) {
		look_at(&batch, model->alarms.next, may_raise);
		model->alarms.next = (model->alarms.next + 1) % model->setup.config->max_peers;
	}
	batch_end(&batch);
}

/* ---- life --------------------------------------------------------------------------------------- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct model *model = arg;
	uint32_t max = model->setup.config->max_peers;

	(void)fd;
	(void)what;
	model__alarms_look(model, max < SLICE ? max : SLICE);
}

static int timer_start(struct model *model)
{
	uint64_t n_slices = (model->setup.config->max_peers + SLICE - 1) / SLICE;
	uint64_t pause_ns = BASE_NS_PER_S / n_slices;
	struct timeval interval;

	if (pause_ns < SLICE_PAUSE_NS)
		pause_ns = SLICE_PAUSE_NS;
	interval.tv_sec = (time_t)(pause_ns / BASE_NS_PER_S);
	interval.tv_usec = (suseconds_t)(pause_ns % BASE_NS_PER_S / BASE_NS_PER_US);
	model->alarms.timer = event_new(model->setup.base, -1, EV_PERSIST, on_timer, model);
	return model->alarms.timer && event_add(model->alarms.timer, &interval) == 0 ? 0 : -ENOMEM;
}

static int load(void *arg, uint32_t id, uint64_t since_wall_ns)
{
	struct model *model = arg;
	const struct peer *peer = peer_numbered(model->setup.peers, id);

	return peer ? raise_alarm(model, peer, since_wall_ns) : 0;
}

int model__alarms_begin(struct model *model, struct model_error *error)
{
	int err;

	model->alarms.started_ns = base_time_monotonic_ns();
	model->alarms.raised = calloc(model->setup.config->max_peers, sizeof(struct model_alarm *));
	if (!model->alarms.raised || timer_start(model) < 0)
		return model__refuse(error, -ENOMEM, "failed", NULL, "not enough memory");
	err = store_alarm_each(model->setup.store, load, model);
	return err < 0 ? model__refuse(error, err, "failed", NULL, "store: %s",
	                               store_error(model->setup.store))
	               : 0;
}

void model__alarms_end(struct model *model)
{
	if (model->alarms.timer)
		event_free(model->alarms.timer);
	for (uint32_t id = 0; model->alarms.raised && id < model->setup.config->max_peers; id++)
		free(model->alarms.raised[id]);
	free(model->alarms.raised);
}

/* ---- telling ------------------------------------------------------------------------------------ */

const struct model_alarm *model__alarm_of(const struct model *model, const struct peer *peer)
{
	const struct model_alarm *alarm = model->alarms.raised[peer->row.id];

	return alarm && is_same(alarm, peer) ? alarm : NULL;
}

json_t *model__alarm_json(const struct model *model, const struct peer *peer)
{
	const struct model_alarm *alarm = model__alarm_of(model, peer);
	bool is_never = peer_handshake(model->setup.peers, peer).wall_ns == 0;

	if (!alarm)
		return json_null();
	return json_pack("{s:s, s:o}", "reason",
	                 alarm_news_text(is_never ? ALARM_NEVER : ALARM_STALE), "since",
	                 model__time(alarm->since_wall_ns));
}
