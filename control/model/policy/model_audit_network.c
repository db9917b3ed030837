/* Networks behind peers, against what a gateway may have. Wrong ones are refused when they are added, but
 * a store may be older than that, and the tunnel nets of the file may have changed since. */
#include "base_ip.h"
#include "model_audit.h"
#include "wg_allowedips.h"

#include <errno.h>

#define WIDE_V4 8 /* a network with a shorter prefix is no site's */
#define WIDE_V6 16

#define EACH_MAX 32U /* networks of a peer that are told one by one */

static void audit_width(struct model_audit *audit, const char *name,
                        const struct base_prefix *prefix, bool is_many)
{
	char text[BASE_PREFIX_STRLEN];

	base_prefix_format(prefix, text);
	if (!is_many)
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
struct others {
	struct model_audit *audit;
	uint32_t place; /* in the world */
	const struct base_prefix *prefix;
};

static int report_overlap(void *arg, const struct base_prefix *theirs, uint32_t place)
{
	const struct others *others = arg;
	const struct grant_peer *peers = others->audit->world->peers;
	char text[BASE_PREFIX_STRLEN];
	char other[BASE_PREFIX_STRLEN];

	if (place > others->place)
		model__audit_report(others->audit, GRANT_ERROR, "overlap", "peer",
		                    peers[others->place].name,
		                    "%s behind it overlaps %s, which is behind peer \"%s\"",
		                    base_prefix_format(others->prefix, text),
		                    base_prefix_format(theirs, other), peers[place].name);
	return 0;
}

/* All networks, each with the place of its peer. Of two that have the same it holds the later. */
static struct wg_allowedips *collect(const struct grant_world *world)
{
	struct wg_allowedips *all = wg_allowedips_create_ordered();
	int err = all ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < world->n_peers; i++)
		for (uint32_t k = 0; err == 0 && k < world->peers[i].n_subnets; k++)
			err = wg_allowedips_insert(all, &world->peers[i].subnets[k], i, NULL);
	if (err == 0)
		return all;
	wg_allowedips_destroy(all);
	return NULL;
}

void model__audit_networks(struct model_audit *audit, const struct peer *peer,
                           const struct grant_peer *world)
{
	bool is_many = world->n_subnets > EACH_MAX;

	(void)peer;
	if (world->n_subnets > 0 && !audit->networks)
		audit->networks = collect(audit->world);
	if (is_many)
		model__audit_report(audit, GRANT_INFO, "gateway", "peer", world->name,
		                    "has %u networks behind it", world->n_subnets);
	for (uint32_t k = 0; k < world->n_subnets; k++) {
		struct others others = {audit, (uint32_t)(world - audit->world->peers),
		                        &world->subnets[k]};

		audit_width(audit, world->name, &world->subnets[k], is_many);
		audit_tunnel(audit, world->name, &world->subnets[k]);
		if (audit->networks)
			(void)wg_allowedips_each_overlapping(audit->networks, others.prefix,
			                                     report_overlap, &others);
	}
}
