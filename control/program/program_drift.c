/* The course of a check, and what becomes of its findings. */
#include "program_drift.h"

#include "base_bytes.h"
#include "base_time.h"
#include "program_compare.h"
#include "program_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPTS                                                                                   \
	4U /* at a worker that is being changed, before its parts are left to the next check */
#define PARTS_MAX       64U /* whose entries are asked for in one check: 100 peers and 1000 routes each */
#define STEP_ENTRIES    20000U /* looked at in one turn of the main loop: less than a millisecond */
#define ANSWER_NS       (30 * BASE_NS_PER_S)
#define AFTER_ATTACH_MS 1000U
#define AFTER_REPAIR_MS 200U

enum phase {
	PHASE_IDLE = 0,
	PHASE_SUMS = 1,    /* asked for */
	PHASE_ENTRIES = 2, /* asked for */
	PHASE_MISSING = 3, /* looking for what was not among them */
};

struct findings {
	struct program_finding list[PROGRAM_DRIFT_MAX];
	uint32_t n;
	uint32_t n_more;
	uint32_t n_more_parts;
};

struct program_drift {
	struct program *program;
	uint32_t period_ms;
	bool repair;
	struct event *period_event;
	struct event *step_event; /* next slice; while an answer is awaited, its time limit */
	enum phase phase;
	uint32_t worker;
	uint32_t attempt;
	uint64_t token;
	uint64_t since; /* changes of what is wanted, when the sums were asked for */
	uint64_t asked_ns;
	uint64_t begun_ns;
	uint32_t n_sums;
	uint64_t sums[ABI_CHECK_N_PARTS];
	uint64_t uncertain[ABI_WORKERS_MAX][ABI_CHECK_WORDS];
	struct program_compare compare;
	struct findings *fresh; /* of this check, so far */
	struct findings *last;  /* of the last complete one */
	struct program_drift_status status;
};

/* ---- asking ------------------------------------------------------------------------------------- */

static void wait_ms(struct program_drift *drift, uint32_t ms)
{
	const struct timeval time = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};

	event_add(drift->step_event, &time);
}

static void fail(struct program_drift *drift, const char *why)
{
	log_warn("program", "drift check not completed: %s worker=%u", why, drift->worker);
	program_compare_fini(&drift->compare);
	drift->phase = PHASE_IDLE;
	drift->status.n_failed++;
	event_del(drift->step_event);
}

static int ask(struct program_drift *drift, enum phase phase, const uint64_t *wanted)
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
	wait_ms(drift, ANSWER_NS / BASE_NS_PER_MS);
	return 0;
}

static int begin_worker(struct program_drift *drift, uint32_t worker)
{
	drift->worker = worker;
	drift->attempt = 0;
	memset(drift->uncertain[worker], 0, sizeof(drift->uncertain[worker]));
	return ask(drift, PHASE_SUMS, NULL);
}

int program_drift_check(struct program *program)
{
	struct program_drift *drift = program->drift;
	int err;

	if (drift == NULL || !program->is_attached)
		return -ENOTCONN;
	if (drift->phase != PHASE_IDLE)
		return 0;
	drift->begun_ns = base_time_monotonic_ns();
	drift->fresh->n = drift->fresh->n_more = drift->fresh->n_more_parts = 0;
	drift->status.n_uncertain = 0;
	err = begin_worker(drift, 0);
	if (err != 0)
		fail(drift, strerror(-err));
	return err;
}

/* ---- findings ----------------------------------------------------------------------------------- */

static void keep(struct findings *findings, const struct program_finding *finding)
{
	if (findings->n == PROGRAM_DRIFT_MAX)
		findings->n_more++;
	else
		findings->list[findings->n++] = *finding;
}

static bool has(const struct findings *findings, const struct program_finding *finding)
{
	for (uint32_t i = 0; i < findings->n; i++)
		if (program_finding_is_same(&findings->list[i], finding))
			return true;
	return false;
}

