/* DPDK for a benchmark: no device but its own rings, buffers in large pages if there are some. */
#ifndef BENCH_EAL_H
#define BENCH_EAL_H

/* Start EAL on this CPU, with room for mb megabytes of buffers and rings. Once a process.
 * Returns 0, or -1 with a line on stderr. */
int bench_eal_start(unsigned int mb);

#endif
