/* weir-bench scale: what a hub with many peers and prefixes costs, against a small one in the same run.
 *
 *   packet   a packet of each size through the stations with --peers peers in no order and --routes
 *            prefixes, and with 256 peers and no more prefixes, in turn
 *   memory   what the dataplane's process grows by for a peer with a session, and for a flow
 *   table    the routing table alone: filling, memory, look-ups that hit and that miss */
#include "base_bytes.h"
#include "base_time.h"
#include "bench_machine.h"
#include "bench_report.h"
#include "bench_world.h"
#include "wg_allowedips.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define N_FEW       256U
#define N_LOOKUPS   65536U
/* DESIGN.md section 6: what a packet of many peers may cost, in packets of few. */
#define RATIO_BOUND 1.25
/* The issue's: what a peer may take in the dataplane. */
#define BYTES_BOUND 2048U

struct table_figures {
	double fill_s;
	double bytes_a_prefix;
	double lookup[2][2]; /* [v6][miss], cycles, one by one */
	double burst[2][2];
};

/* One size in one direction, in the small world [0] and the large one [1]. */
struct packets {
	const struct bench_size *size;
	enum bench_direction direction;
	struct bench_samples samples[2];
	struct bench_summary summary[2];
};
#define PACKETS_MAX (BENCH_N_SIZES * BENCH_N_DIRECTIONS)

struct figures {
	unsigned int n_packets;
	struct packets packets[PACKETS_MAX];
	double bytes_a_peer; /* without prefixes and flows, of which a peer may have any number */
	double bytes_a_flow;
	double fill_s; /* all peers, sessions and prefixes, by the functions that commands call */
	struct table_figures hosts; /* single addresses */
	struct table_figures nets;
};

static size_t resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long total;
	unsigned long resident = 0;

	if (file == NULL)
		return 0;
	if (fscanf(file, "%lu %lu", &total, &resident) != 2)
		resident = 0;
	fclose(file);
	return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* What of memory[len], which begins a page, is there. 0: cannot be found out. */
static size_t resident_of(void *memory, size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t n_pages = (len + page - 1) / page;
	unsigned char *there = calloc(n_pages, 1);
	size_t n = 0;

	if (there != NULL && mincore(memory, len, there) == 0)
		for (size_t i = 0; i < n_pages; i++)
			n += there[i] & 1;
	free(there);
	return n * page;
}

/* ---- packets ------------------------------------------------------------------------------------- */

static bool measure_pass(struct bench_world *world, const struct bench_size *size,
                         enum bench_direction direction, uint64_t *cycles)
{
	unsigned int n_left;

	bench_world_prepare(world, size, direction);
	*cycles = bench_world_time(world, &bench_ways[direction], &n_left);
	return bench_world_right(world, direction, n_left);
}

static bool measure_round(struct bench_world *const worlds[static 2], struct figures *out,
                          bool counts)
{
	for (unsigned int i = 0; i < out->n_packets; i++) {
		struct packets *packets = &out->packets[i];

		for (unsigned int k = 0; k < 2; k++) {
			uint64_t cycles;

			if (!measure_pass(worlds[k], packets->size, packets->direction, &cycles))
				return false;
			if (counts)
				bench_samples_add(&packets->samples[k], cycles);
		}
	}
	return true;
}

/* Each peer's session sends and receives once, so that no header has to be made any more, and control is
 * told, so that its counters are there. */
static bool use_all(struct bench_world *world)
{
	for (unsigned int direction = 0; direction < BENCH_N_DIRECTIONS; direction++) {
		for (unsigned int i = 0; i < world->n_peers; i += BENCH_PACKETS) {
			uint64_t cycles;

			if (!measure_pass(world, &bench_sizes[0], (enum bench_direction)direction,
			                  &cycles))
				return false;
		}
	}
	for (uint32_t i = 0; i < world->st.n_active; i++)
		state_session_publish(&world->st, &world->st.sessions[world->st.active[i]]);
	return true;
}

