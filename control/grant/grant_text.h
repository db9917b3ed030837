/* The whole policy as text, in libconfig's syntax:
 *
 *   groups: (
 *           { name = "office"; members = [ "desk", "laptop" ]; comment = "the people there"; }
 *   );
 *   grants: (
 *           { name = "web"; who = "group:office"; to = "peer:app"; protocol = "tcp";
 *             ports = [ "443", "8000-8080" ]; windows = [ "mon-fri 08:00-18:00 Europe/Berlin" ];
 *             from = "2026-12-01T00:00:00Z"; until = "2027-01-01T00:00:00Z";
 *             comment = "...", author = "root"; }
 *   );
 *
 * The same policy gives the same text, byte for byte: groups, members and grants by name, ports
 * ascending, keys in this order, what is not set left out. */
#ifndef GRANT_TEXT_H
#define GRANT_TEXT_H

#include "grant.h"

#include <stdio.h>

/* Returns 0 or -errno of writing (-ENOMEM to a memory stream). */
int grant_write(const struct grant_policy *policy, FILE *out) __attribute__((warn_unused_result));

/* One object without its end of line, for differences. */
void grant_write_one(const struct grant *grant, FILE *out);
void grant_write_group(const struct grant_group *group, FILE *out);

/* Read a text into an uninitialized policy: sorted, each value good by itself, names unique; whether
 * they name anything is for grant_check(). Unknown keys are refused, and so is @include.
 * Returns 0, -EINVAL, -EEXIST, -ENOSPC, -ENOMEM with error, whose line is where; then *out is empty.
 * Caller: grant_policy_fini(). */
int grant_read(const char *text, struct grant_policy *out, struct grant_error *error)
	__attribute__((warn_unused_result));

/* What of a new policy differs from the old one, for people: lines that begin with "+ " (new) or "- "
 * (gone); a changed one is there as both, the old one first. */
struct grant_difference {
	uint32_t n_added;
	uint32_t n_removed;
	uint32_t n_changed;
};
struct grant_difference grant_diff(const struct grant_policy *from, const struct grant_policy *to,
                                   FILE *out);

#endif
