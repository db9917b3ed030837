/* Handshakes between two session tables: keys, rotation, time, peers that come and go. */
#include "session_lab.h"

#include <errno.h>

static void both_sides_get_the_same_keys(void **state)
{
	static const uint8_t preshared_key[32] = {7};
	const uint8_t *keys[] = {NULL, preshared_key};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		lab_know(keys[i]);
		lab_handshake();
		/* lab_carry_keepalives() compared the keys. */
		assert_int_equal(lab.hub[0].counters[ABI_COUNTER_HS_COMPLETED], i + 1);
		assert_int_equal(lab.hub[1].counters[ABI_COUNTER_HS_COMPLETED], i + 1);
		/* The second round changes the preshared key, which ends the first session. */
		assert_int_equal(lab_live(&lab.hub[0]), 1);
		assert_int_equal(lab_live(&lab.hub[1]), 1);
		lab_assert_no_leak(&lab.hub[0]);
		lab_assert_no_leak(&lab.hub[1]);
		lab_now_ns += LAB_S;
		lab_wall_ns += LAB_S;
	}
}

static void different_preshared_keys_do_not_meet(void **state)
{
	static const uint8_t one[32] = {1}, two[32] = {2};

	(void)state;
	lab_know(one);
	assert_int_equal(session_peer_put(lab.hub[1].table, LAB_PEER,
	                                  session_public_key(lab.hub[0].table), two, NULL, NULL),
	                 0);
	lab_handshake();
	assert_int_equal(lab.hub[0].counters[ABI_COUNTER_HS_REFUSED_DECRYPT], 1);
	assert_int_equal(lab.hub[0].counters[ABI_COUNTER_HS_COMPLETED], 0);
	assert_int_equal(lab.hub[1].counters[ABI_COUNTER_HS_COMPLETED], 0);
}

/* Made with which of the hub's keys; 0 = not made. */
static uint32_t static_of(const struct program *hub)
{
	return session__peer(hub->table, LAB_PEER)->static_of;
}

static void static_keys_are_not_multiplied_before_a_handshake_needs_them(void **state)
{
	(void)state;
	lab_know(NULL);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(static_of(&lab.hub[i]), 0);
	lab_handshake();
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(static_of(&lab.hub[i]), lab.hub[i].table->hub.serial);
		assert_int_equal(lab.hub[i].counters[ABI_COUNTER_HS_COMPLETED], 1);
	}
}

static void keys_are_installed_before_the_response_leaves(void **state)
{
	struct abi_event_handshake event;

	(void)state;
	lab_know(NULL);
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	lab_settle();
	assert_int_equal(lab.hub[0].n_out, 1);
	assert_int_equal(lab.hub[0].n_keys, 0);
	event = lab_event(&lab.hub[0], 0);
	session_handshake_in(lab.hub[1].table, 1, &event);
	lab_settle();
	assert_int_equal(lab.hub[1].n_out, 1);
	assert_int_equal(lab.hub[1].out_n_keys[0], 1);
	/* On the worker on which the initiation came, back to where it came from. */
	assert_int_equal(lab.hub[1].out_worker[0], 1);
	assert_int_equal(abi_index_worker(lab.hub[1].keys[0].install.index), 1);
	assert_true(base_endpoint_equal(&lab.hub[1].out[0].remote, &lab.hub[0].address));
	assert_int_equal(lab.hub[1].keys[0].install.role, ABI_ROLE_RESPONDER);
}

