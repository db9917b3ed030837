/* Where a peer is, and where the hub calls it and answers from. */
#include "session_lab.h"

static void endpoint_is_learned_and_follows(void **state)
{
	struct base_endpoint moved = lab_endpoint("203.0.113.9:1000");
	struct abi_event_endpoint event = {.peer = LAB_PEER, .remote = moved, .port = 2};
	uint32_t first, current;

	(void)state;
	lab_know(NULL);
	assert_int_equal(lab_info(&lab.hub[1], LAB_PEER).endpoint.port, 0);
	lab_handshake();
	assert_true(base_endpoint_equal(
		&(struct base_endpoint){lab_info(&lab.hub[1], LAB_PEER).endpoint.ip, 51820, 0},
		&lab.hub[0].address));
	first = lab_info(&lab.hub[1], LAB_PEER).current_index;
	lab.hub[1].n_changes = 0;
	lab.hub[1].n_endpoints = 0;
	event.index = first;
	session_endpoint_moved(lab.hub[1].table, &event);
	assert_int_equal(lab_info(&lab.hub[1], LAB_PEER).endpoint.port, 1000);
	assert_int_equal(lab_info(&lab.hub[1], LAB_PEER).n_moves, 1); /* the first was none */
	assert_int_equal(lab.hub[1].n_changes, 1);
	/* The worker knows it of this session already. */
	assert_int_equal(lab.hub[1].n_endpoints, 0);
	/* Heard on the previous session, the current one has to be told. */
	lab_pass(10 * LAB_S);
	lab_handshake();
	current = lab_info(&lab.hub[1], LAB_PEER).current_index;
	assert_int_not_equal(first, current);
	lab.hub[1].n_endpoints = 0;
	event.remote.port = 1001;
	session_endpoint_moved(lab.hub[1].table, &event);
	assert_int_equal(lab.hub[1].n_endpoints, 1);
	assert_int_equal(lab.hub[1].endpoint.index, current);
	assert_int_equal(lab.hub[1].endpoint.remote.port, 1001);
	assert_int_equal(lab.hub[1].endpoint.port, 2);
	/* An index that is not this peer's moves nobody. */
	event.index ^= 0x80000000U;
	event.remote.port = 1002;
	session_endpoint_moved(lab.hub[1].table, &event);
	assert_int_equal(lab_info(&lab.hub[1], LAB_PEER).endpoint.port, 1001);
	assert_int_equal(lab_info(&lab.hub[1], LAB_PEER).n_moves, 3); /* by a handshake, too */
}

static struct base_endpoint sent_to(const struct program *hub, uint32_t i)
{
	return hub->out[i].remote;
}

static void is_endpoint(struct base_endpoint is, const char *expected)
{
	char text[BASE_ENDPOINT_STRLEN];

	assert_string_equal(base_endpoint_format(&is, text), expected);
}

/* The name of a peer's endpoint says another address: the next handshake is begun there, and only what it brings
 * moves anything else. */
static void a_call_elsewhere_moves_the_peer_when_it_is_answered(void **state)
{
	struct base_endpoint elsewhere = lab_endpoint("203.0.113.9:1000");

	(void)state;
	lab_know(NULL);
	lab_handshake();
	lab_pass(10 * LAB_S);
	lab.hub[0].n_endpoints = 0;
	session_peer_call(lab.hub[0].table, LAB_PEER, &elsewhere);
	assert_int_equal(lab.hub[0].n_endpoints, 0);
	assert_int_equal(lab.hub[0].n_out, 0); /* it has an endpoint: it is not called for that */
	is_endpoint(lab_info(&lab.hub[0], LAB_PEER).endpoint, "192.0.2.2:51820");
	is_endpoint(lab_info(&lab.hub[0], LAB_PEER).call, "203.0.113.9:1000");
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	lab_settle();
	assert_int_equal(lab.hub[0].n_out, 1);
	is_endpoint(sent_to(&lab.hub[0], 0), "203.0.113.9:1000");
	assert_int_equal(lab.hub[0].out[0].port, UINT32_MAX); /* by route */
	assert_int_equal(lab.hub[0].n_endpoints, 0);
	lab.hub[1].address = elsewhere;
	lab_pump();
	is_endpoint(lab_info(&lab.hub[0], LAB_PEER).endpoint, "203.0.113.9:1000");
	assert_int_equal(lab_info(&lab.hub[0], LAB_PEER).call.port, 0);
}

static void a_call_elsewhere_is_forgotten_when_the_peer_is_heard(void **state)
{
	struct base_endpoint elsewhere = lab_endpoint("203.0.113.9:1000");

	(void)state;
	lab_know(NULL);
	lab_handshake();
	lab_pass(10 * LAB_S);
	session_peer_call(lab.hub[0].table, LAB_PEER, &elsewhere);
	session_wanted(lab.hub[1].table, LAB_PEER, 0); /* from where it is */
	lab_pump();
	assert_int_equal(lab_info(&lab.hub[0], LAB_PEER).call.port, 0);
	is_endpoint(lab_info(&lab.hub[0], LAB_PEER).endpoint, "192.0.2.2:51820");
}

