/* weir-bench handshake: what a peer's handshake costs the hub, which answers it.
 *
 *   x25519    the two operations, by each library
 *   protocol  wg_noise alone: open an initiation, consume it, make the response, derive keys
 *   control   the whole way through control: event ring, program, session and its thread, command
 *             ring, all on one CPU (bench_control.h)
 *
 * A handshake takes three X25519 of a peer's point and one of the base point; the static-static one
 * was computed when the peer was made known. Their sum is the floor that the ratios refer to. */
#include "base_bytes.h"
#include "base_time.h"
#include "bench.h"
#include "bench_client.h"
#include "bench_control.h"
#include "bench_machine.h"
#include "bench_report.h"
#include "bench_x25519.h"

#include <sodium.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_PER_HANDSHAKE 3 /* X25519 of a peer's point */
#define STEP_NS         (20 * BASE_NS_PER_MS)

struct handshake_bench {
	struct wg_noise_identity hub;
	uint32_t n_peers;
	uint64_t wall_ns;
	/* protocol alone: the hub's view of clients[i] is peers[i] */
	struct bench_client *clients;
	struct wg_noise_peer *peers;
	uint64_t now_ns;
	/* control: clients of its own */
	struct bench_client *control_clients;
	struct bench_control *control;
	/* samples of passes */
	struct bench_samples shared[BENCH_N_X25519];
	struct bench_samples public_of[BENCH_N_X25519];
	struct bench_samples protocol;
	struct bench_samples whole;
};

/* ---- set-up ----------------------------------------------------------------------------------------- */

static int init_samples(struct handshake_bench *bench, unsigned int rounds)
{
	int err = bench_samples_init(&bench->protocol, rounds);

	for (unsigned int i = 0; err == 0 && i < BENCH_N_X25519; i++) {
		err = bench_samples_init(&bench->shared[i], rounds);
		if (err == 0)
			err = bench_samples_init(&bench->public_of[i], rounds);
	}
	return err == 0 ? bench_samples_init(&bench->whole, rounds) : err;
}

static int init_peers(struct handshake_bench *bench)
{
	static const uint8_t no_preshared_key[WG_KEY_LEN];
	uint8_t key[WG_KEY_LEN];
	int err = 0;

	randombytes_buf(key, sizeof(key));
	wg_noise_identity_init(&bench->hub, key);
	for (uint32_t i = 0; err == 0 && i < bench->n_peers; i++) {
		err = bench_client_init(&bench->clients[i], bench->hub.public_key);
		if (err == 0)
			err = wg_noise_peer_init(&bench->peers[i], &bench->hub,
			                         bench->clients[i].identity.public_key,
			                         no_preshared_key);
	}
	return err;
}

static int init(struct handshake_bench *bench, const struct bench_options *options)
{
	bench->n_peers = options->peers;
	bench->wall_ns = base_time_wall_ns();
	bench->now_ns = base_time_monotonic_ns();
	bench->clients = calloc(bench->n_peers, sizeof(*bench->clients));
	bench->control_clients = calloc(bench->n_peers, sizeof(*bench->control_clients));
	bench->peers = calloc(bench->n_peers, sizeof(*bench->peers));
	if (bench->clients == NULL || bench->control_clients == NULL || bench->peers == NULL
	    || init_samples(bench, options->rounds) != 0 || sodium_init() < 0
	    || init_peers(bench) != 0) {
		fprintf(stderr, "weir-bench: no memory for peers\n");
		return -1;
	}
	return bench_control_create(bench->control_clients, bench->n_peers, &bench->control);
}

static void fini(struct handshake_bench *bench)
{
	bench_control_destroy(bench->control);
	for (unsigned int i = 0; i < BENCH_N_X25519; i++) {
		bench_samples_fini(&bench->shared[i]);
		bench_samples_fini(&bench->public_of[i]);
	}
	bench_samples_fini(&bench->protocol);
	bench_samples_fini(&bench->whole);
	free(bench->clients);
	free(bench->control_clients);
	free(bench->peers);
	base_wipe(bench, sizeof(*bench));
}

/* Every client of the pass wants a session. Its index says to bench_control.h which it is. */
static int initiate(struct handshake_bench *bench, struct bench_client *clients, uint32_t first)
{
	for (uint32_t i = 0; i < BENCH_HANDSHAKES; i++) {
		uint32_t peer = (first + i) % bench->n_peers;
		int err = bench_client_initiate(&clients[peer], (1 + peer) * BENCH_HANDSHAKES + i,
		                                bench->wall_ns);

		if (err != 0)
			return err;
	}
	return 0;
}

