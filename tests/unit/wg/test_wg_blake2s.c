/* BLAKE2s fed in every way, HMAC and KDF against their definitions. The published values are in
 * tests/vectors. */
#include "base_bytes.h"
#include "test.h"
#include "wg_blake2s.h"

#include <stdbool.h>

static void digest_does_not_depend_on_how_the_input_is_cut(void **state)
{
	struct test_random random = test_random_start();
	uint8_t in[400];
	uint8_t key[WG_BLAKE2S_KEY_MAX];

	(void)state;
	test_random_bytes(&random, in, sizeof(in));
	test_random_bytes(&random, key, sizeof(key));
	for (size_t len = 0; len <= sizeof(in); len++) {
		uint8_t whole[32], cut[32];
		size_t key_len = test_random_below(&random, 33);
		size_t out_len = 1 + test_random_below(&random, 32);
		struct wg_blake2s state_whole, state_cut;

		wg_blake2s_init(&state_whole, out_len, key, key_len);
		wg_blake2s_update(&state_whole, in, len);
		wg_blake2s_final(&state_whole, whole);
		wg_blake2s_init(&state_cut, out_len, key, key_len);
		for (size_t at = 0; at < len;) {
			size_t n = 1 + test_random_below(&random, 130);

			n = n < len - at ? n : len - at;
			wg_blake2s_update(&state_cut, in + at, n);
			wg_blake2s_update(&state_cut, in, 0);
			at += n;
		}
		wg_blake2s_final(&state_cut, cut);
		assert_memory_equal(whole, cut, out_len);
	}
}

static void digest_writes_no_byte_more_than_asked(void **state)
{
	(void)state;
	for (size_t out_len = 1; out_len <= 32; out_len++) {
		struct wg_blake2s blake;
		uint8_t out[40];

		memset(out, 0xa5, sizeof(out));
		wg_blake2s_init(&blake, out_len, NULL, 0);
		wg_blake2s_update(&blake, "abc", 3);
		wg_blake2s_final(&blake, out);
		for (size_t i = out_len; i < sizeof(out); i++)
			assert_int_equal(out[i], 0xa5);
	}
}

static void state_is_wiped_with_the_digest(void **state)
{
	struct wg_blake2s blake;
	uint8_t out[32];
	const uint8_t key[32] = {1, 2, 3};

	(void)state;
	wg_blake2s_init(&blake, 32, key, sizeof(key));
	wg_blake2s_update(&blake, "secret", 6);
	wg_blake2s_final(&blake, out);
	assert_true(base_is_zero_ct(&blake, sizeof(blake)));
}

static void key_length_and_digest_length_are_part_of_the_digest(void **state)
{
	struct wg_blake2s blake;
	uint8_t a[32], b[32];
	const uint8_t key[32] = {0};

	(void)state;
	wg_hash(a, "", 0);
	wg_blake2s_init(&blake, 32, key, 32);
	wg_blake2s_final(&blake, b);
	assert_memory_not_equal(a, b, 32);
	wg_blake2s_init(&blake, 16, NULL, 0);
	wg_blake2s_final(&blake, b);
	assert_memory_not_equal(a, b, 16);
}

static void hash_of_two_is_the_hash_of_both_together_even_in_place(void **state)
{
	uint8_t both[64], expected[32];

	(void)state;
	for (size_t i = 0; i < sizeof(both); i++)
		both[i] = (uint8_t)(3 * i);
	wg_hash(expected, both, 64);
	wg_hash2(both, both, 32, both + 32, 32);
	assert_memory_equal(both, expected, 32);
}

/* RFC 2104 spelled out. */
static void plain_hmac(uint8_t out[static 32], const uint8_t *key, size_t key_len,
                       const uint8_t *in, size_t len)
{
	uint8_t buf[64 + 512];
	uint8_t block[64] = {0};

	if (key_len > 64)
		wg_hash(block, key, key_len);
	else
		memcpy(block, key, key_len);
	for (size_t i = 0; i < 64; i++)
		buf[i] = block[i] ^ 0x36;
	memcpy(buf + 64, in, len);
	wg_hash(out, buf, 64 + len);
	for (size_t i = 0; i < 64; i++)
		buf[i] = block[i] ^ 0x5c;
	memcpy(buf + 64, out, 32);
	wg_hash(out, buf, 96);
}

static void hmac_is_rfc_2104_for_every_length_of_key(void **state)
{
	struct test_random random = test_random_start();
	uint8_t key[130], in[300];

	(void)state;
	for (size_t key_len = 0; key_len <= sizeof(key); key_len++) {
		uint8_t got[32], expected[32];
		size_t len = test_random_below(&random, sizeof(in) + 1);

		test_random_bytes(&random, key, sizeof(key));
		test_random_bytes(&random, in, sizeof(in));
		wg_hmac(got, key, key_len, in, len);
		plain_hmac(expected, key, key_len, in, len);
		assert_memory_equal(got, expected, 32);
	}
}

static void kdf_is_the_whitepapers_chain(void **state)
{
	struct test_random random = test_random_start();
	uint8_t key[32], in[32], secret[32], expected[3][32], step[33];
	uint8_t got[3][32];

	(void)state;
	test_random_bytes(&random, key, sizeof(key));
	test_random_bytes(&random, in, sizeof(in));
	plain_hmac(secret, key, 32, in, 32);
	plain_hmac(expected[0], secret, 32, (const uint8_t *)"\1", 1);
	for (uint8_t i = 1; i < 3; i++) {
		memcpy(step, expected[i - 1], 32);
		step[32] = (uint8_t)(i + 1);
		plain_hmac(expected[i], secret, 32, step, 33);
	}
	wg_kdf(got[0], got[1], got[2], key, in, 32);
	assert_memory_equal(got, expected, sizeof(got));
	memset(got, 0, sizeof(got));
	wg_kdf(got[0], got[1], NULL, key, in, 32);
	assert_memory_equal(got, expected, 64);
	assert_true(base_is_zero_ct(got[2], 32));
	/* The chaining key is replaced in place. */
	wg_kdf(key, got[1], NULL, key, in, 32);
	assert_memory_equal(key, expected[0], 32);
	assert_memory_equal(got[1], expected[1], 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digest_does_not_depend_on_how_the_input_is_cut),
		cmocka_unit_test(digest_writes_no_byte_more_than_asked),
		cmocka_unit_test(state_is_wiped_with_the_digest),
		cmocka_unit_test(key_length_and_digest_length_are_part_of_the_digest),
		cmocka_unit_test(hash_of_two_is_the_hash_of_both_together_even_in_place),
		cmocka_unit_test(hmac_is_rfc_2104_for_every_length_of_key),
		cmocka_unit_test(kdf_is_the_whitepapers_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
