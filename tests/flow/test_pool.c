/* No packet buffers: what is lost meanwhile, under which name, and that it ends with its cause. Frames
 * come from a driver that takes its buffers from the pool, as a NIC's does: DPDK's of packet files. */
#include "base_bytes.h"
#include "flow.h"
#include "port_count.h"

#include <rte_dev.h>
#include <rte_ethdev.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N_FRAMES  600U  /* in the file */
#define LARGE_LEN 9000U /* of a frame that takes several buffers */
#define N_SPARE   8U    /* buffers that are left at first */
#define BURST     64U

/* Buffers that somebody else has. */
struct hold {
	struct rte_mempool *pool;
	struct rte_mbuf *mbufs[4096];
	uint32_t n;
};

static void hold_all_but(struct hold *hold, uint32_t n_left)
{
	struct rte_mbuf *mbuf;

	while (rte_mempool_avail_count(hold->pool) > n_left
	       && (mbuf = rte_pktmbuf_alloc(hold->pool)) != NULL)
		hold->mbufs[hold->n++] = mbuf;
	assert_int_equal(rte_mempool_avail_count(hold->pool), n_left);
}

static void let_go(struct hold *hold, uint32_t n)
{
	while (n-- > 0)
		rte_pktmbuf_free(hold->mbufs[--hold->n]);
}

/* Nobody but us has any. */
static void expect_none_is_lost(const struct hold *hold)
{
	assert_int_equal(rte_mempool_avail_count(hold->pool) + hold->n, hold->pool->size);
}

/* ---- the port ------------------------------------------------------------------------------------- */

/* The next frame from peer 1, into out[LARGE_LEN]. Returns its length. */
typedef uint32_t make_fn(struct flow_session *from, uint8_t *out);

/* For peer 2. */
static uint32_t make_data(struct flow_session *from, uint8_t *out)
{
	uint8_t inner[FLOW_FRAME_MAX], message[FLOW_FRAME_MAX];
	uint32_t len = flow_inner_between(inner, from->peer, 2, BASE_IP_V4, 100);

	len = flow_seal(from, message, inner, len);
	return flow_frame_to_hub(out, &from->endpoint, message, len);
}

static uint32_t make_large(struct flow_session *from, uint8_t *out)
{
	(void)from;
	memset(out, 0, LARGE_LEN);
	return LARGE_LEN;
}

/* libpcap's file format: a header, then each frame with times and lengths. */
static void write_file(FILE *file, struct flow_session *from, make_fn *make)
{
	static const uint32_t head[6] = {0xa1b2c3d4, 4U << 16 | 2U, 0, 0, 65535, 1};
	uint8_t frame[LARGE_LEN];

	assert_int_equal(fwrite(head, sizeof(head), 1, file), 1);
	for (uint32_t i = 0; i < N_FRAMES; i++) {
		uint32_t len = make(from, frame);
		uint32_t record[4] = {0, i, len, len};

		assert_int_equal(fwrite(record, sizeof(record), 1, file), 1);
		assert_int_equal(fwrite(frame, len, 1, file), 1);
	}
}

static uint16_t start_port(const char *path, struct rte_mempool *pool)
{
	struct rte_eth_conf conf = {0};
	char args[64];
	uint16_t id;

	snprintf(args, sizeof(args), "rx_pcap=%s", path); /* what is sent is let go */
	assert_int_equal(rte_eal_hotplug_add("vdev", "net_pcap0", args), 0);
	assert_int_equal(rte_eth_dev_get_port_by_name("net_pcap0", &id), 0);
	assert_int_equal(rte_eth_dev_configure(id, 1, 1, &conf), 0);
	assert_int_equal(rte_eth_rx_queue_setup(id, 0, 256, 0, NULL, pool), 0);
	assert_int_equal(rte_eth_tx_queue_setup(id, 0, 256, 0, NULL), 0);
	assert_int_equal(rte_eth_dev_start(id), 0);
	return id;
}

