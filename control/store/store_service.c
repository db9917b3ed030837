/* Rows of services and certificates. */
#include "store_service.h"

#include "base_bytes.h"
#include "store_sql.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int store_service_add(struct store *store, const struct store_service *service)
{
	sqlite3_stmt *statement = store__prepare(
		store, "INSERT INTO services (name, host, peer, port, created)"
		       " VALUES (?, ?, ?, ?, ?)");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_text(statement, 1, service->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 2, service->host, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 3, service->peer, -1, SQLITE_STATIC);
	sqlite3_bind_int(statement, 4, service->port);
	sqlite3_bind_int64(statement, 5, (int64_t)service->created_wall_ns);
	return store__run(store, statement);
}

int store_service_drop(struct store *store, const char *name)
{
	sqlite3_stmt *statement = store__prepare(store, "DELETE FROM services WHERE name = ?");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
	return store__change(store, statement);
}

static int row_read(sqlite3_stmt *row, struct store_service *service)
{
	int64_t port = sqlite3_column_int64(row, 3);

	if (strlen(store__text(row, 0)) >= sizeof(service->name)
	    || strlen(store__text(row, 1)) >= sizeof(service->host)
	    || strlen(store__text(row, 2)) >= sizeof(service->peer) || port < 1
	    || port > UINT16_MAX)
		return -EUCLEAN;
	snprintf(service->name, sizeof(service->name), "%s", store__text(row, 0));
	snprintf(service->host, sizeof(service->host), "%s", store__text(row, 1));
	snprintf(service->peer, sizeof(service->peer), "%s", store__text(row, 2));
	service->port = (uint16_t)port;
	service->created_wall_ns = (uint64_t)sqlite3_column_int64(row, 4);
	return 0;
}

int store_service_each(struct store *store, store_service_fn *fn, void *arg)
{
	sqlite3_stmt *statement = store__prepare_kept(
		store, "SELECT name, host, peer, port, created FROM services ORDER BY name");
	int result = SQLITE_DONE;
	int err = 0;

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	while (err == 0 && (result = sqlite3_step(statement)) == SQLITE_ROW) {
		struct store_service service = {0};

		err = row_read(statement, &service);
		if (err < 0)
			snprintf(store->error, sizeof(store->error),
			         "services: \"%.64s\" cannot be read", store__text(statement, 0));
		else
			err = fn(arg, &service);
	}
	if (err == 0 && result != SQLITE_DONE)
		err = store__fail(store, result);
	store__done(store, statement);
	return err;
}

/* ---- certificates ------------------------------------------------------------------------------- */

static void label_of(const char *host, char label[static 300])
{
	snprintf(label, 300, "certificate:%.253s", host);
}

static int certificate_write(struct store *store, const char *host, const char *pem)
{
	char label[300];
	size_t len;
	uint8_t *sealed;
	sqlite3_stmt *statement;

	label_of(host, label);
	sealed = store__seal(store, label, pem, strlen(pem), &len);
	if (!sealed)
		return -ENOMEM;
	statement = store__prepare(store, "INSERT INTO certificates (host, pem) VALUES (?1, ?2)"
	                                  " ON CONFLICT (host) DO UPDATE SET pem = ?2");
	if (!statement) {
		sqlite3_free(sealed);
		return store__fail(store, sqlite3_errcode(store->db));
	}
	sqlite3_bind_text(statement, 1, host, -1, SQLITE_STATIC);
	sqlite3_bind_blob64(statement, 2, sealed, len, sqlite3_free);
	return store__run(store, statement);
}

int store_certificate_put(struct store *store, const char *host, const char *pem)
{
	bool alone;
	int err = store__join(store, &alone);

	if (err < 0)
		return err;
	err = certificate_write(store, host, pem);
	if (err == 0)
		err = store__trail_note(store, "certificate.make", "certificate of", host, "made");
	return store__leave(store, alone, err);
}

/* The row of get holds the sealed bytes: open them into a new text. */
static int certificate_open(struct store *store, sqlite3_stmt *row, const char *host, char **out)
{
	char label[300];
	size_t sealed_len = (size_t)sqlite3_column_bytes(row, 0);
	char *pem;

	if (sealed_len < STORE_SEAL_OVERHEAD)
		return -EUCLEAN;
	pem = calloc(1, sealed_len - STORE_SEAL_OVERHEAD + 1);
	if (!pem)
		return -ENOMEM;
	label_of(host, label);
	if (store__unseal(store, label, sqlite3_column_blob(row, 0), sealed_len, pem) < 0) {
		free(pem);
		return -EUCLEAN;
	}
	*out = pem;
	return 0;
}

int store_certificate_get(struct store *store, const char *host, char **out)
{
	sqlite3_stmt *statement = store__prepare(store,
	                                         "SELECT pem FROM certificates WHERE host = ?");
	int result;
	int err;

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_text(statement, 1, host, -1, SQLITE_STATIC);
	result = sqlite3_step(statement);
	if (result == SQLITE_ROW) {
		err = certificate_open(store, statement, host, out);
		if (err == -EUCLEAN)
			snprintf(store->error, sizeof(store->error),
			         "certificate of %.200s cannot be opened", host);
	} else {
		err = result == SQLITE_DONE ? -ENOENT : store__fail(store, result);
	}
	sqlite3_finalize(statement);
	return err;
}

int store_certificate_drop(struct store *store, const char *host)
{
	sqlite3_stmt *statement = store__prepare(store, "DELETE FROM certificates WHERE host = ?");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_text(statement, 1, host, -1, SQLITE_STATIC);
	return store__run(store, statement);
}
