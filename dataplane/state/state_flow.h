/* The flow table of a worker (policy_flow.h): its memory, and how large its parts are. */
#ifndef STATE_FLOW_H
#define STATE_FLOW_H

#include "policy_flow.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATE_FLOWS_DEFAULT (UINT32_C(1) << 16)

struct state;

/* Make it, empty, with room for n_flows (0 = STATE_FLOWS_DEFAULT). resumes: this dataplane goes on with
 * sessions of an earlier one, so their flows are picked up for a while. used: abi_region_used(), written as
 * long as there are flows; NULL = nobody reads it. Pages that no flow needs are not touched. Returns 0, -EINVAL (too many), -ENOMEM, -errno. */
int state_flow_create(struct state *st, uint32_t n_flows, uint64_t *used, bool resumes)
	__attribute__((warn_unused_result));
void state_flow_destroy(struct state *st);

/* For policy_flow_lead(): where inner addresses lead, to the hub or to a peer, as in_accept() has found it. */
#define state_flow_lead(st) ((uint64_t)(st)->addresses.generation << 32 | (st)->routes_seen)

#endif
