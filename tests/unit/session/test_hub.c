/* A hub between two keys of its own: hub 0 is the hub, hub 1 its client. */
#include "session_lab.h"

#include <errno.h>

static struct program *const hub = &lab.hub[0];
static struct program *const client = &lab.hub[1];

static uint8_t next_private[32];
static uint8_t next_public[32];

static int setup(void **state)
{
	struct wg_noise_identity identity;

	lab_setup(state);
	lab_private_key(next_private, 9);
	wg_noise_identity_init(&identity, next_private);
	memcpy(next_public, identity.public_key, 32);
	return 0;
}

/* The client has this key of the hub's; the hub knows the client. */
static void client_has(const uint8_t *hub_key)
{
	uint8_t key[32];

	memcpy(key, hub_key, 32); /* it may be the very one that is dropped */
	session_peer_drop(client->table, LAB_PEER);
	assert_int_equal(session_peer_put(client->table, LAB_PEER, key, NULL, &hub->address, NULL),
	                 0);
}

static void know(void)
{
	assert_int_equal(session_peer_put(hub->table, LAB_PEER, session_public_key(client->table),
	                                  NULL, NULL, NULL),
	                 0);
	client_has(session_public_key(hub->table));
}

/* The client calls; how many sessions came of it at the hub. */
static uint64_t calls(void)
{
	uint64_t before = hub->counters[ABI_COUNTER_HS_COMPLETED];

	lab_now_ns += 10 * LAB_S;
	lab_wall_ns += 10 * LAB_S;
	session_wanted(client->table, LAB_PEER, lab_info(client, LAB_PEER).current_index);
	lab_pump();
	return hub->counters[ABI_COUNTER_HS_COMPLETED] - before;
}

static void on_used(void *arg)
{
	(*(uint32_t *)arg)++;
}

static void either_key_is_answered_in_the_window_and_one_after_it(void **state)
{
	uint8_t old_public[32];
	uint32_t n_used = 0;
	uint32_t old_index;

	(void)state;
	know();
	memcpy(old_public, session_public_key(hub->table), 32);
	session_on_hub_used(hub->table, on_used, &n_used);
	assert_int_equal(calls(), 1);
	old_index = lab_info(hub, LAB_PEER).current_index;
	assert_int_equal(session_hub_next_put(hub->table, next_private), 0);
	assert_memory_equal(session_next_public_key(hub->table), next_public, 32);
	assert_int_equal(calls(), 1);
	assert_int_equal(n_used, 0);
	assert_false(lab_info(hub, LAB_PEER).uses_next_hub);
	client_has(next_public);
	assert_int_equal(calls(), 1);
	assert_int_equal(n_used, 1);
	assert_true(lab_info(hub, LAB_PEER).uses_next_hub);
	client_has(old_public);
	assert_int_equal(calls(), 1);
	client_has(next_public);
	assert_int_equal(calls(), 1);
	lab_assert_no_leak(hub);
	session_hub_next_confirm(hub->table);
	lab_assert_no_leak(hub);
	assert_memory_equal(session_public_key(hub->table), next_public, 32);
	assert_null(session_next_public_key(hub->table));
	/* What was made with the old key is no more, what was made with the new one goes on. */
	assert_true(lab_keys(hub, old_index)->retired);
	assert_int_equal(lab_live(hub), 1);
	assert_false(lab_keys(hub, lab_info(hub, LAB_PEER).current_index)->retired);
	assert_int_equal(calls(), 1);
	client_has(old_public);
	hub->counters[ABI_COUNTER_HS_RESPONSE_OUT] = 0;
	assert_int_equal(calls(), 0);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_RESPONSE_OUT], 0);
}

static void a_dropped_key_is_not_answered(void **state)
{
	(void)state;
	know();
	assert_int_equal(session_hub_next_put(hub->table, next_private), 0);
	assert_int_equal(session_hub_next_put(hub->table, next_private), -EBUSY);
	client_has(next_public);
	assert_int_equal(calls(), 1);
	session_hub_next_drop(hub->table);
	assert_int_equal(lab_live(hub), 0);
	assert_int_equal(calls(), 0);
	client_has(session_public_key(hub->table));
	assert_int_equal(calls(), 1);
	lab_assert_no_leak(hub);
}

