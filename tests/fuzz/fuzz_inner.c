/* Inner packets, as peers send them: IPv4 with options, IPv6 with chains of extension headers, fragments, ICMP
 * errors that quote others. Each is read where it ends with its memory, and judged with flows; what the quick
 * way passes, the whole one passes too. */
#include "base_bytes.h"
#include "fuzz.h"
#include "policy_build.h"
#include "policy_flow.h"

#include <stdlib.h>
#include <string.h>

enum { A = 1, B = 2, N_PEERS = 3 };

#define N_PACKETS 8U

static const struct base_ip of_a[] = {{.bytes = {10, 0, 0, 1}, .family = BASE_IP_V4},
                                      {.bytes = {0xfd, [15] = 1}, .family = BASE_IP_V6}};
static const struct base_ip of_b[] = {{.bytes = {10, 0, 0, 2}, .family = BASE_IP_V4},
                                      {.bytes = {0xfd, [15] = 2}, .family = BASE_IP_V6}};
static const struct policy_flow_setup setup = {
	.n_flows = 16,
	.n_datagrams = 8,
	.n_peers = N_PEERS,
	.peer_max = 12,
	.half_max = 8,
	.pickup_s = 100,
	.key = {1, 2, 3, 4, 5, 6, 7, 8, 9},
};
static const struct policy_table *table;
static void *memory;

void fuzz_start(void)
{
	static const struct policy_peer peers[] = {
		{.number = A, .n_addresses = 2, .addresses = of_a},
		{.number = B, .n_addresses = 2, .addresses = of_b},
	};
	static const struct policy_grant any = {
		.id = 11,
		.from = {.kind = POLICY_END_PEER, .number = A},
		.to = {.kind = POLICY_END_PEER, .number = B},
	};
	struct policy_source source = {
		.generation = 1, .n_peers = 2, .peers = peers, .n_grants = 1, .grants = &any};
	void *blob;
	size_t len;

	assert(policy_build(&source, &blob, &len, NULL) == 0);
	table = policy_table_check(blob, len, NULL);
	memory = aligned_alloc(64, policy_flow_len(&setup));
	assert(table != NULL && memory != NULL);
}

static void check_packet(const struct policy_packet *p, size_t len)
{
	assert(p->kind < POLICY_N_KINDS && p->is_fragment <= 1);
	assert(len >= 20);
	assert(policy_address_is_v4(p->src) == policy_address_is_v4(p->dst));
	if (p->kind == POLICY_KIND_FRAGMENT)
		assert(p->is_fragment == 1);
}

/* As a worker does it: of a flow that stands, or opens one. */
static bool take_quickly(struct policy_flow *flow, struct policy_flow_clock clock,
                         const struct policy_frame *frame, struct policy_flow_result *result)
{
	struct policy_frame unknown = *frame;

	policy_flow_fetch(flow, table, clock, frame, 1);
	policy_flow_foresee(flow, table, frame, policy_flow_find(flow, 1));
	return policy_flow_pass(flow, table, clock, &unknown, result, 1) != 0
	       || policy_flow_pass_known(flow, table, clock, frame, result, 1, true) != 0
	       || policy_flow_open(flow, table, clock, result, 1) != 0;
}

/* One packet, in memory of its own. */
static void judge(struct policy_flow *flow, struct policy_flow_clock clock, bool from_a,
                  const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	struct policy_packet packet = {.in_peer = from_a ? A : B, .out_peer = from_a ? B : A};
	struct policy_flow_result quick = {.pad = 0};
	struct policy_flow_result result;
	struct policy_frame frame;
	enum policy_parse parsed;

	assert(copy != NULL);
	memcpy(copy, bytes, len);
	frame = (struct policy_frame){copy, (uint32_t)len, packet.in_peer, packet.out_peer, 0};
	parsed = policy_packet_parse(copy, len, &packet);
	assert(parsed < POLICY_N_PARSE);
	if (parsed == POLICY_PARSE_OK)
		check_packet(&packet, len);
	/* the worker has seen to it that there is a whole IP header */
	if (len >= 20 && len >= (copy[0] >> 4 == 4 ? 20U : 40U)
	    && take_quickly(flow, clock, &frame, &quick)) {
		assert(parsed == POLICY_PARSE_OK);
		policy_flow_judge(flow, table, clock, &packet, &result, 1);
		assert(result.verdict == quick.verdict && result.grant == quick.grant);
	} else if (parsed == POLICY_PARSE_OK) {
		policy_flow_judge(flow, table, clock, &packet, &result, 1);
		assert(result.verdict < POLICY_FLOW_N_VERDICTS);
		assert(result.verdict == POLICY_FLOW_PASS || result.grant == 0);
	}
	free(copy);
}

