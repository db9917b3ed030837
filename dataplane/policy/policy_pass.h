/* What the ways of passing plain frames share; see policy_pass.c. */
#ifndef POLICY_PASS_H
#define POLICY_PASS_H

#include "policy_flow_private.h"

/* With AVX-512 F, BW, DQ, VL and VBMI: may run only where the CPU has them. The same as in plain C, frame
 * by frame. */
extern const struct flow_kernel flow__kernel_avx512;

#endif
