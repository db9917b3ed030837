/* TZif files: the second, 64-bit part, and the rule behind it for times after the last entry. */
#include "grant_zone.h"

#include "base_bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIRECTORY  "/usr/share/zoneinfo"
#define FILE_MAX   (256 * 1024)
#define NAME_MAX_  48
#define HEADER_LEN 44
#define DAY_S      86400

/* When a year's summer time begins or ends: the day'th weekday of the week'th week of the month. */
struct change {
	int month; /* 1..12 */
	int week;  /* 1..5, 5 = last */
	int day;   /* 0 = Sunday */
	int32_t time_s;
};

/* Behind the last entry: "CET-1CEST,M3.5.0,M10.5.0/3". */
struct rule {
	bool known;
	bool has_summer;
	int32_t offset;
	int32_t summer_offset;
	struct change begin;
	struct change end;
};

struct grant_zone {
	struct grant_zone *next;
	char name[NAME_MAX_];
	int32_t first;    /* offset before the first entry */
	size_t n;         /* entries */
	int64_t *times;   /* [n], ascending */
	int32_t *offsets; /* [n], from that time on */
	struct rule rule;
};

static struct grant_zone *zones; /* of the main loop */

/* ---- the rule ----------------------------------------------------------------------------------- */

static const char *skip_name(const char *text)
{
	if (*text == '<') {
		text = strchr(text, '>');
		return text ? text + 1 : NULL;
	}
	while ((*text >= 'A' && *text <= 'Z') || (*text >= 'a' && *text <= 'z'))
		text++;
	return text;
}

/* [+-]h[h[h]][:mm[:ss]] as seconds. */
static const char *read_time(const char *text, int32_t *out)
{
	int32_t unit = 3600;
	bool minus = *text == '-';

	*out = 0;
	if (*text == '-' || *text == '+')
		text++;
	for (; unit > 0; unit /= 60) {
		char *end;
		long value = strtol(text, &end, 10);

		if (end == text || value < 0 || value > 167)
			return NULL;
		*out += (int32_t)value * unit;
		text = end;
		if (*text != ':')
			break;
		text++;
	}
	*out = minus ? -*out : *out;
	return text;
}

/* ",M3.5.0/2". The other two forms (days of the year) no zone uses today. */
static const char *read_change(const char *text, struct change *out)
{
	int len = 0;

	out->time_s = 2 * 3600;
	if (!text || sscanf(text, ",M%2d.%1d.%1d%n", &out->month, &out->week, &out->day, &len) != 3
	    || len == 0 || out->month < 1 || out->month > 12 || out->week < 1 || out->week > 5
	    || out->day > 6)
		return NULL;
	text += len;
	return *text == '/' ? read_time(text + 1, &out->time_s) : text;
}

static void read_rule(const char *text, struct rule *out)
{
	int32_t west;

	memset(out, 0, sizeof(*out));
	text = skip_name(text);
	text = text ? read_time(text, &west) : NULL;
	if (!text)
		return;
	out->offset = -west;
	out->known = true;
	if (*text == '\0')
		return;
	out->summer_offset = out->offset + 3600;
	text = skip_name(text);
	if (text && *text != ',' && *text != '\0') {
		text = read_time(text, &west);
		out->summer_offset = -west;
	}
	text = read_change(text, &out->begin);
	text = read_change(text, &out->end);
	out->known = out->has_summer = text && *text == '\0';
}

/* Days from 1970 to the first of a month. */
static int64_t days_to(int64_t year, int month)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* The change of a year as local time in seconds since 1970. */
static int64_t change_in(const struct change *change, int64_t year)
{
	int64_t first = days_to(year, change->month);
	int64_t next = change->month == 12 ? days_to(year + 1, 1)
	                                   : days_to(year, change->month + 1);
	int64_t weekday = ((first + 4) % 7 + 7) % 7;
	int64_t day = first + (change->day - weekday + 7) % 7 + 7 * (change->week - 1);

	while (day >= next)
		day -= 7;
	return day * DAY_S + change->time_s;
}

static int64_t year_of(int64_t time_s)
{
	int64_t year = 1970 + time_s / (365 * DAY_S + DAY_S / 4);

	while (days_to(year, 1) * DAY_S > time_s)
		year--;
	while (days_to(year + 1, 1) * DAY_S <= time_s)
		year++;
	return year;
}

static int32_t rule_offset(const struct rule *rule, int64_t time_s, int64_t *until_s)
{
	int64_t year = year_of(time_s);
	int64_t last = INT64_MIN;
	bool summer = false;

	*until_s = INT64_MAX;
	if (!rule->has_summer)
		return rule->offset;
	/* The changes of the years around, in UTC: the last one before time_s decides. */
	for (int64_t y = year - 1; y <= year + 1; y++) {
		for (int end = 0; end < 2; end++) {
			int64_t at = change_in(end ? &rule->end : &rule->begin, y)
			             - (end ? rule->summer_offset : rule->offset);

			if (at <= time_s && at > last) {
				last = at;
				summer = !end;
			}
			if (at > time_s && at < *until_s)
				*until_s = at;
		}
	}
	return summer ? rule->summer_offset : rule->offset;
}

/* ---- the file ----------------------------------------------------------------------------------- */