static void stop_port(uint16_t id)
{
	assert_int_equal(rte_eth_dev_stop(id), 0);
	assert_int_equal(rte_eth_dev_close(id), 0);
	(void)rte_eal_hotplug_remove("vdev", "net_pcap0");
}

/* The hub and peers 1 and 2, in so few commands that they are all there before the first frame is read. */
static void tell_hub(struct flow *flow)
{
	struct abi_cmd_hub hub = {
		.listen_port = FLOW_PORT, .tunnel_mtu = FLOW_TUN_MTU, .n_keys = 1};
	struct abi_cmd_wan_route wan = {.gateway = flow_ip("192.0.2.254")};

	flow_public_key(hub.public_keys[0]);
	FLOW_CMD(flow, 0, ABI_CMD_HUB, hub);
	FLOW_CMD(flow, 0, ABI_CMD_ADDRESS,
	         (struct abi_cmd_address){.ip = flow_ip("192.0.2.1"), .present = 1});
	assert_int_equal(base_prefix_parse("0.0.0.0/0", &wan.prefix), 0);
	FLOW_CMD(flow, 0, ABI_CMD_WAN_ROUTE_PUT, wan);
	FLOW_CMD(flow, 0, ABI_CMD_NEIGHBOUR_PUT, (struct abi_cmd_neighbour){.ip = wan.gateway});
	for (uint32_t peer = 1; peer <= 2; peer++) {
		struct abi_cmd_route route = {
			.prefix = {.ip = flow_inner_ip(peer, BASE_IP_V4), .len = 32}, .peer = peer};

		FLOW_CMD(flow, 0, ABI_CMD_PEER_PUT, (struct abi_cmd_peer){.peer = peer});
		FLOW_CMD(flow, 0, ABI_CMD_ROUTE_PUT, route);
	}
}

struct lab {
	struct flow *flow;
	struct flow_session to; /* peer 2's */
	struct hold hold;
	struct abi_port_setup port;
	struct port_eth eth;
	struct port_count count;
	char path[32];
};

/* A worker whose port has N_FRAMES frames of peer 1's. Nothing was received yet. */
static void lab_begin(struct lab *lab, make_fn *make)
{
	struct flow_session from = flow_session_make(0, 1, 1, BASE_IP_V4);
	FILE *file;
	int fd;

	*lab = (struct lab){.path = "/tmp/weir-flow-XXXXXX", .port = {.driver = ABI_DRIVER_VDEV}};
	fd = mkstemp(lab->path);
	assert_true(fd >= 0);
	file = fdopen(fd, "w");
	assert_non_null(file);
	write_file(file, &from, make);
	assert_int_equal(fclose(file), 0);
	lab->flow = flow_create(&(struct flow_options){.no_hub = true});
	lab->hold.pool = lab->flow->setups[0].pool;
	lab->eth = (struct port_eth){.setup = &lab->port, .socket = -1};
	lab->eth.id = start_port(lab->path, lab->hold.pool);
	port_count_init(&lab->count, &lab->eth, 1);
	lab->flow->setups[0].ethdev[0] = lab->eth.id;
	flow_policy_open(lab->flow);
	flow_restart(lab->flow);
	tell_hub(lab->flow);
	lab->to = flow_session_make(0, 2, 2, BASE_IP_V4);
	flow_session_install(lab->flow, &from, ABI_ROLE_INITIATOR, 0);
	flow_session_install(lab->flow, &lab->to, ABI_ROLE_INITIATOR, 0);
}

static void lab_end(struct lab *lab)
{
	flow_destroy(lab->flow);
	stop_port(lab->eth.id);
	unlink(lab->path);
}

static void one_turn(struct lab *lab)
{
	(void)worker_turn(lab->flow->workers[0], ++lab->flow->now_ns);
	port_count_turn(&lab->count, abi_region_exception_counters(&lab->flow->region));
}

