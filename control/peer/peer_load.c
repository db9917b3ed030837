/* At the start: what the store has and what the file declares become one table. All of it is
 * checked and written to the store in one transaction before session and program hear of it. */
#include "base_bytes.h"
#include "base_log.h"
#include "base_time.h"
#include "peer_pool.h"
#include "peer_table.h"
#include "session.h"
#include "store_trail.h"
#include "wg_allowedips.h"
#include "wg_key.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows with their preshared keys, only while loading; wiped with the array. */
struct rows {
	struct store_peer *rows;
	uint32_t n;
	uint32_t max;
};

static int collect_row(void *arg, const struct store_peer *peer)
{
	struct rows *rows = arg;
	int err;

	if (rows->n == rows->max) {
		uint32_t max = rows->max ? rows->max * 2 : 64;
		struct store_peer *grown = calloc(max, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		if (rows->n > 0) { /* calloc() to start with has nothing to copy */
			memcpy(grown, rows->rows, rows->n * sizeof(*grown));
			base_wipe(rows->rows, rows->n * sizeof(*grown));
		}
		free(rows->rows);
		rows->rows = grown;
		rows->max = max;
	}
	err = peer__row_copy(peer, &rows->rows[rows->n]);
	if (err == 0)
		rows->n++;
	return err;
}

static void rows_fini(struct rows *rows)
{
	for (uint32_t i = 0; i < rows->n; i++)
		store_peer_fini(&rows->rows[i]);
	free(rows->rows);
}

/* Names that declared peers had before. */
struct gone {
	char (*names)[CONFIG_NAME_LEN];
	uint32_t n;
};

/* What the file declares, to be found by name, by key and by address. */
struct declared {
	const struct config *config;
	const struct config_peer **by_name; /* [config->n_peers] */
	const struct config_peer **by_key;
	bool *is_claimed;            /* [config->n_peers] a stored row is this one */
	struct wg_allowedips *named; /* the single addresses among the allowed IPs */
};

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(const struct config_peer *const *)a)->name,
	              (*(const struct config_peer *const *)b)->name);
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp((*(const struct config_peer *const *)a)->public_key,
	              (*(const struct config_peer *const *)b)->public_key, 32);
}

static void declared_fini(struct declared *declared)
{
	free(declared->by_name);
	free(declared->by_key);
	free(declared->is_claimed);
	wg_allowedips_destroy(declared->named);
}

static int name_addresses(struct declared *declared, const struct config_peer *peer)
{
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < peer->n_allowed_ips; i++)
		if (peer->allowed_ips[i].len == base_ip_len(peer->allowed_ips[i].ip.family) * 8)
			err = wg_allowedips_insert(declared->named, &peer->allowed_ips[i], 0, NULL);
	return err;
}

/* Returns 0 or -ENOMEM; declared_fini() in both cases. */
static int declared_init(struct declared *declared, const struct config *config)
{
	size_t n = config->n_peers;
	int err = 0;

	*declared = (struct declared){
		.config = config,
		.by_name = calloc(n + 1, sizeof(const struct config_peer *)),
		.by_key = calloc(n + 1, sizeof(const struct config_peer *)),
		.is_claimed = calloc(n + 1, sizeof(bool)),
		.named = wg_allowedips_create(NULL),
	};
	if (!declared->by_name || !declared->by_key || !declared->is_claimed || !declared->named)
		return -ENOMEM;
	for (size_t i = 0; err == 0 && i < n; i++) {
		declared->by_name[i] = &config->peers[i];
		declared->by_key[i] = &config->peers[i];
		err = name_addresses(declared, &config->peers[i]);
	}
	qsort(declared->by_name, n, sizeof(const struct config_peer *), compare_names);
	qsort(declared->by_key, n, sizeof(const struct config_peer *), compare_keys);
	return err;
}

/* The declared peer of the file that a stored row is: by name, else by key. NULL = none. */
static const struct config_peer *declaration_of(const struct declared *declared,
                                                const struct store_peer *row)
{
	struct config_peer wanted = {0};
	const struct config_peer *key = &wanted;
	const struct config_peer **found;
	uint32_t n = declared->config->n_peers;

	snprintf(wanted.name, sizeof(wanted.name), "%s", row->name);
	memcpy(wanted.public_key, row->public_key, 32);
	found = bsearch(&key, declared->by_name, n, sizeof(key), compare_names);
	if (!found)
		found = bsearch(&key, declared->by_key, n, sizeof(key), compare_keys);
	return found ? *found : NULL;
}

