/* Base64 of keys, and hex: tables, what is refused, and libsodium's against ours. */
#include "base_bytes.h"
#include "base_text.h"
#include "test.h"

#include <sodium.h>

#include <errno.h>

static void random_keys_go_to_base64_as_libsodium_does_and_back(void **state)
{
	struct test_random random = test_random_start();

	(void)state;
	for (int i = 0; i < 5000; i++) {
		uint8_t key[BASE_KEY_LEN], back[BASE_KEY_LEN];
		char ours[BASE_KEY_BASE64_LEN], theirs[BASE_KEY_BASE64_LEN];

		test_random_bytes(&random, key, sizeof(key));
		base_key_to_base64(ours, key);
		sodium_bin2base64(theirs, sizeof(theirs), key, sizeof(key),
		                  sodium_base64_VARIANT_ORIGINAL);
		assert_string_equal(ours, theirs);
		assert_int_equal(base_key_from_base64(back, ours), 0);
		assert_memory_equal(key, back, sizeof(key));
	}
}

static const char *const bad_keys[] = {
	/* 0 */ "",
	/* 1 */ "=",
	/* 2: 43 characters */ "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	/* 3: 45 */ "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	/* 4: no padding */ "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	/* 5: too much */ "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
	/* 6: unused bits set */ "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=",
	/* 7 */ "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD=",
	/* 8 */ " AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	/* 9 */ "AAAA-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	/* 10 */ "AAAA_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	/* 11 */ "AAAA=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	/* 12 */ "\303\244AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	/* 13: 45 with a newline */ "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
};

static void anything_but_44_characters_of_a_key_is_refused_and_wiped(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(bad_keys); i++) {
		uint8_t key[BASE_KEY_LEN] = {0};

		if (base_key_from_base64(key, bad_keys[i]) != -EINVAL)
			fail_msg("case %zu: %s", i, bad_keys[i]);
		assert_true(base_is_zero_ct(key, sizeof(key)));
	}
}

static void every_character_of_base64_is_told_from_every_other_byte(void **state)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char text[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

	(void)state;
	for (int c = 1; c < 256; c++) {
		const char *at = memchr(alphabet, c, 64);
		uint8_t key[BASE_KEY_LEN];

		text[1] = (char)c;
		assert_int_equal(base_key_from_base64(key, text), at ? 0 : -EINVAL);
		if (at)
			assert_int_equal(key[0] << 4 | key[1] >> 4, at - alphabet);
	}
}

static void hex_goes_there_and_back_for_every_byte(void **state)
{
	uint8_t bytes[256], back[256];
	char text[513];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	base_hex_encode(text, bytes, sizeof(bytes));
	assert_int_equal(strlen(text), 512);
	assert_memory_equal(text + 2 * 0xaf, "af", 2);
	assert_int_equal(base_hex_decode(back, sizeof(back), text), 0);
	assert_memory_equal(bytes, back, sizeof(bytes));
	for (size_t i = 0; i < 512; i++)
		text[i] = (char)(text[i] >= 'a' ? text[i] - 32 : text[i]);
	assert_int_equal(base_hex_decode(back, sizeof(back), text), 0);
	assert_memory_equal(bytes, back, sizeof(bytes));
}

static void hex_of_another_length_or_other_characters_is_refused(void **state)
{
	static const char *const bad[] = {"",     "0",    "012",  "01234", "0x12", "012g", " 012",
	                                  "-123", "01:2", "01G2", "01/2",  "01@2", "01`2"};
	uint8_t out[2];

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(bad); i++)
		if (base_hex_decode(out, 2, bad[i]) != -EINVAL)
			fail_msg("case %zu: %s", i, bad[i]);
	assert_int_equal(base_hex_decode(out, 0, ""), 0);
}

static void a_text_that_was_cut_is_repaired(void **state)
{
	static const struct {
		const char *cut;
		const char *good;
	} cases[] = {
		{"", ""},
		{"plain", "plain"},
		{"\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa7", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa7"},
		{"a\xc3", "a?"},
		{"a\xc3...", "a?..."},
		{"\xe2\x82", "??"},
		{"\xf0\x9f\x90 b", "??? b"},
		{"\x82\xac", "??"},
		{"\xc0\x80\xed\xa0\x80\xf5", "??????"},
	};
	char text[32];

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		strcpy(text, cases[i].cut);
		base_utf8_repair(text);
		assert_string_equal(text, cases[i].good);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_keys_go_to_base64_as_libsodium_does_and_back),
		cmocka_unit_test(anything_but_44_characters_of_a_key_is_refused_and_wiped),
		cmocka_unit_test(every_character_of_base64_is_told_from_every_other_byte),
		cmocka_unit_test(hex_goes_there_and_back_for_every_byte),
		cmocka_unit_test(hex_of_another_length_or_other_characters_is_refused),
		cmocka_unit_test(a_text_that_was_cut_is_repaired),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
