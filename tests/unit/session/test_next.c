/* A peer between two keys: hub 0 is the hub, hub 1 the client with the old key, hub 2 the client with the
 * next one. */
#include "session_lab.h"

#include <errno.h>

static struct program *const hub = &lab.hub[0];
static struct program *const old = &lab.hub[1];
static struct program *const fresh = &lab.hub[2];

static const uint8_t psk_old[32] = {1, 2, 3};
static const uint8_t psk_new[32] = {4, 5, 6};
static const uint8_t psk_third[32] = {7, 8, 9};

#define SERIAL_OLD 11U
#define SERIAL_NEW 12U

static int setup(void **state)
{
	lab_setup(state);
	lab_hub_make(fresh, 3, "192.0.2.3:51820");
	session_attached(fresh->table, false);
	return 0;
}

static struct program *at(const struct base_endpoint *endpoint)
{
	for (size_t i = 0; i < BASE_ARRAY_LEN(lab.hub); i++)
		if (base_endpoint_equal(endpoint, &lab.hub[i].address))
			return &lab.hub[i];
	print_message("# a message to nobody\n");
	abort();
}

/* The first packet of an initiator: the responder's session of the same keys is confirmed. */
static void keepalives(struct program *from)
{
	for (uint32_t i = 0; i < from->n_keys; i++) {
		struct lab_keys *mine = &from->keys[i];

		if (!mine->keepalive)
			continue;
		mine->keepalive = false;
		for (size_t h = 0; h < BASE_ARRAY_LEN(lab.hub); h++) {
			struct lab_keys *theirs = lab_keys_find(&lab.hub[h],
			                                        mine->install.remote_index);

			if (&lab.hub[h] != from && theirs != NULL && !theirs->retired
			    && memcmp(theirs->install.receive_key, mine->install.send_key, 32) == 0)
				session_confirmed(lab.hub[h].table, theirs->install.index,
				                  theirs->install.peer);
		}
	}
}

static void deliver(struct program *from)
{
	uint32_t n = from->n_out;

	for (uint32_t i = 0; i < n; i++) {
		struct abi_event_handshake event = lab_event(from, i);

		session_handshake_in(at(&from->out[i].remote)->table, 1, &event);
	}
	from->n_out = 0;
}

static void pump(void)
{
	bool busy = true;

	while (busy) {
		busy = false;
		lab_settle();
		for (size_t i = 0; i < BASE_ARRAY_LEN(lab.hub); i++) {
			busy = busy || lab.hub[i].n_out > 0;
			deliver(&lab.hub[i]);
			lab_settle();
			keepalives(&lab.hub[i]);
		}
	}
}

static void client(struct program *program, const uint8_t *preshared_key)
{
	assert_int_equal(session_peer_put(program->table, LAB_PEER, session_public_key(hub->table),
	                                  preshared_key, &hub->address, NULL),
	                 0);
}

/* The hub knows the old key with psk_old, and both clients have it. */
static void know(void)
{
	assert_int_equal(session_peer_put(hub->table, LAB_PEER, session_public_key(old->table),
	                                  psk_old, NULL, NULL),
	                 0);
	session_peer_serial(hub->table, LAB_PEER, SERIAL_OLD);
	client(old, psk_old);
	client(fresh, psk_old);
}

static void propose(const struct program *whose, const uint8_t *preshared_key)
{
	const struct session_next next = {
		.public_key = session_public_key(whose->table),
		.preshared_key = preshared_key,
		.serial = SERIAL_NEW,
	};

	assert_int_equal(session_next_put(hub->table, LAB_PEER, &next), 0);
}

static void calls(const struct program *program)
{
	session_wanted(program->table, LAB_PEER, lab_info(program, LAB_PEER).current_index);
	pump();
}

static void expect_live(uint32_t n)
{
	assert_int_equal(lab_live(hub), n);
	lab_assert_no_leak(hub);
}

