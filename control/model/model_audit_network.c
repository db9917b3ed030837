/* Networks behind peers, against what a gateway may have. Wrong ones are refused when they are added, but
 * a store may be older than that, and the tunnel nets of the file may have changed since. */
#include "base_ip.h"
#include "model_audit.h"

#define WIDE_V4 8 /* a network with a shorter prefix is no site's */
#define WIDE_V6 16

static void audit_width(struct model_audit *audit, const char *name,
                        const struct base_prefix *prefix)
{
	char text[BASE_PREFIX_STRLEN];

	base_prefix_format(prefix, text);
	model__audit_report(audit, GRANT_INFO, "gateway", "peer", name,
	                    "has the network %s behind it", text);
	if (prefix->len < (prefix->ip.family == BASE_IP_V4 ? WIDE_V4 : WIDE_V6))
		model__audit_report(audit, GRANT_ERROR, "too-wide", "peer", name,
		                    "%s behind it is too wide to be one site's", text);
}

static void audit_tunnel(struct model_audit *audit, const char *name,
                         const struct base_prefix *prefix)
{
	const struct config *config = audit->model->setup.config;
	char text[BASE_PREFIX_STRLEN];
	char net[BASE_PREFIX_STRLEN];

	for (uint32_t i = 0; i < config->n_tunnel; i++)
		if (base_prefix_overlap(&config->tunnel[i], prefix))
			model__audit_report(audit, GRANT_ERROR, "overlap", "peer", name,
			                    "%s behind it overlaps the tunnel net of %s",
			                    base_prefix_format(prefix, text),
			                    base_prefix_format(&config->tunnel[i], net));
}

/* Against the networks of the peers behind this one by name: each pair is told once. */
static void audit_others(struct model_audit *audit, const struct grant_peer *peer,
                         const struct base_prefix *prefix)
{
	const struct grant_world *world = audit->world;
	char text[BASE_PREFIX_STRLEN];
	char theirs[BASE_PREFIX_STRLEN];

	for (const struct grant_peer *other = peer + 1; other < world->peers + world->n_peers;
	     other++)
		for (uint32_t k = 0; k < other->n_subnets; k++)
			if (base_prefix_overlap(&other->subnets[k], prefix))
				model__audit_report(
					audit, GRANT_ERROR, "overlap", "peer", peer->name,
					"%s behind it overlaps %s, which is behind peer \"%s\"",
					base_prefix_format(prefix, text),
					base_prefix_format(&other->subnets[k], theirs),
					other->name);
}

void model__audit_networks(struct model_audit *audit, const struct peer *peer,
                           const struct grant_peer *world)
{
	(void)peer;
	for (uint32_t k = 0; k < world->n_subnets; k++) {
		audit_width(audit, world->name, &world->subnets[k]);
		audit_tunnel(audit, world->name, &world->subnets[k]);
		audit_others(audit, world, &world->subnets[k]);
	}
}
