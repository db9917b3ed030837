/* Control's part of the policy: grants to a table, the table to the workers by way of dataplane/blob. */
#include "base_bytes.h"
#include "flow.h"

#include <stdlib.h>
#include <unistd.h>

#define N_GROUPS 2U

void flow_policy_settle(struct flow *flow)
{
	struct abi_blob_message answer;

	for (uint32_t i = 0; i < flow->options.n_workers; i++)
		(void)worker_turn(flow->workers[i], flow->now_ns);
	while (blob_store_answer(flow->blobs, &answer))
		assert_int_equal(answer.err, 0);
	assert_false(blob_store_waits(flow->blobs));
}

void flow_policy_repeat(struct flow *flow)
{
	struct abi_blob_message message = {.kind = ABI_BLOB_POLICY,
	                                   .generation = flow->policy_generation};
	struct abi_blob_message answer;

	while (blob_store_answer(flow->blobs, &answer))
		assert_int_equal(answer.err, 0);
	blob_store_put(flow->blobs, &message, flow->policy_fd >= 0 ? dup(flow->policy_fd) : -1);
}

void flow_policy_start(struct flow *flow)
{
	assert_int_equal(blob_store_create(worker_shared_blobs(flow->shared),
	                                   worker_shared_routes(flow->shared), &flow->blobs),
	                 0);
	if (flow->policy_fd >= 0)
		flow_policy_repeat(flow);
}

void flow_policy_none(struct flow *flow)
{
	if (flow->policy_fd >= 0)
		close(flow->policy_fd);
	flow->policy_fd = -1;
	flow_policy_repeat(flow);
}

/* Compile it with the next generation. */
static void hand_over_new(struct flow *flow, struct policy_source *source)
{
	size_t len;
	void *table;

	source->generation = (uint32_t)++flow->policy_generation;
	assert_int_equal(policy_build(source, &table, &len, NULL), 0);
	if (flow->policy_fd >= 0)
		close(flow->policy_fd);
	flow->policy_fd = abi_blob_make("flow", table, len);
	assert_true(flow->policy_fd >= 0);
	free(table);
	flow_policy_repeat(flow);
}

void flow_policy(struct flow *flow, const struct policy_grant *grants, uint32_t n)
{
	struct base_ip addresses[FLOW_N_PEERS][2];
	uint32_t groups[FLOW_N_PEERS];
	struct policy_peer peers[FLOW_N_PEERS];
	struct policy_source source = {
		.n_peers = FLOW_N_PEERS,
		.n_groups = N_GROUPS,
		.n_grants = n,
		.peers = peers,
		.grants = grants,
	};

	for (uint32_t i = 0; i < FLOW_N_PEERS; i++) {
		addresses[i][0] = flow_inner_ip(i, BASE_IP_V4);
		addresses[i][1] = flow_inner_ip(i, BASE_IP_V6);
		groups[i] = i % N_GROUPS;
		peers[i] = (struct policy_peer){
			.number = i,
			.n_addresses = 2,
			.n_groups = 1,
			.addresses = addresses[i],
			.groups = &groups[i],
		};
	}
	hand_over_new(flow, &source);
}

void flow_policy_open(struct flow *flow)
{
	hand_over_new(flow, &(struct policy_source){.open_grant = 1});
}
