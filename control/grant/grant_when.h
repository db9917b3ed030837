/* When a grant holds. */
#ifndef GRANT_WHEN_H
#define GRANT_WHEN_H

#include "grant.h"

struct grant_interval {
	uint64_t from_s;  /* since 1970 */
	uint64_t until_s; /* > from_s, does not belong to it; UINT64_MAX = for ever */
};

/* Does it hold now? Looks at the clocks of its zones. */
bool grant_holds(const struct grant *grant, uint64_t now_s);

/* Does time matter to it at all? */
bool grant_is_timed(const struct grant *grant);

/* The times from begin_s to before end_s at which it holds, ascending and apart, into out[max]. A
 * grant without windows gives its own from and until, whole. An hour that the clocks leave out is left
 * out, one that they show twice counts twice. Returns their number, or -E2BIG, -EINVAL (a zone is not
 * known here any more). */
int grant_intervals(const struct grant *grant, uint64_t begin_s, uint64_t end_s,
                    struct grant_interval *out, size_t max) __attribute__((warn_unused_result));

#endif
