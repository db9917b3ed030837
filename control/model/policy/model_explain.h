/* Pieces that grant.explain and trace share (model_grant.c). Private to model. */
#ifndef MODEL_EXPLAIN_H
#define MODEL_EXPLAIN_H

#include "grant_decide.h"
#include "model_policy.h"

/* Grants with the fewest misses first, at most 20; those that miss in everything are left out. New, or
 * NULL. */
json_t *model__grant_steps(const struct grant_policy *policy, const struct grant_world *world,
                           const struct grant_packet *packet);
/* {peer (name or null), address} */
json_t *model__side_json(const struct grant_side *side);
/* As in the IP header; of any, one that no grant names. */
uint8_t model__protocol_number(enum grant_protocol protocol, uint8_t family);

#endif
