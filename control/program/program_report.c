/* What workers show: reports taken from their rings when somebody asks, drops by peer and reason and the last
 * use of grants as they stand in the region. Nothing here wakes control, and nothing waits for it. */
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

/* Looks only at pages that exist, as program_session_each() does: fn for each stretch of places of size
 * bytes, of n that begin at first. Stops when it returns non-zero, and returns that. */
typedef int stretch_fn(void *arg, uint32_t begin, uint32_t end);

static int each_stretch(const struct abi_region *region, const void *first, off_t size, uint32_t n,
                        stretch_fn *fn, void *arg)
{
	off_t start = (const uint8_t *)first - region->base;
	off_t end = start + (off_t)n * size;
	int result = 0;

	for (off_t at = start; at < end && result == 0;) {
		off_t data = lseek(region->fd, at, SEEK_DATA);

		if (data < 0 || data >= end)
			break;
		at = lseek(region->fd, data, SEEK_HOLE);
		if (at < 0 || at > end)
			at = end;
		result = fn(arg, (uint32_t)((data - start) / size),
		            (uint32_t)((at - start) / size));
	}
	return result;
}

/* A walk over one worker's drops. */
struct drops_walk {
	const struct program *program;
	uint32_t worker;
	program_drops_fn *fn;
	void *arg;
};

static int drops_stretch(void *arg, uint32_t begin, uint32_t end)
{
	const struct drops_walk *walk = arg;
	const struct abi_drop_pair *pairs = abi_region_drops(&walk->program->region, walk->worker);
	int result = 0;

	for (uint32_t i = begin; i < end && result == 0; i++) {
		struct program_drops drops;

		if (!read_pair(walk->program, &pairs[i], &drops) || drops.count == 0)
			continue;
		drops.worker = walk->worker;
		drops.place = i;
		result = walk->fn(walk->arg, &drops);
	}
	return result;
}

int program_drops_each(const struct program *program, program_drops_fn *fn, void *arg)
{
	const struct abi_region *region = &program->region;
	int result = 0;

	for (uint32_t i = 0; program->has_region && i < region->n_workers && result == 0; i++) {
		struct drops_walk walk = {program, i, fn, arg};

		result = each_stretch(region, abi_region_drops(region, i),
		                      sizeof(struct abi_drop_pair), program_n_drop_pairs(program),
		                      drops_stretch, &walk);
	}
	return result;
}

/* ---- grants that are used ----------------------------------------------------------------------- */

struct used_walk {
	const uint64_t *words;
	uint64_t now_s; /* monotonic, as in the words */
	uint64_t wall_s;
	program_used_fn *fn;
	void *arg;
};

static int used_stretch(void *arg, uint32_t begin, uint32_t end)
{
	const struct used_walk *walk = arg;

	for (uint32_t i = begin; i < end; i++) {
		uint64_t word = __atomic_load_n(&walk->words[i], __ATOMIC_RELAXED);
		uint64_t age_s = walk->now_s - abi_used_second(word);

		if (word != 0 && abi_used_second(word) <= walk->now_s && age_s < walk->wall_s)
			walk->fn(walk->arg, abi_used_grant(word), walk->wall_s - age_s);
	}
	return 0;
}

void program_used_each(const struct program *program, program_used_fn *fn, void *arg)
{
	const struct abi_region *region = &program->region;

	for (uint32_t i = 0; program->has_region && i < region->n_workers; i++) {
		struct used_walk walk = {
			.words = abi_region_used(region, i),
			.now_s = base_time_monotonic_ns() / BASE_NS_PER_S,
			.wall_s = base_time_wall_ns() / BASE_NS_PER_S,
			.fn = fn,
			.arg = arg,
		};

		(void)each_stretch(region, walk.words, sizeof(uint64_t),
		                   ABI_USED_SETS * ABI_USED_WAYS, used_stretch, &walk);
	}
}
