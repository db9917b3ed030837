/* A policy as its description says it, without any compiling: for each packet every grant, for each
 * grant every word of it. And random policies of a size at which everything meets everything. */
#ifndef POLICY_NAIVE_H
#define POLICY_NAIVE_H

#include "base_bytes.h"
#include "policy_build.h"
#include "test.h"

static inline struct base_ip naive_ip(const char *text)
{
	struct base_ip ip;

	if (base_ip_parse(text, &ip) != 0)
		fail_msg("bad address in test: %s", text);
	return ip;
}

static inline struct base_prefix naive_prefix(const char *text)
{
	struct base_prefix prefix;

	if (base_prefix_parse(text, &prefix) != 0)
		fail_msg("bad prefix in test: %s", text);
	return prefix;
}

static inline bool naive_is_own(const struct policy_source *source, uint32_t number,
                                const struct base_ip *ip)
{
	for (uint32_t i = 0; i < source->n_peers; i++) {
		const struct policy_peer *peer = &source->peers[i];

		for (uint32_t j = 0; j < peer->n_addresses && peer->number == number; j++) {
			if (base_ip_equal(&peer->addresses[j], ip))
				return true;
		}
	}
	return false;
}

static inline const struct policy_peer *naive_peer(const struct policy_source *source,
                                                   uint32_t number)
{
	for (uint32_t i = 0; i < source->n_peers; i++) {
		if (source->peers[i].number == number)
			return &source->peers[i];
	}
	return NULL;
}

static inline bool naive_is_member(const struct policy_peer *peer, uint32_t group)
{
	for (uint32_t i = 0; i < peer->n_groups; i++) {
		if (peer->groups[i] == group)
			return true;
	}
	return false;
}

static inline bool naive_end(const struct policy_source *source, const struct policy_end *end,
                             uint32_t number, const struct base_ip *ip)
{
	const struct policy_peer *peer = naive_peer(source, number);
	bool is_own = naive_is_own(source, number, ip);

	switch (end->kind) {
	case POLICY_END_PEER:
		return is_own && number == end->number;
	case POLICY_END_GROUP:
		return is_own && naive_is_member(peer, end->number);
	case POLICY_END_ANY:
		return is_own;
	case POLICY_END_SUBNET:
		return peer != NULL && !is_own && number == end->number
		       && base_prefix_contains(&end->prefix, ip);
	case POLICY_END_BEHIND:
		return peer != NULL && !is_own
		       && (peer->behind
		           & (end->prefix.ip.family == BASE_IP_V4 ? POLICY_BEHIND_V4
		                                                  : POLICY_BEHIND_V6))
		                  != 0
		       && base_prefix_contains(&end->prefix, ip);
	default:
		return number == POLICY_HUB
		       && (end->prefix.ip.family == BASE_IP_NONE
		           || base_prefix_contains(&end->prefix, ip));
	}
}

/* Does any grant know this place, as a sender or a receiver? */
static inline bool naive_knows(const struct policy_source *source, uint32_t number,
                               const struct base_ip *ip)
{
	if (number == POLICY_HUB || naive_is_own(source, number, ip))
		return true;
	for (uint32_t i = 0; i < source->n_grants; i++) {
		if (naive_end(source, &source->grants[i].from, number, ip)
		    || naive_end(source, &source->grants[i].to, number, ip))
			return true;
	}
	return false;
}

struct naive_packet {
	uint32_t in_peer;
	uint32_t out_peer;
	struct base_ip src;
	struct base_ip dst;
	uint8_t proto;
	uint16_t dport;
};

static inline struct policy_packet naive_policy_packet(const struct naive_packet *packet)
{
	return (struct policy_packet){
		.in_peer = packet->in_peer,
		.out_peer = packet->out_peer,
		.src = policy_address_make(&packet->src),
		.dst = policy_address_make(&packet->dst),
		.proto = packet->proto,
		.dport = packet->dport,
	};
}

