/* A policy of 10,000 grants for benchmarks, and packets that it allows or denies. Peer number n has the
 * IPv4 address first_address + n. Numbers are drawn from a generator of the process. */
#ifndef BENCH_RULES_H
#define BENCH_RULES_H

#include "policy_build.h"
#include "policy_flow.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_RULES_GRANTS   10000U
#define BENCH_RULES_GROUPS   1000U
#define BENCH_RULES_PER_PEER 4U    /* groups, drawn at random */
#define BENCH_RULES_PORT     1024U /* of the first grant; each has a TCP port of its own */

enum bench_rules_kind {
	BENCH_RULES_GROUP_TO_GROUP = 0,
	BENCH_RULES_ONE_PAIR = 1, /* all from peer 0 to peer 1 */
	BENCH_RULES_ANY = 2,      /* one grant: from everybody to everybody, whatever it is */
};

struct bench_rules {
	struct policy_source source;
	uint32_t first_address;
	void *blob;
	size_t len;
	const struct policy_table *table; /* of blob, checked */
	struct policy_peer *peers;        /* [source.n_peers] */
	struct base_ip *addresses;        /* [source.n_peers] */
	uint32_t *groups;                 /* [source.n_peers][BENCH_RULES_PER_PEER] */
	struct policy_grant *grants;
	struct policy_range *ports;
};

/* Returns 0 or -ENOMEM; in both cases bench_rules_fini() frees what was made. No table yet. */
int bench_rules_init(struct bench_rules *rules, enum bench_rules_kind kind, uint32_t n_peers,
                     uint32_t first_address) __attribute__((warn_unused_result));
void bench_rules_fini(struct bench_rules *rules);

/* Compile and check, in place of the table before. Returns 0 or -errno. */
int bench_rules_build(struct bench_rules *rules, uint32_t generation)
	__attribute__((warn_unused_result));

/* A grant and two different peers for it: numbers and the port. denied: a port of no grant. */
struct bench_rules_pair {
	uint32_t from;
	uint32_t to;
	uint16_t port;
};
struct bench_rules_pair bench_rules_pick(const struct bench_rules *rules, bool denied);

/* A number below, of the process' generator. */
uint32_t bench_rules_random(uint32_t below);

/* A TCP packet between two peers with these ports and no flags but ACK. */
struct policy_packet bench_rules_packet(const struct bench_rules *rules, uint32_t from, uint32_t to,
                                        uint16_t sport, uint16_t dport);
/* Its answer. */
struct policy_packet bench_rules_reply(const struct policy_packet *packet);

/* The packet as it is on the wire, into bytes, with no payload. */
#define BENCH_RULES_FRAME 64U
struct policy_frame bench_rules_frame(const struct policy_packet *packet,
                                      uint8_t bytes[static BENCH_RULES_FRAME]);

/* Let the flow of a TCP packet stand: three packets of a handshake, and addresses that lead to its peers.
 * False: it was refused. */
bool bench_rules_establish(struct policy_flow *flow, const struct policy_table *table,
                           struct policy_flow_clock clock, const struct policy_packet *packet);

#endif
