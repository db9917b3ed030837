/* SipHash-2-4: the paper's example, and every length against libsodium's. */
#include "base_bytes.h"
#include "base_siphash.h"
#include "test.h"

#include <sodium.h>

static void example_of_the_paper_comes_out(void **state)
{
	uint8_t bytes[16];

	(void)state;
	for (uint8_t i = 0; i < 16; i++)
		bytes[i] = i;
	assert_true(base_siphash(base_siphash_key(bytes), bytes, 15)
	            == UINT64_C(0xa129ca6149be45e5));
}

static void every_length_agrees_with_libsodium(void **state)
{
	struct test_random random = test_random_start();
	uint8_t key[16], in[200], expected[8];

	(void)state;
	for (size_t len = 0; len <= sizeof(in); len++) {
		test_random_bytes(&random, key, sizeof(key));
		test_random_bytes(&random, in, sizeof(in));
		assert_int_equal(crypto_shorthash(expected, in, len, key), 0);
		assert_true(base_siphash(base_siphash_key(key), in, len)
		            == base_load_le64(expected));
	}
}

static void hash_of_a_word_is_that_of_its_bytes(void **state)
{
	struct test_random random = test_random_start();

	(void)state;
	for (int i = 0; i < 1000; i++) {
		struct base_siphash_key key = {test_random_next(&random),
		                               test_random_next(&random)};
		uint64_t v = test_random_next(&random);
		uint8_t bytes[8];

		base_store_le64(bytes, v);
		assert_true(base_siphash_u64(key, v) == base_siphash(key, bytes, 8));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(example_of_the_paper_comes_out),
		cmocka_unit_test(every_length_agrees_with_libsodium),
		cmocka_unit_test(hash_of_a_word_is_that_of_its_bytes),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
