/* One process under the supervisor: found, started, watched, started again. */
#ifndef RUN_CHILDREN_H
#define RUN_CHILDREN_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct run_child {
	const char *program; /* "weir-control" */
	char path[PATH_MAX];
	pid_t pid;            /* 0 = does not run */
	int pidfd;            /* -1 = does not run */
	bool is_own;          /* our child, not one that was taken over */
	uint64_t start_ticks; /* of the process, by /proc: tells it from another with its pid */
	uint64_t started_ns;
	uint64_t start_at_ns; /* when to start it (again) */
	uint64_t backoff_ns;
};

void run_child_init(struct run_child *child, const char *program);

/* Where a program is: beside this one, in the build tree (../folder), or installed. Returns 0 or -1
 * with a line on standard error. */
int run_child_find(const char *folder, const char *program, char path[static PATH_MAX]);

/* Start it. Returns 0 or -1 with a line on standard error. */
int run_child_start(struct run_child *child, char *const argv[], uint64_t now_ns);

/* Take over a running process, if it is the one that was noted. Returns 0 or -1. */
int run_child_adopt(struct run_child *child, pid_t pid, uint64_t start_ticks);

/* After its pidfd said that it ended: collect it, and set when it is started again (10 ms, doubled
 * each time up to 1 s; 10 ms again after 1 s alive). how[size] gets "ended with exit code 1".
 * Returns true when it ended by itself with an exit code that is a refusal (1 or 2). */
bool run_child_reap(struct run_child *child, uint64_t now_ns, char *how, size_t size);

/* Forget a process that was told to end. */
void run_child_drop(struct run_child *child);

/* Send a signal to exactly this process; nothing when it does not run. */
void run_child_signal(struct run_child *child, int number);

#endif
