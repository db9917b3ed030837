/* The hub's own key, when it is no longer that of its file, and the next one. */
#ifndef STORE_HUB_KEY_H
#define STORE_HUB_KEY_H

#include "store_rotation.h"

/* Secret: caller wipes. */
struct store_hub_key {
	enum store_rotation_state state;
	uint8_t file_public_key[32]; /* of the file's key, in whose place the others came */
	bool has_private_key;        /* false: the hub's key is the file's */
	uint8_t private_key[32];
	bool has_next; /* in the first two states */
	uint8_t next_private_key[32];
	uint64_t since_wall_ns; /* as store_rotation's */
	uint64_t until_wall_ns;
	uint64_t changed_wall_ns;
};

/* There is one at most. put replaces it; drop is fine without one. get: 0, -ENOENT, -EUCLEAN, -errno. */
int store_hub_key_put(struct store *store, const struct store_hub_key *key)
	__attribute__((warn_unused_result));
int store_hub_key_get(struct store *store, struct store_hub_key *out)
	__attribute__((warn_unused_result));
int store_hub_key_drop(struct store *store) __attribute__((warn_unused_result));

#endif
