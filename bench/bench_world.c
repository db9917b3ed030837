/* Making the world of bench_path.c and bench_scale.c, and its packets. */
#include "bench_world.h"

#include "base_bytes.h"
#include "base_time.h"
#include "bench_eal.h"
#include "bench_open.h"
#include "bench_wire.h"
#include "path_inner.h"
#include "path_rest.h"
#include "path_sum.h"
#include "wg_message.h"

#include <rte_errno.h>
#include <rte_mbuf.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define WAN_MTU     1500U
#define EAL_MB      8U
#define N_MBUFS     511U /* 2^n - 1 fits a pool best */
#define CACHE_MBUFS 128U /* of the thread, as in service */

#define ADDRESS_TUNNEL 0x0a3f0001U /* 10.63.0.1: the hub's */
#define ADDRESS_ROUTES 0x20000000U /* 32.0.0.0/3: prefixes that no packet is for */

static const uint8_t hub_mac[6] = {0x02, 0, 0, 0, 0, 1};
static const uint8_t gateway_mac[6] = {0x02, 0, 0, 0, 0, 2};

const struct bench_way bench_ways[BENCH_N_WAYS] = {
	[BENCH_OPEN] = {8,
                        {{"in_parse", in_parse},
                         {"in_session", in_session},
                         {"in_open", in_open},
                         {"in_accept", in_accept},
                         {"limit_in", limit_in},
                         {"policy", policy},
                         {"in_deliver", in_deliver},
                         {"open_rests", path_open_rests}}},
	[BENCH_SEAL] = {6,
                        {{"out_parse", out_parse},
                         {"out_route", out_route},
                         {"policy_late", policy_late},
                         {"limit_out", limit_out},
                         {"out_seal", out_seal},
                         {"out_wrap", out_wrap}}},
	[BENCH_HUB] = {11,
                       {{"in_parse", in_parse},
                        {"in_session", in_session},
                        {"in_open", in_open},
                        {"in_accept", in_accept},
                        {"limit_in", limit_in},
                        {"policy", policy},
                        {"in_deliver", in_deliver},
                        {"out_route", out_route},
                        {"limit_out", limit_out},
                        {"out_seal", out_seal},
                        {"out_wrap", out_wrap}}},
};

/* In place of the policy. To the hub or to a peer: what there is to know when nothing is forbidden. */
static void pass_all(struct state *st, struct path_burst *b)
{
	for (uint32_t i = 0; i < b->n; i++) {
		struct path_pkt *p = &b->pkt[i];

		p->to_hub = state_address_has(&st->addresses.tunnel, path_inner_version(p),
		                              path_inner_destination(p));
		p->peer = ABI_PEER_NONE;
		p->note = 0;
	}
}

struct bench_way bench_way_without_policy(enum bench_direction direction)
{
	const struct bench_way *with = &bench_ways[direction];
	struct bench_way way = {.n = 0};

	for (unsigned int i = 0; i < with->n; i++) {
		if (with->station[i].run == policy_late)
			continue;
		way.station[way.n] = with->station[i];
		if (with->station[i].run == policy) {
			way.station[way.n].name = "(policy)";
			way.station[way.n].run = pass_all;
		}
		way.n++;
	}
	return way;
}

static int fail(const char *what, int err)
{
	fprintf(stderr, "weir-bench: %s: %s\n", what, strerror(err < 0 ? -err : err));
	return -1;
}

/* ---- surroundings -------------------------------------------------------------------------------- */

