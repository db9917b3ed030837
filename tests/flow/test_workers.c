/* Two to four workers: packets that came to the wrong one, in order and to the packet; sessions that change
 * their owner; commands and syncs. */
#include "base_bytes.h"
#include "flow.h"

#include <string.h>

static const struct flow_options two = {.n_workers = 2};

/* An inner packet of peer from to peer to, number i, put into the receive queue of worker. */
static uint32_t rx_at(struct flow *flow, uint32_t worker, struct flow_session *from, uint32_t to,
                      uint32_t i, uint8_t *inner)
{
	uint8_t message[FLOW_FRAME_MAX];
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t len = flow_inner_between(inner, from->peer, to, BASE_IP_V4, 20 + i * 3);
	uint32_t n = flow_seal(from, message, inner, len);

	flow_rx(flow, worker, 0, frame, flow_frame_to_hub(frame, &from->endpoint, message, n));
	return len;
}

#define N 200U

/* Owners of the two sessions, and where the frames arrive; 4 workers. */
static void forward(uint32_t from_owner, uint32_t to_owner, uint32_t arrival, uint32_t n_handoffs)
{
	struct flow *flow = flow_create(&(struct flow_options){.n_workers = 4});
	struct flow_session from = flow_session(flow, from_owner, 1, 1, BASE_IP_V4);
	struct flow_session to = flow_session(flow, to_owner, 2, 2, BASE_IP_V6);
	static uint8_t inner[N][FLOW_FRAME_MAX];
	uint32_t len[N];

	flow_reset(flow);
	for (uint32_t i = 0; i < N; i++)
		len[i] = rx_at(flow, arrival, &from, 2, i, inner[i]);
	flow_turn(flow);
	for (uint32_t i = 0; i < N; i++) {
		flow_hop(inner[i]);
		flow_expect_data(flow, &to, i, inner[i], len[i]);
	}
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, N}, {ABI_COUNTER_OPENED, N},
	            {ABI_COUNTER_TO_HANDOFF, N * n_handoffs},
	            {ABI_COUNTER_RX_HANDOFF, N * n_handoffs}, {ABI_COUNTER_FORWARDED, N},
	            {ABI_COUNTER_SEALED, N}, {ABI_COUNTER_TX_WAN, N});
	flow_expect_silence(flow);
	flow_expect_no_event(flow);
	flow_destroy(flow);
}

static void packets_find_the_owners_of_both_sessions_in_order(void **state)
{
	(void)state;
	forward(0, 0, 0, 0);
	forward(0, 0, 1, 1); /* arrived at the wrong one */
	forward(0, 1, 0, 1); /* sealed by the other */
	forward(0, 1, 1, 2); /* both */
	forward(1, 0, 1, 1);
	forward(1, 1, 0, 1);
	forward(3, 2, 0, 2);
	forward(2, 3, 3, 2);
	forward(0, 3, 0, 1);
}

static void packets_of_the_kernel_find_the_owner(void **state)
{
	struct flow *flow = flow_create(&two);
	struct flow_session to = flow_session(flow, 1, 1, 1, BASE_IP_V4);
	struct base_ip source = flow_ip("10.0.0.1");
	struct base_ip destination = flow_inner_ip(1, BASE_IP_V4);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = flow_inner(inner, &source, &destination, 64, 64);

	(void)state;
	flow_reset(flow);
	flow_from_kernel(flow, 0, PORT_LINK_TUN, inner, len);
	flow_turn(flow);
	flow_expect_data(flow, &to, 0, inner, len);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_TO_HANDOFF, 1},
	            {ABI_COUNTER_RX_HANDOFF, 1}, {ABI_COUNTER_SEALED, 1}, {ABI_COUNTER_TX_WAN, 1});
	flow_destroy(flow);
}

