/* Ring, queue and synchronisation of one worker. */
#include "program_pipe.h"

#include <errno.h>
#include <sys/eventfd.h>

void program_pipe_open(struct program_pipe *pipe, struct abi_ring_end ring, int wake_fd,
                       uint32_t worker, bool writes_routes)
{
	program_pipe_close(pipe);
	pipe->open = true;
	pipe->ring = ring;
	pipe->wake_fd = wake_fd;
	pipe->worker = worker;
	pipe->sync_due = true;
	pipe->without_routes = !writes_routes;
}

void program_pipe_close(struct program_pipe *pipe)
{
	program_queue_clear(&pipe->queue);
	*pipe = (struct program_pipe){0};
}

/* True when a command handed in now may go straight into the ring. */
static bool nothing_waits(const struct program_pipe *pipe)
{
	return pipe->queue.n == 0 && !pipe->syncing && !pipe->sync_due;
}

/* Push into the ring. Returns 0, -EAGAIN (full) or -EPROTO, and then the pipe is dead. */
static int push(struct program_pipe *pipe, uint16_t type, const void *payload, uint16_t len)
{
	bool wake = false;
	int err = abi_ring_push(&pipe->ring, type, payload, len, &wake);

	if (wake && pipe->wake_fd >= 0)
		(void)eventfd_write(pipe->wake_fd, 1); /* a full one wakes as well */
	if (err != 0 && err != -EAGAIN) {
		pipe->dead = true;
		return -EPROTO;
	}
	return err;
}

bool program_pipe_change(struct program_pipe *pipe, uint16_t type, const void *payload,
                         uint16_t len)
{
	if (!pipe->open || pipe->dead || pipe->sync_due) /* a synchronisation to come carries it */
		return false;
	if (nothing_waits(pipe)) {
		int err = push(pipe, type, payload, len);

		if (err != -EAGAIN)
			return err == 0;
	}
	if (pipe->queue.n < PROGRAM_QUEUE_MAX / 2
	    && program_queue_push(&pipe->queue, type, payload, len) == 0)
		return true;
	program_pipe_resync(pipe);
	return false;
}

void program_pipe_resync(struct program_pipe *pipe)
{
	if (!pipe->open || pipe->dead || pipe->sync_due)
		return;
	pipe->sync_due = true;
	pipe->n_before_sync = pipe->queue.n;
}

int program_pipe_send(struct program_pipe *pipe, uint16_t type, const void *payload, uint16_t len)
{
	if (!pipe->open || pipe->dead)
		return -ENOTCONN;
	if (nothing_waits(pipe)) {
		int err = push(pipe, type, payload, len);

		if (err != -EAGAIN)
			return err == 0 ? 0 : -ENOTCONN;
	}
	if (pipe->queue.n >= PROGRAM_QUEUE_MAX && type != ABI_CMD_SESSION_RETIRE)
		return -EAGAIN;
	return program_queue_push(&pipe->queue, type, payload, len);
}

bool program_pipe_is_busy(const struct program_pipe *pipe)
{
	return pipe->open && (pipe->dead || !nothing_waits(pipe));
}

/* A worker gives a record's slot back when it has applied the record. */
bool program_pipe_is_applied(const struct program_pipe *pipe)
{
	return pipe->open && !pipe->dead && nothing_waits(pipe) && abi_ring_depth(&pipe->ring) == 0;
}

/* One command of the synchronisation. Returns 0, -EAGAIN or -EPROTO. */
static int flush_sync(struct program_pipe *pipe, struct program_desired *desired)
{
	struct program_command command;

	if (!program_desired_at(desired, &pipe->cursor, &command)) {
		pipe->syncing = false;
		return 0;
	}

	int err = push(pipe, command.type, command.payload, command.len);

	if (err == 0)
		program_desired_said(desired, &pipe->cursor, &command);
	return err;
}

/* The oldest queued command. Returns 0, -EAGAIN or -EPROTO. */
static int flush_queue(struct program_pipe *pipe)
{
	struct program_queued oldest = program_queue_peek(&pipe->queue);
	int err = push(pipe, oldest.type, oldest.payload, oldest.len);

	if (err != 0)
		return err;
	program_queue_pop(&pipe->queue);
	if (pipe->sync_due)
		pipe->n_before_sync--;
	return 0;
}

int program_pipe_flush(struct program_pipe *pipe, struct program_desired *desired, uint32_t budget)
{
	int err = pipe->dead ? -EPROTO : 0;

	while (err == 0 && budget-- > 0) {
		if (pipe->syncing) {
			err = flush_sync(pipe, desired);
		} else if (pipe->sync_due && pipe->n_before_sync == 0) {
			pipe->sync_due = false;
			pipe->syncing = true;
			pipe->cursor = (struct program_cursor){
				.worker = pipe->worker,
				.without_routes = pipe->without_routes,
				.says_drops = true,
			};
		} else if (pipe->queue.n != 0) {
			err = flush_queue(pipe);
		} else {
			break;
		}
	}
	return err == -EAGAIN ? 0 : err;
}