static void responder_has_completed_only_when_confirmed(void **state)
{
	struct session_peer_info info;

	(void)state;
	lab_know(NULL);
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	lab_settle();
	lab_carry(&lab.hub[0], &lab.hub[1]);
	info = lab_info(&lab.hub[1], LAB_PEER);
	assert_int_equal(lab.hub[1].counters[ABI_COUNTER_HS_RESPONSE_OUT], 1);
	assert_int_equal(lab.hub[1].counters[ABI_COUNTER_HS_COMPLETED], 0);
	assert_int_equal(info.last_handshake_wall_ns, 0);
	assert_int_equal(info.current_index, 0);
	lab.hub[1].n_changes = 0;
	session_confirmed(lab.hub[1].table, lab.hub[1].keys[0].install.index, LAB_PEER);
	info = lab_info(&lab.hub[1], LAB_PEER);
	assert_int_equal(lab.hub[1].counters[ABI_COUNTER_HS_COMPLETED], 1);
	assert_int_equal(info.last_handshake_wall_ns, lab_wall_ns);
	assert_int_equal(info.current_index, lab.hub[1].keys[0].install.index);
	assert_int_equal(lab.hub[1].n_changes, 1);
	/* Told twice, as after a kill, it counts once. */
	session_confirmed(lab.hub[1].table, lab.hub[1].keys[0].install.index, LAB_PEER);
	assert_int_equal(lab.hub[1].counters[ABI_COUNTER_HS_COMPLETED], 1);
}

static void initiator_has_completed_with_the_response_and_confirms(void **state)
{
	(void)state;
	lab_know(NULL);
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	lab_settle();
	assert_int_equal(lab.hub[0].counters[ABI_COUNTER_HS_COMPLETED], 0);
	lab_carry(&lab.hub[0], &lab.hub[1]);
	lab_carry(&lab.hub[1], &lab.hub[0]);
	assert_int_equal(lab.hub[0].counters[ABI_COUNTER_HS_COMPLETED], 1);
	assert_true(lab.hub[0].keys[0].keepalive);
	assert_int_equal(lab.hub[0].keys[0].install.role, ABI_ROLE_INITIATOR);
	assert_int_equal(lab_info(&lab.hub[0], LAB_PEER).last_handshake_wall_ns, lab_wall_ns);
}

static void unanswered_initiation_is_repeated_and_given_up(void **state)
{
	uint64_t begin_ns;
	uint32_t n;

	(void)state;
	lab_know(NULL);
	begin_ns = lab_now_ns;
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	lab_settle();
	assert_int_equal(lab.hub[0].n_out, 1);
	lab_pass(4999 * LAB_MS);
	assert_int_equal(lab.hub[0].n_out, 1);
	lab_pass(5400 * LAB_MS - (lab_now_ns - begin_ns));
	assert_int_equal(lab.hub[0].n_out, 2);
	/* Another ephemeral, another index, a newer timestamp. */
	assert_memory_not_equal(lab.hub[0].out[0].message + WG_INITIATION_SENDER,
	                        lab.hub[0].out[1].message + WG_INITIATION_SENDER, 4);
	assert_memory_not_equal(lab.hub[0].out[0].message + WG_INITIATION_EPHEMERAL,
	                        lab.hub[0].out[1].message + WG_INITIATION_EPHEMERAL, 32);
	lab_pass(89 * LAB_S - (lab_now_ns - begin_ns));
	n = lab.hub[0].n_out;
	assert_in_range(n, 16, 18);
	assert_int_equal(lab.hub[0].counters[ABI_COUNTER_HS_GAVE_UP], 0);
	lab_pass(100 * LAB_S);
	assert_int_equal(lab.hub[0].counters[ABI_COUNTER_HS_GAVE_UP], 1);
	assert_in_range(lab.hub[0].n_out, n, n + 1);
	assert_int_equal(lab.hub[0].counters[ABI_COUNTER_HS_INITIATION_OUT], lab.hub[0].n_out);
	lab_assert_no_leak(&lab.hub[0]);
	/* Wanted again, it begins again. */
	n = lab.hub[0].n_out;
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	lab_settle();
	assert_int_equal(lab.hub[0].n_out, n + 1);
}

