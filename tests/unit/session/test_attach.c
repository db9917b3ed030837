/* Dataplanes that come, go and come back. */
#include "session_lab.h"

#include <errno.h>

static struct program *const hub = &lab.hub[0];

static const uint8_t *key_of(uint8_t seed)
{
	static struct wg_noise_identity identity;
	uint8_t key[32];

	lab_private_key(key, seed);
	wg_noise_identity_init(&identity, key);
	return identity.public_key;
}

static void put_peers(uint32_t n, bool with_endpoint)
{
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(session_peer_put(hub->table, i, key_of((uint8_t)(100 + i)), NULL,
		                                  with_endpoint ? &lab.hub[1].address : NULL, NULL),
		                 0);
}

static void fresh_dataplane_makes_the_hub_call_everybody_paced(void **state)
{
	uint64_t now_ns = lab_now_ns;

	(void)state;
	put_peers(40, true);
	session_detached(hub->table);
	session_attached(hub->table, false);
	lab_settle();
	assert_int_equal(hub->n_out, 16);
	session__tick(hub->table, now_ns + 9 * LAB_MS);
	lab_settle();
	assert_int_equal(hub->n_out, 16);
	session__tick(hub->table, now_ns + 10 * LAB_MS);
	lab_settle();
	assert_int_equal(hub->n_out, 32);
	session__tick(hub->table, now_ns + 20 * LAB_MS);
	lab_settle();
	assert_int_equal(hub->n_out, 40);
	session__tick(hub->table, now_ns + LAB_S);
	lab_settle();
	assert_int_equal(hub->n_out, 40);
}

static void peers_without_endpoint_are_not_called(void **state)
{
	(void)state;
	put_peers(5, false);
	session_attached(hub->table, false);
	lab_pass(LAB_S);
	assert_int_equal(hub->n_out, 0);
}

static void fresh_dataplane_has_none_of_the_old_sessions(void **state)
{
	(void)state;
	lab_know(NULL);
	lab_handshake();
	assert_int_not_equal(lab_info(hub, LAB_PEER).current_index, 0);
	session_detached(hub->table);
	hub->n_keys = 0;
	session_attached(hub->table, false);
	assert_int_equal(lab_info(hub, LAB_PEER).current_index, 0);
	/* At once, although the last initiation is not 5 s old. */
	lab_now_ns += 50 * LAB_MS;
	lab_wall_ns += 50 * LAB_MS;
	lab_pump();
	assert_int_equal(hub->counters[ABI_COUNTER_HS_COMPLETED], 2);
	lab_assert_no_leak(hub);
}

static void wanted_while_there_is_no_dataplane_comes_with_the_next(void **state)
{
	(void)state;
	lab_know(NULL);
	session_detached(hub->table);
	session_wanted(hub->table, LAB_PEER, 0);
	lab_pass(20 * LAB_S);
	assert_int_equal(hub->n_out, 0);
	session_attached(hub->table, true);
	lab_pass(2 * LAB_S);
	lab_pump();
	assert_int_equal(hub->counters[ABI_COUNTER_HS_COMPLETED], 1);
}

static void handshake_cut_by_a_new_dataplane_begins_again(void **state)
{
	(void)state;
	lab_know(NULL);
	session_wanted(hub->table, LAB_PEER, 0);
	/* One initiation is on a thread, made for slots that are no more. */
	session_attached(hub->table, true);
	lab_settle();
	assert_int_equal(hub->n_out, 1);
	lab_pump();
	assert_int_equal(hub->counters[ABI_COUNTER_HS_COMPLETED], 1);
	lab_assert_no_leak(hub);
}

