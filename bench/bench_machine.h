/* The machine as far as it explains a figure. */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

struct bench_machine {
	char cpu[64];
	double tsc_ghz;
	double clock_ratio; /* core cycles in a TSC cycle, now */
};

/* Pin the calling thread to the CPU it is on. Returns that CPU or -errno. */
int bench_machine_pin(void);

/* About 20 ms. */
void bench_machine_read(struct bench_machine *machine);

#endif
