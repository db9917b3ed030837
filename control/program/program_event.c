/* Events of the workers: woken by the eventfd, checked, and passed to main.c's callbacks. */
#include "base_bytes.h"
#include "base_time.h"
#include "program_private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define TURN_BUDGET 256U /* events a turn, so that the main loop gets round to everything else */

/* ---- one event -------------------------------------------------------------------------------- */

static void refuse(struct program *program, uint32_t worker, const struct abi_record *record)
{
	uint32_t left_out;

	if (base_log_limit_pass(&program->bad_event_limit, base_time_monotonic_ns(), &left_out))
		log_warn("program",
		         "event from the dataplane is malformed, ignored worker=%u type=%u len=%u "
		         "left_out=%u",
		         worker, record->type, record->len, left_out);
}

static bool is_session(const struct program *program, uint32_t worker, uint32_t index,
                       uint32_t peer)
{
	return peer < program->region.n_peers
	       && (index == ABI_INDEX_NONE || abi_index_worker(index) == worker);
}

static bool deliver_handshake(struct program *program, uint32_t worker, const uint8_t *payload)
{
	struct abi_event_handshake event;

	memcpy(&event, payload, sizeof(event));
	if (event.len == 0 || event.len > sizeof(event.message))
		return false;
	if (program->events.handshake != NULL)
		program->events.handshake(program->events.arg, worker, &event);
	return true;
}

static bool deliver_session(struct program *program, uint32_t worker, uint16_t type,
                            const uint8_t *payload)
{
	const struct program_events *events = &program->events;
	struct abi_event_session event;

	memcpy(&event, payload, sizeof(event));
	if (!is_session(program, worker, event.index, event.peer))
		return false;
	if (type == ABI_EVENT_SESSION_CONFIRMED && events->session_confirmed != NULL)
		events->session_confirmed(events->arg, event.index, event.peer);
	if (type == ABI_EVENT_SESSION_WANTED && events->session_wanted != NULL)
		events->session_wanted(events->arg, event.peer, event.index);
	if (type == ABI_EVENT_REKEY_DUE && events->rekey_due != NULL)
		events->rekey_due(events->arg, event.peer, event.index);
	return true;
}

static bool deliver_endpoint(struct program *program, uint32_t worker, const uint8_t *payload)
{
	struct abi_event_endpoint event;

	memcpy(&event, payload, sizeof(event));
	if (!is_session(program, worker, event.index, event.peer))
		return false;
	if (program->events.endpoint_moved != NULL)
		program->events.endpoint_moved(program->events.arg, &event);
	return true;
}

static bool deliver_neighbour(struct program *program, const uint8_t *payload)
{
	struct abi_event_neighbour event;

	memcpy(&event, payload, sizeof(event));
	if (event.port >= program->setup.dataplane.n_ports || base_ip_len(event.ip.family) == 0)
		return false;
	if (program->events.neighbour_wanted != NULL)
		program->events.neighbour_wanted(program->events.arg, event.port, &event.ip);
	return true;
}

/* An answer to a check of the worker's tables. */
static bool deliver_check(struct program *program, uint32_t worker, uint16_t type,
                          const uint8_t *payload)
{
	union {
		struct abi_event_check_sums sums;
		struct abi_event_check_entries entries;
		struct abi_event_check_end end;
	} event;

	memcpy(&event, payload, sizeof(event));
	switch (type) {
	case ABI_EVENT_CHECK_SUMS:
		return program__drift_sums(program, worker, &event.sums);
	case ABI_EVENT_CHECK_ENTRIES:
		return program__drift_entries(program, worker, &event.entries);
	default:
		return program__drift_end(program, worker, &event.end);
	}
}

/* Payload length of each type; types beyond or with 0 are refused. */
static const uint16_t payload_lens[ABI_N_EVENT_TYPES] = {
	[ABI_EVENT_HANDSHAKE] = sizeof(struct abi_event_handshake),
	[ABI_EVENT_SESSION_CONFIRMED] = sizeof(struct abi_event_session),
	[ABI_EVENT_ENDPOINT_MOVED] = sizeof(struct abi_event_endpoint),
	[ABI_EVENT_SESSION_WANTED] = sizeof(struct abi_event_session),
	[ABI_EVENT_REKEY_DUE] = sizeof(struct abi_event_session),
	[ABI_EVENT_NEIGHBOUR_WANTED] = sizeof(struct abi_event_neighbour),
	[ABI_EVENT_BARRIER] = sizeof(struct abi_event_barrier),
	[ABI_EVENT_CHECK_SUMS] = sizeof(struct abi_event_check_sums),
	[ABI_EVENT_CHECK_ENTRIES] = sizeof(struct abi_event_check_entries),
	[ABI_EVENT_CHECK_END] = sizeof(struct abi_event_check_end),
};

