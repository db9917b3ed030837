/* dataplane/aead through aead.h, every backend against libsodium called directly. */
#include "aead.h"
#include "aead_each.h"
#include "base_bytes.h"
#include "test.h"

#include <sodium.h>

#include <errno.h>
#include <stdbool.h>

#define GUARD      64 /* bytes before and behind each packet that nobody may touch */
#define ROOM       (GUARD + 64 + AEAD_LEN_MAX + AEAD_TAG_LEN + GUARD)
#define GUARD_BYTE 0xa5

/* A burst under test, and what it must become. */
struct burst {
	struct aead_op op[AEAD_BURST_MAX];
	uint8_t key[AEAD_BURST_MAX][AEAD_KEY_LEN + 1]; /* used from byte 0 or 1 */
	uint8_t room[AEAD_BURST_MAX][ROOM];
	uint8_t plain[AEAD_BURST_MAX][AEAD_LEN_MAX];
	uint8_t sealed[AEAD_BURST_MAX][AEAD_LEN_MAX + AEAD_TAG_LEN]; /* by libsodium */
	unsigned int n;
};

static struct burst burst;
static struct test_random rnd;

static void seal_by_sodium(uint8_t *out, const uint8_t *plain, size_t len, const uint8_t *key,
                           uint64_t counter)
{
	uint8_t nonce[12] = {0};

	base_store_le64(nonce + 4, counter);
	assert_int_equal(crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain, len, NULL, 0,
	                                                           NULL, nonce, key),
	                 0);
}

static void add_packet(uint32_t len, unsigned int misalignment, uint64_t counter)
{
	unsigned int i = burst.n++;
	struct aead_op *op = &burst.op[i];

	assert_true(i < AEAD_BURST_MAX && len <= AEAD_LEN_MAX && misalignment < 64);
	test_random_bytes(&rnd, burst.key[i], sizeof(burst.key[i]));
	test_random_bytes(&rnd, burst.plain[i], len);
	memset(burst.room[i], GUARD_BYTE, ROOM);
	op->data = burst.room[i] + GUARD + misalignment;
	op->key = burst.key[i] + misalignment % 2;
	op->counter = counter;
	op->len = len;
	op->verdict = 77;
	memcpy(op->data, burst.plain[i], len);
	seal_by_sodium(burst.sealed[i], burst.plain[i], len, op->key, counter);
}

static void add_random_packet(uint32_t len_below)
{
	uint32_t len = (uint32_t)test_random_below(&rnd, len_below);

	add_packet(len, (unsigned int)test_random_below(&rnd, 64), test_random_next(&rnd));
}

static void assert_guards_untouched(unsigned int i)
{
	const struct aead_op *op = &burst.op[i];
	const uint8_t *behind = op->data + op->len + AEAD_TAG_LEN;

	for (unsigned int j = 1; j <= GUARD; j++)
		assert_int_equal(op->data[-(int)j], GUARD_BYTE);
	for (unsigned int j = 0; j < GUARD; j++)
		assert_int_equal(behind[j], GUARD_BYTE);
}

static void assert_sealed(unsigned int i)
{
	const struct aead_op *op = &burst.op[i];

	assert_int_equal(op->verdict, AEAD_OK);
	assert_memory_equal(op->data, burst.sealed[i], op->len + AEAD_TAG_LEN);
	assert_guards_untouched(i);
}

static void assert_opened(unsigned int i)
{
	const struct aead_op *op = &burst.op[i];

	assert_int_equal(op->verdict, AEAD_OK);
	if (op->len != 0)
		assert_memory_equal(op->data, burst.plain[i], op->len);
	assert_guards_untouched(i);
}

/* The payload of a forged packet must not be what the sender meant, as far as it can be told. */
static void assert_refused(unsigned int i)
{
	const struct aead_op *op = &burst.op[i];

	assert_int_equal(op->verdict, AEAD_FORGED);
	if (op->len >= 16)
		assert_memory_not_equal(op->data, burst.plain[i], 16);
	assert_guards_untouched(i);
}

static void seal_and_check(struct aead *aead)
{
	aead_seal(aead, burst.op, burst.n);
	for (unsigned int i = 0; i < burst.n; i++) {
		assert_sealed(i);
		burst.op[i].verdict = 77;
	}
}

static void seal_and_open(struct aead *aead)
{
	seal_and_check(aead);
	aead_open(aead, burst.op, burst.n);
	for (unsigned int i = 0; i < burst.n; i++)
		assert_opened(i);
	burst.n = 0;
}