/* Counts in a header, in the file's order. */
struct counts {
	uint32_t isut, isstd, leap, time, type, chars;
};

static bool read_header(const uint8_t *data, size_t len, struct counts *out)
{
	if (len < HEADER_LEN || memcmp(data, "TZif", 4) != 0 || data[4] < '2')
		return false;
	out->isut = base_load_be32(data + 20);
	out->isstd = base_load_be32(data + 24);
	out->leap = base_load_be32(data + 28);
	out->time = base_load_be32(data + 32);
	out->type = base_load_be32(data + 36);
	out->chars = base_load_be32(data + 40);
	return out->isut < FILE_MAX && out->isstd < FILE_MAX && out->leap < FILE_MAX
	       && out->time < FILE_MAX && out->type > 0 && out->type <= 256
	       && out->chars < FILE_MAX;
}

static size_t body_len(const struct counts *counts, size_t time_len)
{
	return counts->time * (time_len + 1) + counts->type * 6 + counts->chars
	       + counts->leap * (time_len + 4) + counts->isstd + counts->isut;
}

static bool read_entries(struct grant_zone *zone, const uint8_t *data, const struct counts *counts)
{
	const uint8_t *kinds = data + counts->time * 8;
	const uint8_t *types = kinds + counts->time;

	zone->n = counts->time;
	zone->times = calloc(zone->n + 1, sizeof(*zone->times));
	zone->offsets = calloc(zone->n + 1, sizeof(*zone->offsets));
	if (!zone->times || !zone->offsets)
		return false;
	zone->first = (int32_t)base_load_be32(types);
	for (size_t i = 0; i < zone->n; i++) {
		if (kinds[i] >= counts->type)
			return false;
		zone->times[i] = (int64_t)base_load_be64(data + i * 8);
		zone->offsets[i] = (int32_t)base_load_be32(types + kinds[i] * 6U);
		if (i > 0 && zone->times[i] <= zone->times[i - 1])
			return false;
	}
	return true;
}

/* data ends with a zero byte that len does not count. */
static bool read_zone(struct grant_zone *zone, const uint8_t *data, size_t len)
{
	struct counts counts;
	size_t skip;
	char *footer, *end;

	if (!read_header(data, len, &counts))
		return false;
	skip = HEADER_LEN + body_len(&counts, 4);
	if (skip > len || !read_header(data + skip, len - skip, &counts))
		return false;
	data += skip + HEADER_LEN;
	len -= skip + HEADER_LEN;
	skip = body_len(&counts, 8);
	if (skip + 2 > len || data[skip] != '\n' || !read_entries(zone, data, &counts))
		return false;
	footer = strndup((const char *)data + skip + 1, len - skip - 1);
	if (!footer)
		return false;
	end = strchr(footer, '\n');
	if (end)
		*end = '\0';
	read_rule(footer, &zone->rule);
	free(footer);
	return end != NULL;
}

static bool load(struct grant_zone *zone)
{
	char path[sizeof(DIRECTORY) + NAME_MAX_ + 1];
	uint8_t *data = malloc(FILE_MAX);
	ssize_t len = -1;
	bool good;
	int fd;

	snprintf(path, sizeof(path), DIRECTORY "/%s", zone->name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && data)
		len = read(fd, data, FILE_MAX - 1);
	if (fd >= 0)
		close(fd);
	good = len > 0 && len < FILE_MAX - 1;
	if (good) {
		data[len] = '\0';
		good = read_zone(zone, data, (size_t)len);
	}
	free(data);
	return good;
}

/* Letters, digits, '_', '+', '-', '/', '.': but no way out of the directory. */
static bool is_zone_name(const char *name)
{
	size_t len = strlen(name);
	size_t good = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	                           "_+-/");

	return len > 0 && len < NAME_MAX_ && good == len && name[0] != '/' && name[len - 1] != '/';
}

const struct grant_zone *grant_zone_find(const char *name)
{
	struct grant_zone *zone;

	for (zone = zones; zone; zone = zone->next)
		if (strcmp(zone->name, name) == 0)
			return zone;
	if (!is_zone_name(name))
		return NULL;
	zone = calloc(1, sizeof(*zone));
	if (!zone)
		return NULL;
	snprintf(zone->name, sizeof(zone->name), "%s", name);
	if (strcmp(name, "UTC") == 0)
		zone->rule.known = true;
	else if (!load(zone)) {
		free(zone->times);
		free(zone->offsets);
		free(zone);
		return NULL;
	}
	zone->next = zones;
	zones = zone;
	return zone;
}

int32_t grant_zone_offset(const struct grant_zone *zone, int64_t time_s, int64_t *until_s)
{
	int64_t until = INT64_MAX;
	int32_t offset = zone->first;
	size_t low = 0;
	size_t high = zone->n;

	while (low < high) { /* the first entry behind time_s */
		size_t middle = low + (high - low) / 2;

		if (zone->times[middle] <= time_s)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < zone->n) {
		until = zone->times[low];
		offset = low > 0 ? zone->offsets[low - 1] : zone->first;
	} else if (zone->rule.known) {
		offset = rule_offset(&zone->rule, time_s, &until);
	} else if (zone->n > 0) {
		offset = zone->offsets[zone->n - 1];
	}
	if (until_s)
		*until_s = until;
	return offset;
}
