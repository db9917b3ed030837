/* Flows and the numbers that arrive on them. */
#include "pktgen_flow.h"

#include "base_hugepage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORDS (PKTGEN_FLOW_WINDOW / 64)

/* ---- who sends to whom -------------------------------------------------------------------------- */

static uint32_t n_pairs(const struct pktgen_options *options)
{
	return options->pattern == PKTGEN_PAIRS ? options->n_peers / 2 : options->n_peers;
}

static void set_pair(struct pktgen_flow *flow, const struct pktgen_options *options, uint32_t pair)
{
	switch (options->pattern) {
	case PKTGEN_PAIRS:
		flow->source = 2 * pair;
		flow->destination = 2 * pair + 1;
		break;
	case PKTGEN_HUB:
		flow->source = pair;
		flow->destination = PKTGEN_FLOW_HUB;
		break;
	default:
		flow->source = pair;
		flow->destination = (pair + 1) % options->n_peers;
		break;
	}
}

/* The i-th of all flows, in the order of pairs, then ways, then flows of a pair. */
static struct pktgen_flow make_flow(const struct pktgen_options *options, uint32_t i)
{
	uint32_t pairs = n_pairs(options), ways = options->both_ways ? 2 : 1, source;
	struct pktgen_flow flow = {0};

	set_pair(&flow, options, i % pairs);
	if (i / pairs % ways == 1) {
		source = flow.source;
		flow.source = flow.destination;
		flow.destination = source;
	}
	return flow;
}

int pktgen_flows_init(struct pktgen_flows *flows, const struct pktgen_options *options)
{
	uint32_t next[PKTGEN_QUEUES_MAX];
	size_t len;

	*flows = (struct pktgen_flows){
		.n = n_pairs(options) * (options->both_ways ? 2 : 1) * options->n_flows,
		.n_queues = options->n_queues,
	};
	len = flows->n * sizeof(struct pktgen_flow);
	flows->flow = base_hugepage_map(&len); /* they are met at random */
	if (flows->flow == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < flows->n; i++)
		flows->first[pktgen_flows_queue(flows, make_flow(options, i).source) + 1]++;
	for (uint32_t q = 0; q < flows->n_queues; q++) {
		flows->first[q + 1] += flows->first[q];
		next[q] = flows->first[q];
	}
	for (uint32_t i = 0; i < flows->n; i++) {
		struct pktgen_flow flow = make_flow(options, i);

		flows->flow[next[pktgen_flows_queue(flows, flow.source)]++] = flow;
	}
	return 0;
}

void pktgen_flows_fini(struct pktgen_flows *flows)
{
	base_hugepage_unmap(flows->flow, flows->n * sizeof(struct pktgen_flow));
	flows->flow = NULL;
}

/* ---- what arrives ------------------------------------------------------------------------------- */

void pktgen_flows_begin(struct pktgen_flows *flows)
{
	for (uint32_t i = 0; i < flows->n; i++) {
		struct pktgen_flow *flow = &flows->flow[i];

		flow->first = flow->next;
		flow->received = flow->next;
		memset(flow->seen, 0, sizeof(flow->seen));
	}
}

/* The window moves up to seq: forget what lay there before. */
static void advance(struct pktgen_flow *flow, uint64_t seq)
{
	uint64_t gap = seq + 1 - flow->received;

	if (gap >= PKTGEN_FLOW_WINDOW)
		memset(flow->seen, 0, sizeof(flow->seen));
	else
		for (uint64_t i = flow->received; i <= seq; i++)
			flow->seen[i / 64 % WORDS] &= ~(UINT64_C(1) << i % 64);
	flow->received = seq + 1;
}

enum pktgen_flow_verdict pktgen_flow_arrive(struct pktgen_flow *flow, uint64_t seq)
{
	uint64_t *word = &flow->seen[seq / 64 % WORDS];
	uint64_t bit = UINT64_C(1) << seq % 64;

	if (seq >= flow->next)
		return PKTGEN_FLOW_NEVER;
	if (seq < flow->first)
		return PKTGEN_FLOW_STALE;
	if (seq >= flow->received) {
		advance(flow, seq);
		*word |= bit;
		return PKTGEN_FLOW_IN_ORDER;
	}
	if (flow->received - seq > PKTGEN_FLOW_WINDOW)
		return PKTGEN_FLOW_LATE;
	if ((*word & bit) != 0)
		return PKTGEN_FLOW_DUPLICATE;
	*word |= bit;
	return PKTGEN_FLOW_REORDERED;
}
