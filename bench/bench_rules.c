#include "bench_rules.h"

#include <errno.h>
#include <stdlib.h>

static uint64_t random_state = 88172645463325252;

uint32_t bench_rules_random(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 32) * below >> 32);
}

static void describe_peers(struct bench_rules *rules)
{
	for (uint32_t i = 0; i < rules->source.n_peers; i++) {
		uint32_t *groups = &rules->groups[(size_t)i * BENCH_RULES_PER_PEER];
		uint8_t bytes[4];

		base_store_be32(bytes, rules->first_address + i);
		rules->addresses[i] = base_ip_make(BASE_IP_V4, bytes);
		for (uint32_t j = 0; j < BENCH_RULES_PER_PEER; j++)
			groups[j] = bench_rules_random(BENCH_RULES_GROUPS);
		rules->peers[i] = (struct policy_peer){.number = i,
		                                       .n_addresses = 1,
		                                       .n_groups = BENCH_RULES_PER_PEER,
		                                       .addresses = &rules->addresses[i],
		                                       .groups = groups};
	}
}

static void describe_grants(struct bench_rules *rules, enum bench_rules_kind kind)
{
	for (uint32_t i = 0; i < rules->source.n_grants; i++) {
		struct policy_grant *grant = &rules->grants[i];

		rules->ports[i].first = rules->ports[i].last = (uint16_t)(BENCH_RULES_PORT + i);
		*grant = (struct policy_grant){
			.id = i + 1,
			.proto = POLICY_TCP,
			.from = {.kind = POLICY_END_GROUP,
		                 .number = bench_rules_random(BENCH_RULES_GROUPS)},
			.to = {.kind = POLICY_END_GROUP,
		               .number = bench_rules_random(BENCH_RULES_GROUPS)},
			.ports = &rules->ports[i],
			.n_ports = 1};
		if (kind == BENCH_RULES_GROUP_TO_GROUP)
			continue;
		grant->from = (struct policy_end){.kind = POLICY_END_PEER, .number = 0};
		grant->to = (struct policy_end){.kind = POLICY_END_PEER, .number = 1};
	}
	if (kind == BENCH_RULES_ANY)
		rules->grants[0] = (struct policy_grant){
			.id = 1, .from = {.kind = POLICY_END_ANY}, .to = {.kind = POLICY_END_ANY}};
}

int bench_rules_init(struct bench_rules *rules, enum bench_rules_kind kind, uint32_t n_peers,
                     uint32_t first_address)
{
	*rules = (struct bench_rules){
		.source = {.n_peers = n_peers,
	                   .n_groups = BENCH_RULES_GROUPS,
	                   .n_grants = kind == BENCH_RULES_ANY ? 1 : BENCH_RULES_GRANTS},
		.first_address = first_address,
		.peers = calloc(n_peers, sizeof(*rules->peers)),
		.addresses = calloc(n_peers, sizeof(*rules->addresses)),
		.groups = calloc((size_t)n_peers * BENCH_RULES_PER_PEER, sizeof(*rules->groups)),
		.grants = calloc(BENCH_RULES_GRANTS, sizeof(*rules->grants)),
		.ports = calloc(BENCH_RULES_GRANTS, sizeof(*rules->ports)),
	};
	if (rules->peers == NULL || rules->addresses == NULL || rules->groups == NULL
	    || rules->grants == NULL || rules->ports == NULL)
		return -ENOMEM;
	rules->source.peers = rules->peers;
	rules->source.grants = rules->grants;
	describe_peers(rules);
	describe_grants(rules, kind);
	return 0;
}

void bench_rules_fini(struct bench_rules *rules)
{
	free(rules->blob);
	free(rules->peers);
	free(rules->addresses);
	free(rules->groups);
	free(rules->grants);
	free(rules->ports);
	*rules = (struct bench_rules){0};
}

int bench_rules_build(struct bench_rules *rules, uint32_t generation)
{
	int err;

	free(rules->blob);
	rules->table = NULL;
	rules->source.generation = generation;
	err = policy_build(&rules->source, &rules->blob, &rules->len, NULL);
	if (err != 0)
		return err;
	rules->table = policy_table_check(rules->blob, rules->len, NULL);
	return rules->table != NULL ? 0 : -EINVAL;
}

