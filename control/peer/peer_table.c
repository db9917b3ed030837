/* The table itself: look-up, adding, removing, telling session and program, and keeping what
 * sessions learn (endpoint, timestamp) in the store. */
#include "peer_table.h"

#include "base_bytes.h"
#include "base_log.h"
#include "base_time.h"
#include "program.h"
#include "session.h"
#include "wg_key.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACTIVE_FOR_NS (180 * BASE_NS_PER_S)

static const struct timeval flush_delay = {0, 100 * 1000};

int peer__refuse(struct peer_error *error, int err, const char *code, const char *field,
                 const char *format, ...)
{
	va_list args;

	error->code = code;
	error->field = field;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return err;
}

int peer__refuse_store(const struct peer_table *table, int err, struct peer_error *error)
{
	return peer__refuse(error, err, "failed", NULL, "store: %s",
	                    store_error(table->setup.store));
}

/* ---- look-up ------------------------------------------------------------------------------------ */

/* Position of the first name that is not below this one. */
static uint32_t lower_bound(const struct peer_table *table, const char *name)
{
	uint32_t low = 0;
	uint32_t high = table->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (strcmp(table->by_name[middle]->row.name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct peer *peer_find(const struct peer_table *table, const char *name)
{
	uint32_t i = lower_bound(table, name);

	if (i == table->n || strcmp(table->by_name[i]->row.name, name) != 0)
		return NULL;
	return table->by_name[i];
}

int peer__find_named(const struct peer_table *table, const char *name, struct peer **out,
                     struct peer_error *error)
{
	const struct peer *peer = peer_find(table, name);

	if (!peer)
		return peer__refuse(error, -ENOENT, "not_found", "name",
		                    "name: no peer is called \"%s\"", name);
	*out = table->by_id[peer->row.id];
	return 0;
}

int peer__find_ours(const struct peer_table *table, const char *name, const char *what,
                    struct peer **out, struct peer_error *error)
{
	int err = peer__find_named(table, name, out, error);

	if (err < 0 || !(*out)->row.declared)
		return err;
	return peer__refuse(error, -EPERM, "declared", "name",
	                    "name: peer \"%s\" is declared in %s:%d; %s there and restart weir",
	                    name, table->setup.config->path, (*out)->line, what);
}

const struct peer *peer_numbered(const struct peer_table *table, uint32_t number)
{
	return number < table->setup.config->max_peers ? table->by_id[number] : NULL;
}

uint32_t peers_after(const struct peer_table *table, const char *name, const struct peer **out,
                     uint32_t n)
{
	uint32_t first = lower_bound(table, name);
	uint32_t i;

	if (first < table->n && strcmp(table->by_name[first]->row.name, name) == 0)
		first++;
	for (i = 0; i < n && first + i < table->n; i++)
		out[i] = table->by_name[first + i];
	return i;
}

const struct peer *peer_after(const struct peer_table *table, const char *name)
{
	const struct peer *peer;

	return peers_after(table, name, &peer, 1) == 1 ? peer : NULL;
}

uint32_t peer_count(const struct peer_table *table)
{
	return table->n;
}

const struct peer *peer__find_key(const struct peer_table *table, const uint8_t key[static 32])
{
	for (uint32_t i = 0; i < table->n; i++)
		if (memcmp(table->by_name[i]->row.public_key, key, 32) == 0
		    || (table->by_name[i]->rotation.has_public_key
		        && memcmp(table->by_name[i]->rotation.public_key, key, 32) == 0))
			return table->by_name[i];
	return NULL;
}

int64_t peer__free_id(const struct peer_table *table)
{
	uint32_t max = table->setup.config->max_peers;

	for (uint32_t i = 0; i < max; i++) {
		uint32_t id = (table->next_id + i) % max;

		if (!table->by_id[id])
			return id;
	}
	return -ENOSPC;
}

struct base_ip peer_address(const struct peer *peer)
{
	struct base_ip none = {.family = BASE_IP_NONE};

	for (uint32_t i = 0; i < peer->row.n_addresses; i++)
		if (peer->row.addresses[i].family == BASE_IP_V4)
			return peer->row.addresses[i];
	return peer->row.n_addresses > 0 ? peer->row.addresses[0] : none;
}

void peer__free(struct peer *peer)
{
	if (!peer)
		return;
	peer__name_free(peer);
	store_peer_fini(&peer->row);
	free(peer);
}

int peer__row_copy(const struct store_peer *row, struct store_peer *out)
{
	*out = *row;
	out->allowed_ips = NULL;
	out->n_allowed_ips = 0;
	if (store_peer_networks_set(out, row->allowed_ips, row->n_allowed_ips) == 0)
		return 0;
	store_peer_fini(out);
	return -ENOMEM;
}

void peer__enter(struct peer_table *table, struct peer *peer)
{
	uint32_t i = lower_bound(table, peer->row.name);

	memmove(&table->by_name[i + 1], &table->by_name[i],
	        (table->n - i) * sizeof(*table->by_name));
	table->by_name[i] = peer;
	table->by_id[peer->row.id] = peer;
	table->n++;
	table->next_id = (peer->row.id + 1) % table->setup.config->max_peers;
}

void peer__append(struct peer_table *table, struct peer *peer)
{
	table->by_name[table->n++] = peer;
	table->by_id[peer->row.id] = peer;
	table->next_id = (peer->row.id + 1) % table->setup.config->max_peers;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(struct peer *const *)a)->row.name, (*(struct peer *const *)b)->row.name);
}

void peer__sort(struct peer_table *table)
{
	qsort(table->by_name, table->n, sizeof(struct peer *), compare_names);
}

void peer__leave(struct peer_table *table, struct peer *peer)
{
	uint32_t i = lower_bound(table, peer->row.name);

	memmove(&table->by_name[i], &table->by_name[i + 1],
	        (table->n - i - 1) * sizeof(*table->by_name));
	table->n--;
	peer__forget(table, peer);
}

void peer__forget(struct peer_table *table, struct peer *peer)
{
	table->by_id[peer->row.id] = NULL;
	peer__let_go(table, &peer->row);
	peer__free(peer);
}

/* ---- down to session and program ---------------------------------------------------------------- */

static int put_routes(struct peer_table *table, const struct peer *peer)
{
	const struct store_peer *row = &peer->row;
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < row->n_addresses; i++) {
		struct base_prefix prefix = {
			.ip = row->addresses[i],
			.len = (uint8_t)(base_ip_len(row->addresses[i].family) * 8)};

		err = program_route_put(table->setup.program, &prefix, row->id);
	}
	for (uint32_t i = 0; err == 0 && i < row->n_allowed_ips; i++)
		err = program_route_put(table->setup.program, &row->allowed_ips[i], row->id);
	return err;
}

