/* The world of the flow tests. */
#include "flow.h"

#include "base_bytes.h"
#include "base_log.h"

#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <sodium.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define N_PORTS  2U
#define N_MBUFS  4095U
#define RING_LEN 1024U

static struct rte_mempool *pool;
static uint16_t ethdevs[N_PORTS];
static struct rte_ring *rx_rings[N_PORTS][FLOW_N_WORKERS];
static struct rte_ring *tx_rings[N_PORTS][FLOW_N_WORKERS];

/* ---- start ---- */

static struct rte_ring *make_ring(const char *name, uint32_t a, uint32_t b, uint32_t len)
{
	char text[RTE_RING_NAMESIZE];
	struct rte_ring *ring;

	snprintf(text, sizeof(text), "%s%u_%u", name, a, b);
	ring = rte_ring_create(text, len, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	assert_non_null(ring);
	return ring;
}

static void start_port(uint32_t port, uint32_t len)
{
	struct rte_eth_conf conf = {0};
	char name[16];
	int id;

	for (uint32_t i = 0; i < FLOW_N_WORKERS; i++) {
		rx_rings[port][i] = make_ring("rx", port, i, len);
		tx_rings[port][i] = make_ring("tx", port, i, len);
	}
	snprintf(name, sizeof(name), "flow%u", port);
	id = rte_eth_from_rings(name, rx_rings[port], FLOW_N_WORKERS, tx_rings[port],
	                        FLOW_N_WORKERS, 0);
	assert_true(id >= 0);
	ethdevs[port] = (uint16_t)id;
	assert_int_equal(
		rte_eth_dev_configure(ethdevs[port], FLOW_N_WORKERS, FLOW_N_WORKERS, &conf), 0);
	for (uint16_t i = 0; i < FLOW_N_WORKERS; i++) {
		assert_int_equal(rte_eth_rx_queue_setup(ethdevs[port], i, 256, 0, NULL, pool), 0);
		assert_int_equal(rte_eth_tx_queue_setup(ethdevs[port], i, 256, 0, NULL), 0);
	}
	assert_int_equal(rte_eth_dev_start(ethdevs[port]), 0);
}

int flow_start(void **state)
{
	(void)state;
	return flow_start_deep(RING_LEN);
}

int flow_start_deep(uint32_t queue_len)
{
	static char args[][16] = {"flow",     "--no-huge",      "-m",          "64",
	                          "--no-pci", "--no-telemetry", "--no-shconf", "-l",
	                          "0",        "--log-level",    "error"};
	char *argv[BASE_ARRAY_LEN(args) + 1] = {NULL};

	for (size_t i = 0; i < BASE_ARRAY_LEN(args); i++)
		argv[i] = args[i];
	base_log_init("flow", BASE_LOG_ERR);
	assert_true(sodium_init() >= 0);
	assert_true(rte_eal_init(BASE_ARRAY_LEN(args), argv) >= 0);
	pool = rte_pktmbuf_pool_create("flow", N_MBUFS, 32, PORT_LINK_PRIV_LEN,
	                               RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	assert_non_null(pool);
	for (uint32_t i = 0; i < N_PORTS; i++)
		start_port(i, queue_len);
	return 0;
}

/* ---- workers ---- */

static void make_links(struct flow *flow)
{
	uint32_t len = flow->options.link_ring_len ? flow->options.link_ring_len : RING_LEN;

	for (uint32_t i = 0; i < flow->options.n_workers; i++)
		flow->link[i] = (struct port_link){
			.to_kernel = make_ring("tk", i, 0, len),
			.from_kernel = make_ring("fk", i, 0, RING_LEN),
			.exception_sleeps = &flow->exception_sleeps,
			.wake_fd = -1,
		};
}

static void make_setups(struct flow *flow)
{
	uint32_t len = flow->options.mesh_ring_len ? flow->options.mesh_ring_len : RING_LEN;

	for (uint32_t i = 0; i < flow->options.n_workers; i++) {
		struct worker_setup *setup = &flow->setups[i];

		*setup = (struct worker_setup){
			.id = i,
			.region = &flow->region,
			.shared = flow->shared,
			.pool = pool,
			.n_ports = flow->options.n_ports,
			.link = flow->options.no_link ? NULL : &flow->link[i],
			.control_wake_fd = -1,
			.wake_fd = flow->options.wakes ? eventfd(0, EFD_NONBLOCK) : -1,
			.aead = flow->options.aead,
			.assist = flow->options.assist,
		};
		for (uint32_t j = 0; j < setup->n_ports; j++) {
			setup->ethdev[j] = ethdevs[j];
			setup->queue[j] = (uint16_t)i;
			setup->sums_udp[j] = j == 0 && flow->options.sums_udp;
			if (flow->options.wakes)
				setup->wake_fds[setup->n_wake_fds++] = eventfd(0, EFD_NONBLOCK);
		}
	}
	for (uint32_t i = 0; i < flow->options.n_workers; i++) {
		for (uint32_t j = 0; j < flow->options.n_workers; j++) {
			if (i == j)
				continue;
			flow->setups[i].mesh_out[j] = make_ring("mesh", i, j, len);
			flow->setups[j].mesh_in[i] = flow->setups[i].mesh_out[j];
		}
	}
}

static void make_workers(struct flow *flow)
{
	assert_int_equal(worker_shared_create(flow->options.n_workers, flow->region.n_peers,
	                                      &flow->shared),
	                 0);
	for (uint32_t i = 0; i < flow->options.n_workers; i++) {
		flow->setups[i].shared = flow->shared;
		assert_int_equal(worker_create(&flow->setups[i], &flow->workers[i]), 0);
	}
	flow_policy_start(flow);
}

static void destroy_workers(struct flow *flow)
{
	for (uint32_t i = 0; i < flow->options.n_workers; i++)
		worker_destroy(flow->workers[i]);
	blob_store_destroy(flow->blobs);
	worker_shared_destroy(flow->shared);
}

struct flow *flow_create(const struct flow_options *options)
{
	struct flow *flow = calloc(1, sizeof(*flow));
	struct abi_setup setup = {.tunnel_mtu = FLOW_TUN_MTU, .idle_cap_us = 100};

	assert_non_null(flow);
	if (options)
		flow->options = *options;
	if (flow->options.n_workers == 0)
		flow->options.n_workers = 1;
	if (flow->options.n_ports == 0)
		flow->options.n_ports = 1;
	setup.n_workers = flow->options.n_workers;
	setup.n_ports = flow->options.n_ports;
	setup.n_flows = flow->options.n_flows;
	for (uint32_t i = 0; i < setup.n_ports; i++)
		setup.ports[i].mtu = FLOW_MTU;
	assert_int_equal(abi_region_create(&setup, FLOW_N_PEERS, 1, &flow->region), 0);
	flow->now_ns = base_time_monotonic_ns();
	flow->policy_fd = -1;
	make_links(flow);
	make_setups(flow);
	make_workers(flow);
	for (uint32_t i = 0; i < setup.n_workers; i++) {
		flow->cmd[i] = abi_region_cmd_ring(&flow->region, i);
		flow->event[i] = abi_region_event_ring(&flow->region, i);
	}
	if (!flow->options.no_hub) {
		flow_cmd_world(flow);
		flow_pass(flow, 1);
		flow_pass(flow, 1);
		flow_reset(flow);
	}
	return flow;
}

void flow_restart(struct flow *flow)
{
	destroy_workers(flow);
	make_workers(flow);
}

static void drain(struct rte_ring *ring, bool destroy)
{
	struct rte_mbuf *mbuf;

	while (ring && rte_ring_dequeue(ring, (void **)&mbuf) == 0)
		rte_pktmbuf_free(mbuf);
	if (destroy)
		rte_ring_free(ring);
}

static void expect_balance_of(const struct flow *flow, uint32_t worker)
{
	const uint64_t *counters = abi_region_worker_counters(&flow->region, worker);
	uint64_t sums[4] = {0};

	for (uint32_t i = 0; i < ABI_N_COUNTERS; i++)
		sums[abi_counter_texts[i].kind] += counters[i];
	if (sums[ABI_COUNTER_KIND_IN] != sums[ABI_COUNTER_KIND_OUT] + sums[ABI_COUNTER_KIND_DROP])
		fail_msg("worker %u: in %lu, out %lu, dropped %lu", worker,
		         sums[ABI_COUNTER_KIND_IN], sums[ABI_COUNTER_KIND_OUT],
		         sums[ABI_COUNTER_KIND_DROP]);
}

void flow_expect_balance(struct flow *flow)
{
	for (uint32_t i = 0; i < flow->options.n_workers; i++)
		expect_balance_of(flow, i);
}

void flow_destroy(struct flow *flow)
{
	destroy_workers(flow);
	flow_expect_balance(flow);
	for (uint32_t i = 0; i < FLOW_N_WORKERS; i++) {
		for (uint32_t j = 0; j < N_PORTS; j++) {
			drain(rx_rings[j][i], false);
			drain(tx_rings[j][i], false);
		}
		drain(flow->link[i].to_kernel, true);
		drain(flow->link[i].from_kernel, true);
		for (uint32_t j = 0; j < FLOW_N_WORKERS; j++)
			drain(flow->setups[i].mesh_out[j], true);
	}
	for (uint32_t i = 0; i < flow->options.n_workers && flow->options.wakes; i++) {
		close(flow->setups[i].wake_fd);
		for (uint32_t j = 0; j < flow->setups[i].n_wake_fds; j++)
			close(flow->setups[i].wake_fds[j]);
	}
	abi_region_fini(&flow->region);
	if (flow->policy_fd >= 0)
		close(flow->policy_fd);
	free(flow);
	assert_int_equal(rte_mempool_avail_count(pool), N_MBUFS);
}

/* ---- control ---- */

void flow_cmd(struct flow *flow, uint32_t worker, uint16_t type, const void *cmd, size_t len)
{
	assert_int_equal(abi_ring_push(&flow->cmd[worker], type, cmd, (uint16_t)len, NULL), 0);
}

void flow_cmd_all(struct flow *flow, uint16_t type, const void *cmd, size_t len)
{
	for (uint32_t i = 0; i < flow->options.n_workers; i++)
		flow_cmd(flow, i, type, cmd, len);
}

struct base_ip flow_ip(const char *text)
{
	struct base_ip ip;

	assert_int_equal(base_ip_parse(text, &ip), 0);
	return ip;
}

struct base_endpoint flow_endpoint(const char *text)
{
	struct base_endpoint endpoint;

	assert_int_equal(base_endpoint_parse(text, &endpoint), 0);
	return endpoint;
}

struct base_ip flow_inner_ip(uint32_t peer, uint8_t family)
{
	char text[BASE_IP_STRLEN];

	if (family == BASE_IP_V4)
		snprintf(text, sizeof(text), "10.0.0.%u", 100 + peer);
	else
		snprintf(text, sizeof(text), "fd00::%u", 100 + peer);
	return flow_ip(text);
}

static void cmd_address(struct flow *flow, const char *ip, uint32_t port)
{
	FLOW_CMD_ALL(flow, ABI_CMD_ADDRESS,
	             (struct abi_cmd_address){.ip = flow_ip(ip), .port = port, .present = 1});
}

static void cmd_gateway(struct flow *flow, const char *prefix, const char *gateway)
{
	struct abi_cmd_wan_route route = {.gateway = flow_ip(gateway)};
	struct abi_cmd_neighbour neighbour = {.ip = flow_ip(gateway)};

	assert_int_equal(base_prefix_parse(prefix, &route.prefix), 0);
	memcpy(neighbour.mac, flow_gateway_mac, sizeof(neighbour.mac));
	FLOW_CMD_ALL(flow, ABI_CMD_WAN_ROUTE_PUT, route);
	FLOW_CMD_ALL(flow, ABI_CMD_NEIGHBOUR_PUT, neighbour);
}

void flow_cmd_world(struct flow *flow)
{
	struct abi_cmd_hub hub = {.listen_port = FLOW_PORT, .tunnel_mtu = FLOW_TUN_MTU};

	hub.n_keys = 1;
	flow_public_key(hub.public_keys[0]);
	if (flow->policy_fd < 0)
		flow_policy_open(flow);
	FLOW_CMD_ALL(flow, ABI_CMD_HUB, hub);
	cmd_address(flow, "192.0.2.1", 0);
	cmd_address(flow, "2001:db8::1", 0);
	cmd_address(flow, "10.0.0.1", ABI_PORTS_MAX);
	cmd_address(flow, "fd00::1", ABI_PORTS_MAX);
	cmd_gateway(flow, "0.0.0.0/0", "192.0.2.254");
	cmd_gateway(flow, "::/0", "2001:db8::fe");
	for (uint32_t peer = 1; peer <= 8; peer++) {
		FLOW_CMD_ALL(flow, ABI_CMD_PEER_PUT, (struct abi_cmd_peer){.peer = peer});
		for (uint8_t family = 4; family <= 6; family = (uint8_t)(family + 2)) {
			struct abi_cmd_route route = {.prefix = {.ip = flow_inner_ip(peer, family),
			                                         .len = family == BASE_IP_V4 ? 32
			                                                                     : 128},
			                              .peer = peer};

			FLOW_CMD(flow, 0, ABI_CMD_ROUTE_PUT, route);
		}
	}
}

struct flow_session flow_session_make(uint32_t worker, uint32_t slot, uint32_t peer, uint8_t family)
{
	struct flow_session session = {.worker = worker, .peer = peer};
	char text[BASE_ENDPOINT_STRLEN];

	session.index = abi_index_make(worker, slot, 0xa5000000U + (slot << 24));
	session.remote_index = 0x11000000U + peer * 256 + slot;
	memset(session.to_hub, (int)(slot * 2 + worker * 64), sizeof(session.to_hub));
	memset(session.from_hub, (int)(slot * 2 + worker * 64 + 1), sizeof(session.from_hub));
	if (family == BASE_IP_V4)
		snprintf(text, sizeof(text), "198.51.100.%u:%u", peer, 40000 + peer);
	else
		snprintf(text, sizeof(text), "[2001:db8:1::%u]:%u", peer, 40000 + peer);
	session.endpoint = flow_endpoint(text);
	return session;
}

void flow_session_install(struct flow *flow, const struct flow_session *session, enum abi_role role,
                          uint64_t birth_ns)
{
	struct abi_cmd_session_install install = {
		.index = session->index,
		.remote_index = session->remote_index,
		.peer = session->peer,
		.role = role,
		.birth_ns = birth_ns ? birth_ns : flow->now_ns,
		.remote = session->endpoint,
		.local = flow_ip(session->endpoint.ip.family == BASE_IP_V4 ? "192.0.2.1"
	                                                                   : "2001:db8::1"),
		.port = 0,
	};

	memcpy(install.receive_key, session->to_hub, 32);
	memcpy(install.send_key, session->from_hub, 32);
	FLOW_CMD(flow, session->worker, ABI_CMD_SESSION_INSTALL, install);
}

struct flow_session flow_session(struct flow *flow, uint32_t worker, uint32_t slot, uint32_t peer,
                                 uint8_t family)
{
	struct flow_session session = flow_session_make(worker, slot, peer, family);

	flow_session_install(flow, &session, ABI_ROLE_INITIATOR, 0);
	flow_turn(flow);
	return session;
}

bool flow_event(struct flow *flow, uint32_t worker, uint16_t *type, void *payload, size_t len)
{
	struct abi_record record;

	if (abi_ring_pop(&flow->event[worker], &record) != 1)
		return false;
	*type = record.type;
	if (payload)
		memcpy(payload, record.payload, len);
	return true;
}

void flow_expect_event(struct flow *flow, uint32_t worker, uint16_t type, void *payload, size_t len)
{
	struct abi_record record;

	assert_int_equal(abi_ring_pop(&flow->event[worker], &record), 1);
	assert_int_equal(record.type, type);
	if (payload) {
		assert_int_equal(record.len, len);
		memcpy(payload, record.payload, len);
	}
}

void flow_expect_no_event(struct flow *flow)
{
	struct abi_record record;

	for (uint32_t i = 0; i < flow->options.n_workers; i++)
		if (abi_ring_pop(&flow->event[i], &record) == 1)
			fail_msg("unexpected event %u of worker %u", record.type, i);
}

/* ---- packets ---- */

void flow_mac(uint32_t port, uint8_t *mac)
{
	struct rte_ether_addr addr;

	assert_int_equal(rte_eth_macaddr_get(ethdevs[port], &addr), 0);
	memcpy(mac, addr.addr_bytes, 6);
}

struct rte_mbuf *flow_mbuf(const uint8_t *bytes, uint32_t len)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
	void *data;

	assert_non_null(mbuf);
	data = rte_pktmbuf_append(mbuf, (uint16_t)len);
	assert_non_null(data);
	memcpy(data, bytes, len);
	return mbuf;
}

uint32_t flow_rx_room(const struct flow *flow, uint32_t worker, uint32_t port)
{
	(void)flow;
	return rte_ring_free_count(rx_rings[port][worker]);
}

void flow_rx_mbuf(struct flow *flow, uint32_t worker, uint32_t port, struct rte_mbuf *mbuf)
{
	(void)flow;
	assert_int_equal(rte_ring_enqueue(rx_rings[port][worker], mbuf), 0);
}

void flow_rx(struct flow *flow, uint32_t worker, uint32_t port, const uint8_t *frame, uint32_t len)
{
	flow_rx_mbuf(flow, worker, port, flow_mbuf(frame, len));
}

void flow_rx_data(struct flow *flow, struct flow_session *session, const uint8_t *inner,
                  uint32_t len)
{
	uint8_t message[FLOW_FRAME_MAX];
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t n = flow_seal(session, message, inner, len);

	n = flow_frame_to_hub(frame, &session->endpoint, message, n);
	flow_rx(flow, session->worker, 0, frame, n);
}

void flow_from_kernel(struct flow *flow, uint32_t worker, uint16_t port, const uint8_t *bytes,
                      uint32_t len)
{
	struct rte_mbuf *mbuf = flow_mbuf(bytes, len);

	mbuf->port = port;
	assert_int_equal(rte_ring_enqueue(flow->link[worker].from_kernel, mbuf), 0);
}

void flow_turn(struct flow *flow)
{
	uint32_t n_rounds = 0;
	uint32_t n;

	do {
		n = 0;
		for (uint32_t i = 0; i < flow->options.n_workers; i++)
			n += worker_turn(flow->workers[i], flow->now_ns);
		assert_true(++n_rounds < 1000); /* a packet that goes round for ever */
	} while (n > 0);
}

void flow_pass(struct flow *flow, uint64_t ns)
{
	flow->now_ns += ns;
	flow_turn(flow);
}

/* What a port does that completes UDP checksums: one's complement over UDP header and payload, where the
 * field holds the sum of the pseudo-header. */
static bool complete_sum(const struct rte_mbuf *mbuf, uint8_t *frame)
{
	uint32_t sum = 0;
	uint32_t udp = 14 + 40;

	if ((mbuf->ol_flags & RTE_MBUF_F_TX_L4_MASK) != RTE_MBUF_F_TX_UDP_CKSUM)
		return false;
	assert_true((mbuf->ol_flags & RTE_MBUF_F_TX_IPV6) != 0);
	assert_int_equal(mbuf->l2_len, 14);
	assert_int_equal(mbuf->l3_len, 40);
	for (uint32_t i = udp; i < mbuf->data_len; i++)
		sum += (i - udp) % 2 == 0 ? (uint32_t)frame[i] << 8 : frame[i];
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	base_store_be16(frame + udp + 6, (uint16_t)(sum == 0xffff ? 0xffff : ~sum));
	return true;
}

/* n_summed may be NULL. */
static uint32_t take(struct rte_ring *ring, uint16_t *port, uint32_t *n_summed, uint8_t *out)
{
	struct rte_mbuf *mbuf;
	uint32_t len;

	if (!ring || rte_ring_dequeue(ring, (void **)&mbuf) < 0)
		return 0;
	len = mbuf->data_len;
	assert_int_equal(mbuf->nb_segs, 1);
	assert_int_equal(mbuf->pkt_len, len);
	assert_true(len <= FLOW_FRAME_MAX);
	memcpy(out, rte_pktmbuf_mtod(mbuf, void *), len);
	if (n_summed && complete_sum(mbuf, out))
		(*n_summed)++;
	if (port)
		*port = mbuf->port;
	rte_pktmbuf_free(mbuf);
	return len;
}

uint32_t flow_tx(struct flow *flow, uint32_t worker, uint32_t port, uint8_t *out)
{
	return take(tx_rings[port][worker], NULL, &flow->n_summed, out);
}

uint32_t flow_to_kernel(struct flow *flow, uint32_t worker, uint16_t *port, uint8_t *out)
{
	return take(flow->link[worker].to_kernel, port, NULL, out);
}

void flow_expect_data(struct flow *flow, const struct flow_session *session, uint64_t counter,
                      const uint8_t *inner, uint32_t len)
{
	uint8_t message[FLOW_FRAME_MAX];
	uint8_t expected[FLOW_FRAME_MAX];
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t n = flow_seal_by_hub(session, counter, message, inner, len);

	n = flow_frame_from_hub(expected, &session->endpoint, (uint16_t)counter, message, n);
	assert_int_equal(flow_tx(flow, session->worker, 0, frame), n);
	assert_memory_equal(frame, expected, n);
}

void flow_expect_silence(struct flow *flow)
{
	for (uint32_t i = 0; i < FLOW_N_WORKERS; i++) {
		for (uint32_t j = 0; j < N_PORTS; j++)
			assert_int_equal(rte_ring_count(tx_rings[j][i]), 0);
		if (flow->link[i].to_kernel)
			assert_int_equal(rte_ring_count(flow->link[i].to_kernel), 0);
	}
}

/* ---- counters ---- */

uint64_t flow_counter(const struct flow *flow, enum abi_counter counter)
{
	return abi_region_counter(&flow->region, counter);
}

void flow_reset(struct flow *flow)
{
	for (uint32_t i = 0; i < ABI_N_COUNTERS; i++)
		flow->before[i] = flow_counter(flow, (enum abi_counter)i);
}

void flow_expect_counters(struct flow *flow, const struct flow_delta *deltas, uint32_t n)
{
	bool ok = true;

	for (uint32_t i = 0; i < ABI_N_COUNTERS; i++) {
		uint64_t expected = 0;
		uint64_t grown = flow_counter(flow, (enum abi_counter)i) - flow->before[i];

		for (uint32_t j = 0; j < n; j++)
			if (deltas[j].counter == i)
				expected += deltas[j].n;
		if (grown != expected) {
			print_error("%s: +%lu, expected +%lu\n", abi_counter_texts[i].name, grown,
			            expected);
			ok = false;
		}
	}
	assert_true(ok);
	flow_expect_balance(flow);
	flow_reset(flow);
}
