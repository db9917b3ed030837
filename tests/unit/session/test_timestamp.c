/* TAI64N timestamps and clocks that step (whitepaper 5.1). */
#include "session_lab.h"

static void timestamps_grow_when_the_clock_steps_back(void **state)
{
	(void)state;
	lab_know(NULL);
	lab_handshake();
	lab_pass(10 * LAB_S);
	lab_wall_ns -= 3600 * LAB_S;
	session_rekey_due(lab.hub[0].table, LAB_PEER,
	                  lab_info(&lab.hub[0], LAB_PEER).current_index);
	lab_pump();
	assert_int_equal(lab.hub[1].counters[ABI_COUNTER_HS_REFUSED_TIMESTAMP], 0);
	assert_int_equal(lab.hub[1].counters[ABI_COUNTER_HS_COMPLETED], 2);
}

/* Timers know the monotonic clock only; the wall clock makes timestamps, and those only grow. */
static void clock_steps_of_an_hour_and_of_ten_years_do_no_harm(void **state)
{
	static const int64_t steps_s[] = {3600,       -3600,       315360000, -315360000,
	                                  -315360000, 315360000,   -3600,     315360000,
	                                  3600,       -2147483647, 3600};
	uint32_t n = 1;

	(void)state;
	lab_know(NULL);
	lab_handshake();
	for (size_t i = 0; i < sizeof(steps_s) / sizeof(steps_s[0]); i++) {
		uint32_t index[2], n_out[2];

		for (int h = 0; h < 2; h++) {
			index[h] = lab_info(&lab.hub[h], LAB_PEER).current_index;
			n_out[h] = lab.hub[h].n_out;
		}
		lab_wall_ns += (uint64_t)(steps_s[i] * (int64_t)LAB_S);
		lab_pass(30 * LAB_S);
		for (int h = 0; h < 2; h++) { /* nothing ends, and nobody calls */
			assert_int_equal(lab_info(&lab.hub[h], LAB_PEER).current_index, index[h]);
			assert_int_equal(lab.hub[h].n_out, n_out[h]);
		}
		/* Both renew, one after the other, with timestamps of the stepped clock. */
		for (int h = 0; h < 2; h++) {
			session_rekey_due(lab.hub[h].table, LAB_PEER,
			                  lab_info(&lab.hub[h], LAB_PEER).current_index);
			lab_pump();
			lab_pass(6 * LAB_S);
			n++;
			for (int k = 0; k < 2; k++)
				assert_int_equal(lab.hub[k].counters[ABI_COUNTER_HS_COMPLETED], n);
		}
	}
	for (int h = 0; h < 2; h++)
		assert_int_equal(lab.hub[h].counters[ABI_COUNTER_HS_REFUSED_TIMESTAMP], 0);
}

static void timestamps_grow_over_a_restart_with_the_clock_stepped_back(void **state)
{
	uint8_t mark[12];

	(void)state;
	lab_know(NULL);
	lab_handshake();
	assert_int_equal(lab.hub[0].n_marks, 1);
	memcpy(mark, lab.hub[0].mark, 12);
	/* The mark lies ahead, so the next initiations need no new one. */
	lab_pass(6 * LAB_S);
	session_rekey_due(lab.hub[0].table, LAB_PEER,
	                  lab_info(&lab.hub[0], LAB_PEER).current_index);
	lab_pump();
	assert_int_equal(lab.hub[0].n_marks, 1);

	session_destroy(lab.hub[0].table);
	lab_now_ns += 6 * LAB_S;
	lab_wall_ns -= 3600 * LAB_S;
	lab_hub_make(&lab.hub[0], 1, "192.0.2.1:51820");
	session_on_stamp(lab.hub[0].table, mark, lab_on_stamp, &lab.hub[0]);
	session_attached(lab.hub[0].table, false);
	lab_know(NULL);
	lab_handshake();
	assert_int_equal(lab.hub[1].counters[ABI_COUNTER_HS_REFUSED_TIMESTAMP], 0);
	assert_int_equal(lab.hub[1].counters[ABI_COUNTER_HS_COMPLETED], 3);
	assert_int_equal(lab.hub[0].n_marks, 1);
	assert_true(memcmp(lab.hub[0].mark, mark, 12) > 0);
}

static void stored_timestamp_refuses_a_recorded_initiation(void **state)
{
	struct session_peer_info info;
	struct abi_event_handshake recorded;

	(void)state;
	lab_know(NULL);
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	lab_settle();
	recorded = lab_event(&lab.hub[0], 0);
	lab_pump();
	info = lab_info(&lab.hub[1], LAB_PEER);
	session_destroy(lab.hub[1].table);
	lab_hub_make(&lab.hub[1], 2, "192.0.2.2:51820");
	session_attached(lab.hub[1].table, false);
	assert_int_equal(session_peer_put(lab.hub[1].table, LAB_PEER,
	                                  session_public_key(lab.hub[0].table), NULL, NULL,
	                                  info.last_timestamp),
	                 0);
	session_handshake_in(lab.hub[1].table, 0, &recorded);
	lab_settle();
	assert_int_equal(lab.hub[1].counters[ABI_COUNTER_HS_REFUSED_TIMESTAMP], 1);
	assert_int_equal(lab.hub[1].n_out, 0);
}

int main(void)
{
#define lab_test(name) cmocka_unit_test_setup_teardown(name, lab_setup, lab_teardown)
	const struct CMUnitTest tests[] = {
		lab_test(timestamps_grow_when_the_clock_steps_back),
		lab_test(clock_steps_of_an_hour_and_of_ten_years_do_no_harm),
		lab_test(timestamps_grow_over_a_restart_with_the_clock_stepped_back),
		lab_test(stored_timestamp_refuses_a_recorded_initiation),
	};

	return cmocka_run_group_tests_name("session/timestamp", tests, NULL, NULL);
}
