/* What workers show: reports taken from their rings when somebody asks, and drops by peer and reason as
 * they stand in the region. Nothing here wakes control, and nothing waits for it. */
#include "base_time.h"
#include "program_private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void refuse(struct program *program, uint32_t worker, const struct abi_record *record)
{
	uint32_t left_out;

	if (base_log_limit_pass(&program->bad_event_limit, base_time_monotonic_ns(), &left_out))
		log_warn("program",
		         "report of the dataplane is malformed, ignored worker=%u type=%u len=%u "
		         "left_out=%u",
		         worker, record->type, record->len, left_out);
}

static bool is_peer(const struct program *program, uint32_t peer)
{
	return peer < program->region.n_peers || peer == ABI_PEER_NONE || peer == ABI_PEER_HUB;
}

static bool is_ip_or_none(const struct base_ip *ip)
{
	return ip->family == BASE_IP_NONE || base_ip_len(ip->family) != 0;
}

static bool deliver_drop(struct program *program, uint32_t worker, const uint8_t *payload)
{
	struct abi_report_drop drop;

	memcpy(&drop, payload, sizeof(drop));
	if (!is_peer(program, drop.peer) || drop.reason >= ABI_N_COUNTERS
	    || !is_ip_or_none(&drop.source) || !is_ip_or_none(&drop.destination)
	    || (drop.place != UINT32_MAX && drop.place >= program_n_drop_pairs(program)))
		return false;
	if (program->events.drop != NULL)
		program->events.drop(program->events.arg, worker, &drop);
	return true;
}

static bool deliver_flow(struct program *program, uint32_t worker, const uint8_t *payload)
{
	struct abi_report_flow flow;

	memcpy(&flow, payload, sizeof(flow));
	if (!is_peer(program, flow.peer) || !is_peer(program, flow.to_peer)
	    || base_ip_len(flow.source.family) == 0 || base_ip_len(flow.destination.family) == 0)
		return false;
	if (program->events.flow != NULL)
		program->events.flow(program->events.arg, worker, &flow);
	return true;
}

static void deliver_flows_end(struct program *program, uint32_t worker, const uint8_t *payload)
{
	struct abi_report_flows_end end;

	memcpy(&end, payload, sizeof(end));
	if (program->events.flows_end != NULL)
		program->events.flows_end(program->events.arg, worker, &end);
}

/* Returns false when the report is malformed. */
static bool deliver(struct program *program, uint32_t worker, const struct abi_record *record)
{
	switch ((enum abi_report_type)record->type) {
	case ABI_REPORT_NONE: /* freed half-way by a control that was killed */
		return true;
	case ABI_REPORT_DROP:
		return record->len == sizeof(struct abi_report_drop)
		       && deliver_drop(program, worker, record->payload);
	case ABI_REPORT_FLOW:
		return record->len == sizeof(struct abi_report_flow)
		       && deliver_flow(program, worker, record->payload);
	case ABI_REPORT_FLOWS_END:
		if (record->len != sizeof(struct abi_report_flows_end))
			return false;
		deliver_flows_end(program, worker, record->payload);
		return true;
	case ABI_N_REPORT_TYPES:
		break;
	}
	return false;
}

/* Returns how many there were, or -EPROTO. */
static int take_of(struct program *program, uint32_t worker, uint32_t budget)
{
	struct abi_record record;
	int n = 0;

	while (budget-- > 0) {
		int found = abi_ring_pop(&program->report_rings[worker], &record);

		if (found <= 0)
			return found < 0 ? found : n;
		if (!deliver(program, worker, &record))
			refuse(program, worker, &record);
		n++;
	}
	return n;
}

uint32_t program_reports_take(struct program *program, uint32_t budget)
{
	uint32_t n_all = 0;

	for (uint32_t i = 0; program->has_region && i < program->region.n_workers; i++) {
		int n = take_of(program, i, budget);

		if (n < 0) {
			log_err("program", "dataplane's report ring is corrupt, dropping it pid=%u",
			        program->dataplane_pid);
			program__link_drop(program, true);
			return n_all;
		}
		n_all += (uint32_t)n;
	}
	return n_all;
}

int program_flows_ask(struct program *program, uint64_t token, uint32_t peer, uint32_t limit)
{
	const struct abi_cmd_flows cmd = {.token = token, .peer = peer, .limit = limit};

	if (!program->is_attached)
		return -ENOTCONN;
	for (uint32_t i = 0; i < program->region.n_workers; i++) {
		int err = program_pipe_send(&program->pipes[i], ABI_CMD_FLOWS, &cmd, sizeof(cmd));

		if (err != 0)
			return err;
	}
	program__flush_later(program);
	return 0;
}

/* ---- drops by peer and reason ------------------------------------------------------------------- */

uint32_t program_n_drop_pairs(const struct program *program)
{
	return abi_region_drop_pairs(program->setup.n_peers);
}

static bool read_pair(const struct program *program, const struct abi_drop_pair *shared,
                      struct program_drops *out)
{
	uint64_t key = __atomic_load_n(&shared->key, __ATOMIC_ACQUIRE);

	if (key == 0)
		return false;
	*out = (struct program_drops){
		.peer = abi_drop_key_peer(key),
		.reason = abi_drop_key_reason(key),
		.count = __atomic_load_n(&shared->count, __ATOMIC_RELAXED),
	};
	return out->reason < ABI_N_COUNTERS && is_peer(program, out->peer);
}

uint64_t program_drop_count(const struct program *program, uint32_t worker, uint32_t place)
{
	struct program_drops drops;

	if (!program->has_region || place >= program_n_drop_pairs(program)
	    || !read_pair(program, &abi_region_drops(&program->region, worker)[place], &drops))
		return 0;
	return drops.count;
}

/* Looks only at pages that exist, as program_session_each() does. */
static int each_of_worker(const struct program *program, uint32_t worker, program_drops_fn *fn,
                          void *arg)
{
	const struct abi_region *region = &program->region;
	const struct abi_drop_pair *pairs = abi_region_drops(region, worker);
	const off_t size = sizeof(*pairs);
	off_t start = (const uint8_t *)pairs - region->base;
	off_t end = start + (off_t)program_n_drop_pairs(program) * size;
	int result = 0;

	for (off_t at = start; at < end && result == 0;) {
		struct program_drops drops;
		off_t data = lseek(region->fd, at, SEEK_DATA);

		if (data < 0 || data >= end)
			break;
		at = lseek(region->fd, data, SEEK_HOLE);
		if (at < 0 || at > end)
			at = end;
		for (off_t i = (data - start) / size; i < (at - start) / size && result == 0; i++) {
			if (!read_pair(program, &pairs[i], &drops) || drops.count == 0)
				continue;
			drops.worker = worker;
			drops.place = (uint32_t)i;
			result = fn(arg, &drops);
		}
	}
	return result;
}

int program_drops_each(const struct program *program, program_drops_fn *fn, void *arg)
{
	int result = 0;

	for (uint32_t i = 0; program->has_region && i < program->region.n_workers && result == 0;
	     i++)
		result = each_of_worker(program, i, fn, arg);
	return result;
}
