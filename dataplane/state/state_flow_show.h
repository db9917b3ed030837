/* Showing control the flows of this worker: its table, walked in slices between bursts. Flows come and go
 * meanwhile: one that stood all the time is shown once, others may be missed. */
#ifndef STATE_FLOW_SHOW_H
#define STATE_FLOW_SHOW_H

#include "abi_layout.h"

#include <stdbool.h>
#include <stdint.h>

struct state;

/* All zero: none is under way. */
struct state_flow_show {
	uint64_t token; /* 0 = none */
	uint64_t next_ns;
	uint32_t peer;  /* of the policy, see is_all */
	uint32_t limit; /* flows still to be told */
	uint32_t place; /* next in the table */
	uint32_t n_flows;
	bool is_all;
};

/* Begin; what is under way ends. Returns 0 or -EINVAL. */
int state_flow_show_begin(struct state *st, const struct abi_cmd_flows *cmd)
	__attribute__((warn_unused_result));

/* Go on with it. is_busy: the turn moved packets, so less is done. Returns true when there is more to do:
 * do not sleep. A full ring is waited for, and that is no reason to stay awake. */
bool state_flow_show_step(struct state *st, bool is_busy);

#endif
