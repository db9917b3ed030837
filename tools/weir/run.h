/* What the supervisor's files share. */
#ifndef RUN_H
#define RUN_H

#include "run_children.h"
#include "run_probe.h"
#include "run_upgrade.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

enum { RUN_CONTROL = 0, RUN_DATAPLANE = 1, RUN_N_CHILDREN = 2 };

struct run {
	const char *config_path;
	char run_dir[PATH_MAX / 4];
	char control_socket[PATH_MAX];
	char dataplane_socket[PATH_MAX];
	char user[64];
	int lock_fd;
	int signal_fd;
	struct run_child children[RUN_N_CHILDREN];
	struct run_probe probe;
	struct run_upgrade upgrade;
	bool is_ready;
	bool is_stopping;
	bool has_started;    /* control, at least once: it may have left something */
	uint64_t kill_at_ns; /* while stopping */
	int exit_code;
};

/* Start child, which is number i's program: control as the one that takes over from another, if asked for.
 * Returns 0 or -1 with a line on standard error. */
int run_start(struct run *run, struct run_child *child, int i, bool takes_over);

/* Write down who runs, for the next supervisor. */
void run_note(struct run *run);

#endif