static int plan_packets(const struct bench_options *options, struct figures *out)
{
	for (unsigned int i = 0; i < PACKETS_MAX; i++) {
		struct packets *packets = &out->packets[out->n_packets];

		if (!options->size_wanted[i / BENCH_N_DIRECTIONS])
			continue;
		packets->size = &bench_sizes[i / BENCH_N_DIRECTIONS];
		packets->direction = (enum bench_direction)(i % BENCH_N_DIRECTIONS);
		out->n_packets++;
		for (unsigned int k = 0; k < 2; k++)
			if (bench_samples_init(&packets->samples[k], options->rounds) != 0)
				return -1;
	}
	return 0;
}

static int measure_packets(struct bench_world *const worlds[static 2],
                           const struct bench_options *options, struct figures *out)
{
	bool ok = plan_packets(options, out) == 0 && use_all(worlds[0]) && use_all(worlds[1]);

	for (unsigned int i = 0; ok && i < BENCH_WARM_UP + options->rounds; i++)
		ok = measure_round(worlds, out, i >= BENCH_WARM_UP);
	for (unsigned int i = 0; i < 2 * out->n_packets; i++) {
		struct packets *packets = &out->packets[i / 2];

		packets->summary[i % 2] = bench_samples_summary(&packets->samples[i % 2],
		                                                BENCH_TIMED);
		bench_samples_fini(&packets->samples[i % 2]);
	}
	if (!ok)
		fprintf(stderr, "weir-bench: a packet did not come through as it should\n");
	return ok ? 0 : -1;
}

static int measure_worlds(const struct bench_options *options, struct figures *out)
{
	struct bench_world *worlds[2];
	size_t before, after, flows;
	uint64_t start;
	int err = -1;

	worlds[0] = bench_world_create(options, N_FEW, 0, NULL);
	if (worlds[0] == NULL)
		return -1;
	before = resident_bytes();
	start = base_time_monotonic_ns();
	worlds[1] = bench_world_create(options, options->peers, options->routes, worlds[0]);
	if (worlds[1] != NULL) {
		const struct state_routes *routes = worlds[1]->st.routes;

		out->fill_s = (double)(base_time_monotonic_ns() - start) / 1e9;
		err = measure_packets(worlds, options, out);
		/* sessions that were used, without what the bench keeps, prefixes and flows apart */
		after = resident_bytes() - options->peers * sizeof(struct bench_peer);
		flows = resident_of(worlds[1]->st.flows, worlds[1]->st.flows_len);
		out->bytes_a_flow = (double)flows / policy_flow_count(worlds[1]->st.flows);
		out->bytes_a_peer = ((double)after - (double)before - (double)flows
		                     - (double)wg_allowedips_memory(routes->table))
		                    / options->peers;
	}
	bench_world_destroy(worlds[1], true);
	bench_world_destroy(worlds[0], false);
	return err;
}

/* ---- the table alone ----------------------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* Prefix number i of the table, or an address in it; odd ones are IPv6. Misses begin otherwise. */
static struct base_prefix prefix_at(uint32_t i, bool is_host, bool is_miss)
{
	uint64_t x = mix(i + UINT64_C(1));
	struct base_prefix p = {.ip = {.family = i % 2 != 0 ? BASE_IP_V6 : BASE_IP_V4}};

	if (i % 2 != 0) {
		p.ip.bytes[0] = is_miss ? 0x20 : 0xfd;
		base_store_be64(p.ip.bytes + 1, x);
		base_store_be64(p.ip.bytes + 8, x * 3);
		p.len = is_host ? 128 : 64;
	} else {
		base_store_be32(p.ip.bytes, (uint32_t)(x >> 2 | (is_miss ? 0xc0000000U : 0)));
		p.len = is_host ? 32 : 24;
		if (!is_miss)
			p.ip.bytes[0] &= 0x7f;
	}
	return p;
}