static int add_peer(struct bench_world *world, uint32_t i)
{
	struct bench_peer *peer = &world->peer[i];
	struct abi_cmd_peer put = {.peer = i};
	struct abi_cmd_route route = {
		.prefix = {.ip = bench_wire_ip(BENCH_WIRE_TUNNEL + i), .len = 32},
		.peer = i,
	};
	struct abi_cmd_session_install install = {
		.index = abi_index_make(0, i + 1, i * 0x9e3779b9U),
		.remote_index = 0x10000 + i,
		.peer = i,
		.role = ABI_ROLE_INITIATOR, /* may send at once */
		.birth_ns = world->st.now_ns,
		.remote = {.ip = bench_wire_ip(BENCH_WIRE_OUTER + i), .port = BENCH_WIRE_PEER_PORT},
		.local = bench_wire_ip(BENCH_WIRE_HUB),
	};
	int err;

	for (unsigned int j = 0; j < 32; j++) {
		peer->receive_key[j] = (uint8_t)(i * 37 + (i >> 8) + j * 101);
		peer->send_key[j] = (uint8_t)(i * 41 + (i >> 8) + j * 103 + 1);
	}
	memcpy(install.receive_key, peer->receive_key, 32);
	memcpy(install.send_key, peer->send_key, 32);
	peer->index = install.index;
	err = state_peer_put(&world->st, &put);
	if (err == 0)
		err = state_route_put(&world->st, &route);
	if (err == 0)
		err = state_session_install(&world->st, &install);
	return err;
}

/* What control's commands would have made of a hub with one WAN port behind one gateway. */
static int fill_state(struct bench_world *world)
{
	struct state *st = &world->st;
	struct abi_cmd_address address = {
		.ip = bench_wire_ip(BENCH_WIRE_HUB), .port = 0, .present = 1};
	struct abi_cmd_address tunnel = {.ip = bench_wire_ip(ADDRESS_TUNNEL), .present = 1};
	struct abi_cmd_wan_route route = {.prefix = {.ip = bench_wire_ip(0)},
	                                  .gateway = bench_wire_ip(BENCH_WIRE_GATEWAY)};
	struct abi_cmd_neighbour neighbour = {.ip = bench_wire_ip(BENCH_WIRE_GATEWAY)};
	int err;

	tunnel.port = ABI_PORTS_MAX;
	memcpy(neighbour.mac, gateway_mac, sizeof(gateway_mac));
	st->hub.listen_port = BENCH_WIRE_PORT;
	st->hub.tunnel_mtu = BENCH_WIRE_MTU;
	if (bench_open_policy() == NULL)
		return -ENOMEM;
	st->policy = bench_open_policy()->data;
	st->clock.now_s = (uint32_t)(st->now_ns / BASE_NS_PER_S);
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
	for (uint32_t i = 0; err == 0 && i < world->n_peers; i++)
		err = add_peer(world, i);
	return err;
}

/* Prefixes as a large hub has them beside its peers' addresses, in both families: half single
 * addresses, a quarter /24 and a quarter IPv6 /64. */
static int add_route(struct bench_world *world, uint32_t i)
{
	uint64_t x = (i + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);
	struct abi_cmd_route route = {.peer = (uint32_t)(x >> 40) % world->n_peers};

	x ^= x >> 29;
	route.prefix.ip = bench_wire_ip(ADDRESS_ROUTES | ((uint32_t)x & 0x1fffffff));
	route.prefix.len = i % 4 == 2 ? 24 : 32;
	if (i % 4 == 3) {
		route.prefix.ip = (struct base_ip){.family = BASE_IP_V6, .bytes = {0xfd}};
		base_store_be64(route.prefix.ip.bytes + 1, x);
		route.prefix.len = 64;
	}
	base_prefix_mask(&route.prefix);
	return state_route_put(&world->st, &route);
}

/* Limits of all kinds, which never bind, for the peer. */
static int limit_peer(struct bench_world *world, uint32_t i)
{
	const struct abi_limit_rate rate = {.packets = ABI_LIMIT_PACKETS_MAX,
	                                    .packets_burst = ABI_LIMIT_PACKETS_MAX,
	                                    .bytes = ABI_LIMIT_BYTES_MAX,
	                                    .bytes_burst = ABI_LIMIT_BYTES_BURST_MAX};
	const struct abi_cmd_peer_limit limit = {.peer = i,
	                                         .rx = rate,
	                                         .tx = rate,
	                                         .rx_until = UINT64_MAX / 4,
	                                         .tx_until = UINT64_MAX / 4,
	                                         .total_until = ABI_QUOTA_NONE};

	return state_limit_put(&world->st, &limit);
}

