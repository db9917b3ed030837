/* path/wait.c: packets whose peer has no session wait for its handshake, and go in order when it is there; how
 * many, for how long, and what becomes of those that wait in vain. */
#include "base_bytes.h"
#include "flow.h"
#include "state_wait.h"

#include <string.h>

static const struct flow_options two = {.n_workers = 2};

/* A packet of the hub's kernel to a peer, number i, at worker. */
static uint32_t hub_sends(struct flow *flow, uint32_t worker, uint32_t to, uint32_t i,
                          uint8_t *inner)
{
	struct base_ip source = flow_ip("10.0.0.1");
	struct base_ip destination = flow_inner_ip(to, BASE_IP_V4);
	uint32_t len = flow_inner(inner, &source, &destination, 64, 20 + i * 3);

	flow_from_kernel(flow, worker, PORT_LINK_TUN, inner, len);
	return len;
}

/* One of a peer's to another, as the receiver will see it. */
static uint32_t peer_sends(struct flow *flow, struct flow_session *from, uint32_t to, uint32_t i,
                           uint8_t *inner)
{
	uint32_t len = flow_inner_between(inner, from->peer, to, BASE_IP_V4, 20 + i * 3);

	flow_rx_data(flow, from, inner, len);
	flow_hop(inner);
	return len;
}

static uint64_t n_waiting(const struct flow *flow)
{
	return flow_counter(flow, ABI_COUNTER_TO_WAIT) - flow_counter(flow, ABI_COUNTER_RX_WAIT);
}

static void expect_wanted(struct flow *flow, uint32_t worker, uint32_t peer)
{
	struct abi_event_session event;

	flow_expect_event(flow, worker, ABI_EVENT_SESSION_WANTED, &event, sizeof(event));
	assert_int_equal(event.peer, peer);
}

#define N 100U

static void what_the_hub_sends_waits_and_goes_in_order(void **state)
{
	struct flow *flow = flow_create(NULL);
	static uint8_t inner[N][FLOW_FRAME_MAX];
	struct flow_session to;
	uint32_t len[N];

	(void)state;
	for (uint32_t i = 0; i < N; i++) {
		len[i] = hub_sends(flow, 0, 1, i, inner[i]);
		flow_turn(flow);
	}
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, N}, {ABI_COUNTER_TO_WAIT, N});
	flow_expect_silence(flow);
	expect_wanted(flow, 0, 1); /* once */
	flow_expect_no_event(flow);
	to = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	flow_turn(flow);
	for (uint32_t i = 0; i < N; i++)
		flow_expect_data(flow, &to, i, inner[i], len[i]);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAIT, N}, {ABI_COUNTER_SEALED, N},
	            {ABI_COUNTER_TX_WAN, N});
	flow_destroy(flow);
}

static void what_a_peer_sends_waits_and_goes_in_order(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V6);
	struct flow_session to = flow_session_make(0, 2, 2, BASE_IP_V4);
	static uint8_t inner[N][FLOW_FRAME_MAX];
	uint32_t len[N];

	(void)state;
	flow_reset(flow);
	for (uint32_t i = 0; i < N; i++)
		len[i] = peer_sends(flow, &from, 2, i, inner[i]);
	flow_turn(flow);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, N}, {ABI_COUNTER_OPENED, N},
	            {ABI_COUNTER_FORWARDED, N}, {ABI_COUNTER_TO_WAIT, N});
	expect_wanted(flow, 0, 2);
	/* The peer began the handshake itself: its first packet says that the keys are good. */
	flow_session_install(flow, &to, ABI_ROLE_RESPONDER, 0);
	flow_turn(flow);
	assert_int_equal(n_waiting(flow), N);
	flow_rx_data(flow, &to, NULL, 0);
	flow_turn(flow);
	flow_turn(flow);
	flow_turn(flow);
	for (uint32_t i = 0; i < N; i++)
		flow_expect_data(flow, &to, i, inner[i], len[i]);
	assert_int_equal(n_waiting(flow), 0);
	flow_destroy(flow);
}

