/* What the files of peer.* share. Private to model. */
#ifndef MODEL_PEER_H
#define MODEL_PEER_H

#include "model_method.h"

/* model_peer.c: a peer as peer.show has it. */
json_t *model__peer_json(const struct model *model, const struct peer *peer);
/* model_rotate.c: how far it is between two keys, or null. */
json_t *model__rotation_json(const struct peer *peer);
/* The peer that params name, or NULL: refused. */
const struct peer *model__peer_find(const struct model *model, const json_t *params,
                                    struct model_error *error);
/* Networks of one call, as methods.json has it, so that the loop is not held for long.
 * More come in several calls of peer.approve, up to STORE_NETWORKS_MAX a peer. */
#define MODEL_NETWORKS_MAX 1024

/* Networks that model__check() has let through. out[MODEL_NETWORKS_MAX]. Returns how many. */
uint32_t model__prefixes_read(const json_t *array, struct base_prefix *out);

/* model_subnets.c: the networks that grants name, each with a grant's number, for wg_allowedips_each_overlapping();
 * until the policy changes. NULL = no memory. Caller: wg_allowedips_destroy(). */
struct wg_allowedips *model__subnets_named(const struct grant_policy *policy);
/* A grant that has this network, or a part of it, at one of its ends; NULL = none. named: of the same policy. */
const struct grant *model__subnet_needed(const struct grant_policy *policy,
                                         const struct wg_allowedips *named,
                                         const struct base_prefix *net);
/* Refuse, with field to blame, when a grant needs one of nets[n]: who has it next would have what is granted. */
int model__networks_spare(const struct model *model, const char *field,
                          const struct base_prefix *nets, uint32_t n, struct model_error *error)
	__attribute__((warn_unused_result));

/* model_wg.c: many changes of peers as one, under the rules that operations have. */
struct peer_set;
struct model_peer_set {
	const struct peer_set *set;
	bool by_wg;                    /* for the log; and a name made of a key may come back */
	bool asks_nobody;              /* whether a service or a grant needs what goes */
	uint32_t n_changed;            /* filled */
	char refused[CONFIG_NAME_LEN]; /* filled on error: the peer it is about, or "" */
};
int model__peer_set_apply(struct model *model, struct model_peer_set *by, struct peer_error *error)
	__attribute__((warn_unused_result));

/* A service that was stored before its peer finds it now; one whose peer is gone is left out. */
void model__services_again(struct model *model);

#endif
