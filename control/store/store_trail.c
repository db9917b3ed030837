/* Records of the audit trail as they are written, and what the other tables tell it. Reading: store_trail_read.c. */
#include "store_trail.h"

#include "base_bytes.h"
#include "base_log.h"
#include "base_text.h"
#include "base_time.h"
#include "store_sql.h"

#include <sodium.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

_Static_assert(STORE_TRAIL_HASH_LEN == crypto_hash_sha256_BYTES, "SHA-256");

#define HEX_LEN (2 * STORE_TRAIL_HASH_LEN + 1)

/* ---- text --------------------------------------------------------------------------------------- */

/* Append, without control characters; what does not fit is cut between two characters of UTF-8. */
static void append(char *buf, size_t size, size_t *len, const char *text)
{
	static const char more[] = "...";
	size_t end = size - sizeof(more);

	if (*len > end)
		return; /* was cut before */
	for (; *text != '\0' && *len < end; text++) {
		unsigned char c = (unsigned char)*text;

		buf[(*len)++] = c < 0x20 || c == 0x7f ? '?' : *text;
	}
	if (*text != '\0') {
		while (*len > 0 && (*text & 0xc0) == 0x80) {
			text--;
			(*len)--;
		}
		memcpy(buf + *len, more, sizeof(more));
		*len = size;
		return;
	}
	buf[*len] = '\0';
}

static void hash_line(crypto_hash_sha256_state *state, const char *text)
{
	crypto_hash_sha256_update(state, (const uint8_t *)text, strlen(text));
	crypto_hash_sha256_update(state, (const uint8_t *)"\n", 1);
}

static void hash_number(crypto_hash_sha256_state *state, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	hash_line(state, text);
}

void store__trail_hash(const struct store_trail_record *record,
                       uint8_t hash[static STORE_TRAIL_HASH_LEN])
{
	crypto_hash_sha256_state state;
	char previous[HEX_LEN];

	base_hex_encode(previous, record->previous, sizeof(record->previous));
	crypto_hash_sha256_init(&state);
	hash_line(&state, previous);
	hash_number(&state, record->sequence);
	hash_number(&state, record->wall_ns);
	hash_line(&state, record->actor);
	hash_line(&state, record->operation);
	hash_line(&state, record->object);
	hash_line(&state, record->summary);
	hash_line(&state, record->comment);
	crypto_hash_sha256_final(&state, hash);
}

/* ---- writing ------------------------------------------------------------------------------------ */

static int last_find(struct store *store, uint64_t *sequence,
                     uint8_t hash[static STORE_TRAIL_HASH_LEN])
{
	sqlite3_stmt *statement = store__prepare_kept(
		store, "SELECT sequence, hash FROM trail ORDER BY sequence DESC LIMIT 1");
	int result;
	int err = 0;

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	*sequence = 0;
	memset(hash, 0, STORE_TRAIL_HASH_LEN);
	result = sqlite3_step(statement);
	if (result == SQLITE_ROW && sqlite3_column_bytes(statement, 1) == STORE_TRAIL_HASH_LEN) {
		*sequence = (uint64_t)sqlite3_column_int64(statement, 0);
		memcpy(hash, sqlite3_column_blob(statement, 1), STORE_TRAIL_HASH_LEN);
	} else if (result == SQLITE_ROW) {
		snprintf(store->error, sizeof(store->error), "trail: the last record is damaged");
		err = -EUCLEAN;
	} else if (result != SQLITE_DONE) {
		err = store__fail(store, result);
	}
	store__done(store, statement);
	return err;
}

/* Sequence and hash of the last record; both zero when there is none. Of many in one transaction only the first has to
 * be looked up. */
static int last_read(struct store *store, uint64_t *sequence,
                     uint8_t hash[static STORE_TRAIL_HASH_LEN])
{
	if (store->trail_end.sequence == 0)
		return last_find(store, sequence, hash);
	*sequence = store->trail_end.sequence;
	memcpy(hash, store->trail_end.hash, STORE_TRAIL_HASH_LEN);
	return 0;
}

