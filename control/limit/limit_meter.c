/* Periods, and what passed in one. */
#include "limit.h"

#include <string.h>
#include <time.h>

static struct tm month_of(int64_t at_s)
{
	time_t at = at_s;
	struct tm tm = {0};

	gmtime_r(&at, &tm);
	return tm;
}

int64_t limit_period_start(int64_t now_s, uint32_t reset_day)
{
	struct tm now = month_of(now_s);
	struct tm start = {.tm_year = now.tm_year, .tm_mon = now.tm_mon, .tm_mday = (int)reset_day};

	if (now.tm_mday < (int)reset_day)
		start.tm_mon--; /* timegm() knows the month before January */
	return timegm(&start);
}

int64_t limit_period_end(int64_t start_s)
{
	struct tm end = month_of(start_s);

	end.tm_mon++;
	return timegm(&end);
}

/* A counter that is below what it was began anew: its peer went and came back. */
static uint64_t passed(uint64_t seen, uint64_t now)
{
	return now >= seen ? now - seen : now;
}

/* Another period is now. What was used in the one before stays with it. */
static void turn(struct limit_meter *meter, int64_t period_s)
{
	struct limit_use before = {meter->period_s, meter->rx, meter->tx};
	struct limit_use now = {.period_s = period_s};
	size_t at = 0;

	if (period_s < before.period_s)
		now = (struct limit_use){period_s, before.rx, before.tx};
	while (at < LIMIT_KEPT - 1 && meter->kept[at].period_s != period_s)
		at++;
	if (period_s != 0 && meter->kept[at].period_s == period_s)
		now = meter->kept[at];
	if (before.period_s
	    != 0) { /* into the place of this one, or of the one that was longest ago */
		memmove(&meter->kept[1], &meter->kept[0], at * sizeof(meter->kept[0]));
		meter->kept[0] = before;
	}
	meter->period_s = now.period_s;
	meter->rx = now.rx;
	meter->tx = now.tx;
}

bool limit_meter_look(struct limit_meter *meter, uint64_t epoch, uint64_t rx, uint64_t tx,
                      int64_t period_s)
{
	bool turned = period_s != meter->period_s;
	uint64_t rx_passed, tx_passed;

	if (meter->epoch != epoch) { /* another region: its counters began at nothing */
		meter->rx_seen = 0;
		meter->tx_seen = 0;
		meter->epoch = epoch;
	}
	rx_passed = passed(meter->rx_seen, rx);
	tx_passed = passed(meter->tx_seen, tx);
	if (turned)
		turn(meter, period_s);
	meter->rx += rx_passed;
	meter->tx += tx_passed;
	meter->rx_seen = rx;
	meter->tx_seen = tx;
	return turned || rx_passed != 0 || tx_passed != 0;
}

uint64_t limit_until(uint64_t quota, uint64_t used, uint64_t here)
{
	if (quota == 0)
		return ABI_QUOTA_NONE;
	return here + (quota > used ? quota - used : 0);
}

bool limit_is_reached(const struct limit_spec *spec, const struct limit_meter *meter)
{
	return (spec->quota_rx != 0 && meter->rx >= spec->quota_rx)
	       || (spec->quota_tx != 0 && meter->tx >= spec->quota_tx)
	       || (spec->quota != 0 && meter->rx + meter->tx >= spec->quota);
}

static uint32_t percent(uint64_t quota, uint64_t used)
{
	unsigned __int128 part = quota != 0 ? (unsigned __int128)used * 100 / quota : 0;

	return part < UINT32_MAX ? (uint32_t)part : UINT32_MAX;
}

uint32_t limit_used_percent(const struct limit_spec *spec, const struct limit_meter *meter)
{
	uint32_t most = percent(spec->quota, meter->rx + meter->tx);
	uint32_t rx = percent(spec->quota_rx, meter->rx);
	uint32_t tx = percent(spec->quota_tx, meter->tx);

	most = rx > most ? rx : most;
	return tx > most ? tx : most;
}