static uint64_t counted(const struct lab *lab, enum abi_counter counter)
{
	return flow_counter(lab->flow, counter);
}

/* ---- tests ---------------------------------------------------------------------------------------- */

static void frames_without_a_buffer_are_counted_and_the_others_go_on(void **state)
{
	static struct lab lab;
	uint64_t n_received;

	(void)state;
	lab_begin(&lab, make_data);
	flow_reset(lab.flow);
	/* Few: as many frames as there are buffers get through, and one is lost, in every turn. */
	hold_all_but(&lab.hold, N_SPARE);
	for (uint32_t i = 1; i <= 10; i++) {
		one_turn(&lab);
		assert_int_equal(counted(&lab, ABI_COUNTER_TX_WAN), i * N_SPARE);
		assert_int_equal(counted(&lab, ABI_COUNTER_PORT_MISSED), i);
		expect_none_is_lost(&lab.hold);
	}
	FLOW_EXPECT(lab.flow, {ABI_COUNTER_RX_WAN, 10 * N_SPARE},
	            {ABI_COUNTER_OPENED, 10 * N_SPARE}, {ABI_COUNTER_FORWARDED, 10 * N_SPARE},
	            {ABI_COUNTER_SEALED, 10 * N_SPARE}, {ABI_COUNTER_TX_WAN, 10 * N_SPARE},
	            {ABI_COUNTER_PORT_MISSED, 10});
	/* None: nothing is received, all that comes is counted. */
	hold_all_but(&lab.hold, 0);
	for (uint32_t i = 0; i < 10; i++)
		one_turn(&lab);
	FLOW_EXPECT(lab.flow, {ABI_COUNTER_PORT_MISSED, 10});
	expect_none_is_lost(&lab.hold);
	/* All of them again: the rest of the frames, without another loss. */
	let_go(&lab.hold, lab.hold.n);
	for (uint32_t i = 0; i < N_FRAMES / BURST + 1; i++)
		one_turn(&lab);
	n_received = N_FRAMES - 10 * (N_SPARE + 1) - 10;
	FLOW_EXPECT(lab.flow, {ABI_COUNTER_RX_WAN, n_received}, {ABI_COUNTER_OPENED, n_received},
	            {ABI_COUNTER_FORWARDED, n_received}, {ABI_COUNTER_SEALED, n_received},
	            {ABI_COUNTER_TX_WAN, n_received});
	expect_none_is_lost(&lab.hold);
	assert_int_equal(rte_mempool_avail_count(lab.hold.pool), lab.hold.pool->size);
	lab_end(&lab);
}

/* The driver has begun a frame and finds no buffer for its end. */
static void frames_in_error_are_counted_and_not_as_missed(void **state)
{
	static struct lab lab;

	(void)state;
	lab_begin(&lab, make_large);
	flow_reset(lab.flow);
	hold_all_but(&lab.hold, 1);
	for (uint32_t i = 1; i <= 10; i++) {
		one_turn(&lab);
		assert_int_equal(counted(&lab, ABI_COUNTER_PORT_ERRORS), i);
		expect_none_is_lost(&lab.hold);
	}
	FLOW_EXPECT(lab.flow, {ABI_COUNTER_PORT_ERRORS, 10});
	/* A driver that is put back to zero with its port takes nothing back. */
	assert_int_equal(rte_eth_stats_reset(lab.eth.id), 0);
	one_turn(&lab);
	FLOW_EXPECT(lab.flow, {ABI_COUNTER_PORT_ERRORS, 1});
	/* With buffers they arrive: in several, which is another matter. */
	let_go(&lab.hold, lab.hold.n);
	one_turn(&lab);
	FLOW_EXPECT(lab.flow, {ABI_COUNTER_RX_WAN, BURST}, {ABI_COUNTER_DROP_FRAME_CHAINED, BURST});
	expect_none_is_lost(&lab.hold);
	lab_end(&lab);
}

