/* The supervisor's side of `weir upgrade`: it is asked over a UNIX socket in the run directory, and replaces the
 * programs that it runs by others, one after the other.
 *
 *   check      both programs say their versions (--versions), and so do those that run: what does not fit is
 *              refused with both versions named, and nothing was touched
 *   control    a second one is started, which takes over from the first (control/takeover); when it answers
 *              for itself, it is the one that is watched, and the first ends in its own time
 *   dataplane  is ended, and the new one started: it resumes the sessions. When it does not become ready,
 *              the one before is started again
 *
 * The request is a line "both|control|dataplane DIRECTORY" (no directory: where weir is, or as installed); the
 * answer are lines that begin with "+ " (what happens), and at last one with "= " (done) or "! " (not done). */
#ifndef RUN_UPGRADE_H
#define RUN_UPGRADE_H

#include "run_children.h"
#include "run_probe.h"

#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUN_UPGRADE_SOCKET  "run.sock" /* in the run directory */
#define RUN_UPGRADE_LEAVING 4 /* controls that were taken over from and serve their last clients */
#define RUN_UPGRADE_POLLS   (4 + RUN_UPGRADE_LEAVING)

struct run;

enum run_upgrade_state {
	RUN_UPGRADE_IDLE = 0,
	RUN_UPGRADE_CONTROL = 1,   /* the new one comes up */
	RUN_UPGRADE_STOPPING = 2,  /* the dataplane ends */
	RUN_UPGRADE_DATAPLANE = 3, /* the new one comes up */
};

struct run_upgrade {
	int listener; /* -1 = none */
	int client;   /* -1 = nobody is told */
	size_t len;
	char line[PATH_MAX + 32]; /* the request, so far */
	enum run_upgrade_state state;
	bool wants_dataplane;
	char paths[2][PATH_MAX];  /* of the new programs, by RUN_CONTROL and RUN_DATAPLANE */
	char before[PATH_MAX];    /* of the dataplane that was ended */
	struct run_child control; /* the new one, until it is ready */
	struct run_child leaving[RUN_UPGRADE_LEAVING];
	struct run_probe probe;
	uint64_t begin_ns;
	uint64_t until_ns;
};

void run_upgrade_init(struct run_upgrade *upgrade);
/* Listen in the run directory. Without it the hub runs all the same, hence only a line on standard error. */
void run_upgrade_listen(struct run *run);
void run_upgrade_fini(struct run *run);
/* Control and leaving were taken over from an earlier supervisor, as far as they live: go on from there. The dataplane
 * is left as it is: who asked knows that the upgrade was not finished. */
void run_upgrade_resume(struct run *run, uint64_t now_ns);

/* What to wait for, and until when at the latest (UINT64_MAX = no matter). */
void run_upgrade_polls(const struct run *run, struct pollfd fds[static RUN_UPGRADE_POLLS]);
uint64_t run_upgrade_due_ns(const struct run *run);
/* Go on with what is under way; fds as polled. */
void run_upgrade_turn(struct run *run, const struct pollfd fds[static RUN_UPGRADE_POLLS],
                      uint64_t now_ns);

/* Child i is being replaced: it is not to be started again, but by the upgrade. */
bool run_upgrade_holds(const struct run *run, int i);
/* Child i has ended, and was collected. */
void run_upgrade_ended(struct run *run, int i, uint64_t now_ns);

/* End those that only this knows; and have all ended? */
void run_upgrade_signal(struct run *run, int number);
bool run_upgrade_is_over(const struct run *run);

#endif
