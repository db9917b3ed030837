/* A peer's rotation to another key, and how the last one ended. The row goes with the peer's. */
#ifndef STORE_ROTATION_H
#define STORE_ROTATION_H

#include "store.h"

#include <stdint.h>

enum store_rotation_state {
	STORE_ROTATION_NONE = 0,
	STORE_ROTATION_PROPOSED = 1,  /* the next key may come, and has not yet */
	STORE_ROTATION_OVERLAP = 2,   /* it came: both are good until the window ends */
	STORE_ROTATION_CONFIRMED = 3, /* it is the peer's key, the one before is dropped */
	STORE_ROTATION_EXPIRED = 4,   /* it never came, and is dropped */
	STORE_ROTATION_CANCELLED = 5, /* it was dropped by hand */
	STORE_N_ROTATION_STATES
};

const char *store_rotation_text(enum store_rotation_state state); /* "proposed", ... */

/* The next key stands here in the first two states alone. Secret: caller wipes. */
struct store_rotation {
	uint32_t peer;
	enum store_rotation_state state;
	uint32_t serial; /* names the key that the peer has, in the region; 0 = its first */
	uint32_t
		next_serial; /* the last that was given: of the next key, as long as there is one */
	bool has_public_key; /* false: only the preshared key changes */
	bool has_preshared_key; /* false: it is kept */
	uint8_t public_key[32];
	uint8_t preshared_key[32];
	uint8_t last_timestamp[12]; /* TAI64N of the next key's last initiation; zero = none */
	uint64_t since_wall_ns;     /* proposed */
	uint64_t until_wall_ns;     /* end of the window */
	uint64_t changed_wall_ns;   /* since when it has this state */
};

/* Insert, or replace what the peer has. Returns 0, -EEXIST (another peer has this key as its next), -errno. */
int store_rotation_put(struct store *store, const struct store_rotation *rotation)
	__attribute__((warn_unused_result));
/* last_timestamp alone; best within store_begin_unsynced(). Returns 0, -ENOENT, -errno. */
int store_rotation_seen(struct store *store, uint32_t peer, const uint8_t last_timestamp[static 12])
	__attribute__((warn_unused_result));

/* Call fn for every row, by peer; rotation, with its preshared key in the clear, is valid during the call
 * and wiped behind it. Stops with fn's value when that is not 0. Returns 0, -EUCLEAN, -errno. */
typedef int store_rotation_fn(void *arg, const struct store_rotation *rotation);
int store_rotation_each(struct store *store, store_rotation_fn *fn, void *arg)
	__attribute__((warn_unused_result));
/* The row of one peer. Returns 0, -ENOENT, -EUCLEAN, -errno. */
int store_rotation_find(struct store *store, uint32_t peer, struct store_rotation *out)
	__attribute__((warn_unused_result));

#endif
