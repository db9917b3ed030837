/* What may go wrong with a peer in time: its key grows old, or the hub loses its way to it, or that way
 * leads back. */
#include "base_time.h"
#include "model_audit.h"
#include "program.h"
#include "session.h"

#define DAY_NS (24 * 3600 * BASE_NS_PER_S)

void model__audit_key(struct model_audit *audit, const struct peer *peer,
                      const struct grant_peer *world)
{
	uint32_t limit_days = audit->model->setup.config->key_age_days;
	uint64_t age_days;

	(void)world;
	if (limit_days == 0 || audit->now_wall_ns < peer->row.key_set_wall_ns)
		return;
	age_days = (audit->now_wall_ns - peer->row.key_set_wall_ns) / DAY_NS;
	if (age_days >= limit_days)
		model__audit_report(audit, GRANT_WARNING, "stale-key", "peer", peer->row.name,
		                    "has its key for %llu days (policy.key_age is %u): make a new "
		                    "key pair on it, and give it that with peer rotate",
		                    (unsigned long long)age_days, limit_days);
}

void model__audit_rotation(struct model_audit *audit, const struct peer *peer,
                           const struct grant_peer *world)
{
	(void)world;
	if (peer->rotation.state == STORE_ROTATION_EXPIRED)
		model__audit_report(
			audit, GRANT_WARNING, "rotation-expired", "peer", peer->row.name,
			"was to get another key, which was never used: it still has the "
			"old one; rotate it again, or put this aside (peer rotate "
			"--cancel)");
}

/* The hub does not see a NAT, but what it does: a peer whose endpoint nobody configured or named, and that was heard
 * from another one since the hub began, is behind a NAT whose mappings end, or roams. Either way the hub
 * finds it only while it speaks, and without keepalives of either side it need not. */
void model__audit_keepalive(struct model_audit *audit, const struct peer *peer,
                            const struct grant_peer *world)
{
	struct session_peer_info info;

	(void)world;
	if (peer->row.keepalive_s != 0 || peer->row.client_keepalive_s != 0
	    || peer->configured.port != 0 || peer->name != NULL
	    || session_peer_info(audit->model->setup.session, peer->row.id, &info) < 0
	    || info.n_moves == 0)
		return;
	model__audit_report(audit, GRANT_WARNING, "no-keepalive", "peer", peer->row.name,
	                    "keeps no NAT open (no keepalive on either side), and its endpoint has "
	                    "changed %u times: give it PersistentKeepalive = 25 (peer config "
	                    "--client-keepalive 25), or the hub loses it",
	                    info.n_moves);
}

/* Neither loops: the workers send nothing to an address of the hub's, and what is encrypted never goes into the
 * tunnel. But the first peer is out of reach, and so may be that address behind the second. */
void model__audit_endpoint(struct model_audit *audit, const struct peer *peer,
                           const struct grant_peer *world)
{
	const struct model_setup *setup = &audit->model->setup;
	struct base_endpoint endpoint = peer_state(setup->peers, peer).endpoint;
	char text[BASE_ENDPOINT_STRLEN];
	char net[BASE_PREFIX_STRLEN];
	struct base_prefix inside;

	(void)world;
	if (endpoint.port == 0)
		return;
	base_endpoint_format(&endpoint, text);
	if (program_address_is_own(setup->program, &endpoint.ip))
		model__audit_report(audit, GRANT_ERROR, "endpoint-is-hub", "peer", peer->row.name,
		                    "has the endpoint %s, which is the hub itself: nothing is sent "
		                    "there; correct it, or take it away",
		                    text);
	else if (peer_endpoint_is_inside(setup->peers, peer, &endpoint, &inside))
		model__audit_report(audit, GRANT_WARNING, "endpoint-inside", "peer", peer->row.name,
		                    "has the endpoint %s, which lies in its own network %s: the "
		                    "tunnel does not loop, but others of the tunnel reach that "
		                    "address only through it; withdraw the network, or approve "
		                    "smaller ones",
		                    text, base_prefix_format(&inside, net));
}
