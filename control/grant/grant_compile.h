/* From the policy to what the workers' table is built from (dataplane/policy/policy_build.h): names
 * become numbers, time zones become intervals of UTC. */
#ifndef GRANT_COMPILE_H
#define GRANT_COMPILE_H

#include "grant_world.h"
#include "policy_build.h"

/* Windows are reckoned so far ahead: a control that dies leaves the workers with the right answer for
 * that long, and with a refusal behind it. */
#define GRANT_AHEAD_S (14 * 86400)
/* And anew after this time. */
#define GRANT_AGAIN_S 86400

/* Numbers that no grant has. */
#define GRANT_NUMBER_OPEN UINT32_MAX       /* hub.peer_to_peer allows it */
#define GRANT_NUMBER_HUB  (UINT32_MAX - 1) /* and two below: what the hub itself opens */

struct grant_compiled {
	struct policy_source source; /* for policy_build(); borrowed until fini */
	struct policy_peer *peers;
	struct policy_grant *grants;
	uint32_t *groups;              /* all peers' */
	struct policy_range *ranges;   /* all grants' */
	struct policy_window *windows; /* all grants' */
	size_t n_windows;
	uint64_t again_s; /* compile again by then; UINT64_MAX = no window to look after */
};

/* generation: not 0, not the last one's. Grants that name what is not there, or hold at no time within
 * GRANT_AHEAD_S, are left out: they match nothing. Returns 0, -ENOMEM, -E2BIG. Caller:
 * grant_compiled_fini(), also on error. */
int grant_compile(const struct grant_policy *policy, const struct grant_world *world,
                  uint64_t now_s, uint32_t generation, struct grant_compiled *out)
	__attribute__((warn_unused_result));
void grant_compiled_fini(struct grant_compiled *compiled);

#endif
