/* The course of a check. */
#include "base_bytes.h"
#include "base_time.h"
#include "program_drift_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPTS                                                                                   \
	4U /* at a worker that is being changed, before its parts are left to the next check */
#define PARTS_MAX       64U /* whose entries are asked for in one check: 100 peers and 1000 routes each */
#define STEP_ENTRIES    20000U /* looked at in one turn of the main loop: less than a millisecond */
#define ANSWER_NS       (30 * BASE_NS_PER_S)
#define AFTER_ATTACH_MS 1000U

/* ---- asking ------------------------------------------------------------------------------------- */

void program__drift_wait(struct program_drift *drift, uint32_t ms)
{
	const struct timeval time = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};

	event_add(drift->step_event, &time);
}

static void fail(struct program_drift *drift, const char *why)
{
	log_warn("program", "drift check not completed: %s worker=%u", why, drift->worker);
	program_compare_fini(&drift->compare);
	drift->phase = PROGRAM_DRIFT_IDLE;
	drift->status.n_failed++;
	event_del(drift->step_event);
}

static int ask(struct program_drift *drift, enum program_drift_phase phase, const uint64_t *wanted)
{
	struct program *program = drift->program;
	const struct program_sums *sums = &program->desired.sums;
	struct abi_cmd_check cmd = {
		.token = ++drift->token,
		.key = {sums->key.k0, sums->key.k1},
		.dump = wanted != NULL,
	};
	int err;

	if (wanted != NULL)
		memcpy(cmd.wanted, wanted, sizeof(cmd.wanted));
	err = program_pipe_send(&program->pipes[drift->worker], ABI_CMD_CHECK, &cmd, sizeof(cmd));
	program__flush_later(program);
	if (err != 0)
		return err;
	drift->phase = phase;
	drift->n_sums = 0;
	drift->since = sums->n_changes;
	drift->asked_ns = base_time_monotonic_ns();
	program__drift_wait(drift, ANSWER_NS / BASE_NS_PER_MS);
	return 0;
}

static int begin_worker(struct program_drift *drift, uint32_t worker)
{
	drift->worker = worker;
	drift->attempt = 0;
	memset(drift->uncertain[worker], 0, sizeof(drift->uncertain[worker]));
	return ask(drift, PROGRAM_DRIFT_SUMS, NULL);
}

int program_drift_check(struct program *program)
{
	struct program_drift *drift = program->drift;
	int err;

	if (drift == NULL || !program->is_attached)
		return -ENOTCONN;
	if (drift->phase != PROGRAM_DRIFT_IDLE)
		return 0;
	drift->begun_ns = base_time_monotonic_ns();
	drift->fresh->n = drift->fresh->n_more = drift->fresh->n_more_parts = 0;
	drift->status.n_uncertain = 0;
	err = begin_worker(drift, 0);
	if (err != 0)
		fail(drift, strerror(-err));
	return err;
}

/* The worker has answered, and took its tables before it heard the question: what it says of them is of then
 * or later. A capture is written by workers, and comes and goes. */
static void check_blobs(struct program_drift *drift)
{
	static const enum abi_blob kinds[] = {ABI_BLOB_POLICY, ABI_BLOB_BLOCK};
	struct program_finding finding;

	for (uint32_t i = 0; i < BASE_ARRAY_LEN(kinds); i++) {
		if (program__blob_is_moving(drift->program, kinds[i], drift->asked_ns))
			drift->status.n_uncertain++;
		else if (!program__blob_compare(drift->program, kinds[i], drift->worker, &finding))
			program__drift_keep(drift->fresh, &finding);
	}
}

static void next_worker(struct program_drift *drift)
{
	int err;

	check_blobs(drift);
	if (drift->worker + 1 == drift->program->region.n_workers) {
		program__drift_finish(drift);
		return;
	}
	err = begin_worker(drift, drift->worker + 1);
	if (err != 0)
		fail(drift, strerror(-err));
}

/* ---- answers ------------------------------------------------------------------------------------ */

/* Ask for the sums of the same worker again, unless that was done too often. Returns false then. */
static bool ask_again(struct program_drift *drift)
{
	int err;

	program_compare_fini(&drift->compare);
	if (++drift->attempt == ATTEMPTS)
		return false;
	err = ask(drift, PROGRAM_DRIFT_SUMS, NULL);
	if (err != 0)
		fail(drift, strerror(-err));
	return true;
}

