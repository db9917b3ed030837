/* Parts of a grant as text, in both directions. */
#include "grant_part.h"

#include "base_bytes.h"
#include "base_text.h"
#include "grant_zone.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- names and texts ---------------------------------------------------------------------------- */

bool grant_name_is_good(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len >= CONFIG_NAME_LEN || text[0] == '-' || text[len - 1] == '-')
		return false;
	return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

bool grant_text_is_good(const char *text, size_t max)
{
	const unsigned char *at = (const unsigned char *)text;

	if (strlen(text) > max)
		return false;
	while (*at != '\0') {
		size_t len = base_utf8_len((const char *)at);

		/* U+0080 to U+009F are control characters too. */
		if (len == 0 || *at < 0x20 || *at == 0x7f || (at[0] == 0xc2 && at[1] < 0xa0))
			return false;
		at += len;
	}
	return true;
}

/* ---- parties ------------------------------------------------------------------------------------ */

/* What stands behind the prefix, or NULL. */
static const char *behind(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

int grant_party_parse(const char *text, bool is_who, struct grant_party *out)
{
	const char *peer = behind(text, "peer:");
	const char *group = behind(text, "group:");
	const char *subnet = behind(text, "subnet:");
	const char *name = peer ? peer : group;

	memset(out, 0, sizeof(*out));
	if (name) {
		out->kind = peer ? GRANT_PEER : GRANT_GROUP;
		if (!grant_name_is_good(name))
			return -EINVAL;
		snprintf(out->name, sizeof(out->name), "%s", name);
		return 0;
	}
	if (subnet) {
		out->kind = GRANT_SUBNET;
		if (base_prefix_parse(subnet, &out->subnet) < 0 || out->subnet.len == 0)
			return -EINVAL;
		return base_prefix_mask(&out->subnet) ? -EINVAL : 0;
	}
	if (strcmp(text, "any") == 0) {
		out->kind = GRANT_ANY;
		return 0;
	}
	out->kind = GRANT_HUB;
	return !is_who && strcmp(text, "hub") == 0 ? 0 : -EINVAL;
}

const char *grant_party_format(const struct grant_party *party, char *buf)
{
	char prefix[BASE_PREFIX_STRLEN];

	switch (party->kind) {
	case GRANT_PEER:
		snprintf(buf, GRANT_PARTY_STRLEN, "peer:%s", party->name);
		break;
	case GRANT_GROUP:
		snprintf(buf, GRANT_PARTY_STRLEN, "group:%s", party->name);
		break;
	case GRANT_SUBNET:
		snprintf(buf, GRANT_PARTY_STRLEN, "subnet:%s",
		         base_prefix_format(&party->subnet, prefix));
		break;
	case GRANT_HUB:
		snprintf(buf, GRANT_PARTY_STRLEN, "hub");
		break;
	case GRANT_ANY:
		snprintf(buf, GRANT_PARTY_STRLEN, "any");
		break;
	}
	return buf;
}

/* ---- protocol and ports ------------------------------------------------------------------------- */

static const char *const protocols[] = {
	[GRANT_ANY_PROTOCOL] = "any",
	[GRANT_TCP] = "tcp",
	[GRANT_UDP] = "udp",
	[GRANT_ICMP] = "icmp",
};

int grant_protocol_parse(const char *text, enum grant_protocol *out)
{
	for (size_t i = 0; i < BASE_ARRAY_LEN(protocols); i++) {
		if (strcmp(text, protocols[i]) != 0)
			continue;
		*out = (enum grant_protocol)i;
		return 0;
	}
	return -EINVAL;
}

const char *grant_protocol_format(enum grant_protocol protocol)
{
	return protocols[protocol];
}

/* A number from min to max without sign or leading zeros (but "0" and, with two_digits, "08").
 * Returns what stands behind it, or NULL. */
static const char *read_number(const char *text, bool two_digits, unsigned int max,
                               unsigned int *out)
{
	size_t n = strspn(text, "0123456789");

	if (n == 0 || n > 5 || (two_digits ? n != 2 : n > 1 && text[0] == '0'))
		return NULL;
	*out = (unsigned int)strtoul(text, NULL, 10);
	return *out <= max ? text + n : NULL;
}

int grant_range_parse(const char *text, struct grant_range *out)
{
	unsigned int first = 0;
	unsigned int last;
	const char *end = read_number(text, false, UINT16_MAX, &first);

	last = first;
	if (end && *end == '-')
		end = read_number(end + 1, false, UINT16_MAX, &last);
	if (!end || *end != '\0' || first == 0 || last < first)
		return -EINVAL;
	out->first = (uint16_t)first;
	out->last = (uint16_t)last;
	return 0;
}

const char *grant_range_format(const struct grant_range *range, char *buf)
{
	if (range->first == range->last)
		snprintf(buf, GRANT_RANGE_STRLEN, "%u", range->first);
	else
		snprintf(buf, GRANT_RANGE_STRLEN, "%u-%u", range->first, range->last);
	return buf;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct grant_range *x = a;
	const struct grant_range *y = b;

	return x->first != y->first ? x->first - y->first : x->last - y->last;
}

uint32_t grant_ranges_join(struct grant_range *ranges, uint32_t n)
{
	uint32_t kept = 0;

	if (n == 0)
		return 0;
	qsort(ranges, n, sizeof(*ranges), compare_ranges);
	for (uint32_t i = 1; i < n; i++) {
		if ((uint32_t)ranges[i].first > (uint32_t)ranges[kept].last + 1)
			ranges[++kept] = ranges[i];
		else if (ranges[i].last > ranges[kept].last)
			ranges[kept].last = ranges[i].last;
	}
	return kept + 1;
}

/* ---- windows ------------------------------------------------------------------------------------ */

static const char *const day_names[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

static int read_day(const char *text)
{
	for (int i = 0; i < 7; i++)
		if (strncmp(text, day_names[i], 3) == 0)
			return i;
	return -1;
}

/* "mon-fri,sun"; a range may go over the weekend. Returns what stands behind it, or NULL. */
static const char *read_days(const char *text, uint8_t *days)
{
	for (*days = 0;; text++) {
		int first = read_day(text);
		int last = first;

		if (first < 0)
			return NULL;
		text += 3;
		if (*text == '-') {
			last = read_day(text + 1);
			text += 4;
		}
		if (last < 0)
			return NULL;
		for (int day = first;; day = (day + 1) % 7) {
			*days |= (uint8_t)(1U << day);
			if (day == last)
				break;
		}
		if (*text != ',')
			return text;
	}
}

/* "08:00", up to 24:00 */
static const char *read_minute(const char *text, uint16_t *out)
{
	unsigned int hour, minute;

	text = read_number(text, true, 24, &hour);
	if (!text || *text != ':')
		return NULL;
	text = read_number(text + 1, true, 59, &minute);
	if (!text || hour * 60 + minute > 1440)
		return NULL;
	*out = (uint16_t)(hour * 60 + minute);
	return text;
}

int grant_window_parse(const char *text, struct grant_window *out)
{
	memset(out, 0, sizeof(*out));
	text = read_days(text, &out->days);
	if (!text || *text != ' ')
		return -EINVAL;
	text = read_minute(text + 1, &out->from_min);
	if (!text || *text != '-' || out->from_min == 1440)
		return -EINVAL;
	text = read_minute(text + 1, &out->until_min);
	if (!text || *text != ' ' || strlen(text + 1) >= sizeof(out->zone))
		return -EINVAL;
	snprintf(out->zone, sizeof(out->zone), "%s", text + 1);
	return grant_zone_find(out->zone) ? 0 : -EINVAL;
}

/* Days as runs, the week from Monday. */
static size_t write_days(uint8_t days, char *buf)
{
	size_t len = 0;

	for (int day = 0; day < 7; day++) {
		int last = day;

		if (!(days & 1U << day))
			continue;
		while (last < 6 && (days & 2U << last))
			last++;
		len += (size_t)sprintf(buf + len, "%s%s", len ? "," : "", day_names[day]);
		if (last > day)
			len += (size_t)sprintf(buf + len, "%s%s", last > day + 1 ? "-" : ",",
			                       day_names[last]);
		day = last;
	}
	return len;
}

const char *grant_window_format(const struct grant_window *window, char *buf)
{
	size_t len = write_days(window->days, buf); /* at most 27 */

	snprintf(buf + len, GRANT_WINDOW_STRLEN - len, " %02d:%02d-%02d:%02d %s",
	         window->from_min / 60, window->from_min % 60, window->until_min / 60,
	         window->until_min % 60, window->zone);
	return buf;
}

/* ---- times -------------------------------------------------------------------------------------- */

/* "Z", "+01:00", "-03:30" as seconds. */
static int read_offset(const char *text, long *out)
{
	unsigned int hours, minutes;
	bool west = *text == '-';

	*out = 0;
	if (strcmp(text, "Z") == 0)
		return 0;
	if (*text != '+' && !west)
		return -EINVAL;
	text = read_number(text + 1, true, 23, &hours);
	if (!text || *text != ':')
		return -EINVAL;
	text = read_number(text + 1, true, 59, &minutes);
	if (!text || *text != '\0')
		return -EINVAL;
	*out = ((long)hours * 3600 + (long)minutes * 60) * (west ? -1 : 1);
	return 0;
}

int grant_time_parse(const char *text, uint64_t *out)
{
	static const char pattern[] = "0000-00-00T00:00:00";
	struct tm tm = {0};
	struct tm again;
	time_t time;
	long offset;

	for (size_t i = 0; i < sizeof(pattern) - 1; i++) {
		bool digit = text[i] >= '0' && text[i] <= '9';

		if (pattern[i] == '0' ? !digit : text[i] != pattern[i])
			return -EINVAL;
	}
	if (!strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) || tm.tm_sec > 59
	    || read_offset(text + sizeof(pattern) - 1, &offset) < 0)
		return -EINVAL;
	again = tm;
	time = timegm(&again);
	if (again.tm_mday != tm.tm_mday || time - offset <= 0) /* February 30 */
		return -EINVAL;
	*out = (uint64_t)(time - offset);
	return 0;
}

const char *grant_time_format(uint64_t time_s, char *buf)
{
	time_t time = (time_t)time_s;
	struct tm tm;

	gmtime_r(&time, &tm);
	strftime(buf, GRANT_TIME_STRLEN, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return buf;
}
