/* Frames of flows that stand, the quick way: read, found, passed. In plain C, and the choice between it
 * and policy_pass_avx512.c. What is not plain is left to policy_flow_open(), or policy_packet_parse() and
 * policy_flow_judge(). */
#include "policy_pass.h"

/* ---- in plain C ---------------------------------------------------------------------------------- */

/* The key of a frame that is plain or a SYN; of others all zero. */
static void read_frame(struct flow_burst *b, const struct flow_moment *now,
                       const struct policy_frame *frame, uint32_t i)
{
	struct policy_packet packet = {.in_peer = 0, .out_peer = 0};
	struct flow_key key;
	bool is_plain;

	b->keys[i] = (struct flow_entry){0};
	if (policy_packet_parse(frame->data, frame->len, &packet) != POLICY_PARSE_OK)
		return;
	is_plain = flow_packet_is_plain(&packet);
	if (!is_plain && !flow_packet_is_syn(&packet))
		return;
	flow_key_make(&key, &packet);
	b->highs |= (uint64_t)flow_sender_is_high(&packet) << i;
	b->syns |= (uint64_t)!is_plain << i;
	b->keys[i] = (struct flow_entry){
		.address = {key.address[0], key.address[1]},
		.low = key.low,
		.ports = key.ports,
		.epoch = is_plain ? now->epoch : 0,
	};
}

static void fetch_plainly(struct policy_flow *flow, const struct flow_moment *now,
                          const struct policy_frame *frames, uint32_t n)
{
	struct flow_burst *b = flow->burst;

	for (uint32_t i = 0; i < n; i++) {
		struct flow_key key;
		uint32_t hash;

		read_frame(b, now, &frames[i], i);
		key = flow_key_of(&b->keys[i]);
		hash = flow_hash(flow->secret, &key);
		b->buckets[i] = flow_bucket_of(flow, hash);
		b->tags[i] = flow_tag_of(flow, hash);
		__builtin_prefetch(&flow->buckets[b->buckets[i]]);
	}
}

static uint64_t find_plainly(struct policy_flow *flow, uint32_t n)
{
	struct flow_burst *b = flow->burst;
	uint64_t found = 0;

	for (uint32_t i = 0; i < n; i++) {
		b->numbers[i] = flow__candidate(flow, flow_burst_hash(b, i));
		found |= (uint64_t)(b->numbers[i] != 0) << i;
		__builtin_prefetch(&flow->entries[b->numbers[i]], 1);
	}
	return found;
}

static bool pass_frame(struct policy_flow *flow, const struct flow_moment *now, uint32_t i,
                       const struct policy_frame *frame, struct policy_flow_result *result)
{
	const struct flow_entry *plain_key = &flow->burst->keys[i];
	struct flow_entry *e = &flow->entries[flow->burst->numbers[i]];
	struct flow_key key = flow_key_of(plain_key);
	bool is_high = (flow->burst->highs >> i & 1) != 0;
	bool from_opener = is_high == ((e->high & FLOW_OPENER_HIGH) != 0);
	uint32_t kind = flow_proto(plain_key) == POLICY_PROTO_TCP ? POLICY_KIND_TCP
	                                                          : POLICY_KIND_UDP;

	if (flow_proto(plain_key) == 0 || plain_key->epoch == 0 || flow->burst->numbers[i] == 0
	    || frame->in_peer > POLICY_HUB || frame->out_peer > POLICY_HUB)
		return false;
	key.low |= is_high ? frame->out_peer : frame->in_peer;
	key.high |= is_high ? frame->in_peer : frame->out_peer;
	if (!flow_key_equal(e, &key) || !flow_entry_is_plain(e, now, kind, from_opener))
		return false;
	flow_touch(flow, e, now, from_opener, result);
	return true;
}

static uint64_t pass_plainly(struct policy_flow *flow, const struct flow_moment *now,
                             struct policy_frame *frames, struct policy_flow_result *results,
                             uint32_t n)
{
	const struct flow_burst *b = flow->burst;
	uint64_t passed = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct flow_entry *e = &flow->entries[b->numbers[i]];
		struct policy_frame frame = frames[i];

		frame.out_peer = flow_entry_peer(e, (b->highs >> i & 1) == 0);
		if (e->epoch != now->epoch || !pass_frame(flow, now, i, &frame, &results[i]))
			continue;
		frames[i].out_peer = frame.out_peer;
		passed |= UINT64_C(1) << i;
	}
	return passed;
}

static uint64_t pass_known_plainly(struct policy_flow *flow, const struct flow_moment *now,
                                   const struct policy_frame *frames,
                                   struct policy_flow_result *results, uint64_t of)
{
	uint64_t passed = 0;

	for (; of != 0; of &= of - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(of);

		if (pass_frame(flow, now, i, &frames[i], &results[i]))
			passed |= of & -of;
	}
	return passed;
}

static const struct flow_kernel plain = {fetch_plainly, find_plainly, pass_plainly,
                                         pass_known_plainly};

/* ---- which --------------------------------------------------------------------------------------- */

/* __builtin_cpu_supports() also asks whether the operating system saves the registers. */
static bool has_avx512(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
	       && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
	       && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("bmi2")
	       && __builtin_cpu_supports("popcnt");
}

const struct flow_kernel *flow__kernel_choose(enum policy_flow_kernel kernel)
{
	if (kernel != POLICY_FLOW_KERNEL_PLAIN && has_avx512())
		return &flow__kernel_avx512;
	return kernel == POLICY_FLOW_KERNEL_AVX512 ? NULL : &plain;
}

/* ---- the steps ----------------------------------------------------------------------------------- */

static inline uint64_t all_of(uint32_t n)
{
	return n == 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1;
}

void policy_flow_fetch(struct policy_flow *flow, const struct policy_table *table,
                       struct policy_flow_clock clock, const struct policy_frame *frames,
                       uint32_t n)
{
	struct flow_moment now = flow_moment(flow, table, clock);

	flow->burst->highs = 0;
	flow->burst->syns = 0;
	flow->burst->openers = 0;
	flow->burst->noted = 0;
	flow->kernel->fetch(flow, &now, frames, n);
}

uint64_t policy_flow_find(struct policy_flow *flow, uint32_t n)
{
	uint64_t found = flow->kernel->find(flow, n);

	return (~found | flow->burst->syns) & all_of(n);
}

uint64_t policy_flow_pass(struct policy_flow *flow, const struct policy_table *table,
                          struct policy_flow_clock clock, struct policy_frame *frames,
                          struct policy_flow_result *results, uint32_t n)
{
	struct flow_moment now = flow_moment(flow, table, clock);

	return flow->kernel->pass(flow, &now, frames, results, n);
}

uint64_t policy_flow_pass_known(struct policy_flow *flow, const struct policy_table *table,
                                struct policy_flow_clock clock, const struct policy_frame *frames,
                                struct policy_flow_result *results, uint64_t of, bool confirms)
{
	struct flow_moment now = flow_moment(flow, table, clock);
	uint64_t passed = flow->kernel->pass_known(flow, &now, frames, results,
	                                           of & ~flow->burst->syns);

	for (uint64_t left = confirms ? passed : 0; left != 0; left &= left - 1)
		flow->entries[flow->burst->numbers[__builtin_ctzll(left)]].epoch = now.epoch;
	return passed;
}

uint64_t policy_flow_syns(const struct policy_flow *flow)
{
	return flow->burst->syns;
}

bool policy_flow_has_notes(const struct policy_flow *flow)
{
	return flow->burst->noted != 0;
}
