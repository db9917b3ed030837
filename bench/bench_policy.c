/* weir-bench policy: what the policy costs a packet (a look-up in the flow table, reading the packet),
 * a new flow (a decision), and control (compiling). */
#include "base_bytes.h"
#include "base_time.h"
#include "bench.h"
#include "bench_machine.h"
#include "bench_report.h"
#include "bench_rules.h"
#include "bench_store.h"
#include "policy_flow.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define N_PACKETS   BENCH_PACKETS /* a pass */
#define N_WARM_UP   16U           /* passes over other packets before the one that is timed */
#define N_PEERS_MAX 100000U
#define ADDRESS     0x0a000000U /* 10.0.0.0: of the first peer */
#define FLOW_PAGES  (2UL << 20)
#define NOW_S       1000U
#define HALF_OPEN_S 30U
#define BOUND_MS    200.0

enum line_kind { LINE_PARSE, LINE_FLOW, LINE_OPEN, LINE_DECIDE, LINE_DENY };

/* Which policy a line is measured with. */
enum world_kind { WORLD_GROUPS, WORLD_MANY_PEERS, WORLD_ONE_PAIR, N_WORLDS };

static struct line {
	const char *what;
	enum line_kind kind;
	enum world_kind world;
	uint32_t n_flows;
	double bound; /* cycles; 0 = none */
	struct bench_samples cycles;
} lines[] = {
	{"read a packet", LINE_PARSE, WORLD_GROUPS, 0, 0, {0}},
	{"known flow, of 1,000", LINE_FLOW, WORLD_GROUPS, 1000, 30, {0}},
	{"known flow, of 1,000,000", LINE_FLOW, WORLD_GROUPS, 1000000, 80, {0}},
	{"new flow: decided and made", LINE_OPEN, WORLD_GROUPS, 100000, 0, {0}},
	{"decision, 10,000 peers", LINE_DECIDE, WORLD_GROUPS, 0, 150, {0}},
	{"decision, 100,000 peers", LINE_DECIDE, WORLD_MANY_PEERS, 0, 150, {0}},
	{"decision, grants for one pair", LINE_DECIDE, WORLD_ONE_PAIR, 0, 150, {0}},
	{"refusal, 10,000 peers", LINE_DENY, WORLD_GROUPS, 0, 150, {0}},
	{"refusal, 100,000 peers", LINE_DENY, WORLD_MANY_PEERS, 0, 150, {0}},
};
#define N_LINES BASE_ARRAY_LEN(lines)

static struct world {
	const char *name;
	enum bench_rules_kind kind;
	uint32_t n_peers;
	struct bench_rules rules;
	struct bench_samples build_ns;
	struct bench_samples swap_ns;
} worlds[N_WORLDS] = {
	[WORLD_GROUPS] = {.name = "1,000 groups, 10,000 peers", .n_peers = 10000},
	[WORLD_MANY_PEERS] = {.name = "1,000 groups, 100,000 peers", .n_peers = N_PEERS_MAX},
	[WORLD_ONE_PAIR] = {.name = "all grants for one pair",
                            .kind = BENCH_RULES_ONE_PAIR,
                            .n_peers = 2},
};

static struct policy_packet packets[N_PACKETS];
static const struct policy_packet *asked[N_PACKETS]; /* the same */
static struct policy_flow_result results[N_PACKETS];

static int build(struct world *world, bool counts)
{
	uint64_t start_ns = base_time_monotonic_ns();
	int err = bench_rules_build(&world->rules, 1);

	if (err == 0 && counts)
		bench_samples_add(&world->build_ns, base_time_monotonic_ns() - start_ns);
	return err;
}

static struct bench_store store;

/* From a table that control has compiled to one that the worker uses. */
static int swap(struct world *world, bool counts)
{
	uint64_t start_ns = base_time_monotonic_ns();
	int err = bench_store_put(&store, ABI_BLOB_POLICY, world->rules.blob, world->rules.len,
	                          NULL);

	if (err == 0 && counts)
		bench_samples_add(&world->swap_ns, base_time_monotonic_ns() - start_ns);
	return err;
}

/* One that a grant of the world allows, or (denied) none does. */
static struct policy_packet random_packet(const struct world *world, bool denied)
{
	struct bench_rules_pair pair = bench_rules_pick(&world->rules, denied);

	return bench_rules_packet(&world->rules, pair.from, pair.to,
	                          (uint16_t)bench_rules_random(65536), pair.port);
}