static struct wg_allowedips *fill_table(uint32_t n, bool is_host, struct table_figures *out)
{
	struct wg_allowedips *table = wg_allowedips_create(NULL);
	uint64_t start = base_time_monotonic_ns();

	for (uint32_t i = 0; table != NULL && i < n; i++) {
		struct base_prefix p = prefix_at(i, is_host, false);

		if (wg_allowedips_insert(table, &p, i % 100000, NULL) != 0) {
			wg_allowedips_destroy(table);
			table = NULL;
		}
	}
	out->fill_s = (double)(base_time_monotonic_ns() - start) / 1e9;
	if (table != NULL)
		out->bytes_a_prefix = (double)wg_allowedips_memory(table)
		                      / (double)wg_allowedips_count(table);
	return table;
}

/* Cycles of a look-up, the least of a few passes over addresses in no order. *sum keeps the compiler
 * from leaving them out. */
static double time_lookups(const struct wg_allowedips *table, const struct base_ip *ips, bool burst,
                           uint64_t *sum)
{
	uint64_t best = UINT64_MAX;

	for (unsigned int round = 0; round < 5; round++) {
		uint64_t start = bench_tsc();

		for (unsigned int i = 0; i < N_LOOKUPS; i += BENCH_BURST) {
			const uint8_t *addresses[BENCH_BURST];
			uint8_t families[BENCH_BURST];
			uint32_t values[BENCH_BURST];

			for (unsigned int k = 0; k < BENCH_BURST; k++) {
				addresses[k] = ips[i + k].bytes;
				families[k] = ips[i + k].family;
				if (!burst)
					values[k] = wg_allowedips_lookup(table, &ips[i + k]);
			}
			if (burst)
				wg_allowedips_lookup_burst(table, addresses, families, values,
				                           BENCH_BURST);
			for (unsigned int k = 0; k < BENCH_BURST; k++)
				*sum += values[k];
		}
		start = bench_tsc() - start;
		best = start < best ? start : best;
	}
	return (double)best / N_LOOKUPS;
}

static int measure_table(uint32_t n, bool is_host, struct table_figures *out)
{
	struct wg_allowedips *table = fill_table(n, is_host, out);
	struct base_ip *ips = calloc(N_LOOKUPS, sizeof(*ips));
	uint64_t sum = 0;

	for (unsigned int v6 = 0; table != NULL && ips != NULL && v6 < 2; v6++) {
		for (unsigned int miss = 0; miss < 2; miss++) {
			for (uint32_t i = 0; i < N_LOOKUPS; i++)
				ips[i] = prefix_at((uint32_t)(mix(i) % (n / 2)) * 2 + v6, is_host,
				                   miss != 0)
				                 .ip;
			out->lookup[v6][miss] = time_lookups(table, ips, false, &sum);
			out->burst[v6][miss] = time_lookups(table, ips, true, &sum);
		}
	}
	if (table == NULL || ips == NULL || sum == 0)
		fprintf(stderr, "weir-bench: no memory for %u prefixes\n", n);
	wg_allowedips_destroy(table);
	free(ips);
	return sum != 0 ? 0 : -1;
}

/* ---- report -------------------------------------------------------------------------------------- */

static json_t *table_json(const struct table_figures *table)
{
	static const char *const families[2] = {"v4", "v6"};
	json_t *object = json_pack("{s:f, s:f}", "fill_s", table->fill_s, "bytes_a_prefix",
	                           table->bytes_a_prefix);

	for (unsigned int v6 = 0; v6 < 2; v6++)
		json_object_set_new(object, families[v6],
		                    json_pack("{s:f, s:f, s:f, s:f}", "hit", table->lookup[v6][0],
		                              "miss", table->lookup[v6][1], "burst_hit",
		                              table->burst[v6][0], "burst_miss",
		                              table->burst[v6][1]));
	return object;
}

static const char *const direction_names[BENCH_N_DIRECTIONS] = {"seal", "open"};

