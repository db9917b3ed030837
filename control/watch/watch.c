/* Life of the module, and the drops that are kept. */
#include "watch.h"

#include "base_time.h"
#include "program.h"
#include "watch_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define TAKE_BUDGET ABI_REPORT_SLOTS /* reports of each worker at a time */

static const struct timeval take_interval = {0, 250 * 1000};
static const struct timeval flush_interval = {10, 0};

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct watch *watch = arg;

	(void)fd;
	(void)what;
	program_reports_take(watch->setup.program, TAKE_BUDGET);
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	watch__log_flush(arg, base_time_monotonic_ns());
}

int watch_create(const struct watch_setup *setup, struct watch **out)
{
	struct watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return -ENOMEM;
	watch->setup = *setup;
	watch->before = base_time_wall_ns() / BASE_NS_PER_US;
	watch->newest = watch->before;
	watch->newest_event = watch->before;
	watch->n_pairs = program_n_drop_pairs(setup->program);
	for (uint32_t i = 0; i < program_n_workers(setup->program); i++) {
		watch->pairs[i] = calloc(watch->n_pairs, sizeof(*watch->pairs[i]));
		if (!watch->pairs[i])
			goto fail;
	}
	watch->timer = event_new(setup->base, -1, EV_PERSIST, on_timer, watch);
	watch->flush = event_new(setup->base, -1, EV_PERSIST, on_flush, watch);
	if (!watch->timer || !watch->flush || event_add(watch->timer, &take_interval) < 0
	    || event_add(watch->flush, &flush_interval) < 0)
		goto fail;
	*out = watch;
	return 0;
fail:
	watch_destroy(watch);
	return -ENOMEM;
}

void watch_destroy(struct watch *watch)
{
	if (!watch)
		return;
	watch__capture_end(watch, "control ends");
	watch__flows_end(watch);
	if (watch->timer)
		event_free(watch->timer);
	if (watch->flush)
		event_free(watch->flush);
	for (uint32_t i = 0; i < ABI_WORKERS_MAX; i++)
		free(watch->pairs[i]);
	free(watch);
}

static int take_count(void *arg, const struct program_drops *drops)
{
	struct watch *watch = arg;

	watch->pairs[drops->worker][drops->place].logged = drops->count;
	return 0;
}

/* What an earlier control has logged, or not, is not ours to say again. */
void watch_attached(struct watch *watch)
{
	if (watch->knows_counts)
		return;
	watch->knows_counts = true;
	program_drops_each(watch->setup.program, take_count, watch);
}

/* The same moment on the other clock. */
uint64_t watch__wall_of(uint64_t monotonic_ns, uint64_t now_ns)
{
	uint64_t wall_ns = base_time_wall_ns();

	return monotonic_ns <= now_ns ? wall_ns - (now_ns - monotonic_ns) : wall_ns;
}

void watch_drop_in(struct watch *watch, uint32_t worker, const struct abi_report_drop *drop)
{
	uint64_t now_ns = base_time_monotonic_ns();
	struct watch_drop *kept = &watch->kept[(watch->newest + 1) % WATCH_KEPT];
	char buf[16];

	*kept = (struct watch_drop){
		.number = ++watch->newest,
		.wall_ns = watch__wall_of(drop->time_ns, now_ns),
		.worker = worker,
		.drop = *drop,
	};
	snprintf(kept->peer, sizeof(kept->peer), "%s",
	         watch_peer(watch->setup.peers, drop->peer, buf));
	watch__log_drop(watch, kept, now_ns);
}

uint64_t watch__number_after(const struct watch *watch, uint64_t number, uint64_t newest,
                             uint32_t n_kept)
{
	uint64_t n = newest - watch->before; /* ever, not only kept */
	uint64_t oldest = n > n_kept ? newest - n_kept + 1 : watch->before + 1;
	uint64_t next = number + 1 > oldest ? number + 1 : oldest;

	return next <= newest ? next : 0;
}

uint64_t watch_drop_newest(struct watch *watch)
{
	program_reports_take(watch->setup.program, TAKE_BUDGET);
	return watch->newest;
}

const struct watch_drop *watch_drop_after(struct watch *watch, uint64_t number)
{
	uint64_t next = watch__number_after(watch, number, watch_drop_newest(watch), WATCH_KEPT);

	return next ? &watch->kept[next % WATCH_KEPT] : NULL;
}
