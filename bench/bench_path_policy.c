/* weir-bench path --policy: what enforcement adds to a packet's way from peer to peer. The same frames go
 * through the worker's stations with path/policy.c in its place, and with a stand-in that lets everything
 * pass and leaves the receiver to out_route, which looks it up as policy does; the difference of the two,
 * in turn in the same rounds, is the figure. 10,000 grants from group to group, 1,000 groups, TCP packets
 * of 64 bytes. */
#include "bench_machine.h"
#include "bench_report.h"
#include "bench_rules.h"
#include "bench_wire.h"
#include "bench_world.h"
#include "path_inner.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#define N_PAIRS      1000U
#define N_WARM_UP    16U /* passes before those that are timed: so what fits a cache is in it */
#define HALF_OPEN_S  30U
#define SPORT        20000U
#define FLOWS_MIN    65536U
#define PEERS_MIN    64U     /* fewer are in too few of the groups */
#define DROPS        100000U /* a second */
#define DROPS_BOUND  2.0     /* per cent */
#define DROP_PASSES  8U      /* of a sample: about twenty refused packets */
#define DROP_SAMPLES 4U      /* in turn, without or with them */
#define DROP_ROWS    4U      /* of all, for a round of the scenes */
#define DROPS_MAX    64U     /* in a pass, when something interrupted those before */

enum what {
	STANDING = 0,
	SWAPPED = 1, /* the policy before each pass */
	NEW = 2,
	NEW_PAIRS = 3,
};

static struct scene {
	const char *name;
	enum what what;
	uint32_t n_flows;
	double bound; /* cycles; 0 = none */
	struct policy_flow *flows;
	size_t flows_len;
	struct policy_flow_clock clock;
	struct bench_samples cycles[2]; /* [with policy] */
} scenes[] = {
	{.name = "known flow, of 1,000", .what = STANDING, .n_flows = 1000, .bound = 30},
	{.name = "known flow, of 1,000,000", .what = STANDING, .n_flows = 1000000, .bound = 80},
	{.name = "known flow, of 1,000, policy swapped", .what = SWAPPED, .n_flows = 1000},
	{.name = "new flow, of 1,000 pairs", .what = NEW, .bound = 150},
	{.name = "new flow, any pair", .what = NEW_PAIRS, .bound = 150},
};
#define N_SCENES BASE_ARRAY_LEN(scenes)

static struct bench_rules rules[2]; /* the same but for the generation */
static struct bench_rules_pair pairs[N_PAIRS];
static struct bench_way ways[2]; /* [with policy] */
static struct scene *scene;      /* under way */
static uint32_t next_sport;      /* of new flows */
static unsigned int n_denied;    /* of a pass, in rows that are spread over what is timed of it */
static uint64_t n_swaps;

/* Refused packets are offered at a rate, by the time that the passes they are in take. They are measured when the
 * scenes are done, as a worker has them: second after second, with nothing else in its caches. No two samples refuse the
 * same senders, so the fastest is one that had luck; and most are slower than need be, when others use the machine. What
 * is compared is therefore what a twentieth of the samples stay below. */
static struct flood {
	const char *name;
	unsigned int in_a_row;
	bool from_one;               /* to one, too */
	struct bench_samples cycles; /* of DROP_PASSES passes */
	uint64_t clock;
	uint64_t n;
} floods[] = {
	{.name = "one at a time, from any peer", .in_a_row = 1},
	{.name = "four in a row, from one peer", .in_a_row = 4, .from_one = true},
};
#define N_FLOODS BASE_ARRAY_LEN(floods)

static const struct flood *flooded; /* what n_denied is of */
static struct bench_samples calm;   /* the same passes without */
static bool is_flood_timed;
static double tsc_hz;

/* ---- packets ------------------------------------------------------------------------------------- */

static void set_pair(struct bench_packet *packet, const struct bench_rules_pair *pair)
{
	packet->from = pair->from;
	packet->to = pair->to;
	packet->dport = pair->port;
	packet->proto = POLICY_PROTO_TCP;
}