/* Killed with the command in its ring, it leaves a client that thinks it has a session. */
static void peer_whose_newest_keys_did_not_arrive_is_called(void **state)
{
	(void)state;
	lab_know(NULL);
	assert_int_equal(session_peer_put(lab.hub[1].table, LAB_PEER,
	                                  session_public_key(hub->table), NULL, &hub->address,
	                                  NULL),
	                 0);
	session_wanted(lab.hub[1].table, LAB_PEER, 0);
	lab_settle();
	lab_carry(&lab.hub[1], hub);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_RESPONSE_OUT], 1);
	session_detached(hub->table);
	hub->n_keys = hub->n_out = 0; /* neither keys nor response */
	session_attached(hub->table, true);
	lab_settle();
	assert_int_equal(hub->n_out, 1);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_INITIATION_OUT], 1);
	lab_pass(LAB_S);
	lab_pump();
	assert_int_equal(hub->counters[ABI_COUNTER_HS_COMPLETED], 1);
	/* What is too old to be of use is not missed. */
	lab_pass(170 * LAB_S);
	session_detached(hub->table);
	lab_now_ns += 11 * LAB_S;
	hub->n_keys = hub->n_out = 0;
	session_attached(hub->table, true);
	lab_settle();
	assert_int_equal(hub->n_out, 0);
}

static struct abi_session *region_add(uint32_t slot, uint32_t peer, uint32_t role, uint64_t age_ns,
                                      bool confirmed)
{
	struct abi_session *session = &hub->region[hub->n_region++];

	*session = (struct abi_session){
		.index = abi_index_make(1, slot, 0xab000000U),
		.remote_index = 5,
		.peer = peer,
		.role = role,
		.birth_ns = lab_now_ns - age_ns,
		.confirmed = confirmed ? 1 : 0,
		.port = 1,
		.remote = lab.hub[1].address,
	};
	session->remote.port = (uint16_t)(1000 + slot);
	return session;
}

static bool was_retired(uint32_t index)
{
	for (uint32_t i = 0; i < hub->n_retires_unknown; i++)
		if (hub->retired_unknown[i] == index)
			return true;
	return false;
}

static void sessions_are_read_back(void **state)
{
	struct abi_session *next, *current, *previous, *older, *old, *unknown;
	const struct session_peer *peer;

	(void)state;
	put_peers(2, false);
	older = region_add(1, 1, ABI_ROLE_RESPONDER, 170 * LAB_S, true);
	current = region_add(2, 1, ABI_ROLE_INITIATOR, 50 * LAB_S, false);
	next = region_add(3, 1, ABI_ROLE_RESPONDER, LAB_S, false);
	previous = region_add(4, 1, ABI_ROLE_RESPONDER, 120 * LAB_S, true);
	old = region_add(5, 0, ABI_ROLE_RESPONDER, 181 * LAB_S, true);
	unknown = region_add(6, 40, ABI_ROLE_RESPONDER, LAB_S, true);
	session_attached(hub->table, true);
	peer = session__peer(hub->table, 1);
	assert_int_equal(peer->ring.next.index, next->index);
	assert_int_equal(peer->ring.current.index, current->index);
	assert_true(peer->ring.current.initiator);
	assert_int_equal(peer->ring.previous.index, previous->index);
	assert_int_equal(hub->n_retires_unknown, 3);
	assert_true(was_retired(older->index) && was_retired(old->index)
	            && was_retired(unknown->index));
	/* Where it was heard last, and when. */
	assert_int_equal(lab_info(hub, 1).endpoint.port, 1002);
	assert_int_equal(lab_info(hub, 1).last_handshake_wall_ns, lab_wall_ns - 50 * LAB_S);
	assert_int_equal(lab_info(hub, 0).current_index, 0);
	/* Nobody is called, and the three slots are taken. */
	assert_int_equal(hub->n_out, 0);
	assert_int_equal(hub->table->slots.n_free[1], LAB_SLOTS - 1 - 3);
	assert_int_equal(session__slots_peer(&hub->table->slots, current->index), 1);
	/* Life goes on: the next is confirmed, the previous goes. */
	session_confirmed(hub->table, next->index, 1);
	assert_int_equal(lab_info(hub, 1).current_index, next->index);
	assert_int_equal(hub->n_retires_unknown, 4);
	assert_true(was_retired(previous->index));
	lab_pass(181 * LAB_S);
	assert_int_equal(hub->table->slots.n_free[1], LAB_SLOTS - 1);
}