/* The newest word that the hub said about this keypair, which there was. */
static const struct abi_cmd_prefer *said_of(uint32_t index)
{
	for (uint32_t i = hub->n_prefers; i-- > 0;)
		if (hub->prefer[i].index == index)
			return &hub->prefer[i];
	print_message("# no word about %08x\n", index);
	abort();
}

static uint32_t newest(const struct program *program)
{
	return program->keys[program->n_keys - 1].install.index;
}

static void expect_at(const struct base_endpoint *endpoint)
{
	struct session_peer_info info = lab_info(hub, LAB_PEER);

	assert_true(base_endpoint_equal(&info.endpoint, endpoint));
}

static void clock_on(uint64_t ns)
{
	lab_now_ns += ns;
	lab_wall_ns += ns;
}

/* ---- both at once ------------------------------------------------------------------------------- */

static void next_key_is_nobodys_before_it_is_proposed(void **state)
{
	(void)state;
	know();
	calls(fresh);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_UNKNOWN_PEER], 1);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_RESPONSE_OUT], 0);
}

static void both_keys_have_sessions_side_by_side(void **state)
{
	uint32_t index_old, index_new;

	(void)state;
	know();
	calls(old);
	index_old = newest(hub);
	propose(fresh, psk_old);
	assert_int_equal(said_of(index_old)->when_heard, 1);
	assert_int_equal(lab_info(hub, LAB_PEER).next_handshake_wall_ns, 0);
	clock_on(LAB_S);
	hub->n_changes = 0;
	calls(fresh);
	index_new = newest(hub);
	assert_false(lab_keys(hub, index_old)->retired);
	assert_int_equal(hub->keys[0].install.key_serial, SERIAL_OLD);
	assert_int_equal(lab_keys(hub, index_new)->install.key_serial, SERIAL_NEW);
	assert_int_equal(lab_keys(hub, index_new)->install.peer, LAB_PEER);
	assert_int_equal(said_of(index_new)->when_heard, 1);
	assert_true(hub->n_changes > 0);
	assert_int_equal(lab_info(hub, LAB_PEER).next_handshake_wall_ns, lab_wall_ns);
	assert_int_equal(lab_info(hub, LAB_PEER).current_index, index_new);
	expect_at(&fresh->address);
	/* Where the old one is: flows need not move. */
	assert_int_equal(abi_index_worker(index_new), abi_index_worker(index_old));
	expect_live(2);
	/* Each renews its own and leaves the other alone. */
	for (uint32_t i = 0; i < 4; i++) {
		lab_pass(10 * LAB_S);
		calls(i % 2 ? old : fresh);
		assert_false(lab_keys(hub, newest(hub))->retired);
	}
	expect_live(4); /* current and previous of each */
	assert_int_equal(said_of(newest(hub))->when_heard, 1);
	assert_int_equal(said_of(index_old)->when_heard, 0);
}

static void hub_calls_a_peer_between_two_keys_by_both(void **state)
{
	(void)state;
	know();
	calls(old);
	propose(fresh, psk_old);
	lab_pass(20 * LAB_S);
	/* Where it was: one is answered there, the other is not. */
	session_wanted(hub->table, LAB_PEER, lab_info(hub, LAB_PEER).current_index);
	lab_settle();
	assert_int_equal(hub->n_out, 2);
	pump();
	assert_int_equal(old->counters[ABI_COUNTER_HS_RESPONSE_OUT], 1);
	assert_int_equal(lab_info(hub, LAB_PEER).next_handshake_wall_ns, 0);
	/* The client changes its key in its place. */
	fresh->address = old->address;
	old->address = lab_endpoint("192.0.2.99:9");
	lab_pass(6 * LAB_S);
	pump();
	assert_int_equal(fresh->counters[ABI_COUNTER_HS_RESPONSE_OUT], 1);
	assert_int_not_equal(lab_info(hub, LAB_PEER).next_handshake_wall_ns, 0);
	session_next_confirm(hub->table, LAB_PEER);
	lab_assert_no_leak(hub);
}

