#include "model_clock.h"

#include "base_log.h"
#include "base_time.h"
#include "model_block.h"
#include "model_method.h"
#include "model_peer.h"
#include "model_table.h"

#include <errno.h>
#include <event2/event.h>

static const struct timeval interval = {1, 0};

static bool is_step(int64_t step_ns)
{
	return step_ns >= MODEL_CLOCK_STEP_NS || step_ns <= -MODEL_CLOCK_STEP_NS;
}

bool model_clock_look(struct model_clock *clock, uint64_t monotonic_ns, uint64_t wall_ns,
                      int64_t *step_ns)
{
	int64_t ahead_ns = (int64_t)(wall_ns - monotonic_ns);
	bool was_set;

	*step_ns = clock->has_begun ? ahead_ns - clock->ahead_ns : 0;
	was_set = is_step(*step_ns);
	if (was_set || !clock->has_begun)
		clock->since_ns = monotonic_ns;
	clock->has_begun = true;
	clock->ahead_ns = ahead_ns;
	return was_set;
}

bool model_clock_is_settled(const struct model_clock *clock, uint64_t monotonic_ns,
                            uint64_t wall_ns, uint64_t for_ns)
{
	int64_t ahead_ns = (int64_t)(wall_ns - monotonic_ns);

	return clock->has_begun && !is_step(ahead_ns - clock->ahead_ns)
	       && monotonic_ns - clock->since_ns >= for_ns;
}

bool model__clock_is_settled(const struct model *model, uint64_t for_ns)
{
	return model_clock_is_settled(&model->clock, base_time_monotonic_ns(), base_time_wall_ns(),
	                              for_ns);
}

/* Grants by their times, drop lists by their ends, certificates by their validity. */
static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct model *model = arg;
	int64_t step_ns;

	(void)fd;
	(void)what;
	if (!model_clock_look(&model->clock, base_time_monotonic_ns(), base_time_wall_ns(),
	                      &step_ns))
		return;
	log_warn("clock",
	         "the wall clock was set: grants, drop lists and certificates are looked "
	         "at again seconds=%+lld",
	         (long long)(step_ns / (int64_t)BASE_NS_PER_S));
	model__table_refresh(model);
	model__block_changed(model);
	model__services_again(model);
}

int model__clock_begin(struct model *model, struct model_error *error)
{
	int64_t none;

	(void)model_clock_look(&model->clock, base_time_monotonic_ns(), base_time_wall_ns(), &none);
	model->clock_timer = event_new(model->setup.base, -1, EV_PERSIST, on_look, model);
	if (model->clock_timer && event_add(model->clock_timer, &interval) == 0)
		return 0;
	return model__refuse(error, -ENOMEM, "failed", NULL, "not enough memory");
}

void model__clock_end(struct model *model)
{
	if (model->clock_timer)
		event_free(model->clock_timer);
}
