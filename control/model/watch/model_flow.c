/* flows: what the workers let pass now. The first question begins a snapshot and the answer names it; asked
 * with it again, until it is complete. */
#include "model_method.h"
#include "policy_flow.h"
#include "program.h"
#include "watch.h"
#include "watch_flow.h"

#include <errno.h>
#include <stdlib.h>

#define LIMIT_DEFAULT 100

static uint32_t limit_of(const json_t *params)
{
	const json_t *limit = json_object_get(params, "limit");

	return limit ? (uint32_t)json_integer_value(limit) : LIMIT_DEFAULT;
}

/* ---- names of grants ----------------------------------------------------------------------------- */

struct grant_names {
	const struct grant **list; /* [n], by number; owned, what it points to is not */
	size_t n;
};

static int by_number(const void *a, const void *b)
{
	const struct grant *const *x = a;
	const struct grant *const *y = b;

	return ((*x)->number > (*y)->number) - ((*x)->number < (*y)->number);
}

static int read_names(const struct grant_policy *policy, struct grant_names *out)
{
	out->n = policy->n_grants;
	out->list = calloc(out->n + 1, sizeof(*out->list));
	if (!out->list)
		return -ENOMEM;
	for (size_t i = 0; i < out->n; i++)
		out->list[i] = &policy->grants[i];
	qsort(out->list, out->n, sizeof(*out->list), by_number);
	return 0;
}

/* Or NULL: what the hub opens needs none, and one that is gone has no name. */
static const char *name_of(const struct grant_names *names, uint32_t number)
{
	const struct grant wanted = {.number = number};
	const struct grant *key = &wanted;
	const struct grant *const *found = bsearch(&key, names->list, names->n,
	                                           sizeof(*names->list), by_number);

	return found ? (*found)->name : NULL;
}

/* ---- the answer ---------------------------------------------------------------------------------- */

static bool has_ports(uint8_t proto)
{
	return proto == POLICY_PROTO_TCP || proto == POLICY_PROTO_UDP;
}

static json_t *port_json(const struct abi_report_flow *flow, uint16_t port)
{
	return has_ports(flow->proto) ? json_integer(port) : json_null();
}

static json_t *flow_json(const struct model *model, const struct grant_names *names,
                         const struct watch_flow *kept)
{
	const struct abi_report_flow *flow = &kept->flow;
	char source[BASE_IP_STRLEN];
	char destination[BASE_IP_STRLEN];
	char peer[16];
	char to_peer[16];
	char proto[8];

	return json_pack("{s:s, s:s, s:s, s:o, s:s, s:o, s:s, s:s, s:I, s:s?, s:I}", "peer",
	                 watch_peer(model->setup.peers, flow->peer, peer), "to_peer",
	                 watch_peer(model->setup.peers, flow->to_peer, to_peer), "source",
	                 base_ip_format(&flow->source, source), "source_port",
	                 port_json(flow, flow->sport), "destination",
	                 base_ip_format(&flow->destination, destination), "destination_port",
	                 port_json(flow, flow->dport), "protocol", watch_proto(flow->proto, proto),
	                 "state", policy_flow_state_text((enum policy_flow_state)flow->state),
	                 "silent_s", (json_int_t)flow->silent_s, "grant",
	                 name_of(names, flow->grant), "worker", (json_int_t)kept->worker);
}

static json_t *workers_json(const struct model *model, const struct watch_flows *flows,
                            json_int_t *n_all)
{
	json_t *array = json_array();

	*n_all = 0;
	for (uint32_t i = 0; i < program_n_workers(model->setup.program); i++) {
		struct abi_worker_status status = program_worker_status(model->setup.program, i);

		*n_all += flows->n_of[i];
		json_array_append_new(array, json_pack("{s:I, s:I, s:I}", "worker", (json_int_t)i,
		                                       "flows", (json_int_t)flows->n_of[i],
		                                       "in_table", (json_int_t)status.n_flows));
	}
	return array;
}

static int answer(const struct model *model, const struct watch_flows *flows, uint32_t limit,
                  json_t **result)
{
	struct grant_names names;
	json_t *array;
	json_t *workers;
	json_int_t n_all;

	if (read_names(&model->policy, &names) < 0)
		return -ENOMEM;
	array = json_array();
	for (uint32_t i = 0; i < flows->n && i < limit; i++)
		json_array_append_new(array, flow_json(model, &names, &flows->list[i]));
	free(names.list);
	workers = workers_json(model, flows, &n_all);
	*result = json_pack("{s:b, s:o, s:I, s:o}", "checking", false, "flows", array, "total",
	                    n_all, "workers", workers);
	return 0;
}

/* ---- the snapshot -------------------------------------------------------------------------------- */

static int begin(struct model *model, const json_t *params, uint64_t *id, struct model_error *error)
{
	uint32_t peer;
	bool any;
	int err = model__peer_or_hub(model, params, &any, &peer, error);

	if (err < 0)
		return err;
	err = watch_flows_begin(model->setup.watch, any ? ABI_PEER_NONE : peer, limit_of(params),
	                        id);
	if (err == -EBUSY)
		return model__refuse(error, err, "busy", NULL,
		                     "somebody else looks at the flows right now: try again");
	if (err == -ENOTCONN)
		return model__refuse(error, err, "failed", NULL,
		                     "no dataplane is there: see weir status");
	return err;
}

static int refuse(int err, struct model_error *error)
{
	switch (err) {
	case -ENOENT:
		return model__refuse(error, err, "not_found", "snapshot",
		                     "snapshot: there is no such snapshot, or it was read");
	case -ENOTCONN:
		return model__refuse(error, err, "failed", NULL, "the dataplane went meanwhile");
	case -ETIMEDOUT:
		return model__refuse(error, err, "failed", NULL, "a worker did not answer");
	default:
		return err;
	}
}

int model__flows(struct model *model, const json_t *params, json_t **result,
                 struct model_error *error)
{
	uint64_t id = (uint64_t)json_integer_value(json_object_get(params, "snapshot"));
	struct watch_flows flows = {.n = 0};
	int err = id == 0 ? begin(model, params, &id, error) : 0;

	if (err < 0)
		return err;
	err = watch_flows_read(model->setup.watch, id, &flows);
	if (err == -EINPROGRESS) {
		*result = json_pack("{s:b, s:I}", "checking", true, "snapshot", (json_int_t)id);
		return 0;
	}
	if (err < 0)
		return refuse(err, error);
	err = answer(model, &flows, limit_of(params), result);
	free(flows.list);
	return err;
}