static void every_length_to_2048_is_sealed_and_opened(void **state)
{
	struct aead *aead = *state;

	for (uint32_t len = 0; len <= 2048; len++) {
		add_packet(len, len * 7 % 64, test_random_next(&rnd));
		if (len % 23 == 22 || len == 2048)
			seal_and_open(aead);
	}
}

static void every_alignment_is_served_in_place(void **state)
{
	static const uint32_t lens[] = {0, 1, 15, 16, 63, 64, 65, 255, 256, 257, 1420};
	struct aead *aead = *state;

	for (size_t i = 0; i < BASE_ARRAY_LEN(lens); i++) {
		for (unsigned int misalignment = 0; misalignment < 64; misalignment++)
			add_packet(lens[i], misalignment, misalignment);
		seal_and_open(aead);
	}
}

static void bursts_of_1_to_64_mix_keys_and_sizes(void **state)
{
	struct aead *aead = *state;

	for (unsigned int n = 1; n <= AEAD_BURST_MAX; n++) {
		for (unsigned int i = 0; i < n; i++)
			add_random_packet(i % 16 == 15 ? AEAD_LEN_MAX + 1 : 1500);
		seal_and_open(aead);
	}
}

static void longest_packet_is_served(void **state)
{
	add_packet(AEAD_LEN_MAX, 3, 1);
	seal_and_open(*state);
}

static void empty_burst_does_nothing(void **state)
{
	aead_seal(*state, NULL, 0);
	aead_open(*state, NULL, 0);
}

static void counters_make_the_nonce_up_to_the_highest(void **state)
{
	static const uint64_t counters[] = {
		0,
		1,
		UINT64_C(0xff),
		UINT64_C(0xffffffff),
		UINT64_C(0x100000000),
		UINT64_C(1) << 60,
		UINT64_C(0x0102030405060708),
		UINT64_C(0x8000000000000000),
		UINT64_MAX - 8192 - 1,
		UINT64_MAX,
	};

	for (size_t i = 0; i < BASE_ARRAY_LEN(counters); i++)
		add_packet(100, 1, counters[i]);
	seal_and_open(*state);
}

static void same_packet_under_another_key_or_counter_is_forged(void **state)
{
	struct aead *aead = *state;

	for (unsigned int i = 0; i < 4; i++)
		add_packet(48, 0, 1000);
	seal_and_check(aead);
	burst.op[1].counter ^= UINT64_C(1) << 63;
	burst.op[2].key = burst.key[3];
	aead_open(aead, burst.op, burst.n);
	assert_opened(0);
	assert_refused(1);
	assert_refused(2);
	assert_opened(3);
	burst.n = 0;
}

/* One flipped bit after the other, in a burst whose other packets are good. */
static void every_flipped_bit_of_a_short_packet_is_forged(void **state)
{
	struct aead *aead = *state;
	const uint32_t len = 37;

	for (unsigned int bit = 0; bit < 8 * (len + AEAD_TAG_LEN); bit++) {
		for (unsigned int i = 0; i < 3; i++)
			add_packet(len, 5, bit);
		seal_and_check(aead);
		burst.op[1].data[bit / 8] ^= (uint8_t)(1U << bit % 8);
		aead_open(aead, burst.op, burst.n);
		assert_opened(0);
		assert_refused(1);
		assert_opened(2);
		burst.n = 0;
	}
}

static void forged_packets_leave_their_neighbours_intact(void **state)
{
	struct aead *aead = *state;

	for (unsigned int round = 0; round < 200; round++) {
		uint64_t forged = test_random_next(&rnd) & test_random_next(&rnd);
		unsigned int n = 1 + (unsigned int)test_random_below(&rnd, AEAD_BURST_MAX);

		for (unsigned int i = 0; i < n; i++)
			add_random_packet(i % 2 == 0 ? 80 : 1500);
		seal_and_check(aead);
		for (unsigned int i = 0; i < n; i++) {
			size_t at = test_random_below(&rnd, burst.op[i].len + AEAD_TAG_LEN);

			if (forged >> i & 1)
				burst.op[i].data[at] ^= (uint8_t)(1 + test_random_below(&rnd, 255));
		}
		aead_open(aead, burst.op, n);
		for (unsigned int i = 0; i < n; i++) {
			if (forged >> i & 1)
				assert_refused(i);
			else
				assert_opened(i);
		}
		burst.n = 0;
	}
}

