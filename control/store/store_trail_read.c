/* Records of the audit trail as they are read: listed, verified, and the oldest taken out. */
#include "base_text.h"
#include "store_sql.h"
#include "store_trail.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- listing ------------------------------------------------------------------------------------ */

#define SELECT                                                                                     \
	"SELECT sequence, time, actor, operation, object, summary, comment, previous, hash FROM"   \
	" trail"

static int row_read(sqlite3_stmt *row, struct store_trail_record *out)
{
	out->sequence = (uint64_t)sqlite3_column_int64(row, 0);
	if (sqlite3_column_bytes(row, 7) != STORE_TRAIL_HASH_LEN
	    || sqlite3_column_bytes(row, 8) != STORE_TRAIL_HASH_LEN)
		return -EUCLEAN;
	out->wall_ns = (uint64_t)sqlite3_column_int64(row, 1);
	out->actor = store__text(row, 2);
	out->operation = store__text(row, 3);
	out->object = store__text(row, 4);
	out->summary = store__text(row, 5);
	out->comment = store__text(row, 6);
	memcpy(out->previous, sqlite3_column_blob(row, 7), STORE_TRAIL_HASH_LEN);
	memcpy(out->hash, sqlite3_column_blob(row, 8), STORE_TRAIL_HASH_LEN);
	return 0;
}

/* What was taken out last, and its hash. */
static int anchor_read(struct store *store, uint64_t *sequence,
                       uint8_t hash[static STORE_TRAIL_HASH_LEN])
{
	sqlite3_stmt *statement = store__prepare(store, "SELECT sequence, hash FROM trail_anchor");
	int result;
	int err = 0;

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	result = sqlite3_step(statement);
	if (result == SQLITE_ROW && sqlite3_column_bytes(statement, 1) == STORE_TRAIL_HASH_LEN) {
		*sequence = (uint64_t)sqlite3_column_int64(statement, 0);
		memcpy(hash, sqlite3_column_blob(statement, 1), STORE_TRAIL_HASH_LEN);
	} else if (result == SQLITE_ROW || result == SQLITE_DONE) {
		snprintf(store->error, sizeof(store->error), "trail: its anchor is damaged");
		err = -EUCLEAN;
	} else {
		err = store__fail(store, result);
	}
	sqlite3_finalize(statement);
	return err;
}

int store_trail_each(struct store *store, const struct store_trail_query *query, store_trail_fn *fn,
                     void *arg)
{
	sqlite3_stmt *statement = store__prepare(
		store, query->last ? SELECT
			       " WHERE sequence > max(?1, (SELECT sequence FROM trail_anchor))"
			       " AND time >= ?2 ORDER BY sequence DESC LIMIT ?3"
				   : SELECT
			       " WHERE sequence > max(?1, (SELECT sequence FROM trail_anchor))"
			       " AND time >= ?2 ORDER BY sequence LIMIT ?3");
	int result = SQLITE_DONE;
	int err = 0;

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_int64(statement, 1, (int64_t)query->after);
	sqlite3_bind_int64(statement, 2, (int64_t)query->since_wall_ns);
	sqlite3_bind_int64(statement, 3, query->limit);
	while (err == 0 && (result = sqlite3_step(statement)) == SQLITE_ROW) {
		struct store_trail_record record;

		err = row_read(statement, &record);
		if (err < 0)
			snprintf(store->error, sizeof(store->error),
			         "trail: record %llu is damaged",
			         (unsigned long long)record.sequence);
		else
			err = fn(arg, &record);
	}
	if (err == 0 && result != SQLITE_DONE)
		err = store__fail(store, result);
	sqlite3_finalize(statement);
	return err;
}

int store_trail_size(struct store *store, uint64_t *n, uint64_t *first_wall_ns)
{
	/* Both ends are looked up, nothing is counted: there are no gaps. */
	sqlite3_stmt *statement = store__prepare(
		store, "SELECT time, (SELECT max(sequence) FROM trail) - sequence + 1 FROM trail"
		       " WHERE sequence > (SELECT sequence FROM trail_anchor)"
		       " ORDER BY sequence LIMIT 1");
	int result;

	*n = 0;
	*first_wall_ns = 0;
	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	result = sqlite3_step(statement);
	if (result == SQLITE_ROW) {
		*first_wall_ns = (uint64_t)sqlite3_column_int64(statement, 0);
		*n = (uint64_t)sqlite3_column_int64(statement, 1);
	}
	sqlite3_finalize(statement);
	return result == SQLITE_ROW || result == SQLITE_DONE ? 0 : store__fail(store, result);
}

