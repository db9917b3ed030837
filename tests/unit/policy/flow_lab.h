/* One worker's flow table under a policy of four grants, and packets between the two peers that it is about. For the
 * tests of policy_flow.h; include once in a test file. */
#ifndef FLOW_LAB_H
#define FLOW_LAB_H

#include "policy_flow.h"
#include "table_lab.h"
#include "test.h"

enum { A = 1, B = 2, G = 3, N_PEERS = 4 };

#define IP_A                                                                                       \
	{                                                                                          \
		.bytes = {10, 0, 0, 1}, .family = BASE_IP_V4                                       \
	}
#define IP_B                                                                                       \
	{                                                                                          \
		.bytes = {10, 0, 0, 2}, .family = BASE_IP_V4                                       \
	}
#define IP_G                                                                                       \
	{                                                                                          \
		.bytes = {10, 0, 0, 3}, .family = BASE_IP_V4                                       \
	}
#define IP6_A                                                                                      \
	{                                                                                          \
		.bytes = {0xfd, [15] = 1}, .family = BASE_IP_V6                                    \
	}
#define IP6_B                                                                                      \
	{                                                                                          \
		.bytes = {0xfd, [15] = 2}, .family = BASE_IP_V6                                    \
	}
#define PEER_A                                                                                     \
	{                                                                                          \
		.kind = POLICY_END_PEER, .number = A                                               \
	}
#define PEER_B                                                                                     \
	{                                                                                          \
		.kind = POLICY_END_PEER, .number = B                                               \
	}

static const struct base_ip ips_a[] = {IP_A, IP6_A};
static const struct base_ip ips_b[] = {IP_B, IP6_B};
static const struct base_ip ips_g[] = {IP_G};
static const struct policy_peer peers[] = {
	{.number = A, .n_addresses = 2, .addresses = ips_a},
	{.number = B, .n_addresses = 2, .addresses = ips_b},
	{.number = G, .n_addresses = 1, .addresses = ips_g},
};
static const struct policy_range ports[] = {{400, 500}};
static const struct policy_window soon[] = {{0, 1000}};
/* A may reach B: tcp and udp at 400-500, ping, and GRE until wall clock 1000. */
static const struct policy_grant grants[] = {
	{.id = 11, .from = PEER_A, .to = PEER_B, .proto = POLICY_TCP, .ports = ports, .n_ports = 1},
	{.id = 12, .from = PEER_A, .to = PEER_B, .proto = POLICY_UDP, .ports = ports, .n_ports = 1},
	{.id = 13, .from = PEER_A, .to = PEER_B, .proto = POLICY_ICMP},
	{.id = 14, .from = PEER_A, .to = PEER_B, .windows = soon, .n_windows = 1},
};

struct hub {
	struct policy_flow *flow;
	const struct policy_table *table;
	void *blob;
	size_t flow_len;
	struct policy_flow_clock clock;
	struct policy_flow_result result; /* of the last packet */
};

static const struct policy_flow_setup small = {
	.n_flows = 64,
	.n_datagrams = 16,
	.n_peers = N_PEERS,
	.peer_max = 64,
	.half_max = 64,
	.key = {0x8f1bbcdcbfa53e0b, 0x5be0cd19137e2179, 0x1f83d9abfb41bd6b, 0xa54ff53a5f1d36f1,
                0xbb67ae8584caa73b, 0x6a09e667f3bcc908, 0x3c6ef372fe94f82b, 0x510e527fade682d1},
};

/* The first n of the grants. */
static inline void load(struct hub *hub, uint32_t generation, uint32_t n)
{
	struct policy_source source = {
		.generation = generation,
		.n_peers = BASE_ARRAY_LEN(peers),
		.peers = peers,
		.n_grants = n,
		.grants = grants,
	};

	free(hub->blob);
	hub->table = table_lab_build(&source, &hub->blob);
}

