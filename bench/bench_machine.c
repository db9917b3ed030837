#include "bench_machine.h"

#include "base_time.h"
#include "bench_stats.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int bench_machine_pin(void)
{
	int cpu = sched_getcpu();
	cpu_set_t set;

	if (cpu < 0)
		return -errno;
	CPU_ZERO(&set);
	CPU_SET((unsigned int)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		return -errno;
	return cpu;
}

static void read_cpu_name(char *out, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[256];

	snprintf(out, size, "unknown CPU");
	if (file == NULL)
		return;
	while (fgets(line, sizeof(line), file) != NULL) {
		const char *value = strstr(line, ": ");

		if (strncmp(line, "model name", 10) != 0 || value == NULL)
			continue;
		snprintf(out, size, "%.*s", (int)strcspn(value + 2, "\n"), value + 2);
		break;
	}
	fclose(file);
}

static double measure_tsc_ghz(void)
{
	uint64_t start_ns = base_time_monotonic_ns();
	uint64_t start = bench_tsc();
	uint64_t ns;

	do {
		ns = base_time_monotonic_ns() - start_ns;
	} while (ns < 10 * BASE_NS_PER_MS);
	return (double)(bench_tsc() - start) / (double)ns;
}

/* A chain of multiplications, each waiting for the last: 3 core cycles each on every x86 that has
 * what we need, however fast the TSC counts meanwhile. The best of ten, as others may interrupt. */
static double measure_clock_ratio(void)
{
	const unsigned int n = 40000;
	double best = 0;

	for (unsigned int attempt = 0; attempt < 10; attempt++) {
		uint64_t x = 3;
		uint64_t start = bench_tsc();
		double ratio;

		for (unsigned int i = 0; i < n; i++)
			__asm__ volatile("imul %0, %0\n\timul %0, %0\n\timul %0, %0\n\timul %0, %0"
			                 : "+r"(x));
		ratio = 3.0 * 4 * n / (double)(bench_tsc() - start);
		best = ratio > best ? ratio : best;
	}
	return best;
}

void bench_machine_read(struct bench_machine *machine)
{
	read_cpu_name(machine->cpu, sizeof(machine->cpu));
	machine->tsc_ghz = measure_tsc_ghz();
	machine->clock_ratio = measure_clock_ratio();
}
