/* Life of the module, the desired state, commands and readings. */
#include "base_bytes.h"
#include "program_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLUSH_BUDGET ABI_CMD_SLOTS /* commands a worker and turn */

/* ---- life ------------------------------------------------------------------------------------- */

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct program *program = arg;

	(void)fd;
	(void)what;
	for (uint32_t i = 0; i < program->region.n_workers && program->is_attached; i++) {
		struct program_pipe *pipe = &program->pipes[i];

		if (!pipe->open || program_pipe_flush(pipe, &program->desired, FLUSH_BUDGET) == 0)
			continue;
		log_err("program", "dataplane's command ring is corrupt, dropping it worker=%u", i);
		program__link_drop(program, true);
	}
	program__flush_later(program);
}

void program__flush_later(struct program *program)
{
	static const struct timeval millisecond = {0, 1000};
	bool busy = false;

	for (uint32_t i = 0; i < ABI_WORKERS_MAX; i++)
		busy = busy || program_pipe_is_busy(&program->pipes[i]);
	if (busy && !evtimer_pending(program->flush_event, NULL))
		event_add(program->flush_event, &millisecond);
}

static int init(struct program *program, struct event_base *base, const struct program_setup *setup,
                const struct program_events *events)
{
	int err;

	program->base = base;
	program->setup = *setup;
	program->events = *events;
	program->listener = -1;
	program->connection = -1;
	abi_fds_init(&program->fds);
	program__blob_init(program);
	for (uint32_t i = 0; i < PROGRAM_GUESTS_MAX; i++)
		program->guests[i] = (struct program_guest){.program = program, .fd = -1};

	program->socket_path = strdup(setup->socket_path);
	if (program->socket_path == NULL)
		return -ENOMEM;
	program->setup.socket_path = program->socket_path;
	err = program_desired_init(&program->desired, setup->n_peers);
	if (err != 0)
		return err;
	program->flush_event = evtimer_new(base, on_flush, program);
	if (program->flush_event == NULL)
		return -ENOMEM;
	return program__link_listen(program);
}

int program_create(struct event_base *base, const struct program_setup *setup,
                   const struct program_events *events, struct program **out)
{
	struct program *program;
	int err;

	if (setup->n_peers < 1 || setup->n_peers > ABI_PEERS_MAX || setup->dataplane.n_workers < 1
	    || setup->dataplane.n_workers > ABI_WORKERS_MAX
	    || setup->dataplane.n_ports > ABI_PORTS_MAX) {
		log_err("program",
		        "set-up is out of range peers=%u (1 to %u) workers=%u (1 to %u) ports=%u "
		        "(at most %u)",
		        setup->n_peers, ABI_PEERS_MAX, setup->dataplane.n_workers, ABI_WORKERS_MAX,
		        setup->dataplane.n_ports, ABI_PORTS_MAX);
		return -EINVAL;
	}
	program = calloc(1, sizeof(*program));
	if (program == NULL)
		return -ENOMEM;
	err = init(program, base, setup, events);
	if (err != 0) {
		program_destroy(program);
		return err;
	}
	*out = program;
	return 0;
}

/* Take TUN and TAPs over, or give them back, by exchanging them with none. */
static void exchange_devices(struct program *program, struct abi_fds *devices)
{
	struct abi_fds ours = program->fds;

	program->fds = *devices;
	program->fds.region = ours.region;
	program->fds.control_wake = ours.control_wake;
	memcpy(program->fds.worker_wake, ours.worker_wake, sizeof(ours.worker_wake));
	ours.region = devices->region;
	ours.control_wake = devices->control_wake;
	memcpy(ours.worker_wake, devices->worker_wake, sizeof(ours.worker_wake));
	*devices = ours;
}

int program_start(struct program *program, struct abi_fds *devices)
{
	int err = 0;

	if (!program->has_region)
		err = program__link_make_region(program);
	if (err == 0)
		err = program__event_start(program);
	if (err == 0 && devices != NULL)
		exchange_devices(program, devices);
	if (err == 0) {
		err = program__link_serve(program);
		if (err != 0 && devices != NULL)
			exchange_devices(program, devices);
	}
	if (err != 0)
		log_err("program", "cannot make the region or its events err=%s", strerror(-err));
	return err;
}

void program_destroy(struct program *program)
{
	if (program == NULL)
		return;
	program__drift_stop(program);
	program__link_close(program);
	program__event_stop(program);
	if (program->flush_event != NULL)
		event_free(program->flush_event);
	program__blob_fini(program);
	program_desired_fini(&program->desired);
	free(program->socket_path);
	free(program);
}

bool program_is_attached(const struct program *program)
{
	return program->is_attached;
}