/* Full bursts of one length have a way of their own; odd_one_out has another length, or is forged. */
static void pass_full_burst(struct aead *aead, unsigned int n, uint32_t len,
                            unsigned int odd_one_out, bool is_forged)
{
	for (unsigned int i = 0; i < n; i++)
		add_packet(i == odd_one_out && !is_forged ? len + 1 : len, i,
		           test_random_next(&rnd));
	seal_and_check(aead);
	if (is_forged)
		burst.op[odd_one_out].data[test_random_below(&rnd, len + AEAD_TAG_LEN)] ^= 0x10;
	aead_open(aead, burst.op, n);
	for (unsigned int i = 0; i < n; i++) {
		if (i == odd_one_out && is_forged)
			assert_refused(i);
		else
			assert_opened(i);
	}
	burst.n = 0;
}

static void bursts_of_one_length_but_for_one(void **state)
{
	static const uint32_t lens[] = {0, 1, 15, 16, 48, 63, 64, 65, 128, 512, 1024, 1420};
	struct aead *aead = *state;

	for (unsigned int n = 3; n <= AEAD_BURST_MAX; n++) {
		for (size_t i = 0; i < BASE_ARRAY_LEN(lens); i++) {
			unsigned int odd_one_out = (unsigned int)test_random_below(&rnd, n);

			pass_full_burst(aead, n, lens[i], n, false);
			pass_full_burst(aead, n, lens[i], odd_one_out, false);
			pass_full_burst(aead, n, lens[i], odd_one_out, true);
		}
	}
}

static void open_twice_is_refused_the_second_time(void **state)
{
	struct aead *aead = *state;

	add_packet(200, 9, 5);
	seal_and_check(aead);
	aead_open(aead, burst.op, 1);
	assert_opened(0);
	aead_open(aead, burst.op, 1);
	assert_int_equal(burst.op[0].verdict, AEAD_FORGED);
	burst.n = 0;
}

/* Too long at each place of a burst in turn; its buffer, of ordinary size, is not touched. */
static void too_long_packet_is_an_error_for_itself_only(void **state)
{
	static const uint32_t too_long[] = {AEAD_LEN_MAX + 1, UINT32_MAX - 15, UINT32_MAX};
	struct aead *aead = *state;
	uint8_t untouched[256];

	memset(untouched, 0x3c, sizeof(untouched));
	for (unsigned int at = 0; at < 9; at++) {
		for (unsigned int i = 0; i < 9; i++)
			add_packet(100 + i, i, i);
		burst.op[at] = (struct aead_op){.data = untouched,
		                                .key = burst.key[at],
		                                .len = too_long[at % 3],
		                                .verdict = 77};
		aead_seal(aead, burst.op, burst.n);
		for (unsigned int i = 0; i < 9; i++) {
			if (i != at)
				assert_sealed(i);
		}
		assert_int_equal(burst.op[at].verdict, AEAD_ERROR);
		burst.op[at].verdict = 77;
		aead_open(aead, burst.op, burst.n);
		for (unsigned int i = 0; i < 9; i++) {
			if (i != at)
				assert_opened(i);
		}
		assert_int_equal(burst.op[at].verdict, AEAD_ERROR);
		for (size_t j = 0; j < sizeof(untouched); j++)
			assert_int_equal(untouched[j], 0x3c);
		burst.n = 0;
	}
}

/* Lines behind the burst may be anything: of no page, or of the packets themselves. */
static void lines_behind_a_burst_are_only_reached_for(void **state)
{
	for (unsigned int n = 1; n <= AEAD_BURST_MAX; n += n < 8 ? 1 : 14) {
		for (unsigned int i = 0; i < n; i++) {
			add_packet(i % 4 == 3 ? 1420 : i * 7, i, i);
			burst.op[i].after[0] = i % 2 == 0
			                               ? (const void *)(uintptr_t)(4097 * (i + 1))
			                               : burst.op[i].data;
			burst.op[i].after[1] = (const void *)(UINTPTR_MAX - i);
		}
		seal_and_open(*state);
	}
}

static bool is_named(const struct aead *aead, const char *backend)
{
	size_t len = strlen(backend);

	return strncmp(aead_name(aead), backend, len) == 0 && aead_name(aead)[len] == ' ';
}

static void name_tells_the_backend(void **state)
{
	unsigned int n = 0;

	for (unsigned int i = AEAD_BACKEND_AUTO + 1; i < AEAD_N_BACKENDS; i++)
		n += is_named(*state, aead__backend_ops((enum aead_backend)i)->name);
	assert_int_equal(n, 1);
}

