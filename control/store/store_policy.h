/* The policy in the store: one row a group or grant, each as the text that people write
 * (grant_text.h), so that its syntax is described once. */
#ifndef STORE_POLICY_H
#define STORE_POLICY_H

#include "store.h"

#include <stdint.h>

#define STORE_POLICY_GROUP "group"
#define STORE_POLICY_GRANT "grant"

struct store_policy_row {
	const char *kind; /* STORE_POLICY_... */
	const char *name;
	const char *text;
	uint32_t number; /* of a grant */
	uint64_t created_wall_ns;
	uint64_t
		used_s; /* of a grant; store_policy_used_put() writes it, store_policy_put() leaves it */
};

struct store_policy_state {
	uint64_t generation; /* grows with every change */
	uint32_t next_number;
};

/* Insert or replace. Returns 0 or -errno. */
int store_policy_put(struct store *store, const struct store_policy_row *row)
	__attribute__((warn_unused_result));
/* Returns 0, -ENOENT, -errno. */
int store_policy_drop(struct store *store, const char *kind, const char *name)
	__attribute__((warn_unused_result));
/* Call fn for every row, by kind and name; row is valid during the call. Stops with fn's value when
 * that is not 0. Returns 0, -EUCLEAN, -errno. */
typedef int store_policy_fn(void *arg, const struct store_policy_row *row);
int store_policy_each(struct store *store, store_policy_fn *fn, void *arg)
	__attribute__((warn_unused_result));

/* When a grant was last used. Returns 0, -ENOENT, -errno. */
int store_policy_used_put(struct store *store, const char *name, uint64_t used_s)
	__attribute__((warn_unused_result));

int store_policy_state_get(struct store *store, struct store_policy_state *out)
	__attribute__((warn_unused_result));
int store_policy_state_put(struct store *store, const struct store_policy_state *state)
	__attribute__((warn_unused_result));

#endif