/* ---- verifying ---------------------------------------------------------------------------------- */

#define TAKE_OUT     "audit.prune"
#define TAKE_OUT_LEN (64 + 2 * STORE_TRAIL_HASH_LEN)

/* As the record of it says. */
static void take_out_text(char text[static TAKE_OUT_LEN], uint64_t sequence,
                          const uint8_t hash[static STORE_TRAIL_HASH_LEN])
{
	char hex[2 * STORE_TRAIL_HASH_LEN + 1];

	base_hex_encode(hex, hash, STORE_TRAIL_HASH_LEN);
	snprintf(text, TAKE_OUT_LEN, "taken out up to record=%llu hash=%s",
	         (unsigned long long)sequence, hex);
}

static void find_broken(struct store_trail_walk *walk, uint64_t sequence, const char *why)
{
	walk->verdict.broken = sequence;
	walk->verdict.why = why;
	walk->is_done = true;
}

/* Does the record say what was taken out, as the anchor has it? */
static bool is_told_by(const struct store_trail_record *record,
                       const struct store_trail_verdict *verdict)
{
	char text[TAKE_OUT_LEN];

	if (strcmp(record->operation, TAKE_OUT) != 0)
		return false;
	take_out_text(text, verdict->taken_out, verdict->taken_out_hash);
	return strstr(record->summary, text) != NULL;
}

/* One more record, in order. */
static void walk_one(sqlite3_stmt *row, struct store_trail_walk *walk)
{
	struct store_trail_verdict *verdict = &walk->verdict;
	uint64_t next = verdict->taken_out + verdict->n_good + 1;
	struct store_trail_record record;
	uint8_t hash[STORE_TRAIL_HASH_LEN];

	if (row_read(row, &record) < 0) {
		find_broken(walk, record.sequence, "its hashes are not hashes");
		return;
	}
	store__trail_hash(&record, hash);
	if (record.sequence != next) {
		find_broken(walk, next, "it is missing");
	} else if (memcmp(record.previous, verdict->hash, sizeof(hash)) != 0) {
		find_broken(walk, record.sequence, "it does not follow the one before");
	} else if (memcmp(record.hash, hash, sizeof(hash)) != 0) {
		find_broken(walk, record.sequence, "it is not as it was written");
	} else if ((walk->until_wall_ns != 0 && record.wall_ns >= walk->until_wall_ns)
	           || (walk->until_sequence != 0 && record.sequence > walk->until_sequence)) {
		walk->is_done = true;
	} else {
		walk->is_told |= is_told_by(&record, verdict);
		verdict->n_good++;
		memcpy(verdict->hash, hash, sizeof(hash));
		walk->is_done = walk->until_sequence == record.sequence;
	}
}

/* SQLite remembers the highest sequence that ever was, so the last records cannot just be cut off; nor the first ones,
 * since a record says so when they are taken out. */
static int walk_end(struct store *store, struct store_trail_walk *walk)
{
	const struct store_trail_verdict *verdict = &walk->verdict;
	uint64_t last = verdict->taken_out + verdict->n_good;
	sqlite3_stmt *statement = store__prepare(
		store, "SELECT seq FROM sqlite_sequence WHERE name = 'trail'");
	int result;

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	walk->is_done = true;
	result = sqlite3_step(statement);
	if ((result == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(statement, 0) : 0) != last)
		find_broken(walk, last + 1, "it is missing, at the end");
	else if (verdict->taken_out != 0 && !walk->is_told)
		find_broken(walk, verdict->taken_out, "no record says that it was taken out");
	sqlite3_finalize(statement);
	return result == SQLITE_ROW || result == SQLITE_DONE ? 0 : store__fail(store, result);
}

