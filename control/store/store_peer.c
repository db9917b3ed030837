/* Rows of peers. */
#include "store_peer.h"

#include "base_bytes.h"
#include "base_text.h"
#include "store_sql.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ADDRESSES_LEN STORE_ADDRESSES_LEN(CONFIG_TUNNEL_MAX)
#define SEALED_LEN    (32 + STORE_SEAL_OVERHEAD)

static void label_of(uint32_t id, char label[static 40])
{
	snprintf(label, 40, "peer.preshared_key:%u", id);
}

/* ---- writing ------------------------------------------------------------------------------------ */

static int preshared_key_bind(struct store *store, sqlite3_stmt *statement, int column, uint32_t id,
                              const uint8_t *preshared_key)
{
	char label[40];
	size_t len;
	uint8_t *sealed;

	if (!preshared_key)
		return 0; /* NULL */
	label_of(id, label);
	sealed = store__seal(store, label, preshared_key, 32, &len);
	if (sealed
	    && sqlite3_bind_blob64(statement, column, sealed, len, sqlite3_free) == SQLITE_OK)
		return 0;
	snprintf(store->error, sizeof(store->error), "not enough memory");
	return -ENOMEM;
}

static int row_put(struct store *store, const struct store_peer *peer)
{
	char key[BASE_KEY_BASE64_LEN];
	char addresses[ADDRESSES_LEN];
	sqlite3_stmt *statement = store__prepare_kept(
		store,
		"INSERT INTO peers (id, name, public_key, preshared_key, addresses, wg_set,"
		" keepalive, declared, created, enabled, whole_subnet, client_keepalive,"
		" key_set, expected)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
		" ON CONFLICT (id) DO UPDATE SET name = ?2, public_key = ?3, preshared_key = ?4,"
		" addresses = ?5, wg_set = ?6, keepalive = ?7, declared = ?8, created = ?9,"
		" enabled = ?10, whole_subnet = ?11, client_keepalive = ?12, key_set = ?13,"
		" expected = ?14");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	base_key_to_base64(key, peer->public_key);
	store__addresses_format(peer->addresses, peer->n_addresses, addresses);
	sqlite3_bind_int64(statement, 1, peer->id);
	sqlite3_bind_text(statement, 2, peer->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 3, key, -1, SQLITE_STATIC);
	if (preshared_key_bind(store, statement, 4, peer->id,
	                       peer->has_preshared_key ? peer->preshared_key : NULL)
	    < 0) {
		store__done(store, statement);
		return -ENOMEM;
	}
	sqlite3_bind_text(statement, 5, addresses, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 6, (int64_t)peer->wg_set_wall_ns);
	sqlite3_bind_int(statement, 7, peer->keepalive_s);
	sqlite3_bind_int(statement, 8, peer->declared);
	sqlite3_bind_int64(statement, 9, (int64_t)peer->created_wall_ns);
	sqlite3_bind_int(statement, 10, !peer->disabled);
	sqlite3_bind_int(statement, 11, peer->whole_subnet);
	sqlite3_bind_int(statement, 12, peer->client_keepalive_s);
	sqlite3_bind_int64(statement, 13, (int64_t)peer->key_set_wall_ns);
	sqlite3_bind_int64(statement, 14, (int64_t)peer->expected_wall_ns);
	return store__run(store, statement);
}

static int row_change(struct store *store, const struct store_peer *peer)
{
	char addresses[ADDRESSES_LEN];
	sqlite3_stmt *statement = store__prepare_kept(
		store, "UPDATE peers SET addresses = ?2, enabled = ?3, whole_subnet = ?4,"
		       " client_keepalive = ?5, keepalive = ?6, wg_set = ?7, expected = ?8"
		       " WHERE id = ?1");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	store__addresses_format(peer->addresses, peer->n_addresses, addresses);
	sqlite3_bind_int64(statement, 1, peer->id);
	sqlite3_bind_text(statement, 2, addresses, -1, SQLITE_STATIC);
	sqlite3_bind_int(statement, 3, !peer->disabled);
	sqlite3_bind_int(statement, 4, peer->whole_subnet);
	sqlite3_bind_int(statement, 5, peer->client_keepalive_s);
	sqlite3_bind_int(statement, 6, peer->keepalive_s);
	sqlite3_bind_int64(statement, 7, (int64_t)peer->wg_set_wall_ns);
	sqlite3_bind_int64(statement, 8, (int64_t)peer->expected_wall_ns);
	return store__change(store, statement);
}

