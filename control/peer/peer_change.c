/* What changes of a peer while it lives: whether it may come at all, the networks behind it, and what is said by hand. */
#include "base_bytes.h"
#include "base_log.h"
#include "base_time.h"
#include "peer_table.h"
#include "program.h"
#include "session.h"

#include <errno.h>
#include <string.h>

/* ---- enabled or not ----------------------------------------------------------------------------- */

/* The row, and what sessions have learned of the peer: the timestamp guards against replay when it comes
 * back. */
static int store_row(const struct peer_table *table, const struct store_peer *row)
{
	int err = store_begin(table->setup.store);
	int ended;

	if (err < 0)
		return err;
	err = store_peer_change(table->setup.store, row);
	if (err == 0)
		err = store_peer_state_put(table->setup.store, row->id, &row->state);
	ended = store_end(table->setup.store, err == 0);
	return err < 0 ? err : ended;
}

static int disable(struct peer_table *table, struct peer *peer, struct peer_error *error)
{
	struct store_peer row = peer->row;
	int err;

	row.disabled = true;
	row.state = peer_state(table, peer);
	err = store_row(table, &row);
	if (err < 0)
		return peer__refuse_store(table, err, error);
	peer->row = row;
	session_peer_drop(table->setup.session, row.id);
	err = program_peer_drop(table->setup.program, row.id);
	if (err < 0) /* short of memory: the next synchronisation with the dataplane drops it */
		log_err("peer", "not dropped at once name=%s peer=%u err=%d", row.name, row.id,
		        err);
	return 0;
}

/* The preshared key is in the store alone. */
struct enabling {
	struct peer_table *table;
	const struct peer *peer;
	struct peer_error *error;
};

static int apply_stored(void *arg, const struct store_peer *row)
{
	struct enabling *enabling = arg;

	return peer__apply(enabling->table, enabling->peer,
	                   row->has_preshared_key ? row->preshared_key : NULL, enabling->error);
}

static int enable_again(struct peer_table *table, struct peer *peer, struct peer_error *error)
{
	struct enabling enabling = {.table = table, .peer = peer, .error = error};
	uint64_t expected_wall_ns = peer->row.expected_wall_ns;
	int err;

	peer->row.disabled = false;
	if (expected_wall_ns != 0)
		peer->row.expected_wall_ns = base_time_wall_ns();
	error->code = NULL;
	err = store_peer_find(table->setup.store, peer->row.id, apply_stored, &enabling);
	if (err < 0 && !error->code)
		peer__refuse_store(table, err, error);
	if (err == 0) {
		err = store_peer_change(table->setup.store, &peer->row);
		if (err < 0) {
			peer__refuse_store(table, err, error);
			session_peer_drop(table->setup.session, peer->row.id);
			(void)program_peer_drop(table->setup.program, peer->row.id);
		}
	}
	if (err < 0) {
		peer->row.disabled = true;
		peer->row.expected_wall_ns = expected_wall_ns;
	}
	return err;
}

int peer_enable(struct peer_table *table, const char *name, bool enable, struct peer_error *error)
{
	struct peer *peer;
	int err = peer__find_named(table, name, &peer, error);

	if (err < 0)
		return err;
	if (peer->row.disabled != enable)
		return 0;
	err = enable ? enable_again(table, peer, error) : disable(table, peer, error);
	if (err == 0 && peer->name)
		peer__names_turn(table);
	if (err == 0)
		log_info("peer", "%s name=%s peer=%u", enable ? "enabled" : "disabled", name,
		         peer->row.id);
	return err;
}

/* ---- networks ----------------------------------------------------------------------------------- */

/* Put row in the place of the peer's, and hold what it holds. On success row has the old networks. */
static int replace(struct peer_table *table, struct peer *peer, struct store_peer *row,
                   struct peer_error *error)
{
	struct store_peer old = peer->row;
	int err;

	peer__let_go(table, &peer->row);
	err = peer__hold(table, row);
	if (err == 0) {
		err = store_peer_change(table->setup.store, row);
		if (err == 0) {
			peer->row = *row;
			*row = old;
			return 0;
		}
		peer__refuse_store(table, err, error);
		peer__let_go(table, row);
	} else {
		peer__refuse(error, err, "failed", NULL, "not enough memory");
	}
	if (peer__hold(table, &peer->row) < 0)
		log_err("peer", "addresses not held any more name=%s", peer->row.name);
	return err;
}

static int copy_row(const struct peer *peer, struct store_peer *out, struct peer_error *error)
{
	int err = peer__row_copy(&peer->row, out);

	return err < 0 ? peer__refuse(error, err, "failed", NULL, "not enough memory") : 0;
}

