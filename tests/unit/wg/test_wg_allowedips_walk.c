/* Walking the cryptokey routing table in slices, while it changes between them. */
#include "base_bytes.h"
#include "test.h"
#include "wg_allowedips.h"

#include <errno.h>

#define N_PREFIXES 600U
#define N_VALUES   20U

/* A world of prefixes, dense enough that they contain each other: number i is one of them. */
static struct base_prefix prefix_of(uint32_t i)
{
	static const uint8_t v4_len[] = {0, 8, 13, 24, 25, 31, 32, 32, 32, 32};
	static const uint8_t v6_len[] = {0, 3, 48, 64, 127, 128, 128, 128, 128, 128};
	struct base_prefix prefix = {.ip.family = i % 3 == 0 ? BASE_IP_V6 : BASE_IP_V4};

	prefix.len = i % 3 == 0 ? v6_len[i / 3 % 10] : v4_len[i / 3 % 10];
	prefix.ip.bytes[0] = (uint8_t)(i % 7 * 16);
	prefix.ip.bytes[1] = (uint8_t)(i * 41);
	prefix.ip.bytes[3] = (uint8_t)(i * 7);
	if (prefix.ip.family == BASE_IP_V6) {
		prefix.ip.bytes[7] = (uint8_t)(i * 13);
		prefix.ip.bytes[15] = (uint8_t)i;
	}
	base_prefix_mask(&prefix);
	return prefix;
}

/* What is in the table, and what a walk may tell of it. */
struct world {
	struct wg_allowedips *table;
	uint32_t holder[N_PREFIXES]; /* 1 + value, 0 = none; the first of equal prefixes counts */
	bool is_touched[N_PREFIXES]; /* since the walk began */
	uint32_t n_told[N_PREFIXES];
	uint32_t budget;
	uint32_t n_slice; /* told in this slice */
};

static uint32_t number_of(const struct base_prefix *prefix)
{
	for (uint32_t i = 0; i < N_PREFIXES; i++) {
		struct base_prefix other = prefix_of(i);

		if (base_prefix_equal(&other, prefix))
			return i;
	}
	fail_msg("a prefix that nobody put");
	return 0;
}

static void change(struct world *world, struct test_random *random)
{
	struct base_prefix prefix = prefix_of((uint32_t)test_random_below(random, N_PREFIXES));
	uint32_t value = (uint32_t)test_random_below(random, N_VALUES);
	uint32_t i = number_of(&prefix);

	world->is_touched[i] = true;
	if (test_random_below(random, 2) == 0) {
		assert_int_equal(wg_allowedips_insert(world->table, &prefix, value, NULL), 0);
		world->holder[i] = 1 + value;
	} else if (world->holder[i] != 0) {
		assert_int_equal(wg_allowedips_remove(world->table, &prefix, world->holder[i] - 1),
		                 0);
		world->holder[i] = 0;
	}
}

static int note(void *arg, const struct base_prefix *prefix, uint32_t value)
{
	struct world *world = arg;
	uint32_t i = number_of(prefix);

	assert_int_equal(world->holder[i], 1 + value);
	world->n_told[i]++;
	assert_true(++world->n_slice <= world->budget);
	return world->n_slice == 5; /* a full buffer, say */
}

/* Returns false when the walk has to begin anew. */
static bool walk(struct world *world, struct test_random *random, bool with_changes)
{
	struct wg_allowedips_cursor cursor = {0};
	int more = 1;

	memset(world->is_touched, 0, sizeof(world->is_touched));
	memset(world->n_told, 0, sizeof(world->n_told));
	while (more == 1) {
		world->budget = 1 + (uint32_t)test_random_below(random, 9);
		world->n_slice = 0;
		more = wg_allowedips_walk(world->table, &cursor, world->budget, note, world);
		if (with_changes)
			change(world, random);
	}
	assert_true(more == 0 || (more == -ESTALE && with_changes));
	return more == 0;
}

static void slices_tell_everything_once(void **state)
{
	struct test_random random = test_random_start();
	struct world world = {.table = wg_allowedips_create(NULL)};

	(void)state;
	for (uint32_t round = 0; round < 60; round++) {
		assert_true(walk(&world, &random, false));
		for (uint32_t i = 0; i < N_PREFIXES; i++)
			assert_int_equal(world.n_told[i], world.holder[i] != 0);
		for (uint32_t i = 0; i < 20; i++)
			change(&world, &random);
	}
	wg_allowedips_destroy(world.table);
}

static void what_changes_between_slices_disturbs_nothing_else(void **state)
{
	struct test_random random = test_random_start();
	struct world world = {.table = wg_allowedips_create(NULL)};
	uint32_t n_whole = 0;

	(void)state;
	for (uint32_t round = 0; round < 150; round++) {
		if (!walk(&world, &random, true))
			continue;
		n_whole++;
		for (uint32_t i = 0; i < N_PREFIXES; i++) {
			assert_true(world.n_told[i] <= 1);
			if (!world.is_touched[i])
				assert_int_equal(world.n_told[i], world.holder[i] != 0);
		}
	}
	assert_true(n_whole > 100);
	wg_allowedips_destroy(world.table);
}

static void a_slice_of_mostly_empty_places_ends_too(void **state)
{
	struct wg_allowedips *table = wg_allowedips_create(NULL);
	struct wg_allowedips_cursor cursor = {0};
	struct world world = {.table = table, .budget = UINT32_MAX};
	uint32_t n_slices = 0;

	(void)state;
	for (uint32_t i = 0; i < 120000; i++) {
		struct base_prefix prefix = {.ip.family = BASE_IP_V4, .len = 32};

		base_store_be32(prefix.ip.bytes, 0x0b000000 + i % 60000);
		if (i < 60000)
			assert_int_equal(wg_allowedips_insert(table, &prefix, 1, NULL), 0);
		else
			assert_int_equal(wg_allowedips_remove(table, &prefix, 1), 0);
	}
	while (wg_allowedips_walk(table, &cursor, 32, note, &world) == 1)
		n_slices++;
	assert_true(n_slices > 100);
	wg_allowedips_destroy(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slices_tell_everything_once),
		cmocka_unit_test(what_changes_between_slices_disturbs_nothing_else),
		cmocka_unit_test(a_slice_of_mostly_empty_places_ends_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