static void a_full_mesh_ring_drops(void **state)
{
	struct flow *flow = flow_create(&(struct flow_options){.n_workers = 2, .mesh_ring_len = 8});
	struct flow_session from = flow_session(flow, 1, 1, 1, BASE_IP_V4);
	uint8_t inner[FLOW_FRAME_MAX];

	(void)state;
	flow_session(flow, 1, 2, 2, BASE_IP_V4);
	flow_reset(flow);
	for (uint32_t i = 0; i < 10; i++)
		rx_at(flow, 0, &from, 2, i, inner);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 10}, {ABI_COUNTER_TO_HANDOFF, 7},
	            {ABI_COUNTER_DROP_HANDOFF_FULL, 3}, {ABI_COUNTER_RX_HANDOFF, 7},
	            {ABI_COUNTER_OPENED, 7}, {ABI_COUNTER_FORWARDED, 7}, {ABI_COUNTER_SEALED, 7},
	            {ABI_COUNTER_TX_WAN, 7});
	flow_destroy(flow);
}

static void a_roaming_peer_is_followed_through_the_wrong_worker(void **state)
{
	struct flow *flow = flow_create(&two);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct abi_event_endpoint event;
	uint8_t inner[FLOW_FRAME_MAX];

	(void)state;
	from.endpoint = flow_endpoint("[2001:db8:7::7]:7");
	rx_at(flow, 1, &from, 2, 0, inner);
	flow_turn(flow);
	flow_expect_event(flow, 0, ABI_EVENT_ENDPOINT_MOVED, &event, sizeof(event));
	assert_true(base_endpoint_equal(&event.remote, &from.endpoint));
	flow_destroy(flow);
}

/* n packets of peer from, which arrive at worker, to peer to; all of them get through, in order. */
static void pass_through(struct flow *flow, uint32_t worker, struct flow_session *from,
                         const struct flow_session *to, uint64_t counter, uint32_t n)
{
	static uint8_t inner[64][FLOW_FRAME_MAX];
	uint32_t len[64];

	for (uint32_t i = 0; i < n; i++)
		len[i] = rx_at(flow, worker, from, to->peer, i, inner[i]);
	flow_turn(flow);
	for (uint32_t i = 0; i < n; i++) {
		flow_hop(inner[i]);
		flow_expect_data(flow, to, counter + i, inner[i], len[i]);
	}
}

static uint32_t arrives_at(const struct flow *flow, const struct flow_session *session)
{
	return abi_region_session(&flow->region, session->worker, abi_index_slot(session->index))
	        ->arrives_at;
}

/* The region says where most of the last packets came from: to control, which gives the next session
 * to that worker. */
static void the_region_tells_at_which_worker_a_session_arrives(void **state)
{
	struct flow *flow = flow_create(&(struct flow_options){.n_workers = 4});
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session to = flow_session(flow, 1, 2, 2, BASE_IP_V4);
	uint8_t frame[FLOW_FRAME_MAX] = {0};

	(void)state;
	assert_int_equal(arrives_at(flow, &from), 0); /* not known */
	pass_through(flow, 0, &from, &to, 0, 3);
	flow_pass(flow, 250 * FLOW_MS);
	assert_int_equal(arrives_at(flow, &from), 1);
	/* 5 of 9 through worker 2 */
	pass_through(flow, 0, &from, &to, 3, 4);
	pass_through(flow, 2, &from, &to, 7, 5);
	flow_pass(flow, 250 * FLOW_MS);
	assert_int_equal(arrives_at(flow, &from), 3);
	/* 4 of 9: no longer */
	pass_through(flow, 2, &from, &to, 12, 4);
	pass_through(flow, 0, &from, &to, 16, 5);
	flow_pass(flow, 250 * FLOW_MS);
	assert_int_equal(arrives_at(flow, &from), 1);
	/* Silence changes nothing, and what is forged does not count. */
	flow_pass(flow, 250 * FLOW_MS);
	for (uint32_t i = 0; i < 10; i++) {
		uint32_t n = flow_seal_at(&from, from.counter + i, frame + 100, frame, 0);

		frame[100 + n - 1] ^= 1;
		flow_rx(flow, 3, 0, frame + 1000,
		        flow_frame_to_hub(frame + 1000, &from.endpoint, frame + 100, n));
	}
	flow_pass(flow, 250 * FLOW_MS);
	assert_int_equal(arrives_at(flow, &from), 1);
	/* A session that only sends has no say. */
	assert_int_equal(arrives_at(flow, &to), 0);
	flow_destroy(flow);
}

