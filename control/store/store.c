/* Opening and closing, transactions, and the helpers round SQLite and sealing. */
#include "store.h"

#include "base_bytes.h"
#include "base_log.h"
#include "store_sql.h"

#include <sodium.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CHECKPOINT_PAGES       1000 /* of the journal; SQLite's own */
#define CHECKPOINT_PAGES_LARGE 8000
#define CACHE_SET              "PRAGMA cache_size = -1024" /* KiB */
#define CACHE_SET_LARGE        "PRAGMA cache_size = -32768"

static int errno_of(int result)
{
	switch (result & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EUCLEAN;
	default:
		return -EIO;
	}
}

int store__fail(struct store *store, int result)
{
	int err = errno_of(result);

	snprintf(store->error, sizeof(store->error), "%s", sqlite3_errmsg(store->db));
	if (err != -EEXIST && err != -EBUSY)
		log_err("store", "%s result=%d", store->error, result);
	return err < 0 ? err : -EIO;
}

const char *store_error(const struct store *store)
{
	return store->error;
}

sqlite3_stmt *store__prepare(struct store *store, const char *sql)
{
	sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK)
		return NULL;
	return statement;
}

int store__run(struct store *store, sqlite3_stmt *statement)
{
	int result = sqlite3_step(statement);
	int err = result == SQLITE_DONE ? 0 : store__fail(store, result);

	store__done(store, statement);
	return err;
}

int store__change(struct store *store, sqlite3_stmt *statement)
{
	int err = store__run(store, statement);

	return err == 0 && sqlite3_changes(store->db) == 0 ? -ENOENT : err;
}

int store__exec(struct store *store, const char *sql)
{
	int result = sqlite3_exec(store->db, sql, NULL, NULL, NULL);

	return result == SQLITE_OK ? 0 : store__fail(store, result);
}

const char *store__text(sqlite3_stmt *statement, int column)
{
	const unsigned char *text = sqlite3_column_text(statement, column);

	return text ? (const char *)text : "";
}

/* Does a commit wait for the disk? */
int store__relax(struct store *store, bool relax)
{
	int err;

	if (store->is_relaxed == relax)
		return 0;
	err = store__exec(store,
	                  relax ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = FULL");
	if (err == 0)
		store->is_relaxed = relax;
	return err;
}

static int run(struct store *store, const char *sql)
{
	sqlite3_stmt *statement = store__prepare_kept(store, sql);

	return statement ? store__run(store, statement)
	                 : store__fail(store, sqlite3_errcode(store->db));
}

int store_begin(struct store *store)
{
	store->trail.was_written = store->trail.is_written;
	store->trail.n_changes = sqlite3_total_changes(store->db);
	return run(store, "BEGIN IMMEDIATE");
}

int store_begin_unsynced(struct store *store)
{
	int err = store__relax(store, true);

	if (err == 0)
		err = store_begin(store);
	store->is_unsynced = err == 0;
	return err;
}

/* Keys and names come in no order: with fewer pages than their indexes have, nearly each row writes one out and reads
 * another. */
static int cache_enlarge(struct store *store, bool enlarge)
{
	int err;

	if (store->is_enlarged == enlarge)
		return 0;
	err = store__exec(store, enlarge ? CACHE_SET_LARGE : CACHE_SET);
	if (err == 0)
		store->is_enlarged = enlarge;
	return err;
}

int store_begin_large(struct store *store)
{
	int err = cache_enlarge(store, true);

	if (err == 0)
		err = store_begin(store);
	if (err == 0)
		sqlite3_wal_autocheckpoint(store->db, CHECKPOINT_PAGES_LARGE);
	return err;
}

int store_end(struct store *store, bool commit)
{
	bool was_written = store->trail.was_written;
	int err = commit && !store->is_unsynced ? store__trail_commit(store) : 0;
	int undone, synced;

	if (commit && err == 0)
		err = run(store, "COMMIT");
	/* What could not be written SQLite has undone by itself: then there is none, and why stays in store->error. */
	undone = (err < 0 || !commit) && !sqlite3_get_autocommit(store->db) ? run(store, "ROLLBACK")
	                                                                    : 0;
	synced = store__relax(store, store->is_gathering);
	store->is_unsynced = false;
	if (err < 0 || !commit)
		store->trail.is_written = was_written;
	else
		store__trail_log(store);
	store->trail_end.sequence = 0;
	sqlite3_wal_autocheckpoint(store->db, CHECKPOINT_PAGES);
	(void)cache_enlarge(store, false); /* logged; the next end tries again */
	if (err < 0)
		return err;
	return undone < 0 ? undone : synced;
}

int store_gather(struct store *store)
{
	int err = store__relax(store, true);

	store->is_gathering = err == 0;
	store->n_gathered = sqlite3_total_changes(store->db);
	return err;
}

/* What a commit that waits for the disk does at its end. A checkpoint in between has synced what it took. */
static int sync_journal(struct store *store)
{
	sqlite3_file *journal = NULL;
	int result = sqlite3_file_control(store->db, "main", SQLITE_FCNTL_JOURNAL_POINTER,
	                                  &journal);

	if (result != SQLITE_OK || !journal || !journal->pMethods)
		return SQLITE_IOERR_FSYNC;
	return journal->pMethods->xSync(journal, SQLITE_SYNC_NORMAL);
}

int store_settle(struct store *store)
{
	int result = SQLITE_OK;
	int err;

	store->is_gathering = false;
	if (sqlite3_total_changes(store->db) != store->n_gathered)
		result = sync_journal(store);
	err = store__relax(store, false);
	if (result == SQLITE_OK)
		return err;
	snprintf(store->error, sizeof(store->error), "changes do not reach the disk");
	log_err("store", "%s result=%d", store->error, result);
	return -EIO;
}

int store__join(struct store *store, bool *alone)
{
	*alone = sqlite3_get_autocommit(store->db) != 0;
	return *alone ? store_begin(store) : 0;
}

int store__leave(struct store *store, bool alone, int err)
{
	int ended = alone ? store_end(store, err == 0) : 0;

	return err < 0 ? err : ended;
}

/* ---- sealing ------------------------------------------------------------------------------------ */

_Static_assert(STORE_SEAL_OVERHEAD
                       == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
                                  + crypto_aead_xchacha20poly1305_ietf_ABYTES,
               "nonce and tag");
_Static_assert(STORE_KEY_LEN == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key");

#define NONCE_LEN crypto_aead_xchacha20poly1305_ietf_NPUBBYTES

uint8_t *store__seal(const struct store *store, const char *label, const void *bytes, size_t len,
                     size_t *sealed_len)
{
	uint8_t *sealed = sqlite3_malloc64(len + STORE_SEAL_OVERHEAD);

	if (!sealed)
		return NULL;
	randombytes_buf(sealed, NONCE_LEN);
	crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + NONCE_LEN, NULL, bytes, len,
	                                           (const uint8_t *)label, strlen(label), NULL,
	                                           sealed, store->key);
	*sealed_len = len + STORE_SEAL_OVERHEAD;
	return sealed;
}

int store__unseal(const struct store *store, const char *label, const void *sealed,
                  size_t sealed_len, void *out)
{
	const uint8_t *bytes = sealed;

	if (!sealed || sealed_len < STORE_SEAL_OVERHEAD)
		return -EUCLEAN;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(
		    out, NULL, NULL, bytes + NONCE_LEN, sealed_len - NONCE_LEN,
		    (const uint8_t *)label, strlen(label), bytes, store->key)
	    < 0)
		return -EUCLEAN;
	return 0;
}

