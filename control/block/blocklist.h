/* Drop lists as people keep them: entries with a reason, who said so, and until when. An entry is one
 * prefix, or a list that was imported as a whole. A change is written to the store first; what the
 * workers get is compiled from all entries together (block_build.h). Knows no socket and no worker.
 *
 * The same prefix may be in several entries, of different sources or scopes: it is dropped while any of
 * them holds.
 *
 * Thread: control's main loop, all functions but blocklist_ready_init(), blocklist_ready_fini() and
 * blocklist_text_read(), which know no list and may be called anywhere. */
#ifndef BLOCKLIST_H
#define BLOCKLIST_H

#include "block_build.h"
#include "store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCKLIST_SOURCE_LEN  64
#define BLOCKLIST_TEXT_LEN    201 /* 200 bytes and the terminating zero */
#define BLOCKLIST_ENTRIES_MAX 200000U

struct blocklist;

struct blocklist_entry {
	uint64_t id; /* grows; never used twice */
	char source[BLOCKLIST_SOURCE_LEN];
	char author[BLOCKLIST_SOURCE_LEN];
	const char *reason; /* owned by the list */
	uint64_t created_s; /* since 1970 */
	uint64_t until_s;   /* 0 = for ever */
	uint8_t scopes;     /* set of enum block_scope */
	bool is_list;
	bool is_ended;                 /* in force no more, but may come back: blocklist_expire() */
	struct block_prefix *prefixes; /* [n], sorted, each once; owned by the list */
	size_t n;
	uint64_t hits;  /* packets, about: blocklist_hit(), since this list was created */
	uint64_t hit_s; /* when the last one came, since 1970; 0 = none */
};

/* Read the entries from the store, which is borrowed until blocklist_destroy(). Returns 0, -EUCLEAN,
 * -errno; then store_error() says why. */
int blocklist_create(struct store *store, struct blocklist **out)
	__attribute__((warn_unused_result));
void blocklist_destroy(struct blocklist *list); /* NULL is fine */

/* Entries by id, i < blocklist_n(), those that have ended among them; borrowed until the next change. */
size_t blocklist_n(const struct blocklist *list);
size_t blocklist_n_prefixes(const struct blocklist *list); /* in force */
const struct blocklist_entry *blocklist_at(const struct blocklist *list, size_t i);
/* The first entry with at least this id, or blocklist_n(). */
size_t blocklist_find(const struct blocklist *list, uint64_t id);

struct blocklist_request {
	const char *source;
	const char *author;
	const char *reason;
	uint64_t now_s;
	uint64_t until_s;
	uint8_t scopes;
	bool is_list;
	/* one prefix: takes the place of the source's entry for it; a list: of all of the source's */
	bool replaces;
	const struct block_prefix *prefixes; /* [n], n not 0; their scopes are ignored */
	size_t n;
};

/* All of it or nothing, in one transaction. *n_replaced: entries that went. What has ended goes with them when there
 * would be no room otherwise. Returns 0, -E2BIG (too many
 * entries or prefixes), -ENOMEM, -errno (then store_error() says why). */
int blocklist_add(struct blocklist *list, const struct blocklist_request *request,
                  size_t *n_replaced) __attribute__((warn_unused_result));

/* A request as an entry that can be put in: what takes time of adding a million prefixes, without the list. */
struct blocklist_ready {
	struct blocklist_entry entry;
	uint8_t *packed; /* [packed_len], for the store */
	size_t packed_len;
	bool replaces;
};

/* Copies the request. Returns 0 or -ENOMEM. Caller: blocklist_ready_fini(). */
int blocklist_ready_init(struct blocklist_ready *ready, const struct blocklist_request *request)
	__attribute__((warn_unused_result));
void blocklist_ready_fini(struct blocklist_ready *ready);
/* blocklist_add() of the request: the entry is the list's then, and only then. */
int blocklist_put(struct blocklist *list, struct blocklist_ready *ready, size_t *n_replaced)
	__attribute__((warn_unused_result));

/* Take the prefix out of every entry of the source (NULL: of all sources), and with prefix NULL the
 * whole source. *n_removed: prefixes in force; entries that have ended go along with them. Returns 0 (also when
 * there were none), -errno. */
int blocklist_remove(struct blocklist *list, const char *source, const struct block_prefix *prefix,
                     size_t *n_removed) __attribute__((warn_unused_result));

/* Does the entry have a prefix that contains this one? Cost: 20 us in a list of a million. */
bool blocklist_entry_has(const struct blocklist_entry *entry, const struct block_prefix *address);

/* So many packets were dropped of which one, which came from address, is known: they count for every entry
 * with one of these scopes that it is in. */
void blocklist_hit(struct blocklist *list, const struct block_prefix *address, uint8_t scopes,
                   uint64_t n, uint64_t now_s);

/* What has ended is not in force, and what has not is (again, when the clock was set back). forget: and what has
 * ended is removed, for good. *n_changed: entries that came out of force or into it. Returns 0 or -errno. */
int blocklist_expire(struct blocklist *list, uint64_t now_s, bool forget, size_t *n_changed)
	__attribute__((warn_unused_result));
/* When the next entry ends; 0 = none does. */
uint64_t blocklist_next_end(const struct blocklist *list);
bool blocklist_has_ended(const struct blocklist *list);

/* All prefixes in force with the scopes of their entries, for block_build(); caller frees. *out NULL when there
 * are none. Returns 0 or -ENOMEM. */
int blocklist_collect(const struct blocklist *list, struct block_prefix **out, size_t *n)
	__attribute__((warn_unused_result));

/* ---- files: blocklist_text.c ---- */

struct blocklist_text_error {
	unsigned int line; /* 0 = the whole text */
	char text[160];    /* what was read and what is expected */
};

/* One prefix or address a line; blank lines and what follows '#' or ';' are ignored; "add SET PREFIX"
 * of an ipset, and its "create" lines, are taken too. *out[n] is made, sorted, each prefix once, with
 * scopes; caller frees. Returns 0, -EINVAL with error, -E2BIG with error, -ENOMEM. */
int blocklist_text_read(const char *text, size_t len, uint8_t scopes, struct block_prefix **out,
                        size_t *n, struct blocklist_text_error *error)
	__attribute__((warn_unused_result));

#endif
