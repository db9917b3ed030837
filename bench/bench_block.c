/* weir-bench block: what drop lists cost a packet (a look-up in bursts, sources that were not asked for
 * before) and control (compiling). */
#include "base_bytes.h"
#include "base_time.h"
#include "bench.h"
#include "bench_machine.h"
#include "bench_report.h"
#include "bench_store.h"
#include "block_build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define N_PACKETS BENCH_PACKETS /* a pass */
#define N_SOURCES 65536U        /* that a line asks in turn */
#define WALK_LEN  (64U << 20)   /* more than caches have */
#define BOUND     20.0          /* cycles */
#define N_MAX     1000000U
#define N_BUILDS  10U /* of each list */

static struct list {
	const char *name;
	uint32_t n;
	uint32_t of_v6; /* in 16 */
	struct block_prefix *prefixes;
	struct bench_store store;
	size_t len;
	const struct block_table *table;
	struct bench_samples build_ns; /* unsorted: an import */
	struct bench_samples again_ns; /* one address more */
} lists[] = {
	{.name = "10 prefixes", .n = 10, .of_v6 = 8},
	{.name = "10,000 prefixes", .n = 10000, .of_v6 = 8},
	{.name = "1,000,000 prefixes, IPv4", .n = N_MAX, .of_v6 = 0},
	{.name = "1,000,000 prefixes, IPv6", .n = N_MAX, .of_v6 = 16},
	{.name = "1,000,000 prefixes, both", .n = N_MAX, .of_v6 = 8},
};
#define N_LISTS BASE_ARRAY_LEN(lists)

enum asked { ASKED_V4, ASKED_V6, ASKED_BOTH };

static struct line {
	const char *what;
	enum asked asked;
	bool is_hit;
	uint32_t list;
	struct bench_samples cycles; /* N_PACKETS of them, caches as these look-ups leave them */
	struct bench_samples cold;   /* caches full of other things */
} lines[] = {
	{"10, IPv4, not listed", ASKED_V4, false, 0, {0}, {0}},
	{"10, IPv6, not listed", ASKED_V6, false, 0, {0}, {0}},
	{"10, both, listed", ASKED_BOTH, true, 0, {0}, {0}},
	{"10,000, IPv4, not listed", ASKED_V4, false, 1, {0}, {0}},
	{"10,000, IPv4, listed", ASKED_V4, true, 1, {0}, {0}},
	{"10,000, IPv6, not listed", ASKED_V6, false, 1, {0}, {0}},
	{"10,000, IPv6, listed", ASKED_V6, true, 1, {0}, {0}},
	{"10,000, both, not listed", ASKED_BOTH, false, 1, {0}, {0}},
	{"1,000,000 IPv4, not listed", ASKED_V4, false, 2, {0}, {0}},
	{"1,000,000 IPv4, listed", ASKED_V4, true, 2, {0}, {0}},
	{"1,000,000 IPv6, not listed", ASKED_V6, false, 3, {0}, {0}},
	{"1,000,000 IPv6, listed", ASKED_V6, true, 3, {0}, {0}},
	{"1,000,000 both, not listed", ASKED_BOTH, false, 4, {0}, {0}},
	{"1,000,000 both, listed", ASKED_BOTH, true, 4, {0}, {0}},
};
#define N_LINES BASE_ARRAY_LEN(lines)

static uint64_t random_state = 88172645463325252;

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * UINT64_C(0x2545f4914f6cdd1d);
}

static uint32_t random_below(uint32_t below)
{
	return (uint32_t)((random_next() >> 32) * below >> 32);
}

/* ---- lists --------------------------------------------------------------------------------------- */

/* An address from anywhere; IPv6: from 2000::/3. */
static struct block_prefix random_address(bool is_v6)
{
	struct block_prefix p = {.family = is_v6 ? BASE_IP_V6 : BASE_IP_V4, .scopes = BLOCK_ALL};

	p.high = random_next();
	if (is_v6) {
		p.high = UINT64_C(1) << 61 | p.high >> 3;
		p.low = random_next();
	} else {
		p.high &= ~(uint64_t)UINT32_MAX;
	}
	p.len = is_v6 ? 128 : 32;
	return p;
}

