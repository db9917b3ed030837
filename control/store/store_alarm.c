/* Rows of alarms. */
#include "store_alarm.h"

#include "store_sql.h"

int store_alarm_put(struct store *store, uint32_t peer, uint64_t since_wall_ns)
{
	sqlite3_stmt *statement = store__prepare(
		store, "INSERT INTO peer_alarms (peer, since) VALUES (?1, ?2)"
		       " ON CONFLICT (peer) DO UPDATE SET since = ?2");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_int64(statement, 1, peer);
	sqlite3_bind_int64(statement, 2, (int64_t)since_wall_ns);
	return store__run(store, statement);
}

int store_alarm_drop(struct store *store, uint32_t peer)
{
	sqlite3_stmt *statement = store__prepare(store, "DELETE FROM peer_alarms WHERE peer = ?");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_int64(statement, 1, peer);
	return store__run(store, statement);
}

int store_alarm_each(struct store *store, store_alarm_fn *fn, void *arg)
{
	sqlite3_stmt *statement = store__prepare(store, "SELECT peer, since FROM peer_alarms");
	int result = SQLITE_DONE;
	int err = 0;

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	while (err == 0 && (result = sqlite3_step(statement)) == SQLITE_ROW)
		err = fn(arg, (uint32_t)sqlite3_column_int64(statement, 0),
		         (uint64_t)sqlite3_column_int64(statement, 1));
	if (err == 0 && result != SQLITE_DONE)
		err = store__fail(store, result);
	sqlite3_finalize(statement);
	return err;
}
