/* A worker's state as control's commands would have made it, and packets for it: what bench_path.c and
 * bench_scale.c time. One WAN port, one gateway, an address a peer; IPv4 in IPv4. */
#ifndef BENCH_WORLD_H
#define BENCH_WORLD_H

#include "abi_region.h"
#include "bench.h"
#include "bench_reference.h"
#include "path.h"
#include "state.h"

struct bench_peer {
	uint32_t index;
	uint64_t counter; /* next that the peer sends with */
	uint8_t receive_key[32];
	uint8_t send_key[32];
};

/* One packet of a pass: where it lies, and what the reference does with it. */
struct bench_packet {
	struct rte_mbuf *mbuf;
	uint32_t from;
	uint32_t to;
	uint32_t len;    /* inner, without padding */
	uint32_t source; /* inner address */
	uint16_t sport;  /* of TCP or UDP */
	uint16_t dport;
	uint8_t proto;
	uint8_t tcp_flags;
};

struct bench_world;
/* Say between which peers packet number i goes, and of which flow it is: all but mbuf, len and source. */
typedef void bench_pick_fn(struct bench_world *world, uint32_t i, struct bench_packet *packet);

struct bench_world {
	struct state st;
	struct path_burst burst;
	struct abi_region region;
	struct state_current *current;
	struct aead *aead;
	struct bench_reference *reference;
	struct rte_mempool *pool;
	unsigned int n_peers;
	unsigned int next_peer;
	unsigned int peer_step; /* to the next packet's peer: all in turn, neighbours far apart */
	/* NULL: peers in turn, each to the next, UDP of flows that the worker knows. Else it knows only what
	 * the caller has seen to. */
	bench_pick_fn *pick;
	struct bench_packet packet[BENCH_PACKETS];
	struct aead_op ops[BENCH_PACKETS];
	struct aead_op out_ops[BENCH_PACKETS]; /* BENCH_HUB: the same bytes, to their receivers */
	struct bench_peer *peer;               /* [n_peers] */
};

/* The stations of a way, in the worker's order. */
struct bench_way {
	unsigned int n;
	struct {
		const char *name;
		void (*run)(struct state *st, struct path_burst *b);
	} station[BENCH_STATIONS_MAX];
};
extern const struct bench_way bench_ways[BENCH_N_WAYS];
/* The same without policy and policy_late: whatever comes passes, and out_route looks up who gets it. */
struct bench_way bench_way_without_policy(enum bench_direction direction);

/* Make a world of n_peers with a session each, and n_routes prefixes more, which no packet is for. NULL:
 * failed, and why was said. other: share its buffers, cipher and reference; NULL starts DPDK. */
struct bench_world *bench_world_create(const struct bench_options *options, unsigned int n_peers,
                                       unsigned int n_routes, const struct bench_world *other);
/* NULL is fine. State, region and buffers go with the process. */
void bench_world_destroy(struct bench_world *world, bool is_other);

/* Fill the buffers with packets of the next peers. */
void bench_world_prepare(struct bench_world *world, const struct bench_size *size,
                         enum bench_direction direction);
/* The burst that begins with packet number first. */
void bench_world_burst(struct bench_world *world, unsigned int first);
/* All bursts through all stations; returns the TSC cycles of the last BENCH_TIMED packets, *n_left gets how many of all
 * came through. */
uint64_t bench_world_time(struct bench_world *world, const struct bench_way *way,
                          unsigned int *n_left);
/* All came through, as they should. */
bool bench_world_right(struct bench_world *world, enum bench_direction direction,
                       unsigned int n_left);

#endif