/* What control makes of it, at the next rekey. */
static struct flow_session rekey(struct flow *flow, const struct flow_session *old, uint32_t slot)
{
	struct abi_cmd_session retire = {.index = old->index, .peer = old->peer};
	struct flow_session fresh;

	fresh = flow_session_make(arrives_at(flow, old) - 1, slot, old->peer, BASE_IP_V4);
	flow_pass(flow, FLOW_S);
	flow_session_install(flow, &fresh, ABI_ROLE_INITIATOR, 0);
	flow_turn(flow);
	FLOW_CMD(flow, old->worker, ABI_CMD_SESSION_RETIRE, retire);
	flow_turn(flow);
	return fresh;
}

static void handoff_stops_when_the_owner_has_moved(void **state)
{
	struct flow *flow = flow_create(&(struct flow_options){.n_workers = 3});
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session to = flow_session(flow, 0, 2, 2, BASE_IP_V4);

	(void)state;
	/* Both peers' packets arrive at worker 2, both sessions are worker 0's. */
	pass_through(flow, 2, &from, &to, 0, 60);
	pass_through(flow, 2, &to, &from, 0, 60);
	flow_pass(flow, 250 * FLOW_MS);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 120}, {ABI_COUNTER_OPENED, 120},
	            {ABI_COUNTER_TO_HANDOFF, 120}, {ABI_COUNTER_RX_HANDOFF, 120},
	            {ABI_COUNTER_FORWARDED, 120}, {ABI_COUNTER_SEALED, 120},
	            {ABI_COUNTER_TX_WAN, 120});
	from = rekey(flow, &from, 5);
	to = rekey(flow, &to, 6);
	assert_int_equal(from.worker, 2);
	assert_int_equal(to.worker, 2);
	flow_reset(flow);
	pass_through(flow, 2, &from, &to, 0, 60);
	pass_through(flow, 2, &to, &from, 0, 60);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 120}, {ABI_COUNTER_OPENED, 120},
	            {ABI_COUNTER_FORWARDED, 120}, {ABI_COUNTER_SEALED, 120},
	            {ABI_COUNTER_TX_WAN, 120});
	flow_destroy(flow);
}

static void ownership_moves_with_the_next_session(void **state)
{
	struct flow *flow = flow_create(&two);
	struct flow_session from = flow_session(flow, 0, 3, 2, BASE_IP_V4);
	struct flow_session old = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session fresh = flow_session_make(1, 1, 1, BASE_IP_V4);
	struct abi_cmd_session retire = {.index = old.index, .peer = 1};
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len;

	(void)state;
	flow_pass(flow, FLOW_S);
	flow_session_install(flow, &fresh, ABI_ROLE_RESPONDER, 0);
	flow_turn(flow);
	len = rx_at(flow, 0, &from, 1, 0, inner);
	flow_turn(flow);
	flow_hop(inner);
	flow_expect_data(flow, &old, 0, inner, len);
	flow_rx_data(flow, &fresh, NULL, 0);
	flow_turn(flow);
	/* Retiring the old one on its worker does not take away what the other made current. */
	FLOW_CMD(flow, 0, ABI_CMD_SESSION_RETIRE, retire);
	flow_turn(flow);
	len = rx_at(flow, 0, &from, 1, 1, inner);
	flow_turn(flow);
	flow_hop(inner);
	flow_expect_data(flow, &fresh, 0, inner, len);
	flow_destroy(flow);
}

static void an_index_of_a_worker_that_is_not_there_is_refused(void **state)
{
	struct flow *flow = flow_create(&two);
	struct flow_session stray = flow_session_make(2, 1, 1, BASE_IP_V4);

	(void)state;
	stray.worker = 0;
	flow_session_install(flow, &stray, ABI_ROLE_INITIATOR, 0);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_CMD_BAD, 1});
	flow_destroy(flow);
}