/* The hub calls a client whose key of the hub it cannot know: with the one that it used last, then in turn. */
static void hub_calls_with_either_key(void **state)
{
	(void)state;
	know();
	assert_int_equal(calls(), 1);
	assert_int_equal(session_hub_next_put(hub->table, next_private), 0);
	client_has(next_public);
	lab_pass(10 * LAB_S);
	session_wanted(hub->table, LAB_PEER, lab_info(hub, LAB_PEER).current_index);
	lab_pump();
	assert_int_equal(client->counters[ABI_COUNTER_HS_RESPONSE_OUT], 0);
	lab_pass(6 * LAB_S);
	lab_pump();
	assert_int_equal(client->counters[ABI_COUNTER_HS_RESPONSE_OUT], 1);
	assert_true(lab_info(hub, LAB_PEER).uses_next_hub);
	lab_pass(10 * LAB_S);
	session_wanted(hub->table, LAB_PEER, lab_info(hub, LAB_PEER).current_index);
	lab_pump();
	assert_int_equal(client->counters[ABI_COUNTER_HS_RESPONSE_OUT], 2);
	lab_assert_no_leak(hub);
}

/* Whatever is with the threads, or has gone out, when a key goes. */
static void handshakes_under_way_end_with_the_key(void **state)
{
	(void)state;
	for (uint32_t cut = 0; cut < 8; cut++) {
		struct program *caller = cut % 2 ? hub : client;
		struct abi_event_handshake event;

		print_message("# cut %u\n", cut);
		know();
		assert_int_equal(calls(), 1);
		lab_pass(10 * LAB_S);
		assert_int_equal(session_hub_next_put(hub->table, next_private), 0);
		session_wanted(caller->table, LAB_PEER, lab_info(caller, LAB_PEER).current_index);
		if (cut >= 2) {
			lab_settle();
			if (cut >= 4 && caller->n_out > 0) {
				event = lab_event(caller, 0);
				session_handshake_in((cut % 2 ? client : hub)->table, 1, &event);
			}
			if (cut >= 6)
				event_base_loop(lab.base, EVLOOP_ONCE);
		}
		session_hub_next_confirm(hub->table);
		lab_settle();
		lab_assert_no_leak(hub);
		lab_pump();
		lab_assert_no_leak(hub);
		/* The keys change roles for the next turn. */
		lab_private_key(next_private, cut % 2 ? 9 : 1);
		session_peer_drop(hub->table, LAB_PEER);
		hub->n_out = client->n_out = 0;
		lab_assert_no_leak(hub);
	}
}

static void sessions_of_a_key_that_went_are_not_taken_over(void **state)
{
	uint32_t index;

	(void)state;
	know();
	assert_int_equal(calls(), 1);
	index = lab_info(hub, LAB_PEER).current_index;
	hub->region[0] = (struct abi_session){
		.index = index,
		.peer = LAB_PEER,
		.role = ABI_ROLE_RESPONDER,
		.birth_ns = lab_keys(hub, index)->install.birth_ns,
		.confirmed = 1,
		.hub_serial = lab_keys(hub, index)->install.hub_serial,
	};
	hub->n_region = 1;
	assert_int_not_equal(hub->region[0].hub_serial, 0);
	session_attached(hub->table, true);
	assert_false(lab_keys(hub, index)->retired);
	assert_int_equal(session_hub_next_put(hub->table, next_private), 0);
	session_hub_next_confirm(hub->table);
	assert_true(lab_keys(hub, index)->retired);
	lab_keys(hub, index)->retired = false; /* the dataplane was not there to hear it */
	session_attached(hub->table, true);
	assert_true(lab_keys(hub, index)->retired);
	lab_assert_no_leak(hub);
}

#define LAB_TEST(name) cmocka_unit_test_setup_teardown(name, setup, lab_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(either_key_is_answered_in_the_window_and_one_after_it),
		LAB_TEST(a_dropped_key_is_not_answered),
		LAB_TEST(hub_calls_with_either_key),
		LAB_TEST(handshakes_under_way_end_with_the_key),
		LAB_TEST(sessions_of_a_key_that_went_are_not_taken_over),
	};

	return cmocka_run_group_tests_name("session/hub", tests, NULL, NULL);
}