/* Those that come in the turn in which the session comes stand behind those that wait. */
static void what_comes_later_does_not_overtake(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session to = flow_session_make(0, 2, 2, BASE_IP_V4);
	static uint8_t inner[N + 3][FLOW_FRAME_MAX];
	uint32_t len[N + 3];

	(void)state;
	for (uint32_t i = 0; i < N; i++)
		len[i] = peer_sends(flow, &from, 2, i, inner[i]);
	flow_turn(flow);
	flow_turn(flow);
	flow_session_install(flow, &to, ABI_ROLE_RESPONDER, 0);
	flow_turn(flow);
	assert_int_equal(n_waiting(flow), N);
	/* In one burst: the packet that confirms, and three for it. */
	flow_rx_data(flow, &to, NULL, 0);
	for (uint32_t i = N; i < N + 3; i++)
		len[i] = peer_sends(flow, &from, 2, i, inner[i]);
	for (uint32_t i = 0; i < 4; i++)
		flow_turn(flow);
	for (uint32_t i = 0; i < N + 3; i++)
		flow_expect_data(flow, &to, i, inner[i], len[i]);
	flow_destroy(flow);
}

static void the_oldest_of_more_than_128_makes_room(void **state)
{
	struct flow *flow = flow_create(NULL);
	static uint8_t inner[130][FLOW_FRAME_MAX];
	struct flow_session to;
	uint32_t len[130];

	(void)state;
	for (uint32_t i = 0; i < 130; i++) {
		len[i] = hub_sends(flow, 0, 1, i, inner[i]);
		flow_turn(flow);
	}
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 130}, {ABI_COUNTER_TO_WAIT, 130},
	            {ABI_COUNTER_RX_WAIT, 2}, {ABI_COUNTER_DROP_WAIT_FULL, 2});
	to = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	for (uint32_t i = 0; i < 3; i++)
		flow_turn(flow);
	for (uint32_t i = 2; i < 130; i++)
		flow_expect_data(flow, &to, i - 2, inner[i], len[i]);
	flow_expect_silence(flow);
	flow_destroy(flow);
}

/* 4095 buffers: an eighth of them, whoever they are for, and the oldest of all goes first. */
static void all_peers_together_hold_an_eighth_of_the_buffers(void **state)
{
	struct flow *flow = flow_create(NULL);
	uint8_t inner[FLOW_FRAME_MAX];
	const uint32_t room = 4095 / 8;
	struct flow_session to;
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t n = 0;

	(void)state;
	for (uint32_t i = 0; i < room + 10; i++) {
		(void)hub_sends(flow, 0, 1 + i / 105, 0, inner);
		flow_turn(flow);
	}
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, room + 10}, {ABI_COUNTER_TO_WAIT, room + 10},
	            {ABI_COUNTER_RX_WAIT, 10}, {ABI_COUNTER_DROP_WAIT_FULL, 10});
	to = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	(void)to;
	for (uint32_t i = 0; i < 3; i++)
		flow_turn(flow);
	while (flow_tx(flow, 0, 0, frame) > 0)
		n++;
	assert_int_equal(n, 105 - 10); /* of peer 1, the first to have come */
	flow_destroy(flow);
}

static void without_a_session_for_90_s_it_is_dropped(void **state)
{
	struct flow *flow = flow_create(NULL);
	uint8_t inner[FLOW_FRAME_MAX];

	(void)state;
	(void)hub_sends(flow, 0, 1, 0, inner);
	flow_turn(flow);
	flow_pass(flow, 45 * FLOW_S);
	(void)hub_sends(flow, 0, 1, 1, inner);
	flow_turn(flow);
	flow_pass(flow, 45 * FLOW_S - 1);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 2}, {ABI_COUNTER_TO_WAIT, 2});
	flow_pass(flow, 1);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAIT, 1}, {ABI_COUNTER_DROP_WAIT_OVER, 1});
	flow_pass(flow, 45 * FLOW_S);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAIT, 1}, {ABI_COUNTER_DROP_WAIT_OVER, 1});
	flow_destroy(flow);
}

static void given_up_or_removed_it_is_dropped_at_once(void **state)
{
	struct flow *flow = flow_create(&two);
	struct abi_cmd_peer gone = {.peer = 1};
	uint8_t inner[FLOW_FRAME_MAX];

	(void)state;
	for (uint32_t i = 0; i < 40; i++) {
		(void)hub_sends(flow, 0, 1, i, inner);
		(void)hub_sends(flow, 1, 1, i, inner);
		(void)hub_sends(flow, 0, 2, i, inner);
	}
	flow_turn(flow);
	flow_turn(flow);
	assert_int_equal(n_waiting(flow), 120);
	flow_reset(flow);
	FLOW_CMD_ALL(flow, ABI_CMD_HANDSHAKE_OVER, gone);
	for (uint32_t i = 0; i < 3; i++)
		flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAIT, 80}, {ABI_COUNTER_DROP_WAIT_OVER, 80});
	/* Nobody is asked for another attempt within a second, so nothing waits for one. */
	(void)hub_sends(flow, 0, 1, 0, inner);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_DROP_NO_SESSION, 1});
	flow_pass(flow, FLOW_S);
	flow_reset(flow);
	(void)hub_sends(flow, 0, 1, 0, inner);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_TO_WAIT, 1});
	gone.peer = 2;
	FLOW_CMD_ALL(flow, ABI_CMD_PEER_DROP, gone);
	for (uint32_t i = 0; i < 3; i++)
		flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAIT, 40}, {ABI_COUNTER_DROP_WAIT_OVER, 40});
	gone.peer = FLOW_N_PEERS;
	FLOW_CMD(flow, 0, ABI_CMD_HANDSHAKE_OVER, gone);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_CMD_BAD, 1});
	flow_destroy(flow);
}