/* Returns false when the event is malformed. */
static bool deliver(struct program *program, uint32_t worker, const struct abi_record *record)
{
	if (record->type >= ABI_N_EVENT_TYPES || record->len != payload_lens[record->type])
		return false;
	switch ((enum abi_event_type)record->type) {
	case ABI_EVENT_HANDSHAKE:
		return deliver_handshake(program, worker, record->payload);
	case ABI_EVENT_SESSION_CONFIRMED:
	case ABI_EVENT_SESSION_WANTED:
	case ABI_EVENT_REKEY_DUE:
		return deliver_session(program, worker, record->type, record->payload);
	case ABI_EVENT_ENDPOINT_MOVED:
		return deliver_endpoint(program, worker, record->payload);
	case ABI_EVENT_NEIGHBOUR_WANTED:
		return deliver_neighbour(program, record->payload);
	case ABI_EVENT_CHECK_SUMS:
	case ABI_EVENT_CHECK_ENTRIES:
	case ABI_EVENT_CHECK_END:
		return deliver_check(program, worker, record->type, record->payload);
	case ABI_EVENT_NONE: /* freed half-way by a control that was killed */
	case ABI_EVENT_BARRIER:
	case ABI_N_EVENT_TYPES:
		break;
	}
	return true;
}

/* ---- all rings -------------------------------------------------------------------------------- */

/* Freed only after the callback: what a killed control had not finished comes again. */
static int drain_one(struct program *program, uint32_t worker)
{
	struct abi_ring_end *ring = &program->event_rings[worker];
	struct abi_record record;
	int found = abi_ring_peek(ring, &record);

	if (found != 1)
		return found;
	if (!deliver(program, worker, &record))
		refuse(program, worker, &record);
	abi_ring_free(ring);
	return 1;
}

int program__event_drain(struct program *program, uint32_t budget)
{
	uint32_t n_workers = program->region.n_workers;
	uint32_t n_empty = 0;
	int n = 0;

	/* one from each ring in turn, so that a flooded worker does not silence the others */
	while (budget > 0 && n_empty < n_workers) {
		int found = drain_one(program, program->next_ring);

		if (found < 0)
			return found;
		n_empty = found == 0 ? n_empty + 1 : 0;
		n += found;
		budget -= (uint32_t)found;
		program->next_ring = (program->next_ring + 1) % n_workers;
	}
	return n;
}

static bool all_sleep(struct program *program)
{
	bool all = true;

	for (uint32_t i = 0; i < program->region.n_workers; i++)
		all = abi_ring_sleep(&program->event_rings[i]) && all;
	return all;
}

void program__event_turn(struct program *program)
{
	static const struct timeval at_once = {0, 0};

	if (!program->is_attached)
		return;

	int n = program__event_drain(program, TURN_BUDGET);

	if (n < 0) {
		log_err("program", "dataplane's event ring is corrupt, dropping it pid=%u",
		        program->dataplane_pid);
		program__link_drop(program, true);
		return;
	}
	/* By a timer, not by activating ourselves, so that the loop polls its sockets between. */
	if (n == (int)TURN_BUDGET || !all_sleep(program))
		event_add(program->again_event, &at_once);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	uint64_t kicks;

	(void)what;
	/* the count does not matter, and being kicked for nothing does no harm */
	if (read(fd, &kicks, sizeof(kicks)) == (ssize_t)sizeof(kicks))
		program__event_turn(arg);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	program__event_turn(arg);
}

/* The heartbeat, and the time limit of our sleep on the rings. */
static void on_second(evutil_socket_t fd, short what, void *arg)
{
	struct program *program = arg;
	struct abi_header *header = abi_region_header(&program->region);

	(void)fd;
	(void)what;
	__atomic_store_n(&header->control_heartbeat_ns, base_time_monotonic_ns(), __ATOMIC_RELAXED);
	program__event_turn(program);
}

void program__event_open(struct program *program)
{
	for (uint32_t i = 0; i < program->region.n_workers; i++) {
		program->event_rings[i] = abi_region_event_ring(&program->region, i);
		program->report_rings[i] = abi_region_report_ring(&program->region, i);
	}
	program->next_ring = 0;
}

int program__event_start(struct program *program)
{
	static const struct timeval second = {1, 0};

	program->again_event = evtimer_new(program->base, on_again, program);
	program->second_event = event_new(program->base, -1, EV_PERSIST, on_second, program);
	program->wake_event = event_new(program->base, program->fds.control_wake,
	                                EV_READ | EV_PERSIST, on_wake, program);
	if (program->again_event == NULL || program->second_event == NULL
	    || program->wake_event == NULL || event_add(program->second_event, &second) != 0
	    || event_add(program->wake_event, NULL) != 0)
		return -ENOMEM;
	return 0;
}

static void free_event(struct event **event)
{
	if (*event != NULL)
		event_free(*event);
	*event = NULL;
}

void program__event_stop(struct program *program)
{
	free_event(&program->again_event);
	free_event(&program->second_event);
	free_event(&program->wake_event);
}
