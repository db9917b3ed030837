/* Between the files of kernel: which raw interfaces have a guard (guard.h). */
#ifndef KERNEL_DEVICE_H
#define KERNEL_DEVICE_H

#include <stddef.h>

/* Write down that interface has a guard: by the time it is to go, the configuration may name others.
 * run_dir "" = nowhere. Returns 0 or -errno. */
int kernel__guard_note(const char *run_dir, const char *interface)
	__attribute__((warn_unused_result));
/* Clear all guards that are written down, and forget them. Returns 0 or the first -errno, and then
 * they stay written. */
int kernel__guard_clear_noted(const char *run_dir) __attribute__((warn_unused_result));

#endif
