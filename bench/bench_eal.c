#include "bench_eal.h"

#include "base_hugepage.h"

#include <rte_eal.h>
#include <rte_errno.h>

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MEGABYTE (UINT64_C(1) << 20)

int bench_eal_start(unsigned int mb)
{
	char core[16], megabytes[16];
	int lock = base_hugepage_lock(BASE_HUGEPAGE_PATIENCE_MS);
	bool use_huge = base_hugepage_free_len() >= mb * MEGABYTE;
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
	int r;

	snprintf(core, sizeof(core), "%d", sched_getcpu());
	snprintf(megabytes, sizeof(megabytes), "%u", mb + 24); /* EAL's own */
	r = rte_eal_init(use_huge ? 8 : 10, args);
	if (r < 0)
		fprintf(stderr, "weir-bench: DPDK does not start: %s\n", strerror(rte_errno));
	if (lock >= 0)
		close(lock);
	return r < 0 ? -1 : 0;
}
