/* Time zones: the machine's tzdata files (RFC 8536), read once and kept. libc knows only one zone a
 * process, and setting TZ is not for a program with threads. */
#ifndef GRANT_ZONE_H
#define GRANT_ZONE_H

#include <stdint.h>

struct grant_zone;

/* By IANA name, "UTC" always; NULL when there is none, or its file cannot be read. Kept until the
 * process ends. Thread: control's main loop. */
const struct grant_zone *grant_zone_find(const char *name);

/* Seconds to add to UTC to get local time, at this time (seconds since 1970). *until_s gets the time
 * at which that may change, INT64_MAX = never; may be NULL. */
int32_t grant_zone_offset(const struct grant_zone *zone, int64_t time_s, int64_t *until_s);

#endif
