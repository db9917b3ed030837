/* Loads and stores at any alignment, comparison and wiping. */
#include "base_bytes.h"
#include "test.h"

static void loads_and_stores_have_the_order_they_say_at_every_alignment(void **state)
{
	static const uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};

	(void)state;
	for (size_t at = 0; at < 8; at++) {
		uint8_t buf[16] = {0};

		memcpy(buf + at, bytes, 8);
		assert_int_equal(base_load_be16(buf + at), 0x0102);
		assert_int_equal(base_load_le16(buf + at), 0x0201);
		assert_int_equal(base_load_be32(buf + at), 0x01020304);
		assert_int_equal(base_load_le32(buf + at), 0x04030201);
		assert_true(base_load_be64(buf + at) == UINT64_C(0x0102030405060708));
		assert_true(base_load_le64(buf + at) == UINT64_C(0x0807060504030201));
		base_store_be16(buf + at, 0xa1a2);
		assert_memory_equal(buf + at, "\xa1\xa2\3\4\5\6\7\10", 8);
		base_store_le16(buf + at, 0xa1a2);
		assert_memory_equal(buf + at, "\xa2\xa1\3\4\5\6\7\10", 8);
		base_store_be32(buf + at, 0xa1a2a3a4);
		assert_memory_equal(buf + at, "\xa1\xa2\xa3\xa4\5\6\7\10", 8);
		base_store_le32(buf + at, 0xa1a2a3a4);
		assert_memory_equal(buf + at, "\xa4\xa3\xa2\xa1\5\6\7\10", 8);
		base_store_be64(buf + at, UINT64_C(0x0102030405060708));
		assert_memory_equal(buf + at, bytes, 8);
		base_store_le64(buf + at, UINT64_C(0x0807060504030201));
		assert_memory_equal(buf + at, bytes, 8);
	}
}

static void equal_and_zero_see_every_single_bit(void **state)
{
	(void)state;
	for (size_t len = 0; len <= 33; len++) {
		uint8_t a[33] = {0}, b[33] = {0};

		assert_true(base_equal_ct(a, b, len));
		assert_true(base_is_zero_ct(a, len));
		for (size_t bit = 0; bit < len * 8; bit++) {
			b[bit / 8] = (uint8_t)(1 << bit % 8);
			assert_false(base_equal_ct(a, b, len));
			assert_false(base_is_zero_ct(b, len));
			b[bit / 8] = 0;
		}
		if (len < 33) {
			b[len] = 1; /* just behind */
			assert_true(base_equal_ct(a, b, len));
			assert_true(base_is_zero_ct(b, len));
		}
	}
}

static void wipe_clears_exactly_its_range(void **state)
{
	uint8_t buf[10];

	(void)state;
	memset(buf, 0xff, sizeof(buf));
	base_wipe(buf + 2, 6);
	assert_memory_equal(buf, "\xff\xff\0\0\0\0\0\0\xff\xff", 10);
}

struct outer {
	int first;
	char inner;
};

static void container_of_finds_the_outer_struct(void **state)
{
	struct outer outer = {0};

	(void)state;
	assert_ptr_equal(base_container_of(&outer.inner, struct outer, inner), &outer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loads_and_stores_have_the_order_they_say_at_every_alignment),
		cmocka_unit_test(equal_and_zero_see_every_single_bit),
		cmocka_unit_test(wipe_clears_exactly_its_range),
		cmocka_unit_test(container_of_finds_the_outer_struct),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
