/* weir-bench path: the stations of dataplane/path in their order, each way of a packet by itself.
 *
 *   open   frames of many peers from a WAN port: in_parse to in_deliver, inner destination another
 *          peer, so that they end where out_route would take over
 *   seal   inner packets from the kernel: out_parse to out_wrap
 *
 * The worker around the stations (ports, rings, commands, timers) is left out; time stands still but
 * for a microsecond a burst. */
#include "abi_region.h"
#include "base_bytes.h"
#include "base_time.h"
#include "bench.h"
#include "bench_eal.h"
#include "bench_reference.h"
#include "bench_report.h"
#include "path.h"
#include "path_sum.h"
#include "state.h"
#include "wg_message.h"

#include <rte_errno.h>
#include <rte_mbuf.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define ETHER_LEN   14U
#define IP4_LEN     20U
#define UDP_LEN     8U
#define HEADERS_LEN (ETHER_LEN + IP4_LEN + UDP_LEN + WG_DATA_HEADER_LEN)
#define LISTEN_PORT 51820U
#define PEER_PORT   40000U
#define WAN_MTU     1500U
#define TUNNEL_MTU  1420U
#define EAL_MB      8U
#define N_MBUFS     511U /* 2^n - 1 fits a pool best */
#define N_BURSTS    (BENCH_PACKETS / BENCH_BURST)
#define TTL         64U

#define ADDRESS_HUB     0xc0000202U /* 192.0.2.2, RFC 5737 */
#define ADDRESS_GATEWAY 0xc0000201U
#define ADDRESS_OUTER   0xc6120000U /* 198.18.0.0/15, RFC 2544: peers' endpoints */
#define ADDRESS_INNER   0x0a400000U /* 10.64.0.0: peers' inner addresses */

static const uint8_t hub_mac[6] = {0x02, 0, 0, 0, 0, 1};
static const uint8_t gateway_mac[6] = {0x02, 0, 0, 0, 0, 2};

typedef void (*station_fn)(struct state *st, struct path_burst *b);
struct way {
	unsigned int n;
	struct {
		const char *name;
		station_fn run;
	} station[BENCH_STATIONS_MAX];
};

static const struct way ways[BENCH_N_DIRECTIONS] = {
	[BENCH_OPEN] = {6,
                        {{"in_parse", in_parse},
                         {"in_session", in_session},
                         {"in_open", in_open},
                         {"in_accept", in_accept},
                         {"policy", policy},
                         {"in_deliver", in_deliver}}},
	[BENCH_SEAL] = {4,
                        {{"out_parse", out_parse},
                         {"out_route", out_route},
                         {"out_seal", out_seal},
                         {"out_wrap", out_wrap}}},
};

struct bench_peer {
	uint32_t index;
	uint64_t counter; /* next that the peer sends with */
	uint8_t receive_key[32];
	uint8_t send_key[32];
};

/* One packet of a pass: where it lies, and what the reference does with it. */
struct packet {
	struct rte_mbuf *mbuf;
	uint32_t from;
	uint32_t to;
	uint32_t len; /* inner, without padding */
};

struct path_bench {
	struct state st;
	struct path_burst burst;
	struct abi_region region;
	struct state_current *current;
	struct aead *aead;
	struct bench_reference *reference;
	struct rte_mempool *pool;
	unsigned int n_peers;
	unsigned int next_peer;
	struct packet packet[BENCH_PACKETS];
	struct aead_op ops[BENCH_PACKETS];
	struct bench_peer peer[BENCH_PEERS_MAX];
};

static int fail(const char *what, int err)
{
	fprintf(stderr, "weir-bench: %s: %s\n", what, strerror(err < 0 ? -err : err));
	return -1;
}

/* ---- surroundings -------------------------------------------------------------------------------- */

static struct base_ip ip4(uint32_t address)
{
	uint8_t bytes[4];

	base_store_be32(bytes, address);
	return base_ip_make(BASE_IP_V4, bytes);
}

