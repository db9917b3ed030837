/* The tables, version by version. A step that was released never changes; a new one is appended. */
#include "base_bytes.h"
#include "store_sql.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define APPLICATION_ID 0x77656972 /* "weir" */
#define KEY_CHECK      "weir store"
#define KEY_CHECK_LEN  (sizeof(KEY_CHECK) - 1)

static const char *const steps[] = {
	/* 1: first light */
	"CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE peers ("
	" id INTEGER PRIMARY KEY,"
	" name TEXT NOT NULL UNIQUE,"
	" public_key TEXT NOT NULL UNIQUE,"
	" preshared_key BLOB,"                 /* sealed */
	" addresses TEXT NOT NULL,"            /* comma-separated */
	" allowed_ips TEXT NOT NULL,"          /* comma-separated */
	" keepalive INTEGER NOT NULL,"         /* s */
	" enabled INTEGER NOT NULL DEFAULT 1," /* 0 = weir peer disable */
	" declared INTEGER NOT NULL,"
	" created INTEGER NOT NULL,"                  /* ns since 1970, as all times */
	" endpoint TEXT,"                             /* last seen */
	" last_handshake INTEGER NOT NULL DEFAULT 0," /* 0 = never */
	" last_timestamp BLOB"                        /* TAI64N */
	") STRICT;"
	"CREATE TABLE services ("
	" name TEXT PRIMARY KEY,"
	" host TEXT NOT NULL UNIQUE,"
	" peer TEXT NOT NULL,"
	" port INTEGER NOT NULL,"
	" created INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;"
	"CREATE TABLE certificates ("
	" host TEXT PRIMARY KEY,"
	" pem BLOB NOT NULL" /* sealed */
	") STRICT, WITHOUT ROWID;",
	/* 2: groups and grants */
	"CREATE TABLE policy ("
	" kind TEXT NOT NULL," /* group, grant */
	" name TEXT NOT NULL,"
	" number INTEGER NOT NULL," /* the workers' name of a grant */
	" text TEXT NOT NULL,"
	" created INTEGER NOT NULL,"
	" PRIMARY KEY (kind, name)"
	") STRICT, WITHOUT ROWID;"
	"CREATE TABLE policy_state ("
	" generation INTEGER NOT NULL,"
	" next_number INTEGER NOT NULL"
	") STRICT;"
	"INSERT INTO policy_state VALUES (0, 1);",
	/* 3: peers whose configuration has the whole tunnel nets */
	"ALTER TABLE peers ADD COLUMN whole_subnet INTEGER NOT NULL DEFAULT 0;",
	/* 4: drop lists; an entry is one prefix or a whole list */
	"CREATE TABLE block ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" source TEXT NOT NULL,"
	" reason TEXT NOT NULL,"
	" author TEXT NOT NULL,"
	" scopes INTEGER NOT NULL," /* enum block_scope */
	" is_list INTEGER NOT NULL,"
	" created INTEGER NOT NULL," /* s since 1970 */
	" until INTEGER NOT NULL,"   /* the same; 0 = for ever */
	" prefixes BLOB NOT NULL"    /* packed, control/block */
	") STRICT;",
	/* 5: keepalives that clients send */
	"ALTER TABLE peers ADD COLUMN client_keepalive INTEGER NOT NULL DEFAULT 25;", /* s */
	/* 6: limits of peers, and what they used of their quotas */
	"CREATE TABLE peer_limits ("
	" peer INTEGER PRIMARY KEY REFERENCES peers (id) ON DELETE CASCADE,"
	" text TEXT NOT NULL" /* control/limit; '' = none, whatever others have */
	") STRICT;"
	"CREATE TABLE peer_usage ("
	" peer INTEGER PRIMARY KEY REFERENCES peers (id) ON DELETE CASCADE,"
	" period INTEGER NOT NULL," /* its start, s since 1970 */
	" rx INTEGER NOT NULL,"     /* bytes that passed in it */
	" tx INTEGER NOT NULL,"
	" epoch INTEGER NOT NULL," /* of the region, whose counters then were: */
	" rx_seen INTEGER NOT NULL,"
	" tx_seen INTEGER NOT NULL"
	") STRICT;",
	/* 7: since when a peer has its key */
	("ALTER TABLE peers ADD COLUMN key_set INTEGER NOT NULL DEFAULT 0;"
         "UPDATE peers SET key_set = created;"),
	/* 8: when a grant was last used */
	"ALTER TABLE policy ADD COLUMN used INTEGER NOT NULL DEFAULT 0;", /* s since 1970; 0 = never */
	/* 9: networks behind a peer beside it, since they may be many; what wg(8) said of it last */
	("CREATE TABLE peer_networks ("
         " peer INTEGER PRIMARY KEY REFERENCES peers (id) ON DELETE CASCADE,"
         " networks TEXT NOT NULL" /* comma-separated */
         ") STRICT;"
         "INSERT INTO peer_networks SELECT id, allowed_ips FROM peers WHERE allowed_ips != '';"
         "ALTER TABLE peers DROP COLUMN allowed_ips;"
         "ALTER TABLE peers ADD COLUMN wg_set INTEGER NOT NULL DEFAULT 0;"),
	/* 10: peers between two keys */
	"CREATE TABLE peer_rotations ("
	" peer INTEGER PRIMARY KEY REFERENCES peers (id) ON DELETE CASCADE,"
	" state INTEGER NOT NULL,"  /* enum store_rotation_state */
	" serial INTEGER NOT NULL," /* of the key it has, and of the next one */
	" next_serial INTEGER NOT NULL,"
	" public_key TEXT UNIQUE," /* the next one; NULL = the same */
	" preshared_key BLOB,"     /* the next one, sealed; NULL = the same */
	" last_timestamp BLOB NOT NULL,"
	" since INTEGER NOT NULL,"
	" until INTEGER NOT NULL,"
	" changed INTEGER NOT NULL"
	") STRICT;",
	/* 11: the hub's key, when it is not its file's */
	"CREATE TABLE hub_key ("
	" id INTEGER PRIMARY KEY CHECK (id = 1),"
	" state INTEGER NOT NULL," /* enum store_rotation_state */
	" file_public_key TEXT NOT NULL,"
	" private_key BLOB,"      /* sealed; NULL = the file's */
	" next_private_key BLOB," /* sealed */
	" since INTEGER NOT NULL,"
	" until INTEGER NOT NULL,"
	" changed INTEGER NOT NULL"
	") STRICT;",
	/* 12: who changed what; rows are only added */
	("CREATE TABLE trail ("
         " sequence INTEGER PRIMARY KEY AUTOINCREMENT,"
         " time INTEGER NOT NULL,"
         " actor TEXT NOT NULL,"
         " operation TEXT NOT NULL,"
         " object TEXT NOT NULL,"
         " summary TEXT NOT NULL,"
         " comment TEXT NOT NULL,"
         " previous BLOB NOT NULL," /* hash of the row before */
         " hash BLOB NOT NULL"
         ") STRICT;"
         "CREATE TRIGGER trail_update BEFORE UPDATE ON trail BEGIN"
         " SELECT RAISE(ABORT, 'the audit trail is only added to'); END;"
         "CREATE TRIGGER trail_delete BEFORE DELETE ON trail BEGIN"
         " SELECT RAISE(ABORT, 'the audit trail is only added to'); END;"
         "CREATE TRIGGER trail_insert BEFORE INSERT ON trail"
         " WHEN NEW.sequence != (SELECT ifnull(max(sequence), 0) + 1 FROM trail) BEGIN"
         " SELECT RAISE(ABORT, 'the audit trail is only added to'); END;"),
	/* 13: peers that should be up, and alarms about those that are not */
	("ALTER TABLE peers ADD COLUMN expected INTEGER NOT NULL DEFAULT 0;" /* since; 0 = it need not */
         "CREATE TABLE peer_alarms ("
         " peer INTEGER PRIMARY KEY REFERENCES peers (id) ON DELETE CASCADE,"
         " since INTEGER NOT NULL"
         ") STRICT;"),
	/* 14: the trail's oldest records may be taken out: those up to this one, whose hash stays */
	("CREATE TABLE trail_anchor ("
         " id INTEGER PRIMARY KEY CHECK (id = 1),"
         " sequence INTEGER NOT NULL," /* 0 = all are there */
         " hash BLOB NOT NULL"
         ") STRICT;"
         "INSERT INTO trail_anchor VALUES (1, 0, zeroblob(32));"
         "CREATE TRIGGER trail_anchor_insert BEFORE INSERT ON trail_anchor BEGIN"
         " SELECT RAISE(ABORT, 'there is one anchor'); END;"
         "CREATE TRIGGER trail_anchor_delete BEFORE DELETE ON trail_anchor BEGIN"
         " SELECT RAISE(ABORT, 'there is one anchor'); END;"
         "CREATE TRIGGER trail_anchor_update BEFORE UPDATE ON trail_anchor"
         " WHEN NEW.sequence <= OLD.sequence"
         " OR NEW.hash IS NOT (SELECT hash FROM trail WHERE sequence = NEW.sequence) BEGIN"
         " SELECT RAISE(ABORT, 'the audit trail is taken out from its beginning'); END;"
         "DROP TRIGGER trail_delete;"
         "CREATE TRIGGER trail_delete BEFORE DELETE ON trail"
         " WHEN OLD.sequence > (SELECT sequence FROM trail_anchor) BEGIN"
         " SELECT RAISE(ABORT, 'the audit trail is only added to'); END;"),
	/* 15: peers that are found by name, and what the name said last */
	"CREATE TABLE peer_names ("
	" peer INTEGER PRIMARY KEY REFERENCES peers (id) ON DELETE CASCADE,"
	" name TEXT NOT NULL,"      /* host:port */
	" addresses TEXT NOT NULL," /* comma-separated */
	" resolved INTEGER NOT NULL"
	") STRICT;",
	/* 16: what was used in the months before, for a clock that is set back */
	"ALTER TABLE peer_usage ADD COLUMN kept BLOB NOT NULL DEFAULT x'';", /* start, rx, tx, ... */
};

