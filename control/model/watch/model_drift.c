/* audit.drift: do the workers hold what is wanted? And debug.route, debug.peer, which see to it that they do
 * not, so that it can be tried. */
#include "base_time.h"
#include "model_audit.h"
#include "program.h"
#include "watch_drift.h"

#include <errno.h>
#include <string.h>

/* ---- findings ----------------------------------------------------------------------------------- */

static json_t *finding_json(const struct model *model, const struct program_finding *finding)
{
	struct watch_drift drift;

	watch_drift_describe(model->setup.peers, finding, &drift);
	return json_pack("{s:i, s:s, s:s, s:s, s:s, s:s}", "worker", (int)finding->worker, "peer",
	                 drift.peer, "kind", drift.kind, "what", drift.what, "expected",
	                 drift.expected, "actual", drift.actual);
}

json_t *model__drift_status(const struct model *model)
{
	struct program_drift_status status = program_drift_status(model->setup.program);

	return json_pack("{s:I, s:I, s:o, s:b}", "policy_drift_peers", (json_int_t)status.n_peers,
	                 "findings", (json_int_t)status.n_findings + status.n_more, "checked_at",
	                 model__time(status.wall_ns), "repair", model->setup.config->drift_repair);
}

int model__audit_drift(struct model *model, const json_t *params, json_t **result,
                       struct model_error *error)
{
	struct program *program = model->setup.program;
	bool only_last = json_is_true(json_object_get(params, "last"));
	int err = only_last ? 0 : program_drift_check(program);
	struct program_drift_status status = program_drift_status(program);
	json_t *findings = json_array();

	if (err == -ENOTCONN)
		return model__refuse(
			error, err, "failed", NULL,
			"no dataplane is attached, so there are no live tables to look at");
	if (err < 0)
		return model__refuse(error, err, "failed", NULL,
		                     "the check cannot begin now: %s; try again", strerror(-err));
	for (uint32_t i = 0; i < status.n_findings; i++)
		json_array_append_new(findings,
		                      finding_json(model, program_drift_finding(program, i)));
	*result = json_pack("{s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:o, s:b, s:o}",
	                    "failed", status.n_findings + status.n_more > 0 && !status.is_checking,
	                    "checking", status.is_checking, "checks", (json_int_t)status.n_checks,
	                    "not_completed", (json_int_t)status.n_failed, "policy_drift_peers",
	                    (json_int_t)status.n_peers, "more", (json_int_t)status.n_more,
	                    "uncertain", (json_int_t)status.n_uncertain, "repaired",
	                    (json_int_t)status.n_repaired, "took_ms",
	                    (double)status.took_ns / (double)BASE_NS_PER_MS, "checked_at",
	                    model__time(status.wall_ns), "repair",
	                    model->setup.config->drift_repair, "findings", findings);
	return 0;
}

void model__audit_found_drift(struct model_audit *audit)
{
	const struct model *model = audit->model;
	const struct program *program = model->setup.program;
	struct program_drift_status status = program_drift_status(program);

	for (uint32_t i = 0; i < status.n_findings; i++) {
		const struct program_finding *finding = program_drift_finding(program, i);
		struct watch_drift drift;

		watch_drift_describe(model->setup.peers, finding, &drift);
		model__audit_report(audit, GRANT_ERROR, "drift",
		                    finding->peer == ABI_PEER_NONE ? "hub" : "peer",
		                    finding->peer == ABI_PEER_NONE ? "hub" : drift.peer,
		                    "worker %u holds another %s %s: expected %s, found %s; set "
		                    "policy.drift_repair, or restart the dataplane",
		                    finding->worker, drift.kind, drift.what, drift.expected,
		                    drift.actual);
	}
	if (status.n_more > 0)
		model__audit_report(audit, GRANT_ERROR, "drift", "hub", "hub",
		                    "%u more entries of workers' tables are not as wanted",
		                    status.n_more);
}

/* ---- behind control's back ---------------------------------------------------------------------- */

/* The worker and the peer that both operations name. Returns 0 or -errno with error. */
static int debug_arguments(const struct model *model, const json_t *params, uint32_t *worker,
                           uint32_t *peer, struct model_error *error)
{
	const char *name = json_string_value(json_object_get(params, "peer"));
	const struct peer *found = peer_find(model->setup.peers, name);
	const json_t *number = json_object_get(params, "worker");

	if (!model->setup.config->debug_commands)
		return model__refuse(error, -EPERM, "not_enabled", NULL,
		                     "this hub takes no debug commands; they are for tests, and "
		                     "need debug.commands = true in %s",
		                     model->setup.config->path);
	if (!found)
		return model__refuse(error, -ENOENT, "not_found", "peer",
		                     "peer: no peer is called \"%s\"", name);
	*peer = found->row.id;
	*worker = number ? (uint32_t)json_integer_value(number) : 0;
	if (*worker < model->setup.config->n_workers)
		return 0;
	return model__refuse(error, -EINVAL, "bad_argument", "worker",
	                     "worker is %u, must be 0 to %u", *worker,
	                     model->setup.config->n_workers - 1);
}

static int push(const struct model *model, uint32_t worker, uint16_t type, const void *entry,
                json_t **result, struct model_error *error)
{
	int err = program_debug_push(model->setup.program, worker, type, entry);

	if (err < 0)
		return model__refuse(error, err, "failed", NULL, "worker %u takes no commands: %s",
		                     worker, strerror(-err));
	*result = json_pack("{s:i}", "worker", (int)worker);
	return 0;
}

int model__debug_route(struct model *model, const json_t *params, json_t **result,
                       struct model_error *error)
{
	const json_t *prefixes = json_object_get(params, "prefix");
	bool drop = json_is_true(json_object_get(params, "drop"));
	struct abi_cmd_route route = {.peer = 0};
	uint32_t worker = ABI_ROUTE_WORKER;
	int err = debug_arguments(model, params, &worker, &route.peer, error);

	if (err < 0)
		return err;
	if (json_array_size(prefixes) != 1
	    || base_prefix_parse(json_string_value(json_array_get(prefixes, 0)), &route.prefix) < 0)
		return model__refuse(error, -EINVAL, "bad_argument", "prefix",
		                     "prefix must be one network, such as 10.1.0.0/16");
	base_prefix_mask(&route.prefix);
	return push(model, ABI_ROUTE_WORKER, drop ? ABI_CMD_ROUTE_DROP : ABI_CMD_ROUTE_PUT, &route,
	            result, error);
}

int model__debug_peer(struct model *model, const json_t *params, json_t **result,
                      struct model_error *error)
{
	bool drop = json_is_true(json_object_get(params, "drop"));
	struct abi_cmd_peer peer = {
		.keepalive_s = (uint16_t)json_integer_value(json_object_get(params, "keepalive")),
	};
	uint32_t worker;
	int err = debug_arguments(model, params, &worker, &peer.peer, error);

	if (err < 0)
		return err;
	return push(model, worker, drop ? ABI_CMD_PEER_DROP : ABI_CMD_PEER_PUT, &peer, result,
	            error);
}