static void identity_copy(struct store_peer *to, const struct store_peer *from)
{
	memcpy(to->name, from->name, sizeof(to->name));
	memcpy(to->public_key, from->public_key, sizeof(to->public_key));
	memcpy(to->preshared_key, from->preshared_key, sizeof(to->preshared_key));
	to->has_preshared_key = from->has_preshared_key;
	to->declared = from->declared;
}

/* A peer is its row and its networks. */
typedef int write_fn(struct store *store, const struct store_peer *peer);
static int write_whole(struct store *store, const struct store_peer *peer, write_fn *write)
{
	struct store_peer before, after = *peer;
	bool alone;
	int err = store__join(store, &alone);

	if (err < 0)
		return err;
	err = store__trail_peer_before(store, peer->id, &before);
	if (err == 0 && write == row_change) /* its name and keys stay */
		identity_copy(&after, &before);
	if (err == 0) {
		err = write(store, peer);
		if (err == 0 && before.n_allowed_ips + peer->n_allowed_ips > 0)
			err = store__networks_write(store, peer);
		err = store__trail_peer(store, &before, &after, err);
	}
	base_wipe(&after, sizeof(after));
	return store__leave(store, alone, err);
}

int store_peer_put(struct store *store, const struct store_peer *peer)
{
	return write_whole(store, peer, row_put);
}

int store_peer_change(struct store *store, const struct store_peer *peer)
{
	return write_whole(store, peer, row_change);
}

static int key_put(struct store *store, uint32_t id, const uint8_t public_key[static 32],
                   const uint8_t *preshared_key, const uint8_t last_timestamp[static 12],
                   uint64_t key_set_wall_ns)
{
	char key[BASE_KEY_BASE64_LEN];
	sqlite3_stmt *statement = store__prepare(
		store, "UPDATE peers SET public_key = ?2, last_timestamp = ?3, key_set = ?4,"
		       " preshared_key = ifnull(?5, preshared_key) WHERE id = ?1");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	base_key_to_base64(key, public_key);
	sqlite3_bind_int64(statement, 1, id);
	sqlite3_bind_text(statement, 2, key, -1, SQLITE_STATIC);
	sqlite3_bind_blob(statement, 3, last_timestamp, 12, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 4, (int64_t)key_set_wall_ns);
	if (preshared_key_bind(store, statement, 5, id, preshared_key) < 0) {
		store__done(store, statement);
		return -ENOMEM;
	}
	return store__change(store, statement);
}

int store_peer_key_put(struct store *store, uint32_t id, const uint8_t public_key[static 32],
                       const uint8_t *preshared_key, const uint8_t last_timestamp[static 12],
                       uint64_t key_set_wall_ns)
{
	struct store_peer before, after;
	bool alone;
	int err = store__join(store, &alone);

	if (err < 0)
		return err;
	err = store__trail_peer_before(store, id, &before);
	if (err == 0) {
		after = before;
		memcpy(after.public_key, public_key, sizeof(after.public_key));
		if (preshared_key) {
			after.has_preshared_key = true;
			memcpy(after.preshared_key, preshared_key, sizeof(after.preshared_key));
		}
		err = key_put(store, id, public_key, preshared_key, last_timestamp,
		              key_set_wall_ns);
		err = store__trail_peer(store, &before, &after, err);
		base_wipe(&after, sizeof(after));
	}
	return store__leave(store, alone, err);
}

static int row_drop(struct store *store, uint32_t id)
{
	sqlite3_stmt *statement = store__prepare_kept(store, "DELETE FROM peers WHERE id = ?");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_int64(statement, 1, id);
	return store__change(store, statement);
}