/* ---- flows --------------------------------------------------------------------------------------- */

/* Number i's flow: peers, ports and grant follow from i, so that any of them can be told again. The
 * pairs of one small policy: peer 0 to peer 1 of the world with one pair. */
static struct policy_packet flow_packet(uint32_t i)
{
	return bench_rules_packet(&worlds[WORLD_ONE_PAIR].rules, 0, 1,
	                          (uint16_t)(BENCH_RULES_PORT + i / BENCH_RULES_GRANTS),
	                          (uint16_t)(BENCH_RULES_PORT + i % BENCH_RULES_GRANTS));
}

static struct policy_flow *tables[N_LINES];

static struct policy_flow *make_table(uint32_t n_flows)
{
	uint8_t *map;
	size_t len;

	struct policy_flow_setup setup = {
		.n_flows = n_flows,
		.n_datagrams = 1024,
		.n_peers = N_PEERS_MAX,
		.peer_max = UINT32_MAX,
		.half_max = UINT32_MAX,
	};
	for (uint32_t i = 0; i < POLICY_FLOW_KEY_WORDS; i++)
		setup.key[i] = (uint64_t)bench_rules_random(UINT32_MAX) << 32
		               | bench_rules_random(UINT32_MAX);
	len = policy_flow_len(&setup) + FLOW_PAGES;
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	map += FLOW_PAGES - (uintptr_t)map % FLOW_PAGES;
	(void)madvise(map, len - FLOW_PAGES, MADV_HUGEPAGE);
	return policy_flow_init(map, &setup, NOW_S); /* goes with the process */
}

static const struct policy_flow_clock the_clock = {.now_s = NOW_S, .wall_s = NOW_S};
static struct policy_flow_clock open_clock = {.now_s = NOW_S, .wall_s = NOW_S}; /* of LINE_OPEN */

/* Let the half open flows of a table end, so that the next round opens them anew. */
static void forget(struct policy_flow *flow)
{
	open_clock.now_s += HALF_OPEN_S;
	(void)policy_flow_expire(flow, open_clock.now_s, UINT32_MAX);
}

static int make_flows(void)
{
	for (size_t l = 0; l < N_LINES; l++) {
		if (lines[l].n_flows == 0)
			continue;
		tables[l] = make_table(lines[l].n_flows);
		if (tables[l] == NULL)
			return -ENOMEM;
		for (uint32_t i = 0; i < lines[l].n_flows && lines[l].kind == LINE_FLOW; i++) {
			struct policy_packet packet = flow_packet(i);

			if (!bench_rules_establish(tables[l], worlds[WORLD_ONE_PAIR].rules.table,
			                           the_clock, &packet))
				return -EINVAL;
		}
	}
	return 0;
}

/* ---- passes -------------------------------------------------------------------------------------- */

static uint8_t bytes[N_PACKETS][BENCH_RULES_FRAME];
static struct policy_frame frames[N_PACKETS];

static void prepare(struct line *line)
{
	for (uint32_t i = 0; i < N_PACKETS; i++) {
		asked[i] = &packets[i];
		switch (line->kind) {
		case LINE_PARSE:
		case LINE_FLOW:
			packets[i] = flow_packet(bench_rules_random(
				line->kind == LINE_PARSE ? 1000 : line->n_flows));
			if (bench_rules_random(2) == 0)
				packets[i] = bench_rules_reply(&packets[i]);
			frames[i] = bench_rules_frame(&packets[i], bytes[i]);
			break;
		case LINE_OPEN:
			packets[i] = random_packet(&worlds[line->world], false);
			packets[i].tcp_flags = POLICY_TCP_SYN;
			break;
		case LINE_DECIDE:
		case LINE_DENY:
			packets[i] = random_packet(&worlds[line->world], line->kind == LINE_DENY);
			break;
		}
	}
}

/* A burst of frames, as a worker does it. */
static void judge_frames(struct policy_flow *flow, const struct policy_table *table, uint32_t first)
{
	uint64_t passed;

	policy_flow_fetch(flow, table, the_clock, &frames[first], BENCH_BURST);
	(void)policy_flow_find(flow, BENCH_BURST);
	passed = policy_flow_pass(flow, table, the_clock, &frames[first], &results[first],
	                          BENCH_BURST);
	for (uint64_t left = ~passed & ((UINT64_C(1) << BENCH_BURST) - 1); left != 0;
	     left &= left - 1) {
		uint32_t i = first + (uint32_t)__builtin_ctzll(left);

		(void)policy_packet_parse(frames[i].data, frames[i].len, &packets[i]);
		policy_flow_judge(flow, table, the_clock, &packets[i], &results[i], 1);
	}
}

