/* Work that would hold the main loop for too long: a thread that does one job after the other, in the order
 * in which they were submitted, and gives each back to the loop.
 *
 * Thread: the main loop, all functions; only run() of a job is called in the thread. */
#ifndef WORK_H
#define WORK_H

#include <sys/queue.h>

struct event_base;
struct work;
struct work_job;

typedef void work_fn(struct work_job *job);

/* The first member of what it is to work on. From work_submit() until done or drop it is the thread's: the loop
 * looks at nothing that run() writes, and changes nothing that run() reads. */
struct work_job {
	work_fn *run;  /* in the thread */
	work_fn *done; /* on the loop, after run(): the job is the caller's again */
	work_fn *
		drop; /* on the loop, instead of done(): the work has ended, with or without run() */
	STAILQ_ENTRY(work_job) link;
};

/* base is borrowed until work_destroy(). Returns 0 or -errno. */
int work_create(struct event_base *base, struct work **out) __attribute__((warn_unused_result));
/* Waits for the job that is being run, and drops all that are not done; NULL is fine. */
void work_destroy(struct work *work);

void work_submit(struct work *work, struct work_job *job);

#endif