int store_peer_drop(struct store *store, uint32_t id)
{
	struct store_peer before;
	bool alone;
	int err = store__join(store, &alone);

	if (err < 0)
		return err;
	err = store__trail_peer_before(store, id, &before);
	if (err == 0)
		err = store__trail_peer(store, &before, NULL, row_drop(store, id));
	return store__leave(store, alone, err);
}

static int state_write(struct store *store, uint32_t id, const struct store_peer_state *state)
{
	char endpoint[BASE_ENDPOINT_STRLEN];
	sqlite3_stmt *statement = store__prepare_kept(
		store, "UPDATE peers SET endpoint = ?2, last_handshake = ?3,"
		       " last_timestamp = ?4 WHERE id = ?1");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_int64(statement, 1, id);
	if (state->endpoint.port != 0)
		sqlite3_bind_text(statement, 2, base_endpoint_format(&state->endpoint, endpoint),
		                  -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 3, (int64_t)state->last_handshake_wall_ns);
	sqlite3_bind_blob(statement, 4, state->last_timestamp, sizeof(state->last_timestamp),
	                  SQLITE_STATIC);
	return store__change(store, statement);
}

int store_peer_state_put(struct store *store, uint32_t id, const struct store_peer_state *state)
{
	bool alone = sqlite3_get_autocommit(store->db) != 0;
	int err = alone ? store__relax(store, true) : 0;
	int back;

	if (err < 0)
		return err;
	err = state_write(store, id, state);
	back = alone ? store__relax(store, store->is_gathering) : 0;
	return err < 0 ? err : back;
}

/* ---- reading ------------------------------------------------------------------------------------ */

enum column {
	COLUMN_ID = 0,
	COLUMN_NAME,
	COLUMN_PUBLIC_KEY,
	COLUMN_PRESHARED_KEY,
	COLUMN_ADDRESSES,
	COLUMN_WG_SET,
	COLUMN_KEEPALIVE,
	COLUMN_DECLARED,
	COLUMN_CREATED,
	COLUMN_ENDPOINT,
	COLUMN_LAST_HANDSHAKE,
	COLUMN_LAST_TIMESTAMP,
	COLUMN_ENABLED,
	COLUMN_WHOLE_SUBNET,
	COLUMN_CLIENT_KEEPALIVE,
	COLUMN_KEY_SET,
	COLUMN_EXPECTED,
	COLUMN_NETWORKS,
};
#define SELECT                                                                                         \
	"SELECT id, name, public_key, preshared_key, addresses, wg_set, keepalive, declared,"          \
	" created, endpoint, last_handshake, last_timestamp, enabled, whole_subnet, client_keepalive," \
	" key_set, expected, networks FROM peers LEFT JOIN peer_networks ON peer = id"

static int preshared_key_read(struct store *store, sqlite3_stmt *row, struct store_peer *peer)
{
	char label[40];

	if (sqlite3_column_type(row, COLUMN_PRESHARED_KEY) == SQLITE_NULL)
		return 0;
	if (sqlite3_column_bytes(row, COLUMN_PRESHARED_KEY) != SEALED_LEN)
		return -EUCLEAN;
	label_of(peer->id, label);
	peer->has_preshared_key = true;
	return store__unseal(store, label, sqlite3_column_blob(row, COLUMN_PRESHARED_KEY),
	                     SEALED_LEN, peer->preshared_key);
}

static int state_read(sqlite3_stmt *row, struct store_peer_state *state)
{
	int len = sqlite3_column_bytes(row, COLUMN_LAST_TIMESTAMP);

	if (sqlite3_column_type(row, COLUMN_ENDPOINT) != SQLITE_NULL
	    && base_endpoint_parse(store__text(row, COLUMN_ENDPOINT), &state->endpoint) < 0)
		return -EUCLEAN;
	state->last_handshake_wall_ns = (uint64_t)sqlite3_column_int64(row, COLUMN_LAST_HANDSHAKE);
	if (len != 0 && len != (int)sizeof(state->last_timestamp))
		return -EUCLEAN;
	if (len != 0)
		memcpy(state->last_timestamp, sqlite3_column_blob(row, COLUMN_LAST_TIMESTAMP),
		       sizeof(state->last_timestamp));
	return 0;
}