static void set_known(struct bench_packet *packet, uint32_t number)
{
	set_pair(packet, &pairs[number % N_PAIRS]);
	packet->sport = (uint16_t)(SPORT + number / N_PAIRS);
	packet->tcp_flags = POLICY_TCP_ACK;
}

static void set_new(struct bench_packet *packet, const struct bench_rules_pair *pair)
{
	set_pair(packet, pair);
	packet->sport = (uint16_t)(SPORT + next_sport++ % SPORT);
	packet->tcp_flags = POLICY_TCP_SYN;
}

static bool is_denied(uint32_t i)
{
	uint32_t n_rows = n_denied != 0 ? n_denied / flooded->in_a_row : 0;
	uint32_t every = n_rows != 0 ? BENCH_TIMED / n_rows : 0;

	return every != 0 && i >= BENCH_WARM && (i - BENCH_WARM) % every < flooded->in_a_row
	       && (i - BENCH_WARM) / every < n_rows;
}

static void pick(struct bench_world *world, uint32_t i, struct bench_packet *packet)
{
	struct bench_rules_pair pair;

	(void)world;
	if (scene->what == NEW) {
		set_new(packet, &pairs[bench_rules_random(N_PAIRS)]);
	} else if (scene->what == NEW_PAIRS) {
		pair = bench_rules_pick(&rules[0], false);
		set_new(packet, &pair);
	} else {
		set_known(packet, bench_rules_random(scene->n_flows));
	}
	if (is_denied(i)) {
		if (flooded->from_one)
			set_pair(packet, &pairs[0]);
		packet->dport = BENCH_RULES_PORT - 1;
		packet->tcp_flags = POLICY_TCP_SYN;
	}
}

/* ---- a pass -------------------------------------------------------------------------------------- */

static const struct bench_size *size_64(void)
{
	unsigned int i = 0;

	while (bench_sizes[i].len != 64)
		i++;
	return &bench_sizes[i];
}

/* Let the scene's flows be the worker's, under the table that allowed them: another scene may have swapped
 * it. Those that the scene opened last time, half, have ended. */
static void enter(struct bench_world *world, struct scene *next)
{
	scene = next;
	if (scene->what != SWAPPED)
		world->st.policy = rules[0].table;
	if (scene->what == NEW || scene->what == NEW_PAIRS) {
		scene->clock.now_s += HALF_OPEN_S;
		(void)policy_flow_expire(scene->flows, scene->clock.now_s, UINT32_MAX);
	}
	world->st.flows = scene->flows;
	world->st.clock = scene->clock;
}

static void swap_table(struct bench_world *world)
{
	world->st.policy = rules[world->st.policy == rules[0].table].table;
	n_swaps++;
}

/* Packets that were refused have given back their buffers. */
static bool refill(struct bench_world *world)
{
	for (uint32_t i = 0; i < BENCH_PACKETS; i++) {
		if (!is_denied(i))
			continue;
		world->packet[i].mbuf = rte_pktmbuf_alloc(world->pool);
		if (world->packet[i].mbuf == NULL)
			return false;
	}
	return true;
}

/* Opening all that came out, with the reference, leaves other caches behind: where passes with and without refused
 * packets are compared, it is done after neither. */
static bool came_through(struct bench_world *world, unsigned int n_left)
{
	if (!is_flood_timed)
		return bench_world_right(world, BENCH_HUB, n_left);
	punt(&world->st);
	return n_left == BENCH_PACKETS - n_denied && refill(world);
}

static bool run_pass(struct bench_world *world, bool with, uint64_t *cycles)
{
	unsigned int n_left;

	bench_world_prepare(world, size_64(), BENCH_HUB);
	if (scene->what == SWAPPED && with)
		swap_table(world);
	*cycles = bench_world_time(world, &ways[with], &n_left);
	return came_through(world, n_left);
}

static bool measure_scene(struct bench_world *world, struct scene *of, bool with, bool counts)
{
	uint64_t cycles;

	enter(world, of);
	for (unsigned int i = 0; i < N_WARM_UP + 1; i++) {
		if (!run_pass(world, with, &cycles))
			return false;
	}
	if (counts)
		bench_samples_add(&of->cycles[with], cycles);
	return true;
}

/* ---- drops --------------------------------------------------------------------------------------- */