static inline void hub_init(struct hub *hub, const struct policy_flow_setup *setup)
{
	memset(hub, 0, sizeof(*hub));
	hub->clock = (struct policy_flow_clock){.now_s = 5000, .wall_s = 500};
	hub->flow_len = policy_flow_len(setup);
	assert_int_not_equal(hub->flow_len, 0);
	hub->flow = policy_flow_init(aligned_alloc(64, hub->flow_len), setup, hub->clock.now_s);
	assert_non_null(hub->flow);
	load(hub, 1, 3);
}

static inline void hub_fini(struct hub *hub)
{
	free(hub->flow);
	free(hub->blob);
}

/* Ports of ICMP and of fragments are as the parser gives them. */
static inline struct policy_packet packet_of(uint32_t in_peer, uint32_t out_peer, uint8_t kind,
                                             uint8_t proto, uint16_t sport, uint16_t dport)
{
	static const struct base_ip ips[N_PEERS] = {[A] = IP_A, [B] = IP_B, [G] = IP_G};

	return (struct policy_packet){
		.in_peer = in_peer,
		.out_peer = out_peer,
		.src = policy_address_make(&ips[in_peer]),
		.dst = policy_address_make(&ips[out_peer]),
		.kind = kind,
		.proto = proto,
		.sport = sport,
		.dport = dport,
	};
}

/* What refuses says no grant, and has nothing for the other worker. */
static inline enum policy_flow_verdict judge(struct hub *hub, const struct policy_packet *packet)
{
	policy_flow_judge(hub->flow, hub->table, hub->clock, packet, &hub->result, 1);
	if (hub->result.verdict != POLICY_FLOW_PASS) {
		assert_int_equal(hub->result.grant, 0);
		assert_int_equal(hub->result.note, 0);
	}
	return hub->result.verdict;
}

#define SYN    POLICY_TCP_SYN
#define ACK    POLICY_TCP_ACK
#define FIN    (POLICY_TCP_FIN | POLICY_TCP_ACK)
#define RST    POLICY_TCP_RST
#define SYNACK (POLICY_TCP_SYN | POLICY_TCP_ACK)

/* From A's port 1024 to B's 443, or back. */
static inline struct policy_packet tcp_packet(uint32_t from, uint8_t flags)
{
	struct policy_packet packet = from == A ? packet_of(A, B, POLICY_KIND_TCP, POLICY_PROTO_TCP,
	                                                    1024, 443)
	                                        : packet_of(B, A, POLICY_KIND_TCP, POLICY_PROTO_TCP,
	                                                    443, 1024);

	packet.tcp_flags = flags;
	return packet;
}

static inline enum policy_flow_verdict tcp(struct hub *hub, uint32_t from, uint8_t flags)
{
	struct policy_packet packet = tcp_packet(from, flags);

	return judge(hub, &packet);
}

static inline enum policy_flow_verdict udp(struct hub *hub, uint32_t from, uint16_t port)
{
	struct policy_packet packet = from == A ? packet_of(A, B, POLICY_KIND_UDP, POLICY_PROTO_UDP,
	                                                    port, 443)
	                                        : packet_of(B, A, POLICY_KIND_UDP, POLICY_PROTO_UDP,
	                                                    443, port);

	return judge(hub, &packet);
}

static inline void handshake(struct hub *hub)
{
	assert_int_equal(tcp(hub, A, SYN), POLICY_FLOW_PASS);
	assert_int_equal(tcp(hub, B, SYNACK), POLICY_FLOW_PASS);
	assert_int_equal(tcp(hub, A, ACK), POLICY_FLOW_PASS);
}

/* Of the first flow there is. */
static inline enum policy_flow_state only_state(struct hub *hub)
{
	struct policy_flow_info info;

	for (uint32_t i = 0; i < policy_flow_places(hub->flow); i++) {
		if (policy_flow_get(hub->flow, i, hub->clock.now_s, &info))
			return info.state;
	}
	return POLICY_FLOW_FREE;
}

#endif