/* Where the hub begins: at the address that the file says, where it was last, or where its name was last. */
static struct base_endpoint endpoint_of(const struct peer *peer)
{
	if (peer->configured.port != 0)
		return peer->configured;
	if (peer->row.state.endpoint.port != 0 || !peer->name)
		return peer->row.state.endpoint;
	return peer_name_endpoint(&peer->name->is, 0);
}

int peer__apply(struct peer_table *table, const struct peer *peer, const uint8_t *preshared_key,
                struct peer_error *error)
{
	static const uint8_t no_timestamp[12];
	const struct store_peer *row = &peer->row;
	struct base_endpoint endpoint = endpoint_of(peer);
	bool heard = memcmp(row->state.last_timestamp, no_timestamp, sizeof(no_timestamp)) != 0;
	int err;

	if (row->disabled)
		return 0;
	err = session_peer_put(table->setup.session, row->id, row->public_key, preshared_key,
	                       endpoint.port != 0 ? &endpoint : NULL,
	                       heard ? row->state.last_timestamp : NULL);

	if (err == -EINVAL)
		return peer__refuse(error, err, "invalid", "public_key",
		                    "public_key: cannot be used (low order)");
	if (err == -EEXIST)
		return peer__refuse(error, err, "exists", "public_key",
		                    "public_key: another peer has it");
	if (err == 0) {
		err = program_peer_put(table->setup.program, row->id, row->keepalive_s);
		if (err == 0)
			err = put_routes(table, peer);
		if (err < 0) {
			program_peer_drop(table->setup.program, row->id);
			session_peer_drop(table->setup.session, row->id);
		}
	}
	if (err < 0)
		return peer__refuse(error, err, "failed", NULL, "peer \"%s\": %s", row->name,
		                    strerror(-err));
	peer__rotation_apply(table, peer);
	return 0;
}

