/* The audit trail as a whole: audit.verify and audit.prune, and that it does not grow beyond what control.trail_records
 * and control.trail_days allow.
 *
 * A trail of a million records is read in a second, so whoever can wait is answered later (model_later.h): some are
 * read in each turn of the loop, others' requests come between. What is taken out is verified first, all of it; what
 * is not as it was written stays, as evidence. */
#include "base_log.h"
#include "base_time.h"
#include "grant_part.h"
#include "model_later.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE       1000U /* records at a time: 1 to 2 ms */
#define SHORT_N     5000U /* a trail as long as this is read at once */
#define SWEEP_PIECE 500U
#define KEEP_PART                                                                                  \
	10U /* one of so many goes when there are too many, so that not each new one makes another go */
#define DAY_NS       (86400 * BASE_NS_PER_S)
#define SETTLED_NS   DAY_NS /* that long the clock was not set before records are too old */
#define LOOK_S       60
#define LOOK_AGAIN_S 86400 /* when it could not be done */

struct model_trail_walk {
	struct model_later later;
	bool is_asked; /* later is there; otherwise it is the hub's own doing */
	struct model *model;
	struct event *timer;
	struct store_trail_walk walk;
	int (*done)(struct model_trail_walk *walk, json_t **result, struct model_error *error);
	LIST_ENTRY(model_trail_walk) link;
};

/* ---- walking ------------------------------------------------------------------------------------ */

static void walk_free(struct model_trail_walk *walk)
{
	LIST_REMOVE(walk, link);
	if (walk->is_asked)
		model__later_fini(&walk->later);
	if (walk->timer)
		event_free(walk->timer);
	free(walk);
}

static void look_again_in(struct model *model, long seconds)
{
	const struct timeval later = {seconds, 0};

	if (event_add(model->trail.look, &later) < 0)
		log_err("model", "audit trail: no timer");
}

/* What the hub did by itself has come to this. Takes result. */
static void kept(struct model *model, int err, json_t *result, const struct model_error *error)
{
	bool has_failed = err < 0 && err != -ESTALE;

	if (has_failed)
		log_err("model", "audit trail: not kept short: %s", error->text);
	json_decref(result);
	look_again_in(model, has_failed ? LOOK_AGAIN_S : LOOK_S);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval next_turn = {0, 0};
	struct model_trail_walk *walk = arg;
	struct model_error error = {0};
	json_t *result = NULL;
	int err = store_trail_walk(walk->model->setup.store, &walk->walk, PIECE);

	(void)fd;
	(void)what;
	if (err == 0 && !walk->walk.is_done) {
		event_add(walk->timer, &next_turn);
		return;
	}
	err = err < 0 ? model__refuse_store(walk->model, err, &error)
	              : walk->done(walk, &result, &error);
	if (walk->is_asked)
		model__later_answer(&walk->later, err, result, &error);
	else
		kept(walk->model, err, result, &error);
	walk_free(walk);
}

/* Caller: fills walk in. Returns NULL when memory is short. */
static struct model_trail_walk *walk_begin(struct model *model)
{
	static const struct timeval next_turn = {0, 0};
	struct model_trail_walk *walk = calloc(1, sizeof(*walk));

	if (!walk)
		return NULL;
	walk->model = model;
	walk->timer = evtimer_new(model->setup.base, on_turn, walk);
	LIST_INSERT_HEAD(&model->trail.walks, walk, link);
	if (!walk->timer || event_add(walk->timer, &next_turn) < 0) {
		walk_free(walk);
		return NULL;
	}
	return walk;
}

/* 1: there are so many records that they are walked later, 0, or -errno with error. */
static int is_long(struct model *model, struct model_error *error)
{
	uint64_t n, first_ns;
	int err = store_trail_size(model->setup.store, &n, &first_ns);

	return err < 0 ? model__refuse_store(model, err, error) : n > SHORT_N;
}

static int begin_later(struct model *model, const struct model_method *method, const json_t *params,
                       const struct store_trail_walk *until,
                       int (*done)(struct model_trail_walk *walk, json_t **result,
                                   struct model_error *error),
                       struct model_error *error)
{
	struct model_trail_walk *walk = walk_begin(model);

	if (!walk)
		return model__refuse(error, -ENOMEM, "failed", NULL, "not enough memory");
	walk->walk = *until;
	walk->done = done;
	walk->is_asked = true;
	model__later_init(&walk->later, model, method, params);
	return MODEL_LATER;
}

/* ---- audit.verify -------------------------------------------------------------------------------- */

