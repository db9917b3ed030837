/* Before what else runs on the machine. */
#ifndef BASE_PRIORITY_H
#define BASE_PRIORITY_H

#include <errno.h>
#include <sys/resource.h>

#define BASE_PRIORITY_NICE (-10)

/* This thread, and those that it starts from here on, go first: rings of packets are full in milliseconds. For
 * control as well as for the dataplane: a worker that never sleeps would leave it a tenth of a shared CPU, and
 * routes of a million networks came in after 25 s instead of 6.
 * Only where workers sleep when there is nothing to do; who lets them poll has set cores apart, or nothing else would
 * ever run on these. Returns 0 or -errno: -EACCES where it may not, which does no harm. */
static inline int base_priority_raise(void)
{
	return setpriority(PRIO_PROCESS, 0, BASE_PRIORITY_NICE) == 0 ? 0 : -errno;
}

#endif
