/* One snapshot at a time of the flows that workers know, for whoever asked: begun, then read until it is
 * complete, which takes some turns of the workers. It is the asker's until it is read or nobody has asked
 * for it for 5 s. */
#ifndef WATCH_FLOW_H
#define WATCH_FLOW_H

#include "abi_layout.h"

#include <stdint.h>

#define WATCH_FLOWS_MAX 10000U /* of each worker */

struct watch;

struct watch_flow {
	uint32_t worker;
	struct abi_report_flow flow;
};

struct watch_flows {
	struct watch_flow *list; /* [n], those heard of last first */
	uint32_t n;
	uint32_t n_of[ABI_WORKERS_MAX]; /* flows of each, those beyond the limit included */
};

/* peer: at either end, or ABI_PEER_HUB, ABI_PEER_NONE = all. limit: of each worker, at most WATCH_FLOWS_MAX.
 * Returns 0 with *id, -EBUSY (somebody else's is under way), -ENOTCONN (no dataplane), -EAGAIN, -ENOMEM. */
int watch_flows_begin(struct watch *watch, uint32_t peer, uint32_t limit, uint64_t *id)
	__attribute__((warn_unused_result));

/* Returns 0: complete, with *out, the caller's to free (list); -EINPROGRESS: ask again; -ENOENT (no such
 * snapshot, or read already); -ENOTCONN (the dataplane went); -ETIMEDOUT (a worker did not answer). But
 * for the second, it is over. */
int watch_flows_read(struct watch *watch, uint64_t id, struct watch_flows *out)
	__attribute__((warn_unused_result));

/* program's events. */
void watch_flow_in(struct watch *watch, uint32_t worker, const struct abi_report_flow *flow);
void watch_flows_end_in(struct watch *watch, uint32_t worker,
                        const struct abi_report_flows_end *end);

#endif