/* What the hub itself sends takes buffers too. */
static void messages_of_the_hubs_without_a_buffer_are_counted(void **state)
{
	struct abi_cmd_inject inject = {.remote = flow_endpoint("198.51.100.2:40002"),
	                                .port = UINT32_MAX,
	                                .len = WG_INITIATION_LEN};
	struct flow *flow = flow_create(NULL);
	struct hold hold = {.pool = flow->setups[0].pool};
	struct flow_session peer = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct abi_cmd_session keepalive = {.index = peer.index, .peer = 1};
	uint8_t frame[FLOW_FRAME_MAX];

	(void)state;
	inject.message[0] = WG_MESSAGE_INITIATION;
	flow_reset(flow);
	hold_all_but(&hold, 0);
	FLOW_CMD(flow, 0, ABI_CMD_INJECT, inject);
	FLOW_CMD(flow, 0, ABI_CMD_KEEPALIVE, keepalive);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_NO_MBUF, 2});
	flow_expect_silence(flow);
	expect_none_is_lost(&hold);
	let_go(&hold, hold.n);
	FLOW_CMD(flow, 0, ABI_CMD_INJECT, inject);
	FLOW_CMD(flow, 0, ABI_CMD_KEEPALIVE, keepalive);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_INJECT, 2}, {ABI_COUNTER_SEALED, 1},
	            {ABI_COUNTER_KEEPALIVE_OUT, 1}, {ABI_COUNTER_TX_WAN, 2});
	assert_true(flow_tx(flow, 0, 0, frame) > 0);
	flow_expect_data(flow, &peer, 0, NULL, 0);
	flow_destroy(flow); /* with every buffer back in the pool */
}

/* Too large for the tunnel, and no buffer for its second piece. */
static void what_cannot_be_cut_for_want_of_a_buffer_is_its_peers_drop(void **state)
{
	struct flow *flow = flow_create(NULL);
	struct hold hold = {.pool = flow->setups[0].pool};
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	const struct abi_peer_counters *sender = abi_region_peer_counters(&flow->region, 0, 1);
	uint8_t inner[FLOW_FRAME_MAX], frame[FLOW_FRAME_MAX];
	uint32_t len = flow_inner_between(inner, 1, 2, BASE_IP_V4, FLOW_TUN_MTU);

	(void)state;
	(void)flow_session(flow, 0, 2, 2, BASE_IP_V4);
	for (uint32_t n_left = 0; n_left < 2; n_left++) {
		flow_reset(flow);
		flow_rx_data(flow, &from, inner, len);
		hold_all_but(&hold, n_left);
		flow_turn(flow);
		if (n_left == 0) {
			FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
			            {ABI_COUNTER_NO_MBUF, 1}, {ABI_COUNTER_DROP_TUNNEL_MTU, 1});
			assert_int_equal(sender->drops, 1);
			flow_expect_silence(flow);
		} else {
			FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_OPENED, 1},
			            {ABI_COUNTER_FORWARDED, 1}, {ABI_COUNTER_FRAGMENTED, 1},
			            {ABI_COUNTER_RX_INJECT, 1}, {ABI_COUNTER_SEALED, 2},
			            {ABI_COUNTER_TX_WAN, 2});
			assert_int_equal(sender->drops, 1);
			while (flow_tx(flow, 0, 0, frame) > 0)
				;
		}
		let_go(&hold, hold.n);
	}
	flow_destroy(flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_without_a_buffer_are_counted_and_the_others_go_on),
		cmocka_unit_test(frames_in_error_are_counted_and_not_as_missed),
		cmocka_unit_test(messages_of_the_hubs_without_a_buffer_are_counted),
		cmocka_unit_test(what_cannot_be_cut_for_want_of_a_buffer_is_its_peers_drop),
	};

	return cmocka_run_group_tests_name("pool", tests, flow_start, NULL);
}