static int row_read(struct store *store, sqlite3_stmt *row, struct store_peer *peer)
{
	const char *name = store__text(row, COLUMN_NAME);
	int64_t id = sqlite3_column_int64(row, COLUMN_ID);
	int64_t keepalive = sqlite3_column_int64(row, COLUMN_KEEPALIVE);
	int64_t client_keepalive = sqlite3_column_int64(row, COLUMN_CLIENT_KEEPALIVE);

	if (id < 0 || id >= UINT32_MAX || keepalive < 0 || keepalive > UINT16_MAX
	    || client_keepalive < 0 || client_keepalive > UINT16_MAX
	    || strlen(name) >= sizeof(peer->name))
		return -EUCLEAN;
	peer->id = (uint32_t)id;
	snprintf(peer->name, sizeof(peer->name), "%s", name);
	peer->keepalive_s = (uint16_t)keepalive;
	peer->client_keepalive_s = (uint16_t)client_keepalive;
	peer->declared = sqlite3_column_int(row, COLUMN_DECLARED) != 0;
	peer->disabled = sqlite3_column_int(row, COLUMN_ENABLED) == 0;
	peer->whole_subnet = sqlite3_column_int(row, COLUMN_WHOLE_SUBNET) != 0;
	peer->created_wall_ns = (uint64_t)sqlite3_column_int64(row, COLUMN_CREATED);
	peer->key_set_wall_ns = (uint64_t)sqlite3_column_int64(row, COLUMN_KEY_SET);
	peer->wg_set_wall_ns = (uint64_t)sqlite3_column_int64(row, COLUMN_WG_SET);
	peer->expected_wall_ns = (uint64_t)sqlite3_column_int64(row, COLUMN_EXPECTED);
	if (base_key_from_base64(peer->public_key, store__text(row, COLUMN_PUBLIC_KEY)) < 0
	    || store__addresses_parse(store__text(row, COLUMN_ADDRESSES), peer->addresses,
	                              CONFIG_TUNNEL_MAX, &peer->n_addresses)
	               < 0
	    || store__networks_read(store__text(row, COLUMN_NETWORKS), peer) < 0
	    || preshared_key_read(store, row, peer) < 0 || state_read(row, &peer->state) < 0)
		return -EUCLEAN;
	return 0;
}

/* Rows of a SELECT, which is finalized; *n gets how many there were. */
static int each(struct store *store, sqlite3_stmt *statement, store_peer_fn *fn, void *arg,
                uint32_t *n)
{
	int result = SQLITE_DONE;
	int err = 0;

	while (err == 0 && (result = sqlite3_step(statement)) == SQLITE_ROW) {
		struct store_peer peer = {0};

		err = row_read(store, statement, &peer);
		if (err < 0)
			snprintf(store->error, sizeof(store->error),
			         "peers: row %lld cannot be read",
			         sqlite3_column_int64(statement, COLUMN_ID));
		else
			err = fn(arg, &peer);
		store_peer_fini(&peer);
		(*n)++;
	}
	if (err == 0 && result != SQLITE_DONE)
		err = store__fail(store, result);
	store__done(store, statement);
	return err;
}

int store_peer_each(struct store *store, store_peer_fn *fn, void *arg)
{
	sqlite3_stmt *statement = store__prepare(store, SELECT " ORDER BY id");
	uint32_t n = 0;

	if (!statement)
		return store__fail(store, SQLITE_ERROR);
	return each(store, statement, fn, arg, &n);
}

int store_peer_find(struct store *store, uint32_t id, store_peer_fn *fn, void *arg)
{
	sqlite3_stmt *statement = store__prepare_kept(store, SELECT " WHERE id = ?");
	uint32_t n = 0;
	int err;

	if (!statement)
		return store__fail(store, SQLITE_ERROR);
	sqlite3_bind_int64(statement, 1, id);
	err = each(store, statement, fn, arg, &n);
	return err == 0 && n == 0 ? -ENOENT : err;
}
