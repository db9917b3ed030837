/* Slots and heap by themselves. */
#include "session_table.h"
#include "test.h"

#include <string.h>

static void slots_are_used_in_turn(void **state)
{
	struct session_slots slots;
	uint32_t index[3], again;

	(void)state;
	assert_int_equal(session__slots_init(&slots, 2, 4), 0);
	for (uint32_t i = 0; i < 3; i++) {
		index[i] = session__slots_take(&slots, 1, 10 + i);
		assert_int_equal(abi_index_worker(index[i]), 1);
		assert_int_equal(abi_index_slot(index[i]), i + 1);
		assert_int_equal(session__slots_peer(&slots, index[i]), 10 + i);
	}
	assert_int_equal(session__slots_take(&slots, 1, 1), ABI_INDEX_NONE);
	assert_int_equal(session__slots_take(&slots, 2, 1), ABI_INDEX_NONE);
	assert_int_not_equal(session__slots_take(&slots, 0, 1), ABI_INDEX_NONE);
	/* Given back first, used first; and twice given back is given back once. */
	session__slots_release(&slots, index[2]);
	session__slots_release(&slots, index[0]);
	session__slots_release(&slots, index[2]);
	assert_int_equal(session__slots_peer(&slots, index[2]), ABI_PEER_NONE);
	again = session__slots_take(&slots, 1, 9);
	assert_int_equal(abi_index_slot(again), 3);
	again = session__slots_take(&slots, 1, 9);
	assert_int_equal(abi_index_slot(again), 1);
	assert_int_equal(session__slots_take(&slots, 1, 9), ABI_INDEX_NONE);
	session__slots_fini(&slots);
}

static void index_from_the_wire_finds_only_its_owner(void **state)
{
	struct test_random random = test_random_start();
	struct session_slots slots;
	uint32_t index;

	(void)state;
	assert_int_equal(session__slots_init(&slots, 1, 8), 0);
	index = session__slots_take(&slots, 0, 3);
	assert_int_equal(session__slots_peer(&slots, ABI_INDEX_NONE), ABI_PEER_NONE);
	assert_int_equal(session__slots_peer(&slots, UINT32_MAX), ABI_PEER_NONE);
	for (uint32_t i = 0; i < 100000; i++) {
		uint32_t other = (uint32_t)test_random_next(&random);

		if (other == index)
			continue;
		assert_int_equal(session__slots_peer(&slots, other), ABI_PEER_NONE);
		session__slots_release(&slots, other);
	}
	assert_int_equal(session__slots_peer(&slots, index), 3);
	assert_int_equal(slots.n_free[0], 6);
	session__slots_fini(&slots);
}

static void occupied_slots_are_not_handed_out(void **state)
{
	struct session_slots slots;

	(void)state;
	assert_int_equal(session__slots_init(&slots, 1, 4), 0);
	session__slots_reset(&slots);
	assert_true(session__slots_occupy(&slots, abi_index_make(0, 2, 0x55000000), 7));
	assert_false(session__slots_occupy(&slots, abi_index_make(0, 2, 0x66000000), 7));
	assert_false(session__slots_occupy(&slots, abi_index_make(0, 0, 0), 7));
	assert_false(session__slots_occupy(&slots, abi_index_make(0, 4, 0), 7));
	assert_false(session__slots_occupy(&slots, abi_index_make(1, 1, 0), 7));
	assert_true(session__slots_occupy(&slots, abi_index_make(0, 3, 0), 8));
	session__slots_vacate(&slots, abi_index_make(0, 3, 0));
	session__slots_refill(&slots);
	assert_int_equal(abi_index_slot(session__slots_take(&slots, 0, 1)), 1);
	assert_int_equal(abi_index_slot(session__slots_take(&slots, 0, 1)), 3);
	assert_int_equal(session__slots_take(&slots, 0, 1), ABI_INDEX_NONE);
	session__slots_fini(&slots);
}

#define N_HEAP 200U

static void heap_agrees_with_a_search(void **state)
{
	static struct session_peer peers[N_HEAP];
	struct session_peer *at[N_HEAP];
	struct session_heap heap = {.at = at};
	struct test_random random = test_random_start();

	(void)state;
	for (uint32_t i = 0; i < N_HEAP; i++)
		peers[i] = (struct session_peer){.heap_at = SESSION_HEAP_NONE,
		                                 .wake_ns = WG_TIMER_NEVER};
	for (uint32_t round = 0; round < 20000; round++) {
		struct session_peer *peer = &peers[test_random_below(&random, N_HEAP)];
		uint64_t first_ns = WG_TIMER_NEVER;
		uint64_t wake_ns = test_random_below(&random, 1000);

		session__heap_set(&heap, peer, wake_ns < 300 ? WG_TIMER_NEVER : wake_ns);
		for (uint32_t i = 0; i < N_HEAP; i++)
			if (peers[i].wake_ns < first_ns)
				first_ns = peers[i].wake_ns;
		if (first_ns == WG_TIMER_NEVER)
			assert_null(session__heap_first(&heap));
		else
			assert_int_equal(session__heap_first(&heap)->wake_ns, first_ns);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_are_used_in_turn),
		cmocka_unit_test(index_from_the_wire_finds_only_its_owner),
		cmocka_unit_test(occupied_slots_are_not_handed_out),
		cmocka_unit_test(heap_agrees_with_a_search),
	};

	return cmocka_run_group_tests_name("session/tables", tests, NULL, NULL);
}