unsigned int store_schema_version(void)
{
	return (unsigned int)BASE_ARRAY_LEN(steps);
}

/* The one number that a PRAGMA or SELECT gives. */
static int read_number(struct store *store, const char *sql, int64_t *out)
{
	sqlite3_stmt *statement = store__prepare(store, sql);
	int result;

	if (!statement)
		return store__fail(store, SQLITE_ERROR);
	result = sqlite3_step(statement);
	if (result == SQLITE_ROW)
		*out = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return result == SQLITE_ROW ? 0 : store__fail(store, result);
}

/* Put a known text, sealed, into a new store: it tells later whether store.key fits. */
static int key_check_write(struct store *store)
{
	sqlite3_stmt *statement;
	size_t len;
	uint8_t *sealed = store__seal(store, "meta.key_check", KEY_CHECK, KEY_CHECK_LEN, &len);

	if (!sealed)
		return -ENOMEM;
	statement = store__prepare(store, "INSERT INTO meta (name, value) VALUES ('key_check', ?)");
	if (!statement) {
		sqlite3_free(sealed);
		return store__fail(store, SQLITE_ERROR);
	}
	sqlite3_bind_blob64(statement, 1, sealed, len, sqlite3_free);
	return store__run(store, statement);
}

static int key_check(struct store *store)
{
	char text[KEY_CHECK_LEN];
	sqlite3_stmt *statement = store__prepare(store,
	                                         "SELECT value FROM meta WHERE name = 'key_check'");
	int err = -EUCLEAN;

	if (!statement)
		return store__fail(store, SQLITE_ERROR);
	if (sqlite3_step(statement) == SQLITE_ROW
	    && sqlite3_column_bytes(statement, 0) == (int)(KEY_CHECK_LEN + STORE_SEAL_OVERHEAD))
		err = store__unseal(store, "meta.key_check", sqlite3_column_blob(statement, 0),
		                    KEY_CHECK_LEN + STORE_SEAL_OVERHEAD, text);
	sqlite3_finalize(statement);
	if (err < 0)
		snprintf(store->error, sizeof(store->error),
		         "store.key beside it is not the key that it was made with");
	return err;
}