/* A route that is missing is put by the next synchronisation at the latest. */
static void put_routes(struct peer_table *table, const struct peer *peer,
                       const struct base_prefix *nets, uint32_t n_nets)
{
	for (uint32_t i = 0; i < n_nets && !peer->row.disabled; i++) {
		int err = program_route_put(table->setup.program, &nets[i], peer->row.id);

		if (err < 0)
			log_err("peer", "route not put name=%s err=%s", peer->row.name,
			        strerror(-err));
	}
}

int peer_networks_add(struct peer_table *table, const char *name, const struct base_prefix *nets,
                      uint32_t n_nets, struct peer_error *error)
{
	struct peer *peer;
	struct store_peer row;
	int err = peer__find_ours(table, name, "change its allowed_ips", &peer, error);

	if (err < 0)
		return err;
	err = copy_row(peer, &row, error);
	if (err < 0)
		return err;
	err = peer__refuse_addresses(table, nets, n_nets, error);
	if (err == 0)
		err = peer__add_ips(table, &row, nets, n_nets, error);
	if (err == 0)
		err = replace(table, peer, &row, error);
	if (err == 0)
		put_routes(table, peer, nets, n_nets);
	store_peer_fini(&row);
	return err;
}

static int take_out(struct store_peer *row, const struct base_prefix *net, struct peer_error *error)
{
	char text[BASE_PREFIX_STRLEN];

	for (uint32_t i = 0; i < row->n_allowed_ips; i++) {
		if (!base_prefix_equal(&row->allowed_ips[i], net))
			continue;
		row->n_allowed_ips--;
		memmove(&row->allowed_ips[i], &row->allowed_ips[i + 1],
		        (row->n_allowed_ips - i) * sizeof(*row->allowed_ips));
		return 0;
	}
	return peer__refuse(error, -ENOENT, "not_found", "networks",
	                    "networks: peer \"%s\" has no network %s behind it", row->name,
	                    base_prefix_format(net, text));
}

int peer_networks_drop(struct peer_table *table, const char *name, const struct base_prefix *nets,
                       uint32_t n_nets, struct peer_error *error)
{
	struct peer *peer;
	struct store_peer row;
	int err = peer__find_ours(table, name, "change its allowed_ips", &peer, error);

	if (err < 0)
		return err;
	err = copy_row(peer, &row, error);
	if (err < 0)
		return err;
	for (uint32_t i = 0; i < n_nets && err == 0; i++)
		err = take_out(&row, &nets[i], error);
	if (err == 0)
		err = replace(table, peer, &row, error);
	for (uint32_t i = 0; i < n_nets && err == 0; i++)
		(void)program_route_drop(table->setup.program, &nets[i], peer->row.id);
	store_peer_fini(&row);
	return err;
}

/* ---- its configuration -------------------------------------------------------------------------- */

int peer_client_set(struct peer_table *table, const char *name, const struct peer_client *client,
                    struct peer_error *error)
{
	struct peer *peer;
	struct store_peer row;
	int err = peer__find_named(table, name, &peer, error);

	if (err < 0)
		return err;
	row = peer->row;
	if (row.whole_subnet == client->whole_subnet
	    && row.client_keepalive_s == client->keepalive_s)
		return 0;
	row.whole_subnet = client->whole_subnet;
	row.client_keepalive_s = client->keepalive_s;
	err = store_peer_change(table->setup.store, &row);
	if (err < 0)
		return peer__refuse_store(table, err, error);
	peer->row = row;
	return 0;
}

/* ---- by hand ------------------------------------------------------------------------------------ */

/* row: NULL = it stays. */
static int store_change(const struct peer_table *table, const struct peer *peer,
                        const struct store_peer *row, const struct peer_endpoint *endpoint)
{
	int err = store_begin(table->setup.store);
	int ended;

	if (err < 0)
		return err;
	if (row)
		err = store_peer_change(table->setup.store, row);
	if (err == 0 && endpoint)
		err = peer__endpoint_store(table, peer, endpoint);
	ended = store_end(table->setup.store, err == 0);
	return err < 0 ? err : ended;
}

int peer_change(struct peer_table *table, const char *name, const struct peer_change *change,
                struct peer_error *error)
{
	const bool *up = change->expected_up;
	struct peer *peer;
	struct store_peer row;
	bool has_new_row;
	int err = peer__find_ours(
		table, name, up ? "change its expected_up" : "change its endpoint", &peer, error);

	if (err < 0)
		return err;
	has_new_row = up && (peer->row.expected_wall_ns != 0) != *up;
	if (!has_new_row && !change->endpoint)
		return 0;
	row = peer->row;
	if (has_new_row)
		row.expected_wall_ns = *up ? base_time_wall_ns() : 0;
	err = store_change(table, peer, has_new_row ? &row : NULL, change->endpoint);
	if (err < 0)
		return peer__refuse_store(table, err, error);
	peer->row = row;
	if (change->endpoint)
		peer__endpoint_take(table, peer, change->endpoint);
	return 0;
}
