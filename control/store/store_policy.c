/* Rows of the policy. */
#include "store_policy.h"

#include "store_sql.h"

#include <errno.h>
#include <stdio.h>

static int row_put(struct store *store, const struct store_policy_row *row)
{
	sqlite3_stmt *statement = store__prepare(
		store, "INSERT INTO policy (kind, name, number, text, created)"
		       " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (kind, name)"
		       " DO UPDATE SET number = ?3, text = ?4, created = ?5");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_text(statement, 1, row->kind, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 2, row->name, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 3, row->number);
	sqlite3_bind_text(statement, 4, row->text, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 5, (int64_t)row->created_wall_ns);
	return store__run(store, statement);
}

int store_policy_put(struct store *store, const struct store_policy_row *row)
{
	bool alone;
	int err = store__join(store, &alone);

	if (err < 0)
		return err;
	err = row_put(store, row);
	if (err == 0)
		err = store__trail_note(store, "policy.change", row->kind, row->name, row->text);
	return store__leave(store, alone, err);
}

static int row_drop(struct store *store, const char *kind, const char *name)
{
	sqlite3_stmt *statement = store__prepare(store,
	                                         "DELETE FROM policy WHERE kind = ? AND name = ?");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_text(statement, 1, kind, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 2, name, -1, SQLITE_STATIC);
	return store__change(store, statement);
}

int store_policy_drop(struct store *store, const char *kind, const char *name)
{
	bool alone;
	int err = store__join(store, &alone);

	if (err < 0)
		return err;
	err = row_drop(store, kind, name);
	if (err == 0)
		err = store__trail_note(store, "policy.change", kind, name, "removed");
	return store__leave(store, alone, err);
}

int store_policy_used_put(struct store *store, const char *name, uint64_t used_s)
{
	sqlite3_stmt *statement = store__prepare(
		store,
		"UPDATE policy SET used = ? WHERE kind = '" STORE_POLICY_GRANT "' AND name = ?");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_int64(statement, 1, (int64_t)used_s);
	sqlite3_bind_text(statement, 2, name, -1, SQLITE_STATIC);
	return store__change(store, statement);
}

int store_policy_each(struct store *store, store_policy_fn *fn, void *arg)
{
	sqlite3_stmt *statement = store__prepare(
		store, "SELECT kind, name, number, text, created, used FROM policy"
		       " ORDER BY kind, name");
	int result = SQLITE_DONE;
	int err = 0;

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	while (err == 0 && (result = sqlite3_step(statement)) == SQLITE_ROW) {
		int64_t number = sqlite3_column_int64(statement, 2);
		struct store_policy_row row = {
			.kind = store__text(statement, 0),
			.name = store__text(statement, 1),
			.number = (uint32_t)number,
			.text = store__text(statement, 3),
			.created_wall_ns = (uint64_t)sqlite3_column_int64(statement, 4),
			.used_s = (uint64_t)sqlite3_column_int64(statement, 5),
		};

		err = number < 0 || number > UINT32_MAX ? -EUCLEAN : fn(arg, &row);
		if (err == -EUCLEAN)
			snprintf(store->error, sizeof(store->error),
			         "policy: %s %.64s cannot be read", row.kind, row.name);
	}
	if (err == 0 && result != SQLITE_DONE)
		err = store__fail(store, result);
	sqlite3_finalize(statement);
	return err;
}

int store_policy_state_get(struct store *store, struct store_policy_state *out)
{
	sqlite3_stmt *statement = store__prepare(
		store, "SELECT generation, next_number FROM policy_state");
	int err = 0;

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	if (sqlite3_step(statement) == SQLITE_ROW) {
		out->generation = (uint64_t)sqlite3_column_int64(statement, 0);
		out->next_number = (uint32_t)sqlite3_column_int64(statement, 1);
	} else {
		snprintf(store->error, sizeof(store->error), "policy_state has no row");
		err = -EUCLEAN;
	}
	sqlite3_finalize(statement);
	return err;
}

int store_policy_state_put(struct store *store, const struct store_policy_state *state)
{
	sqlite3_stmt *statement = store__prepare(
		store, "UPDATE policy_state SET generation = ?, next_number = ?");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_int64(statement, 1, (int64_t)state->generation);
	sqlite3_bind_int64(statement, 2, state->next_number);
	return store__change(store, statement);
}