/* ---- commands ---- */

static void barriers_are_answered_after_what_came_before(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct abi_cmd_barrier barrier = {.token = 0x1122334455667788};
	struct abi_event_barrier event;

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		FLOW_CMD(flow, 0, ABI_CMD_PEER_PUT, (struct abi_cmd_peer){.peer = i % 8 + 1});
	FLOW_CMD(flow, 0, ABI_CMD_BARRIER, barrier);
	worker_turn(flow->workers[0], flow->now_ns);
	flow_expect_no_event(flow); /* a turn takes no more than 32 */
	for (uint32_t i = 0; i < 4; i++)
		flow_turn(flow);
	flow_expect_event(flow, 0, ABI_EVENT_BARRIER, &event, sizeof(event));
	assert_int_equal(event.token, barrier.token);
	flow_destroy(flow);
}

static void bad_commands_are_counted_and_change_nothing(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session good = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct abi_cmd_session_install install = {.index = abi_index_make(0, 5, 0),
	                                          .peer = 1,
	                                          .role = ABI_ROLE_INITIATOR,
	                                          .birth_ns = flow->now_ns,
	                                          .remote = good.endpoint};
	struct abi_cmd_route route = {.peer = 1};
	struct abi_cmd_address address = {.ip = flow_ip("192.0.2.9"), .present = 1};
	struct abi_cmd_wan_route wan_route = {.port = 1};
	struct abi_cmd_neighbour neighbour = {.ip = flow_ip("192.0.2.9"), .port = 1};
	struct abi_cmd_inject inject = {
		.remote = good.endpoint, .port = UINT32_MAX, .len = 148, .message = {1}};
	struct abi_cmd_prefer prefer = {.peer = 1};
	struct abi_cmd_hub hub = {.listen_port = 1, .tunnel_mtu = 1420};
	struct abi_cmd_endpoint endpoint = {.index = good.index, .remote = good.endpoint};
	struct abi_cmd_peer peer = {.peer = FLOW_N_PEERS};

	(void)state;
	flow_reset(flow);
#define BAD(type, cmd, field, value)                                                               \
	do {                                                                                       \
		__typeof__(cmd) bad = cmd;                                                         \
		bad.field = value;                                                                 \
		FLOW_CMD(flow, 0, type, bad);                                                      \
		flow_turn(flow);                                                                   \
		FLOW_EXPECT(flow, {ABI_COUNTER_CMD_BAD, 1});                                       \
	} while (0)
	BAD(ABI_CMD_SESSION_INSTALL, install, index, abi_index_make(1, 5, 0));
	BAD(ABI_CMD_SESSION_INSTALL, install, index, 0);
	BAD(ABI_CMD_SESSION_INSTALL, install, index, abi_index_make(0, 0xfffff, 0));
	BAD(ABI_CMD_SESSION_INSTALL, install, peer, FLOW_N_PEERS);
	BAD(ABI_CMD_SESSION_INSTALL, install, peer, 9); /* in range, but not put */
	BAD(ABI_CMD_SESSION_INSTALL, install, role, 2);
	BAD(ABI_CMD_SESSION_INSTALL, install, port, 1);
	BAD(ABI_CMD_SESSION_INSTALL, install, remote.ip.family, 7);
	BAD(ABI_CMD_SESSION_INSTALL, install, remote.port, 0);
	BAD(ABI_CMD_SESSION_INSTALL, install, local, flow_ip("2001:db8::1"));
	BAD(ABI_CMD_PEER_PUT, peer, keepalive_s, 1);
	BAD(ABI_CMD_PEER_DROP, peer, keepalive_s, 0);
	peer.peer = 1;
	BAD(ABI_CMD_PEER_PUT, peer, flags, 1);
	BAD(ABI_CMD_ROUTE_PUT, route, prefix.len, 0); /* no family */
	route.prefix.ip = flow_ip("10.9.0.0");
	BAD(ABI_CMD_ROUTE_PUT, route, prefix.len, 33);
	BAD(ABI_CMD_ROUTE_PUT, route, peer, 9);
	BAD(ABI_CMD_ROUTE_PUT, route, peer, FLOW_N_PEERS);
	BAD(ABI_CMD_ROUTE_PUT, route, prefix.ip.bytes[4], 1);
	BAD(ABI_CMD_ROUTE_DROP, route, peer, FLOW_N_PEERS);
	BAD(ABI_CMD_ADDRESS, address, port, 1);
	BAD(ABI_CMD_ADDRESS, address, port, ABI_PORTS_MAX + 1);
	BAD(ABI_CMD_ADDRESS, address, present, 2);
	BAD(ABI_CMD_ADDRESS, address, ip.family, 0);
	wan_route.prefix.ip = flow_ip("0.0.0.0");
	BAD(ABI_CMD_WAN_ROUTE_PUT, wan_route, port, 1);
	BAD(ABI_CMD_WAN_ROUTE_DROP, wan_route, port, ABI_PORTS_MAX);
	wan_route.port = 0;
	BAD(ABI_CMD_WAN_ROUTE_PUT, wan_route, source, flow_ip("2001:db8::1"));
	BAD(ABI_CMD_WAN_ROUTE_PUT, wan_route, gateway.family, 9);
	BAD(ABI_CMD_NEIGHBOUR_PUT, neighbour, port, 1);
	BAD(ABI_CMD_NEIGHBOUR_DROP, neighbour, port, 1);
	BAD(ABI_CMD_NEIGHBOUR_PUT, neighbour, ip.family, 0);
	BAD(ABI_CMD_INJECT, inject, len, 147);
	BAD(ABI_CMD_INJECT, inject, len, 149);
	BAD(ABI_CMD_INJECT, inject, len, UINT16_MAX);
	BAD(ABI_CMD_INJECT, inject, message[0], 4);
	BAD(ABI_CMD_INJECT, inject, message[1], 1);
	BAD(ABI_CMD_INJECT, inject, remote.port, 0);
	BAD(ABI_CMD_INJECT, inject, port, 1);
	BAD(ABI_CMD_HUB, hub, listen_port, 0);
	BAD(ABI_CMD_HUB, hub, tunnel_mtu, 575);
	BAD(ABI_CMD_HUB, hub, tunnel_mtu, 65535);
	BAD(ABI_CMD_HUB, hub, n_keys, ABI_HUB_KEYS + 1);
	BAD(ABI_CMD_PREFER, prefer, when_heard, 2);
	BAD(ABI_CMD_PREFER, prefer, now, 2);
	BAD(ABI_CMD_ENDPOINT_SET, endpoint, port, 1);
	BAD(ABI_CMD_ENDPOINT_SET, endpoint, remote.ip.family, 3);
	BAD(ABI_N_CMD_TYPES, peer, peer, 1);
	BAD(ABI_CMD_BARRIER, hub, listen_port, 1); /* too long */
#undef BAD
	/* Not refused: a worker that was killed while it gave a record back left it (abi_ring.h). */
	FLOW_CMD_ALL(flow, ABI_CMD_NONE, peer);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_CMD_BAD, 0});
	flow_rx_data(flow, &good, NULL, 0);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
	            {ABI_COUNTER_KEEPALIVE_IN, 1});
	flow_destroy(flow);
}

