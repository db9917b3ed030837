#include "store_name.h"

#include "store_sql.h"

#include <errno.h>
#include <stdio.h>

#define ANSWER_LEN STORE_ADDRESSES_LEN(STORE_ANSWER_MAX)

static int row_put(struct store *store, uint32_t peer, const struct store_name *name)
{
	char text[BASE_HOST_PORT_STRLEN], answer[ANSWER_LEN];
	sqlite3_stmt *statement = store__prepare(
		store, "INSERT INTO peer_names (peer, name, addresses, resolved)"
		       " VALUES (?1, ?2, ?3, ?4) ON CONFLICT (peer) DO UPDATE"
		       " SET name = ?2, addresses = ?3, resolved = ?4");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	store__addresses_format(name->answer, name->n_answer, answer);
	sqlite3_bind_int64(statement, 1, peer);
	sqlite3_bind_text(statement, 2, base_host_port_format(&name->name, text), -1,
	                  SQLITE_STATIC);
	sqlite3_bind_text(statement, 3, answer, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 4, (int64_t)name->resolved_wall_ns);
	return store__run(store, statement);
}

int store_name_put(struct store *store, uint32_t peer, const char *peer_name,
                   const struct store_name *name)
{
	char text[BASE_HOST_PORT_STRLEN], line[BASE_HOST_PORT_STRLEN + 32];
	bool alone;
	int err = store__join(store, &alone);

	if (err < 0)
		return err;
	err = row_put(store, peer, name);
	snprintf(line, sizeof(line), "endpoint-name=%s", base_host_port_format(&name->name, text));
	if (err == 0)
		err = store__trail_note(store, "peer.endpoint", "peer", peer_name, line);
	return store__leave(store, alone, err);
}

int store_name_drop(struct store *store, uint32_t peer, const char *peer_name)
{
	bool alone;
	int err = store__join(store, &alone);
	sqlite3_stmt *statement;

	if (err < 0)
		return err;
	statement = store__prepare(store, "DELETE FROM peer_names WHERE peer = ?");
	if (statement) {
		sqlite3_bind_int64(statement, 1, peer);
		err = store__change(store, statement);
	} else {
		err = store__fail(store, sqlite3_errcode(store->db));
	}
	if (err == 0)
		err = store__trail_note(store, "peer.endpoint", "peer", peer_name,
		                        "endpoint-name=none");
	return store__leave(store, alone, err);
}

int store_name_answer_put(struct store *store, uint32_t peer, const struct store_name *name)
{
	char answer[ANSWER_LEN];
	int err = store_begin_unsynced(store);
	sqlite3_stmt *statement;
	int ended;

	if (err < 0)
		return err;
	statement = store__prepare(
		store, "UPDATE peer_names SET addresses = ?2, resolved = ?3 WHERE peer = ?1");
	if (statement) {
		store__addresses_format(name->answer, name->n_answer, answer);
		sqlite3_bind_int64(statement, 1, peer);
		sqlite3_bind_text(statement, 2, answer, -1, SQLITE_STATIC);
		sqlite3_bind_int64(statement, 3, (int64_t)name->resolved_wall_ns);
		err = store__change(store, statement);
	} else {
		err = store__fail(store, sqlite3_errcode(store->db));
	}
	ended = store_end(store, err == 0);
	return err < 0 ? err : ended;
}

static int row_read(sqlite3_stmt *row, struct store_name *name)
{
	if (base_host_port_parse(store__text(row, 1), &name->name) < 0
	    || store__addresses_parse(store__text(row, 2), name->answer, STORE_ANSWER_MAX,
	                              &name->n_answer)
	               < 0)
		return -EUCLEAN;
	name->resolved_wall_ns = (uint64_t)sqlite3_column_int64(row, 3);
	return 0;
}

int store_name_each(struct store *store, store_name_fn *fn, void *arg)
{
	sqlite3_stmt *statement = store__prepare(
		store, "SELECT peer, name, addresses, resolved FROM peer_names ORDER BY peer");
	int result = SQLITE_DONE;
	int err = 0;

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	while (err == 0 && (result = sqlite3_step(statement)) == SQLITE_ROW) {
		struct store_name name = {0};
		int64_t peer = sqlite3_column_int64(statement, 0);

		err = row_read(statement, &name);
		if (err < 0)
			snprintf(store->error, sizeof(store->error),
			         "peer_names: row %lld cannot be read", (long long)peer);
		else
			err = fn(arg, (uint32_t)peer, &name);
	}
	if (err == 0 && result != SQLITE_DONE)
		err = store__fail(store, result);
	sqlite3_finalize(statement);
	return err;
}
