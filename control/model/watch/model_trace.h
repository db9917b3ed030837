/* trace in two files: model_trace.c reads the question and goes through peers, routes and policy, and
 * model_trace_live.c adds what else a worker looks at. Private to model. */
#ifndef MODEL_TRACE_H
#define MODEL_TRACE_H

#include "model_explain.h"
#include "watch_flow.h"

struct trace {
	struct model *model;
	const struct grant_world *world;
	struct grant_packet packet;
	uint16_t from_port;      /* 0 = any */
	struct base_ip from_wan; /* outer source; family NONE = as the sender was last heard of */
	bool to_hub;
	const struct grant *grant; /* that allows it, or NULL */
	const char *dropped; /* reason of the first step that drops it, a literal; NULL = none */
	json_t *steps;
	/* flows of the sender, and the one that the packet is of, if any */
	struct watch_flows flows;
	int flows_err; /* 0; or why they are not known */
	const struct abi_report_flow *flow;
	bool flow_is_back; /* it is a reply in it */
};

enum trace_verdict {
	TRACE_PASSES = 0,
	TRACE_DROPS = 1,
	TRACE_NOTE = 2, /* changes nothing */
};

/* reason: of a drop, a literal as in the counters; else NULL. */
__attribute__((format(printf, 5, 6))) void model__trace_step(struct trace *trace, const char *name,
                                                             enum trace_verdict verdict,
                                                             const char *reason, const char *format,
                                                             ...);

/* ---- model_trace_live.c, in the order of the worker ---- */

/* Drop lists: is the outer source on one? */
void model__trace_block(struct trace *trace);
/* What the sender may send, and the receiver be sent: rates are told, a quota that is used up drops. */
void model__trace_limit_in(struct trace *trace);
void model__trace_limit_out(struct trace *trace);

/* The flows of the sender, asked for on the first call and read on those after it (*id: 0, then what the
 * first one gave). Returns 0: trace->flows is the caller's to free, or flows_err says why there are none;
 * -EINPROGRESS: ask again. */
int model__trace_flows(struct trace *trace, uint64_t *id);
/* Is it of a flow that stands? */
void model__trace_flow(struct trace *trace);
/* The packet that opened the flow that it is of; without one, itself. */
struct grant_packet model__trace_opener(const struct trace *trace);
/* What the other way would need. */
void model__trace_back(struct trace *trace);

#endif