static struct base_endpoint turns[2];
static uint32_t n_turns;

static void on_unanswered(void *arg, uint32_t peer)
{
	struct program *hub = arg;

	session_peer_call(hub->table, peer, &turns[n_turns++ % 2]);
}

static void each_initiation_without_an_answer_may_go_elsewhere(void **state)
{
	(void)state;
	turns[0] = lab_endpoint("203.0.113.9:1000");
	turns[1] = lab_endpoint("192.0.2.2:51820"); /* where it was */
	n_turns = 0;
	lab_know(NULL);
	session_on_unanswered(lab.hub[0].table, on_unanswered, &lab.hub[0]);
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	lab_settle();
	assert_int_equal(n_turns, 0);
	lab_pass(17 * LAB_S);
	assert_int_equal(n_turns, 3);
	assert_int_equal(lab.hub[0].n_out, 4);
	is_endpoint(sent_to(&lab.hub[0], 0), "192.0.2.2:51820");
	is_endpoint(sent_to(&lab.hub[0], 1), "203.0.113.9:1000");
	is_endpoint(sent_to(&lab.hub[0], 2), "192.0.2.2:51820");
	is_endpoint(sent_to(&lab.hub[0], 3), "203.0.113.9:1000");
}

static void a_peer_without_an_endpoint_is_called_as_soon_as_it_has_one(void **state)
{
	(void)state;
	lab_know(NULL);
	session_peer_call(lab.hub[1].table, LAB_PEER, NULL);
	lab_settle();
	assert_int_equal(lab.hub[1].n_out, 0);
	session_peer_call(lab.hub[1].table, LAB_PEER, &lab.hub[0].address);
	lab_settle();
	assert_int_equal(lab.hub[1].n_out, 1);
	is_endpoint(sent_to(&lab.hub[1], 0), "192.0.2.1:51820");
	lab_pump();
	assert_int_equal(lab.hub[1].counters[ABI_COUNTER_HS_COMPLETED], 1);
}

static void initiation_from_elsewhere_moves_the_current_session(void **state)
{
	(void)state;
	lab_know(NULL);
	lab_handshake();
	lab_pass(10 * LAB_S);
	lab.hub[0].address = lab_endpoint("203.0.113.9:1000");
	session_rekey_due(lab.hub[0].table, LAB_PEER,
	                  lab_info(&lab.hub[0], LAB_PEER).current_index);
	lab_settle();
	lab.hub[1].n_endpoints = 0;
	lab_carry(&lab.hub[0], &lab.hub[1]);
	assert_int_equal(lab.hub[1].n_endpoints, 1);
	assert_int_equal(lab.hub[1].endpoint.index, lab.hub[1].keys[0].install.index);
	assert_true(base_endpoint_equal(&lab.hub[1].endpoint.remote, &lab.hub[0].address));
}

/* A hub with several addresses: the response leaves from the one that was asked, and so does all else. */
static void answers_leave_from_the_address_that_was_asked(void **state)
{
	static const char *const asked[] = {"192.0.2.7:1", "192.0.2.8:1", "[2001:db8::7]:1"};

	(void)state;
	lab_know(NULL);
	for (size_t i = 0; i < BASE_ARRAY_LEN(asked); i++) {
		struct base_ip local = lab_endpoint(asked[i]).ip;
		struct program *to = &lab.hub[1];
		struct abi_event_handshake event;

		session_wanted(lab.hub[0].table, LAB_PEER, 0);
		lab_settle();
		assert_int_equal(lab.hub[0].n_out, 1);
		event = lab_event(&lab.hub[0], 0);
		event.local = local;
		lab.hub[0].n_out = 0;
		to->n_endpoints = 0;
		session_handshake_in(to->table, 1, &event);
		lab_settle();
		assert_int_equal(to->n_out, 1);
		assert_true(base_ip_equal(&to->out[0].local, &local));
		assert_true(base_ip_equal(&to->keys[to->n_keys - 1].install.local, &local));
		/* And the session that goes on until this one is used. */
		assert_int_equal(to->n_endpoints, i == 0 ? 0 : 1);
		if (i > 0)
			assert_true(base_ip_equal(&to->endpoint.local, &local));
		lab_pump();
		lab_pass(10 * LAB_S);
	}
}

int main(void)
{
#define lab_test(name) cmocka_unit_test_setup_teardown(name, lab_setup, lab_teardown)
	const struct CMUnitTest tests[] = {
		lab_test(endpoint_is_learned_and_follows),
		lab_test(a_call_elsewhere_moves_the_peer_when_it_is_answered),
		lab_test(a_call_elsewhere_is_forgotten_when_the_peer_is_heard),
		lab_test(each_initiation_without_an_answer_may_go_elsewhere),
		lab_test(a_peer_without_an_endpoint_is_called_as_soon_as_it_has_one),
		lab_test(initiation_from_elsewhere_moves_the_current_session),
		lab_test(answers_leave_from_the_address_that_was_asked),
	};

	return cmocka_run_group_tests_name("session/endpoint", tests, NULL, NULL);
}