bool peer__needs_preshared_key(const struct peer_table *table)
{
	return table->setup.config->preshared_key == CONFIG_PSK_REQUIRED;
}

/* ---- changes ------------------------------------------------------------------------------------ */

static int check_identity(const struct peer_table *table, const struct peer_request *request,
                          struct peer_error *error)
{
	const struct peer *other = peer_find(table, request->name);

	if (other && other->row.declared)
		return peer__refuse(error, -EEXIST, "exists", "name",
		                    "name: peer \"%s\" exists already, declared in %s:%d",
		                    request->name, table->setup.config->path, other->line);
	if (other)
		return peer__refuse(error, -EEXIST, "exists", "name",
		                    "name: peer \"%s\" exists already", request->name);
	if (wg_key_check_public(request->public_key) < 0)
		return peer__refuse(error, -EINVAL, "invalid", "public_key",
		                    "public_key: cannot be used (all zero or of low order)");
	if (memcmp(request->public_key, session_public_key(table->setup.session), 32) == 0)
		return peer__refuse(error, -EINVAL, "invalid", "public_key",
		                    "public_key: is the hub's own key");
	other = peer__find_key(table, request->public_key);
	if (other)
		return peer__refuse(error, -EEXIST, "exists", "public_key",
		                    "public_key: belongs to peer \"%s\"", other->row.name);
	if (!request->preshared_key && peer__needs_preshared_key(table))
		return peer__refuse(
			error, -EINVAL, "invalid", "no_preshared_key",
			"no_preshared_key: every peer of this hub has a preshared key "
			"(hub.preshared_key = \"optional\" in %s lets peers do without)",
			table->setup.config->path);
	return 0;
}

/* Everything of a new row that can be refused. */
static int row_make(const struct peer_table *table, const struct peer_request *request,
                    struct store_peer *row, struct peer_error *error)
{
	int err = check_identity(table, request, error);
	int64_t id = peer__free_id(table);

	if (err < 0)
		return err;
	if (id < 0)
		return peer__refuse(error, -ENOSPC, "full", NULL,
		                    "all %u peers are taken (dataplane.max_peers)",
		                    table->setup.config->max_peers);
	row->id = (uint32_t)id;
	snprintf(row->name, sizeof(row->name), "%s", request->name);
	memcpy(row->public_key, request->public_key, 32);
	row->keepalive_s = request->keepalive_s;
	row->whole_subnet = request->client.whole_subnet;
	row->client_keepalive_s = request->client.keepalive_s;
	row->created_wall_ns = base_time_wall_ns();
	row->key_set_wall_ns = row->created_wall_ns;
	row->expected_wall_ns = request->expected_up ? row->created_wall_ns : 0;
	if (request->preshared_key) {
		row->has_preshared_key = true;
		memcpy(row->preshared_key, request->preshared_key, 32);
	}
	if (!request->is_gateway)
		err = peer__refuse_networks(table, request->ips, request->n_ips, error);
	if (err == 0)
		err = peer__add_ips(table, row, request->ips, request->n_ips, error);
	return err < 0 ? err : peer__give_addresses(table, row, error);
}

/* The row, and where it is found. */
static int store_new(struct peer_table *table, const struct peer *peer)
{
	struct store *store = table->setup.store;
	int err = store_begin(store);
	int ended;

	if (err < 0)
		return err;
	err = store_peer_put(store, &peer->row);
	if (err == 0 && peer->row.state.endpoint.port != 0)
		err = store_peer_state_put(store, peer->row.id, &peer->row.state);
	if (err == 0 && peer->name)
		err = store_name_put(store, peer->row.id, peer->row.name, &peer->name->is);
	ended = store_end(store, err == 0);
	return err < 0 ? err : ended;
}