static int init_state(struct bench_world *world, unsigned int n_routes, unsigned int n_limited)
{
	struct abi_setup setup = {.n_workers = 1, .n_ports = 1, .tunnel_mtu = BENCH_WIRE_MTU};
	struct state_setup own = {
		.region = &world->region,
		.aead = world->aead,
		.pool = world->pool,
		.now_ns = base_time_monotonic_ns(),
		.seed = 1,
	};
	/* a power of two, so that the slots are as many as a hub with as many peers has */
	uint32_t n_peers = 4096;
	int err;

	while (n_peers < world->n_peers)
		n_peers *= 2;
	snprintf(setup.ports[0].name, sizeof(setup.ports[0].name), "wan");
	setup.ports[0].driver = ABI_DRIVER_VDEV;
	snprintf(setup.ports[0].device, sizeof(setup.ports[0].device), "net_null0");
	err = abi_region_create(&setup, n_peers, 1, &world->region);
	if (err != 0)
		return fail("region", err);
	world->current = calloc(n_peers, sizeof(*world->current));
	if (world->current == NULL)
		return fail("table of sessions", ENOMEM);
	own.current = world->current;
	err = state_routes_create(1, n_peers, &own.routes);
	if (err == 0)
		err = state_init(&world->st, &own);
	if (err == 0)
		err = state_flow_create(&world->st, 8 * n_peers, NULL,
		                        false); /* a flow a peer, either way */
	if (err == 0)
		err = fill_state(world);
	for (uint32_t i = 0; err == 0 && i < n_routes; i++)
		err = add_route(world, i);
	for (uint32_t i = 0; err == 0 && i < n_limited && i < world->n_peers; i++)
		err = limit_peer(world, i);
	return err == 0 ? 0 : fail("state of a worker", err);
}