static void auto_takes_the_fastest_that_works(void **state)
{
	const char *expected = aead_each_can(AEAD_BACKEND_AVX512) ? "avx512"
	                       : aead_each_can(AEAD_BACKEND_AVX2) ? "avx2"
	                                                          : "ipsec-mb";
	struct aead *aead;

	(void)state;
	assert_int_equal(aead_create(AEAD_BACKEND_AUTO, &aead), 0);
	assert_true(is_named(aead, expected));
	aead_destroy(aead);
}

static void unknown_backend_is_not_supported(void **state)
{
	struct aead *aead = NULL;

	(void)state;
	assert_int_equal(aead_create(AEAD_N_BACKENDS, &aead), -ENOTSUP);
	assert_int_equal(aead_create((enum aead_backend)1000, &aead), -ENOTSUP);
	assert_null(aead);
}

static void backend_names_are_parsed(void **state)
{
	enum aead_backend backend = AEAD_N_BACKENDS;

	(void)state;
	assert_int_equal(aead_backend_parse("auto", &backend), 0);
	assert_int_equal(backend, AEAD_BACKEND_AUTO);
	assert_int_equal(aead_backend_parse("avx512", &backend), 0);
	assert_int_equal(backend, AEAD_BACKEND_AVX512);
	assert_int_equal(aead_backend_parse("avx2", &backend), 0);
	assert_int_equal(backend, AEAD_BACKEND_AVX2);
	assert_int_equal(aead_backend_parse("ipsec-mb", &backend), 0);
	assert_int_equal(backend, AEAD_BACKEND_IPSEC_MB);
	assert_int_equal(aead_backend_parse("sodium", &backend), 0);
	assert_int_equal(backend, AEAD_BACKEND_SODIUM);
	assert_int_equal(aead_backend_parse("", &backend), -EINVAL);
	assert_int_equal(aead_backend_parse("Sodium", &backend), -EINVAL);
	assert_int_equal(aead_backend_parse("sodium ", &backend), -EINVAL);
	assert_int_equal(backend, AEAD_BACKEND_SODIUM);
}

static void destroying_nothing_is_fine(void **state)
{
	(void)state;
	aead_destroy(NULL);
}

/* Also after a test that failed half-way. */
static int start(void **state)
{
	burst.n = 0;
	return aead_each_create(state);
}

int main(void)
{
	const struct CMUnitTest of_each[] = {
		cmocka_unit_test_setup(every_length_to_2048_is_sealed_and_opened, start),
		cmocka_unit_test_setup(every_alignment_is_served_in_place, start),
		cmocka_unit_test_setup(bursts_of_1_to_64_mix_keys_and_sizes, start),
		cmocka_unit_test_setup(longest_packet_is_served, start),
		cmocka_unit_test_setup(empty_burst_does_nothing, start),
		cmocka_unit_test_setup(counters_make_the_nonce_up_to_the_highest, start),
		cmocka_unit_test_setup(same_packet_under_another_key_or_counter_is_forged, start),
		cmocka_unit_test_setup(every_flipped_bit_of_a_short_packet_is_forged, start),
		cmocka_unit_test_setup(forged_packets_leave_their_neighbours_intact, start),
		cmocka_unit_test_setup(bursts_of_one_length_but_for_one, start),
		cmocka_unit_test_setup(open_twice_is_refused_the_second_time, start),
		cmocka_unit_test_setup(too_long_packet_is_an_error_for_itself_only, start),
		cmocka_unit_test_setup(lines_behind_a_burst_are_only_reached_for, start),
		cmocka_unit_test_setup(name_tells_the_backend, start),
	};
	const struct CMUnitTest of_front[] = {
		cmocka_unit_test(auto_takes_the_fastest_that_works),
		cmocka_unit_test(unknown_backend_is_not_supported),
		cmocka_unit_test(backend_names_are_parsed),
		cmocka_unit_test(destroying_nothing_is_fine),
	};
	static struct aead_each tests;

	aead_each_add(&tests, of_each, BASE_ARRAY_LEN(of_each));
	for (size_t i = 0; i < BASE_ARRAY_LEN(of_front); i++)
		aead_each_add_one(&tests, of_front[i]);
	rnd = test_random_start();
	return _cmocka_run_group_tests("aead", tests.test, tests.n, NULL, NULL);
}
