/* Flows: who sends to whom, how far the numbers are, and what becomes of a number that arrives.
 * Pure book-keeping: no packet, no clock. */
#ifndef PKTGEN_FLOW_H
#define PKTGEN_FLOW_H

#include "pktgen_args.h"

#include <stdint.h>

#define PKTGEN_FLOW_WINDOW 256U /* numbers behind the newest that are told apart */

enum pktgen_flow_verdict {
	PKTGEN_FLOW_IN_ORDER = 0,
	PKTGEN_FLOW_REORDERED = 1, /* new, behind a later one */
	PKTGEN_FLOW_DUPLICATE = 2,
	PKTGEN_FLOW_LATE = 3,  /* so far behind that it may be either: counts as reordered */
	PKTGEN_FLOW_STALE = 4, /* sent before the trial began */
	PKTGEN_FLOW_NEVER = 5, /* never sent */
};

/* One line of the cache: all that sending and receiving a packet touch of it. */
struct pktgen_flow {
	uint32_t source;      /* peer */
	uint32_t destination; /* peer, or PKTGEN_FLOW_HUB */
	uint64_t next;        /* number to be sent next */
	uint64_t first;       /* of this trial */
	uint64_t received;    /* 1 + highest number received */
	uint64_t seen[PKTGEN_FLOW_WINDOW / 64];
};

_Static_assert(sizeof(struct pktgen_flow) == 64, "one line");

#define PKTGEN_FLOW_HUB UINT32_MAX

struct pktgen_flows {
	uint32_t n;
	struct pktgen_flow *flow; /* [n], by queue; neighbours belong to different peers */
	uint32_t n_queues;
	uint32_t first[PKTGEN_QUEUES_MAX + 1]; /* queue q has first[q] .. first[q + 1] - 1 */
};

/* Make the flows that the pattern asks for. Caller: pktgen_flows_fini(). Returns 0 or -ENOMEM. */
int pktgen_flows_init(struct pktgen_flows *flows, const struct pktgen_options *options)
	__attribute__((warn_unused_result));
void pktgen_flows_fini(struct pktgen_flows *flows);

/* The queue that a peer sends on: as a NIC spreads senders by their addresses, always the same. */
static inline uint32_t pktgen_flows_queue(const struct pktgen_flows *flows, uint32_t peer)
{
	return peer % flows->n_queues;
}

/* Begin a trial: what was sent before is stale from now on. */
void pktgen_flows_begin(struct pktgen_flows *flows);

/* A number arrived. */
enum pktgen_flow_verdict pktgen_flow_arrive(struct pktgen_flow *flow, uint64_t seq);

#endif
