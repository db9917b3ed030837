/* When an alarm is raised, and when it is over. */
#include "alarm.h"

static bool is_late(const struct alarm_sight *sight, uint64_t after_ns)
{
	if (sight->expected_ns <= after_ns) /* it has yet to have its chance */
		return false;
	return sight->heard == ALARM_HEARD_NEVER || sight->age_ns > after_ns;
}

enum alarm_news alarm_look(bool is_raised, const struct alarm_sight *sight, uint64_t stale_after_ns)
{
	if (!sight->is_expected)
		return is_raised ? ALARM_ENDED : ALARM_NOTHING;
	if (is_raised)
		return sight->heard == ALARM_HEARD_NOW
		                       && sight->age_ns <= stale_after_ns - stale_after_ns / 6
		               ? ALARM_UP
		               : ALARM_NOTHING;
	if (!is_late(sight, stale_after_ns))
		return ALARM_NOTHING;
	return sight->heard == ALARM_HEARD_NEVER ? ALARM_NEVER : ALARM_STALE;
}

const char *alarm_news_text(enum alarm_news news)
{
	static const char *const texts[] = {
		[ALARM_NOTHING] = "nothing", [ALARM_STALE] = "stale", [ALARM_NEVER] = "never",
		[ALARM_UP] = "up",           [ALARM_ENDED] = "ended",
	};

	return texts[news];
}