static int row_add(struct store *store, const struct store_trail_record *record)
{
	sqlite3_stmt *statement = store__prepare_kept(
		store, "INSERT INTO trail (sequence, time, actor, operation, object, summary,"
		       " comment, previous, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_int64(statement, 1, (int64_t)record->sequence);
	sqlite3_bind_int64(statement, 2, (int64_t)record->wall_ns);
	sqlite3_bind_text(statement, 3, record->actor, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 4, record->operation, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 5, record->object, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 6, record->summary, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 7, record->comment, -1, SQLITE_STATIC);
	sqlite3_bind_blob(statement, 8, record->previous, STORE_TRAIL_HASH_LEN, SQLITE_STATIC);
	sqlite3_bind_blob(statement, 9, record->hash, STORE_TRAIL_HASH_LEN, SQLITE_STATIC);
	return store__run(store, statement);
}

/* In the transaction that is open. notes: what was stored, may be "". */
static int record_add(struct store *store, const struct store_trail_entry *entry, const char *notes)
{
	char actor[128], operation[64], object[256], summary[STORE_TRAIL_SUMMARY_LEN], comment[512];
	size_t lens[5] = {0};
	struct store_trail_record record = {
		.wall_ns = base_time_wall_ns(),
		.actor = actor,
		.operation = operation,
		.object = object,
		.summary = summary,
		.comment = comment,
	};
	int err = last_read(store, &record.sequence, record.previous);

	if (err < 0)
		return err;
	record.sequence++;
	append(actor, sizeof(actor), &lens[0], entry->actor);
	append(operation, sizeof(operation), &lens[1], entry->operation);
	append(object, sizeof(object), &lens[2], entry->object);
	append(summary, sizeof(summary), &lens[3], entry->summary);
	if (*entry->summary != '\0' && *notes != '\0')
		append(summary, sizeof(summary), &lens[3], "; ");
	append(summary, sizeof(summary), &lens[3], notes);
	append(comment, sizeof(comment), &lens[4], entry->comment);
	store__trail_hash(&record, record.hash);
	err = row_add(store, &record);
	if (err < 0)
		return err;
	store->trail.is_written = true;
	store->trail_end.sequence = record.sequence;
	memcpy(store->trail_end.hash, record.hash, sizeof(record.hash));
	return 0;
}

void store__trail_log(const struct store *store)
{
	char hex[HEX_LEN];

	if (store->trail_end.sequence == 0)
		return;
	base_hex_encode(hex, store->trail_end.hash, sizeof(store->trail_end.hash));
	log_info("trail", "record=%llu hash=%s", (unsigned long long)store->trail_end.sequence,
	         hex);
}

void store_trail_begin(struct store *store, const struct store_trail_entry *entry)
{
	store->trail = (struct store_trail){.entry = entry};
}

int store__trail_commit(struct store *store)
{
	const struct store_trail *trail = &store->trail;

	if (!trail->entry || trail->entry->each || trail->is_written)
		return 0;
	if (!trail->is_ending && sqlite3_total_changes(store->db) == trail->n_changes)
		return 0; /* of something that then was refused, say */
	return record_add(store, trail->entry, trail->notes);
}

int store_trail_end(struct store *store, bool changed)
{
	const struct store_trail_entry *entry = store->trail.entry;
	bool is_missing = entry && changed && !store->trail.is_written;
	int err = 0;

	if (is_missing) {
		store->trail.is_ending = true;
		err = store_begin(store);
		if (err == 0) {
			int added = entry->each ? record_add(store, entry, "") : 0;

			/* That of an entry without each is added by the commit. */
			err = store_end(store, added == 0);
			err = added < 0 ? added : err;
		}
	}
	store->trail = (struct store_trail){0};
	return err;
}

/* ---- what is stored ----------------------------------------------------------------------------- */

int store__trail_note(struct store *store, const char *operation, const char *kind,
                      const char *name, const char *text)
{
	struct store_trail *trail = &store->trail;
	struct store_trail_entry entry = {"hub", operation, NULL, text, "", true};
	char object[256];

	snprintf(object, sizeof(object), "%s %s", kind, name);
	if (trail->entry && !trail->entry->each) {
		if (trail->notes_len > 0)
			append(trail->notes, sizeof(trail->notes), &trail->notes_len, "; ");
		append(trail->notes, sizeof(trail->notes), &trail->notes_len, object);
		append(trail->notes, sizeof(trail->notes), &trail->notes_len, " ");
		append(trail->notes, sizeof(trail->notes), &trail->notes_len, text);
		return 0;
	}
	if (trail->entry) {
		entry.actor = trail->entry->actor;
		entry.operation = trail->entry->operation;
		entry.comment = trail->entry->comment;
	}
	entry.object = object;
	return record_add(store, &entry, "");
}
