/* What a check has found: kept, told once, put right. */
#include "base_time.h"
#include "program_drift_private.h"

#include <stdlib.h>

#define AFTER_REPAIR_MS 200U

/* ---- findings ----------------------------------------------------------------------------------- */

void program__drift_keep(struct program_findings *findings, const struct program_finding *finding)
{
	if (findings->n == PROGRAM_DRIFT_MAX)
		findings->n_more++;
	else
		findings->list[findings->n++] = *finding;
}

static bool has(const struct program_findings *findings, const struct program_finding *finding)
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

static uint32_t count_peers(const struct program_findings *findings)
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
	case ABI_CMD_PEER_LIMIT:
		entry->limit = (struct abi_cmd_peer_limit){.peer = entry->limit.peer,
		                                           .rx_until = ABI_QUOTA_NONE,
		                                           .tx_until = ABI_QUOTA_NONE,
		                                           .total_until = ABI_QUOTA_NONE};
		return ABI_CMD_PEER_LIMIT;
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

	if (program_desired_find(&program->desired, finding->worker, type, &entry, &wanted) >= 0)
		entry = wanted;
	else if (finding->has_found)
		type = undo(type, &entry);
	else
		return;
	if (type == ABI_CMD_SESSION_RETIRE
	    && program_desired_has_peer(&program->desired, entry.session.peer))
		return;
	(void)program_pipe_change(&program->pipes[finding->worker], type, &entry, len);
}

/* Entry by entry while they are all known; a worker about which there is more gets everything again. */
static void repair_tables(struct program_drift *drift)
{
	struct program *program = drift->program;
	const struct program_findings *fresh = drift->fresh;
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
static void repair_blobs(struct program_drift *drift, const struct program_findings *findings)
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
			program__drift_keep(drift->fresh, old);
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

void program__drift_finish(struct program_drift *drift)
{
	struct program_drift_status *status = &drift->status;
	struct program_findings *fresh = drift->fresh;
	uint32_t n_found = tell_found(drift);
	bool is_repaired = drift->repair && fresh->n + fresh->n_more + fresh->n_more_parts > 0;

	if (is_repaired)
		repair_tables(drift);
	tell_cleared(drift);
	drift->fresh = drift->last;
	drift->last = fresh;
	drift->phase = PROGRAM_DRIFT_IDLE;
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
	if (is_repaired)
		repair_blobs(drift, fresh);
	/* Look again soon, so that what was put right does not stand there for a whole period. */
	if (is_repaired && n_found > 0)
		program__drift_wait(drift, AFTER_REPAIR_MS);
}
