/* A store that takes nothing into a table. Include behind model_lab.h. */
#ifndef MODEL_REFUSING_STORE_H
#define MODEL_REFUSING_STORE_H

#include <sqlite3.h>

/* Start the model anew: from now on its store refuses rows of this table with "no room", or takes them again. */
static inline void restart_refusing(const char *table, bool with_edge, bool refuse)
{
	char statement[160];
	sqlite3 *db;

	snprintf(statement, sizeof(statement),
	         refuse ? "CREATE TRIGGER no_room BEFORE INSERT ON %s "
	                  "BEGIN SELECT RAISE(ABORT, 'no room'); END"
	                : "DROP TRIGGER no_room",
	         table);
	stop(); /* nobody else may write while it is open */
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, statement, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	start(with_edge);
}

/* The same for changes of a group. */
static inline void restart_with_store(bool with_edge, bool refuse)
{
	restart_refusing("policy", with_edge, refuse);
}

#endif