/* ---- passes; each returns 0, or -1 when something came out wrong ------------------------------------- */

static int pass_x25519(const struct bench_x25519 *library, struct bench_samples *shared_samples,
                       struct bench_samples *public_samples)
{
	uint8_t private_key[WG_KEY_LEN], expected[WG_KEY_LEN];
	uint8_t point[WG_KEY_LEN] = {9}, shared[WG_KEY_LEN], public_key[WG_KEY_LEN] = {0};
	uint64_t start;
	int err = 0;

	randombytes_buf(private_key, sizeof(private_key));
	start = bench_tsc();
	for (uint32_t i = 0; i < BENCH_HANDSHAKES; i++)
		err |= library->public_of(public_key, private_key);
	bench_samples_add(public_samples, bench_tsc() - start);

	/* Each result is the next point; the first must be the public key. */
	start = bench_tsc();
	err |= library->shared(shared, private_key, point);
	memcpy(expected, shared, sizeof(expected));
	for (uint32_t i = 1; i < BENCH_HANDSHAKES; i++) {
		memcpy(point, shared, sizeof(point));
		err |= library->shared(shared, private_key, point);
	}
	bench_samples_add(shared_samples, bench_tsc() - start);
	return err == 0 && memcmp(expected, public_key, sizeof(expected)) == 0 ? 0 : -1;
}

/* What session does with an initiation, without queues and threads. */
static int respond(struct handshake_bench *bench, uint32_t peer, const uint8_t *message,
                   uint8_t response[static WG_RESPONSE_LEN], struct wg_noise_keys *keys)
{
	struct wg_noise_opened opened;
	uint8_t ephemeral[WG_KEY_LEN];

	if (wg_noise_initiation_open(&bench->hub, message, &opened) != WG_NOISE_OK
	    || memcmp(opened.static_public, bench->peers[peer].public_key, WG_KEY_LEN) != 0
	    || wg_noise_initiation_consume(&bench->peers[peer], message, bench->now_ns, &opened)
	               != WG_NOISE_OK)
		return -1;
	randombytes_buf(ephemeral, sizeof(ephemeral));
	return wg_noise_response_create(&bench->peers[peer], &opened.handshake, 1 + peer, ephemeral,
	                                response, keys);
}

static int pass_protocol(struct handshake_bench *bench, uint32_t first)
{
	static uint8_t responses[BENCH_HANDSHAKES][WG_RESPONSE_LEN];
	static struct wg_noise_keys keys[BENCH_HANDSHAKES];
	uint64_t start;
	int err = initiate(bench, bench->clients, first);

	start = bench_tsc();
	for (uint32_t i = 0; err == 0 && i < BENCH_HANDSHAKES; i++) {
		uint32_t peer = (first + i) % bench->n_peers;

		err = respond(bench, peer, bench->clients[peer].message, responses[i], &keys[i]);
	}
	bench_samples_add(&bench->protocol, bench_tsc() - start);
	for (uint32_t i = 0; err == 0 && i < BENCH_HANDSHAKES; i++)
		if (!bench_client_completes(&bench->clients[(first + i) % bench->n_peers],
		                            responses[i], keys[i].send, keys[i].receive))
			err = -1;
	return err;
}

static int pass_control(struct handshake_bench *bench, uint32_t first)
{
	uint64_t cycles = 0;
	int err = initiate(bench, bench->control_clients, first);

	if (err == 0)
		err = bench_control_pass(bench->control, first, &cycles);
	bench_samples_add(&bench->whole, cycles);
	return err == 0 && bench_control_right(bench->control, first) ? 0 : -1;
}

static int measure_round(struct handshake_bench *bench, unsigned int round)
{
	uint32_t first = round * BENCH_HANDSHAKES % bench->n_peers;
	int err = 0;

	bench->wall_ns += STEP_NS;
	bench->now_ns += STEP_NS;
	for (unsigned int i = 0; err == 0 && i < BENCH_N_X25519; i++)
		err = pass_x25519(&bench_x25519[i], &bench->shared[i], &bench->public_of[i]);
	if (err == 0 && round % 2 == 0)
		err = pass_protocol(bench, first);
	if (err == 0)
		err = pass_control(bench, first);
	if (err == 0 && round % 2 != 0)
		err = pass_protocol(bench, first);
	return err;
}

/* ---- report ----------------------------------------------------------------------------------------- */

struct line {
	const char *what;
	const char *library;
	struct bench_summary cycles;
	double floor; /* of a handshake: what its X25519 cost; 0 = none */
};
#define N_LINES (2U * BENCH_N_X25519 + 2U)

