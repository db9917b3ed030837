/* Statements that every change of a peer runs are prepared once: parsing them cost more than running them. */
#include "store_sql.h"

#include <string.h>

static struct store_kept *find(struct store *store, const sqlite3_stmt *statement)
{
	for (uint32_t i = 0; i < store->n_kept; i++)
		if (store->kept[i].statement == statement)
			return &store->kept[i];
	return NULL;
}

sqlite3_stmt *store__prepare_kept(struct store *store, const char *sql)
{
	struct store_kept *kept;

	for (uint32_t i = 0; i < store->n_kept; i++) {
		kept = &store->kept[i];
		if (strcmp(kept->sql, sql) != 0)
			continue;
		if (kept->is_used)
			return store__prepare(store, sql);
		kept->is_used = true;
		return kept->statement;
	}
	if (store->n_kept == STORE_KEPT_MAX)
		return store__prepare(store, sql);
	kept = &store->kept[store->n_kept];
	kept->statement = store__prepare(store, sql);
	if (!kept->statement)
		return NULL;
	kept->sql = sql;
	kept->is_used = true;
	store->n_kept++;
	return kept->statement;
}

/* Their results were looked at when they were stepped; these two only repeat them. */
void store__done(struct store *store, sqlite3_stmt *statement)
{
	struct store_kept *kept = find(store, statement);

	if (!kept) {
		sqlite3_finalize(statement);
		return;
	}
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	kept->is_used = false;
}

void store__kept_fini(struct store *store)
{
	while (store->n_kept > 0)
		sqlite3_finalize(store->kept[--store->n_kept].statement);
}