/* One step and its version number, together or not at all. */
static int step_apply(struct store *store, size_t version)
{
	char sql[64];
	int err = store_begin(store);

	if (err < 0)
		return err;
	err = store__exec(store, steps[version]);
	if (err == 0 && version == 0) {
		snprintf(sql, sizeof(sql), "PRAGMA application_id = %d", APPLICATION_ID);
		err = store__exec(store, sql);
		if (err == 0)
			err = key_check_write(store);
	}
	snprintf(sql, sizeof(sql), "PRAGMA user_version = %zu", version + 1);
	if (err == 0)
		err = store__exec(store, sql);
	if (err == 0)
		return store_end(store, true);
	return store_end(store, false) < 0 ? -EIO : err;
}

int store__schema_migrate(struct store *store, bool is_new)
{
	int64_t version = 0;
	int64_t application = 0;
	int err = read_number(store, "PRAGMA user_version", &version);

	if (err == 0)
		err = read_number(store, "PRAGMA application_id", &application);
	if (err < 0)
		return err;
	/* A first start that was killed leaves a file without a table, but not an empty one. */
	if (version != 0 ? application != APPLICATION_ID : application != 0 && !is_new) {
		snprintf(store->error, sizeof(store->error), "is not a store of weir");
		return -EPROTO;
	}
	if (version > (int64_t)BASE_ARRAY_LEN(steps) || version < 0) {
		snprintf(store->error, sizeof(store->error),
		         "has version %lld, this weir knows up to %zu: it was made by a newer one",
		         (long long)version, BASE_ARRAY_LEN(steps));
		return -EPROTO;
	}
	for (size_t v = (size_t)version; v < BASE_ARRAY_LEN(steps); v++) {
		err = step_apply(store, v);
		if (err < 0)
			return err;
	}
	return key_check(store);
}
