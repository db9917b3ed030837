/* What the files of store share: the handle, statements, sealing. Private to store. */
#ifndef STORE_SQL_H
#define STORE_SQL_H

#include "store_peer.h"
#include "store_trail.h"

#include <sqlite3.h>

#include <stdint.h>

#define STORE_KEY_LEN 32

/* The operation under way: store_trail.c. */
struct store_trail {
	const struct store_trail_entry *entry; /* NULL = none is */
	bool is_written;
	bool was_written;                    /* before the transaction that is open */
	int n_changes;                       /* of rows, before it */
	bool is_ending;                      /* the record is all that is missing */
	char notes[STORE_TRAIL_SUMMARY_LEN]; /* what was stored so far */
	size_t notes_len;
};

/* store_kept.c */
#define STORE_KEPT_MAX 16
struct store_kept {
	const char *sql;
	sqlite3_stmt *statement;
	bool is_used; /* between store__prepare_kept() and store__done() */
};

struct store {
	sqlite3 *db;
	bool is_unsynced;  /* the transaction that is open */
	bool is_enlarged;  /* the cache, for the transaction that is open */
	bool is_gathering; /* between store_gather() and store_settle() */
	int n_gathered;    /* sqlite3_total_changes() at its begin */
	bool is_relaxed; /* SQLite's PRAGMA synchronous is NORMAL: a commit does not wait for the disk */
	struct store_kept kept[STORE_KEPT_MAX];
	uint32_t n_kept;
	struct store_trail trail;
	struct {
		uint64_t sequence; /* 0 = the transaction that is open has none */
		uint8_t hash[STORE_TRAIL_HASH_LEN];
	} trail_end; /* its last record */
	uint8_t key[STORE_KEY_LEN];
	char error[256];
};

/* -errno for the SQLite result of the last call; keeps its text for store_error(), logs it. */
int store__fail(struct store *store, int result);

/* Prepare (caller: sqlite3_finalize()); NULL and the error kept when it cannot be. */
sqlite3_stmt *store__prepare(struct store *store, const char *sql);
/* The same for a text that lives as long as the program and is run again and again: prepared once, as long as there is
 * room. Caller: store__done(), also for those of store__prepare(). */
sqlite3_stmt *store__prepare_kept(struct store *store, const char *sql);
void store__done(struct store *store, sqlite3_stmt *statement);
void store__kept_fini(struct store *store);
/* Step a statement that returns no rows, and be done with it. Returns 0 or -errno. */
int store__run(struct store *store, sqlite3_stmt *statement);
/* As store__run(), but -ENOENT when no row was changed. */
int store__change(struct store *store, sqlite3_stmt *statement);
/* Plain SQL without values. Returns 0 or -errno. */
int store__exec(struct store *store, const char *sql);
/* Outside a transaction: commits that follow wait for the disk, or (relax) do not. */
int store__relax(struct store *store, bool relax);

/* A transaction of its own (*alone), unless one is open; and its end, which returns err, or why it could not be
 * committed. */
int store__join(struct store *store, bool *alone);
int store__leave(struct store *store, bool alone, int err);

/* store_trail.c, both in a transaction. The record of the operation under way, which is about to be committed. */
int store__trail_commit(struct store *store);
void store__trail_log(const struct store *store); /* what was committed */
/* Of all in it but hash. */
void store__trail_hash(const struct store_trail_record *record,
                       uint8_t hash[static STORE_TRAIL_HASH_LEN]);
/* This was stored: part of the record of the operation under way, or one of its own. Without any it is the hub's,
 * and this is what it did (operation). */
int store__trail_note(struct store *store, const char *operation, const char *kind,
                      const char *name, const char *text);

/* store_trail_peer.c: the row as it is before a change (zero = there is none), and what became of it; after = NULL:
 * it is gone. Takes before. Returns err if that is an error, or -errno. */
int store__trail_peer_before(struct store *store, uint32_t id, struct store_peer *before);
int store__trail_peer(struct store *store, struct store_peer *before,
                      const struct store_peer *after, int err);

/* Seal bytes so that they open only as what and for whom they were sealed: label is, say,
 * "peer.preshared_key:7". XChaCha20-Poly1305 under store.key, random nonce in front; unlike
 * secretbox it authenticates the label too, so a row's secret cannot be moved to another row.
 * Returns the sealed bytes (caller frees) or NULL. *sealed_len = len + STORE_SEAL_OVERHEAD. */
#define STORE_SEAL_OVERHEAD 40
uint8_t *store__seal(const struct store *store, const char *label, const void *bytes, size_t len,
                     size_t *sealed_len);
/* Returns 0, or -EUCLEAN when it is not what store__seal() made. out has
 * sealed_len - STORE_SEAL_OVERHEAD bytes. */
int store__unseal(const struct store *store, const char *label, const void *sealed,
                  size_t sealed_len, void *out);

/* Text of a column, "" when it is NULL; borrowed until the next step. */
const char *store__text(sqlite3_stmt *statement, int column);

/* store_network.c: take the next element of a comma-separated list into one. Returns the rest, NULL at the
 * end; an element that is too long comes out empty, which no parser takes. */
const char *store__list_next(const char *list, char one[static BASE_PREFIX_STRLEN]);
/* Addresses as such a list, in buf[STORE_ADDRESSES_LEN(n)], 1 byte for none; and back: at most max, the list's own.
 * Returns 0, or -EUCLEAN when it is not what was written. */
#define STORE_ADDRESSES_LEN(n) ((n)*BASE_IP_STRLEN) /* each with a comma or the terminating zero */
void store__addresses_format(const struct base_ip *addresses, uint32_t n, char *buf);
int store__addresses_parse(const char *list, struct base_ip *addresses, uint32_t max, uint32_t *n)
	__attribute__((warn_unused_result));
/* Networks of a row that has none yet, from their text. Returns 0, -EUCLEAN, -ENOMEM. */
int store__networks_read(const char *list, struct store_peer *peer);
/* Write the networks of a row that is stored. Returns 0 or -errno. */
int store__networks_write(struct store *store, const struct store_peer *peer);

/* store_file.c: check and make the directory, the database file and store.key (is_new: the
 * database is made now). On error a line in error. */
int store__files_prepare(const char *path, uid_t uid, gid_t gid, uint8_t key[static STORE_KEY_LEN],
                         bool *is_new, char *error, size_t error_len);
/* store_schema.c: bring an open database to the version we know. */
int store__schema_migrate(struct store *store, bool is_new);

#endif