static void worker_without_a_session_is_told_the_one_heard_last(void **state)
{
	uint32_t n_out;

	(void)state;
	know();
	calls(old);
	propose(fresh, psk_old);
	clock_on(10 * LAB_S);
	calls(fresh);
	clock_on(10 * LAB_S);
	n_out = hub->n_out;
	hub->n_prefers = 0;
	session_wanted(hub->table, LAB_PEER, ABI_INDEX_NONE);
	lab_settle();
	assert_int_equal(hub->n_out, n_out);
	assert_int_equal(said_of(newest(hub))->now, 1);
}

/* ---- the end ------------------------------------------------------------------------------------ */

static void confirmed_the_old_key_is_dead_at_once(void **state)
{
	uint32_t index_old, index_new;

	(void)state;
	know();
	calls(old);
	index_old = newest(hub);
	propose(fresh, psk_old);
	calls(fresh);
	index_new = newest(hub);
	session_next_confirm(hub->table, LAB_PEER);
	assert_true(lab_keys(hub, index_old)->retired);
	assert_false(lab_keys(hub, index_new)->retired);
	assert_int_equal(said_of(index_new)->now, 1);
	assert_int_equal(said_of(index_new)->when_heard, 0);
	assert_false(lab_info(hub, LAB_PEER).has_next);
	expect_live(1);
	hub->counters[ABI_COUNTER_HS_RESPONSE_OUT] = 0;
	lab_pass(10 * LAB_S);
	calls(old);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_RESPONSE_OUT], 0);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_UNKNOWN_PEER], 1);
	calls(fresh);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_RESPONSE_OUT], 1);
	expect_live(2);
	/* And the next rotation may begin, back to where it came from. */
	propose(old, psk_old);
	lab_pass(10 * LAB_S);
	calls(old);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_RESPONSE_OUT], 2);
}

static void dropped_the_next_key_is_dead_at_once(void **state)
{
	uint32_t index_old, index_new;

	(void)state;
	know();
	calls(old);
	index_old = newest(hub);
	propose(fresh, psk_old);
	calls(fresh);
	index_new = newest(hub);
	session_next_drop(hub->table, LAB_PEER);
	assert_false(lab_keys(hub, index_old)->retired);
	assert_true(lab_keys(hub, index_new)->retired);
	assert_int_equal(said_of(index_old)->now, 1);
	expect_live(1);
	lab_pass(10 * LAB_S);
	calls(fresh);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_UNKNOWN_PEER], 1);
	calls(old);
	expect_live(2);
}

/* Whatever is with the threads or on its way when the key goes, nothing comes of it and no slot is lost. */
static void handshakes_under_way_end_with_their_key(void **state)
{
	(void)state;
	for (uint32_t cut = 0; cut < 6; cut++) {
		print_message("# cut %u\n", cut);
		know();
		propose(fresh, psk_old);
		lab_pass(10 * LAB_S);
		session_wanted(cut % 2 ? fresh->table : old->table, LAB_PEER, 0);
		lab_settle();
		deliver(cut % 2 ? fresh : old); /* opening it is a job now */
		if (cut >= 2)
			event_base_loop(lab.base, EVLOOP_ONCE);
		if (cut >= 4)
			lab_settle();
		if (cut % 2)
			session_next_drop(hub->table, LAB_PEER);
		else
			session_next_confirm(hub->table, LAB_PEER);
		hub->n_out = 0;
		lab_settle();
		lab_assert_no_leak(hub);
		session_peer_drop(hub->table, LAB_PEER);
		lab_assert_no_leak(hub);
		hub->n_out = old->n_out = fresh->n_out = 0;
		session_peer_drop(old->table, LAB_PEER);
		session_peer_drop(fresh->table, LAB_PEER);
	}
}

