/* The snapshot, put together from what workers report. */
#include "watch_flow.h"

#include "base_time.h"
#include "program.h"
#include "watch_private.h"

#include <errno.h>
#include <stdlib.h>

#define UNREAD_NS (5 * BASE_NS_PER_S)
#define ANSWER_NS (15 * BASE_NS_PER_S) /* a table of 16 million flows takes 3 s under load */

struct watch_snapshot {
	uint64_t id;
	uint64_t begun_ns; /* monotonic */
	uint64_t asked_ns;
	uint32_t limit;
	uint32_t n_room;
	uint32_t n_told[ABI_WORKERS_MAX];
	bool is_done[ABI_WORKERS_MAX];
	bool is_short; /* of memory */
	struct watch_flows flows;
};

static void drop_snapshot(struct watch *watch)
{
	if (watch->snapshot)
		free(watch->snapshot->flows.list);
	free(watch->snapshot);
	watch->snapshot = NULL;
}

void watch__flows_end(struct watch *watch)
{
	drop_snapshot(watch);
}

int watch_flows_begin(struct watch *watch, uint32_t peer, uint32_t limit, uint64_t *id)
{
	uint64_t now_ns = base_time_monotonic_ns();
	uint64_t fresh = base_time_wall_ns() / BASE_NS_PER_US; /* unlike an earlier control's */
	struct watch_snapshot *snapshot = watch->snapshot;
	int err;

	if (snapshot && now_ns - snapshot->asked_ns < UNREAD_NS)
		return -EBUSY;
	drop_snapshot(watch);
	snapshot = calloc(1, sizeof(*snapshot));
	if (!snapshot)
		return -ENOMEM;
	watch->last_snapshot = fresh > watch->last_snapshot ? fresh : watch->last_snapshot + 1;
	snapshot->id = watch->last_snapshot;
	snapshot->begun_ns = now_ns;
	snapshot->asked_ns = now_ns;
	snapshot->limit = limit < WATCH_FLOWS_MAX ? limit : WATCH_FLOWS_MAX;
	err = program_flows_ask(watch->setup.program, snapshot->id, peer, snapshot->limit);
	if (err < 0) {
		free(snapshot);
		return err;
	}
	watch->snapshot = snapshot;
	*id = snapshot->id;
	return 0;
}

/* ---- reports ------------------------------------------------------------------------------------- */

static struct watch_flow *grow(struct watch_snapshot *snapshot)
{
	struct watch_flows *flows = &snapshot->flows;

	if (flows->n == snapshot->n_room) {
		uint32_t n_room = snapshot->n_room ? snapshot->n_room * 2 : 128;
		struct watch_flow *grown = reallocarray(flows->list, n_room, sizeof(*grown));

		if (!grown)
			return NULL;
		flows->list = grown;
		snapshot->n_room = n_room;
	}
	return &flows->list[flows->n++];
}

/* The one that this report is for, or NULL: it comes too late, or is more than was asked for. */
static struct watch_snapshot *snapshot_of(struct watch *watch, uint32_t worker, uint64_t token)
{
	struct watch_snapshot *snapshot = watch->snapshot;

	return snapshot && snapshot->id == token && !snapshot->is_done[worker] ? snapshot : NULL;
}

void watch_flow_in(struct watch *watch, uint32_t worker, const struct abi_report_flow *flow)
{
	struct watch_snapshot *snapshot = snapshot_of(watch, worker, flow->token);
	struct watch_flow *kept;

	if (!snapshot || snapshot->n_told[worker] == snapshot->limit)
		return;
	snapshot->n_told[worker]++;
	kept = grow(snapshot);
	if (kept)
		*kept = (struct watch_flow){.worker = worker, .flow = *flow};
	else
		snapshot->is_short = true;
}

void watch_flows_end_in(struct watch *watch, uint32_t worker,
                        const struct abi_report_flows_end *end)
{
	struct watch_snapshot *snapshot = snapshot_of(watch, worker, end->token);

	if (!snapshot)
		return;
	snapshot->flows.n_of[worker] = end->n_flows;
	snapshot->is_done[worker] = true;
}

/* ---- reading ------------------------------------------------------------------------------------- */

static int by_silence(const void *a, const void *b)
{
	const struct watch_flow *x = a;
	const struct watch_flow *y = b;

	if (x->flow.silent_s != y->flow.silent_s)
		return x->flow.silent_s < y->flow.silent_s ? -1 : 1;
	if (x->worker != y->worker)
		return x->worker < y->worker ? -1 : 1;
	return (x->flow.sport > y->flow.sport) - (x->flow.sport < y->flow.sport);
}

static bool is_complete(const struct watch *watch)
{
	for (uint32_t i = 0; i < program_n_workers(watch->setup.program); i++)
		if (!watch->snapshot->is_done[i])
			return false;
	return true;
}

/* Returns 0 when it is complete. */
static int progress(struct watch *watch, uint64_t now_ns)
{
	if (watch->snapshot->is_short)
		return -ENOMEM;
	if (is_complete(watch))
		return 0;
	if (!program_is_attached(watch->setup.program))
		return -ENOTCONN;
	return now_ns - watch->snapshot->begun_ns < ANSWER_NS ? -EINPROGRESS : -ETIMEDOUT;
}

int watch_flows_read(struct watch *watch, uint64_t id, struct watch_flows *out)
{
	uint64_t now_ns = base_time_monotonic_ns();
	int err;

	if (!watch->snapshot || watch->snapshot->id != id)
		return -ENOENT;
	program_reports_take(watch->setup.program, ABI_REPORT_SLOTS);
	watch->snapshot->asked_ns = now_ns;
	err = progress(watch, now_ns);
	if (err == -EINPROGRESS)
		return err;
	if (err == 0) {
		*out = watch->snapshot->flows;
		watch->snapshot->flows.list = NULL;
		if (out->n > 0)
			qsort(out->list, out->n, sizeof(*out->list), by_silence);
	}
	drop_snapshot(watch);
	return err;
}