/* The last record that was taken out, or null. */
static json_t *taken_out_json(const struct store_trail_verdict *verdict)
{
	return verdict->taken_out == 0
	               ? json_null()
	               : json_pack("{s:I, s:o}", "sequence", (json_int_t)verdict->taken_out, "hash",
	                           model__hash(verdict->taken_out_hash));
}

static json_t *verdict_json(const struct store_trail_verdict *verdict)
{
	return json_pack("{s:b, s:I, s:o, s:s?, s:o, s:o}", "failed", verdict->broken != 0,
	                 "records", (json_int_t)verdict->n_good, "broken",
	                 verdict->broken != 0 ? json_integer((json_int_t)verdict->broken)
	                                      : json_null(),
	                 "why", verdict->why, "hash", model__hash(verdict->hash), "taken_out",
	                 taken_out_json(verdict));
}

static int verify_done(struct model_trail_walk *walk, json_t **result, struct model_error *error)
{
	(void)error;
	*result = verdict_json(&walk->walk.verdict);
	return *result ? 0 : -ENOMEM;
}

int model__audit_verify_later(struct model *model, const struct model_method *method,
                              const json_t *params, struct model_error *error)
{
	static const struct store_trail_walk all = {0};
	int err = is_long(model, error);

	return err <= 0 ? err : begin_later(model, method, params, &all, verify_done, error);
}

int model__audit_verify(struct model *model, const json_t *params, json_t **result,
                        struct model_error *error)
{
	struct store_trail_verdict verdict;
	int err = store_trail_verify(model->setup.store, &verdict);

	(void)params;
	if (err < 0)
		return model__refuse_store(model, err, error);
	*result = verdict_json(&verdict);
	return 0;
}

/* ---- taking out ---------------------------------------------------------------------------------- */

/* Free what was taken out, bit by bit. */
static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval next_turn = {0, 0};
	struct model *model = arg;
	bool more;
	int err = store_trail_sweep(model->setup.store, SWEEP_PIECE, &more);

	(void)fd;
	(void)what;
	if (err < 0)
		log_err("model", "audit trail: not freed: %s", store_error(model->setup.store));
	else if (more)
		event_add(model->trail.sweep, &next_turn);
}

/* What was walked; changes nothing in memory. */
static int take_out(struct model *model, const struct store_trail_walk *walk, json_t **result,
                    struct model_error *error)
{
	static const struct timeval at_once = {0, 0};
	const struct store_trail_verdict *verdict = &walk->verdict;
	uint64_t last = verdict->taken_out + verdict->n_good;
	int err;

	if (verdict->broken != 0)
		return model__refuse(error, -EUCLEAN, "invalid", NULL,
		                     "record %llu: %s; nothing is taken out of a trail that is not "
		                     "as it was written",
		                     (unsigned long long)verdict->broken, verdict->why);
	if (verdict->n_good == 0)
		return model__refuse(error, -ENOENT, "not_found", NULL,
		                     "there are no records that old, or that many");
	err = store_trail_take_out(model->setup.store, walk);
	if (err == -ESTALE)
		return model__refuse(error, err, "busy", NULL,
		                     "others were taken out meanwhile; try again");
	if (err < 0)
		return model__refuse_store(model, err, error);
	event_add(model->trail.sweep, &at_once);
	*result = json_pack("{s:I, s:I, s:o}", "taken_out", (json_int_t)verdict->n_good, "sequence",
	                    (json_int_t)last, "hash", model__hash(verdict->hash));
	return *result ? 0 : -ENOMEM;
}

/* The last record that goes when this many of those there are stay; 0 = none does. */
static int last_beyond(struct model *model, uint64_t keep, uint64_t *last,
                       struct model_error *error)
{
	struct store_trail_walk start = {0};
	uint64_t n, first_ns;
	int err = store_trail_size(model->setup.store, &n, &first_ns);

	if (err == 0)
		err = store_trail_walk(model->setup.store, &start, 0);
	if (err < 0)
		return model__refuse_store(model, err, error);
	*last = n > keep ? start.verdict.taken_out + n - keep : 0;
	return 0;
}

/* Where a prune that was asked for is to stop. */
static int read_until(struct model *model, const json_t *params, struct store_trail_walk *out,
                      struct model_error *error)
{
	const char *before = json_string_value(json_object_get(params, "before"));
	const json_t *keep = json_object_get(params, "keep");
	uint64_t before_s = 0;
	int err;

