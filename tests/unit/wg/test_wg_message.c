/* Type, reserved bytes and length of messages. */
#include "base_bytes.h"
#include "test.h"
#include "wg_message.h"

static const struct {
	uint8_t first[4];
	size_t len;
	enum wg_message_verdict expected;
} cases[] = {
	/* 0 */ {{1, 0, 0, 0}, 148, WG_MESSAGE_OK},
	/* 1 */ {{2, 0, 0, 0}, 92, WG_MESSAGE_OK},
	/* 2 */ {{3, 0, 0, 0}, 64, WG_MESSAGE_OK},
	/* 3 */ {{4, 0, 0, 0}, 32, WG_MESSAGE_OK},
	/* 4 */ {{4, 0, 0, 0}, 48, WG_MESSAGE_OK},
	/* 5: a full packet with MTU 1420 */ {{4, 0, 0, 0}, 1452, WG_MESSAGE_OK},
	/* 6 */ {{4, 0, 0, 0}, 33, WG_MESSAGE_OK},
	/* 7 */ {{4, 0, 0, 0}, 65507, WG_MESSAGE_OK},
	/* 8 */ {{1, 0, 0, 0}, 0, WG_MESSAGE_SHORT},
	/* 9 */ {{1, 0, 0, 0}, 3, WG_MESSAGE_SHORT},
	/* 10 */ {{1, 0, 0, 0}, 4, WG_MESSAGE_BAD_LENGTH},
	/* 11 */ {{1, 0, 0, 0}, 147, WG_MESSAGE_BAD_LENGTH},
	/* 12 */ {{1, 0, 0, 0}, 149, WG_MESSAGE_BAD_LENGTH},
	/* 13 */ {{2, 0, 0, 0}, 91, WG_MESSAGE_BAD_LENGTH},
	/* 14 */ {{2, 0, 0, 0}, 148, WG_MESSAGE_BAD_LENGTH},
	/* 15 */ {{3, 0, 0, 0}, 63, WG_MESSAGE_BAD_LENGTH},
	/* 16 */ {{3, 0, 0, 0}, 65, WG_MESSAGE_BAD_LENGTH},
	/* 17 */ {{4, 0, 0, 0}, 16, WG_MESSAGE_BAD_LENGTH},
	/* 18 */ {{4, 0, 0, 0}, 31, WG_MESSAGE_BAD_LENGTH},
	/* 19 */ {{0, 0, 0, 0}, 148, WG_MESSAGE_BAD_TYPE},
	/* 20 */ {{5, 0, 0, 0}, 148, WG_MESSAGE_BAD_TYPE},
	/* 21 */ {{255, 0, 0, 0}, 32, WG_MESSAGE_BAD_TYPE},
	/* 22 */ {{1, 1, 0, 0}, 148, WG_MESSAGE_BAD_RESERVED},
	/* 23 */ {{2, 0, 128, 0}, 92, WG_MESSAGE_BAD_RESERVED},
	/* 24 */ {{4, 0, 0, 1}, 32, WG_MESSAGE_BAD_RESERVED},
	/* 25: reserved before length */ {{4, 0, 0, 1}, 31, WG_MESSAGE_BAD_RESERVED},
	/* 26: type before reserved */ {{9, 1, 0, 1}, 31, WG_MESSAGE_BAD_TYPE},
};

static void check_gives_the_verdict_of_the_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		enum wg_message_verdict got = wg_message_check(cases[i].first, cases[i].len);

		if (got != cases[i].expected)
			fail_msg("case %zu: got %d, expected %d", i, got, cases[i].expected);
	}
}

static void check_accepts_one_length_of_each_handshake_message(void **state)
{
	static const size_t expected[] = {0, 148, 92, 64};

	(void)state;
	for (uint8_t type = 1; type <= 3; type++) {
		const uint8_t first[4] = {type};

		for (size_t len = 4; len < 2000; len++)
			assert_int_equal(wg_message_check(first, len),
			                 len == expected[type] ? WG_MESSAGE_OK
			                                       : WG_MESSAGE_BAD_LENGTH);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(check_gives_the_verdict_of_the_table),
		cmocka_unit_test(check_accepts_one_length_of_each_handshake_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