/* It waits at one worker, the session is another's. */
static void it_finds_the_owner_of_the_session(void **state)
{
	struct flow *flow = flow_create(&two);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	static uint8_t inner[10][FLOW_FRAME_MAX];
	uint8_t answer[FLOW_FRAME_MAX];
	struct flow_session to;
	uint32_t len[10];

	(void)state;
	for (uint32_t i = 0; i < 10; i++)
		len[i] = peer_sends(flow, &from, 2, i, inner[i]);
	flow_turn(flow);
	assert_int_equal(n_waiting(flow), 10);
	to = flow_session(flow, 1, 2, 2, BASE_IP_V4);
	flow_turn(flow);
	for (uint32_t i = 0; i < 10; i++)
		flow_expect_data(flow, &to, i, inner[i], len[i]);
	/* The flow is known there: the answer passes. */
	len[0] = flow_inner_between(answer, 2, 1, BASE_IP_V4, 8);
	base_store_be16(answer + 20, FLOW_SERVICE);
	base_store_be16(answer + 22, FLOW_CLIENT);
	flow_rx_data(flow, &to, answer, len[0]);
	flow_turn(flow);
	flow_hop(answer);
	flow_expect_data(flow, &from, 0, answer, len[0]);
	flow_destroy(flow);
}

/* ---- the world goes on meanwhile ----------------------------------------------------------------- */

static void policy_is_asked_anew(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	uint8_t inner[FLOW_FRAME_MAX];

	(void)state;
	(void)peer_sends(flow, &from, 2, 0, inner);
	(void)hub_sends(flow, 0, 2, 1, inner);
	flow_turn(flow);
	assert_int_equal(n_waiting(flow), 2);
	flow_policy(flow, NULL, 0);
	flow_policy_settle(flow);
	flow_reset(flow);
	(void)flow_session(flow, 0, 2, 2, BASE_IP_V4);
	flow_turn(flow);
	flow_expect_silence(flow);
	assert_int_equal(flow_counter(flow, ABI_COUNTER_RX_WAIT), 2);
	assert_int_equal(flow_counter(flow, ABI_COUNTER_TX_WAN), 0);
	assert_int_equal(n_waiting(flow), 0);
	flow_destroy(flow);
}

static void prefix_that_moved_is_followed(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session other = flow_session(flow, 0, 3, 3, BASE_IP_V4);
	struct abi_cmd_route route = {.prefix = {.ip = flow_inner_ip(2, BASE_IP_V4), .len = 32},
	                              .peer = 3};
	uint8_t inner[2][FLOW_FRAME_MAX];
	uint32_t len;

	(void)state;
	len = peer_sends(flow, &from, 2, 0, inner[0]);
	flow_turn(flow);
	FLOW_CMD(flow, 0, ABI_CMD_ROUTE_PUT, route);
	flow_turn(flow);
	assert_int_equal(n_waiting(flow), 1);
	(void)flow_session(flow, 0, 2, 2, BASE_IP_V4);
	flow_turn(flow);
	flow_expect_data(flow, &other, 0, inner[0], len);
	/* A sender that has lost its address meanwhile has sent nothing. */
	FLOW_CMD(flow, 0, ABI_CMD_PEER_DROP, (struct abi_cmd_peer){.peer = 2});
	route.peer = 4;
	FLOW_CMD(flow, 0, ABI_CMD_ROUTE_PUT, route);
	flow_turn(flow);
	(void)peer_sends(flow, &from, 2, 0, inner[0]);
	flow_turn(flow);
	assert_int_equal(n_waiting(flow), 1);
	route.prefix.ip = flow_inner_ip(1, BASE_IP_V4);
	route.peer = 3;
	FLOW_CMD(flow, 0, ABI_CMD_ROUTE_PUT, route);
	flow_turn(flow);
	flow_reset(flow);
	(void)flow_session(flow, 0, 4, 4, BASE_IP_V4);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAIT, 1}, {ABI_COUNTER_DROP_INNER_SOURCE, 1});
	flow_destroy(flow);
}

