/* audit.policy: everything of peers and policy that an administrator should look at. */
#include "base_text.h"
#include "model_policy.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct audit {
	json_t *findings;
	size_t n_errors;
};

__attribute__((format(printf, 6, 7))) static void report(struct audit *audit,
                                                         enum grant_severity severity,
                                                         const char *rule, const char *kind,
                                                         const char *name, const char *format, ...)
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

/* A network behind a peer against the tunnel nets and the networks of the peers behind it by name:
 * refused when it is added, but a store may be older than that. */
static void audit_network(struct audit *audit, const struct model *model,
                          const struct grant_world *world, uint32_t peer,
                          const struct base_prefix *prefix)
{
	const struct config *config = model->setup.config;
	const struct grant_peer *own = &world->peers[peer];
	char text[BASE_PREFIX_STRLEN];
	char other[BASE_PREFIX_STRLEN];

	base_prefix_format(prefix, text);
	report(audit, GRANT_INFO, "gateway", "peer", own->name, "has the network %s behind it",
	       text);
	if (prefix->len < (prefix->ip.family == BASE_IP_V4 ? 8 : 16))
		report(audit, GRANT_ERROR, "too-wide", "peer", own->name,
		       "%s behind it is too wide to be one site's", text);
	for (uint32_t i = 0; i < config->n_tunnel; i++)
		if (base_prefix_overlap(&config->tunnel[i], prefix))
			report(audit, GRANT_ERROR, "overlap", "peer", own->name,
			       "%s behind it overlaps the tunnel net of %s", text,
			       base_prefix_format(&config->tunnel[i], other));
	for (uint32_t i = peer + 1; i < world->n_peers; i++)
		for (uint32_t k = 0; k < world->peers[i].n_subnets; k++)
			if (base_prefix_overlap(&world->peers[i].subnets[k], prefix))
				report(audit, GRANT_ERROR, "overlap", "peer", own->name,
				       "%s behind it overlaps %s, which is behind peer \"%s\"",
				       text, base_prefix_format(&world->peers[i].subnets[k], other),
				       world->peers[i].name);
}

static void audit_peers(struct audit *audit, const struct model *model,
                        const struct grant_world *world)
{
	for (uint32_t i = 0; i < world->n_peers; i++) {
		const char *name = world->peers[i].name;
		const struct peer *peer = peer_find(model->setup.peers, name);

		if (!peer->row.has_preshared_key)
			report(audit, GRANT_ERROR, "no-preshared-key", "peer", name,
			       "has no preshared key: remove it and add it again with one");
		if (peer_state(model->setup.peers, peer).last_handshake_wall_ns == 0)
			report(audit, GRANT_INFO, "never-seen", "peer", name,
			       "has never shaken hands");
		for (uint32_t k = 0; k < world->peers[i].n_subnets; k++)
			audit_network(audit, model, world, i, &world->peers[i].subnets[k]);
	}
}

int model__audit_policy(struct model *model, const json_t *params, json_t **result,
                        struct model_error *error)
{
	struct audit audit = {.n_errors = 0};
	struct model_world world;
	size_t n_errors = 0;
	int err = model__world_init(model, &world, error);

	(void)params;
	if (err < 0)
		return err;
	audit.findings = model__findings(&model->policy, &world.world, NULL, &n_errors);
	if (!audit.findings) {
		model__world_fini(&world);
		return -ENOMEM;
	}
	audit.n_errors = n_errors;
	if (model->setup.config->peer_to_peer)
		report(&audit, GRANT_WARNING, "peer-to-peer", "hub", "hub",
		       "hub.peer_to_peer is true: every peer reaches every peer and the hub, and "
		       "grants decide nothing");
	audit_peers(&audit, model, &world.world);
	model__world_fini(&world);
	*result = json_pack("{s:b, s:I, s:I, s:o}", "failed", audit.n_errors > 0, "errors",
	                    (json_int_t)audit.n_errors, "generation",
	                    (json_int_t)model->policy.generation, "findings", audit.findings);
	return 0;
}