	*out = (struct store_trail_walk){0};
	if (!before == !keep)
		return model__refuse(error, -EINVAL, "bad_argument", before ? "keep" : "before",
		                     "give either before or keep");
	if (before) {
		err = grant_time_parse(before, &before_s); /* was checked */
		if (err < 0 || before_s > base_time_wall_ns() / BASE_NS_PER_S)
			return model__refuse(error, -EINVAL, "bad_argument", "before",
			                     "before is %s, must be a time that has been", before);
		out->until_wall_ns = before_s * BASE_NS_PER_S;
		return 0;
	}
	err = last_beyond(model, (uint64_t)json_integer_value(keep), &out->until_sequence, error);
	if (err == 0 && out->until_sequence == 0)
		return model__refuse(error, -ENOENT, "not_found", NULL,
		                     "there are no records that old, or that many");
	return err;
}

int model__audit_prune(struct model *model, const json_t *params, json_t **result,
                       struct model_error *error)
{
	struct store_trail_walk walk;
	int err = read_until(model, params, &walk, error);

	while (err == 0 && !walk.is_done) {
		err = store_trail_walk(model->setup.store, &walk, PIECE);
		if (err < 0)
			return model__refuse_store(model, err, error);
	}
	return err < 0 ? err : take_out(model, &walk, result, error);
}

static int take_out_asked(void *arg, json_t **result, struct model_error *error)
{
	struct model_trail_walk *walk = arg;

	return take_out(walk->model, &walk->walk, result, error);
}

static int prune_done(struct model_trail_walk *walk, json_t **result, struct model_error *error)
{
	char summary[STORE_TRAIL_SUMMARY_LEN];

	model__trail_summarize(walk->later.method, walk->later.params, summary);
	return model__trail_later(&walk->later, summary, take_out_asked, walk, result, error);
}

int model__audit_prune_later(struct model *model, const struct model_method *method,
                             const json_t *params, struct model_error *error)
{
	struct store_trail_walk until;
	int err = is_long(model, error);

	if (err <= 0)
		return err;
	err = read_until(model, params, &until, error);
	return err < 0 ? err : begin_later(model, method, params, &until, prune_done, error);
}

/* ---- by itself ----------------------------------------------------------------------------------- */

static int keep_done(struct model_trail_walk *walk, json_t **result, struct model_error *error)
{
	return take_out(walk->model, &walk->walk, result, error);
}

/* Too many, or too old: where to stop. Of what is too old only when it is a day older, so once a day; and not
 * after a clock that was just set, or in the first day of control. */
static bool is_too_long(struct model *model, struct store_trail_walk *out)
{
	const struct config *config = model->setup.config;
	uint64_t keep = config->trail_records;
	uint64_t old_ns = config->trail_days * DAY_NS;
	uint64_t now_ns = base_time_wall_ns();
	uint64_t n, first_ns;
	struct model_error error;

	*out = (struct store_trail_walk){0};
	if (store_trail_size(model->setup.store, &n, &first_ns) < 0)
		return false;
	if (keep != 0 && n > keep)
		return last_beyond(model, keep - keep / KEEP_PART - 1, &out->until_sequence, &error)
		       == 0;
	if (old_ns == 0 || n == 0 || now_ns < old_ns + DAY_NS
	    || first_ns >= now_ns - old_ns - DAY_NS || !model__clock_is_settled(model, SETTLED_NS))
		return false;
	out->until_wall_ns = now_ns - old_ns;
	return true;
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct model *model = arg;
	struct model_trail_walk *walk;
	struct store_trail_walk until;

	(void)fd;
	(void)what;
	walk = is_too_long(model, &until) ? walk_begin(model) : NULL;
	if (!walk) {
		look_again_in(model, LOOK_S);
		return;
	}
	walk->walk = until;
	walk->done = keep_done; /* looks again */
}

int model__trail_keep_begin(struct model *model)
{
	static const struct timeval at_once = {0, 0};

	LIST_INIT(&model->trail.walks);
	model->trail.look = evtimer_new(model->setup.base, on_look, model);
	model->trail.sweep = evtimer_new(model->setup.base, on_sweep, model);
	if (!model->trail.look || !model->trail.sweep || event_add(model->trail.look, &at_once) < 0
	    || event_add(model->trail.sweep, &at_once) < 0)
		return -ENOMEM;
	return 0;
}

void model__trail_keep_end(struct model *model)
{
	while (!LIST_EMPTY(&model->trail.walks))
		walk_free(LIST_FIRST(&model->trail.walks));
	if (model->trail.look)
		event_free(model->trail.look);
	if (model->trail.sweep)
		event_free(model->trail.sweep);
}