static void a_dropped_peer_takes_its_sessions_and_routes_along(void **state)
{
	struct flow *flow = flow_create(&two);
	struct flow_session mine = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session other = flow_session(flow, 1, 1, 1, BASE_IP_V4);
	uint8_t inner[FLOW_FRAME_MAX];
	struct base_ip source = flow_ip("10.0.0.1");
	struct base_ip destination = flow_inner_ip(1, BASE_IP_V4);
	uint32_t len = flow_inner(inner, &source, &destination, 64, 64);

	const struct abi_peer_counters *counters = abi_region_peer_counters(&flow->region, 0, 1);
	const struct abi_peer_counters none = {0};

	(void)state;
	flow_rx_data(flow, &mine, NULL, 0);
	flow_pass(flow, 250 * FLOW_MS);
	assert_int_equal(counters->rx_packets, 1);
	flow_rx_data(flow, &mine, NULL, 0); /* not yet published when the peer goes */
	flow_turn(flow);
	FLOW_CMD_ALL(flow, ABI_CMD_PEER_DROP, (struct abi_cmd_peer){.peer = 1});
	FLOW_CMD_ALL(flow, ABI_CMD_PEER_DROP, (struct abi_cmd_peer){.peer = 1});
	flow_turn(flow);
	/* The next holder of the number begins at nothing. */
	assert_memory_equal(counters, &none, sizeof(none));
	flow_reset(flow);
	flow_rx_data(flow, &mine, NULL, 0);
	flow_rx_data(flow, &other, NULL, 0);
	flow_from_kernel(flow, 0, PORT_LINK_TUN, inner, len);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 2}, {ABI_COUNTER_DROP_UNKNOWN_INDEX, 2},
	            {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_DROP_NO_ROUTE, 1});
	flow_destroy(flow);
}