/* Mostly single hosts, as lists of attackers are: 13 of 16 are /32 or /64, the others wider; one IPv6
 * prefix in 16 is a /128. */
static struct block_prefix random_prefix(bool is_v6)
{
	struct block_prefix p = random_address(is_v6);
	struct base_prefix prefix = block_prefix_text(&p);
	uint32_t dice = random_below(16);

	if (is_v6)
		prefix.len = dice == 0 ? 128 : dice < 3 ? (uint8_t)(44 + random_below(20)) : 64;
	else if (dice < 3)
		prefix.len = (uint8_t)(22 + random_below(10));
	return block_prefix_make(&prefix, BLOCK_ALL);
}

static int build(const struct block_prefix *from, uint32_t n, struct bench_samples *samples,
                 void **out, size_t *len)
{
	struct block_prefix *prefixes = malloc(n * sizeof(*prefixes));
	struct block_source source = {.generation = 1, .seed = 1, .prefixes = prefixes, .n = n};
	uint64_t start_ns;
	int err;

	if (!prefixes)
		return -ENOMEM;
	memcpy(prefixes, from, n * sizeof(*prefixes));
	start_ns = base_time_monotonic_ns();
	err = block_build(&source, out, len);
	if (err == 0 && !block_table_check(*out, *len, NULL))
		err = -EINVAL;
	bench_samples_add(samples, base_time_monotonic_ns() - start_ns);
	free(prefixes);
	return err;
}

/* As a worker has it. */
static int hand_over(struct list *list, const void *blob)
{
	const struct state_blob *mapped;
	int err = bench_store_init(&list->store);

	if (err == 0)
		err = bench_store_put(&list->store, ABI_BLOB_BLOCK, blob, list->len, &mapped);
	if (err == 0)
		list->table = mapped->data;
	return err;
}

/* One more in a list that is sorted but for it, as control has it. */
static int build_again(struct list *list)
{
	void *blob;
	size_t len;
	int err;

	list->prefixes[list->n] = random_prefix(false);
	err = build(list->prefixes, list->n + 1, &list->again_ns, &blob, &len);
	free(blob);
	return err;
}

static int make_list(struct list *list)
{
	void *blob = NULL;
	int err = 0;

	list->prefixes = calloc(list->n + 1, sizeof(*list->prefixes));
	if (!list->prefixes)
		return -ENOMEM;
	for (uint32_t i = 0; i < list->n; i++)
		list->prefixes[i] = random_prefix(i % 16 < list->of_v6);
	for (unsigned int i = 0; i < N_BUILDS && err == 0; i++) {
		free(blob);
		err = build(list->prefixes, list->n, &list->build_ns, &blob, &list->len);
	}
	if (err == 0)
		err = hand_over(list, blob);
	free(blob);
	if (err == 0)
		err = block_prefix_sort(list->prefixes, list->n);
	for (unsigned int i = 0; i < N_BUILDS && err == 0; i++)
		err = build_again(list);
	return err;
}

/* ---- passes -------------------------------------------------------------------------------------- */

/* What a line asks, in bursts that have IPv4 first. */
struct sources {
	uint32_t v4[N_SOURCES];
	uint64_t high[N_SOURCES];
	uint64_t low[N_SOURCES];
};
static struct sources sources;
static uint8_t scopes[N_SOURCES];
static uint8_t walked[WALK_LEN];

static uint32_t v4_of_burst(const struct line *line)
{
	return line->asked == ASKED_V4   ? BENCH_BURST
	       : line->asked == ASKED_V6 ? 0
	                                 : BENCH_BURST / 2;
}

static bool is_listed(const struct list *list, const struct block_prefix *p)
{
	uint32_t address = (uint32_t)(p->high >> 32);
	uint8_t answer;

	if (p->family == BASE_IP_V4)
		block_find_v4(list->table, &address, &answer, 1);
	else
		block_find_v6(list->table, &p->high, &p->low, &answer, 1);
	return answer != 0;
}

static struct block_prefix pick(const struct line *line, bool is_v6)
{
	const struct list *list = &lists[line->list];

