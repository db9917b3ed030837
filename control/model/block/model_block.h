/* Drop lists inside the model. Private to model. */
#ifndef MODEL_BLOCK_H
#define MODEL_BLOCK_H

#include "blocklist.h"
#include "model_method.h"

/* model_block_table.c. Read the entries and hand over the first table. Returns 0 or -errno with error. */
int model__block_load(struct model *model, struct model_error *error)
	__attribute__((warn_unused_result));
void model__block_unload(struct model *model);
/* Entries have changed: the workers' table is made and handed over, soon. */
void model__block_changed(struct model *model);

/* An entry that drops what comes from here in one of these scopes, borrowed until the next change; NULL =
 * none does. */
const struct blocklist_entry *model__block_holding(const struct model *model,
                                                   const struct base_ip *source, uint8_t scopes);

/* model_block.c: what a handler answers. */
/* Put in what is ready, and say what was done. Returns 0 or -errno with error. */
int model__block_put(struct model *model, struct blocklist_ready *ready, json_t **result,
                     struct model_error *error) __attribute__((warn_unused_result));
/* What add and import have in common: the prefixes are missing. Its texts are params'. */
int model__block_request(const json_t *params, struct blocklist_request *out,
                         struct model_error *error) __attribute__((warn_unused_result));

/* model_block_guard.c. Refuse prefixes[n] that would cut off whoever administers the hub: everything,
 * addresses of the hub, the session that asks (params: session), unless params.force is set. Reads nothing of the
 * model but its configuration, which never changes: also in the work's thread. */
int model__block_guard(const struct model *model, const json_t *params,
                       const struct block_prefix *prefixes, size_t n, uint8_t scopes,
                       struct model_error *error) __attribute__((warn_unused_result));
/* Peers whose endpoint lies in prefixes[n], sorted: {"peer", "endpoint"}, at most 100 of them. NULL when
 * memory is short. */
json_t *model__block_peers(const struct model *model, const struct block_prefix *prefixes, size_t n,
                           uint8_t scopes);

#endif
