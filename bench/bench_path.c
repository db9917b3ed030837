/* weir-bench path and hub: the stations of dataplane/path in their order. path has each way of a packet
 * by itself, hub has both besides, one after the other.
 *
 *   open   frames of many peers from a WAN port: in_parse to in_deliver, inner destination another
 *          peer, so that they end where out_route would take over; but what in_open left encrypted for
 *          out_seal is opened as well
 *   seal   inner packets from the kernel: out_parse to out_wrap
 *   hub    frames as in open, and out_route to out_wrap behind it: the worker's way from peer to peer
 *
 * --without-policy leaves the policy's stations out, to show what the others cost; no worker does that.
 *
 * The worker around the stations (ports, rings, commands, timers) is left out; time stands still but
 * for a microsecond a burst. */
#include "bench_report.h"
#include "bench_world.h"

#include <stdio.h>

static struct bench_way ways[BENCH_N_WAYS]; /* of this run */

static void make_ways(bool has_policy)
{
	for (unsigned int i = 0; i < BENCH_N_WAYS; i++)
		ways[i] = has_policy ? bench_ways[i]
		                     : bench_way_without_policy((enum bench_direction)i);
}

/* The same with the clock read between stations, which costs each of them about a cycle. */
static void time_stations(struct bench_world *world, const struct bench_way *way, uint64_t *cycles,
                          unsigned int *n_left)
{
	memset(cycles, 0, BENCH_STATIONS_MAX * sizeof(*cycles));
	*n_left = 0;
	for (unsigned int i = 0; i < BENCH_PACKETS; i += BENCH_BURST) {
		uint64_t then;

		bench_world_burst(world, i);
		then = bench_tsc();
		for (unsigned int j = 0; j < way->n; j++) {
			uint64_t now;

			way->station[j].run(&world->st, &world->burst);
			now = bench_tsc();
			cycles[j] += i < BENCH_WARM ? 0 : now - then;
			then = now;
		}
		*n_left += world->burst.n;
	}
}

/* What the bare ipsec-mb job API, or the backend by itself, does with the same packets. */
static void run_cipher(struct bench_world *world, bool is_reference, bool opens,
                       struct aead_op *ops)
{
	if (is_reference && opens)
		bench_reference_open(world->reference, ops, BENCH_BURST);
	else if (is_reference)
		bench_reference_seal(world->reference, ops, BENCH_BURST);
	else if (opens)
		aead_open(world->aead, ops, BENCH_BURST);
	else
		aead_seal(world->aead, ops, BENCH_BURST);
}

static uint64_t time_cipher(struct bench_world *world, enum bench_direction direction,
                            bool is_reference)
{
	uint64_t start = 0;

	for (unsigned int i = 0; i < BENCH_PACKETS; i += BENCH_BURST) {
		if (i == BENCH_WARM)
			start = bench_tsc();
		run_cipher(world, is_reference, direction != BENCH_SEAL, &world->ops[i]);
		if (direction == BENCH_HUB)
			run_cipher(world, is_reference, false, &world->out_ops[i]);
	}
	return bench_tsc() - start;
}

static bool all_ok(const struct bench_world *world)
{
	for (unsigned int i = 0; i < BENCH_PACKETS; i++) {
		if (world->ops[i].verdict != AEAD_OK)
			return false;
	}
	return true;
}

enum what { WHAT_WAY = 0, WHAT_STATIONS = 1, WHAT_REFERENCE = 2, WHAT_AEAD = 3, N_WHATS };

static bool measure_cipher(struct bench_world *world, struct bench_result *result,
                           bool is_reference, bool counts)
{
	uint64_t cycles = time_cipher(world, result->direction, is_reference);

	if (counts)
		bench_samples_add(is_reference ? &result->reference : &result->aead, cycles);
	return all_ok(world);
}

static bool measure_one(struct bench_world *world, struct bench_result *result, enum what what,
                        bool counts)
{
	const struct bench_way *way = &ways[result->direction];
	uint64_t stations[BENCH_STATIONS_MAX];
	unsigned int n_left;
	uint64_t cycles;

	bench_world_prepare(world, result->size, result->direction);
	if (what == WHAT_REFERENCE || what == WHAT_AEAD)
		return measure_cipher(world, result, what == WHAT_REFERENCE, counts);
	if (what == WHAT_WAY) {
		cycles = bench_world_time(world, way, &n_left);
		if (counts)
			bench_samples_add(&result->cycles, cycles);
		return bench_world_right(world, result->direction, n_left);
	}
	time_stations(world, way, stations, &n_left);
	for (unsigned int i = 0; counts && i < way->n; i++)
		bench_samples_add(&result->station[i].cycles, stations[i]);
	return bench_world_right(world, result->direction, n_left);
}

static bool measure(struct bench_world *world, struct bench_run *run)
{
	for (unsigned int round = 0; round < BENCH_WARM_UP + run->options->rounds; round++) {
		for (unsigned int i = 0; i < run->n_results; i++) {
			for (unsigned int k = 0; k < N_WHATS; k++) {
				enum what what = (enum what)((round + k) % N_WHATS);

				if (!measure_one(world, &run->result[i], what,
				                 round >= BENCH_WARM_UP))
					return false;
			}
		}
	}
	return true;
}

static int add_stations(struct bench_run *run)
{
	for (unsigned int i = 0; i < run->n_results; i++) {
		struct bench_result *result = &run->result[i];
		const struct bench_way *way = &ways[result->direction];

		for (unsigned int j = 0; j < way->n; j++) {
			int err = bench_result_add_station(result, way->station[j].name,
			                                   run->options->rounds);

			if (err != 0)
				return err;
		}
	}
	return 0;
}

static const char without_title[] =
	"weir-bench: the stations without the policy's, as no worker runs them, IPv4 in IPv4";

static int run_ways(const struct bench_options *options, unsigned int n_ways, const char *title)
{
	static struct bench_run run;
	struct bench_world *world = bench_world_create(options, options->peers, options->routes,
	                                               NULL);
	int ret = 1;

	if (world == NULL)
		return 1;
	make_ways(!options->without_policy);
	if (bench_run_init(&run, options, n_ways, BENCH_TIMED) != 0 || add_stations(&run) != 0) {
		fprintf(stderr, "weir-bench: no memory for samples\n");
		goto out;
	}
	run.title = options->without_policy ? without_title : title;
	run.backend = aead_name(world->aead);
	run.shows_not =
		"ports, rings and the kernel side; IPv6; several workers; timers; packets that"
		" come cold from memory (256 buffers stay in L2)";
	if (!measure(world, &run)) {
		fprintf(stderr, "weir-bench: a packet did not come through as it should\n");
		goto out;
	}
	ret = bench_report(&run);
out:
	bench_run_fini(&run);
	bench_world_destroy(world, false);
	return ret;
}

int bench_path(const struct bench_options *options)
{
	if (options->policy)
		return bench_path_policy(options);
	return run_ways(
		options, BENCH_N_DIRECTIONS,
		"weir-bench path: one packet's way through a worker's stations, IPv4 in IPv4");
}

int bench_hub(const struct bench_options *options)
{
	return run_ways(
		options, BENCH_N_WAYS,
		"weir-bench hub: from one peer to another through a worker's stations, IPv4 in IPv4");
}