/* Of many parts, the first ones. */
static void limit_parts(struct program_findings *fresh, uint64_t *parts)
{
	uint32_t n = 0;

	for (uint32_t part = 0; part < ABI_CHECK_N_PARTS; part++) {
		if (!abi_check_is_wanted(parts, part) || ++n <= PARTS_MAX)
			continue;
		parts[part / 64] &= ~(UINT64_C(1) << part % 64);
		fresh->n_more_parts++;
	}
}

static void judge_sums(struct program_drift *drift)
{
	struct program *program = drift->program;
	struct program_difference difference;
	int err;

	program_compare_sums(&program->desired, drift->worker, drift->since, drift->sums,
	                     &difference);
	if (difference.n_uncertain > 0 && ask_again(drift))
		return;
	memcpy(drift->uncertain[drift->worker], difference.uncertain, sizeof(difference.uncertain));
	drift->status.n_uncertain += difference.n_uncertain;
	if (difference.n_differ == 0) {
		next_worker(drift);
		return;
	}
	limit_parts(drift->fresh, difference.differ);
	err = program_compare_init(&drift->compare, &program->desired, drift->worker,
	                           difference.differ);
	if (err == 0)
		err = ask(drift, PROGRAM_DRIFT_ENTRIES, difference.differ);
	if (err != 0)
		fail(drift, strerror(-err));
}

static void take_findings(struct program_drift *drift)
{
	struct program_compare *compare = &drift->compare;

	for (uint32_t i = 0; i < compare->n_findings; i++)
		program__drift_keep(drift->fresh, &compare->findings[i]);
	drift->fresh->n_more += compare->n_more;
	program_compare_fini(compare);
	next_worker(drift);
}

static bool is_awaited(const struct program_drift *drift, enum program_drift_phase phase,
                       uint32_t worker, uint64_t token)
{
	return drift != NULL && drift->phase == phase && drift->worker == worker
	       && drift->token == token;
}

bool program__drift_sums(struct program *program, uint32_t worker,
                         const struct abi_event_check_sums *event)
{
	struct program_drift *drift = program->drift;

	if (!is_awaited(drift, PROGRAM_DRIFT_SUMS, worker, event->token))
		return true;
	if (event->first != drift->n_sums || event->n > ABI_CHECK_SUMS_MAX
	    || event->n > ABI_CHECK_N_PARTS - event->first)
		return false;
	memcpy(&drift->sums[event->first], event->sums, event->n * sizeof(event->sums[0]));
	drift->n_sums += event->n;
	return true;
}

bool program__drift_entries(struct program *program, uint32_t worker,
                            const struct abi_event_check_entries *event)
{
	struct program_drift *drift = program->drift;
	uint16_t len = abi_check_entry_len(event->type);

	if (!is_awaited(drift, PROGRAM_DRIFT_ENTRIES, worker, event->token))
		return true;
	if (len == 0 || (size_t)event->n * len > sizeof(event->entries))
		return false;
	for (uint32_t i = 0; i < event->n; i++)
		program_compare_entry(&drift->compare, event->type,
		                      &event->entries[(size_t)i * len]);
	return true;
}

bool program__drift_end(struct program *program, uint32_t worker,
                        const struct abi_event_check_end *event)
{
	struct program_drift *drift = program->drift;

	if (drift == NULL || !is_awaited(drift, drift->phase, worker, event->token)
	    || (drift->phase != PROGRAM_DRIFT_SUMS && drift->phase != PROGRAM_DRIFT_ENTRIES))
		return true;
	if (event->is_stale != 0) {
		if (!ask_again(drift))
			fail(drift, "its table moves all the time");
		return true;
	}
	if (drift->phase == PROGRAM_DRIFT_ENTRIES) {
		drift->phase = PROGRAM_DRIFT_MISSING;
		program__drift_wait(drift, 0);
		return true;
	}
	if (drift->n_sums != ABI_CHECK_N_PARTS)
		return false;
	judge_sums(drift);
	return true;
}

/* ---- time --------------------------------------------------------------------------------------- */

