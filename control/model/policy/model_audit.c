/* audit.policy: everything of peers and policy that an administrator should look at. */
#include "model_audit.h"

#include "base_bytes.h"
#include "base_time.h"
#include "model_policy.h"
#include "wg_allowedips.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void model__audit_report(struct model_audit *audit, enum grant_severity severity, const char *rule,
                         const char *kind, const char *name, const char *format, ...)
{
	static const char *const severities[] = {
		[GRANT_INFO] = "info", [GRANT_WARNING] = "warning", [GRANT_ERROR] = "error"};
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	audit->n_errors += severity == GRANT_ERROR;
	json_array_append_new(audit->findings,
	                      json_pack("{s:s, s:s, s:s, s:s, s:s, s:n}", "severity",
	                                severities[severity], "rule", rule, "kind", kind, "name",
	                                name, "text", text, "line"));
}

/* ---- what is found ------------------------------------------------------------------------------ */

static void audit_enforced(struct model_audit *audit)
{
	if (!audit->model->setup.policy_set)
		model__audit_report(audit, GRANT_ERROR, "not-enforced", "hub", "hub",
		                    "no worker enforces the policy: grants are kept and checked, "
		                    "and decide nothing");
}

static void audit_refused(struct model_audit *audit)
{
	if (audit->model->sent.refused[0] != '\0')
		model__audit_report(audit, GRANT_ERROR, "not-in-force", "hub", "hub",
		                    "workers have refused the policy, and go on with the one "
		                    "before: %s",
		                    audit->model->sent.refused);
}

static void audit_peer_to_peer(struct model_audit *audit)
{
	if (audit->model->setup.config->peer_to_peer)
		model__audit_report(audit, GRANT_WARNING, "peer-to-peer", "hub", "hub",
		                    "hub.peer_to_peer is true: every peer reaches every peer and "
		                    "the hub, and grants decide nothing");
}

static void audit_preshared_keys(struct model_audit *audit)
{
	if (audit->model->setup.config->preshared_key == CONFIG_PSK_OPTIONAL)
		model__audit_report(audit, GRANT_WARNING, "preshared-key-optional", "hub", "hub",
		                    "hub.preshared_key is \"optional\": peers can be added without "
		                    "a preshared key");
}

static void audit_preshared_key(struct model_audit *audit, const struct peer *peer,
                                const struct grant_peer *world)
{
	(void)world;
	if (!peer->row.has_preshared_key)
		model__audit_report(
			audit, GRANT_ERROR, "no-preshared-key", "peer", peer->row.name,
			"has no preshared key: give it one with peer rotate --new-preshared-key");
}

static void audit_never_seen(struct model_audit *audit, const struct peer *peer,
                             const struct grant_peer *world)
{
	(void)world;
	if (peer_state(audit->model->setup.peers, peer).last_handshake_wall_ns == 0)
		model__audit_report(audit, GRANT_INFO, "never-seen", "peer", peer->row.name,
		                    "has never shaken hands");
}

static void audit_whole_subnet(struct model_audit *audit, const struct peer *peer,
                               const struct grant_peer *world)
{
	(void)world;
	if (peer->row.whole_subnet)
		model__audit_report(audit, GRANT_WARNING, "whole-subnet", "peer", peer->row.name,
		                    "its configuration has the whole tunnel nets: give it one of "
		                    "peer config without --whole-subnet");
}

static void audit_disabled(struct model_audit *audit, const struct peer *peer,
                           const struct grant_peer *world)
{
	(void)world;
	if (peer->row.disabled)
		model__audit_report(audit, GRANT_INFO, "disabled", "peer", peer->row.name,
		                    "is disabled");
}

static model_audit_fn *const of_hub[] = {
	audit_enforced,           audit_refused,       audit_peer_to_peer,
	model__audit_found_drift, model__audit_unused, model__audit_hub_rotation,
	audit_preshared_keys,
};

static model_audit_peer_fn *const of_peers[] = {
	audit_preshared_key,   audit_never_seen,   audit_disabled,         audit_whole_subnet,
	model__audit_networks, model__audit_key,   model__audit_keepalive, model__audit_rotation,
	model__audit_by_wg,    model__audit_quota, model__audit_hub_key,   model__audit_endpoint,
};

/* ---- all of it ---------------------------------------------------------------------------------- */

static void look(struct model_audit *audit)
{
	for (size_t k = 0; k < BASE_ARRAY_LEN(of_hub); k++)
		of_hub[k](audit);
	for (uint32_t i = 0; i < audit->world->n_peers; i++) {
		const struct grant_peer *world = &audit->world->peers[i];
		const struct peer *peer = peer_find(audit->model->setup.peers, world->name);

		for (size_t k = 0; k < BASE_ARRAY_LEN(of_peers); k++)
			of_peers[k](audit, peer, world);
	}
}

int model__audit_policy(struct model *model, const json_t *params, json_t **result,
                        struct model_error *error)
{
	const json_t *unused = json_object_get(params, "unused_days");
	struct model_world world;
	struct model_audit audit = {
		.model = model,
		.world = &world.world,
		.now_wall_ns = base_time_wall_ns(),
		.unused_days = unused ? (uint32_t)json_integer_value(unused)
	                              : model->setup.config->unused_grant_days,
	};
	int err = model__world_init(model, &world, error);

	if (err < 0)
		return err;
	audit.findings = model__findings(&model->policy, &world.world, NULL, &audit.n_errors);
	if (audit.findings)
		look(&audit);
	wg_allowedips_destroy(audit.networks);
	model__world_fini(&world);
	if (!audit.findings)
		return -ENOMEM;
	*result = json_pack("{s:b, s:I, s:I, s:o}", "failed", audit.n_errors > 0, "errors",
	                    (json_int_t)audit.n_errors, "generation",
	                    (json_int_t)model->policy.generation, "findings", audit.findings);
	return 0;
}