/* How many are to be refused in the next pass, so that they are DROPS a second of the time so far. */
static unsigned int drops_due(const struct flood *flood)
{
	double due = (double)flood->clock * DROPS / tsc_hz - (double)flood->n;

	if (due < 0)
		return 0;
	if (due > DROPS_MAX)
		due = DROPS_MAX;
	return (unsigned int)due / flood->in_a_row * flood->in_a_row;
}

/* flood: NULL = none. */
static bool run_drop_pass(struct bench_world *world, struct flood *flood, uint64_t *cycles)
{
	bool is_right;

	flooded = flood;
	n_denied = flood != NULL ? drops_due(flood) : 0;
	is_right = run_pass(world, true, cycles);
	if (flood != NULL) {
		flood->clock += *cycles;
		flood->n += n_denied;
	}
	return is_right;
}

/* A row of samples of the same known flows, without or with packets among them that are refused: cycles for each
 * BENCH_TIMED that came through. */
static bool sample_drops(struct bench_world *world, struct flood *flood)
{
	struct bench_samples *samples = flood != NULL ? &flood->cycles : &calm;
	uint64_t all = 0;
	uint64_t n_through = 0;

	for (unsigned int i = 0; i < N_WARM_UP + DROP_PASSES * DROP_SAMPLES; i++) {
		uint64_t cycles;

		is_flood_timed = flood != NULL || i != 0;
		if (!run_drop_pass(world, flood, &cycles))
			return false;
		if (i < N_WARM_UP)
			continue;
		all += cycles;
		n_through += BENCH_TIMED - n_denied;
		if ((i - N_WARM_UP) % DROP_PASSES != DROP_PASSES - 1)
			continue;
		bench_samples_add(samples, all * BENCH_TIMED / n_through);
		all = 0;
		n_through = 0;
	}
	n_denied = 0;
	is_flood_timed = false;
	return true;
}

static bool measure_drops(struct bench_world *world, unsigned int rounds)
{
	enter(world, &scenes[0]);
	for (unsigned int i = 0; i < rounds * DROP_ROWS; i++) {
		for (unsigned int k = 0; k <= N_FLOODS; k++) {
			unsigned int turn = (i + k) % (N_FLOODS + 1);

			if (!sample_drops(world, turn < N_FLOODS ? &floods[turn] : NULL))
				return false;
		}
	}
	return true;
}

static bool measure(struct bench_world *world, const struct bench_options *options)
{
	for (unsigned int round = 0; round < BENCH_WARM_UP + options->rounds; round++) {
		bool counts = round >= BENCH_WARM_UP;

		for (unsigned int k = 0; k < 2; k++) {
			bool with = (round + k) % 2 != 0;

			for (size_t i = 0; i < N_SCENES; i++) {
				if (!measure_scene(world, &scenes[i], with, counts))
					return false;
			}
		}
	}
	return measure_drops(world, options->rounds);
}

/* ---- set-up -------------------------------------------------------------------------------------- */

static int make_samples(unsigned int rounds)
{
	const unsigned int n_drops = rounds * DROP_ROWS * DROP_SAMPLES;
	int err = bench_samples_init(&calm, n_drops);

	for (size_t i = 0; i < N_FLOODS; i++)
		err = err != 0 ? err : bench_samples_init(&floods[i].cycles, n_drops);
	for (unsigned int with = 0; with < 2; with++) {
		for (size_t i = 0; i < N_SCENES; i++)
			err = err != 0 ? err : bench_samples_init(&scenes[i].cycles[with], rounds);
	}
	return err;
}

/* The flow of a packet stands: judged, and answered. */
static bool establish(struct bench_world *world, const struct bench_packet *packet)
{
	const struct policy_packet data = bench_rules_packet(&rules[0], packet->from, packet->to,
	                                                     packet->sport, packet->dport);

	return bench_rules_establish(world->st.flows, world->st.policy, world->st.clock, &data);
}