/* Of each packet: who and when, its length, its bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct policy_flow_clock clock = {.now_s = 1000, .wall_s = 1800000000};
	struct policy_flow *flow = policy_flow_init(memory, &setup, clock.now_s);
	struct fuzz_input in = {data, len};

	assert(flow != NULL);
	for (uint32_t i = 0; i < N_PACKETS && in.len > 0; i++) {
		uint8_t how = fuzz_u8(&in);
		uint16_t n = fuzz_u16(&in);
		const uint8_t *bytes;
		size_t n_bytes = fuzz_bytes(&in, n % 512, &bytes);

		clock.now_s += (how & 0x7eU) * 8;
		judge(flow, clock, (how & 1) == 0, bytes, n_bytes);
		(void)policy_flow_expire(flow, clock.now_s, 4);
	}
	return 0;
}

/* ---- seeds -------------------------------------------------------------------------------------- */

static uint8_t seed[600];
static size_t seed_len;

static void packet_begin(bool from_a)
{
	seed[seed_len++] = from_a ? 0 : 1;
	seed_len += 2; /* filled in by packet_end() */
}

static void put(const void *bytes, size_t n)
{
	memcpy(seed + seed_len, bytes, n);
	seed_len += n;
}

static void packet_end(size_t begin)
{
	size_t n = seed_len - begin - 3;

	seed[begin + 1] = (uint8_t)n;
	seed[begin + 2] = (uint8_t)(n >> 8);
}

/* IPv4 with a TCP header or what else there is. */
static void add_v4(bool from_a, uint8_t proto, uint16_t fragment, const void *upper, size_t n)
{
	uint8_t ip[20] = {0x45, [8] = 64, [12] = 10, [15] = 1, [16] = 10, [19] = 2};
	size_t begin = seed_len;

	ip[3] = (uint8_t)(20 + n);
	ip[6] = (uint8_t)(fragment >> 8);
	ip[7] = (uint8_t)fragment;
	ip[9] = proto;
	ip[15] = from_a ? 1 : 2;
	ip[19] = from_a ? 2 : 1;
	packet_begin(from_a);
	put(ip, sizeof(ip));
	put(upper, n);
	packet_end(begin);
}

/* IPv6: first is the type of what chain begins with. */
static void add_v6(bool from_a, uint8_t first, const void *chain, size_t n)
{
	uint8_t ip[40] = {0x60, [7] = 64, [8] = 0xfd, [24] = 0xfd};
	size_t begin = seed_len;

	ip[5] = (uint8_t)n;
	ip[6] = first;
	ip[23] = from_a ? 1 : 2;
	ip[39] = from_a ? 2 : 1;
	packet_begin(from_a);
	put(ip, sizeof(ip));
	put(chain, n);
	packet_end(begin);
}

static const uint8_t syn[20] = {0x9c, 0x40, 0x01, 0xbb, [12] = 0x50, [13] = 0x02};
static const uint8_t syn_ack[20] = {0x01, 0xbb, 0x9c, 0x40, [12] = 0x50, [13] = 0x12};
static const uint8_t udp[8] = {0x9c, 0x40, 0, 53, 0, 8};
static const uint8_t echo[8] = {8, 0, 0, 0, 0, 7};

static void write_seed(const char *name)
{
	fuzz_seed(name, seed, seed_len);
	seed_len = 0;
}

static void seeds_v6(void)
{
	/* hop by hop, destination options, routing, fragment; then UDP */
	uint8_t chain[40] = {
		60, 0, 1, 4, [8] = 43, 0, 1, 4, [16] = 44, [24] = 17, 0, 0, 1, 0, 0, 0, 9};
	uint8_t deep[9 * 8 + 8] = {0};

	memcpy(chain + 32, udp, sizeof(udp));
	add_v6(true, 0, chain, sizeof(chain));
	write_seed("v6_chain");
	for (uint32_t i = 0; i < 9; i++)
		deep[i * 8] = i == 8 ? 17 : 60;
	memcpy(deep + 72, udp, sizeof(udp));
	add_v6(true, 60, deep, sizeof(deep));
	write_seed("v6_deep");
	add_v6(true, 6, syn, sizeof(syn));
	add_v6(false, 6, syn_ack, sizeof(syn_ack));
	write_seed("v6_tcp");
}

void fuzz_seeds(void)
{
	uint8_t error[8 + 28] = {3, 3};

	add_v4(true, 6, 0, syn, sizeof(syn));
	add_v4(false, 6, 0, syn_ack, sizeof(syn_ack));
	write_seed("v4_tcp");
	add_v4(true, 17, 0x2000, udp, sizeof(udp));
	add_v4(true, 17, 1, udp, sizeof(udp));
	write_seed("v4_fragments");
	add_v4(true, 1, 0, echo, sizeof(echo));
	write_seed("v4_echo");
	add_v4(true, 17, 0, udp, sizeof(udp));
	memcpy(error + 8, seed + 3, 28);
	add_v4(false, 1, 0, error, sizeof(error));
	write_seed("v4_error");
	seeds_v6();
}