/* A peer that was added by hand and now stands in the file under the same name or key: it is the
 * same one only when both agree. */
static int check_claim(const struct config *config, const struct store_peer *row,
                       const struct config_peer *declared, char *error, size_t len)
{
	bool same_name = strcmp(row->name, declared->name) == 0;
	bool same_key = memcmp(row->public_key, declared->public_key, 32) == 0;

	if (row->declared || (same_name && same_key))
		return 0;
	if (same_name)
		snprintf(error, len,
		         "%s:%d: peer \"%s\": name is taken by a peer with another key that was "
		         "added with weir peer add; remove that one or choose another name",
		         config->path, declared->line, declared->name);
	else
		snprintf(error, len,
		         "%s:%d: peer \"%s\": public_key is that of peer \"%s\", which was added "
		         "with weir peer add; remove that one or use its name",
		         config->path, declared->line, declared->name, row->name);
	return -EINVAL;
}

/* Leave out addresses that lie in no tunnel net any more or became the hub's own. */
static void drop_strange_addresses(const struct config *config, struct store_peer *row)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < row->n_addresses; i++) {
		char text[BASE_IP_STRLEN];
		bool fits = false;

		for (uint32_t t = 0; t < config->n_tunnel; t++)
			fits = fits || peer_pool_allows(&config->tunnel[t], &row->addresses[i]);
		if (fits)
			row->addresses[kept++] = row->addresses[i];
		else
			log_warn("peer",
			         "address does not fit hub.tunnel any more, another is given "
			         "name=%s address=%s",
			         row->name, base_ip_format(&row->addresses[i], text));
	}
	memset(&row->addresses[kept], 0, (row->n_addresses - kept) * sizeof(row->addresses[0]));
	row->n_addresses = kept;
}

/* True when some declared peer names exactly this address. */
static bool is_named(const struct declared *all, const struct base_ip *ip)
{
	return wg_allowedips_lookup(all->named, ip) != WG_ALLOWEDIPS_NONE;
}

/* True when the file gives this peer an address in the net of ip. */
static bool is_given(const struct config *config, const struct config_peer *declared,
                     const struct base_ip *ip)
{
	for (uint32_t t = 0; t < config->n_tunnel; t++) {
		if (!base_prefix_contains(&config->tunnel[t], ip))
			continue;
		for (uint32_t k = 0; k < declared->n_allowed_ips; k++)
			if (declared->allowed_ips[k].len == base_ip_len(ip->family) * 8
			    && base_prefix_contains(&config->tunnel[t],
			                            &declared->allowed_ips[k].ip))
				return true;
	}
	return false;
}

/* Put what the file says into the row, but for the allowed IPs, which peer__add_ips() checks.
 * Addresses that it was given before stay in nets where the file names none for it. */
static void declare(const struct declared *all, struct store_peer *row,
                    const struct config_peer *declared)
{
	uint32_t kept = 0;

	snprintf(row->name, sizeof(row->name), "%s", declared->name);
	if (memcmp(row->public_key, declared->public_key, 32) != 0) {
		/* another key, another device: what was seen of the old one says nothing */
		memset(&row->state, 0, sizeof(row->state));
		memcpy(row->public_key, declared->public_key, 32);
		row->key_set_wall_ns = base_time_wall_ns();
	}
	row->has_preshared_key = declared->has_preshared_key;
	memcpy(row->preshared_key, declared->preshared_key, 32);
	row->keepalive_s = declared->keepalive_s;
	row->declared = true;
	if (!declared->expected_up)
		row->expected_wall_ns = 0;
	else if (row->expected_wall_ns == 0)
		row->expected_wall_ns = base_time_wall_ns();
	row->wg_set_wall_ns = 0;
	row->n_allowed_ips = 0;
	free(row->allowed_ips);
	row->allowed_ips = NULL;
	for (uint32_t i = 0; i < row->n_addresses; i++)
		if (!is_named(all, &row->addresses[i])
		    && !is_given(all->config, declared, &row->addresses[i]))
			row->addresses[kept++] = row->addresses[i];
	row->n_addresses = kept;
}