static void answer_to_a_repeated_initiation_ends_the_repeating(void **state)
{
	(void)state;
	lab_know(NULL);
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	lab_pass(6 * LAB_S);
	assert_int_equal(lab.hub[0].n_out, 2);
	/* The first was lost. */
	lab.hub[0].out[0] = lab.hub[0].out[1];
	lab.hub[0].n_out = 1;
	lab_pump();
	assert_int_equal(lab.hub[0].counters[ABI_COUNTER_HS_COMPLETED], 1);
	lab_pass(60 * LAB_S);
	assert_int_equal(lab.hub[0].n_out, 0);
	lab_assert_no_leak(&lab.hub[0]);
	lab_assert_no_leak(&lab.hub[1]);
}

static void wanted_twice_is_one_handshake(void **state)
{
	(void)state;
	lab_know(NULL);
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	lab_settle();
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	lab_settle();
	assert_int_equal(lab.hub[0].n_out, 1);
	lab_pump();
	/* The question crossed the answer. */
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	lab_pass(20 * LAB_S);
	assert_int_equal(lab.hub[0].n_out, 0);
}

static void peer_without_endpoint_is_not_called(void **state)
{
	(void)state;
	lab_know(NULL);
	session_wanted(lab.hub[1].table, LAB_PEER, 0);
	lab_pass(10 * LAB_S);
	assert_int_equal(lab.hub[1].n_out, 0);
	/* After it has called, its address is known. */
	lab_handshake();
	session_wanted(lab.hub[1].table, LAB_PEER, lab_info(&lab.hub[1], LAB_PEER).current_index);
	lab_settle();
	assert_int_equal(lab.hub[1].n_out, 1);
	assert_true(base_endpoint_equal(&lab.hub[1].out[0].remote, &lab.hub[0].address));
}

static void rekey_rotates_and_retires_the_oldest(void **state)
{
	uint32_t first, second;

	(void)state;
	lab_know(NULL);
	lab_handshake();
	first = lab_info(&lab.hub[0], LAB_PEER).current_index;
	lab_pass(10 * LAB_S);
	session_rekey_due(lab.hub[0].table, LAB_PEER, first);
	lab_pump();
	second = lab_info(&lab.hub[0], LAB_PEER).current_index;
	assert_int_not_equal(first, second);
	assert_int_equal(lab_live(&lab.hub[0]), 2);
	assert_int_equal(lab_live(&lab.hub[1]), 2);
	/* A late word about the session before starts nothing. */
	lab_pass(10 * LAB_S);
	session_rekey_due(lab.hub[0].table, LAB_PEER, first);
	lab_settle();
	assert_int_equal(lab.hub[0].n_out, 0);
	session_rekey_due(lab.hub[0].table, LAB_PEER, second);
	lab_pump();
	assert_true(lab_keys(&lab.hub[0], first)->retired);
	assert_false(lab_keys(&lab.hub[0], second)->retired);
	assert_int_equal(lab_live(&lab.hub[0]), 2);
	assert_int_equal(lab_live(&lab.hub[1]), 2);
	lab_assert_no_leak(&lab.hub[0]);
	lab_assert_no_leak(&lab.hub[1]);
}

static void next_keypair_is_where_the_traffic_arrives(void **state)
{
	uint32_t current;

	(void)state;
	lab_know(NULL);
	/* The first initiation guesses; lab_carry() delivers everything to worker 1. */
	session__peer(lab.hub[0].table, LAB_PEER)->source.worker = 0;
	lab_handshake();
	current = lab_info(&lab.hub[0], LAB_PEER).current_index;
	assert_int_equal(abi_index_worker(current), 0);
	lab_pass(10 * LAB_S);
	session_rekey_due(lab.hub[0].table, LAB_PEER, current);
	lab_pump();
	assert_int_equal(abi_index_worker(lab_info(&lab.hub[0], LAB_PEER).current_index), 1);
}