/* From the anchor, unless that is from where it came. */
static int walk_begin(struct store *store, struct store_trail_walk *walk)
{
	struct store_trail_verdict fresh = {0};
	int err = anchor_read(store, &fresh.taken_out, fresh.taken_out_hash);

	if (err < 0)
		return err;
	if (fresh.taken_out != 0 && fresh.taken_out == walk->verdict.taken_out)
		return 0;
	if (fresh.taken_out == 0 && walk->verdict.n_good != 0)
		return 0;
	memcpy(fresh.hash, fresh.taken_out_hash, sizeof(fresh.hash));
	walk->verdict = fresh;
	walk->is_told = false;
	return 0;
}

int store_trail_walk(struct store *store, struct store_trail_walk *walk, uint32_t n)
{
	int err = walk_begin(store, walk);
	sqlite3_stmt *statement;
	int result = SQLITE_DONE;
	uint64_t before;

	if (err < 0)
		return err;
	before = walk->verdict.n_good;
	statement = store__prepare(store, SELECT " WHERE sequence > ?1 ORDER BY sequence LIMIT ?2");
	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_int64(statement, 1, (int64_t)(walk->verdict.taken_out + before));
	sqlite3_bind_int64(statement, 2, n);
	while (!walk->is_done && (result = sqlite3_step(statement)) == SQLITE_ROW)
		walk_one(statement, walk);
	if (result != SQLITE_DONE && result != SQLITE_ROW)
		err = store__fail(store, result);
	sqlite3_finalize(statement);
	if (err == 0 && !walk->is_done && walk->verdict.n_good - before < n)
		err = walk_end(store, walk);
	return err;
}

int store_trail_verify(struct store *store, struct store_trail_verdict *out)
{
	struct store_trail_walk walk = {0};
	int err = 0;

	while (err == 0 && !walk.is_done)
		err = store_trail_walk(store, &walk, UINT32_MAX);
	*out = walk.verdict;
	return err;
}

/* ---- taking out --------------------------------------------------------------------------------- */

static int anchor_write(struct store *store, const struct store_trail_walk *walk, uint64_t last)
{
	sqlite3_stmt *statement = store__prepare(
		store, "UPDATE trail_anchor SET sequence = ?1, hash = ?2 WHERE sequence = ?3");
	int err;

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_int64(statement, 1, (int64_t)last);
	sqlite3_bind_blob(statement, 2, walk->verdict.hash, STORE_TRAIL_HASH_LEN, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 3, (int64_t)walk->verdict.taken_out);
	err = store__change(store, statement);
	return err == -ENOENT ? -ESTALE : err;
}

int store_trail_take_out(struct store *store, const struct store_trail_walk *walk)
{
	uint64_t last = walk->verdict.taken_out + walk->verdict.n_good;
	char text[TAKE_OUT_LEN];
	bool alone;
	int err;

	if (!walk->is_done || walk->verdict.broken != 0 || walk->verdict.n_good == 0)
		return -EINVAL;
	take_out_text(text, last, walk->verdict.hash);
	err = store__join(store, &alone);
	if (err < 0)
		return err;
	err = anchor_write(store, walk, last);
	if (err == 0)
		err = store__trail_note(store, TAKE_OUT, "audit", "trail", text);
	return store__leave(store, alone, err);
}

int store_trail_sweep(struct store *store, uint32_t n, bool *more)
{
	sqlite3_stmt *statement;
	int err = store_begin_unsynced(store);
	int ended;

	*more = false;
	if (err < 0)
		return err;
	statement = store__prepare(store,
	                           "DELETE FROM trail WHERE sequence IN (SELECT sequence FROM trail"
	                           " WHERE sequence <= (SELECT sequence FROM trail_anchor)"
	                           " ORDER BY sequence LIMIT ?1)");
	if (!statement) {
		err = store__fail(store, sqlite3_errcode(store->db));
	} else {
		sqlite3_bind_int64(statement, 1, n);
		err = store__run(store, statement);
		*more = err == 0 && sqlite3_changes(store->db) == (int)n;
	}
	ended = store_end(store, err == 0);
	return err < 0 ? err : ended;
}
