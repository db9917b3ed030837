#include "bench_eal.h"

#include <rte_eal.h>
#include <rte_errno.h>

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Are so many megabytes of large pages (of 2 MB) free? */
static bool hugepages_free(unsigned int mb)
{
	FILE *file = fopen("/proc/meminfo", "re");
	unsigned int n = 0;
	char line[128];

	if (file == NULL)
		return false;
	while (fgets(line, sizeof(line), file) != NULL
	       && sscanf(line, "HugePages_Free: %u", &n) != 1)
		;
	fclose(file);
	return n * 2 >= mb;
}

int bench_eal_start(unsigned int mb)
{
	char core[16], megabytes[16];
	bool use_huge = hugepages_free(mb);
	char *args[] = {(char[]){"weir-bench"},
	                (char[]){"--no-pci"},
	                (char[]){"--no-telemetry"},
	                (char[]){"--iova-mode=va"},
	                (char[]){"--log-level=error"},
	                (char[]){"-l"},
	                core,
	                use_huge ? (char[]){"--in-memory"} : (char[]){"--no-huge"},
	                (char[]){"-m"}, /* from here on without large pages only */
	                megabytes,
	                NULL};

	snprintf(core, sizeof(core), "%d", sched_getcpu());
	snprintf(megabytes, sizeof(megabytes), "%u", mb + 24); /* EAL's own */
	if (rte_eal_init(use_huge ? 8 : 10, args) >= 0)
		return 0;
	fprintf(stderr, "weir-bench: DPDK does not start: %s\n", strerror(rte_errno));
	return -1;
}