/* ---- opening ------------------------------------------------------------------------------------ */

/* "ok" is the only good answer; a damaged file is refused rather than half read. */
static int check_whole(struct store *store)
{
	sqlite3_stmt *statement = store__prepare(store, "PRAGMA quick_check(1)");
	int result;
	bool good;

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	result = sqlite3_step(statement);
	if (result != SQLITE_ROW) {
		sqlite3_finalize(statement);
		return store__fail(store, result);
	}
	good = strcmp(store__text(statement, 0), "ok") == 0;
	if (!good)
		snprintf(store->error, sizeof(store->error), "is damaged: %s",
		         store__text(statement, 0));
	sqlite3_finalize(statement);
	return good ? 0 : -EUCLEAN;
}

static int open_database(struct store *store, const char *path, bool is_new)
{
	static const char settings[] = "PRAGMA locking_mode = EXCLUSIVE;" /* one process */
				       "PRAGMA journal_mode = WAL;"
				       "PRAGMA synchronous = FULL;"
				       "PRAGMA secure_delete = ON;" /* no secrets in free pages */
				       "PRAGMA foreign_keys = ON;"
				       "PRAGMA trusted_schema = OFF;" CACHE_SET ";"
				       "BEGIN EXCLUSIVE; COMMIT;"; /* takes the lock now */
	mode_t umask_before = umask(077);
	int result = sqlite3_open_v2(
		path, &store->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
	int err = result == SQLITE_OK ? 0 : store__fail(store, result);

	if (err == 0)
		err = store__exec(store, settings);
	if (err == -EBUSY)
		snprintf(store->error, sizeof(store->error), "is in use by another process");
	if (err == 0 && !is_new)
		err = check_whole(store);
	if (err == 0)
		err = store__schema_migrate(store, is_new);
	umask(umask_before);
	return err;
}

int store_open(const char *path, uid_t uid, gid_t gid, struct store **out, char *error,
               size_t error_len)
{
	struct store *store;
	bool is_new = false;
	int err;

	if (sodium_init() < 0) {
		snprintf(error, error_len, "%s: libsodium does not start", path);
		return -EIO;
	}
	store = calloc(1, sizeof(*store));
	if (!store) {
		snprintf(error, error_len, "%s: not enough memory", path);
		return -ENOMEM;
	}
	err = store__files_prepare(path, uid, gid, store->key, &is_new, error, error_len);
	if (err == 0) {
		err = open_database(store, path, is_new);
		if (err < 0)
			snprintf(error, error_len, "%s: %s", path, store->error);
	}
	if (err < 0) {
		store_close(store);
		return err;
	}
	*out = store;
	return 0;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	store__kept_fini(store);
	/* Every other statement is finalized by its function, so this closes. */
	if (sqlite3_close(store->db) != SQLITE_OK)
		log_err("store", "did not close: %s", sqlite3_errmsg(store->db));
	base_wipe(store->key, sizeof(store->key));
	free(store);
}