/* What came out, summed so that nothing is left out by the compiler; -1 = wrong. */
static int run_pass(const struct line *line, struct policy_flow *flow, uint64_t *cycles)
{
	const struct policy_table *table =
		worlds[line->kind == LINE_FLOW ? WORLD_ONE_PAIR : line->world].rules.table;
	uint32_t n_wrong = 0;
	uint64_t start = bench_tsc();

	if (line->kind == LINE_PARSE) {
		for (uint32_t i = 0; i < N_PACKETS; i++)
			n_wrong += policy_packet_parse(frames[i].data, frames[i].len, &packets[i])
			           != POLICY_PARSE_OK;
	} else if (line->kind == LINE_FLOW) {
		for (uint32_t i = 0; i < N_PACKETS; i += BENCH_BURST)
			judge_frames(flow, table, i);
	} else if (flow != NULL) {
		for (uint32_t i = 0; i < N_PACKETS; i += BENCH_BURST)
			policy_flow_judge(flow, table, open_clock, &packets[i], &results[i],
			                  BENCH_BURST);
	} else {
		for (uint32_t i = 0; i < N_PACKETS; i += BENCH_BURST) {
			struct policy_decision decisions[BENCH_BURST];

			policy_decide_many(table, &asked[i], BENCH_BURST, NOW_S, decisions);
			for (uint32_t k = 0; k < BENCH_BURST; k++)
				n_wrong += (decisions[k].reason == POLICY_ALLOWED)
				           != (line->kind == LINE_DECIDE);
		}
	}
	*cycles = bench_tsc() - start;
	for (uint32_t i = 0; i < N_PACKETS && flow != NULL; i++)
		n_wrong += results[i].verdict != POLICY_FLOW_PASS;
	return n_wrong == 0 ? 0 : -1;
}

static int measure(const struct bench_options *options)
{
	for (unsigned int round = 0; round < BENCH_WARM_UP + options->rounds; round++) {
		bool counts = round >= BENCH_WARM_UP;

		for (size_t i = 0; i < N_LINES; i++) {
			uint64_t cycles;

			for (unsigned int j = 0; j < N_WARM_UP; j++) {
				prepare(&lines[i]);
				(void)run_pass(&lines[i], tables[i], &cycles);
			}
			prepare(&lines[i]);
			if (run_pass(&lines[i], tables[i], &cycles) != 0) {
				fprintf(stderr, "weir-bench: %s: a wrong verdict\n", lines[i].what);
				return -1;
			}
			if (counts)
				bench_samples_add(&lines[i].cycles, cycles);
			if (lines[i].kind == LINE_OPEN)
				forget(tables[i]);
		}
		for (unsigned int i = 0; i < N_WORLDS; i++) {
			if (build(&worlds[i], counts) != 0 || swap(&worlds[i], counts) != 0)
				return -1;
		}
	}
	return 0;
}

/* ---- report -------------------------------------------------------------------------------------- */

static json_t *rounded(double value, double unit)
{
	return json_real((double)(int64_t)(value / unit + 0.5) * unit);
}