static void an_allowed_ip_moves_to_its_new_holder(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session one = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session two_ = flow_session(flow, 0, 2, 2, BASE_IP_V4);
	struct abi_cmd_route route = {.prefix = {.ip = flow_inner_ip(1, BASE_IP_V4), .len = 32},
	                              .peer = 2};
	uint8_t inner[FLOW_FRAME_MAX];

	(void)state;
	FLOW_CMD(flow, 0, ABI_CMD_ROUTE_PUT, route);
	flow_turn(flow);
	flow_reset(flow);
	rx_at(flow, 0, &one, 3, 0, inner);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
	            {ABI_COUNTER_DROP_INNER_SOURCE, 1});
	/* Dropped in the name of who does not hold it any more: nothing happens. */
	route.peer = 1;
	FLOW_CMD(flow, 0, ABI_CMD_ROUTE_DROP, route);
	flow_turn(flow);
	two_.peer = 1; /* the address, that is */
	rx_at(flow, 0, &two_, 3, 0, inner);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
	            {ABI_COUNTER_FORWARDED, 1}, {ABI_COUNTER_TO_WAIT, 1});
	flow_destroy(flow);
}

/* ---- sync ---- */

static void turns(struct flow *flow, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		flow_turn(flow);
}

static void sync_command(struct flow *flow, uint16_t type)
{
	flow_cmd_all(flow, type, NULL, 0);
}

