/* The flow table: TCP in every state with every event, and random packets, of TCP and UDP, against a model that keeps flows
 * in a list. */
#include "flow_lab.h"

static void tcp_opens_talks_and_closes(void **state)
{
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	handshake(&hub);
	assert_int_equal(only_state(&hub), POLICY_FLOW_TCP_ESTABLISHED);
	assert_int_equal(tcp(&hub, B, ACK), POLICY_FLOW_PASS);
	assert_int_equal(hub.result.grant, 11);
	assert_int_equal(tcp(&hub, A, FIN), POLICY_FLOW_PASS);
	assert_int_equal(tcp(&hub, A, FIN), POLICY_FLOW_PASS); /* again: still the one side */
	assert_int_equal(only_state(&hub), POLICY_FLOW_TCP_HALF_CLOSED);
	assert_int_equal(tcp(&hub, B, ACK), POLICY_FLOW_PASS);
	assert_int_equal(tcp(&hub, B, FIN), POLICY_FLOW_PASS);
	assert_int_equal(only_state(&hub), POLICY_FLOW_TCP_CLOSED);
	assert_int_equal(tcp(&hub, A, ACK), POLICY_FLOW_PASS);
	assert_int_equal(policy_flow_count(hub.flow), 1);
	hub_fini(&hub);
}

/* How each state is reached, as flags from A and B in turn: "A:S" .. */
static void reach(struct hub *hub, enum policy_flow_state state)
{
	if (state >= POLICY_FLOW_TCP_OPENING)
		assert_int_equal(tcp(hub, A, SYN), POLICY_FLOW_PASS);
	if (state >= POLICY_FLOW_TCP_ANSWERED)
		assert_int_equal(tcp(hub, B, SYNACK), POLICY_FLOW_PASS);
	if (state >= POLICY_FLOW_TCP_ESTABLISHED)
		assert_int_equal(tcp(hub, A, ACK), POLICY_FLOW_PASS);
	if (state == POLICY_FLOW_TCP_HALF_CLOSED || state == POLICY_FLOW_TCP_CLOSED)
		assert_int_equal(tcp(hub, A, FIN), POLICY_FLOW_PASS);
	if (state == POLICY_FLOW_TCP_CLOSED)
		assert_int_equal(tcp(hub, B, FIN), POLICY_FLOW_PASS);
	if (state == POLICY_FLOW_TCP_RESET)
		assert_int_equal(tcp(hub, B, RST), POLICY_FLOW_PASS);
	assert_int_equal(only_state(hub), state);
}

/* What is allowed, state by state: the letter of the state after it, '.' refused.
 * O opening, A answered, E established, H half closed, C closed, R reset, N no flow before or after,
 * o: opens anew and is refused, since B may not reach A. Columns: SYN, SYN-ACK, ACK, FIN, RST. */
static const struct {
	const char *from_a, *from_b;
} matrix[] = {
	[POLICY_FLOW_FREE] = {"O....", "....."},
	[POLICY_FLOW_TCP_OPENING] = {"O...R", ".A..R"},
	[POLICY_FLOW_TCP_ANSWERED] = {"A.EHR", ".A..R"},
	[POLICY_FLOW_TCP_ESTABLISHED] = {"E.EHR", ".EEHR"},
	[POLICY_FLOW_TCP_HALF_CLOSED] = {"H.HHR", "..HCR"},
	[POLICY_FLOW_TCP_CLOSED] = {"O.CCR", "..CCR"},
	[POLICY_FLOW_TCP_RESET] = {"O....", "....."},
};
static const uint8_t matrix_flags[] = {SYN, SYNACK, ACK, FIN, RST};
static const char letters[] = "NOAEHCR";

static void try_one(enum policy_flow_state state, uint32_t from, unsigned int event, char expected)
{
	enum policy_flow_state old_state;
	enum policy_flow_verdict verdict;
	struct hub hub;
	uint8_t *before;

	hub_init(&hub, &small);
	reach(&hub, state);
	before = malloc(hub.flow_len);
	assert_non_null(before);
	old_state = only_state(&hub);
	verdict = tcp(&hub, from, matrix_flags[event]);
	if (expected == '.' && verdict == POLICY_FLOW_PASS)
		fail_msg("state %d, from %u, event %u: passed", state, from, event);
	if (expected == '.') {
		/* the refusal may be kept; another time nothing at all is written */
		assert_int_equal(only_state(&hub), old_state);
		memcpy(before, hub.flow, hub.flow_len);
		assert_int_equal(tcp(&hub, from, matrix_flags[event]), verdict);
		assert_memory_equal(before, hub.flow, hub.flow_len);
	} else {
		if (verdict != POLICY_FLOW_PASS || letters[only_state(&hub)] != expected)
			fail_msg("state %d, from %u, event %u: verdict %d, then %c", state, from,
			         event, verdict, letters[only_state(&hub)]);
	}
	free(before);
	hub_fini(&hub);
}