static void sessions_of_an_earlier_holder_of_the_id_are_retired(void **state)
{
	struct abi_session *theirs, *mine;

	(void)state;
	put_peers(2, false);
	theirs = region_add(1, 0, ABI_ROLE_RESPONDER, LAB_S, true);
	mine = region_add(2, 1, ABI_ROLE_RESPONDER, LAB_S, true);
	session_peer_disown(hub->table, 0);
	session_attached(hub->table, true);
	assert_int_equal(lab_info(hub, 0).current_index, 0);
	assert_int_equal(lab_info(hub, 0).endpoint.port, 0);
	assert_true(was_retired(theirs->index));
	assert_int_equal(lab_info(hub, 1).current_index, mine->index);
	/* What the peer has made since is its own. */
	lab_now_ns += LAB_S;
	theirs->birth_ns = lab_now_ns;
	session_attached(hub->table, true);
	assert_int_equal(lab_info(hub, 0).current_index, theirs->index);
}

static void id_given_again_while_there_is_no_dataplane_inherits_nothing(void **state)
{
	struct abi_session *theirs;

	(void)state;
	put_peers(1, false);
	theirs = region_add(1, 0, ABI_ROLE_RESPONDER, LAB_S, true);
	session_attached(hub->table, true);
	assert_int_equal(lab_info(hub, 0).current_index, theirs->index);
	session_detached(hub->table);
	session_peer_drop(hub->table, 0);
	assert_int_equal(session_peer_put(hub->table, 0, key_of(200), NULL, NULL, NULL), 0);
	/* The region has not changed: nobody was there to retire anything. */
	hub->n_retires_unknown = 0;
	session_attached(hub->table, true);
	assert_int_equal(lab_info(hub, 0).current_index, 0);
	assert_int_equal(lab_info(hub, 0).endpoint.port, 0);
	assert_true(was_retired(theirs->index));
}

static void nonsense_in_the_region_is_passed_over(void **state)
{
	struct abi_session *session;

	(void)state;
	put_peers(2, false);
	region_add(0, 1, ABI_ROLE_RESPONDER, LAB_S, true);           /* slot 0 is never used */
	region_add(LAB_SLOTS, 1, ABI_ROLE_RESPONDER, LAB_S, true);   /* no such slot */
	session = region_add(7, UINT32_MAX, 99, LAB_S, true);        /* no such peer or role */
	session = region_add(8, 1, ABI_ROLE_RESPONDER, LAB_S, true); /* born in the future */
	session->birth_ns = lab_now_ns + LAB_S;
	session = region_add(9, 1, ABI_ROLE_RESPONDER, LAB_S, true);
	session_attached(hub->table, true);
	assert_int_equal(lab_info(hub, 1).current_index, session->index);
	assert_int_equal(hub->table->slots.n_free[1], LAB_SLOTS - 1 - 1);
}

static void new_indexes_avoid_the_slots_read_back(void **state)
{
	(void)state;
	put_peers(1, false);
	for (uint32_t slot = 1; slot <= 3; slot++)
		region_add(slot, 0, ABI_ROLE_RESPONDER, slot * LAB_S, slot != 1);
	session_attached(hub->table, true);
	for (uint32_t i = 1 + 3; i < LAB_SLOTS; i++) {
		uint32_t index = session__slots_take(&hub->table->slots, 1, 9);

		assert_true(abi_index_slot(index) > 3);
	}
	assert_int_equal(session__slots_take(&hub->table->slots, 1, 9), ABI_INDEX_NONE);
}

int main(void)
{
#define lab_test(name) cmocka_unit_test_setup_teardown(name, lab_setup, lab_teardown)
	const struct CMUnitTest tests[] = {
		lab_test(fresh_dataplane_makes_the_hub_call_everybody_paced),
		lab_test(peers_without_endpoint_are_not_called),
		lab_test(fresh_dataplane_has_none_of_the_old_sessions),
		lab_test(wanted_while_there_is_no_dataplane_comes_with_the_next),
		lab_test(peer_whose_newest_keys_did_not_arrive_is_called),
		lab_test(handshake_cut_by_a_new_dataplane_begins_again),
		lab_test(sessions_are_read_back),
		lab_test(sessions_of_an_earlier_holder_of_the_id_are_retired),
		lab_test(id_given_again_while_there_is_no_dataplane_inherits_nothing),
		lab_test(nonsense_in_the_region_is_passed_over),
		lab_test(new_indexes_avoid_the_slots_read_back),
	};

	return cmocka_run_group_tests_name("session/attach", tests, NULL, NULL);
}
