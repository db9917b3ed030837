/* Which packets a multi-packet backend leaves to ipsec-mb: the model with round figures. */
#include "aead_crossover.h"
#include "base_bytes.h"
#include "test.h"

static const struct aead_costs costs = {
	.n_group = 8,
	.block = 30,
	.blocks_min = 10,
	.group = 450,
	.group_block = 75,
	.open = 400,
	.one = 350,
	.one_block = 45,
};

static uint32_t lens[AEAD_BURST_MAX];

static void fill(uint32_t len)
{
	for (unsigned int i = 0; i < AEAD_BURST_MAX; i++)
		lens[i] = len;
}

static void full_groups_stay_together(void **state)
{
	static const uint32_t sizes[] = {0, 64, 1420, AEAD_LEN_MAX};

	(void)state;
	for (unsigned int i = 0; i < BASE_ARRAY_LEN(sizes); i++) {
		fill(sizes[i]);
		for (unsigned int n = 8; n <= AEAD_BURST_MAX; n += 8) {
			assert_int_equal(aead_crossover_head(&costs, lens, n), 0);
			assert_int_equal(aead_crossover_tail(&costs, lens, n, true), 0);
		}
	}
}

static void single_packet_goes_alone(void **state)
{
	(void)state;
	for (uint32_t len = 0; len <= AEAD_LEN_MAX; len += 32) {
		fill(len);
		assert_int_equal(aead_crossover_tail(&costs, lens, 1, false), 1);
		assert_int_equal(aead_crossover_tail(&costs, lens, 1, true), 1);
	}
}

static void last_packet_of_a_burst_of_nine_goes_alone(void **state)
{
	(void)state;
	fill(1420);
	assert_int_equal(aead_crossover_tail(&costs, lens, 9, false), 1);
	assert_int_equal(aead_crossover_tail(&costs, lens, 15, false), 0);
}

static void few_short_packets_are_sealed_together_and_opened_one_by_one(void **state)
{
	(void)state;
	fill(64);
	assert_int_equal(aead_crossover_tail(&costs, lens, 3, false), 0);
	assert_int_equal(aead_crossover_tail(&costs, lens, 3, true), 3);
	assert_int_equal(aead_crossover_tail(&costs, lens, 4, true), 0);
}

static void jumbos_among_short_packets_go_alone(void **state)
{
	(void)state;
	for (unsigned int n_jumbos = 1; n_jumbos <= 2; n_jumbos++) {
		fill(64);
		for (unsigned int i = 0; i < n_jumbos; i++)
			lens[i] = 9000;
		assert_int_equal(aead_crossover_head(&costs, lens, 32), n_jumbos);
	}
}

static void packets_a_little_longer_stay(void **state)
{
	(void)state;
	fill(1200);
	lens[0] = 1420;
	assert_int_equal(aead_crossover_head(&costs, lens, 32), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_groups_stay_together),
		cmocka_unit_test(single_packet_goes_alone),
		cmocka_unit_test(last_packet_of_a_burst_of_nine_goes_alone),
		cmocka_unit_test(few_short_packets_are_sealed_together_and_opened_one_by_one),
		cmocka_unit_test(jumbos_among_short_packets_go_alone),
		cmocka_unit_test(packets_a_little_longer_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