static void in_every_state_what_is_not_allowed_is_refused_and_changes_nothing(void **state)
{
	(void)state;
	for (unsigned int i = POLICY_FLOW_FREE; i <= POLICY_FLOW_TCP_RESET; i++) {
		for (unsigned int event = 0; event < BASE_ARRAY_LEN(matrix_flags); event++) {
			try_one(i, A, event, matrix[i].from_a[event]);
			try_one(i, B, event, matrix[i].from_b[event]);
		}
	}
}

static void flags_that_no_tcp_sends_are_refused_in_every_state(void **state)
{
	static const uint8_t bad[] = {0,
	                              POLICY_TCP_FIN,
	                              SYN | RST,
	                              SYN | POLICY_TCP_FIN,
	                              SYNACK | POLICY_TCP_FIN,
	                              RST | POLICY_TCP_FIN,
	                              0x28,
	                              0x3f};

	(void)state;
	for (unsigned int i = POLICY_FLOW_FREE; i <= POLICY_FLOW_TCP_RESET; i++) {
		for (size_t j = 0; j < sizeof(bad); j++) {
			struct hub hub;

			hub_init(&hub, &small);
			reach(&hub, i);
			assert_int_equal(tcp(&hub, A, bad[j]), POLICY_FLOW_TCP_FLAGS);
			assert_int_equal(tcp(&hub, B, bad[j]), POLICY_FLOW_TCP_FLAGS);
			assert_int_equal(only_state(&hub), i);
			hub_fini(&hub);
		}
	}
}

/* Both sides have said FIN: what still comes late passes, but does not keep the flow: else whoever
 * holds one end could keep a place in the table for ever. */
static void late_packets_do_not_keep_a_closed_flow(void **state)
{
	uint32_t live_s = policy_flow_timeout_s(POLICY_FLOW_TCP_CLOSED, POLICY_PROTO_TCP);
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	reach(&hub, POLICY_FLOW_TCP_CLOSED);
	for (uint32_t i = 1; i < live_s; i++) {
		hub.clock.now_s++;
		assert_int_equal(tcp(&hub, A, ACK), POLICY_FLOW_PASS);
		assert_int_equal(tcp(&hub, B, FIN), POLICY_FLOW_PASS);
	}
	hub.clock.now_s++;
	assert_int_equal(tcp(&hub, A, ACK), POLICY_FLOW_NO_FLOW);
	assert_int_equal(tcp(&hub, B, FIN), POLICY_FLOW_NO_FLOW);
	/* The same late packets do keep one that stands. */
	reach(&hub, POLICY_FLOW_TCP_ESTABLISHED);
	for (uint32_t i = 1; i < 2 * live_s; i++) {
		hub.clock.now_s++;
		assert_int_equal(tcp(&hub, A, ACK), POLICY_FLOW_PASS);
	}
	hub_fini(&hub);
}

/* ---- random -------------------------------------------------------------------------------------- */

#define MODEL_PORTS 3U

/* What there is to know of a flow from A, in plain words. */
struct model {
	enum policy_flow_state state;
	uint32_t generation, seen_s;
	bool fin_a, fin_b;
};

static bool model_lives(struct model *m, struct hub *hub, bool is_tcp, uint32_t n_grants)
{
	uint8_t proto = is_tcp ? POLICY_PROTO_TCP : POLICY_PROTO_UDP;

	if (m->state != POLICY_FLOW_FREE
	    && hub->clock.now_s - m->seen_s >= policy_flow_timeout_s(m->state, proto))
		m->state = POLICY_FLOW_FREE;
	if (m->state != POLICY_FLOW_FREE && m->generation != policy_table_generation(hub->table)
	    && n_grants < (is_tcp ? 1U : 2U))
		m->state = POLICY_FLOW_FREE;
	return m->state != POLICY_FLOW_FREE;
}