static void keys_that_cannot_be_are_refused(void **state)
{
	static const uint8_t zero[32];
	struct session_next next = {.public_key = zero};

	(void)state;
	assert_int_equal(session_next_put(hub->table, LAB_PEER, &next), -ENOENT);
	know();
	assert_int_equal(session_next_put(hub->table, LAB_PEER, &next), -EINVAL);
	assert_int_equal(session_peer_put(hub->table, 5, session_public_key(fresh->table), NULL,
	                                  NULL, NULL),
	                 0);
	next.public_key = session_public_key(fresh->table);
	assert_int_equal(session_next_put(hub->table, LAB_PEER, &next), -EEXIST);
	session_peer_drop(hub->table, 5);
	propose(fresh, NULL);
	assert_int_equal(session_next_put(hub->table, LAB_PEER, &next), -EBUSY);
	assert_int_equal(session_peer_put(hub->table, 5, session_public_key(fresh->table), NULL,
	                                  NULL, NULL),
	                 -EEXIST);
	/* Without one there is nothing to confirm or to drop. */
	session_next_drop(hub->table, LAB_PEER);
	session_next_drop(hub->table, LAB_PEER);
	session_next_confirm(hub->table, LAB_PEER);
	assert_false(lab_info(hub, LAB_PEER).has_next);
}

/* ---- over a restart ----------------------------------------------------------------------------- */

static struct abi_session in_region(const struct lab_keys *keys)
{
	return (struct abi_session){
		.index = keys->install.index,
		.remote_index = keys->install.remote_index,
		.peer = keys->install.peer,
		.role = keys->install.role,
		.birth_ns = keys->install.birth_ns,
		.confirmed = 1,
		.remote = keys->install.remote,
		.key_serial = keys->install.key_serial,
	};
}

/* The hub's control was killed with a session of each key; what the next one knows says whose is kept. */
static void sessions_go_back_to_the_key_that_made_them(void **state)
{
	uint32_t index_old, index_new;

	(void)state;
	know();
	calls(old);
	index_old = newest(hub);
	propose(fresh, psk_old);
	clock_on(LAB_S);
	calls(fresh);
	index_new = newest(hub);
	hub->region[0] = in_region(lab_keys(hub, index_old));
	hub->region[1] = in_region(lab_keys(hub, index_new));
	hub->n_region = 2;
	hub->n_prefers = 0;
	session_detached(hub->table);
	session_attached(hub->table, true);
	assert_false(lab_keys(hub, index_old)->retired);
	assert_false(lab_keys(hub, index_new)->retired);
	assert_int_equal(said_of(index_old)->when_heard, 1);
	assert_int_equal(said_of(index_new)->when_heard, 1);
	assert_int_not_equal(lab_info(hub, LAB_PEER).next_handshake_wall_ns, 0);
	expect_at(&fresh->address);
	/* Killed once more, after the next key was confirmed in the store alone. */
	session_peer_drop(hub->table, LAB_PEER);
	hub->table->disowned_ns[LAB_PEER] = 0; /* another process */
	hub->keys[0].retired = hub->keys[1].retired = false;
	assert_int_equal(session_peer_put(hub->table, LAB_PEER, session_public_key(fresh->table),
	                                  psk_old, NULL, NULL),
	                 0);
	session_peer_serial(hub->table, LAB_PEER, SERIAL_NEW);
	session_detached(hub->table);
	session_attached(hub->table, true);
	assert_true(lab_keys(hub, index_old)->retired);
	assert_false(lab_keys(hub, index_new)->retired);
	assert_int_equal(lab_info(hub, LAB_PEER).current_index, index_new);
	expect_live(1);
}