static json_t *packets_json(const struct figures *f)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < f->n_packets; i++) {
		const struct packets *packets = &f->packets[i];
		const struct bench_summary *few = &packets->summary[0];
		const struct bench_summary *many = &packets->summary[1];

		json_array_append_new(
			list,
			json_pack("{s:o, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:b}", "size",
		                  packets->size->len != 0 ? json_integer(packets->size->len)
		                                          : json_string(packets->size->name),
		                  "direction", direction_names[packets->direction], "few_min",
		                  few->min, "many_min", many->min, "few_median", few->median,
		                  "many_median", many->median, "ratio", many->min / few->min,
		                  "ratio_median", many->median / few->median, "bound", RATIO_BOUND,
		                  "met", many->min <= RATIO_BOUND * few->min));
	}
	return list;
}

static int report_json(const struct figures *f, const struct bench_options *options)
{
	return bench_report_json(json_pack(
		"{s:i, s:i, s:i, s:i, s:o, s:f, s:f, s:f, s:o, s:o}", "peers", (int)options->peers,
		"routes", (int)options->routes, "limited", (int)options->limited, "rounds",
		(int)options->rounds, "packets", packets_json(f), "bytes_a_peer", f->bytes_a_peer,
		"bytes_a_flow", f->bytes_a_flow, "fill_s", f->fill_s, "hosts",
		table_json(&f->hosts), "nets", table_json(&f->nets)));
}

static void print_table_figures(const char *name, const struct table_figures *table)
{
	printf("%s  %6.2f s  %5.1f  ", name, table->fill_s, table->bytes_a_prefix);
	for (unsigned int v6 = 0; v6 < 2; v6++)
		printf("  %6.1f %6.1f %6.1f %6.1f", table->lookup[v6][0], table->burst[v6][0],
		       table->lookup[v6][1], table->burst[v6][1]);
	printf("\n");
}

static int report_table(const struct figures *f, const struct bench_options *options)
{
	printf("weir-bench scale: %u peers in no order and %u prefixes more, against %u peers\n\n",
	       options->peers, options->routes, N_FEW);
	printf("packets through the stations, TSC cycles, %u rounds\n", options->rounds);
	printf(" size  dir   few min  many min   ratio   few med  many med   ratio  bound 1.25\n");
	for (unsigned int i = 0; i < f->n_packets; i++) {
		const struct packets *packets = &f->packets[i];
		const struct bench_summary *few = &packets->summary[0];
		const struct bench_summary *many = &packets->summary[1];

		printf("%5s %s  %8.1f  %8.1f  %6.3f  %8.1f  %8.1f  %6.3f  %s\n",
		       packets->size->name, direction_names[packets->direction], few->min,
		       many->min, many->min / few->min, few->median, many->median,
		       many->median / few->median,
		       many->min <= RATIO_BOUND * few->min ? "met" : "missed");
	}
	printf("\nmemory  %.0f bytes a peer with one session (bound %u), of which %u have limits; prefixes and"
	       " flows apart\n        %.0f bytes a flow; filled in %.2f s\n\n",
	       f->bytes_a_peer, BYTES_BOUND, options->limited, f->bytes_a_flow, f->fill_s);
	printf("routing table alone, %u prefixes, half IPv4; cycles a look-up, one by one and in"
	       " bursts of %u\n",
	       options->routes, BENCH_BURST);
	printf("            filled  bytes   v4 hit  burst   miss  burst  v6 hit  burst   miss"
	       "  burst\n");
	print_table_figures("/32 /128", &f->hosts);
	print_table_figures("/24 /64 ", &f->nets);
	return fflush(stdout) == 0 ? 0 : 1;
}

int bench_scale(const struct bench_options *options)
{
	static struct figures figures;

	if (measure_worlds(options, &figures) != 0
	    || measure_table(options->routes, true, &figures.hosts) != 0
	    || measure_table(options->routes, false, &figures.nets) != 0)
		return 1;
	return options->json ? report_json(&figures, options) : report_table(&figures, options);
}
