/* A ring of events. */
#include "watch_event.h"

#include "base_time.h"
#include "watch_private.h"

#include <stdarg.h>
#include <stdio.h>

void watch_event_add(struct watch *watch, const char *kind, const char *what, const char *peer,
                     const char *format, ...)
{
	struct watch_event *event;
	va_list args;

	if (!watch)
		return;
	event = &watch->events[++watch->newest_event % WATCH_EVENTS];
	*event = (struct watch_event){
		.number = watch->newest_event,
		.wall_ns = base_time_wall_ns(),
		.kind = kind,
		.what = what,
	};
	snprintf(event->peer, sizeof(event->peer), "%s", peer);
	va_start(args, format);
	vsnprintf(event->text, sizeof(event->text), format, args);
	va_end(args);
	if (watch->on_event)
		watch->on_event(watch->on_event_arg, event);
}

void watch_on_event(struct watch *watch, watch_event_fn *fn, void *arg)
{
	watch->on_event = fn;
	watch->on_event_arg = arg;
}

uint64_t watch_event_newest(const struct watch *watch)
{
	return watch->newest_event;
}

const struct watch_event *watch_event_after(const struct watch *watch, uint64_t number)
{
	uint64_t next = watch__number_after(watch, number, watch->newest_event, WATCH_EVENTS);

	return next ? &watch->events[next % WATCH_EVENTS] : NULL;
}