/* POLICY_MISS_... of one grant. */
static inline uint32_t naive_misses(const struct policy_source *source,
                                    const struct policy_grant *grant,
                                    const struct naive_packet *packet, uint64_t now_s)
{
	uint32_t misses = 0;
	bool is_open = grant->n_windows == 0;
	bool has_port = grant->n_ports == 0;
	bool is_icmp = packet->proto == 1 || packet->proto == 58;

	if (!naive_end(source, &grant->from, packet->in_peer, &packet->src))
		misses |= POLICY_MISS_FROM;
	if (!naive_end(source, &grant->to, packet->out_peer, &packet->dst))
		misses |= POLICY_MISS_TO;
	for (uint32_t i = 0; i < grant->n_ports; i++)
		has_port |= packet->dport >= grant->ports[i].first
		            && packet->dport <= grant->ports[i].last;
	for (uint32_t i = 0; i < grant->n_windows; i++)
		is_open |= now_s >= grant->windows[i].from_s && now_s < grant->windows[i].until_s;
	if ((grant->proto == POLICY_TCP && packet->proto != 6)
	    || (grant->proto == POLICY_UDP && packet->proto != 17)
	    || (grant->proto == POLICY_ICMP && !is_icmp))
		misses |= POLICY_MISS_PROTO;
	else if (!has_port)
		misses |= POLICY_MISS_PORT;
	return is_open ? misses : misses | POLICY_MISS_WINDOW;
}

static inline enum policy_reason naive_decide(const struct policy_source *source,
                                              const struct naive_packet *packet, uint64_t now_s)
{
	enum policy_reason reason = POLICY_NO_GRANT;

	if (!naive_knows(source, packet->in_peer, &packet->src))
		return POLICY_NO_SOURCE;
	if (!naive_knows(source, packet->out_peer, &packet->dst))
		return POLICY_NO_DESTINATION;
	for (uint32_t i = 0; i < source->n_grants; i++) {
		uint32_t misses = naive_misses(source, &source->grants[i], packet, now_s);

		if (misses == 0)
			return POLICY_ALLOWED;
		if (misses == POLICY_MISS_WINDOW)
			reason = POLICY_NOT_NOW;
	}
	return reason;
}

/* ---- random ones --------------------------------------------------------------------------------- */

#define NAIVE_NUMBERS 12U
#define NAIVE_GROUPS  4U
#define NAIVE_TIMES   20U
#define NAIVE_PORTS   12U

struct naive_world {
	struct policy_source source;
	struct policy_peer peers[NAIVE_NUMBERS];
	struct base_ip addresses[NAIVE_NUMBERS][4];
	uint32_t groups[NAIVE_NUMBERS][4];
	struct policy_grant grants[200];
	struct policy_range ports[200][3];
	struct policy_window windows[200][3];
};

static inline struct base_ip naive_random_ip(struct test_random *random)
{
	uint8_t bytes[16] = {0};

	if (test_random_below(random, 3) == 0) {
		bytes[0] = 0xfd;
		bytes[14] = (uint8_t)test_random_below(random, 2);
		bytes[15] = (uint8_t)test_random_below(random, 8);
		return base_ip_make(BASE_IP_V6, bytes);
	}
	bytes[0] = 10;
	bytes[2] = (uint8_t)(test_random_below(random, 2) * 255);
	bytes[3] = (uint8_t)(test_random_below(random, 8) * 36 + test_random_below(random, 2));
	return base_ip_make(BASE_IP_V4, bytes);
}

static inline struct base_prefix naive_random_prefix(struct test_random *random)
{
	struct base_prefix prefix = {.ip = naive_random_ip(random)};
	size_t bits = base_ip_len(prefix.ip.family) * 8;
	static const uint8_t less[] = {0, 0, 1, 3, 5, 8, 11, 22, 32};
	uint8_t cut = less[test_random_below(random, sizeof(less))];

	prefix.len = (uint8_t)(test_random_below(random, 50) == 0 ? 0 : bits - cut);
	(void)base_prefix_mask(&prefix);
	return prefix;
}

/* Most numbers exist, some do not; the hub now and then. */
static inline uint32_t naive_random_number(struct test_random *random)
{
	uint64_t number = test_random_below(random, NAIVE_NUMBERS + 3);

	return number > NAIVE_NUMBERS ? POLICY_HUB : (uint32_t)number;
}