static int start(struct bench_world *world, const struct bench_options *options)
{
	int err = aead_create(options->backend, &world->aead);

	if (err != 0)
		return fail("backend cannot be used", err);
	err = bench_reference_create(&world->reference);
	if (err != 0)
		return fail("reference (ipsec-mb) cannot be used", err);
	if (bench_eal_start(EAL_MB) != 0)
		return -1;
	world->pool = rte_pktmbuf_pool_create("bench", N_MBUFS, CACHE_MBUFS, PORT_LINK_PRIV_LEN,
	                                      RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (world->pool == NULL)
		return fail("packet buffers", rte_errno);
	for (unsigned int i = 0; i < BENCH_PACKETS; i++) {
		world->packet[i].mbuf = rte_pktmbuf_alloc(world->pool);
		if (world->packet[i].mbuf == NULL)
			return fail("packet buffers", ENOMEM);
	}
	return 0;
}

static void share(struct bench_world *world, const struct bench_world *other)
{
	world->aead = other->aead;
	world->reference = other->reference;
	world->pool = other->pool;
	for (unsigned int i = 0; i < BENCH_PACKETS; i++)
		world->packet[i].mbuf = other->packet[i].mbuf;
}

static unsigned int common_divisor(unsigned int a, unsigned int b)
{
	return b == 0 ? a : common_divisor(b, a % b);
}

struct bench_world *bench_world_create(const struct bench_options *options, unsigned int n_peers,
                                       unsigned int n_routes, const struct bench_world *other)
{
	struct bench_world *world = aligned_alloc(RTE_CACHE_LINE_SIZE,
	                                          RTE_CACHE_LINE_ROUNDUP(sizeof(*world)));

	if (world == NULL)
		goto no_memory;
	memset(world, 0, sizeof(*world));
	world->n_peers = n_peers;
	for (world->peer_step = n_peers * 5U / 8U + 1; /* 1 divides all */
	     common_divisor(world->peer_step, n_peers) != 1; world->peer_step++)
		;
	world->peer = calloc(n_peers, sizeof(*world->peer));
	if (world->peer == NULL)
		goto no_memory;
	if (other != NULL)
		share(world, other);
	else if (start(world, options) != 0)
		goto failed;
	if (init_state(world, n_routes, options->limited) == 0)
		return world;
failed:
	bench_world_destroy(world, other != NULL);
	return NULL;
no_memory:
	fprintf(stderr, "weir-bench: no memory for %u peers\n", n_peers);
	goto failed;
}

void bench_world_destroy(struct bench_world *world, bool is_other)
{
	if (world == NULL)
		return;
	if (!is_other) {
		aead_destroy(world->aead);
		bench_reference_destroy(world->reference);
	}
	free(world->peer);
	free(world);
}

/* ---- packets ------------------------------------------------------------------------------------- */

#define CLIENT_PORT  40000U
#define SERVICE_PORT 2000U
#define TCP_OFFSET   12U /* of the header's length, and of its flags */
#define TCP_FLAGS    13U

static void pick_next(struct bench_world *world, struct bench_packet *packet)
{
	packet->from = world->next_peer;
	world->next_peer = (world->next_peer + world->peer_step) % world->n_peers;
	packet->to = world->next_peer;
	packet->proto = POLICY_PROTO_UDP;
	packet->sport = CLIENT_PORT;
	packet->dport = SERVICE_PORT;
}

/* Behind the ports and flags: anything. */
static uint8_t payload_byte(uint32_t packet, uint32_t at)
{
	return (uint8_t)(packet * 7 + at);
}

static void write_inner(const struct bench_packet *packet, uint8_t *ip, uint32_t i)
{
	uint8_t *upper = ip + BENCH_WIRE_IP4_LEN;

	bench_wire_ip4(ip, packet->len, packet->source, BENCH_WIRE_TUNNEL + packet->to);
	for (uint32_t at = BENCH_WIRE_IP4_LEN; at < packet->len; at++)
		ip[at] = payload_byte(i, at);
	base_store_be16(upper, packet->sport);
	base_store_be16(upper + 2, packet->dport);
	if (packet->proto == POLICY_PROTO_TCP) {
		path_inner_patch_v4(ip, 8, BENCH_WIRE_TTL << 8 | POLICY_PROTO_TCP);
		upper[TCP_OFFSET] = 5 << 4;
		upper[TCP_FLAGS] = packet->tcp_flags;
	}
}

/* The worker knows the packets' flows, and both ends of each have been heard. */
static void know_flows(struct bench_world *world, bool from_hub)
{
	for (uint32_t i = 0; i < BENCH_PACKETS; i++) {
		const struct bench_packet *packet = &world->packet[i];
		struct policy_flow_result result;
		struct base_ip from = bench_wire_ip(packet->source);
		struct base_ip to = bench_wire_ip(BENCH_WIRE_TUNNEL + packet->to);
		const struct policy_packet question = {
			.src = policy_address_make(&from),
			.dst = policy_address_make(&to),
			.in_peer = from_hub ? POLICY_HUB : packet->from,
			.out_peer = packet->to,
			.sport = CLIENT_PORT,
			.dport = SERVICE_PORT,
			.proto = POLICY_PROTO_UDP,
			.kind = POLICY_KIND_UDP,
		};
		struct policy_packet answer = question;

		answer.src = question.dst;
		answer.dst = question.src;
		answer.in_peer = question.out_peer;
		answer.out_peer = question.in_peer;
		answer.sport = SERVICE_PORT;
		answer.dport = CLIENT_PORT;
		policy_flow_judge(world->st.flows, world->st.policy, world->st.clock, &question,
		                  &result, 1);
		policy_flow_judge(world->st.flows, world->st.policy, world->st.clock, &answer,
		                  &result, 1);
	}
}

/* And for whom they are: from peers, whose packets are written. */
static void know_receivers(struct bench_world *world)
{
	struct state *st = &world->st;
	struct policy_frame frames[BENCH_BURST];
	struct policy_flow_result results[BENCH_BURST];

	st->routes_seen = state_route_generation(st->routes);
	policy_flow_lead(st->flows, state_flow_lead(st));
	for (uint32_t first = 0; first < BENCH_PACKETS; first += BENCH_BURST) {
		for (uint32_t i = 0; i < BENCH_BURST; i++) {
			const struct bench_packet *packet = &world->packet[first + i];

			frames[i] = (struct policy_frame){.data = world->ops[first + i].data,
			                                  .len = packet->len,
			                                  .in_peer = packet->from,
			                                  .out_peer = packet->to};
		}
		policy_flow_fetch(st->flows, st->policy, st->clock, frames, BENCH_BURST);
		(void)policy_flow_find(st->flows, BENCH_BURST);
		(void)policy_flow_pass_known(st->flows, st->policy, st->clock, frames, results,
		                             (UINT64_C(1) << BENCH_BURST) - 1, true);
	}
}

static uint8_t *reset_mbuf(struct rte_mbuf *mbuf, uint32_t len)
{
	mbuf->data_off = RTE_PKTMBUF_HEADROOM;
	mbuf->data_len = (uint16_t)len;
	mbuf->pkt_len = len;
	return rte_pktmbuf_mtod(mbuf, uint8_t *);
}

static void prepare_seal(struct bench_world *world, uint32_t i)
{
	struct bench_packet *packet = &world->packet[i];
	uint8_t *inner = reset_mbuf(packet->mbuf, packet->len);

	packet->mbuf->port = PORT_LINK_TUN;
	write_inner(packet, inner, i);
	world->ops[i] = (struct aead_op){
		.data = inner,
		.key = world->peer[packet->to].send_key,
		.counter = i,
		.len = bench_wire_padded(packet->len),
		.verdict = AEAD_ERROR,
	};
}

/* A frame of the peer's, complete but for the encryption, which is done for all packets at once. */
static void prepare_open(struct bench_world *world, uint32_t i)
{
	struct bench_packet *packet = &world->packet[i];
	struct bench_peer *peer = &world->peer[packet->from];
	uint32_t inner_len = bench_wire_padded(packet->len);
	uint8_t *frame = reset_mbuf(packet->mbuf, BENCH_WIRE_INNER + inner_len + AEAD_TAG_LEN);
	uint8_t *message = frame + BENCH_WIRE_MESSAGE;
	uint8_t *inner = frame + BENCH_WIRE_INNER;

	packet->mbuf->port = 0;
	(void)bench_wire_frame(frame, packet->from, WG_DATA_MIN_LEN + inner_len);
	memcpy(frame, hub_mac, 6);
	memcpy(frame + 6, gateway_mac, 6);
	base_store_le32(message, WG_MESSAGE_DATA);
	base_store_le32(message + WG_DATA_RECEIVER, peer->index);
	base_store_le64(message + WG_DATA_COUNTER, peer->counter);
	memset(inner + packet->len, 0, inner_len - packet->len);
	write_inner(packet, inner, i);
	world->ops[i] = (struct aead_op){
		.data = inner,
		.key = peer->receive_key,
		.counter = peer->counter++,
		.len = inner_len,
		.verdict = AEAD_ERROR,
	};
	world->out_ops[i] = world->ops[i];
	world->out_ops[i].key = world->peer[packet->to].send_key;
}

void bench_world_prepare(struct bench_world *world, const struct bench_size *size,
                         enum bench_direction direction)
{
	for (uint32_t i = 0; i < BENCH_PACKETS; i++) {
		struct bench_packet *packet = &world->packet[i];

		if (world->pick != NULL)
			world->pick(world, i, packet);
		else
			pick_next(world, packet);
		packet->len = bench_size_len(size, i);
		packet->source = direction == BENCH_SEAL ? ADDRESS_TUNNEL
		                                         : BENCH_WIRE_TUNNEL + packet->from;
		if (direction == BENCH_SEAL)
			prepare_seal(world, i);
		else
			prepare_open(world, i);
	}
	if (world->pick == NULL)
		know_flows(world, direction == BENCH_SEAL);
	if (world->pick == NULL && direction != BENCH_SEAL)
		know_receivers(world);
	if (direction != BENCH_SEAL) {
		for (unsigned int i = 0; i < BENCH_PACKETS; i += BENCH_BURST)
			aead_seal(world->aead, &world->ops[i], BENCH_BURST);
	}
}

/* ---- checks, outside the timed part ---------------------------------------------------------------- */

static bool inner_right(const struct bench_packet *packet, uint32_t i, const uint8_t *inner,
                        uint32_t ttl)
{
	uint8_t sent[BENCH_LEN_MAX];

	if (base_load_be16(inner + 2) != packet->len || inner[8] != ttl
	    || path_sum_fold(path_sum_add(0, inner, BENCH_WIRE_IP4_LEN)) != 0xffff)
		return false;
	write_inner(packet, sent, i);
	return memcmp(inner + BENCH_WIRE_IP4_LEN, sent + BENCH_WIRE_IP4_LEN,
	              packet->len - BENCH_WIRE_IP4_LEN)
	       == 0;
}

/* Opened, and one hop nearer to its destination. */
static bool opened_right(const struct bench_world *world)
{
	for (uint32_t i = 0; i < BENCH_PACKETS; i++) {
		const struct bench_packet *packet = &world->packet[i];
		const uint8_t *frame = (const uint8_t *)packet->mbuf->buf_addr
		                       + RTE_PKTMBUF_HEADROOM;

		if (!inner_right(packet, i, frame + BENCH_WIRE_INNER, BENCH_WIRE_TTL - 1))
			return false;
	}
	return true;
}

/* A frame to the peer that the reference can open, of the length that the reference sealed. */
static bool sealed_right(struct bench_world *world, uint32_t ttl)
{
	for (uint32_t i = 0; i < BENCH_PACKETS; i++) {
		const struct bench_packet *packet = &world->packet[i];
		uint8_t *frame = rte_pktmbuf_mtod(packet->mbuf, uint8_t *);
		struct aead_op op = {
			.data = frame + BENCH_WIRE_INNER,
			.key = world->peer[packet->to].send_key,
			.counter = base_load_le64(frame + BENCH_WIRE_INNER - 8),
			.len = world->ops[i].len,
		};

		if (packet->mbuf->data_len != BENCH_WIRE_INNER + op.len + AEAD_TAG_LEN
		    || base_load_be32(frame + BENCH_WIRE_ETHER_LEN + 16)
		               != BENCH_WIRE_OUTER + packet->to)
			return false;
		bench_reference_open(world->reference, &op, 1);
		if (op.verdict != AEAD_OK || !inner_right(packet, i, op.data, ttl))
			return false;
	}
	return true;
}

/* ---- timing -------------------------------------------------------------------------------------- */

_Static_assert(BENCH_WARM % BENCH_BURST == 0 && BENCH_WARM < BENCH_PACKETS,
               "whole bursts, and some left");

void bench_world_burst(struct bench_world *world, unsigned int first)
{
	world->burst.n = 0;
	for (unsigned int i = first; i < first + BENCH_BURST; i++)
		(void)path_append(&world->burst, world->packet[i].mbuf);
	world->st.now_ns += BASE_NS_PER_US;
}

uint64_t bench_world_time(struct bench_world *world, const struct bench_way *way,
                          unsigned int *n_left)
{
	uint64_t start = 0;

	*n_left = 0;
	for (unsigned int i = 0; i < BENCH_PACKETS; i += BENCH_BURST) {
		if (i == BENCH_WARM)
			start = bench_tsc();
		bench_world_burst(world, i);
		for (unsigned int j = 0; j < way->n; j++)
			way->station[j].run(&world->st, &world->burst);
		*n_left += world->burst.n;
	}
	return bench_tsc() - start;
}

bool bench_world_right(struct bench_world *world, enum bench_direction direction,
                       unsigned int n_left)
{
	punt(&world->st); /* events of first packets */
	if (n_left != BENCH_PACKETS)
		return false;
	switch (direction) {
	case BENCH_SEAL:
		return sealed_right(world, BENCH_WIRE_TTL);
	case BENCH_OPEN:
		return opened_right(world);
	default:
		return sealed_right(world, BENCH_WIRE_TTL - 1);
	}
}