/* Handshakes all come to worker 1; the data to worker 0, as the region says. */
static void next_keypair_follows_the_data_and_not_the_handshake(void **state)
{
	uint32_t current;

	(void)state;
	lab_know(NULL);
	lab_handshake();
	lab_pass(10 * LAB_S);
	lab.hub[0].arrives_at = 1;
	lab.hub[1].arrives_at = 1;
	current = lab_info(&lab.hub[0], LAB_PEER).current_index;
	session_rekey_due(lab.hub[0].table, LAB_PEER, current);
	lab_pump();
	assert_int_equal(abi_index_worker(lab_info(&lab.hub[0], LAB_PEER).current_index), 0);
	assert_int_equal(abi_index_worker(lab_info(&lab.hub[1], LAB_PEER).current_index), 0);
}

/* A client that calls from elsewhere sends its data from there too. */
static void next_keypair_of_a_peer_that_moved_is_where_it_called(void **state)
{
	(void)state;
	lab_know(NULL);
	lab_handshake();
	lab_pass(10 * LAB_S);
	lab.hub[1].arrives_at = 1;
	lab.hub[0].address = lab_endpoint("198.51.100.9:9");
	session_rekey_due(lab.hub[0].table, LAB_PEER,
	                  lab_info(&lab.hub[0], LAB_PEER).current_index);
	lab_pump();
	assert_int_equal(abi_index_worker(lab_info(&lab.hub[1], LAB_PEER).current_index), 1);
}

/* One with limits stays, so that one worker counts all of it; also when it was away for long. */
static void keypairs_of_a_peer_that_is_to_stay_do_not_follow_the_data(void **state)
{
	(void)state;
	lab_know(NULL);
	lab_handshake();
	session_peer_stay(lab.hub[0].table, LAB_PEER, true);
	for (int i = 0; i < 3; i++) {
		lab_pass((i == 2 ? 400 : 10) * LAB_S);
		lab.hub[0].arrives_at = 1;
		session_wanted(lab.hub[0].table, LAB_PEER, 0);
		lab_pump();
		assert_int_equal(abi_index_worker(lab_info(&lab.hub[0], LAB_PEER).current_index),
		                 1);
	}
	session_peer_stay(lab.hub[0].table, LAB_PEER, false);
	lab_pass(10 * LAB_S);
	session_rekey_due(lab.hub[0].table, LAB_PEER,
	                  lab_info(&lab.hub[0], LAB_PEER).current_index);
	lab_pump();
	assert_int_equal(abi_index_worker(lab_info(&lab.hub[0], LAB_PEER).current_index), 0);
}

static void many_rekeys_leave_no_slot_behind(void **state)
{
	(void)state;
	lab_know(NULL);
	for (uint32_t i = 0; i < 200; i++) {
		uint32_t current = lab_info(&lab.hub[0], LAB_PEER).current_index;

		if (current == 0)
			session_wanted(lab.hub[0].table, LAB_PEER, 0);
		else
			session_rekey_due(lab.hub[0].table, LAB_PEER, current);
		lab_pump();
		lab_pass(6 * LAB_S);
		lab_assert_no_leak(&lab.hub[0]);
		lab_assert_no_leak(&lab.hub[1]);
	}
	assert_int_equal(lab.hub[0].counters[ABI_COUNTER_HS_COMPLETED], 200);
	assert_int_equal(lab.hub[1].counters[ABI_COUNTER_HS_COMPLETED], 200);
}

static void keypairs_go_after_180_seconds(void **state)
{
	(void)state;
	lab_know(NULL);
	lab_handshake();
	lab_pass(179 * LAB_S);
	assert_int_equal(lab_live(&lab.hub[0]), 1);
	assert_int_equal(lab_live(&lab.hub[1]), 1);
	lab_pass(2 * LAB_S);
	assert_int_equal(lab_live(&lab.hub[0]), 0);
	assert_int_equal(lab_live(&lab.hub[1]), 0);
	assert_int_equal(lab_info(&lab.hub[0], LAB_PEER).current_index, 0);
	lab_assert_no_leak(&lab.hub[0]);
	/* Nothing is left to wake up for but the wiping at 540 s. */
	lab_pass(600 * LAB_S);
	assert_null(session__heap_first(&lab.hub[0].table->heap));
}