static int add_peer(struct path_bench *bench, uint32_t i)
{
	struct bench_peer *peer = &bench->peer[i];
	struct abi_cmd_peer put = {.peer = i};
	struct abi_cmd_route route = {
		.prefix = {.ip = ip4(ADDRESS_INNER + i), .len = 32},
		.peer = i,
	};
	struct abi_cmd_session_install install = {
		.index = abi_index_make(0, i + 1, i * 0x9e3779b9U),
		.remote_index = 0x10000 + i,
		.peer = i,
		.role = ABI_ROLE_INITIATOR, /* may send at once */
		.birth_ns = bench->st.now_ns,
		.remote = {.ip = ip4(ADDRESS_OUTER + i), .port = PEER_PORT},
		.local = ip4(ADDRESS_HUB),
	};
	int err;

	for (unsigned int j = 0; j < 32; j++) {
		peer->receive_key[j] = (uint8_t)(i * 37 + (i >> 8) + j * 101);
		peer->send_key[j] = (uint8_t)(i * 41 + (i >> 8) + j * 103 + 1);
	}
	memcpy(install.receive_key, peer->receive_key, 32);
	memcpy(install.send_key, peer->send_key, 32);
	peer->index = install.index;
	err = state_peer_put(&bench->st, &put);
	if (err == 0)
		err = state_route_put(&bench->st, &route);
	if (err == 0)
		err = state_session_install(&bench->st, &install);
	return err;
}

/* What control's commands would have made of a hub with one WAN port behind one gateway. */
static int fill_state(struct path_bench *bench)
{
	struct state *st = &bench->st;
	struct abi_cmd_address address = {.ip = ip4(ADDRESS_HUB), .port = 0, .present = 1};
	struct abi_cmd_address tunnel = {.ip = ip4(ADDRESS_INNER + 0xffff), .present = 1};
	struct abi_cmd_wan_route route = {.prefix = {.ip = ip4(0)},
	                                  .gateway = ip4(ADDRESS_GATEWAY)};
	struct abi_cmd_neighbour neighbour = {.ip = ip4(ADDRESS_GATEWAY)};
	int err;

	tunnel.port = ABI_PORTS_MAX;
	memcpy(neighbour.mac, gateway_mac, sizeof(gateway_mac));
	st->hub.listen_port = LISTEN_PORT;
	st->hub.tunnel_mtu = TUNNEL_MTU;
	st->hub.peer_to_peer = 1;
	st->wan.n_ports = 1;
	memcpy(st->wan.ports[0].mac, hub_mac, sizeof(hub_mac));
	st->wan.ports[0].mtu = WAN_MTU;
	err = state_address_put(st, &address);
	if (err == 0)
		err = state_address_put(st, &tunnel);
	if (err == 0)
		err = state_wan_route_put(st, &route);
	if (err == 0)
		err = state_wan_neighbour_put(st, &neighbour);
	for (uint32_t i = 0; err == 0 && i < bench->n_peers; i++)
		err = add_peer(bench, i);
	return err;
}

static int init_state(struct path_bench *bench)
{
	struct abi_setup setup = {.n_workers = 1, .n_ports = 1, .tunnel_mtu = TUNNEL_MTU};
	struct state_setup own = {
		.region = &bench->region,
		.aead = bench->aead,
		.pool = bench->pool,
		.now_ns = base_time_monotonic_ns(),
		.seed = 1,
	};
	int err;

	snprintf(setup.ports[0].name, sizeof(setup.ports[0].name), "wan");
	setup.ports[0].driver = ABI_DRIVER_VDEV;
	snprintf(setup.ports[0].device, sizeof(setup.ports[0].device), "net_null0");
	/* a power of two, so that the slots are as many as a hub with as many peers has */
	err = abi_region_create(&setup, BENCH_PEERS_MAX, 1, &bench->region);
	if (err != 0)
		return fail("region", err);
	bench->current = calloc(BENCH_PEERS_MAX, sizeof(*bench->current));
	if (bench->current == NULL)
		return fail("table of sessions", ENOMEM);
	own.current = bench->current;
	err = state_routes_create(1, BENCH_PEERS_MAX, &own.routes);
	if (err == 0)
		err = state_init(&bench->st, &own);
	if (err == 0)
		err = fill_state(bench);
	return err == 0 ? 0 : fail("state of a worker", err);
}

