/* A store that takes no change of a group. Include behind model_lab.h. */
#ifndef MODEL_REFUSING_STORE_H
#define MODEL_REFUSING_STORE_H

#include <sqlite3.h>

/* Start the model anew: from now on its store refuses with "no room", or takes them again. */
static inline void restart_with_store(bool with_edge, bool refuse)
{
	sqlite3 *db;

	stop(); /* nobody else may write while it is open */
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db,
	                              refuse ? "CREATE TRIGGER no_room BEFORE INSERT ON policy "
	                                       "BEGIN SELECT RAISE(ABORT, 'no room'); END"
	                                     : "DROP TRIGGER no_room",
	                              NULL, NULL, NULL),
	                 SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	start(with_edge);
}

#endif
