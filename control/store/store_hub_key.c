/* The one row of the hub's key. */
#include "store_hub_key.h"

#include "base_bytes.h"
#include "base_text.h"
#include "store_sql.h"

#include <sodium.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SEALED_LEN (32 + STORE_SEAL_OVERHEAD)

static int secret_bind(struct store *store, sqlite3_stmt *statement, int column, const char *label,
                       const uint8_t *key)
{
	size_t len;
	uint8_t *sealed;

	if (!key)
		return 0; /* NULL */
	sealed = store__seal(store, label, key, 32, &len);
	if (sealed
	    && sqlite3_bind_blob64(statement, column, sealed, len, sqlite3_free) == SQLITE_OK)
		return 0;
	snprintf(store->error, sizeof(store->error), "not enough memory");
	return -ENOMEM;
}

static int secret_read(struct store *store, sqlite3_stmt *row, int column, const char *label,
                       bool *has, uint8_t key[static 32])
{
	*has = sqlite3_column_type(row, column) != SQLITE_NULL;
	if (!*has)
		return 0;
	if (sqlite3_column_bytes(row, column) != SEALED_LEN)
		return -EUCLEAN;
	return store__unseal(store, label, sqlite3_column_blob(row, column), SEALED_LEN, key);
}

static int row_put(struct store *store, const struct store_hub_key *key)
{
	char file_key[BASE_KEY_BASE64_LEN];
	sqlite3_stmt *statement = store__prepare(
		store,
		"INSERT OR REPLACE INTO hub_key (id, state, file_public_key, private_key,"
		" next_private_key, since, until, changed) VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)");
	int err;

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	base_key_to_base64(file_key, key->file_public_key);
	sqlite3_bind_int(statement, 1, (int)key->state);
	sqlite3_bind_text(statement, 2, file_key, -1, SQLITE_STATIC);
	err = secret_bind(store, statement, 3, "hub_key.private_key",
	                  key->has_private_key ? key->private_key : NULL);
	if (err == 0)
		err = secret_bind(store, statement, 4, "hub_key.next_private_key",
		                  key->has_next ? key->next_private_key : NULL);
	sqlite3_bind_int64(statement, 5, (int64_t)key->since_wall_ns);
	sqlite3_bind_int64(statement, 6, (int64_t)key->until_wall_ns);
	sqlite3_bind_int64(statement, 7, (int64_t)key->changed_wall_ns);
	if (err == 0)
		return store__run(store, statement);
	sqlite3_finalize(statement);
	return err;
}

/* Of the keys the public ones. */
static int note(struct store *store, const struct store_hub_key *key)
{
	uint8_t public_key[32];
	char is[BASE_KEY_BASE64_LEN], next[BASE_KEY_BASE64_LEN] = "", text[160];

	memcpy(public_key, key->file_public_key, sizeof(public_key));
	if (key->has_private_key && crypto_scalarmult_base(public_key, key->private_key) < 0)
		return -EINVAL;
	base_key_to_base64(is, public_key);
	if (key->has_next && crypto_scalarmult_base(public_key, key->next_private_key) < 0)
		return -EINVAL;
	if (key->has_next)
		base_key_to_base64(next, public_key);
	snprintf(text, sizeof(text), "%s key=%s%s%s", store_rotation_text(key->state), is,
	         key->has_next ? " next-key=" : "", next);
	return store__trail_note(store, "hub.rotate", "rotation of", "hub", text);
}

int store_hub_key_put(struct store *store, const struct store_hub_key *key)
{
	bool alone;
	int err = store__join(store, &alone);

	if (err < 0)
		return err;
	err = row_put(store, key);
	if (err == 0)
		err = note(store, key);
	return store__leave(store, alone, err);
}

static int row_read(struct store *store, sqlite3_stmt *row, struct store_hub_key *out)
{
	int64_t state = sqlite3_column_int64(row, 0);
	int err;

	if (state <= STORE_ROTATION_NONE || state >= STORE_N_ROTATION_STATES
	    || base_key_from_base64(out->file_public_key, store__text(row, 1)) < 0)
		return -EUCLEAN;
	out->state = (enum store_rotation_state)state;
	err = secret_read(store, row, 2, "hub_key.private_key", &out->has_private_key,
	                  out->private_key);
	if (err == 0)
		err = secret_read(store, row, 3, "hub_key.next_private_key", &out->has_next,
		                  out->next_private_key);
	out->since_wall_ns = (uint64_t)sqlite3_column_int64(row, 4);
	out->until_wall_ns = (uint64_t)sqlite3_column_int64(row, 5);
	out->changed_wall_ns = (uint64_t)sqlite3_column_int64(row, 6);
	return err;
}

int store_hub_key_get(struct store *store, struct store_hub_key *out)
{
	sqlite3_stmt *statement = store__prepare(
		store, "SELECT state, file_public_key, private_key, next_private_key, since, until,"
		       " changed FROM hub_key");
	int err = -ENOENT;
	int result;

	memset(out, 0, sizeof(*out));
	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	result = sqlite3_step(statement);
	if (result == SQLITE_ROW)
		err = row_read(store, statement, out);
	else if (result != SQLITE_DONE)
		err = store__fail(store, result);
	if (err == -EUCLEAN)
		snprintf(store->error, sizeof(store->error), "hub_key: cannot be read");
	sqlite3_finalize(statement);
	return err;
}

int store_hub_key_drop(struct store *store)
{
	return store__exec(store, "DELETE FROM hub_key");
}