static void on_period(evutil_socket_t fd, short what, void *arg)
{
	struct program_drift *drift = arg;

	(void)fd;
	(void)what;
	if (drift->program->is_attached)
		(void)program_drift_check(drift->program); /* says itself what went wrong */
}

static void on_step(evutil_socket_t fd, short what, void *arg)
{
	struct program_drift *drift = arg;

	(void)fd;
	(void)what;
	switch (drift->phase) {
	case PROGRAM_DRIFT_IDLE: /* after a repair, or an attachment */
		on_period(-1, 0, drift);
		break;
	case PROGRAM_DRIFT_SUMS:
	case PROGRAM_DRIFT_ENTRIES:
		fail(drift, "no answer");
		break;
	case PROGRAM_DRIFT_MISSING:
		if (program_compare_step(&drift->compare, STEP_ENTRIES))
			take_findings(drift);
		else
			program__drift_wait(drift, 0);
		break;
	}
}

int program_drift_start(struct program *program, uint32_t period_ms, bool repair)
{
	struct program_drift *drift = calloc(1, sizeof(*drift));
	const struct timeval period = {period_ms / 1000, (suseconds_t)(period_ms % 1000) * 1000};

	if (drift == NULL)
		return -ENOMEM;
	program->drift = drift;
	drift->program = program;
	drift->period_ms = period_ms;
	drift->repair = repair;
	drift->token = base_time_monotonic_ns(); /* no answer to an earlier control is ours */
	drift->fresh = calloc(1, sizeof(*drift->fresh));
	drift->last = calloc(1, sizeof(*drift->last));
	drift->period_event = event_new(program->base, -1, EV_PERSIST, on_period, drift);
	drift->step_event = evtimer_new(program->base, on_step, drift);
	if (drift->fresh == NULL || drift->last == NULL || drift->period_event == NULL
	    || drift->step_event == NULL
	    || (period_ms != 0 && event_add(drift->period_event, &period) != 0)) {
		program__drift_stop(program);
		return -ENOMEM;
	}
	return 0;
}

void program__drift_stop(struct program *program)
{
	struct program_drift *drift = program->drift;

	if (drift == NULL)
		return;
	if (drift->period_event != NULL)
		event_free(drift->period_event);
	if (drift->step_event != NULL)
		event_free(drift->step_event);
	program_compare_fini(&drift->compare);
	free(drift->fresh);
	free(drift->last);
	free(drift);
	program->drift = NULL;
}

/* Soon after it got everything, for it may have brought something of its own. */
void program__drift_attached(struct program *program)
{
	if (program->drift != NULL && program->drift->period_ms != 0)
		program__drift_wait(program->drift, AFTER_ATTACH_MS);
}

void program__drift_detached(struct program *program)
{
	if (program->drift != NULL && program->drift->phase != PROGRAM_DRIFT_IDLE)
		fail(program->drift, "the dataplane is gone");
}

/* ---- readings ----------------------------------------------------------------------------------- */

struct program_drift_status program_drift_status(const struct program *program)
{
	struct program_drift_status status = {0};

	if (program->drift == NULL)
		return status;
	status = program->drift->status;
	status.is_checking = program->drift->phase != PROGRAM_DRIFT_IDLE;
	return status;
}

const struct program_finding *program_drift_finding(const struct program *program, uint32_t i)
{
	return &program->drift->last->list[i];
}

int program_debug_push(struct program *program, uint32_t worker, uint16_t type, const void *entry)
{
	static const uint16_t made_by[ABI_N_CMD_TYPES] = {
		[ABI_CMD_PEER_DROP] = ABI_CMD_PEER_PUT,
		[ABI_CMD_ROUTE_DROP] = ABI_CMD_ROUTE_PUT,
		[ABI_CMD_WAN_ROUTE_DROP] = ABI_CMD_WAN_ROUTE_PUT,
		[ABI_CMD_NEIGHBOUR_DROP] = ABI_CMD_NEIGHBOUR_PUT,
	};
	uint16_t kind = type < ABI_N_CMD_TYPES && made_by[type] != 0 ? made_by[type] : type;
	int err;

	if (worker >= program->setup.dataplane.n_workers || abi_check_entry_len(kind) == 0)
		return -EINVAL;
	err = program_pipe_send(&program->pipes[worker], type, entry, abi_check_entry_len(kind));
	program__flush_later(program);
	return err;
}