static bool is_member(const struct bench_rules *rules, uint32_t peer, const struct policy_end *end)
{
	const uint32_t *groups = &rules->groups[(size_t)peer * BENCH_RULES_PER_PEER];

	if (end->kind == POLICY_END_PEER)
		return end->number == peer;
	for (uint32_t i = 0; i < BENCH_RULES_PER_PEER; i++) {
		if (groups[i] == end->number)
			return true;
	}
	return end->kind == POLICY_END_ANY;
}

/* A peer that this end of a grant is, the first from a random one on; n_peers: none. */
static uint32_t find_member(const struct bench_rules *rules, const struct policy_end *end)
{
	uint32_t n = rules->source.n_peers;
	uint32_t first = bench_rules_random(n);

	for (uint32_t i = 0; i < n; i++) {
		uint32_t peer = (first + i) % n;

		if (is_member(rules, peer, end))
			return peer;
	}
	return n;
}

struct bench_rules_pair bench_rules_pick(const struct bench_rules *rules, bool denied)
{
	uint32_t n = rules->source.n_peers;

	for (;;) { /* ends: there are far more grants than groups without a member */
		const struct policy_grant *grant =
			&rules->grants[bench_rules_random(rules->source.n_grants)];
		uint32_t from = find_member(rules, &grant->from);
		uint32_t to = find_member(rules, &grant->to);
		uint16_t port = grant->n_ports != 0 ? grant->ports->first : BENCH_RULES_PORT;

		if (from != n && to != n && from != to)
			return (struct bench_rules_pair){from, to,
			                                 denied ? BENCH_RULES_PORT - 1 : port};
	}
}

struct policy_packet bench_rules_packet(const struct bench_rules *rules, uint32_t from, uint32_t to,
                                        uint16_t sport, uint16_t dport)
{
	return (struct policy_packet){.src = policy_address_make(&rules->addresses[from]),
	                              .dst = policy_address_make(&rules->addresses[to]),
	                              .in_peer = from,
	                              .out_peer = to,
	                              .sport = sport,
	                              .dport = dport,
	                              .proto = POLICY_PROTO_TCP,
	                              .kind = POLICY_KIND_TCP,
	                              .tcp_flags = POLICY_TCP_ACK};
}

struct policy_packet bench_rules_reply(const struct policy_packet *packet)
{
	struct policy_packet reply = *packet;

	reply.src = packet->dst;
	reply.dst = packet->src;
	reply.in_peer = packet->out_peer;
	reply.out_peer = packet->in_peer;
	reply.sport = packet->dport;
	reply.dport = packet->sport;
	return reply;
}

struct policy_frame bench_rules_frame(const struct policy_packet *packet,
                                      uint8_t bytes[static BENCH_RULES_FRAME])
{
	static const uint8_t headers[] = {
		0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, POLICY_PROTO_TCP, [32] = 0x50, [39] = 0};

	memcpy(bytes, headers, sizeof(headers));
	base_store_be32(bytes + 12, (uint32_t)packet->src.low);
	base_store_be32(bytes + 16, (uint32_t)packet->dst.low);
	base_store_be16(bytes + 20, packet->sport);
	base_store_be16(bytes + 22, packet->dport);
	bytes[33] = packet->tcp_flags;
	return (struct policy_frame){.data = bytes,
	                             .len = sizeof(headers),
	                             .in_peer = packet->in_peer,
	                             .out_peer = packet->out_peer};
}

bool bench_rules_establish(struct policy_flow *flow, const struct policy_table *table,
                           struct policy_flow_clock clock, const struct policy_packet *packet)
{
	struct policy_packet three[3] = {*packet, bench_rules_reply(packet), *packet};
	struct policy_flow_result results[3];
	uint8_t bytes[BENCH_RULES_FRAME];
	struct policy_frame frame = bench_rules_frame(packet, bytes);

	three[0].tcp_flags = POLICY_TCP_SYN;
	three[1].tcp_flags = POLICY_TCP_SYN | POLICY_TCP_ACK;
	policy_flow_judge(flow, table, clock, three, results, 3);
	for (unsigned int i = 0; i < 3; i++)
		if (results[i].verdict != POLICY_FLOW_PASS)
			return false;
	policy_flow_fetch(flow, table, clock, &frame, 1);
	(void)policy_flow_find(flow, 1);
	/* but for the few that have another's tag, which are judged each time */
	(void)policy_flow_pass_known(flow, table, clock, &frame, results, 1, true);
	return true;
}
