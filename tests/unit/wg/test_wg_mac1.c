/* mac1 by the burst against mac1 one by one, by every way that the CPU has. */
#include "base_bytes.h"
#include "test.h"
#include "wg_cookie.h"
#include "wg_mac1.h"

static const char *const names[WG_MAC1_N_WAYS] = {"plain", "AVX2", "AVX-512"};

struct burst {
	uint8_t messages[WG_MAC1_MAX][WG_INITIATION_LEN];
	const uint8_t *at[WG_MAC1_MAX];
	uint32_t n;
};

static size_t message_len(const uint8_t *message)
{
	return message[0] == WG_MESSAGE_INITIATION ? WG_INITIATION_LEN : WG_RESPONSE_LEN;
}

/* Initiations and responses of random content, stamped for the key. */
static void make_burst(struct burst *burst, struct test_random *random, uint32_t n,
                       const uint8_t key[static WG_KEY_LEN])
{
	burst->n = n;
	for (uint32_t i = 0; i < n; i++) {
		struct wg_cookie_maker maker;
		uint8_t *message = burst->messages[i];

		test_random_bytes(random, message, WG_INITIATION_LEN);
		message[0] = test_random_below(random, 3) != 0 ? WG_MESSAGE_INITIATION
		                                               : WG_MESSAGE_RESPONSE;
		wg_cookie_maker_init(&maker, key);
		wg_cookie_stamp(&maker, message, message_len(message), 1);
		burst->at[i] = message;
	}
}

static uint64_t all_of(uint32_t n)
{
	return n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
}

static void bursts_of_every_size_agree_with_one_by_one(void **state)
{
	struct test_random random = test_random_start();
	struct wg_mac1_key key;
	uint8_t public_key[WG_KEY_LEN], plain[32];

	(void)state;
	test_random_bytes(&random, public_key, sizeof(public_key));
	wg_mac1_key_init(&key, public_key);
	wg_cookie_mac1_key(plain, public_key);
	for (uint32_t n = 0; n <= WG_MAC1_MAX; n++) {
		struct burst burst;
		uint64_t wanted = 0;

		make_burst(&burst, &random, n, public_key);
		for (uint32_t i = 0; i < n; i++) {
			uint8_t *message = burst.messages[i];
			size_t mac1_end = message_len(message) - WG_MAC_LEN;

			if (test_random_below(&random, 2) == 0)
				message[1 + test_random_below(&random, mac1_end - 1)] ^= 0x10;
			wanted |= (uint64_t)wg_cookie_mac1_ok(plain, message, message_len(message))
			          << i;
		}
		for (uint32_t way = 0; way < WG_MAC1_N_WAYS; way++)
			if (wg_mac1_has(way))
				assert_true(wg_mac1_check_by(way, &key, burst.at, n) == wanted);
		assert_true(wg_mac1_check(&key, burst.at, n) == wanted);
	}
}

static void each_bit_of_a_message_counts_in_each_lane(void **state)
{
	struct test_random random = test_random_start();
	uint8_t public_key[WG_KEY_LEN] = {9};
	struct wg_mac1_key key;
	struct burst burst;

	(void)state;
	wg_mac1_key_init(&key, public_key);
	make_burst(&burst, &random, WG_MAC1_MAX, public_key);
	for (uint32_t way = 0; way < WG_MAC1_N_WAYS; way++) {
		if (!wg_mac1_has(way)) {
			print_message("# no %s here\n", names[way]);
			continue;
		}
		assert_true(wg_mac1_check_by(way, &key, burst.at, 64) == UINT64_MAX);
		for (size_t bit = 8; bit < (WG_RESPONSE_LEN - WG_MAC_LEN) * 8; bit++) {
			uint32_t lane = (uint32_t)(bit * 5 % WG_MAC1_MAX);

			burst.messages[lane][bit / 8] ^= (uint8_t)(1U << bit % 8);
			assert_true(wg_mac1_check_by(way, &key, burst.at, 64)
			            == (UINT64_MAX ^ UINT64_C(1) << lane));
			burst.messages[lane][bit / 8] ^= (uint8_t)(1U << bit % 8);
		}
	}
}

static void another_key_passes_nothing(void **state)
{
	struct test_random random = test_random_start();
	const uint8_t ours[WG_KEY_LEN] = {1}, theirs[WG_KEY_LEN] = {2};
	struct wg_mac1_key key;
	struct burst burst;

	(void)state;
	wg_mac1_key_init(&key, ours);
	for (uint32_t n = 1; n <= WG_MAC1_MAX; n++) {
		make_burst(&burst, &random, n, theirs);
		assert_true(wg_mac1_check(&key, burst.at, n) == 0);
		make_burst(&burst, &random, n, ours);
		assert_true(wg_mac1_check(&key, burst.at, n) == all_of(n));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bursts_of_every_size_agree_with_one_by_one),
		cmocka_unit_test(each_bit_of_a_message_counts_in_each_lane),
		cmocka_unit_test(another_key_passes_nothing),
	};

	return cmocka_run_group_tests_name("wg/mac1", tests, NULL, NULL);
}
