/* weir-bench aead: seal and open bursts, and the same packets through the reference in turn. */
#include "base_bytes.h"
#include "base_hugepage.h"
#include "bench.h"
#include "bench_reference.h"
#include "bench_report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Buffers as a pool of DPDK lays them out: objects one behind the other, the packet behind the
 * mbuf, its private area, the headroom and the outer headers, so at no particular alignment. */
#define STRIDE      2432U
#define DATA_OFFSET (128U + 64U + 128U + 14U + 20U + 8U + 16U)
#define POOL_LEN    (2U << 20)
_Static_assert(BENCH_PACKETS *STRIDE <= POOL_LEN, "buffers fit the pool");
_Static_assert(DATA_OFFSET + BENCH_LEN_MAX + AEAD_TAG_LEN <= STRIDE, "packet fits its buffer");

struct peer {
	_Alignas(64) uint8_t key[AEAD_KEY_LEN];
};

struct aead_bench {
	struct aead *aead;
	struct bench_reference *reference;
	uint8_t *pool;
	struct peer *peers;
	unsigned int n_peers;
	unsigned int burst;
	uint64_t counter; /* no nonce twice, as in life */
	struct aead_op ops[BENCH_PACKETS];
};

static int init(struct aead_bench *bench, const struct bench_options *options)
{
	size_t pool_len = POOL_LEN; /* in large pages, as a mempool's */
	int err;

	memset(bench, 0, sizeof(*bench));
	err = aead_create(options->backend, &bench->aead);
	if (err != 0) {
		fprintf(stderr, "weir-bench: backend cannot be used: %s\n", strerror(-err));
		return err;
	}
	err = bench_reference_create(&bench->reference);
	if (err != 0) {
		fprintf(stderr, "weir-bench: reference (ipsec-mb) cannot be used: %s\n",
		        strerror(-err));
		return err;
	}
	bench->pool = base_hugepage_map(&pool_len);
	bench->n_peers = options->peers;
	bench->burst = options->burst;
	bench->peers = aligned_alloc(64, options->peers * sizeof(*bench->peers));
	if (bench->pool == NULL || bench->peers == NULL) {
		fprintf(stderr, "weir-bench: no memory\n");
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < options->peers; i++) {
		for (unsigned int j = 0; j < AEAD_KEY_LEN; j++)
			bench->peers[i].key[j] = (uint8_t)(i * 37 + (i >> 8) + j * 101);
	}
	return 0;
}

static void fini(struct aead_bench *bench)
{
	aead_destroy(bench->aead);
	bench_reference_destroy(bench->reference);
	free(bench->peers);
	base_hugepage_unmap(bench->pool, POOL_LEN);
}

/* Next counters, next peers; payloads stay as the last pass left them. */
static void prepare(struct aead_bench *bench, const struct bench_size *size)
{
	for (unsigned int i = 0; i < BENCH_PACKETS; i++) {
		uint64_t counter = bench->counter++;

		bench->ops[i] = (struct aead_op){
			.data = bench->pool + (size_t)i * STRIDE + DATA_OFFSET,
			.key = bench->peers[counter % bench->n_peers].key,
			.counter = counter,
			.len = bench_size_len(size, i),
			.verdict = AEAD_ERROR,
		};
	}
}

static bool all_ok(struct aead_bench *bench)
{
	for (unsigned int i = 0; i < BENCH_PACKETS; i++) {
		if (bench->ops[i].verdict != AEAD_OK)
			return false;
		bench->ops[i].verdict = AEAD_ERROR;
	}
	return true;
}

/* 256 may leave a shorter burst at the end. */
static unsigned int burst_at(const struct aead_bench *bench, unsigned int i)
{
	return BENCH_PACKETS - i < bench->burst ? BENCH_PACKETS - i : bench->burst;
}

static uint64_t time_own(struct aead_bench *bench, enum bench_direction direction)
{
	uint64_t start = bench_tsc();

	for (unsigned int i = 0; i < BENCH_PACKETS; i += bench->burst) {
		unsigned int n = burst_at(bench, i);

		if (direction == BENCH_SEAL)
			aead_seal(bench->aead, &bench->ops[i], n);
		else
			aead_open(bench->aead, &bench->ops[i], n);
	}
	return bench_tsc() - start;
}

static uint64_t time_reference(struct aead_bench *bench, enum bench_direction direction)
{
	uint64_t start = bench_tsc();

	for (unsigned int i = 0; i < BENCH_PACKETS; i += bench->burst) {
		unsigned int n = burst_at(bench, i);

		if (direction == BENCH_SEAL)
			bench_reference_seal(bench->reference, &bench->ops[i], n);
		else
			bench_reference_open(bench->reference, &bench->ops[i], n);
	}
	return bench_tsc() - start;
}

/* Seal all packets and open them again; results[2] is [direction] of one size. */
static bool pass(struct aead_bench *bench, struct bench_result *results, bool own, bool counts)
{
	prepare(bench, results[0].size);
	for (unsigned int i = 0; i < BENCH_N_DIRECTIONS; i++) {
		enum bench_direction direction = (enum bench_direction)i;
		uint64_t cycles = own ? time_own(bench, direction)
		                      : time_reference(bench, direction);

		if (!all_ok(bench))
			return false;
		if (counts)
			bench_samples_add(own ? &results[i].cycles : &results[i].reference, cycles);
	}
	return true;
}

/* Before anything is timed: what one side seals, the other opens. */
static bool sides_agree(struct aead_bench *bench, const struct bench_size *size)
{
	prepare(bench, size);
	(void)time_own(bench, BENCH_SEAL);
	if (!all_ok(bench))
		return false;
	(void)time_reference(bench, BENCH_OPEN);
	return all_ok(bench);
}

/* Sides take turns in going first, so that neither always finds the other's cache. */
static bool measure(struct aead_bench *bench, struct bench_run *run)
{
	for (unsigned int i = 0; i < run->n_results; i += BENCH_N_DIRECTIONS) {
		if (!sides_agree(bench, run->result[i].size))
			return false;
	}
	for (unsigned int round = 0; round < BENCH_WARM_UP + run->options->rounds; round++) {
		bool counts = round >= BENCH_WARM_UP;

		for (unsigned int i = 0; i < run->n_results; i += BENCH_N_DIRECTIONS) {
			bool own_first = round % 2 == 0;

			if (!pass(bench, &run->result[i], own_first, counts)
			    || !pass(bench, &run->result[i], !own_first, counts))
				return false;
		}
	}
	return true;
}

int bench_aead(const struct bench_options *options)
{
	static struct bench_run run;
	static struct aead_bench bench;
	int ret = 1;

	if (init(&bench, options) != 0)
		goto out;
	if (bench_run_init(&run, options, BENCH_N_DIRECTIONS, BENCH_PACKETS) != 0) {
		fprintf(stderr, "weir-bench: no memory for samples\n");
		goto out;
	}
	run.title = "weir-bench aead: ChaCha20-Poly1305 in place, memory to memory";
	run.backend = aead_name(bench.aead);
	run.shows_not =
		"a NIC, the path around the AEAD, several cores, packets that come cold from"
		" memory (256 buffers stay in L2)";
	if (!measure(&bench, &run)) {
		fprintf(stderr, "weir-bench: a packet was not sealed or opened rightly\n");
		goto out;
	}
	ret = bench_report(&run);
out:
	bench_run_fini(&run);
	fini(&bench);
	return ret;
}
