/* A policy by which everybody reaches everybody: what benches of the packet path hand their worker. */
#ifndef BENCH_OPEN_H
#define BENCH_OPEN_H

#include "state_blob.h"

/* Published as control's would be; NULL when memory is short. The process's for good. */
const struct state_blob *bench_open_policy(void);

#endif