static int check_key(const struct peer_table *table, const struct store_peer *row, int line,
                     char *error, size_t len)
{
	bool own = memcmp(row->public_key, session_public_key(table->setup.session), 32) == 0;
	char where[300] = "store";

	if (!own && wg_key_check_public(row->public_key) == 0)
		return 0;
	if (line > 0)
		snprintf(where, sizeof(where), "%s:%d", table->setup.config->path, line);
	snprintf(error, len, "%s: peer \"%s\": public_key %s", where, row->name,
	         own ? "is the hub's own key" : "cannot be used (all zero or of low order)");
	return -EINVAL;
}

/* Its name is nobody's from now on, unless somebody else gets it. */
static void note_gone(struct gone *gone, const struct store_peer *row)
{
	memcpy(gone->names[gone->n++], row->name, CONFIG_NAME_LEN);
}

/* The stored rows: those that were declared and are no longer are dropped; claims are checked.
 * matched[i] is the declaration of row i or NULL. gone has room for all of them. */
static int sort_stored(struct peer_table *table, struct rows *rows, struct declared *all,
                       const struct config_peer **matched, struct gone *gone, char *error,
                       size_t len)
{
	const struct config *config = table->setup.config;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < rows->n; i++) {
		struct store_peer *row = &rows->rows[i];
		const struct config_peer *declared = declaration_of(all, row);
		int err = declared ? check_claim(config, row, declared, error, len) : 0;

		/* Two old rows may be one new declaration: name of one, key of the other. */
		if (declared && all->is_claimed[declared - config->peers])
			declared = NULL;
		if (err < 0)
			return err;
		if (row->declared && !declared) {
			log_info("peer", "no longer declared, removed name=%s peer=%u", row->name,
			         row->id);
			err = store_peer_drop(table->setup.store, row->id);
			if (err < 0) {
				snprintf(error, len, "store: %s", store_error(table->setup.store));
				return err;
			}
			note_gone(gone, row);
			store_peer_fini(row);
			continue;
		}
		if (row->id >= config->max_peers) {
			snprintf(error, len,
			         "%s: dataplane.max_peers is %u, but peer \"%s\" has number %u: "
			         "must be at least %u",
			         config->path, config->max_peers, row->name, row->id, row->id + 1);
			return -EINVAL;
		}
		matched[kept] = declared;
		if (declared && strcmp(declared->name, row->name) != 0)
			note_gone(gone, row);
		if (declared)
			all->is_claimed[declared - config->peers] = true;
		if (row != &rows->rows[kept]) {
			rows->rows[kept] = *row;
			base_wipe(row, sizeof(*row));
		}
		kept++;
	}
	rows->n = kept;
	return 0;
}

/* Rows for declarations that match no stored row. */
static int add_declared(const struct declared *all, struct rows *rows,
                        const struct config_peer **matched, char *error, size_t len)
{
	const struct config *config = all->config;
	bool *used = calloc(config->max_peers, sizeof(*used));
	struct store_peer row = {.created_wall_ns = base_time_wall_ns(),
	                         .client_keepalive_s = PEER_CLIENT_KEEPALIVE_S};
	int err = used ? 0 : -ENOMEM;

	for (uint32_t k = 0; used && k < rows->n; k++)
		used[rows->rows[k].id] = true;
	for (uint32_t i = 0; err == 0 && i < config->n_peers; i++) {
		if (all->is_claimed[i])
			continue;
		while (row.id < config->max_peers && used[row.id])
			row.id++;
		if (row.id == config->max_peers) {
			snprintf(error, len,
			         "%s:%d: peer \"%s\": all %u peers are taken "
			         "(dataplane.max_peers)",
			         config->path, config->peers[i].line, config->peers[i].name,
			         config->max_peers);
			err = -ENOSPC;
			break;
		}
		matched[rows->n] = &config->peers[i];
		err = collect_row(rows, &row);
		row.id++;
	}
	free(used);
	if (err == -ENOMEM)
		snprintf(error, len, "peers: not enough memory");
	return err;
}

/* Rows that change name or key move out of each other's way first, since both are unique: two
 * peers of the file may have swapped names. Placeholders cannot clash: '#' is in no name, and no
 * key is a small number. */
