/* Rows of limits and usage. */
#include "store_limit.h"

#include "base_bytes.h"
#include "store_sql.h"

#include <errno.h>

#define MONTH_LEN 24U /* start, rx, tx: 8 bytes each, big endian */
#define KEPT_LEN  (STORE_USAGE_KEPT * MONTH_LEN)

static int row_put(struct store *store, uint32_t peer, const char *text)
{
	sqlite3_stmt *statement = store__prepare(
		store, text ? "INSERT INTO peer_limits (peer, text) VALUES (?1, ?2)"
			      " ON CONFLICT (peer) DO UPDATE SET text = ?2"
			    : "DELETE FROM peer_limits WHERE peer = ?1");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_int64(statement, 1, peer);
	if (text)
		sqlite3_bind_text(statement, 2, text, -1, SQLITE_STATIC);
	return store__run(store, statement);
}

int store_limit_put(struct store *store, uint32_t peer, const char *text)
{
	bool alone;
	int err = store__join(store, &alone);

	/* The transaction is for the record of the operation. */
	return err < 0 ? err : store__leave(store, alone, row_put(store, peer, text));
}

int store_limit_each(struct store *store, store_limit_fn *fn, void *arg)
{
	sqlite3_stmt *statement = store__prepare(store, "SELECT peer, text FROM peer_limits");
	int result = SQLITE_DONE;
	int err = 0;

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	while (err == 0 && (result = sqlite3_step(statement)) == SQLITE_ROW)
		err = fn(arg, (uint32_t)sqlite3_column_int64(statement, 0),
		         store__text(statement, 1));
	if (err == 0 && result != SQLITE_DONE)
		err = store__fail(store, result);
	sqlite3_finalize(statement);
	return err;
}

static void kept_pack(const struct store_usage *usage, uint8_t out[static KEPT_LEN])
{
	for (size_t i = 0; i < STORE_USAGE_KEPT; i++, out += MONTH_LEN) {
		base_store_be64(out, (uint64_t)usage->kept[i].period_s);
		base_store_be64(out + 8, usage->kept[i].rx);
		base_store_be64(out + 16, usage->kept[i].tx);
	}
}

/* An empty one is none. */
static int kept_unpack(const uint8_t *packed, size_t len, struct store_usage *usage)
{
	if (len % MONTH_LEN != 0 || len > KEPT_LEN)
		return -EUCLEAN;
	for (size_t i = 0; i < len / MONTH_LEN; i++, packed += MONTH_LEN)
		usage->kept[i] = (struct store_usage_month){(int64_t)base_load_be64(packed),
		                                            base_load_be64(packed + 8),
		                                            base_load_be64(packed + 16)};
	return 0;
}

int store_usage_put(struct store *store, uint32_t peer, const struct store_usage *usage)
{
	sqlite3_stmt *statement = store__prepare(
		store,
		"INSERT INTO peer_usage (peer, period, rx, tx, epoch, rx_seen, tx_seen, kept)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (peer) DO UPDATE"
		" SET period = ?2, rx = ?3, tx = ?4, epoch = ?5, rx_seen = ?6, tx_seen = ?7,"
		" kept = ?8");
	uint8_t kept[KEPT_LEN];

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_int64(statement, 1, peer);
	sqlite3_bind_int64(statement, 2, usage->period_s);
	sqlite3_bind_int64(statement, 3, (int64_t)usage->rx);
	sqlite3_bind_int64(statement, 4, (int64_t)usage->tx);
	sqlite3_bind_int64(statement, 5, (int64_t)usage->epoch);
	sqlite3_bind_int64(statement, 6, (int64_t)usage->rx_seen);
	sqlite3_bind_int64(statement, 7, (int64_t)usage->tx_seen);
	kept_pack(usage, kept);
	sqlite3_bind_blob64(statement, 8, kept, sizeof(kept), SQLITE_STATIC);
	return store__run(store, statement);
}

int store_usage_each(struct store *store, store_usage_fn *fn, void *arg)
{
	sqlite3_stmt *statement = store__prepare(
		store,
		"SELECT peer, period, rx, tx, epoch, rx_seen, tx_seen, kept FROM peer_usage");
	int result = SQLITE_DONE;
	int err = 0;

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	while (err == 0 && (result = sqlite3_step(statement)) == SQLITE_ROW) {
		struct store_usage usage = {
			.period_s = sqlite3_column_int64(statement, 1),
			.rx = (uint64_t)sqlite3_column_int64(statement, 2),
			.tx = (uint64_t)sqlite3_column_int64(statement, 3),
			.epoch = (uint64_t)sqlite3_column_int64(statement, 4),
			.rx_seen = (uint64_t)sqlite3_column_int64(statement, 5),
			.tx_seen = (uint64_t)sqlite3_column_int64(statement, 6),
		};

		err = kept_unpack(sqlite3_column_blob(statement, 7),
		                  (size_t)sqlite3_column_bytes(statement, 7), &usage);
		if (err == 0)
			err = fn(arg, (uint32_t)sqlite3_column_int64(statement, 0), &usage);
	}
	if (err == 0 && result != SQLITE_DONE)
		err = store__fail(store, result);
	sqlite3_finalize(statement);
	return err;
}
