/* Random bursts through every backend, against libsodium called directly: 100,000 packets each, or
 * AEAD_RANDOM_PACKETS of them. Sizes, keys, counters, alignments and the number of packets change
 * from burst to burst; some packets are forged on the way back. Every second burst goes through
 * aead__seal_extra() and aead__open_extra(), without additional data: there the multi-packet backends
 * leave no packet to ipsec-mb, so the buffer of a forged one must stay as it came.
 *
 * And a quarter are opened as far as their heads, and then wholly, or sealed over for others. */
#include "aead_each.h"
#include "base_bytes.h"
#include "test.h"

#include <sodium.h>

#include <errno.h>

#define N_PACKETS_DEFAULT 100000UL
#define ROOM              (64 + AEAD_LEN_MAX + AEAD_TAG_LEN)

static struct test_random rnd;
static unsigned long n_packets = N_PACKETS_DEFAULT;

struct burst {
	struct aead_op op[AEAD_BURST_MAX];
	uint8_t key[AEAD_BURST_MAX][AEAD_KEY_LEN];
	uint8_t room[AEAD_BURST_MAX][ROOM];
	uint8_t plain[AEAD_BURST_MAX][AEAD_LEN_MAX];
	uint8_t sealed[AEAD_BURST_MAX][AEAD_LEN_MAX + AEAD_TAG_LEN];
	bool forged[AEAD_BURST_MAX];
	unsigned int n;
};

static struct burst burst;

/* Most bursts are of packets as a link carries them; some are of one size, some have jumbos. */
static uint32_t random_len(unsigned int kind, uint32_t common)
{
	switch (kind) {
	case 0:
		return common;
	case 1:
		return test_random_below(&rnd, 2) == 0 ? common
		                                       : (uint32_t)test_random_below(&rnd, 200);
	case 2:
		return (uint32_t)test_random_below(
			&rnd, test_random_below(&rnd, 20) == 0 ? AEAD_LEN_MAX + 1 : 300);
	default:
		return (uint32_t)test_random_below(&rnd, 1500);
	}
}

static void random_fill(uint8_t *out, size_t len)
{
	size_t i;

	for (i = 0; i + 8 <= len; i += 8)
		base_store_le64(out + i, test_random_next(&rnd));
	test_random_bytes(&rnd, out + i, len - i);
}

static void make_burst(void)
{
	unsigned int kind = (unsigned int)test_random_below(&rnd, 8);
	uint32_t common = (uint32_t)test_random_below(&rnd, 1500);

	burst.n = 1 + (unsigned int)test_random_below(&rnd, AEAD_BURST_MAX);
	random_fill(burst.key[0], sizeof(burst.key));
	for (unsigned int i = 0; i < burst.n; i++) {
		struct aead_op *op = &burst.op[i];
		uint8_t nonce[12] = {0};

		op->len = random_len(kind, common);
		op->data = burst.room[i] + test_random_below(&rnd, 64);
		op->key = burst.key[test_random_below(&rnd, 2) == 0 ? 0 : i];
		op->counter = test_random_next(&rnd);
		op->verdict = 77;
		random_fill(burst.plain[i], op->len);
		memcpy(op->data, burst.plain[i], op->len);
		base_store_le64(nonce + 4, op->counter);
		crypto_aead_chacha20poly1305_ietf_encrypt(burst.sealed[i], NULL, burst.plain[i],
		                                          op->len, NULL, 0, NULL, nonce, op->key);
	}
}

static void forge_some(void)
{
	uint64_t which = test_random_next(&rnd) & test_random_next(&rnd) & test_random_next(&rnd);

	for (unsigned int i = 0; i < burst.n; i++) {
		struct aead_op *op = &burst.op[i];
		size_t at = test_random_below(&rnd, op->len + AEAD_TAG_LEN);

		op->verdict = 77;
		burst.forged[i] = which >> i & 1;
		if (burst.forged[i])
			op->data[at] ^= (uint8_t)(1 + test_random_below(&rnd, 255));
		memcpy(burst.sealed[i], op->data, op->len + AEAD_TAG_LEN);
	}
}

static void check_sealed(unsigned int i)
{
	const struct aead_op *op = &burst.op[i];

	if (op->verdict != AEAD_OK
	    || memcmp(op->data, burst.sealed[i], op->len + AEAD_TAG_LEN) != 0)
		fail_msg("sealing %u bytes, place %u of %u", op->len, i, burst.n);
}

/* stays: a forged packet's buffer does. */
static void check_opened(unsigned int i, bool stays)
{
	const struct aead_op *op = &burst.op[i];
	bool ok;

	if (!burst.forged[i])
		ok = op->verdict == AEAD_OK && memcmp(op->data, burst.plain[i], op->len) == 0;
	else
		ok = op->verdict == AEAD_FORGED
		     && (!stays || memcmp(op->data, burst.sealed[i], op->len + AEAD_TAG_LEN) == 0);
	if (!ok)
		fail_msg("opening %u bytes, place %u of %u, forged %d: verdict %u", op->len, i,
		         burst.n, burst.forged[i], op->verdict);
}