/* A table of its own with the scene's flows, all of them standing. */
static int make_flows(struct bench_world *world, struct scene *of)
{
	struct policy_flow *flows = world->st.flows;
	size_t flows_len = world->st.flows_len;
	int err = state_flow_create(&world->st, of->n_flows > FLOWS_MIN ? of->n_flows : FLOWS_MIN,
	                            NULL, false);

	if (err != 0)
		return err;
	policy_flow_lead(world->st.flows, state_flow_lead(&world->st));
	for (uint32_t i = 0; i < of->n_flows && err == 0; i++) {
		struct bench_packet packet;

		set_known(&packet, i);
		if (!establish(world, &packet))
			err = -EINVAL;
	}
	of->flows = world->st.flows;
	of->flows_len = world->st.flows_len;
	of->clock = world->st.clock;
	world->st.flows = flows;
	world->st.flows_len = flows_len;
	return err;
}

static int init(struct bench_world *world, const struct bench_options *options)
{
	int err;

	ways[0] = bench_way_without_policy(BENCH_HUB);
	ways[1] = bench_ways[BENCH_HUB];
	err = make_samples(options->rounds);
	for (unsigned int i = 0; i < 2 && err == 0; i++)
		err = bench_rules_init(&rules[i], BENCH_RULES_GROUP_TO_GROUP, world->n_peers,
		                       BENCH_WIRE_TUNNEL);
	if (err == 0)
		err = bench_rules_build(&rules[0], 2);
	/* the same grants and groups, so that the flows of one table stand under the other */
	rules[1].source = rules[0].source;
	if (err == 0)
		err = bench_rules_build(&rules[1], 3);
	if (err != 0)
		return err;
	world->st.policy = rules[0].table;
	world->pick = pick;
	world->st.routes_seen = state_route_generation(world->st.routes);
	for (unsigned int i = 0; i < N_PAIRS; i++)
		pairs[i] = bench_rules_pick(&rules[0], false);
	for (size_t i = 0; i < N_SCENES && err == 0; i++)
		err = make_flows(world, &scenes[i]);
	return err;
}

static void fini(struct bench_world *world)
{
	bench_samples_fini(&calm);
	for (size_t i = 0; i < N_FLOODS; i++)
		bench_samples_fini(&floods[i].cycles);
	for (unsigned int with = 0; with < 2; with++) {
		bench_rules_fini(&rules[with]);
		for (size_t i = 0; i < N_SCENES; i++)
			bench_samples_fini(&scenes[i].cycles[with]);
	}
	for (size_t i = 0; i < N_SCENES; i++) {
		if (scenes[i].flows != NULL)
			(void)munmap(scenes[i].flows, scenes[i].flows_len);
	}
	world->st.policy = NULL;
	world->st.flows = NULL;
}

/* ---- report -------------------------------------------------------------------------------------- */

static struct bench_summary summary(struct bench_samples *samples)
{
	return bench_samples_summary(samples, BENCH_TIMED);
}

static json_t *rounded(double value)
{
	return json_real((double)(int64_t)(value * 100 + (value < 0 ? -0.5 : 0.5)) / 100);
}

static json_t *scene_json(struct scene *s)
{
	struct bench_summary with = summary(&s->cycles[1]);
	struct bench_summary without = summary(&s->cycles[0]);
	json_t *object = json_object();

	json_object_set_new(object, "what", json_string(s->name));
	json_object_set_new(object, "rounds", json_integer(with.n));
	json_object_set_new(object, "cycles_min", rounded(with.min - without.min));
	json_object_set_new(object, "cycles_median", rounded(with.median - without.median));
	json_object_set_new(object, "with_min", rounded(with.min));
	json_object_set_new(object, "without_min", rounded(without.min));
	if (s->bound > 0) {
		json_object_set_new(object, "bound", json_real(s->bound));
		json_object_set_new(object, "met",
		                    json_boolean(with.min - without.min <= s->bound));
	}
	return object;
}

/* By how many per cent packets take longer for those that are refused. */
static double slower(struct flood *flood)
{
	return (summary(&flood->cycles).twentieth / summary(&calm).twentieth - 1) * 100;
}

static double offered(const struct flood *flood)
{
	return (double)flood->n * tsc_hz / (double)flood->clock;
}

