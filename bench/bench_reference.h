/* The yardstick: ipsec-mb's job API as its documentation shows it, IMB_GET_NEXT_JOB(), fill,
 * IMB_SUBMIT_JOB_NOCHECK(), one packet after the other, nothing around it. Written apart from
 * dataplane/aead, so that a change there cannot move the yardstick. */
#ifndef BENCH_REFERENCE_H
#define BENCH_REFERENCE_H

#include "aead.h"

struct bench_reference;

/* Returns 0, -ENOTSUP (no ipsec-mb on this CPU) or -ENOMEM. */
int bench_reference_create(struct bench_reference **out) __attribute__((warn_unused_result));
void bench_reference_destroy(struct bench_reference *reference);

/* As aead_seal() and aead_open(); verdicts are written likewise. n <= AEAD_BURST_MAX. */
void bench_reference_seal(struct bench_reference *reference, struct aead_op *ops, unsigned int n);
void bench_reference_open(struct bench_reference *reference, struct aead_op *ops, unsigned int n);

#endif
