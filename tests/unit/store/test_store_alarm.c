/* control/store, alarms. */
#include "store_alarm.h"
#include "store_lab.h"

static int add_alarm(void *arg, uint32_t peer, uint64_t since_wall_ns)
{
	*(uint64_t *)arg += 1000 * peer + since_wall_ns;
	return 0;
}

static void alarms_come_back_and_go_with_their_peer(void **state)
{
	struct store *store = open_good();
	struct store_peer a = make_peer(1), b = make_peer(2);
	uint64_t sum = 0;

	(void)state;
	assert_int_equal(store_peer_put(store, &a), 0);
	assert_int_equal(store_peer_put(store, &b), 0);
	assert_int_equal(store_alarm_put(store, 1, 5), 0);
	assert_int_equal(store_alarm_put(store, 1, 7), 0);
	assert_int_equal(store_alarm_put(store, 2, 9), 0);
	store_close(store);
	store = open_good();
	assert_int_equal(store_alarm_each(store, add_alarm, &sum), 0);
	assert_int_equal(sum, 1007 + 2009);
	assert_int_equal(store_peer_drop(store, 2), 0);
	sum = 0;
	assert_int_equal(store_alarm_each(store, add_alarm, &sum), 0);
	assert_int_equal(sum, 1007);
	assert_int_equal(store_alarm_drop(store, 1), 0);
	assert_int_equal(store_alarm_drop(store, 1), 0);
	sum = 0;
	assert_int_equal(store_alarm_each(store, add_alarm, &sum), 0);
	assert_int_equal(sum, 0);
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(alarms_come_back_and_go_with_their_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