static int park_renamed(struct peer_table *table, const struct rows *rows,
                        const struct config_peer *const *matched, char *error, size_t len)
{
	for (uint32_t i = 0; i < rows->n; i++) {
		struct store_peer parked = rows->rows[i];
		int err;

		if (!matched[i] || parked.name[0] == '\0'
		    || (strcmp(parked.name, matched[i]->name) == 0
		        && memcmp(parked.public_key, matched[i]->public_key, 32) == 0))
			continue;
		snprintf(parked.name, sizeof(parked.name), "#%u", parked.id);
		memset(parked.public_key, 0, sizeof(parked.public_key));
		memcpy(parked.public_key, &parked.id, sizeof(parked.id));
		err = store_peer_put(table->setup.store, &parked);
		base_wipe(&parked, sizeof(parked));
		if (err < 0) {
			snprintf(error, len, "store: %s", store_error(table->setup.store));
			return err;
		}
	}
	return 0;
}

/* Check a row and enter it into the table, with the allowed IPs that the file gives it. */
static int enter(struct peer_table *table, struct store_peer *row,
                 const struct config_peer *declared, char *error, size_t len)
{
	struct peer_error why = {0};
	struct peer *peer;
	int err = check_key(table, row, declared ? declared->line : 0, error, len);

	if (err < 0)
		return err;
	if (declared) {
		err = peer__add_ips(table, row, declared->allowed_ips, declared->n_allowed_ips,
		                    &why);
		if (err < 0) {
			snprintf(error, len, "%s:%d: peer \"%s\": %s", table->setup.config->path,
			         declared->line, row->name, why.text);
			return err;
		}
	}
	peer = calloc(1, sizeof(*peer));
	if (!peer || peer__row_copy(row, &peer->row) < 0 || peer__hold(table, row) < 0) {
		snprintf(error, len, "peers: not enough memory");
		peer__free(peer);
		return -ENOMEM;
	}
	base_wipe(peer->row.preshared_key, sizeof(peer->row.preshared_key));
	if (declared) {
		peer->configured = declared->endpoint;
		if (declared->endpoint_name.port != 0)
			peer->configured_name = &declared->endpoint_name;
		peer->line = declared->line;
		peer->limits = declared->has_limits ? &declared->limits : NULL;
	}
	peer__append(table, peer);
	return 0;
}

/* Give the addresses that are missing, and store the row when it is not as it was read. */
static int complete(struct peer_table *table, struct store_peer *row, bool changed, char *error,
                    size_t len)
{
	struct peer *peer = table->by_id[row->id];
	struct peer_error why = {0};
	uint32_t n_before = row->n_addresses;
	int err = row->wg_set_wall_ns == 0 ? peer__give_addresses(table, row, &why) : 0;

	if (err < 0) {
		snprintf(error, len, "peer \"%s\": %s", row->name, why.text);
		return err;
	}
	if (row->n_addresses != n_before && peer__hold(table, row) < 0) {
		snprintf(error, len, "peers: not enough memory");
		return -ENOMEM;
	}
	memcpy(peer->row.addresses, row->addresses, sizeof(row->addresses));
	peer->row.n_addresses = row->n_addresses;
	if (!changed && row->n_addresses == n_before)
		return 0;
	err = store_peer_put(table->setup.store, row);
	if (err == 0 && changed)
		err = store_peer_state_put(table->setup.store, row->id, &row->state);
	if (err < 0)
		snprintf(error, len, "store: peer \"%s\": %s", row->name,
		         store_error(table->setup.store));
	return err;
}

/* The file gives this id keys that are not the stored ones: what a dataplane that kept running still
 * has of the old ones is not this peer's. */
static void disown_old_keys(const struct peer_table *table, const struct store_peer *row,
                            const struct config_peer *declared)
{
	if (!base_equal_ct(row->public_key, declared->public_key, 32)
	    || row->has_preshared_key != declared->has_preshared_key
	    || !base_equal_ct(row->preshared_key, declared->preshared_key, 32))
		session_peer_disown(table->setup.session, row->id);
}

/* Enter all rows: stored ones first, then the file's, so that a clash is told in terms of the
 * file; addresses that are still missing are given when all that are taken are known. */
static int enter_all(struct peer_table *table, struct rows *rows, const struct declared *all,
                     const struct config_peer *const *matched, char *error, size_t len)
{
	const struct config *config = table->setup.config;
	int err = park_renamed(table, rows, matched, error, len);

	for (uint32_t i = 0; err == 0 && i < rows->n; i++) {
		drop_strange_addresses(config, &rows->rows[i]);
		if (matched[i]) {
			disown_old_keys(table, &rows->rows[i], matched[i]);
			declare(all, &rows->rows[i], matched[i]);
			continue;
		}
		err = enter(table, &rows->rows[i], NULL, error, len);
	}
	for (uint32_t i = 0; err == 0 && i < rows->n; i++)
		if (matched[i])
			err = enter(table, &rows->rows[i], matched[i], error, len);
	peer__sort(table);
	for (uint32_t i = 0; err == 0 && i < rows->n; i++)
		err = complete(table, &rows->rows[i], matched[i] != NULL, error, len);
	return err;
}

