/* Findings of audit.policy: each kind is found by one function of its own, in the list in model_audit.c.
 * To add one, write the function (model_audit_<topic>.c when it is a topic) and name it there. Private to
 * model. */
#ifndef MODEL_AUDIT_H
#define MODEL_AUDIT_H

#include "grant_lint.h"
#include "grant_world.h"
#include "model_method.h"

struct model_audit {
	struct model *model;
	const struct grant_world *world; /* the peers there are */
	uint64_t now_wall_ns;
	uint32_t unused_days; /* a grant that nobody uses for so long is a finding; 0 = never */
	json_t *findings;     /* array */
	struct wg_allowedips *networks; /* behind peers; made when one has some */
	size_t n_errors;
};

/* One finding. rule: what kind it is, in lower case with '-', the same for all of a kind. kind and name:
 * the object ("peer", "group", "grant", "hub"). The text says what is the matter, and what to do. */
void model__audit_report(struct model_audit *audit, enum grant_severity severity, const char *rule,
                         const char *kind, const char *name, const char *format, ...)
	__attribute__((format(printf, 6, 7)));

/* Look at the hub as a whole. */
typedef void model_audit_fn(struct model_audit *audit);
/* Look at one peer. world: the same peer, as the policy sees it. */
typedef void model_audit_peer_fn(struct model_audit *audit, const struct peer *peer,
                                 const struct grant_peer *world);

/* model_audit_network.c: networks behind peers. */
model_audit_peer_fn model__audit_networks;

/* model_audit_peer.c: a key that is old; a peer that the hub may lose; an endpoint that is no way to it. */
model_audit_peer_fn model__audit_key;
model_audit_peer_fn model__audit_keepalive;
model_audit_peer_fn model__audit_rotation;
model_audit_peer_fn model__audit_endpoint;

/* model_hub.c: the hub between two keys. */
model_audit_fn model__audit_hub_rotation;
model_audit_peer_fn model__audit_hub_key;

/* model_grant_used.c: grants that nobody uses. */
model_audit_fn model__audit_unused;

/* model_wg.c: what wg(8) has said of it. */
model_audit_peer_fn model__audit_by_wg;
/* model_limit.c: quotas that run out. */
model_audit_peer_fn model__audit_quota;

/* model_drift.c: what the last check of the workers' tables found. */
model_audit_fn model__audit_found_drift;

#endif