static int report_json(void)
{
	json_t *root = json_object();
	json_t *list = json_array();
	json_t *built = json_array();

	for (size_t i = 0; i < N_LINES; i++) {
		struct bench_summary s = bench_samples_summary(&lines[i].cycles, N_PACKETS);
		json_t *object = json_object();

		json_object_set_new(object, "what", json_string(lines[i].what));
		json_object_set_new(object, "rounds", json_integer(s.n));
		json_object_set_new(object, "cycles_min", rounded(s.min, 0.1));
		json_object_set_new(object, "cycles_median", rounded(s.median, 0.1));
		if (lines[i].bound > 0)
			json_object_set_new(object, "bound", json_real(lines[i].bound));
		json_array_append_new(list, object);
	}
	for (unsigned int i = 0; i < N_WORLDS; i++) {
		struct bench_summary s = bench_samples_summary(&worlds[i].build_ns, 1000000);
		struct bench_summary swapped = bench_samples_summary(&worlds[i].swap_ns, 1000000);
		json_t *object = json_object();

		json_object_set_new(object, "what", json_string(worlds[i].name));
		json_object_set_new(object, "grants", json_integer(BENCH_RULES_GRANTS));
		json_object_set_new(object, "rounds", json_integer(s.n));
		json_object_set_new(object, "build_ms_min", rounded(s.min, 0.01));
		json_object_set_new(object, "build_ms_median", rounded(s.median, 0.01));
		json_object_set_new(object, "swap_ms_min", rounded(swapped.min, 0.01));
		json_object_set_new(object, "swap_ms_median", rounded(swapped.median, 0.01));
		json_object_set_new(object, "bound_ms", json_real(BOUND_MS));
		json_object_set_new(object, "bytes", json_integer((json_int_t)worlds[i].rules.len));
		json_array_append_new(built, object);
	}
	json_object_set_new(root, "results", list);
	json_object_set_new(root, "builds", built);
	return bench_report_json(root);
}

static int report_table(const struct bench_options *options)
{
	struct bench_machine machine;

	bench_machine_read(&machine);
	printf("weir-bench policy: 10,000 grants; flows and decisions in bursts of %u\n",
	       BENCH_BURST);
	printf("machine    %s, TSC %.2f GHz, core clock now %.2f x TSC, one core\n", machine.cpu,
	       machine.tsc_ghz, machine.clock_ratio);
	printf("runs       %u rounds of %u packets, other ones each round\n\n", options->rounds,
	       N_PACKETS);
	printf("%32s  %8s %8s %6s\n", "TSC cycles a packet", "median", "min", "bound");
	for (size_t i = 0; i < N_LINES; i++) {
		struct bench_summary s = bench_samples_summary(&lines[i].cycles, N_PACKETS);

		printf("%32s  %8.1f %8.1f", lines[i].what, s.median, s.min);
		if (lines[i].bound > 0)
			printf(" %6.0f %s", lines[i].bound,
			       s.min <= lines[i].bound ? "met" : "missed");
		printf("\n");
	}
	printf("\n%32s  %8s %8s %8s %8s %10s  (bound %.0f ms for both, 10,000 peers)\n", "ms",
	       "compile", "min", "swap", "min", "bytes", BOUND_MS);
	for (unsigned int i = 0; i < N_WORLDS; i++) {
		struct bench_summary s = bench_samples_summary(&worlds[i].build_ns, 1000000);
		struct bench_summary swapped = bench_samples_summary(&worlds[i].swap_ns, 1000000);

		printf("%32s  %8.2f %8.2f %8.2f %8.2f %10zu\n", worlds[i].name, s.median, s.min,
		       swapped.median, swapped.min, worlds[i].rules.len);
	}
	printf("\nnot shown  the stations around it; two workers and their notes; IPv6\n");
	return fflush(stdout) == 0 ? 0 : 1;
}

static int init(const struct bench_options *options)
{
	int err = 0;

	for (size_t i = 0; i < N_LINES && err == 0; i++)
		err = bench_samples_init(&lines[i].cycles, options->rounds);
	for (unsigned int i = 0; i < N_WORLDS && err == 0; i++) {
		err = bench_samples_init(&worlds[i].build_ns, options->rounds);
		if (err == 0)
			err = bench_samples_init(&worlds[i].swap_ns, options->rounds);
		if (err == 0)
			err = bench_rules_init(&worlds[i].rules, worlds[i].kind, worlds[i].n_peers,
			                       ADDRESS);
		if (err == 0)
			err = build(&worlds[i], false);
	}
	if (err == 0)
		err = bench_store_init(&store);
	return err == 0 ? make_flows() : err;
}

int bench_policy(const struct bench_options *options)
{
	int err = init(options);
	int ret = 1;

	if (err != 0)
		fprintf(stderr, "weir-bench: cannot begin: %s\n", strerror(-err));
	else if (measure(options) == 0)
		ret = options->json ? report_json() : report_table(options);
	for (size_t i = 0; i < N_LINES; i++)
		bench_samples_fini(&lines[i].cycles);
	for (unsigned int i = 0; i < N_WORLDS; i++) {
		bench_samples_fini(&worlds[i].build_ns);
		bench_samples_fini(&worlds[i].swap_ns);
		bench_rules_fini(&worlds[i].rules);
	}
	bench_store_fini(&store);
	return ret;
}
