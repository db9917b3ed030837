/* Windows by the clocks of a zone, as intervals of UTC. Between two changes of a zone its clocks run
 * evenly, so each stretch is reckoned by itself. */
#include "grant_when.h"

#include "grant_zone.h"

#include <errno.h>
#include <stdlib.h>

#define DAY_S 86400

/* Day 0, 1970-01-01, was a Thursday. */
static bool has_day(const struct grant_window *window, int64_t day)
{
	return window->days >> ((day % 7 + 7 + 3) % 7) & 1;
}

static int64_t day_of(int64_t local_s)
{
	return local_s >= 0 ? local_s / DAY_S : -((-local_s + DAY_S - 1) / DAY_S);
}

static bool window_holds(const struct grant_window *window, uint64_t now_s)
{
	const struct grant_zone *zone = grant_zone_find(window->zone);
	int64_t local_s, day, minute;

	if (!zone)
		return false;
	local_s = (int64_t)now_s + grant_zone_offset(zone, (int64_t)now_s, NULL);
	day = day_of(local_s);
	minute = (local_s - day * DAY_S) / 60;
	if (window->until_min > window->from_min)
		return has_day(window, day) && minute >= window->from_min
		       && minute < window->until_min;
	return (has_day(window, day) && minute >= window->from_min)
	       || (has_day(window, day - 1) && minute < window->until_min);
}

bool grant_is_timed(const struct grant *grant)
{
	return grant->from_s != 0 || grant->until_s != 0 || grant->n_windows > 0;
}

bool grant_holds(const struct grant *grant, uint64_t now_s)
{
	if (now_s < grant->from_s || (grant->until_s != 0 && now_s >= grant->until_s))
		return false;
	if (grant->n_windows == 0)
		return true;
	for (uint32_t i = 0; i < grant->n_windows; i++)
		if (window_holds(&grant->windows[i], now_s))
			return true;
	return false;
}

/* ---- intervals ---------------------------------------------------------------------------------- */

struct list {
	struct grant_interval *out;
	size_t n;
	size_t max;
};

static int list_add(struct list *list, int64_t from_s, int64_t until_s)
{
	if (from_s >= until_s)
		return 0;
	if (list->n == list->max)
		return -E2BIG;
	list->out[list->n].from_s = (uint64_t)from_s;
	list->out[list->n++].until_s = (uint64_t)until_s;
	return 0;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* A window's intervals in a stretch with one offset. */
static int add_stretch(struct list *list, const struct grant_window *window, int32_t offset,
                       int64_t begin_s, int64_t end_s)
{
	int64_t len_s = (window->until_min - window->from_min) * 60;
	int err = 0;

	if (len_s <= 0)
		len_s += DAY_S;
	for (int64_t day = day_of(begin_s + offset) - 1; day <= day_of(end_s + offset) && err == 0;
	     day++) {
		int64_t from_s = day * DAY_S + window->from_min * 60 - offset;

		if (has_day(window, day))
			err = list_add(list, later(from_s, begin_s), sooner(from_s + len_s, end_s));
	}
	return err;
}

static int add_window(struct list *list, const struct grant_window *window, int64_t begin_s,
                      int64_t end_s)
{
	const struct grant_zone *zone = grant_zone_find(window->zone);
	int err = 0;

	if (!zone)
		return -EINVAL;
	while (begin_s < end_s && err == 0) {
		int64_t until_s;
		int32_t offset = grant_zone_offset(zone, begin_s, &until_s);

		until_s = sooner(until_s, end_s);
		err = add_stretch(list, window, offset, begin_s, until_s);
		begin_s = until_s;
	}
	return err;
}

static int compare(const void *a, const void *b)
{
	const struct grant_interval *x = a;
	const struct grant_interval *y = b;

	return x->from_s < y->from_s ? -1 : x->from_s > y->from_s;
}

/* Sort, and join what touches or overlaps. */
static void list_join(struct list *list)
{
	size_t kept = 0;

	if (list->n == 0)
		return;
	qsort(list->out, list->n, sizeof(*list->out), compare);
	for (size_t i = 1; i < list->n; i++) {
		if (list->out[i].from_s > list->out[kept].until_s)
			list->out[++kept] = list->out[i];
		else if (list->out[i].until_s > list->out[kept].until_s)
			list->out[kept].until_s = list->out[i].until_s;
	}
	list->n = kept + 1;
}

int grant_intervals(const struct grant *grant, uint64_t begin_s, uint64_t end_s,
                    struct grant_interval *out, size_t max)
{
	struct list list = {.out = out, .max = max};
	uint64_t until_s = grant->until_s ? grant->until_s : UINT64_MAX;
	int err = 0;

	if (grant->n_windows == 0) {
		if (max == 0)
			return -E2BIG;
		out[0].from_s = grant->from_s;
		out[0].until_s = until_s;
		return 1;
	}
	if (begin_s < grant->from_s)
		begin_s = grant->from_s;
	if (end_s > until_s)
		end_s = until_s;
	for (uint32_t i = 0; i < grant->n_windows && err == 0; i++)
		err = add_window(&list, &grant->windows[i], (int64_t)begin_s, (int64_t)end_s);
	list_join(&list);
	return err < 0 ? err : (int)list.n;
}