static void unconfirmed_session_goes_too(void **state)
{
	(void)state;
	lab_know(NULL);
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	lab_settle();
	lab_carry(&lab.hub[0], &lab.hub[1]);
	lab.hub[1].n_out = 0;
	assert_int_equal(lab_live(&lab.hub[1]), 1);
	lab_pass(181 * LAB_S);
	assert_int_equal(lab_live(&lab.hub[1]), 0);
	lab_assert_no_leak(&lab.hub[1]);
}

static void both_initiating_at_once_end_with_a_session(void **state)
{
	struct session_peer_info info[2];
	struct lab_keys *keys;

	(void)state;
	lab_know(NULL);
	assert_int_equal(session_peer_put(lab.hub[1].table, LAB_PEER,
	                                  session_public_key(lab.hub[0].table), NULL,
	                                  &lab.hub[0].address, NULL),
	                 0);
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	session_wanted(lab.hub[1].table, LAB_PEER, 0);
	lab_pump();
	info[0] = lab_info(&lab.hub[0], LAB_PEER);
	info[1] = lab_info(&lab.hub[1], LAB_PEER);
	assert_int_not_equal(info[0].current_index, 0);
	assert_int_not_equal(info[1].current_index, 0);
	/* What each sends with, the other still holds. */
	keys = lab_keys(&lab.hub[0], info[0].current_index);
	assert_false(lab_keys(&lab.hub[1], keys->install.remote_index)->retired);
	keys = lab_keys(&lab.hub[1], info[1].current_index);
	assert_false(lab_keys(&lab.hub[0], keys->install.remote_index)->retired);
	lab_pass(30 * LAB_S);
	assert_int_equal(lab.hub[0].n_out + lab.hub[1].n_out, 0);
	lab_assert_no_leak(&lab.hub[0]);
	lab_assert_no_leak(&lab.hub[1]);
}

static void accepted_initiation_is_told_before_it_is_confirmed(void **state)
{
	uint32_t n_before;

	(void)state;
	lab_know(NULL);
	lab_handshake();
	lab_pass(10 * LAB_S);
	n_before = lab.hub[1].n_changes;
	session_rekey_due(lab.hub[0].table, LAB_PEER,
	                  lab_info(&lab.hub[0], LAB_PEER).current_index);
	lab_settle();
	lab_carry(&lab.hub[0], &lab.hub[1]);
	assert_int_equal(lab.hub[1].n_changes, n_before + 1);
}

