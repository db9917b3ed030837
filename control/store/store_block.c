/* Rows of drop lists. */
#include "store_block.h"

#include "store_sql.h"

#include <errno.h>
#include <stdio.h>

int store_block_add(struct store *store, struct store_block_row *row)
{
	sqlite3_stmt *statement = store__prepare(
		store, "INSERT INTO block (source, reason, author, scopes, is_list, created, until,"
		       " prefixes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
	int err;

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_text(statement, 1, row->source, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 2, row->reason, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 3, row->author, -1, SQLITE_STATIC);
	sqlite3_bind_int(statement, 4, row->scopes);
	sqlite3_bind_int(statement, 5, row->is_list);
	sqlite3_bind_int64(statement, 6, (int64_t)row->created_s);
	sqlite3_bind_int64(statement, 7, (int64_t)row->until_s);
	sqlite3_bind_blob64(statement, 8, row->prefixes, row->len, SQLITE_STATIC);
	err = store__run(store, statement);
	row->id = (uint64_t)sqlite3_last_insert_rowid(store->db);
	return err;
}

int store_block_change(struct store *store, uint64_t id, const void *prefixes, size_t len)
{
	sqlite3_stmt *statement = store__prepare(store,
	                                         "UPDATE block SET prefixes = ? WHERE id = ?");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_blob64(statement, 1, prefixes, len, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 2, (int64_t)id);
	return store__change(store, statement);
}

static int row_drop(struct store *store, uint64_t id)
{
	sqlite3_stmt *statement = store__prepare(store, "DELETE FROM block WHERE id = ?");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_int64(statement, 1, (int64_t)id);
	return store__change(store, statement);
}

/* Nobody's operation takes it away: its time has come. */
static int note_ended(struct store *store, uint64_t id)
{
	sqlite3_stmt *statement = store__prepare(
		store, "SELECT source, is_list, created FROM block WHERE id = ?");
	char source[CONFIG_NAME_LEN], text[80];

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_int64(statement, 1, (int64_t)id);
	if (sqlite3_step(statement) != SQLITE_ROW) {
		sqlite3_finalize(statement);
		return -ENOENT;
	}
	snprintf(source, sizeof(source), "%s", store__text(statement, 0));
	snprintf(text, sizeof(text), "a %s ended, listed at %lld",
	         sqlite3_column_int(statement, 1) ? "list" : "prefix",
	         sqlite3_column_int64(statement, 2));
	sqlite3_finalize(statement);
	return store__trail_note(store, "block.end", "drop list", source, text);
}

int store_block_drop(struct store *store, uint64_t id)
{
	bool alone;
	int err = store__join(store, &alone);

	if (err < 0)
		return err;
	if (!store->trail.entry)
		err = note_ended(store, id);
	if (err == 0)
		err = row_drop(store, id);
	return store__leave(store, alone, err);
}

static struct store_block_row row_read(sqlite3_stmt *row)
{
	return (struct store_block_row){
		.id = (uint64_t)sqlite3_column_int64(row, 0),
		.source = store__text(row, 1),
		.reason = store__text(row, 2),
		.author = store__text(row, 3),
		.scopes = (uint8_t)sqlite3_column_int(row, 4),
		.is_list = (uint8_t)sqlite3_column_int(row, 5),
		.created_s = (uint64_t)sqlite3_column_int64(row, 6),
		.until_s = (uint64_t)sqlite3_column_int64(row, 7),
		.prefixes = sqlite3_column_blob(row, 8),
		.len = (size_t)sqlite3_column_bytes(row, 8),
	};
}

int store_block_each(struct store *store, store_block_fn *fn, void *arg)
{
	sqlite3_stmt *statement = store__prepare(
		store, "SELECT id, source, reason, author, scopes, is_list, created, until,"
		       " prefixes FROM block ORDER BY id");
	int result = SQLITE_DONE;
	int err = 0;

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	while (err == 0 && (result = sqlite3_step(statement)) == SQLITE_ROW) {
		struct store_block_row row = row_read(statement);

		err = fn(arg, &row);
		if (err == -EUCLEAN)
			snprintf(store->error, sizeof(store->error),
			         "block: entry %llu of %.64s cannot be read",
			         (unsigned long long)row.id, row.source);
	}
	if (err == 0 && result != SQLITE_DONE)
		err = store__fail(store, result);
	sqlite3_finalize(statement);
	return err;
}