static int by_peer(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint32_t count_peers(const struct findings *findings)
{
	uint32_t peers[PROGRAM_DRIFT_MAX];
	uint32_t n = 0;

	for (uint32_t i = 0; i < findings->n; i++)
		peers[i] = findings->list[i].peer;
	qsort(peers, findings->n, sizeof(peers[0]), by_peer);
	for (uint32_t i = 0; i < findings->n; i++)
		n += peers[i] != ABI_PEER_NONE && (i == 0 || peers[i] != peers[i - 1]);
	return n + findings->n_more_parts;
}

static void tell(struct program_drift *drift, const struct program_finding *finding,
                 enum program_drift_news news)
{
	const struct program_events *events = &drift->program->events;

	if (events->drift != NULL)
		events->drift(events->arg, finding, news);
}

/* A finding of the last check that this one could not see again, because its part was being changed. */
static bool is_uncertain(const struct program_drift *drift, const struct program_finding *finding)
{
	uint32_t part = abi_check_part(finding->type, finding->peer);

	if (finding->type == PROGRAM_FINDING_BLOB)
		return program__blob_is_moving(
			drift->program, (enum abi_blob)finding->found.blob.kind, drift->begun_ns);
	return abi_check_is_wanted(drift->uncertain[finding->worker], part);
}

/* ---- repair ------------------------------------------------------------------------------------- */

/* The command that takes an entry away, made of the entry. Returns its type. */
static uint16_t undo(uint16_t type, union program_entry *entry)
{
	switch (type) {
	case ABI_CMD_ADDRESS:
		entry->address.present = 0;
		return ABI_CMD_ADDRESS;
	case ABI_CMD_PEER_PUT:
		return ABI_CMD_PEER_DROP;
	case ABI_CMD_ROUTE_PUT:
		return ABI_CMD_ROUTE_DROP;
	case ABI_CMD_WAN_ROUTE_PUT:
		return ABI_CMD_WAN_ROUTE_DROP;
	case ABI_CMD_NEIGHBOUR_PUT:
		return ABI_CMD_NEIGHBOUR_DROP;
	default:
		return type;
	}
}

/* By what is wanted now, which may have changed since it was found. */
static void repair_one(struct program_drift *drift, const struct program_finding *finding)
{
	struct program *program = drift->program;
	union program_entry entry = finding->has_wanted ? finding->wanted : finding->found;
	union program_entry wanted;
	uint16_t type = finding->type;
	uint16_t len = abi_check_entry_len(type);

	if (program_desired_find(&program->desired, type, &entry, &wanted) >= 0)
		entry = wanted;
	else if (finding->has_found)
		type = undo(type, &entry);
	else
		return;
	if (type == ABI_CMD_SESSION_RETIRE
	    && program_desired_has_peer(&program->desired, entry.session.peer))
		return;
	program_pipe_change(&program->pipes[finding->worker], type, &entry, len);
}

/* Entry by entry while they are all known; a worker about which there is more gets everything again. */
static void repair_tables(struct program_drift *drift)
{
	struct program *program = drift->program;
	const struct findings *fresh = drift->fresh;
	bool has_more = fresh->n_more + fresh->n_more_parts > 0;

	for (uint32_t i = 0; i < fresh->n; i++)
		if (!has_more && fresh->list[i].type != PROGRAM_FINDING_BLOB)
			repair_one(drift, &fresh->list[i]);
	for (uint32_t i = 0; has_more && i < program->region.n_workers; i++)
		program_pipe_resync(&program->pipes[i]);
	if (has_more)
		log_warn("program", "drift is more than is told, everything is sent again more=%u",
		         fresh->n_more + fresh->n_more_parts);
	program__flush_later(program);
}

/* One table is for all workers, and is sent once. */
static void repair_blobs(struct program_drift *drift, const struct findings *findings)
{
	bool is_wrong[ABI_N_BLOBS] = {false};

	for (uint32_t i = 0; i < findings->n; i++)
		if (findings->list[i].type == PROGRAM_FINDING_BLOB)
			is_wrong[findings->list[i].found.blob.kind] = true;
	for (uint32_t kind = 0; kind < ABI_N_BLOBS; kind++)
		if (is_wrong[kind])
			program__blob_repeat(drift->program, (enum abi_blob)kind);
}

/* ---- the end of a check ------------------------------------------------------------------------- */

static void tell_cleared(struct program_drift *drift)
{
	for (uint32_t i = 0; i < drift->last->n; i++) {
		const struct program_finding *old = &drift->last->list[i];

		if (has(drift->fresh, old))
			continue;
		if (is_uncertain(drift, old))
			keep(drift->fresh, old);
		else
			tell(drift, old, PROGRAM_DRIFT_CLEARED);
	}
}

static uint32_t tell_found(struct program_drift *drift)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < drift->fresh->n; i++) {
		if (has(drift->last, &drift->fresh->list[i]))
			continue;
		n++;
		tell(drift, &drift->fresh->list[i],
		     drift->repair ? PROGRAM_DRIFT_REPAIRED : PROGRAM_DRIFT_FOUND);
	}
	return n;
}