static json_t *flood_json(struct flood *flood)
{
	double percent = slower(flood);
	json_t *object = json_object();

	json_object_set_new(object, "what", json_string(flood->name));
	json_object_set_new(object, "a_second", json_integer((json_int_t)(offered(flood) + 0.5)));
	json_object_set_new(object, "slower_percent", rounded(percent));
	json_object_set_new(object, "bound", json_real(DROPS_BOUND));
	json_object_set_new(object, "met", json_boolean(percent <= DROPS_BOUND));
	return object;
}

static int report_json(void)
{
	json_t *root = json_object();
	json_t *list = json_array();
	json_t *refused = json_array();

	for (size_t i = 0; i < N_SCENES; i++)
		json_array_append_new(list, scene_json(&scenes[i]));
	for (size_t i = 0; i < N_FLOODS; i++)
		json_array_append_new(refused, flood_json(&floods[i]));
	json_object_set_new(root, "results", list);
	json_object_set_new(root, "drops", refused);
	json_object_set_new(root, "swaps", json_integer((json_int_t)n_swaps));
	json_object_set_new(root, "swaps_lost", json_integer(0)); /* else there is no report */
	return bench_report_json(root);
}

static const char *verdict(double value, double bound)
{
	return value <= bound ? "met" : "missed";
}

static int report_table(const struct bench_options *options)
{
	struct bench_machine machine;

	bench_machine_read(&machine);
	printf("weir-bench path --policy: from peer to peer, 64 bytes, %u peers; 10,000 grants, 1,000 groups\n",
	       options->peers);
	printf("machine    %s, TSC %.2f GHz, core clock now %.2f x TSC, one core\n", machine.cpu,
	       machine.tsc_ghz, machine.clock_ratio);
	printf("runs       %u rounds of %u packets in bursts of %u, the last %u timed\n\n",
	       options->rounds, BENCH_PACKETS, BENCH_BURST, BENCH_TIMED);
	printf("%38s  %8s %8s %8s %8s %6s\n", "TSC cycles a packet, min", "with", "without",
	       "added", "(median)", "bound");
	for (size_t i = 0; i < N_SCENES; i++) {
		struct bench_summary with = summary(&scenes[i].cycles[1]);
		struct bench_summary without = summary(&scenes[i].cycles[0]);

		printf("%38s  %8.1f %8.1f %8.1f %8.1f", scenes[i].name, with.min, without.min,
		       with.min - without.min, with.median - without.median);
		if (scenes[i].bound > 0)
			printf(" %6.0f %s", scenes[i].bound,
			       verdict(with.min - without.min, scenes[i].bound));
		printf("\n");
	}
	printf("\n%38s  %8s others slower, bound %.0f %%\n", "refused", "a second", DROPS_BOUND);
	for (size_t i = 0; i < N_FLOODS; i++)
		printf("%38s  %8.0f %7.2f %% %s\n", floods[i].name, offered(&floods[i]),
		       slower(&floods[i]), verdict(slower(&floods[i]), DROPS_BOUND));
	printf("the policy was swapped %llu times under packets of known flows, and none was lost\n",
	       (unsigned long long)n_swaps);
	printf("not shown  other workers (what one expects for another), packets between hub and peers, "
	       "IPv6\n");
	return fflush(stdout) == 0 ? 0 : 1;
}

int bench_path_policy(const struct bench_options *options)
{
	struct bench_world *world;
	struct bench_machine machine;
	int ret = 1;
	int err;

	if (options->peers < PEERS_MIN) {
		fprintf(stderr, "weir-bench: --policy wants %u --peers at least\n", PEERS_MIN);
		return 1;
	}
	world = bench_world_create(options, options->peers, options->routes, NULL);
	if (world == NULL)
		return 1;
	bench_machine_read(&machine);
	tsc_hz = machine.tsc_ghz * 1e9;
	err = init(world, options);
	if (err != 0)
		fprintf(stderr, "weir-bench: cannot begin: %s\n", strerror(-err));
	else if (!measure(world, options))
		fprintf(stderr, "weir-bench: %s: a packet did not come through as it should\n",
		        scene->name);
	else
		ret = options->json ? report_json() : report_table(options);
	fini(world);
	bench_world_destroy(world, false);
	return ret;
}
