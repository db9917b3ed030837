/* The 316 ChaCha20-Poly1305 vectors of Wycheproof with a 96-bit nonce, through every backend of
 * dataplane/aead, in bursts of 1 to 64.
 *
 * None of them has both WireGuard's nonce (4 zero bytes first) and no additional data, so they go
 * through aead__seal_extra() and aead__open_extra(): the backends' own code, with nonce and
 * additional data given. argv[1]: the JSON file; that it is missing is a failure. */
#include "aead_each.h"
#include "base_bytes.h"
#include "vectors.h"

#include <stdbool.h>

#define N_VECTORS   316
#define PAYLOAD_MAX 1024
#define AAD_MAX     1024
#define ROOM        (PAYLOAD_MAX + AEAD_TAG_LEN)

struct vector {
	json_int_t id;
	bool valid;
	uint8_t key[AEAD_KEY_LEN];
	uint8_t plain[PAYLOAD_MAX];
	uint8_t sealed[ROOM]; /* ciphertext and tag */
	uint8_t aad[AAD_MAX];
	uint32_t len;
	uint64_t counter;
	struct aead_extra extra;
};

static struct vector vectors[N_VECTORS];
static unsigned int n_valid;

static void read_vector(const json_t *test, struct vector *vector)
{
	const char *result = vectors_text(test, "result");
	uint8_t nonce[12];
	size_t len;

	vector->id = json_integer_value(json_object_get(test, "tcId"));
	vector->valid = strcmp(result, "valid") == 0;
	assert_true(vector->valid || strcmp(result, "invalid") == 0);
	n_valid += vector->valid;

	vectors_bytes(test, "key", vector->key, AEAD_KEY_LEN);
	vectors_bytes(test, "iv", nonce, sizeof(nonce));
	memcpy(vector->extra.nonce_head, nonce, 4);
	vector->counter = base_load_le64(nonce + 4);
	vector->extra.aad = vector->aad;
	vector->extra.aad_len = vectors_hex(test, "aad", vector->aad, AAD_MAX);

	len = vectors_hex(test, "msg", vector->plain, PAYLOAD_MAX);
	vector->len = (uint32_t)len;
	vectors_bytes(test, "ct", vector->sealed, len);
	vectors_bytes(test, "tag", vector->sealed + len, AEAD_TAG_LEN);
}

static int load(void **state)
{
	size_t n = 0;
	size_t i, j;
	json_t *group, *test;

	if (vectors_set_up(state) < 0)
		return -1;
	json_array_foreach(json_object_get(vectors_root, "testGroups"), i, group)
	{
		if (json_integer_value(json_object_get(group, "ivSize")) != 96)
			continue;
		json_array_foreach(json_object_get(group, "tests"), j, test)
		{
			assert_true(n < N_VECTORS);
			read_vector(test, &vectors[n++]);
		}
	}
	assert_int_equal(n, N_VECTORS);
	return vectors_tear_down(state);
}

struct burst {
	struct aead_op op[AEAD_BURST_MAX];
	struct aead_extra extra[AEAD_BURST_MAX];
	const struct vector *vector[AEAD_BURST_MAX];
	uint8_t room[AEAD_BURST_MAX][ROOM];
	unsigned int n;
};

static void put(struct burst *burst, const struct vector *vector, const uint8_t *bytes, size_t len)
{
	unsigned int i = burst->n++;

	burst->vector[i] = vector;
	burst->extra[i] = vector->extra;
	burst->op[i] = (struct aead_op){
		.data = burst->room[i],
		.key = vector->key,
		.counter = vector->counter,
		.len = vector->len,
		.verdict = 77,
	};
	memcpy(burst->room[i], bytes, len);
}

/* The invalid vectors differ from the right answer in the tag only. */
static void seal_burst(struct aead *aead, struct burst *burst)
{
	aead__seal_extra(aead, burst->op, burst->extra, burst->n);
	for (unsigned int i = 0; i < burst->n; i++) {
		const struct vector *vector = burst->vector[i];
		const uint8_t *data = burst->op[i].data;
		bool tag_equal = memcmp(data + vector->len, vector->sealed + vector->len,
		                        AEAD_TAG_LEN)
		                 == 0;

		if (burst->op[i].verdict != AEAD_OK || tag_equal != vector->valid
		    || memcmp(data, vector->sealed, vector->len) != 0)
			fail_msg("vector %lld, place %u of a burst of %u", (long long)vector->id, i,
			         burst->n);
	}
	burst->n = 0;
}

static void open_burst(struct aead *aead, struct burst *burst)
{
	aead__open_extra(aead, burst->op, burst->extra, burst->n);
	for (unsigned int i = 0; i < burst->n; i++) {
		const struct vector *vector = burst->vector[i];
		uint32_t expected = vector->valid ? AEAD_OK : AEAD_FORGED;

		if (burst->op[i].verdict != expected
		    || (vector->valid
		        && memcmp(burst->op[i].data, vector->plain, vector->len) != 0))
			fail_msg("vector %lld, place %u of a burst of %u: verdict %u",
			         (long long)vector->id, i, burst->n, burst->op[i].verdict);
	}
	burst->n = 0;
}

/* Each size starts at another vector, so that neighbours and places change too. */
static void all_vectors_are_sealed_in_bursts_of_1_to_64(void **state)
{
	static struct burst burst;

	for (unsigned int size = 1; size <= AEAD_BURST_MAX; size++) {
		for (unsigned int k = 0; k < N_VECTORS; k++) {
			const struct vector *vector = &vectors[(k + 5 * size) % N_VECTORS];

			put(&burst, vector, vector->plain, vector->len);
			if (burst.n == size || k == N_VECTORS - 1)
				seal_burst(*state, &burst);
		}
	}
}

static void all_vectors_are_judged_in_bursts_of_1_to_64(void **state)
{
	static struct burst burst;

	for (unsigned int size = 1; size <= AEAD_BURST_MAX; size++) {
		for (unsigned int k = 0; k < N_VECTORS; k++) {
			const struct vector *vector = &vectors[(k + 5 * size) % N_VECTORS];

			put(&burst, vector, vector->sealed, vector->len + AEAD_TAG_LEN);
			if (burst.n == size || k == N_VECTORS - 1)
				open_burst(*state, &burst);
		}
	}
}

static void file_holds_valid_and_invalid_vectors(void **state)
{
	(void)state;
	assert_int_equal(n_valid, 256);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest of_each[] = {
		cmocka_unit_test(all_vectors_are_sealed_in_bursts_of_1_to_64),
		cmocka_unit_test(all_vectors_are_judged_in_bursts_of_1_to_64),
	};
	static struct aead_each tests;

	if (argc != 2) {
		fprintf(stderr, "usage: test_wycheproof_aead FILE\n");
		return 2;
	}
	vectors_path = argv[1];
	aead_each_add_one(
		&tests, (struct CMUnitTest)cmocka_unit_test(file_holds_valid_and_invalid_vectors));
	aead_each_add(&tests, of_each, BASE_ARRAY_LEN(of_each));
	return _cmocka_run_group_tests("wycheproof_aead", tests.test, tests.n, load, NULL);
}