/* Its place in the table, and the name of its endpoint. */
static int hold(struct peer_table *table, struct peer *peer, const struct peer_request *request)
{
	const struct store_name name = {.name = request->endpoint.name};
	int err = peer__hold(table, &peer->row);

	peer->row.state.endpoint = request->endpoint.address;
	if (err == 0 && request->endpoint.name.port != 0) {
		err = peer__name_make(table, peer, &name);
		if (err < 0)
			peer__let_go(table, &peer->row);
	}
	return err;
}

int peer_add(struct peer_table *table, const struct peer_request *request, const struct peer **out,
             struct peer_error *error)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	int err;

	if (!peer)
		return peer__refuse(error, -ENOMEM, "failed", NULL, "not enough memory");
	err = row_make(table, request, &peer->row, error);
	if (err < 0)
		goto out;
	err = hold(table, peer, request);
	if (err < 0) {
		peer__refuse(error, err, "failed", NULL, "not enough memory");
		goto out;
	}
	err = store_new(table, peer);
	if (err < 0) {
		peer__let_go(table, &peer->row);
		peer__refuse_store(table, err, error);
		goto out;
	}
	err = peer__apply(table, peer, request->preshared_key, error);
	if (err < 0) {
		peer__let_go(table, &peer->row);
		if (store_peer_drop(table->setup.store, peer->row.id) < 0)
			log_err("peer", "%s stays in the store though it could not be added: %s",
			        peer->row.name, store_error(table->setup.store));
		goto out;
	}
	base_wipe(peer->row.preshared_key, sizeof(peer->row.preshared_key));
	peer__enter(table, peer);
	if (peer->name)
		peer__names_turn(table);
	log_info("peer", "added name=%s peer=%u", peer->row.name, peer->row.id);
	*out = peer;
	return 0;
out:
	peer__let_go(table, &(struct store_peer){0}); /* what it was given is free again */
	peer__free(peer);
	return err;
}

static int store_removed(struct peer_table *table, uint32_t id, const struct peer_also *also,
                         struct peer_error *error)
{
	struct store *store = table->setup.store;
	int err = store_begin(store);
	int ended, refused = 0;

	if (err < 0)
		return peer__refuse_store(table, err, error);
	err = store_peer_drop(store, id);
	if (err == 0 && also)
		refused = also->store(also->arg, error);
	ended = store_end(store, err == 0 && refused == 0);
	if (refused < 0)
		return refused;
	err = err < 0 ? err : ended;
	return err < 0 ? peer__refuse_store(table, err, error) : 0;
}

int peer_remove(struct peer_table *table, const char *name, const struct peer_also *also,
                struct peer_error *error)
{
	struct peer *peer;
	uint32_t id;
	int err = peer__find_ours(table, name, "remove it", &peer, error);

	if (err < 0)
		return err;
	id = peer->row.id;
	err = store_removed(table, id, also, error);
	if (err < 0)
		return err;
	session_peer_drop(table->setup.session, id);
	err = program_peer_drop(table->setup.program, id);
	if (err < 0) /* short of memory: the next synchronisation with the dataplane drops it */
		log_err("peer", "not dropped at once name=%s peer=%u err=%d", name, id, err);
	log_info("peer", "removed name=%s peer=%u", name, id);
	peer__leave(table, peer);
	return 0;
}

/* ---- what sessions learn ------------------------------------------------------------------------ */

struct store_peer_state peer_state(const struct peer_table *table, const struct peer *peer)
{
	struct store_peer_state state = peer->row.state;
	struct session_peer_info info;

