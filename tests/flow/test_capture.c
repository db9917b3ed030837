/* A capture sees what passes or what is dropped of the chosen peers, byte by byte, and holds nothing up. */
#include "abi_capture.h"
#include "flow.h"
#include "state_blob.h"

#include <stdlib.h>
#include <string.h>

#define N_SLOTS 16U

struct lab {
	struct flow *flow;
	struct state_blob blob;
	struct abi_capture_end end; /* control's */
	struct flow_session from;
	struct flow_session to;
};

/* Peer 1 and peer 2 have sessions; a capture of this is under way. */
static struct lab *lab_begin(uint32_t what, uint32_t peer)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	struct abi_capture head = {
		.n_workers = 1,
		.n_slots = N_SLOTS,
		.snaplen = 64,
		.what = what,
		.n_peers = peer != 0,
		.peers = {peer},
	};

	assert_non_null(lab);
	lab->flow = flow_create(NULL);
	lab->from = flow_session(lab->flow, 0, 1, 1, BASE_IP_V4);
	lab->to = flow_session(lab->flow, 0, 2, 2, BASE_IP_V4);
	lab->blob.len = abi_capture_len(&head);
	lab->blob.generation = 7;
	lab->blob.data = aligned_alloc(4096, lab->blob.len);
	assert_non_null(lab->blob.data);
	memset(lab->blob.data, 0, lab->blob.len);
	abi_capture_init(lab->blob.data, &head);
	assert_true(abi_capture_open(lab->blob.data, lab->blob.len, 0, &head, &lab->end));
	worker_shared_blobs(lab->flow->shared)->current[ABI_BLOB_CAPTURE] = &lab->blob;
	flow_turn(lab->flow);
	flow_reset(lab->flow);
	return lab;
}

static void lab_end(struct lab *lab)
{
	worker_shared_blobs(lab->flow->shared)->current[ABI_BLOB_CAPTURE] = NULL;
	flow_turn(lab->flow);
	flow_destroy(lab->flow);
	free(lab->blob.data);
	free(lab);
}

/* The next one that was captured is this. */
static void expect(struct lab *lab, enum abi_capture_way way, uint32_t peer, const uint8_t *bytes,
                   uint32_t len)
{
	struct abi_capture_packet packet;
	uint8_t out[ABI_CAPTURE_SNAP_MAX];

	assert_true(abi_capture_peek(&lab->end, &packet, out));
	assert_int_equal(packet.way, way);
	assert_int_equal(packet.peer, peer);
	assert_int_equal(packet.len, len);
	assert_int_equal(packet.kept, len < 64 ? len : 64);
	assert_int_equal(packet.time_ns, lab->flow->now_ns);
	assert_memory_equal(out, bytes, packet.kept);
	abi_capture_free(&lab->end);
}

static void expect_nothing(struct lab *lab)
{
	uint64_t time_ns;

	assert_false(abi_capture_peek_time(&lab->end, &time_ns));
}

static void packet_is_seen_from_one_peer_and_to_the_other(void **state)
{
	static const uint32_t peers[] = {0, 1, 2, 3};

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		struct lab *lab = lab_begin(ABI_CAPTURE_PACKETS, peers[i]);
		uint8_t inner[FLOW_FRAME_MAX];
		uint32_t len = flow_inner_between(inner, 1, 2, BASE_IP_V4, 100);

		flow_rx_data(lab->flow, &lab->from, inner, len);
		flow_turn(lab->flow);
		if (peers[i] < 2)
			expect(lab, ABI_CAPTURE_FROM_PEER, 1, inner, len);
		flow_hop(inner);
		if (peers[i] == 0 || peers[i] == 2)
			expect(lab, ABI_CAPTURE_TO_PEER, 2, inner, len);
		expect_nothing(lab);
		flow_expect_data(lab->flow, &lab->to, 0, inner, len);
		FLOW_EXPECT(lab->flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
		            {ABI_COUNTER_FORWARDED, 1}, {ABI_COUNTER_SEALED, 1},
		            {ABI_COUNTER_TX_WAN, 1});
		lab_end(lab);
	}
}