/* The rest of those whose bit is set is as it came, and lies within. */
static void read_rests(const struct aead *aead, uint64_t left, struct aead_rest *rests)
{
	for (unsigned int i = 0; i < burst.n; i++) {
		const struct aead_op *op = &burst.op[i];
		uint32_t len = aead_rest_len(aead, op->len);

		rests[i] = (struct aead_rest){.key = op->key, .counter = op->counter};
		if ((left >> i & 1) == 0)
			continue;
		rests[i].len = len;
		if (burst.forged[i] || op->verdict != AEAD_OK || len == 0
		    || len % AEAD_REST_UNIT != 0 || AEAD_HEAD_LEN + len > op->len
		    || memcmp(op->data + AEAD_HEAD_LEN, burst.sealed[i] + AEAD_HEAD_LEN, len) != 0)
			fail_msg("rest of %u bytes of %u, place %u of %u", len, op->len, i,
			         burst.n);
	}
}

/* What is authentic, for others: some a few bytes shorter than it came. */
static void seal_over_is_as_by_libsodium(struct aead *aead, const struct aead_rest *rests)
{
	static uint8_t sealed[AEAD_LEN_MAX + AEAD_TAG_LEN];
	struct aead_rest of[AEAD_BURST_MAX];
	struct aead_op ops[AEAD_BURST_MAX];
	unsigned int whose[AEAD_BURST_MAX];
	unsigned int n = 0;

	for (unsigned int i = 0; i < burst.n; i++) {
		uint32_t end = rests[i].len != 0 ? AEAD_HEAD_LEN + rests[i].len : 0;
		uint32_t less = (uint32_t)test_random_below(&rnd, 16);

		if (burst.forged[i] || test_random_below(&rnd, 16) == 0)
			continue;
		ops[n] = burst.op[i];
		ops[n].key = burst.key[burst.n - 1 - i];
		ops[n].counter = test_random_next(&rnd);
		ops[n].verdict = 77;
		if (ops[n].len >= end + less)
			ops[n].len -= less;
		of[n] = rests[i];
		whose[n++] = i;
	}
	aead_seal_over(aead, ops, of, n);
	for (unsigned int j = 0; j < n; j++) {
		uint8_t nonce[12] = {0};

		base_store_le64(nonce + 4, ops[j].counter);
		crypto_aead_chacha20poly1305_ietf_encrypt(sealed, NULL, burst.plain[whose[j]],
		                                          ops[j].len, NULL, 0, NULL, nonce,
		                                          ops[j].key);
		if (ops[j].verdict != AEAD_OK
		    || memcmp(ops[j].data, sealed, ops[j].len + AEAD_TAG_LEN) != 0)
			fail_msg("sealing over %u bytes, rest %u, place %u of %u", ops[j].len,
			         of[j].len, j, n);
	}
}

/* All together, or some alone first. */
static void open_rests(struct aead *aead, struct aead_rest *rests)
{
	uint8_t *data[AEAD_BURST_MAX];

	for (unsigned int i = 0; i < burst.n; i++) {
		data[i] = burst.op[i].data;
		if (test_random_below(&rnd, 4) != 0)
			continue;
		aead_open_rests(aead, &data[i], &rests[i], 1);
		rests[i].len = 0;
	}
	aead_open_rests(aead, data, rests, burst.n);
}

static void heads_of_random_bursts_are_as_by_libsodium(void **state)
{
	struct aead_rest rests[AEAD_BURST_MAX];
	struct aead *aead = *state;

	for (unsigned long n = 0; n < n_packets / 4; n += burst.n) {
		make_burst();
		aead_seal(aead, burst.op, burst.n);
		forge_some();
		read_rests(aead, aead_open_head(aead, burst.op, burst.n), rests);
		if (test_random_below(&rnd, 2) == 0) {
			seal_over_is_as_by_libsodium(aead, rests);
			continue;
		}
		open_rests(aead, rests);
		for (unsigned int i = 0; i < burst.n; i++)
			check_opened(i, false);
	}
}

static void random_bursts_are_as_by_libsodium(void **state)
{
	static const struct aead_extra no_extra[AEAD_BURST_MAX];
	struct aead *aead = *state;
	bool multi_packet = strstr(aead_name(aead), "multi-packet") != NULL;
	unsigned long n = 0;

	while (n < n_packets) {
		bool own_code = test_random_below(&rnd, 2) == 0;

		make_burst();
		if (own_code)
			aead__seal_extra(aead, burst.op, no_extra, burst.n);
		else
			aead_seal(aead, burst.op, burst.n);
		for (unsigned int i = 0; i < burst.n; i++)
			check_sealed(i);
		forge_some();
		if (own_code)
			aead__open_extra(aead, burst.op, no_extra, burst.n);
		else
			aead_open(aead, burst.op, burst.n);
		for (unsigned int i = 0; i < burst.n; i++)
			check_opened(i, multi_packet && own_code);
		n += burst.n;
	}
}

/* Returns 0 or -EINVAL. */
static int read_n_packets(void)
{
	const char *text = getenv("AEAD_RANDOM_PACKETS");
	char *end;

	if (text == NULL)
		return 0;
	errno = 0;
	n_packets = strtoul(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && n_packets > 0 ? 0 : -EINVAL;
}

int main(void)
{
	const struct CMUnitTest of_each[] = {
		cmocka_unit_test(random_bursts_are_as_by_libsodium),
		cmocka_unit_test(heads_of_random_bursts_are_as_by_libsodium),
	};
	static struct aead_each tests;

	if (read_n_packets() != 0) {
		fprintf(stderr, "AEAD_RANDOM_PACKETS must be a number from 1 on\n");
		return 2;
	}
	rnd = test_random_start();
	printf("# %lu packets a backend\n", n_packets);
	aead_each_add(&tests, of_each, BASE_ARRAY_LEN(of_each));
	return _cmocka_run_group_tests("aead_random", tests.test, tests.n, NULL, NULL);
}
