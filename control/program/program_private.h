/* What the files of program share. program.c: life, desired state, commands, readings;
 * program_link.c: meeting the dataplane; program_event.c: events up; program_blob.c: whole tables;
 * program_report.c: what people want to see. */
#ifndef PROGRAM_PRIVATE_H
#define PROGRAM_PRIVATE_H

#include "abi_blob.h"
#include "abi_region.h"
#include "base_log.h"
#include "program.h"
#include "program_desired.h"
#include "program_finding.h"
#include "program_pipe.h"

#include <event2/event.h>

#define PROGRAM_GUESTS_MAX 4U

/* A connection whose hello is awaited, or is here and waits for program_start(). */
struct program_guest {
	struct program *program;
	struct event *event;
	int fd; /* -1 = free */
	uint32_t pid;
	bool greeted; /* said hello, has no region; answered by program_start() */
};

/* One kind of table that is handed over whole. */
struct program_blob {
	int fd; /* owned; -1 = none */
	uint64_t generation;
	uint64_t
		hash; /* abi_blob_hash() of it; 0 = none, or one whose content is not ours to know */
	bool is_due;  /* the attached dataplane has not been sent it */
	bool is_out;  /* sent_generation was, and its answer is awaited */
	uint64_t sent_generation;
	uint64_t answered_ns; /* when the last answer came */
};

struct program {
	struct event_base *base;
	struct program_setup setup;
	char *socket_path; /* what setup.socket_path points at */
	struct program_events events;
	struct program_desired desired;
	struct program_blob blobs[ABI_N_BLOBS];

	/* memory and descriptors, for this dataplane and the next */
	bool has_region;
	bool region_is_bad; /* a ring in it is corrupt: the next dataplane gets another */
	struct abi_region region;
	struct abi_fds fds; /* region is -1: see region.fd */

	/* meeting the dataplane */
	int listener;
	struct event *accept_event;
	struct program_guest guests[PROGRAM_GUESTS_MAX];
	int connection; /* -1 = none */
	uint32_t dataplane_pid;
	struct event *connection_event;
	struct event *attach_event; /* activated once the answer is out */
	bool is_attached;

	/* commands and events */
	struct program_pipe pipes[ABI_WORKERS_MAX];
	struct abi_ring_end event_rings[ABI_WORKERS_MAX];
	struct abi_ring_end report_rings[ABI_WORKERS_MAX];
	uint32_t next_ring; /* where the next turn of draining begins */
	struct event *flush_event;
	struct event *wake_event;
	struct event *again_event;
	struct event *second_event;
	struct base_log_limit bad_event_limit;
	struct program_drift *drift; /* NULL = not started */
};

/* ---- program.c */

/* Arm the flush timer when a pipe is busy. After every use of a pipe. */
void program__flush_later(struct program *program);

/* ---- program_link.c */

/* Returns 0 or -errno, with a line logged. */
int program__link_listen(struct program *program) __attribute__((warn_unused_result));
void program__link_close(struct program *program);
/* Let dataplanes in from the event loop, and answer those who wait. Returns 0 or -errno. */
int program__link_serve(struct program *program) __attribute__((warn_unused_result));
/* End the connection: detach. region_is_bad: a ring was found corrupt. */
void program__link_drop(struct program *program, bool region_is_bad);
/* Make the region and, once, the eventfd. Returns 0 or -errno. */
int program__link_make_region(struct program *program) __attribute__((warn_unused_result));

/* ---- program_blob.c */

void program__blob_init(struct program *program);
void program__blob_fini(struct program *program);
/* A dataplane has just attached: it gets all of them. */
void program__blob_attach(struct program *program);
/* Something can be read from the connection: answers, or its end. Returns 0, or -errno: drop it. */
int program__blob_receive(struct program *program) __attribute__((warn_unused_result));

/* Is another one of this kind under way, or was it at some time after since_ns? Then what a worker uses says
 * nothing. */
bool program__blob_is_moving(const struct program *program, enum abi_blob kind, uint64_t since_ns);
/* Does this worker use what is wanted? Returns true, or false and what is wrong. */
bool program__blob_compare(const struct program *program, enum abi_blob kind, uint32_t worker,
                           struct program_finding *finding);
/* Send it once more. */
void program__blob_repeat(struct program *program, enum abi_blob kind);

/* ---- program_event.c */

/* Returns 0 or -ENOMEM. */
int program__event_start(struct program *program) __attribute__((warn_unused_result));
void program__event_stop(struct program *program);
/* Take the ends of the event and report rings of a region that was just made or adopted. */
void program__event_open(struct program *program);
/* Call back for at most budget events. Returns how many there were, or -EPROTO. */
int program__event_drain(struct program *program, uint32_t budget)
	__attribute__((warn_unused_result));
/* Drain a turn, then sleep or come back soon. */
void program__event_turn(struct program *program);

/* ---- program_drift.c: answers to checks (each returns false when it is malformed), and the end */

bool program__drift_sums(struct program *program, uint32_t worker,
                         const struct abi_event_check_sums *event);
bool program__drift_entries(struct program *program, uint32_t worker,
                            const struct abi_event_check_entries *event);
bool program__drift_end(struct program *program, uint32_t worker,
                        const struct abi_event_check_end *event);
void program__drift_attached(struct program *program);
void program__drift_detached(struct program *program);
void program__drift_stop(struct program *program);

#endif