/* What the hub's kernel sends goes another way to the same end. */
static void packet_of_the_hub_is_seen_and_keepalives_are_not(void **state)
{
	struct lab *lab = lab_begin(ABI_CAPTURE_PACKETS, 0);
	struct base_ip hub = flow_ip("10.0.0.1");
	struct base_ip to = flow_inner_ip(2, BASE_IP_V4);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = flow_inner(inner, &hub, &to, 64, 10);

	(void)state;
	/* from a port that the hub opens flows from */
	base_store_be16(inner + 20, 50000);
	flow_from_kernel(lab->flow, 0, PORT_LINK_TUN, inner, len);
	flow_turn(lab->flow);
	expect(lab, ABI_CAPTURE_TO_PEER, 2, inner, len);
	FLOW_CMD(lab->flow, 0, ABI_CMD_KEEPALIVE,
	         (struct abi_cmd_session){.index = lab->to.index, .peer = 2});
	flow_turn(lab->flow);
	assert_int_equal(flow_counter(lab->flow, ABI_COUNTER_KEEPALIVE_OUT), 1);
	expect_nothing(lab);
	lab_end(lab);
}

static void drops_are_seen_with_their_reason_and_nothing_else(void **state)
{
	struct lab *lab = lab_begin(ABI_CAPTURE_DROPS, 1);
	struct base_ip other = flow_ip("10.0.0.77");
	struct base_ip to = flow_inner_ip(2, BASE_IP_V4);
	struct abi_capture_packet packet;
	uint8_t out[ABI_CAPTURE_SNAP_MAX];
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = flow_inner_between(inner, 1, 2, BASE_IP_V4, 10);

	(void)state;
	flow_rx_data(lab->flow, &lab->from, inner, len);
	flow_turn(lab->flow);
	expect_nothing(lab);
	len = flow_inner(inner, &other, &to, 64, 10);
	/* more than are sampled: each is captured */
	for (uint32_t i = 0; i < N_SLOTS; i++)
		flow_rx_data(lab->flow, &lab->from, inner, len);
	flow_turn(lab->flow);
	for (uint32_t i = 0; i < N_SLOTS; i++) {
		assert_true(abi_capture_peek(&lab->end, &packet, out));
		assert_int_equal(packet.reason, ABI_COUNTER_DROP_INNER_SOURCE);
		expect(lab, ABI_CAPTURE_DROPPED, 1, inner, len);
	}
	expect_nothing(lab);
	lab_end(lab);
}

static void full_ring_holds_no_packet_up(void **state)
{
	struct lab *lab = lab_begin(ABI_CAPTURE_PACKETS, 1);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = flow_inner_between(inner, 1, 2, BASE_IP_V4, 10);

	(void)state;
	for (uint32_t i = 0; i < N_SLOTS + 20; i++)
		flow_rx_data(lab->flow, &lab->from, inner, len);
	flow_turn(lab->flow);
	FLOW_EXPECT(lab->flow, {ABI_COUNTER_RX_WAN, N_SLOTS + 20},
	            {ABI_COUNTER_OPENED, N_SLOTS + 20}, {ABI_COUNTER_FORWARDED, N_SLOTS + 20},
	            {ABI_COUNTER_SEALED, N_SLOTS + 20}, {ABI_COUNTER_TX_WAN, N_SLOTS + 20});
	assert_int_equal(abi_capture_lost(&lab->end), 20);
	for (uint32_t i = 0; i < N_SLOTS; i++)
		expect(lab, ABI_CAPTURE_FROM_PEER, 1, inner, len);
	expect_nothing(lab);
	/* over: nothing more is written into memory that is about to go */
	worker_shared_blobs(lab->flow->shared)->current[ABI_BLOB_CAPTURE] = NULL;
	flow_turn(lab->flow);
	flow_rx_data(lab->flow, &lab->from, inner, len);
	flow_turn(lab->flow);
	expect_nothing(lab);
	lab_end(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packet_is_seen_from_one_peer_and_to_the_other),
		cmocka_unit_test(packet_of_the_hub_is_seen_and_keepalives_are_not),
		cmocka_unit_test(drops_are_seen_with_their_reason_and_nothing_else),
		cmocka_unit_test(full_ring_holds_no_packet_up),
	};

	return cmocka_run_group_tests_name("capture", tests, flow_start, NULL);
}
