/* The way of commands to one worker: its ring, behind it a queue for what does not fit, and the
 * synchronisation, which walks the desired state instead of copying it into the queue.
 *
 * Order is kept: what is handed in first arrives first. A change of the desired state that comes
 * during a synchronisation is queued behind it, so that in the end the last change of each thing is
 * what the worker holds, whatever the walk met.
 *
 * The queue is bounded. When too much waits, changes are no longer queued: another synchronisation
 * is, and it will carry them. */
#ifndef PROGRAM_PIPE_H
#define PROGRAM_PIPE_H

#include "abi_ring.h"
#include "program_desired.h"
#include "program_queue.h"

#include <stdbool.h>
#include <stdint.h>

#define PROGRAM_QUEUE_MAX                                                                          \
	16384U /* messages beyond are refused; changes beyond half of it collapse */

/* Zero-initialized = closed. */
struct program_pipe {
	bool open;
	bool dead; /* the worker's ring is corrupt: nothing more goes out */
	struct abi_ring_end ring;
	int wake_fd; /* kicked when the worker sleeps; borrowed, -1 = it never does */
	struct program_queue queue;
	bool sync_due; /* a synchronisation waits behind n_before_sync queued commands */
	uint32_t n_before_sync;
	bool syncing; /* one is under way, at cursor */
	struct program_cursor cursor;
	uint32_t worker;
	bool without_routes;
};

/* Begin, with a synchronisation, to this worker. writes_routes: it is the one that gets the routes. */
void program_pipe_open(struct program_pipe *pipe, struct abi_ring_end ring, int wake_fd,
                       uint32_t worker, bool writes_routes);
/* End; what waits is wiped and lost. */
void program_pipe_close(struct program_pipe *pipe);

/* A change of the desired state, which the caller has made already. Cannot fail: at worst all is repeated. Returns false
 * when it is left to such a synchronisation, which says what there is and not what has gone in between: see
 * program_desired_peer_unsaid(). */
bool program_pipe_change(struct program_pipe *pipe, uint16_t type, const void *payload,
                         uint16_t len);

/* Repeat the whole desired state. */
void program_pipe_resync(struct program_pipe *pipe);

/* A command that is not part of the desired state. Returns 0, -ENOTCONN (closed or dead), -EAGAIN (too much waits; but
 * not for what retires a session: there are no more of them than sessions), -ENOMEM. */
int program_pipe_send(struct program_pipe *pipe, uint16_t type, const void *payload, uint16_t len)
	__attribute__((warn_unused_result));

/* Something waits, or the ring is dead and the caller should learn it: call program_pipe_flush(). */
bool program_pipe_is_busy(const struct program_pipe *pipe);

/* Everything handed in so far has been applied by the worker. */
bool program_pipe_is_applied(const struct program_pipe *pipe);

/* Move at most budget commands into the ring. Returns 0, or -EPROTO when the ring is dead. */
int program_pipe_flush(struct program_pipe *pipe, struct program_desired *desired, uint32_t budget)
	__attribute__((warn_unused_result));

#endif