static void peer_put_refuses_what_cannot_be(void **state)
{
	static const uint8_t zero[32], one[32] = {1};

	(void)state;
	lab_know(NULL);
	assert_int_equal(session_peer_put(lab.hub[0].table, 5, zero, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(session_peer_put(lab.hub[0].table, 5, one, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(session_peer_put(lab.hub[0].table, 5, session_public_key(lab.hub[1].table),
	                                  NULL, NULL, NULL),
	                 -EEXIST);
	assert_null(session__peer(lab.hub[0].table, 5));
	/* The same again changes nothing. */
	lab_handshake();
	lab_know(NULL);
	assert_int_equal(lab_live(&lab.hub[0]), 1);
	assert_int_equal(session_peer_info(lab.hub[0].table, 5, &(struct session_peer_info){0}),
	                 -ENOENT);
}

static void dropped_peer_leaves_nothing(void **state)
{
	(void)state;
	lab_know(NULL);
	lab_handshake();
	session_peer_drop(lab.hub[1].table, LAB_PEER);
	session_peer_drop(lab.hub[1].table, LAB_PEER);
	assert_int_equal(lab_live(&lab.hub[1]), 0);
	lab_assert_no_leak(&lab.hub[1]);
	assert_null(session__heap_first(&lab.hub[1].table->heap));
	/* Events about it that were under way. */
	session_confirmed(lab.hub[1].table, lab.hub[1].keys[0].install.index, LAB_PEER);
	session_wanted(lab.hub[1].table, LAB_PEER, 0);
	session_rekey_due(lab.hub[1].table, LAB_PEER, lab.hub[1].keys[0].install.index);
	lab_settle();
	assert_int_equal(lab.hub[1].n_out, 0);
}

/* The oldest job of hub, done by its thread but not yet seen by the main loop. */
static struct session_job *take_result(struct program *hub)
{
	struct pollfd poll_fd = {.fd = hub->table->jobs.done_fd, .events = POLLIN};
	struct session_job *job;
	uint64_t n;

	session__jobs_flush(&hub->table->jobs);
	assert_int_equal(poll(&poll_fd, 1, 5000), 1);
	assert_int_equal(read(poll_fd.fd, &n, sizeof(n)), sizeof(n));
	job = session__jobs_done(&hub->table->jobs);
	assert_non_null(job);
	return job;
}

static void peer_dropped_before_it_is_looked_up_is_unknown(void **state)
{
	struct abi_event_handshake event;

	(void)state;
	lab_know(NULL);
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	lab_settle();
	event = lab_event(&lab.hub[0], 0);
	session_handshake_in(lab.hub[1].table, 0, &event);
	session_peer_drop(lab.hub[1].table, LAB_PEER);
	lab_settle();
	assert_int_equal(lab.hub[1].counters[ABI_COUNTER_HS_REFUSED_UNKNOWN_PEER], 1);
	assert_int_equal(lab.hub[1].n_out, 0);
	assert_int_equal(lab.hub[1].n_keys, 0);
}

static void peer_dropped_while_it_is_answered_gets_no_answer(void **state)
{
	struct abi_event_handshake event;
	struct session_job *job;

	(void)state;
	lab_know(NULL);
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	lab_settle();
	event = lab_event(&lab.hub[0], 0);
	for (int same_id = 0; same_id < 2; same_id++) {
		session_handshake_in(lab.hub[1].table, 0, &event);
		job = take_result(&lab.hub[1]);
		assert_int_equal(job->kind, SESSION_JOB_OPEN);
		session__initiation_opened(lab.hub[1].table, job, lab_now_ns);
		session_peer_drop(lab.hub[1].table, LAB_PEER);
		/* Back under the same id and key: still not the peer that was asked for. */
		if (same_id == 1)
			lab_know(NULL);
		lab_settle();
		assert_int_equal(lab.hub[1].counters[ABI_COUNTER_HS_REFUSED_UNKNOWN_PEER],
		                 same_id + 1);
		assert_int_equal(lab.hub[1].n_out, 0);
		assert_int_equal(lab.hub[1].n_keys, 0);
		lab_assert_no_leak(&lab.hub[1]);
		lab_know(NULL);
	}
}

static void peer_dropped_while_the_hub_calls_it_is_forgotten(void **state)
{
	struct abi_event_handshake event;

	(void)state;
	lab_know(NULL);
	/* While the initiation is made. */
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	session_peer_drop(lab.hub[0].table, LAB_PEER);
	lab_settle();
	assert_int_equal(lab.hub[0].n_out, 0);
	lab_assert_no_leak(&lab.hub[0]);
	/* While the response is read. */
	lab_know(NULL);
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	lab_settle();
	lab_carry(&lab.hub[0], &lab.hub[1]);
	event = lab_event(&lab.hub[1], 0);
	session_handshake_in(lab.hub[0].table, 0, &event);
	session_peer_drop(lab.hub[0].table, LAB_PEER);
	lab_settle();
	assert_int_equal(lab.hub[0].counters[ABI_COUNTER_HS_REFUSED_NO_HANDSHAKE], 1);
	assert_int_equal(lab.hub[0].n_keys, 0);
	lab_assert_no_leak(&lab.hub[0]);
}

static void event_on_an_unconfirmed_session_confirms_it(void **state)
{
	struct abi_event_endpoint event = {.peer = LAB_PEER};

	(void)state;
	lab_know(NULL);
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	lab_settle();
	lab_carry(&lab.hub[0], &lab.hub[1]);
	/* The event that would have said so was lost on a full ring. */
	event.index = lab.hub[1].keys[0].install.index;
	event.remote = lab_endpoint("203.0.113.9:1000");
	session_endpoint_moved(lab.hub[1].table, &event);
	assert_int_equal(lab.hub[1].counters[ABI_COUNTER_HS_COMPLETED], 1);
	assert_int_equal(lab_info(&lab.hub[1], LAB_PEER).current_index, event.index);
}

static void failing_program_loses_the_handshake_and_no_slot(void **state)
{
	(void)state;
	lab_know(NULL);
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	lab_settle();
	lab.hub[1].result = -ENOTCONN;
	lab_carry(&lab.hub[0], &lab.hub[1]);
	assert_int_equal(lab.hub[1].n_out, 0);
	assert_int_equal(lab.hub[1].counters[ABI_COUNTER_HS_RESPONSE_OUT], 0);
	lab_assert_no_leak(&lab.hub[1]);
	lab.hub[1].result = 0;
	lab_pass(6 * LAB_S);
	lab_pump();
	assert_int_equal(lab.hub[0].counters[ABI_COUNTER_HS_COMPLETED], 1);
	assert_int_equal(lab.hub[1].counters[ABI_COUNTER_HS_COMPLETED], 1);
}

int main(void)
{
#define lab_test(name) cmocka_unit_test_setup_teardown(name, lab_setup, lab_teardown)
	const struct CMUnitTest tests[] = {
		lab_test(both_sides_get_the_same_keys),
		lab_test(different_preshared_keys_do_not_meet),
		lab_test(static_keys_are_not_multiplied_before_a_handshake_needs_them),
		lab_test(keys_are_installed_before_the_response_leaves),
		lab_test(responder_has_completed_only_when_confirmed),
		lab_test(initiator_has_completed_with_the_response_and_confirms),
		lab_test(unanswered_initiation_is_repeated_and_given_up),
		lab_test(answer_to_a_repeated_initiation_ends_the_repeating),
		lab_test(wanted_twice_is_one_handshake),
		lab_test(peer_without_endpoint_is_not_called),
		lab_test(rekey_rotates_and_retires_the_oldest),
		lab_test(next_keypair_is_where_the_traffic_arrives),
		lab_test(next_keypair_follows_the_data_and_not_the_handshake),
		lab_test(next_keypair_of_a_peer_that_moved_is_where_it_called),
		lab_test(keypairs_of_a_peer_that_is_to_stay_do_not_follow_the_data),
		lab_test(many_rekeys_leave_no_slot_behind),
		lab_test(keypairs_go_after_180_seconds),
		lab_test(unconfirmed_session_goes_too),
		lab_test(both_initiating_at_once_end_with_a_session),
		lab_test(accepted_initiation_is_told_before_it_is_confirmed),
		lab_test(peer_put_refuses_what_cannot_be),
		lab_test(dropped_peer_leaves_nothing),
		lab_test(peer_dropped_before_it_is_looked_up_is_unknown),
		lab_test(peer_dropped_while_it_is_answered_gets_no_answer),
		lab_test(peer_dropped_while_the_hub_calls_it_is_forgotten),
		lab_test(event_on_an_unconfirmed_session_confirms_it),
		lab_test(failing_program_loses_the_handshake_and_no_slot),
	};

	return cmocka_run_group_tests_name("session/session", tests, NULL, NULL);
}