	for (;;) {
		struct block_prefix p = random_address(is_v6);

		if (line->is_hit) {
			p = list->prefixes[random_below(list->n)];
			if ((p.family == BASE_IP_V6) != is_v6)
				continue;
		}
		if (is_listed(list, &p) == line->is_hit)
			return p;
	}
}

static void prepare(const struct line *line)
{
	uint32_t n_v4 = v4_of_burst(line);

	for (uint32_t i = 0; i < N_SOURCES; i++) {
		struct block_prefix p = pick(line, i % BENCH_BURST >= n_v4);

		sources.v4[i] = (uint32_t)(p.high >> 32);
		sources.high[i] = p.high;
		sources.low[i] = p.low;
	}
}

/* Sources [first, first + n). */
static uint64_t ask(const struct line *line, uint32_t first, uint32_t n)
{
	const struct block_table *table = lists[line->list].table;
	uint32_t n_v4 = v4_of_burst(line);
	uint32_t n_v6 = BENCH_BURST - n_v4;
	uint64_t start = bench_tsc();

	for (uint32_t i = first; i < first + n; i += BENCH_BURST) {
		uint32_t j = i + n_v4;

		block_find(table, &(const struct block_sources){.v4 = &sources.v4[i],
		                                                .v4_scopes = &scopes[i],
		                                                .n_v4 = n_v4,
		                                                .high = &sources.high[j],
		                                                .low = &sources.low[j],
		                                                .v6_scopes = &scopes[j],
		                                                .n_v6 = n_v6});
	}
	return bench_tsc() - start;
}

/* Nothing of a table is in a cache that this core has for itself, and little in the shared one. */
static void walk(void)
{
	for (size_t i = 0; i < sizeof(walked); i += 64)
		walked[i]++;
}

/* All sources, after they were asked once: the table is in whatever cache it fits. Then some of them after
 * everything was forgotten. */
static int run_pass(struct line *line, bool counts)
{
	uint64_t cycles;
	uint32_t n_wrong = 0;

	(void)ask(line, 0, N_SOURCES);
	cycles = ask(line, 0, N_SOURCES);
	for (uint32_t i = 0; i < N_SOURCES; i++)
		n_wrong += (scopes[i] != 0) != line->is_hit;
	if (counts)
		bench_samples_add(&line->cycles, cycles / (N_SOURCES / N_PACKETS));
	walk();
	cycles = ask(line, random_below(N_SOURCES / N_PACKETS) * N_PACKETS, N_PACKETS);
	if (counts)
		bench_samples_add(&line->cold, cycles);
	return n_wrong == 0 ? 0 : -1;
}