static void fresh_dataplane_makes_the_hub_call_both_keys(void **state)
{
	(void)state;
	know();
	calls(old);
	propose(fresh, psk_old);
	calls(fresh);
	session_detached(hub->table);
	session_attached(hub->table, false);
	lab_pass(LAB_S);
	assert_int_equal(hub->n_out, 2);
	pump();
	assert_int_equal(old->counters[ABI_COUNTER_HS_RESPONSE_OUT], 1);
	assert_int_equal(fresh->counters[ABI_COUNTER_HS_RESPONSE_OUT], 1);
}

/* ---- preshared keys alone ----------------------------------------------------------------------- */

static void either_preshared_key_gets_a_session(void **state)
{
	(void)state;
	know();
	calls(old);
	propose(old, psk_new);
	clock_on(10 * LAB_S);
	calls(old);
	/* Answered twice, taken once. */
	assert_int_equal(hub->counters[ABI_COUNTER_HS_RESPONSE_OUT], 3);
	assert_int_equal(old->counters[ABI_COUNTER_HS_REFUSED_DECRYPT]
	                         + old->counters[ABI_COUNTER_HS_REFUSED_NO_HANDSHAKE],
	                 1);
	assert_int_equal(old->counters[ABI_COUNTER_HS_COMPLETED], 2);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_COMPLETED], 2);
	assert_int_equal(lab_info(hub, LAB_PEER).next_handshake_wall_ns, 0);
	client(old, psk_new);
	clock_on(10 * LAB_S);
	calls(old);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_COMPLETED], 3);
	assert_int_equal(lab_info(hub, LAB_PEER).next_handshake_wall_ns, lab_wall_ns);
	lab_assert_no_leak(hub);
	session_next_confirm(hub->table, LAB_PEER);
	lab_assert_no_leak(hub);
	clock_on(10 * LAB_S);
	calls(old);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_COMPLETED], 4);
	client(old, psk_old);
	clock_on(10 * LAB_S);
	calls(old);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_COMPLETED], 4);
	lab_assert_no_leak(hub);
}

static void hub_that_calls_takes_either_preshared_key(void **state)
{
	const uint8_t *keys[] = {psk_old, psk_new};

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		know();
		calls(old);
		propose(old, psk_new);
		client(old, keys[i]);
		lab_pass(10 * LAB_S);
		session_wanted(hub->table, LAB_PEER, lab_info(hub, LAB_PEER).current_index);
		lab_settle();
		assert_int_equal(hub->n_out, 1);
		pump();
		assert_int_equal(lab_info(hub, LAB_PEER).next_handshake_wall_ns != 0, i == 1);
		assert_int_equal(lab_keys(hub, newest(hub))->install.role, ABI_ROLE_INITIATOR);
		assert_int_equal(lab_keys(hub, newest(hub))->install.key_serial,
		                 i == 0 ? SERIAL_OLD : SERIAL_NEW);
		lab_pass(20 * LAB_S);
		assert_int_equal(hub->n_out, 0); /* it has an answer */
		lab_assert_no_leak(hub);
		session_peer_drop(hub->table, LAB_PEER);
		session_peer_drop(old->table, LAB_PEER);
		lab_assert_no_leak(hub);
	}
}

static void a_third_preshared_key_gets_none(void **state)
{
	static const uint8_t wrong[32] = {9};

	(void)state;
	know();
	propose(old, psk_new);
	client(old, wrong);
	calls(old);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_RESPONSE_OUT], 2);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_COMPLETED], 0);
	assert_int_equal(lab_info(hub, LAB_PEER).last_handshake_wall_ns, 0);
	lab_pass(LAB_S);
	session_peer_drop(old->table, LAB_PEER);
	lab_assert_no_leak(hub);
}

static void replayed_initiation_is_refused_after_the_preshared_key_changed(void **state)
{
	struct abi_event_handshake event;

	(void)state;
	know();
	session_wanted(old->table, LAB_PEER, 0);
	lab_settle();
	event = lab_event(old, 0);
	pump();
	propose(old, psk_new);
	session_next_confirm(hub->table, LAB_PEER);
	clock_on(LAB_S);
	session_handshake_in(hub->table, 1, &event);
	lab_settle();
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_TIMESTAMP], 1);
}

