/* Rows of rotations. */
#include "store_rotation.h"

#include "base_bytes.h"
#include "base_text.h"
#include "store_sql.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SEALED_LEN (32 + STORE_SEAL_OVERHEAD)

static void label_of(uint32_t peer, char label[static 40])
{
	snprintf(label, 40, "rotation.preshared_key:%u", peer);
}

static int secret_bind(struct store *store, sqlite3_stmt *statement, int column,
                       const struct store_rotation *rotation)
{
	char label[40];
	size_t len;
	uint8_t *sealed;

	if (!rotation->has_preshared_key)
		return 0; /* NULL */
	label_of(rotation->peer, label);
	sealed = store__seal(store, label, rotation->preshared_key, 32, &len);
	if (!sealed)
		return -ENOMEM;
	return sqlite3_bind_blob64(statement, column, sealed, len, sqlite3_free) == SQLITE_OK
	               ? 0
	               : -ENOMEM;
}

static int row_put(struct store *store, const struct store_rotation *rotation)
{
	char key[BASE_KEY_BASE64_LEN];
	sqlite3_stmt *statement = store__prepare(
		store,
		"INSERT INTO peer_rotations (peer, state, serial, next_serial, public_key,"
		" preshared_key, last_timestamp, since, until, changed)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
		" ON CONFLICT (peer) DO UPDATE SET state = ?2, serial = ?3, next_serial = ?4,"
		" public_key = ?5, preshared_key = ?6, last_timestamp = ?7, since = ?8,"
		" until = ?9, changed = ?10");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	if (secret_bind(store, statement, 6, rotation) < 0) {
		sqlite3_finalize(statement);
		snprintf(store->error, sizeof(store->error), "not enough memory");
		return -ENOMEM;
	}
	sqlite3_bind_int64(statement, 1, rotation->peer);
	sqlite3_bind_int(statement, 2, (int)rotation->state);
	sqlite3_bind_int64(statement, 3, rotation->serial);
	sqlite3_bind_int64(statement, 4, rotation->next_serial);
	if (rotation->has_public_key) {
		base_key_to_base64(key, rotation->public_key);
		sqlite3_bind_text(statement, 5, key, -1, SQLITE_STATIC);
	}
	sqlite3_bind_blob(statement, 7, rotation->last_timestamp, sizeof(rotation->last_timestamp),
	                  SQLITE_STATIC);
	sqlite3_bind_int64(statement, 8, (int64_t)rotation->since_wall_ns);
	sqlite3_bind_int64(statement, 9, (int64_t)rotation->until_wall_ns);
	sqlite3_bind_int64(statement, 10, (int64_t)rotation->changed_wall_ns);
	return store__run(store, statement);
}

const char *store_rotation_text(enum store_rotation_state state)
{
	static const char *const texts[STORE_N_ROTATION_STATES] = {
		[STORE_ROTATION_NONE] = "none",       [STORE_ROTATION_PROPOSED] = "proposed",
		[STORE_ROTATION_OVERLAP] = "overlap", [STORE_ROTATION_CONFIRMED] = "confirmed",
		[STORE_ROTATION_EXPIRED] = "expired", [STORE_ROTATION_CANCELLED] = "cancelled",
	};

	return texts[state];
}

static int name_of(struct store *store, uint32_t peer, char name[static CONFIG_NAME_LEN])
{
	sqlite3_stmt *statement = store__prepare(store, "SELECT name FROM peers WHERE id = ?");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_int64(statement, 1, peer);
	snprintf(name, CONFIG_NAME_LEN, "%s",
	         sqlite3_step(statement) == SQLITE_ROW ? store__text(statement, 0) : "");
	sqlite3_finalize(statement);
	return 0;
}

static int note(struct store *store, const struct store_rotation *rotation)
{
	char name[CONFIG_NAME_LEN], key[BASE_KEY_BASE64_LEN] = "", text[160];
	int err = name_of(store, rotation->peer, name);

	if (err < 0)
		return err;
	if (rotation->has_public_key)
		base_key_to_base64(key, rotation->public_key);
	snprintf(text, sizeof(text), "%s%s%s%s", store_rotation_text(rotation->state),
	         rotation->has_public_key ? " next-key=" : "", key,
	         rotation->has_preshared_key ? " another-preshared-key" : "");
	return store__trail_note(store, "peer.rotate", "rotation of peer", name, text);
}