static void finish(struct program_drift *drift)
{
	struct program_drift_status *status = &drift->status;
	struct findings *fresh = drift->fresh;
	uint32_t n_found = tell_found(drift);
	bool is_repaired = drift->repair && fresh->n + fresh->n_more + fresh->n_more_parts > 0;

	if (is_repaired)
		repair_tables(drift);
	tell_cleared(drift);
	drift->fresh = drift->last;
	drift->last = fresh;
	drift->phase = PHASE_IDLE;
	event_del(drift->step_event);

	status->n_checks++;
	status->n_found += n_found;
	status->n_repaired += is_repaired ? n_found : 0;
	status->wall_ns = base_time_wall_ns();
	status->took_ns = base_time_monotonic_ns() - drift->begun_ns;
	status->n_findings = fresh->n;
	status->n_more = fresh->n_more + fresh->n_more_parts;
	status->n_peers = count_peers(fresh);
	program_count(drift->program, ABI_COUNTER_DRIFT_CHECKS, 1);
	program_count(drift->program, ABI_COUNTER_DRIFT_FOUND, n_found);
	program_count(drift->program, ABI_COUNTER_DRIFT_REPAIRED, is_repaired ? n_found : 0);
	if (is_repaired) /* last, for it may end the connection */
		repair_blobs(drift, fresh);
	/* Look again soon, so that what was put right does not stand there for a whole period. */
	if (is_repaired && n_found > 0)
		wait_ms(drift, AFTER_REPAIR_MS);
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
			keep(drift->fresh, &finding);
	}
}

static void next_worker(struct program_drift *drift)
{
	int err;

	check_blobs(drift);
	if (drift->worker + 1 == drift->program->region.n_workers) {
		finish(drift);
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
	err = ask(drift, PHASE_SUMS, NULL);
	if (err != 0)
		fail(drift, strerror(-err));
	return true;
}

/* Of many parts, the first ones. */
static void limit_parts(struct findings *fresh, uint64_t *parts)
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
		err = ask(drift, PHASE_ENTRIES, difference.differ);
	if (err != 0)
		fail(drift, strerror(-err));
}

static void take_findings(struct program_drift *drift)
{
	struct program_compare *compare = &drift->compare;

	for (uint32_t i = 0; i < compare->n_findings; i++)
		keep(drift->fresh, &compare->findings[i]);
	drift->fresh->n_more += compare->n_more;
	program_compare_fini(compare);
	next_worker(drift);
}

static bool is_awaited(const struct program_drift *drift, enum phase phase, uint32_t worker,
                       uint64_t token)
{
	return drift != NULL && drift->phase == phase && drift->worker == worker
	       && drift->token == token;
}

bool program__drift_sums(struct program *program, uint32_t worker,
                         const struct abi_event_check_sums *event)
{
	struct program_drift *drift = program->drift;

	if (!is_awaited(drift, PHASE_SUMS, worker, event->token))
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

	if (!is_awaited(drift, PHASE_ENTRIES, worker, event->token))
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
	    || (drift->phase != PHASE_SUMS && drift->phase != PHASE_ENTRIES))
		return true;
	if (event->is_stale != 0) {
		if (!ask_again(drift))
			fail(drift, "its table moves all the time");
		return true;
	}
	if (drift->phase == PHASE_ENTRIES) {
		drift->phase = PHASE_MISSING;
		wait_ms(drift, 0);
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
	case PHASE_IDLE: /* after a repair, or an attachment */
		on_period(-1, 0, drift);
		break;
	case PHASE_SUMS:
	case PHASE_ENTRIES:
		fail(drift, "no answer");
		break;
	case PHASE_MISSING:
		if (program_compare_step(&drift->compare, STEP_ENTRIES))
			take_findings(drift);
		else
			wait_ms(drift, 0);
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
		wait_ms(program->drift, AFTER_ATTACH_MS);
}

void program__drift_detached(struct program *program)
{
	if (program->drift != NULL && program->drift->phase != PHASE_IDLE)
		fail(program->drift, "the dataplane is gone");
}

/* ---- readings ----------------------------------------------------------------------------------- */

struct program_drift_status program_drift_status(const struct program *program)
{
	struct program_drift_status status = {0};

	if (program->drift == NULL)
		return status;
	status = program->drift->status;
	status.is_checking = program->drift->phase != PHASE_IDLE;
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