static int init(struct path_bench *bench, const struct bench_options *options)
{
	int err = aead_create(options->backend, &bench->aead);

	if (err != 0)
		return fail("backend cannot be used", err);
	err = bench_reference_create(&bench->reference);
	if (err != 0)
		return fail("reference (ipsec-mb) cannot be used", err);
	if (bench_eal_start(EAL_MB) != 0)
		return -1;
	bench->pool = rte_pktmbuf_pool_create("bench", N_MBUFS, 0, PORT_LINK_PRIV_LEN,
	                                      RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (bench->pool == NULL)
		return fail("packet buffers", rte_errno);
	for (unsigned int i = 0; i < BENCH_PACKETS; i++) {
		bench->packet[i].mbuf = rte_pktmbuf_alloc(bench->pool);
		if (bench->packet[i].mbuf == NULL)
			return fail("packet buffers", ENOMEM);
	}
	bench->n_peers = options->peers;
	return init_state(bench);
}

static void fini(struct path_bench *bench)
{
	aead_destroy(bench->aead);
	bench_reference_destroy(bench->reference);
	/* state, region and pool go with the process */
}

/* ---- packets ------------------------------------------------------------------------------------- */

static uint8_t payload_byte(uint32_t packet, uint32_t at)
{
	return (uint8_t)(packet * 7 + at);
}

static void write_ip4(uint8_t *ip, uint32_t len, uint32_t source, uint32_t destination)
{
	memset(ip, 0, IP4_LEN);
	ip[0] = 0x45;
	base_store_be16(ip + 2, (uint16_t)len);
	ip[8] = TTL;
	ip[9] = 17;
	base_store_be32(ip + 12, source);
	base_store_be32(ip + 16, destination);
	base_store_be16(ip + 10, (uint16_t)~path_sum_fold(path_sum_add(0, ip, IP4_LEN)));
}

static void write_inner(const struct packet *packet, uint8_t *ip, uint32_t i)
{
	write_ip4(ip, packet->len, ADDRESS_INNER + packet->from, ADDRESS_INNER + packet->to);
	for (uint32_t at = IP4_LEN; at < packet->len; at++)
		ip[at] = payload_byte(i, at);
}

/* WireGuard pads to 16 bytes, but not beyond the tunnel's MTU (whitepaper 5.4.6). */
static uint32_t padded(uint32_t len)
{
	uint32_t up = (len + 15U) & ~15U;

	return up < TUNNEL_MTU ? up : TUNNEL_MTU;
}

static uint8_t *reset_mbuf(struct rte_mbuf *mbuf, uint32_t len)
{
	mbuf->data_off = RTE_PKTMBUF_HEADROOM;
	mbuf->data_len = (uint16_t)len;
	mbuf->pkt_len = len;
	return rte_pktmbuf_mtod(mbuf, uint8_t *);
}

static void prepare_seal(struct path_bench *bench, uint32_t i)
{
	struct packet *packet = &bench->packet[i];
	uint8_t *inner = reset_mbuf(packet->mbuf, packet->len);

	packet->mbuf->port = PORT_LINK_TUN;
	write_inner(packet, inner, i);
	bench->ops[i] = (struct aead_op){
		.data = inner,
		.key = bench->peer[packet->to].send_key,
		.counter = i,
		.len = padded(packet->len),
		.verdict = AEAD_ERROR,
	};
}

/* A frame of the peer's, complete but for the encryption, which is done for all packets at once. */
static void prepare_open(struct path_bench *bench, uint32_t i)
{
	struct packet *packet = &bench->packet[i];
	struct bench_peer *peer = &bench->peer[packet->from];
	uint32_t inner_len = padded(packet->len);
	uint32_t udp_len = UDP_LEN + WG_DATA_HEADER_LEN + inner_len + AEAD_TAG_LEN;
	uint8_t *frame = reset_mbuf(packet->mbuf, ETHER_LEN + IP4_LEN + udp_len);
	uint8_t *udp = frame + ETHER_LEN + IP4_LEN;
	uint8_t *message = udp + UDP_LEN;
	uint8_t *inner = message + WG_DATA_HEADER_LEN;

	packet->mbuf->port = 0;
	memcpy(frame, hub_mac, 6);
	memcpy(frame + 6, gateway_mac, 6);
	base_store_be16(frame + 12, 0x0800);
	write_ip4(frame + ETHER_LEN, IP4_LEN + udp_len, ADDRESS_OUTER + packet->from, ADDRESS_HUB);
	base_store_be16(udp, PEER_PORT);
	base_store_be16(udp + 2, LISTEN_PORT);
	base_store_be16(udp + 4, (uint16_t)udp_len);
	base_store_be16(udp + 6, 0);
	base_store_le32(message, WG_MESSAGE_DATA);
	base_store_le32(message + WG_DATA_RECEIVER, peer->index);
	base_store_le64(message + WG_DATA_COUNTER, peer->counter);
	memset(inner + packet->len, 0, inner_len - packet->len);
	write_inner(packet, inner, i);
	bench->ops[i] = (struct aead_op){
		.data = inner,
		.key = peer->receive_key,
		.counter = peer->counter++,
		.len = inner_len,
		.verdict = AEAD_ERROR,
	};
}

static bool all_ok(const struct path_bench *bench)
{
	for (unsigned int i = 0; i < BENCH_PACKETS; i++) {
		if (bench->ops[i].verdict != AEAD_OK)
			return false;
	}
	return true;
}

static void prepare(struct path_bench *bench, const struct bench_size *size,
                    enum bench_direction direction)
{
	for (uint32_t i = 0; i < BENCH_PACKETS; i++) {
		struct packet *packet = &bench->packet[i];

		packet->from = bench->next_peer;
		bench->next_peer = (bench->next_peer + 1) % bench->n_peers;
		packet->to = bench->next_peer;
		packet->len = bench_size_len(size, i);
		if (direction == BENCH_SEAL)
			prepare_seal(bench, i);
		else
			prepare_open(bench, i);
	}
	if (direction == BENCH_OPEN) {
		for (unsigned int i = 0; i < BENCH_PACKETS; i += BENCH_BURST)
			aead_seal(bench->aead, &bench->ops[i], BENCH_BURST);
	}
}

/* ---- checks, outside the timed part ---------------------------------------------------------------- */

static bool inner_right(const struct packet *packet, uint32_t i, const uint8_t *inner, uint32_t ttl)
{
	if (base_load_be16(inner + 2) != packet->len || inner[8] != ttl
	    || path_sum_fold(path_sum_add(0, inner, IP4_LEN)) != 0xffff)
		return false;
	for (uint32_t at = IP4_LEN; at < packet->len; at++) {
		if (inner[at] != payload_byte(i, at))
			return false;
	}
	return true;
}

/* Opened, and one hop nearer to its destination. */
static bool opened_right(const struct path_bench *bench)
{
	for (uint32_t i = 0; i < BENCH_PACKETS; i++) {
		const struct packet *packet = &bench->packet[i];
		const uint8_t *frame = (const uint8_t *)packet->mbuf->buf_addr
		                       + RTE_PKTMBUF_HEADROOM;

		if (!inner_right(packet, i, frame + HEADERS_LEN, TTL - 1))
			return false;
	}
	return true;
}

/* A frame to the peer that the reference can open, of the length that the reference sealed. */
static bool sealed_right(struct path_bench *bench)
{
	for (uint32_t i = 0; i < BENCH_PACKETS; i++) {
		const struct packet *packet = &bench->packet[i];
		uint8_t *frame = rte_pktmbuf_mtod(packet->mbuf, uint8_t *);
		struct aead_op op = {
			.data = frame + HEADERS_LEN,
			.key = bench->peer[packet->to].send_key,
			.counter = base_load_le64(frame + HEADERS_LEN - 8),
			.len = bench->ops[i].len,
		};

		if (packet->mbuf->data_len != HEADERS_LEN + op.len + AEAD_TAG_LEN
		    || base_load_be32(frame + ETHER_LEN + 16) != ADDRESS_OUTER + packet->to)
			return false;
		bench_reference_open(bench->reference, &op, 1);
		if (op.verdict != AEAD_OK || !inner_right(packet, i, op.data, TTL))
			return false;
	}
	return true;
}

/* ---- timing -------------------------------------------------------------------------------------- */

static void fill_burst(struct path_bench *bench, unsigned int first)
{
	bench->burst.n = 0;
	for (unsigned int i = first; i < first + BENCH_BURST; i++)
		(void)path_append(&bench->burst, bench->packet[i].mbuf);
	bench->st.now_ns += BASE_NS_PER_US;
}

/* All bursts through all stations; *n_left gets the packets that came through. */
static uint64_t time_way(struct path_bench *bench, const struct way *way, unsigned int *n_left)
{
	uint64_t start = bench_tsc();

	*n_left = 0;
	for (unsigned int i = 0; i < BENCH_PACKETS; i += BENCH_BURST) {
		fill_burst(bench, i);
		for (unsigned int j = 0; j < way->n; j++)
			way->station[j].run(&bench->st, &bench->burst);
		*n_left += bench->burst.n;
	}
	return bench_tsc() - start;
}

/* The same with the clock read between stations, which costs each of them about a cycle. */
static void time_stations(struct path_bench *bench, const struct way *way, uint64_t *cycles,
                          unsigned int *n_left)
{
	memset(cycles, 0, BENCH_STATIONS_MAX * sizeof(*cycles));
	*n_left = 0;
	for (unsigned int i = 0; i < BENCH_PACKETS; i += BENCH_BURST) {
		uint64_t then;

		fill_burst(bench, i);
		then = bench_tsc();
		for (unsigned int j = 0; j < way->n; j++) {
			uint64_t now;

			way->station[j].run(&bench->st, &bench->burst);
			now = bench_tsc();
			cycles[j] += now - then;
			then = now;
		}
		*n_left += bench->burst.n;
	}
}

static uint64_t time_reference(struct path_bench *bench, enum bench_direction direction)
{
	uint64_t start = bench_tsc();

	for (unsigned int i = 0; i < BENCH_PACKETS; i += BENCH_BURST) {
		if (direction == BENCH_SEAL)
			bench_reference_seal(bench->reference, &bench->ops[i], BENCH_BURST);
		else
			bench_reference_open(bench->reference, &bench->ops[i], BENCH_BURST);
	}
	return bench_tsc() - start;
}

static bool came_through(struct path_bench *bench, enum bench_direction direction,
                         unsigned int n_left)
{
	punt(&bench->st); /* events of first packets */
	if (n_left != BENCH_PACKETS)
		return false;
	return direction == BENCH_SEAL ? sealed_right(bench) : opened_right(bench);
}

enum what { WHAT_WAY = 0, WHAT_STATIONS = 1, WHAT_REFERENCE = 2, N_WHATS };

static bool measure_one(struct path_bench *bench, struct bench_result *result, enum what what,
                        bool counts)
{
	const struct way *way = &ways[result->direction];
	uint64_t stations[BENCH_STATIONS_MAX];
	unsigned int n_left;
	uint64_t cycles;

	prepare(bench, result->size, result->direction);
	if (what == WHAT_REFERENCE) {
		cycles = time_reference(bench, result->direction);
		if (counts)
			bench_samples_add(&result->reference, cycles);
		return all_ok(bench);
	}
	if (what == WHAT_WAY) {
		cycles = time_way(bench, way, &n_left);
		if (counts)
			bench_samples_add(&result->cycles, cycles);
		return came_through(bench, result->direction, n_left);
	}
	time_stations(bench, way, stations, &n_left);
	for (unsigned int i = 0; counts && i < way->n; i++)
		bench_samples_add(&result->station[i].cycles, stations[i]);
	return came_through(bench, result->direction, n_left);
}

static bool measure(struct path_bench *bench, struct bench_run *run)
{
	for (unsigned int round = 0; round < BENCH_WARM_UP + run->options->rounds; round++) {
		for (unsigned int i = 0; i < run->n_results; i++) {
			for (unsigned int k = 0; k < N_WHATS; k++) {
				enum what what = (enum what)((round + k) % N_WHATS);

				if (!measure_one(bench, &run->result[i], what,
				                 round >= BENCH_WARM_UP))
					return false;
			}
		}
	}
	return true;
}

static int add_stations(struct bench_run *run)
{
	for (unsigned int i = 0; i < run->n_results; i++) {
		struct bench_result *result = &run->result[i];
		const struct way *way = &ways[result->direction];

		for (unsigned int j = 0; j < way->n; j++) {
			int err = bench_result_add_station(result, way->station[j].name,
			                                   run->options->rounds);

			if (err != 0)
				return err;
		}
	}
	return 0;
}

int bench_path(const struct bench_options *options)
{
	static struct path_bench bench;
	static struct bench_run run;
	int ret = 1;

	if (init(&bench, options) != 0)
		goto out;
	if (bench_run_init(&run, options) != 0 || add_stations(&run) != 0) {
		fprintf(stderr, "weir-bench: no memory for samples\n");
		goto out;
	}
	run.title = "weir-bench path: one packet's way through a worker's stations, IPv4 in IPv4";
	run.backend = aead_name(bench.aead);
	run.shows_not =
		"ports, rings and the kernel side; IPv6; several workers; timers; packets that"
		" come cold from memory (256 buffers stay in L2)";
	if (!measure(&bench, &run)) {
		fprintf(stderr, "weir-bench: a packet did not come through as it should\n");
		goto out;
	}
	ret = bench_report(&run);
out:
	bench_run_fini(&run);
	fini(&bench);
	return ret;
}