static inline struct policy_end naive_random_end(struct test_random *random)
{
	struct policy_end end = {
		.kind = (uint8_t)test_random_below(random, POLICY_N_END_KINDS),
		.number = (uint32_t)test_random_below(random, NAIVE_NUMBERS + 2),
	};

	if (end.kind == POLICY_END_GROUP)
		end.number %= NAIVE_GROUPS;
	if (end.kind == POLICY_END_BEHIND)
		end.number = 0;
	if (end.kind == POLICY_END_SUBNET || end.kind == POLICY_END_BEHIND
	    || (end.kind == POLICY_END_HUB && test_random_below(random, 2) == 0))
		end.prefix = naive_random_prefix(random);
	return end;
}

static inline void naive_random_grant(struct test_random *random, struct naive_world *world,
                                      uint32_t i)
{
	struct policy_grant *grant = &world->grants[i];

	*grant = (struct policy_grant){
		.id = i + 1,
		.proto = (uint8_t)test_random_below(random, POLICY_N_PROTOS),
		.from = naive_random_end(random),
		.to = naive_random_end(random),
		.ports = world->ports[i],
		.windows = world->windows[i],
	};
	if (grant->proto == POLICY_TCP || grant->proto == POLICY_UDP)
		grant->n_ports = (uint32_t)test_random_below(random, 4);
	if (test_random_below(random, 3) == 0)
		grant->n_windows = (uint32_t)test_random_below(random, 4);
	for (uint32_t j = 0; j < 3; j++) {
		uint16_t a = (uint16_t)(test_random_below(random, NAIVE_PORTS) * 5958);
		uint16_t b = (uint16_t)(test_random_below(random, NAIVE_PORTS) * 5958);
		uint64_t from_s = 1 + test_random_below(random, NAIVE_TIMES);

		world->ports[i][j] = (struct policy_range){a < b ? a : b, a < b ? b : a};
		if (test_random_below(random, 10) == 0)
			world->ports[i][j].last = UINT16_MAX;
		world->windows[i][j] = (struct policy_window){
			from_s, from_s + 1 + test_random_below(random, 5)};
	}
}

static inline void naive_random_world(struct test_random *random, struct naive_world *world)
{
	static const uint32_t sizes[] = {0, 1, 5, 20, 63, 64, 65, 130, 200};

	world->source = (struct policy_source){
		.generation = 1,
		.n_groups = NAIVE_GROUPS,
		.n_grants = sizes[test_random_below(random, BASE_ARRAY_LEN(sizes))],
		.peers = world->peers,
		.grants = world->grants,
	};
	for (uint32_t number = 0; number < NAIVE_NUMBERS; number++) {
		struct policy_peer *peer = &world->peers[world->source.n_peers];

		if (test_random_below(random, 5) == 0)
			continue;
		*peer = (struct policy_peer){
			.number = number,
			.n_addresses = (uint32_t)test_random_below(random, 5),
			.n_groups = (uint32_t)test_random_below(random, 5),
			.behind = (uint32_t)test_random_below(random, 4),
			.addresses = world->addresses[number],
			.groups = world->groups[number],
		};
		world->source.n_peers++;
		for (uint32_t i = 0; i < 4; i++) {
			world->addresses[number][i] = naive_random_ip(random);
			world->groups[number][i] = (uint32_t)test_random_below(random,
			                                                       NAIVE_GROUPS);
		}
	}
	for (uint32_t i = 0; i < world->source.n_grants; i++)
		naive_random_grant(random, world, i);
}

static inline struct base_ip naive_random_ip_of(struct test_random *random,
                                                const struct policy_source *source, uint32_t number)
{
	const struct policy_peer *peer = naive_peer(source, number);

	if (peer == NULL || peer->n_addresses == 0 || test_random_below(random, 2) == 0)
		return naive_random_ip(random);
	return peer->addresses[test_random_below(random, peer->n_addresses)];
}

static inline struct naive_packet naive_random_packet(struct test_random *random,
                                                      const struct policy_source *source)
{
	static const uint8_t protos[] = {1, 6, 6, 6, 17, 17, 58, 47};
	struct naive_packet packet = {
		.in_peer = naive_random_number(random),
		.out_peer = naive_random_number(random),
		.proto = protos[test_random_below(random, sizeof(protos))],
		.dport = (uint16_t)(test_random_below(random, NAIVE_PORTS) * 5958
	                            + test_random_below(random, 3) - 1),
	};

	packet.src = naive_random_ip_of(random, source, packet.in_peer);
	packet.dst = naive_random_ip_of(random, source, packet.out_peer);
	return packet;
}

#endif