	if (session_peer_info(table->setup.session, peer->row.id, &info) < 0)
		return state;
	if (info.endpoint.port != 0)
		state.endpoint = info.endpoint;
	if (info.last_handshake_wall_ns != 0) /* the newer one, also when the clock was set back */
		state.last_handshake_wall_ns = info.last_handshake_wall_ns;
	if (memcmp(info.last_timestamp, state.last_timestamp, sizeof(info.last_timestamp)) > 0)
		memcpy(state.last_timestamp, info.last_timestamp, sizeof(info.last_timestamp));
	return state;
}

struct peer_handshake peer_handshake(const struct peer_table *table, const struct peer *peer)
{
	uint64_t now_ns = base_time_monotonic_ns();
	uint64_t now_wall_ns = base_time_wall_ns();
	struct peer_handshake out = {.wall_ns = peer->row.state.last_handshake_wall_ns};
	struct session_peer_info info;

	if (session_peer_info(table->setup.session, peer->row.id, &info) == 0
	    && info.last_handshake_ns != 0) {
		out.wall_ns = info.last_handshake_wall_ns;
		out.age_ns = now_ns > info.last_handshake_ns ? now_ns - info.last_handshake_ns : 0;
		return out;
	}
	out.is_of_before = true;
	out.age_ns = out.wall_ns != 0 && now_wall_ns > out.wall_ns ? now_wall_ns - out.wall_ns : 0;
	return out;
}

bool peer_is_active(const struct peer_table *table, const struct peer *peer)
{
	struct peer_handshake handshake = peer_handshake(table, peer);

	if (peer->row.disabled || handshake.wall_ns == 0)
		return false;
	/* In a time to come: the clock was set back since, and how old it is nobody knows. */
	if (handshake.is_of_before && handshake.wall_ns > base_time_wall_ns())
		return false;
	return handshake.age_ns < ACTIVE_FOR_NS;
}

/* Whoever recorded an initiation of the next key must not be able to send it again after a restart. */
static int write_next_timestamp(const struct peer_table *table, struct peer *peer)
{
	struct session_peer_info info;

	if (!peer->rotation.has_public_key
	    || session_peer_info(table->setup.session, peer->row.id, &info) < 0 || !info.has_next)
		return 0;
	memcpy(peer->rotation.last_timestamp, info.next_timestamp, sizeof(info.next_timestamp));
	return store_rotation_seen(table->setup.store, peer->row.id, info.next_timestamp);
}

/* Write the states of all dirty peers in one transaction. */
static int write_states(struct peer_table *table)
{
	int err = store_begin_unsynced(table->setup.store);
	int ended;

	if (err < 0)
		return err;
	for (uint32_t i = 0; err == 0 && i < table->n_dirty; i++) {
		struct peer *peer = table->by_id[table->dirty[i]];

		if (!peer)
			continue; /* removed meanwhile */
		peer->row.state = peer_state(table, peer);
		err = store_peer_state_put(table->setup.store, peer->row.id, &peer->row.state);
		if (err == 0)
			err = write_next_timestamp(table, peer);
	}
	ended = store_end(table->setup.store, err == 0);
	return err < 0 ? err : ended;
}

void peer_flush(struct peer_table *table)
{
	static struct base_log_limit limit;
	uint32_t suppressed;

	if (table->n_dirty == 0)
		return;
	if (write_states(table) < 0) {
		/* They stay dirty; the next change or the end of control tries again. */
		if (base_log_limit_pass(&limit, base_time_monotonic_ns(), &suppressed))
			log_err("peer", "states of %u peers not stored: %s suppressed=%u",
			        table->n_dirty, store_error(table->setup.store), suppressed);
		return;
	}
	for (uint32_t i = 0; i < table->n_dirty; i++)
		table->is_dirty[table->dirty[i]] = false;
	table->n_dirty = 0;
}

static void on_rotation_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	peer__rotations_turn(arg, base_time_monotonic_ns());
}

static void on_flush_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	peer_flush(arg);
}

