/* What the ways of passing plain frames share; see policy_pass.c. */
#ifndef POLICY_PASS_H
#define POLICY_PASS_H

#include "policy_flow_private.h"

/* With AVX-512 F, BW, DQ, VL and VBMI: may run only where the CPU has them. The same as in plain C, frame
 * by frame. */
uint64_t flow__pass_avx512(struct policy_flow *flow, const struct flow_moment *now,
                           const struct policy_frame *frames, struct policy_flow_result *results,
                           uint32_t n);

#endif