static int measure(const struct bench_options *options)
{
	for (size_t i = 0; i < N_LINES; i++) {
		prepare(&lines[i]);
		for (unsigned int round = 0; round < BENCH_WARM_UP + options->rounds; round++) {
			if (run_pass(&lines[i], round >= BENCH_WARM_UP) == 0)
				continue;
			fprintf(stderr, "weir-bench: %s: wrong answers\n", lines[i].what);
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

static json_t *line_json(struct line *line)
{
	struct bench_summary s = bench_samples_summary(&line->cycles, N_PACKETS);
	struct bench_summary cold = bench_samples_summary(&line->cold, N_PACKETS);
	json_t *object = json_object();

	json_object_set_new(object, "what", json_string(line->what));
	json_object_set_new(object, "rounds", json_integer(s.n));
	json_object_set_new(object, "cycles_min", rounded(s.min, 0.1));
	json_object_set_new(object, "cycles_median", rounded(s.median, 0.1));
	json_object_set_new(object, "bound", json_real(BOUND));
	json_object_set_new(object, "cold_cycles_min", rounded(cold.min, 0.1));
	json_object_set_new(object, "cold_cycles_median", rounded(cold.median, 0.1));
	return object;
}

static json_t *build_json(struct list *list)
{
	struct bench_summary first = bench_samples_summary(&list->build_ns, 1000000);
	struct bench_summary again = bench_samples_summary(&list->again_ns, 1000000);
	json_t *object = json_object();

	json_object_set_new(object, "what", json_string(list->name));
	json_object_set_new(object, "prefixes", json_integer(list->n));
	json_object_set_new(object, "rounds", json_integer(first.n));
	json_object_set_new(object, "build_ms_min", rounded(first.min, 0.01));
	json_object_set_new(object, "build_ms_median", rounded(first.median, 0.01));
	json_object_set_new(object, "one_more_ms_min", rounded(again.min, 0.01));
	json_object_set_new(object, "one_more_ms_median", rounded(again.median, 0.01));
	json_object_set_new(object, "bytes", json_integer((json_int_t)list->len));
	return object;
}

static int report_json(void)
{
	json_t *root = json_object();
	json_t *results = json_array();
	json_t *builds = json_array();

	for (size_t i = 0; i < N_LINES; i++)
		json_array_append_new(results, line_json(&lines[i]));
	for (size_t i = 0; i < N_LISTS; i++)
		json_array_append_new(builds, build_json(&lists[i]));
	json_object_set_new(root, "results", results);
	json_object_set_new(root, "builds", builds);
	return bench_report_json(root);
}

static int report_table(const struct bench_options *options)
{
	struct bench_machine machine;

	bench_machine_read(&machine);
	printf("weir-bench block: sources looked up in drop lists, in bursts of %u\n", BENCH_BURST);
	printf("machine    %s, TSC %.2f GHz, core clock now %.2f x TSC, one core\n", machine.cpu,
	       machine.tsc_ghz, machine.clock_ratio);
	printf("runs       %u rounds of %u sources; cold: %u of them, caches full of other things\n\n",
	       options->rounds, N_SOURCES, N_PACKETS);
	printf("%32s  %8s %8s %6s %8s\n", "TSC cycles a packet", "median", "min", "bound", "cold");
	for (size_t i = 0; i < N_LINES; i++) {
		struct bench_summary s = bench_samples_summary(&lines[i].cycles, N_PACKETS);
		struct bench_summary cold = bench_samples_summary(&lines[i].cold, N_PACKETS);

		printf("%32s  %8.1f %8.1f %6.0f %8.1f\n", lines[i].what, s.median, s.min, BOUND,
		       cold.median);
	}
	printf("\n%32s  %8s %8s %8s %10s\n", "building and checking, ms", "median", "min",
	       "one more", "bytes");
	for (size_t i = 0; i < N_LISTS; i++) {
		struct bench_summary first = bench_samples_summary(&lists[i].build_ns, 1000000);
		struct bench_summary again = bench_samples_summary(&lists[i].again_ns, 1000000);

		printf("%32s  %8.2f %8.2f %8.2f %10zu\n", lists[i].name, first.median, first.min,
		       again.min, lists[i].len);
	}
	printf("\nnot shown  reading the addresses out of the frames; reading and storing a file\n");
	return fflush(stdout) == 0 ? 0 : 1;
}

static int init(const struct bench_options *options)
{
	int err = 0;

	for (size_t i = 0; i < N_LINES && err == 0; i++)
		err = bench_samples_init(&lines[i].cycles, options->rounds);
	for (size_t i = 0; i < N_LINES && err == 0; i++)
		err = bench_samples_init(&lines[i].cold, options->rounds);
	for (size_t i = 0; i < N_LISTS && err == 0; i++) {
		err = bench_samples_init(&lists[i].build_ns, N_BUILDS);
		if (err == 0)
			err = bench_samples_init(&lists[i].again_ns, N_BUILDS);
		if (err == 0)
			err = make_list(&lists[i]);
	}
	return err;
}

static void fini(void)
{
	for (size_t i = 0; i < N_LINES; i++) {
		bench_samples_fini(&lines[i].cycles);
		bench_samples_fini(&lines[i].cold);
	}
	for (size_t i = 0; i < N_LISTS; i++) {
		bench_samples_fini(&lists[i].build_ns);
		bench_samples_fini(&lists[i].again_ns);
		free(lists[i].prefixes);
		bench_store_fini(&lists[i].store);
	}
}

int bench_block(const struct bench_options *options)
{
	int err = init(options);
	int ret = 1;

	if (err != 0)
		fprintf(stderr, "weir-bench: cannot begin: %s\n", strerror(-err));
	else if (measure(options) == 0)
		ret = options->json ? report_json() : report_table(options);
	fini();
	return ret;
}