static void move_between_two_preshared_keys_is_one_move(void **state)
{
	const struct base_endpoint elsewhere = lab_endpoint("192.0.2.99:4000");
	struct abi_event_endpoint event = {.remote = elsewhere, .peer = LAB_PEER};

	(void)state;
	know();
	calls(old);
	propose(old, psk_new);
	client(old, psk_new);
	old->address = lab_endpoint("192.0.2.9:4000");
	clock_on(10 * LAB_S);
	calls(old);
	assert_true(lab_info(hub, LAB_PEER).next_handshake_wall_ns != 0);
	assert_int_equal(lab_info(hub, LAB_PEER).n_moves, 1);
	event.index = newest(hub);
	session_endpoint_moved(hub->table, &event);
	expect_at(&elsewhere);
	assert_int_equal(lab_info(hub, LAB_PEER).n_moves, 2);
	session_next_confirm(hub->table, LAB_PEER);
	assert_int_equal(lab_info(hub, LAB_PEER).n_moves, 2);
}

/* A response was tried with a next preshared key in whose place stands another when it is back. */
static void response_to_a_next_key_that_went_is_not_another_ones(void **state)
{
	struct session_peer *peer;
	struct session_job *job;

	(void)state;
	know();
	calls(old);
	propose(old, psk_new);
	lab_pass(10 * LAB_S);
	session_wanted(hub->table, LAB_PEER, lab_info(hub, LAB_PEER).current_index);
	lab_settle();
	peer = session__peer(hub->table, LAB_PEER);
	job = session__jobs_get(&hub->table->jobs, true);
	job->kind = SESSION_JOB_FINISH;
	job->is_next = true;
	job->verdict = WG_NOISE_OK;
	job->peer = LAB_PEER;
	job->generation = peer->generation;
	job->epoch = hub->table->epoch;
	job->local_index = peer->handshake.local_index;
	job->hub_serial = hub->table->hub.serial;
	job->noise = peer->next->noise;
	session_next_drop(hub->table, LAB_PEER);
	propose(old, psk_third);
	session__response_consumed(hub->table, job, lab_now_ns);
	assert_int_equal(lab_info(hub, LAB_PEER).next_handshake_wall_ns, 0);
	assert_true(peer->handshake.local_index != 0); /* it goes on */
	session_peer_drop(hub->table, LAB_PEER);
	lab_assert_no_leak(hub);
}

#define LAB_TEST(name) cmocka_unit_test_setup_teardown(name, setup, lab_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(next_key_is_nobodys_before_it_is_proposed),
		LAB_TEST(both_keys_have_sessions_side_by_side),
		LAB_TEST(hub_calls_a_peer_between_two_keys_by_both),
		LAB_TEST(worker_without_a_session_is_told_the_one_heard_last),
		LAB_TEST(confirmed_the_old_key_is_dead_at_once),
		LAB_TEST(dropped_the_next_key_is_dead_at_once),
		LAB_TEST(handshakes_under_way_end_with_their_key),
		LAB_TEST(keys_that_cannot_be_are_refused),
		LAB_TEST(sessions_go_back_to_the_key_that_made_them),
		LAB_TEST(fresh_dataplane_makes_the_hub_call_both_keys),
		LAB_TEST(either_preshared_key_gets_a_session),
		LAB_TEST(hub_that_calls_takes_either_preshared_key),
		LAB_TEST(a_third_preshared_key_gets_none),
		LAB_TEST(move_between_two_preshared_keys_is_one_move),
		LAB_TEST(response_to_a_next_key_that_went_is_not_another_ones),
		LAB_TEST(replayed_initiation_is_refused_after_the_preshared_key_changed),
	};

	return cmocka_run_group_tests_name("session/next", tests, NULL, NULL);
}
