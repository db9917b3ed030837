/* The hub's own key: that of its file, or one that came in its place (store_hub_key.h), and the way from one
 * to the next. Private keys never leave: they are made here, lie sealed in the store, and go to session.
 *
 * Thread: control's main loop. */
#ifndef HUB_KEY_H
#define HUB_KEY_H

#include "config.h"
#include "store_rotation.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct hub_key;
struct program;
struct session_table;
struct store;

#define HUB_KEY_OVERLAP_S 604800U /* people have to bring the new key to every client */

/* The key to begin with: the file's, replaced in place by the one that took its place. A file with another
 * key than it had then is believed, and what was stored is dropped. Returns 0 or -errno. */
int hub_key_load(struct store *store, uint8_t private_key[static 32])
	__attribute__((warn_unused_result));

/* Where it goes on from there: windows go on, or have ended meanwhile; the workers are told which messages to
 * let in. All borrowed until hub_key_destroy(); file_public_key: of the file's key, 32 bytes, copied.
 * Returns 0 or -errno. */
struct hub_key_setup {
	struct event_base *base;
	struct store *store;
	struct session_table *session;
	struct program *program;
	const struct config *config;
	const uint8_t *file_public_key;
};
int hub_key_create(const struct hub_key_setup *setup, struct hub_key **out)
	__attribute__((warn_unused_result));
void hub_key_destroy(struct hub_key *hub); /* NULL is fine */

struct hub_key_info {
	enum store_rotation_state state;
	uint64_t since_wall_ns;
	uint64_t until_wall_ns;
	uint64_t changed_wall_ns;
};
struct hub_key_info hub_key_info(const struct hub_key *hub);
/* The key that clients are to be given: the next one as soon as there is one. Borrowed. */
const uint8_t *hub_key_for_clients(const struct hub_key *hub);

/* Make a next key. At the end of the window it is the hub's, if any peer has used it by then; if none has, it
 * is dropped. emergency: it is the hub's at once, and sessions with the old one end.
 * Returns 0, -EBUSY (between two already), -errno (store_error()). */
int hub_key_rotate(struct hub_key *hub, uint32_t overlap_s, bool emergency)
	__attribute__((warn_unused_result));
/* End the window now: with the next key, if it was used (-EBUSY if not), or without it. -ENOENT: there is
 * nothing to end. Without it also puts aside that the last rotation expired. */
int hub_key_rotate_end(struct hub_key *hub, bool with_next) __attribute__((warn_unused_result));

#endif