static int apply_all(struct peer_table *table, const struct rows *rows, char *error, size_t len)
{
	for (uint32_t i = 0; i < rows->n; i++) {
		const struct store_peer *row = &rows->rows[i];
		struct peer_error why = {0};
		int err = peer__apply(table, table->by_id[row->id],
		                      row->has_preshared_key ? row->preshared_key : NULL, &why);

		if (err < 0) {
			snprintf(error, len, "peer \"%s\": %s", row->name, why.text);
			return err;
		}
	}
	return 0;
}

/* Who has got one of the names keeps what goes with it: the file says that it is the same peer. */
static int store_gone(const struct peer_table *table, struct gone *gone, char *error, size_t len)
{
	const struct peer_setup *setup = &table->setup;
	uint32_t n = 0;

	for (uint32_t i = 0; i < gone->n; i++)
		if (!peer_find(table, gone->names[i]))
			memmove(gone->names[n++], gone->names[i], CONFIG_NAME_LEN);
	if (n == 0 || !setup->store_gone)
		return 0;
	return setup->store_gone(setup->store_gone_arg, gone->names, n, error, len);
}

/* They stay: who could be reached before is not cut off by a new setting. */
static void name_keyless(const struct peer_table *table)
{
	const struct peer *first = NULL;
	uint32_t n = 0;

	if (!peer__needs_preshared_key(table))
		return;
	for (uint32_t i = 0; i < table->n; i++) {
		if (table->by_name[i]->row.has_preshared_key)
			continue;
		first = first ? first : table->by_name[i];
		n++;
	}
	if (n > 0)
		log_warn("peer",
		         "peers without a preshared key, audit policy names them all "
		         "peers=%u first=%s",
		         n, first->row.name);
}

int peer__load(struct peer_table *table, char *error, size_t error_len)
{
	static const struct store_trail_entry by_file = {"config", "config.peer", "", "", "", true};
	struct store *store = table->setup.store;
	struct rows rows = {0};
	struct declared all = {0};
	struct gone gone = {.n = 0};
	const struct config_peer **matched = NULL;
	int err = store_begin(store);
	int ended;

	if (err < 0) {
		snprintf(error, error_len, "store: %s", store_error(store));
		return err;
	}
	store_trail_begin(store, &by_file);
	err = store_peer_each(store, collect_row, &rows);
	if (err < 0)
		snprintf(error, error_len, "store: %s", store_error(store));
	if (err == 0) {
		matched = calloc((size_t)rows.n + table->setup.config->n_peers + 1,
		                 sizeof(const struct config_peer *));
		gone.names = calloc((size_t)rows.n + 1, sizeof(*gone.names));
		err = matched && gone.names ? declared_init(&all, table->setup.config) : -ENOMEM;
		if (err < 0)
			snprintf(error, error_len, "peers: not enough memory");
	}
	if (err == 0)
		err = sort_stored(table, &rows, &all, matched, &gone, error, error_len);
	if (err == 0)
		err = add_declared(&all, &rows, matched, error, error_len);
	if (err == 0)
		err = enter_all(table, &rows, &all, matched, error, error_len);
	if (err == 0)
		err = store_gone(table, &gone, error, error_len);
	if (err == 0) {
		err = peer__names_load(table);
		if (err < 0)
			snprintf(error, error_len, "store: %s", store_error(store));
	}
	ended = store_end(store, err == 0);
	if (store_trail_end(store, false)
	    < 0) /* writes nothing: each peer's record is in the transaction */
		ended = -EIO;
	if (err == 0 && ended < 0) {
		snprintf(error, error_len, "store: %s", store_error(store));
		err = ended;
	}
	if (err == 0) {
		err = peer__rotations_load(table);
		if (err < 0)
			snprintf(error, error_len, "store: %s", store_error(store));
	}
	if (err == 0)
		err = apply_all(table, &rows, error, error_len);
	if (err == 0)
		name_keyless(table);
	rows_fini(&rows);
	declared_fini(&all);
	free(gone.names);
	free(matched);
	return err;
}
