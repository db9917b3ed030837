/* weir-bench drops: what a packet costs that is dropped when it has been opened, beside one that passes from
 * peer to peer, in turn; and how much of that is counting it by peer and reason and showing a few of them.
 * The drop is an inner source that is not the sender's; where a policy refuses, its decision comes on top
 * (weir-bench policy). */
#include "bench_machine.h"
#include "bench_report.h"
#include "bench_world.h"

#include <jansson.h>

#include <stdio.h>

#define DROPS_PER_S 100000.0
#define BOUND       0.02 /* of a core that is busy with allowed traffic */

enum what { WHAT_PASSES = 0, WHAT_DROPPED = 1, WHAT_COUNTED = 2, N_WHATS };

static const char *const names[N_WHATS] = {
	[WHAT_PASSES] = "from peer to peer, 64 bytes",
	[WHAT_DROPPED] = "opened and dropped",
	[WHAT_COUNTED] = "of that, counted and sampled",
};

static struct bench_samples samples[N_WHATS];

/* All sessions belong to the peer behind them now, or to their own again. */
static void bend(struct bench_world *world, bool bent)
{
	for (unsigned int i = 0; i < world->n_peers; i++) {
		struct state_session *session =
			&world->st.sessions[abi_index_slot(world->peer[i].index)];

		session->peer = (bent ? (i + 1) % world->n_peers : i) & 0xffffffU;
		session->source_of = 0; /* the source that it sent from is not known by heart */
	}
}

/* What was dropped was freed. */
static bool refill(struct bench_world *world)
{
	for (unsigned int i = 0; i < BENCH_PACKETS; i++) {
		world->packet[i].mbuf = rte_pktmbuf_alloc(world->pool);
		if (world->packet[i].mbuf == NULL)
			return false;
	}
	return true;
}

static bool time_dropped(struct bench_world *world, bool counts)
{
	uint64_t before = world->st.counters[ABI_COUNTER_DROP_INNER_SOURCE];
	unsigned int n_left;
	uint64_t cycles;

	bend(world, true);
	cycles = bench_world_time(world, &bench_ways[BENCH_HUB], &n_left);
	bend(world, false);
	if (counts)
		bench_samples_add(&samples[WHAT_DROPPED], cycles);
	return n_left == 0
	       && world->st.counters[ABI_COUNTER_DROP_INNER_SOURCE] == before + BENCH_PACKETS
	       && refill(world);
}

static bool time_counted(struct bench_world *world, bool counts)
{
	uint64_t start;

	bench_world_burst(world, 0);
	start = bench_tsc();
	for (unsigned int i = 0; i < BENCH_TIMED; i++) {
		struct path_pkt *p = &world->burst.pkt[i % world->burst.n];

		p->session = &world->st.sessions[abi_index_slot(
			world->peer[world->packet[i].from].index)];
		path_sample(&world->st, p, ABI_COUNTER_DROP_INNER_SOURCE);
	}
	if (counts)
		bench_samples_add(&samples[WHAT_COUNTED], bench_tsc() - start);
	return true;
}

static bool measure_one(struct bench_world *world, enum what what, bool counts)
{
	unsigned int n_left;
	uint64_t cycles;

	bench_world_prepare(world, &bench_sizes[0], BENCH_HUB);
	if (what == WHAT_DROPPED)
		return time_dropped(world, counts);
	if (what == WHAT_COUNTED)
		return time_counted(world, counts);
	cycles = bench_world_time(world, &bench_ways[BENCH_HUB], &n_left);
	if (counts)
		bench_samples_add(&samples[WHAT_PASSES], cycles);
	return bench_world_right(world, BENCH_HUB, n_left);
}

static bool measure(struct bench_world *world, unsigned int rounds)
{
	for (unsigned int round = 0; round < BENCH_WARM_UP + rounds; round++)
		for (unsigned int k = 0; k < N_WHATS; k++)
			if (!measure_one(world, (enum what)((round + k) % N_WHATS),
			                 round >= BENCH_WARM_UP))
				return false;
	return true;
}

/* The part of a core's time that so many drops a second take. */
static double share(double cycles, const struct bench_machine *machine)
{
	return cycles * DROPS_PER_S / (machine->tsc_ghz * 1e9);
}

static int report_json(const struct bench_summary *s, const struct bench_machine *machine)
{
	json_t *root = json_object();
	json_t *results = json_array();

	for (unsigned int i = 0; i < N_WHATS; i++)
		json_array_append_new(results, json_pack("{s:s, s:i, s:f, s:f}", "what", names[i],
		                                         "rounds", (int)s[i].n, "cycles_min",
		                                         s[i].min, "cycles_median", s[i].median));
	json_object_set_new(root, "results", results);
	json_object_set_new(root, "drop_to_pass",
	                    json_real(s[WHAT_DROPPED].min / s[WHAT_PASSES].min));
	json_object_set_new(root, "slowdown_at_100k",
	                    json_real(share(s[WHAT_DROPPED].min, machine)));
	json_object_set_new(root, "bound", json_real(BOUND));
	return bench_report_json(root);
}

static int report_table(const struct bench_summary *s, const struct bench_machine *machine)
{
	printf("weir-bench drops: packets that are opened and dropped beside those that pass\n");
	printf("machine    %s, TSC %.2f GHz, core clock now %.2f x TSC, one core\n\n", machine->cpu,
	       machine->tsc_ghz, machine->clock_ratio);
	printf("%32s  %8s %8s\n", "TSC cycles a packet", "median", "min");
	for (unsigned int i = 0; i < N_WHATS; i++)
		printf("%32s  %8.1f %8.1f\n", names[i], s[i].median, s[i].min);
	printf("\na drop costs %.2f of a packet that passes; 100,000 a second take %.2f %% of a core"
	       " (bound %.0f %%)\n",
	       s[WHAT_DROPPED].min / s[WHAT_PASSES].min, 100 * share(s[WHAT_DROPPED].min, machine),
	       100 * BOUND);
	printf("not shown  the policy's decision, which comes before its refusals: weir-bench policy\n");
	return fflush(stdout) == 0 ? 0 : 1;
}

static int report(const struct bench_options *options)
{
	struct bench_summary summaries[N_WHATS];
	struct bench_machine machine;

	bench_machine_read(&machine);
	for (unsigned int i = 0; i < N_WHATS; i++)
		summaries[i] = bench_samples_summary(&samples[i], BENCH_TIMED);
	return options->json ? report_json(summaries, &machine) : report_table(summaries, &machine);
}

int bench_drops(const struct bench_options *options)
{
	struct bench_world *world = bench_world_create(options, options->peers, 0, NULL);
	int err = 0;
	int ret = 1;

	if (world == NULL)
		return 1;
	for (unsigned int i = 0; i < N_WHATS && err == 0; i++)
		err = bench_samples_init(&samples[i], options->rounds);
	if (err != 0)
		fprintf(stderr, "weir-bench: no memory for samples\n");
	else if (!measure(world, options->rounds))
		fprintf(stderr, "weir-bench: a packet did not go where it should\n");
	else
		ret = report(options);
	for (unsigned int i = 0; i < N_WHATS; i++)
		bench_samples_fini(&samples[i]);
	bench_world_destroy(world, false);
	return ret;
}
