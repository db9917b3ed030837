/* Frames of flows that stand, the quick way: read, found, passed. In plain C, and the choice between it
 * and policy_pass_avx512.c. What is not plain is left to policy_packet_parse() and policy_flow_judge(). */
#include "policy_pass.h"

/* A frame, its key, and where its bucket says its entry is. */
struct probe {
	struct policy_packet packet;
	struct flow_key key;
	uint32_t number;
	bool is_plain;
	bool is_opener;
};

/* Is there anything to find for it here? Then its key. */
static bool read_frame(const struct policy_frame *frame, struct probe *probe)
{
	struct policy_packet *packet = &probe->packet;

	packet->in_peer = frame->in_peer;
	packet->out_peer = frame->out_peer;
	if (policy_packet_parse(frame->data, frame->len, packet) != POLICY_PARSE_OK)
		return false;
	probe->is_plain = flow_packet_is_plain(packet);
	probe->is_opener = flow_packet_is_opener(packet) && flow_peers_are_plain(frame);
	flow_key_make(&probe->key, packet);
	return probe->is_plain || probe->is_opener;
}

static bool pass_frame(struct policy_flow *flow, const struct flow_moment *now,
                       const struct probe *probe, struct policy_flow_result *result)
{
	struct flow_entry *e = &flow->entries[probe->number];
	bool from_opener;

	if (!probe->is_plain || probe->number == 0 || !flow_key_equal(e, &probe->key))
		return false;
	from_opener = flow_sender_is_high(&probe->packet) == ((e->high & FLOW_OPENER_HIGH) != 0);
	if (!flow_entry_is_plain(e, now, probe->packet.kind, from_opener))
		return false;
	flow_touch(e, now, from_opener, result);
	return true;
}

/* Frame number i has not passed. */
static void leave_ahead(struct policy_flow *flow, const struct probe *probe, uint32_t i,
                        uint32_t hash)
{
	if (!probe->is_opener || !flow__has_none(flow, hash))
		return;
	flow_ahead_put(flow->ahead, i, hash, flow_sender_is_high(&probe->packet));
	flow->ahead->packets[i] = probe->packet;
	flow->ahead->keys[i] = (struct flow_entry){
		.address = {probe->key.address[0], probe->key.address[1]},
		.low = probe->key.low,
		.high = probe->key.high,
		.ports = probe->key.ports,
	};
}

static uint64_t pass_plainly(struct policy_flow *flow, const struct flow_moment *now,
                             const struct policy_frame *frames, struct policy_flow_result *results,
                             uint32_t n)
{
	struct probe probes[POLICY_FLOW_BURST_MAX];
	uint32_t hashes[POLICY_FLOW_BURST_MAX];
	uint64_t candidates = 0;
	uint64_t passed = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (!read_frame(&frames[i], &probes[i]))
			continue;
		candidates |= UINT64_C(1) << i;
		hashes[i] = flow_hash(flow->secret, &probes[i].key);
		__builtin_prefetch(&flow->buckets[flow_bucket_of(flow, hashes[i])]);
	}
	for (uint64_t left = candidates; left != 0; left &= left - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(left);

		probes[i].number = flow__candidate(flow, hashes[i]);
		__builtin_prefetch(&flow->entries[probes[i].number], 1);
	}
	for (uint64_t left = candidates; left != 0; left &= left - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(left);

		if (pass_frame(flow, now, &probes[i], &results[i]))
			passed |= UINT64_C(1) << i;
		else
			leave_ahead(flow, &probes[i], i, hashes[i]);
	}
	return passed;
}

/* __builtin_cpu_supports() also asks whether the operating system saves the registers. */
static bool has_avx512(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
	       && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
	       && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("bmi2")
	       && __builtin_cpu_supports("popcnt");
}

flow_pass_fn *flow__pass_choose(enum policy_flow_kernel kernel)
{
	if (kernel != POLICY_FLOW_KERNEL_PLAIN && has_avx512())
		return flow__pass_avx512;
	return kernel == POLICY_FLOW_KERNEL_AVX512 ? NULL : pass_plainly;
}

uint64_t policy_flow_pass(struct policy_flow *flow, const struct policy_table *table,
                          struct policy_flow_clock clock, const struct policy_frame *frames,
                          struct policy_flow_result *results, uint32_t n)
{
	struct flow_moment now = flow_moment(table, clock);

	flow->ahead->openers = 0;
	flow->ahead->highs = 0;
	return flow->pass(flow, &now, frames, results, n);
}
