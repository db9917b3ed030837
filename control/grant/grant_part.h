/* The parts of a grant as text: "peer:laptop", "8000-8080", "mon-fri 08:00-18:00 Europe/Berlin",
 * "2026-12-24T12:00:00Z". Each parser reads exactly what its formatter writes and a little more;
 * returns 0 or -EINVAL, and GRANT_..._MUST says what it takes. */
#ifndef GRANT_PART_H
#define GRANT_PART_H

#include "grant.h"

#define GRANT_NAME_MUST  "1 to 63 of the characters a-z 0-9 -, not beginning or ending with -"
#define GRANT_WHO_MUST   "\"peer:NAME\", \"group:NAME\", \"subnet:NETWORK\" or \"any\""
#define GRANT_TO_MUST    "\"peer:NAME\", \"group:NAME\", \"subnet:NETWORK\", \"hub\" or \"any\""
#define GRANT_PROTO_MUST "\"tcp\", \"udp\", \"icmp\" or \"any\""
#define GRANT_PORT_MUST                                                                            \
	"a port or a range of ports from 1 to 65535, such as \"443\" or \"8000-8080\""
#define GRANT_WINDOW_MUST                                                                          \
	"days, times and a time zone, such as \"mon-fri 08:00-18:00 Europe/Berlin\""
#define GRANT_TIME_MUST "a time such as \"2026-12-24T12:00:00Z\" or \"2026-12-24T12:00:00+01:00\""
#define GRANT_TEXT_MUST "up to 200 bytes of text in one line"

bool grant_name_is_good(const char *text);
/* One line of UTF-8 without control characters, at most max bytes. */
bool grant_text_is_good(const char *text, size_t max);

/* is_who: a subject, which cannot be the hub. */
int grant_party_parse(const char *text, bool is_who, struct grant_party *out)
	__attribute__((warn_unused_result));
#define GRANT_PARTY_STRLEN (CONFIG_NAME_LEN + BASE_PREFIX_STRLEN)
const char *grant_party_format(const struct grant_party *party, char *buf);

int grant_protocol_parse(const char *text, enum grant_protocol *out)
	__attribute__((warn_unused_result));
const char *grant_protocol_format(enum grant_protocol protocol); /* a literal */

int grant_range_parse(const char *text, struct grant_range *out)
	__attribute__((warn_unused_result));
#define GRANT_RANGE_STRLEN 12
const char *grant_range_format(const struct grant_range *range, char *buf);
/* Sort, and join ranges that touch or overlap. Returns the new number. */
uint32_t grant_ranges_join(struct grant_range *ranges, uint32_t n);

/* The zone must be known on this machine. */
int grant_window_parse(const char *text, struct grant_window *out)
	__attribute__((warn_unused_result));
#define GRANT_WINDOW_STRLEN 100
const char *grant_window_format(const struct grant_window *window, char *buf);

/* Seconds since 1970, 1 and more. RFC 3339 with an offset. */
int grant_time_parse(const char *text, uint64_t *out) __attribute__((warn_unused_result));
#define GRANT_TIME_STRLEN 32
const char *grant_time_format(uint64_t time_s, char *buf);

#endif