/* Does the packet pass? Does to the model what it does. */
static bool model_tcp(struct model *m, struct hub *hub, uint32_t from, unsigned int event,
                      uint32_t n_grants)
{
	const char *row;
	enum policy_flow_state before;

	(void)model_lives(m, hub, true, n_grants);
	before = m->state;
	row = from == A ? matrix[before].from_a : matrix[before].from_b;
	if (row[event] == '.'
	    || (row[event] == 'O' && before != POLICY_FLOW_TCP_OPENING && n_grants < 1))
		return false;
	m->state = (enum policy_flow_state)(strchr(letters, row[event]) - letters);
	m->generation = policy_table_generation(hub->table);
	if (m->state == POLICY_FLOW_TCP_OPENING)
		m->fin_a = m->fin_b = false;
	if (matrix_flags[event] == FIN && before != POLICY_FLOW_TCP_CLOSED) {
		m->fin_a |= from == A;
		m->fin_b |= from == B;
		m->state = m->fin_a && m->fin_b ? POLICY_FLOW_TCP_CLOSED
		                                : POLICY_FLOW_TCP_HALF_CLOSED;
	}
	if (before != POLICY_FLOW_TCP_CLOSED || m->state != POLICY_FLOW_TCP_CLOSED)
		m->seen_s = hub->clock.now_s;
	return true;
}

static bool model_udp(struct model *m, struct hub *hub, uint32_t from, uint32_t n_grants)
{
	bool lives = model_lives(m, hub, false, n_grants);

	if (!lives && (from == B || n_grants < 2))
		return false;
	if (!lives)
		m->state = POLICY_FLOW_ONE_WAY;
	if (from == B)
		m->state = POLICY_FLOW_BOTH_WAYS;
	m->generation = policy_table_generation(hub->table);
	m->seen_s = hub->clock.now_s;
	return true;
}

static void random_packets_pass_as_in_the_model(void **state)
{
	static const uint32_t steps_s[] = {0, 0, 0, 1, 4, 9, 29, 31, 179, 181, 601, 7441};
	struct test_random random = test_random_start();
	struct model tcps[MODEL_PORTS] = {{0}}, udps[MODEL_PORTS] = {{0}};
	uint32_t n_grants = 3, generation = 1, n_passed = 0;
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	for (uint32_t i = 0; i < 300000; i++) {
		uint32_t from = test_random_below(&random, 2) == 0 ? A : B;
		uint32_t port = (uint32_t)test_random_below(&random, MODEL_PORTS);
		unsigned int event = (unsigned int)test_random_below(&random, 5);
		bool is_tcp = test_random_below(&random, 3) != 0;
		uint16_t a = (uint16_t)(7000 + port);
		struct policy_packet packet = packet_of(
			from, A + B - from, is_tcp ? POLICY_KIND_TCP : POLICY_KIND_UDP,
			is_tcp ? POLICY_PROTO_TCP : POLICY_PROTO_UDP, from == A ? a : 443,
			from == A ? 443 : a);
		bool expected;

		if (test_random_below(&random, 8) == 0)
			hub.clock.now_s +=
				steps_s[test_random_below(&random, BASE_ARRAY_LEN(steps_s))];
		if (test_random_below(&random, 100) == 0) {
			n_grants = (uint32_t)test_random_below(&random, 4);
			load(&hub, ++generation, n_grants);
		}
		(void)policy_flow_expire(hub.flow, hub.clock.now_s,
		                         (uint32_t)test_random_below(&random, 3));
		packet.tcp_flags = is_tcp ? matrix_flags[event] : 0;
		expected = is_tcp ? model_tcp(&tcps[port], &hub, from, event, n_grants)
		                  : model_udp(&udps[port], &hub, from, n_grants);
		if ((judge(&hub, &packet) == POLICY_FLOW_PASS) != expected)
			fail_msg("packet %u, from %u, tcp %d, event %u, %u grants: verdict %u", i,
			         from, is_tcp, event, n_grants, hub.result.verdict);
		n_passed += expected;
	}
	printf("# %u of 300000 passed\n", n_passed);
	assert_in_range(n_passed, 30000, 270000);
	hub_fini(&hub);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_opens_talks_and_closes),
		cmocka_unit_test(in_every_state_what_is_not_allowed_is_refused_and_changes_nothing),
		cmocka_unit_test(flags_that_no_tcp_sends_are_refused_in_every_state),
		cmocka_unit_test(late_packets_do_not_keep_a_closed_flow),
		cmocka_unit_test(random_packets_pass_as_in_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