static void a_sync_keeps_what_it_repeats_and_sweeps_the_rest(void **state)
{
	struct flow *flow = flow_create(&two);
	struct flow_session keep = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session keep_to = flow_session(flow, 1, 2, 2, BASE_IP_V4);
	struct flow_session gone = flow_session(flow, 0, 3, 12, BASE_IP_V4);
	struct abi_cmd_route route = {.prefix = {.ip = flow_ip("10.77.0.0"), .len = 16},
	                              .peer = 12};
	struct abi_cmd_address address = {.ip = flow_ip("192.0.2.99"), .present = 1};
	struct abi_cmd_neighbour neighbour = {.ip = flow_ip("192.0.2.98"),
	                                      .mac = {2, 9, 9, 9, 9, 9}};
	struct abi_cmd_wan_route on_link = {.port = 0};
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len;

	(void)state;
	/* Peer 12 was refused above; put it, and more that the world does not have. */
	assert_int_equal(base_prefix_parse("198.51.100.0/24", &on_link.prefix), 0);
	on_link.gateway = neighbour.ip;
	FLOW_CMD_ALL(flow, ABI_CMD_PEER_PUT, (struct abi_cmd_peer){.peer = 12});
	FLOW_CMD(flow, 0, ABI_CMD_ROUTE_PUT, route);
	FLOW_CMD_ALL(flow, ABI_CMD_ADDRESS, address);
	FLOW_CMD_ALL(flow, ABI_CMD_NEIGHBOUR_PUT, neighbour);
	FLOW_CMD_ALL(flow, ABI_CMD_WAN_ROUTE_PUT, on_link);
	flow_session_install(flow, &gone, ABI_ROLE_INITIATOR, 0);
	turns(flow, 2);
	assert_int_equal(abi_region_session(&flow->region, 0, 3)->index, gone.index);

	sync_command(flow, ABI_CMD_SYNC_BEGIN);
	turns(flow, 1);
	/* Meanwhile everything lives. */
	flow_reset(flow);
	rx_at(flow, 0, &keep, 2, 0, inner);
	flow_turn(flow);
	assert_int_equal(flow_counter(flow, ABI_COUNTER_TX_WAN) - flow->before[ABI_COUNTER_TX_WAN],
	                 1);
	assert_true(flow_tx(flow, 1, 0, inner) > 0);
	assert_memory_equal(inner, neighbour.mac, 6); /* by the route that will go */
	flow_cmd_world(flow);
	sync_command(flow, ABI_CMD_SYNC_END);
	turns(flow, 3);

	len = rx_at(flow, 0, &keep, 2, 1, inner);
	flow_turn(flow);
	flow_hop(inner);
	flow_expect_data(flow, &keep_to, 1, inner, len); /* by the old gateway again */
	assert_int_equal(abi_region_session(&flow->region, 0, 3)->index, 0);
	flow_reset(flow);
	flow_rx_data(flow, &gone, NULL, 0);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_DROP_UNKNOWN_INDEX, 1});
	len = flow_inner_between(inner, 1, 2, BASE_IP_V4, 0);
	memcpy(inner + 16, route.prefix.ip.bytes, 4);
	flow_from_kernel(flow, 0, PORT_LINK_TUN, inner, len);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_TUN, 1}, {ABI_COUNTER_DROP_NO_ROUTE, 1});
	flow_destroy(flow);
}

static void a_sync_that_was_cut_short_sweeps_nothing(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session to = flow_session(flow, 0, 2, 2, BASE_IP_V4);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len;

	(void)state;
	sync_command(flow, ABI_CMD_SYNC_END); /* without a beginning */
	sync_command(flow, ABI_CMD_SYNC_BEGIN);
	turns(flow, 1);
	sync_command(flow, ABI_CMD_SYNC_BEGIN); /* control came back */
	turns(flow, 1);
	for (uint32_t i = 0; i < 2; i++) {
		len = rx_at(flow, 0, &from, 2, 0, inner);
		flow_turn(flow);
		flow_hop(inner);
		flow_expect_data(flow, &to, i, inner, len);
		flow_cmd_world(flow);
		sync_command(flow, ABI_CMD_SYNC_END);
		turns(flow, 3);
	}
	flow_destroy(flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_find_the_owners_of_both_sessions_in_order),
		cmocka_unit_test(packets_of_the_kernel_find_the_owner),
		cmocka_unit_test(a_full_mesh_ring_drops),
		cmocka_unit_test(a_roaming_peer_is_followed_through_the_wrong_worker),
		cmocka_unit_test(the_region_tells_at_which_worker_a_session_arrives),
		cmocka_unit_test(handoff_stops_when_the_owner_has_moved),
		cmocka_unit_test(ownership_moves_with_the_next_session),
		cmocka_unit_test(an_index_of_a_worker_that_is_not_there_is_refused),
		cmocka_unit_test(barriers_are_answered_after_what_came_before),
		cmocka_unit_test(bad_commands_are_counted_and_change_nothing),
		cmocka_unit_test(a_dropped_peer_takes_its_sessions_and_routes_along),
		cmocka_unit_test(an_allowed_ip_moves_to_its_new_holder),
		cmocka_unit_test(a_sync_keeps_what_it_repeats_and_sweeps_the_rest),
		cmocka_unit_test(a_sync_that_was_cut_short_sweeps_nothing),
	};

	return cmocka_run_group_tests_name("workers", tests, flow_start, NULL);
}