/* Did a newer initiation come than those that were stored at once? */
static bool has_begun(const struct peer_table *table, struct peer *peer)
{
	struct session_peer_info info;
	bool has;

	if (session_peer_info(table->setup.session, peer->row.id, &info) < 0)
		return false;
	has = memcmp(peer->heard[0], info.last_timestamp, sizeof(info.last_timestamp)) != 0
	      || memcmp(peer->heard[1], info.next_timestamp, sizeof(info.next_timestamp)) != 0;
	memcpy(peer->heard[0], info.last_timestamp, sizeof(info.last_timestamp));
	memcpy(peer->heard[1], info.next_timestamp, sizeof(info.next_timestamp));
	return has;
}

static void look_at_endpoint(const struct peer_table *table, struct peer *peer)
{
	struct session_peer_info info;

	if (session_peer_info(table->setup.session, peer->row.id, &info) == 0)
		peer__endpoint_look(table, peer, &info.endpoint);
}

static void on_session_change(void *arg, uint32_t id)
{
	struct peer_table *table = arg;

	if (id >= table->setup.config->max_peers || !table->by_id[id])
		return;
	peer__rotation_heard(table, table->by_id[id]);
	look_at_endpoint(table, table->by_id[id]);
	if (!table->is_dirty[id]) {
		table->is_dirty[id] = true;
		table->dirty[table->n_dirty++] = id;
	}
	/* What an initiation brought is stored before it is answered: the event runs in this turn of the loop,
	 * and the answer is not even reckoned yet. Otherwise a control that was killed and has come back
	 * would take the same initiation again, from anybody, and send the peer's traffic there. */
	if (has_begun(table, table->by_id[id]))
		event_active(table->flush_timer, EV_TIMEOUT, 0);
	else if (!evtimer_pending(table->flush_timer, NULL))
		evtimer_add(table->flush_timer, &flush_delay);
}

/* ---- life --------------------------------------------------------------------------------------- */

static void table_free(struct peer_table *table)
{
	for (uint32_t i = 0; table->by_name && i < table->n; i++)
		peer__free(table->by_name[i]);
	if (table->flush_timer)
		event_free(table->flush_timer);
	if (table->rotation_timer)
		event_free(table->rotation_timer);
	if (table->name_timer)
		event_free(table->name_timer);
	wg_allowedips_destroy(table->held);
	free(table->pool_from);
	free(table->by_id);
	free(table->by_name);
	free(table->dirty);
	free(table->is_dirty);
	free(table);
}

int peer_table_create(const struct peer_setup *setup, struct peer_table **out, char *error,
                      size_t error_len)
{
	size_t max = setup->config->max_peers;
	struct peer_table *table = calloc(1, sizeof(*table));
	int err = -ENOMEM;

	if (!table)
		goto out;
	table->setup = *setup;
	LIST_INIT(&table->names);
	table->held = wg_allowedips_create_ordered();
	table->pool_from = calloc(CONFIG_TUNNEL_MAX, sizeof(*table->pool_from));
	table->by_id = calloc(max, sizeof(struct peer *));
	table->by_name = calloc(max, sizeof(struct peer *));
	table->dirty = calloc(max, sizeof(*table->dirty));
	table->is_dirty = calloc(max, sizeof(*table->is_dirty));
	table->flush_timer = evtimer_new(setup->base, on_flush_timer, table);
	table->rotation_timer = evtimer_new(setup->base, on_rotation_timer, table);
	if (!table->held || !table->pool_from || !table->by_id || !table->by_name || !table->dirty
	    || !table->is_dirty || !table->flush_timer || !table->rotation_timer)
		goto out;
	err = peer__load(table, error, error_len);
	if (err < 0) {
		table_free(table);
		return err;
	}
	session_on_change(setup->session, on_session_change, table);
	peer__rotations_begin(table, base_time_monotonic_ns(), base_time_wall_ns());
	err = peer__names_begin(table);
	if (err < 0)
		goto out;
	*out = table;
	return 0;
out:
	snprintf(error, error_len, "peers: not enough memory");
	if (table)
		table_free(table);
	return err;
}

void peer_table_destroy(struct peer_table *table)
{
	if (!table)
		return;
	session_on_change(table->setup.session, NULL, NULL);
	peer__names_end(table);
	peer_flush(table);
	table_free(table);
}