/* In the burst in which a session runs out, before the timers have seen it. */
static void session_at_its_end_lets_packets_wait_for_the_next(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session to = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	uint8_t inner[2][FLOW_FRAME_MAX];
	uint32_t len[2];

	(void)state;
	flow->now_ns += 180 * FLOW_S;
	len[0] = hub_sends(flow, 0, 1, 0, inner[0]);
	len[1] = hub_sends(flow, 0, 1, 1, inner[1]);
	flow_turn(flow);
	assert_int_equal(n_waiting(flow), 2);
	to = flow_session(flow, 0, 2, 1, BASE_IP_V4);
	flow_turn(flow);
	flow_expect_data(flow, &to, 0, inner[0], len[0]);
	flow_expect_data(flow, &to, 1, inner[1], len[1]);
	flow_destroy(flow);
}

/* ---- the lists against a dumb version ------------------------------------------------------------- */

static uint64_t seed;

static uint32_t random_below(uint32_t n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
	return (uint32_t)(seed >> 33) % n;
}

/* All packets that wait, oldest first; the mbuf's address is the packet's number. */
struct dumb {
	uint32_t n;
	struct {
		uint32_t peer;
		uintptr_t number;
	} at[STATE_WAIT_MAX];
};

static uintptr_t dumb_take(struct dumb *dumb, uint32_t i)
{
	uintptr_t number = dumb->at[i].number;

	dumb->n--;
	memmove(&dumb->at[i], &dumb->at[i + 1], (dumb->n - i) * sizeof(dumb->at[0]));
	return number;
}

static uint32_t dumb_first(const struct dumb *dumb, uint32_t peer)
{
	uint32_t i = 0;

	while (i < dumb->n && dumb->at[i].peer != peer)
		i++;
	return i;
}

static void lists_are_those_of_a_dumb_version(void **state)
{
	static struct state_wait wait;
	static struct dumb dumb;
	uintptr_t number = 0;

	(void)state;
	seed = base_time_wall_ns();
	print_message("# seed %lu\n", seed);
	state_wait_init(&wait, 200);
	for (uint32_t i = 0; i < 200000; i++) {
		uint32_t peer = random_below(20) * (random_below(2) ? 1 : STATE_WAIT_PARTS);
		struct state_wait_queue *queue = state_wait_find(&wait, peer);

		assert_int_equal(queue == NULL, dumb_first(&dumb, peer) == dumb.n);
		if (random_below(1000) < 510 && wait.n < wait.room
		    && (!queue || queue->n < STATE_WAIT_PEER_MAX)) {
			state_wait_push(&wait, peer, (struct rte_mbuf *)++number, i);
			dumb.at[dumb.n].peer = peer;
			dumb.at[dumb.n++].number = number;
		} else if (queue && random_below(2)) {
			assert_int_equal((uintptr_t)state_wait_pop(&wait, queue),
			                 dumb_take(&dumb, dumb_first(&dumb, peer)));
		} else if (wait.n > 0) {
			assert_int_equal((uintptr_t)state_wait_pop(&wait, state_wait_oldest(&wait)),
			                 dumb_take(&dumb, 0));
		}
		assert_int_equal(wait.n, dumb.n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_hub_sends_waits_and_goes_in_order),
		cmocka_unit_test(what_a_peer_sends_waits_and_goes_in_order),
		cmocka_unit_test(what_comes_later_does_not_overtake),
		cmocka_unit_test(the_oldest_of_more_than_128_makes_room),
		cmocka_unit_test(all_peers_together_hold_an_eighth_of_the_buffers),
		cmocka_unit_test(without_a_session_for_90_s_it_is_dropped),
		cmocka_unit_test(given_up_or_removed_it_is_dropped_at_once),
		cmocka_unit_test(it_finds_the_owner_of_the_session),
		cmocka_unit_test(policy_is_asked_anew),
		cmocka_unit_test(prefix_that_moved_is_followed),
		cmocka_unit_test(session_at_its_end_lets_packets_wait_for_the_next),
		cmocka_unit_test(lists_are_those_of_a_dumb_version),
	};

	return cmocka_run_group_tests_name("wait", tests, flow_start, NULL);
}