static void fill_lines(struct handshake_bench *bench, struct line lines[static N_LINES])
{
	const char *used = bench_x25519[0].library; /* what wg_key uses */
	double floor;

	for (unsigned int i = 0; i < BENCH_N_X25519; i++) {
		const char *library = bench_x25519[i].library;

		lines[2 * i] = (struct line){
			"x25519", library,
			bench_samples_summary(&bench->shared[i], BENCH_HANDSHAKES), 0};
		lines[2 * i + 1] = (struct line){
			"x25519_base", library,
			bench_samples_summary(&bench->public_of[i], BENCH_HANDSHAKES), 0};
	}
	floor = N_PER_HANDSHAKE * lines[0].cycles.min + lines[1].cycles.min;
	lines[N_LINES - 2] = (struct line){
		"protocol", used, bench_samples_summary(&bench->protocol, BENCH_HANDSHAKES), floor};
	lines[N_LINES - 1] = (struct line){
		"control", used, bench_samples_summary(&bench->whole, BENCH_HANDSHAKES), floor};
}

static double per_second(double cycles, double tsc_ghz)
{
	return cycles > 0 ? tsc_ghz * 1e9 / cycles : 0;
}

static int report_json(const struct line lines[static N_LINES], double tsc_ghz)
{
	json_t *root = json_object();
	json_t *list = json_array();

	for (unsigned int i = 0; i < N_LINES; i++) {
		const struct line *line = &lines[i];
		json_t *object = json_object();

		json_object_set_new(object, "what", json_string(line->what));
		json_object_set_new(object, "library", json_string(line->library));
		json_object_set_new(object, "rounds", json_integer(line->cycles.n));
		json_object_set_new(object, "cycles_min", json_real(line->cycles.min));
		json_object_set_new(object, "cycles_median", json_real(line->cycles.median));
		json_object_set_new(object, "per_second",
		                    json_real(per_second(line->cycles.median, tsc_ghz)));
		json_object_set_new(object, "per_second_best",
		                    json_real(per_second(line->cycles.min, tsc_ghz)));
		if (line->floor > 0)
			json_object_set_new(object, "ratio",
			                    json_real(line->cycles.min / line->floor));
		json_array_append_new(list, object);
	}
	json_object_set_new(root, "results", list);
	return bench_report_json(root);
}

static int report_table(const struct line lines[static N_LINES],
                        const struct bench_options *options, const struct bench_machine *machine)
{
	printf("weir-bench handshake: the hub answers a peer's initiation\n");
	printf("machine    %s, TSC %.2f GHz, core clock now %.2f x TSC, one core\n", machine->cpu,
	       machine->tsc_ghz, machine->clock_ratio);
	printf("runs       %u rounds of %u handshakes of %u peers, in turn\n\n", options->rounds,
	       BENCH_HANDSHAKES, options->peers);
	printf("TSC cycles of one, and how many a second; ratio = minimum / its own %d + 1 X25519\n\n",
	       N_PER_HANDSHAKE);
	printf("       what    library      median        min  a second      best   ratio\n");
	printf("----------- ----------  ---------- ---------- --------- ---------  ------\n");
	for (unsigned int i = 0; i < N_LINES; i++) {
		const struct line *line = &lines[i];

		printf("%11s %10s  %10.0f %10.0f %9.0f %9.0f", line->what, line->library,
		       line->cycles.median, line->cycles.min,
		       per_second(line->cycles.median, machine->tsc_ghz),
		       per_second(line->cycles.min, machine->tsc_ghz));
		if (line->floor > 0)
			printf("  %6.3f\n", line->cycles.min / line->floor);
		else
			printf("\n");
	}
	printf("\nnot shown  the workers and the wire; what the store writes every 100 ms of"
	       " the peers it heard\n");
	return fflush(stdout) == 0 ? 0 : 1;
}

static int report(struct handshake_bench *bench, const struct bench_options *options)
{
	struct line lines[N_LINES];
	struct bench_machine machine;

	bench_machine_read(&machine);
	fill_lines(bench, lines);
	return options->json ? report_json(lines, machine.tsc_ghz)
	                     : report_table(lines, options, &machine);
}

int bench_handshake(const struct bench_options *options)
{
	static struct handshake_bench bench;
	int ret = 1;

	if (init(&bench, options) != 0)
		goto out;
	for (unsigned int round = 0; round < options->rounds; round++) {
		if (measure_round(&bench, round) != 0) {
			fprintf(stderr, "weir-bench: a handshake did not end as it should\n");
			goto out;
		}
	}
	ret = report(&bench, options);
out:
	fini(&bench);
	return ret;
}