int store_rotation_put(struct store *store, const struct store_rotation *rotation)
{
	bool alone;
	int err = store__join(store, &alone);

	if (err < 0)
		return err;
	err = row_put(store, rotation);
	if (err == 0)
		err = note(store, rotation);
	return store__leave(store, alone, err);
}

int store_rotation_seen(struct store *store, uint32_t peer, const uint8_t last_timestamp[static 12])
{
	sqlite3_stmt *statement = store__prepare(
		store, "UPDATE peer_rotations SET last_timestamp = ?2 WHERE peer = ?1");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_int64(statement, 1, peer);
	sqlite3_bind_blob(statement, 2, last_timestamp, 12, SQLITE_STATIC);
	return store__change(store, statement);
}

#define SELECT                                                                                     \
	"SELECT peer, state, serial, next_serial, public_key, preshared_key, last_timestamp,"      \
	" since, until, changed FROM peer_rotations"

static int row_read(struct store *store, sqlite3_stmt *row, struct store_rotation *out)
{
	int64_t state = sqlite3_column_int64(row, 1);
	char label[40];

	if (state <= STORE_ROTATION_NONE || state >= STORE_N_ROTATION_STATES
	    || sqlite3_column_bytes(row, 6) != (int)sizeof(out->last_timestamp))
		return -EUCLEAN;
	out->peer = (uint32_t)sqlite3_column_int64(row, 0);
	out->state = (enum store_rotation_state)state;
	out->serial = (uint32_t)sqlite3_column_int64(row, 2);
	out->next_serial = (uint32_t)sqlite3_column_int64(row, 3);
	memcpy(out->last_timestamp, sqlite3_column_blob(row, 6), sizeof(out->last_timestamp));
	out->since_wall_ns = (uint64_t)sqlite3_column_int64(row, 7);
	out->until_wall_ns = (uint64_t)sqlite3_column_int64(row, 8);
	out->changed_wall_ns = (uint64_t)sqlite3_column_int64(row, 9);
	out->has_public_key = sqlite3_column_type(row, 4) != SQLITE_NULL;
	if (out->has_public_key && base_key_from_base64(out->public_key, store__text(row, 4)) < 0)
		return -EUCLEAN;
	out->has_preshared_key = sqlite3_column_type(row, 5) != SQLITE_NULL;
	if (!out->has_preshared_key)
		return 0;
	label_of(out->peer, label);
	if (sqlite3_column_bytes(row, 5) != SEALED_LEN)
		return -EUCLEAN;
	return store__unseal(store, label, sqlite3_column_blob(row, 5), SEALED_LEN,
	                     out->preshared_key);
}

/* Rows of a SELECT, which is finalized. */
static int each(struct store *store, sqlite3_stmt *statement, store_rotation_fn *fn, void *arg)
{
	int result = SQLITE_DONE;
	int err = 0;

	while (err == 0 && (result = sqlite3_step(statement)) == SQLITE_ROW) {
		struct store_rotation rotation = {0};

		err = row_read(store, statement, &rotation);
		if (err < 0)
			snprintf(store->error, sizeof(store->error),
			         "peer_rotations: row %lld cannot be read",
			         sqlite3_column_int64(statement, 0));
		else
			err = fn(arg, &rotation);
		base_wipe(&rotation, sizeof(rotation));
	}
	if (err == 0 && result != SQLITE_DONE)
		err = store__fail(store, result);
	sqlite3_finalize(statement);
	return err;
}

int store_rotation_each(struct store *store, store_rotation_fn *fn, void *arg)
{
	sqlite3_stmt *statement = store__prepare(store, SELECT " ORDER BY peer");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	return each(store, statement, fn, arg);
}

static int copy_out(void *arg, const struct store_rotation *rotation)
{
	memcpy(arg, rotation, sizeof(*rotation));
	return 0;
}

int store_rotation_find(struct store *store, uint32_t peer, struct store_rotation *out)
{
	sqlite3_stmt *statement = store__prepare(store, SELECT " WHERE peer = ?");
	int err;

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_int64(statement, 1, peer);
	out->state = STORE_ROTATION_NONE;
	err = each(store, statement, copy_out, out);
	return err == 0 && out->state == STORE_ROTATION_NONE ? -ENOENT : err;
}
