/* What is legal and yet suspicious in a policy. */
#ifndef GRANT_LINT_H
#define GRANT_LINT_H

#include "grant_world.h"

enum grant_severity {
	GRANT_INFO = 0,
	GRANT_WARNING = 1,
	GRANT_ERROR = 2,
};

/* One finding: rule is a literal such as "any-any". */
struct grant_finding {
	enum grant_severity severity;
	const char *rule;
	const char *kind; /* "grant", "group" */
	const char *name; /* borrowed from the policy */
	int line;
	char text[300];
};

/* Call fn for each finding, grants first, in the order of their names. Returns what fn returned when
 * it was not 0, 0, or -ENOMEM. */
typedef int grant_lint_fn(void *arg, const struct grant_finding *finding);
int grant_lint(const struct grant_policy *policy, const struct grant_world *world, uint64_t now_s,
               grant_lint_fn *fn, void *arg) __attribute__((warn_unused_result));

#define GRANT_WIDE_PORTS 1000 /* a range of more is worth a warning */

#endif
