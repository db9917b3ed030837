/* What was tried becomes so: in the store, and then, which nobody may refuse, in the table, session and
 * program. */
#include "base_bytes.h"
#include "base_log.h"
#include "base_time.h"
#include "peer_set_private.h"
#include "program.h"
#include "session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FEW                                                                                        \
	8U /* peers that are put to their places among the names, or taken from them, one by one */

static bool is_new(const struct peer_draft *draft)
{
	return !draft->old && !draft->is_removed;
}

static bool is_gone(const struct peer_draft *draft)
{
	return draft->old && draft->is_removed;
}

static bool is_kept(const struct peer_draft *draft)
{
	return draft->old && !draft->is_removed
	       && (draft->has_new_key || draft->has_new_endpoint || draft->has_new_keepalive
	           || draft->has_new_settings || draft->has_new_name || draft->has_new_ips);
}

/* ---- the store ----------------------------------------------------------------------------------- */

/* The name of its endpoint; one that gets an address has none. */
static int store_name(struct store *store, const struct peer_draft *draft)
{
	const struct peer_set_whole *whole = draft->whole;
	bool has_one = whole && whole->has_endpoint_name && whole->endpoint_name.port != 0;
	struct store_name name = {0};

	if (has_one && (draft->has_new_name || !draft->old)) {
		name.name = whole->endpoint_name;
		return store_name_put(store, draft->row.id, draft->row.name, &name);
	}
	if (draft->old && draft->old->name && (draft->has_new_endpoint || draft->has_new_name))
		return store_name_drop(store, draft->row.id, draft->row.name);
	return 0;
}

static bool is_toggled(const struct peer_draft *draft)
{
	return draft->old && draft->old->row.disabled != draft->row.disabled;
}

/* Of a peer that stays: its row, with the preshared key only if that is another, and its endpoint. */
static int store_kept(struct store *store, const struct peer_draft *draft)
{
	int err = draft->has_new_key ? store_peer_put(store, &draft->row)
	                             : store_peer_change(store, &draft->row);

	if (err == 0 && (draft->has_new_endpoint || draft->has_new_key || is_toggled(draft)))
		err = store_peer_state_put(store, draft->row.id, &draft->row.state);
	return err == 0 ? store_name(store, draft) : err;
}

static int store_new(struct store *store, const struct peer_draft *draft)
{
	int err = store_peer_put(store, &draft->row);

	if (err == 0 && draft->row.state.endpoint.port != 0)
		err = store_peer_state_put(store, draft->row.id, &draft->row.state);
	return err == 0 ? store_name(store, draft) : err;
}

static int refuse_store(const struct peer_work *work, int err)
{
	return err < 0 ? peer__refuse_store(work->table, err, work->error) : 0;
}

static int store_all(struct peer_work *work)
{
	struct store *store = work->table->setup.store;
	int err = store_begin_large(store);
	int ended, refused = 0;

	if (err < 0)
		return refuse_store(work, err);
	/* Those that go first: a name or a key of theirs may come again. */
	for (uint32_t i = 0; err == 0 && i < work->n_drafts; i++)
		if (is_gone(&work->drafts[i]))
			err = store_peer_drop(store, work->drafts[i].row.id);
	for (uint32_t i = 0; err == 0 && i < work->n_drafts; i++) {
		if (is_kept(&work->drafts[i]))
			err = store_kept(store, &work->drafts[i]);
		else if (is_new(&work->drafts[i]))
			err = store_new(store, &work->drafts[i]);
	}
	if (err == 0 && work->hooks->store)
		refused = work->hooks->store(work->hooks->arg, work->error);
	ended = store_end(store, err == 0 && refused == 0);
	if (refused < 0)
		return refused;
	return refuse_store(work, err < 0 ? err : ended);
}

/* ---- the table ----------------------------------------------------------------------------------- */

static void tell_news(const struct peer_work *work, const struct peer_draft *draft,
                      const struct peer *peer)
{
	const struct peer_set_news news = {
		.peer = peer,
		.was_added = !draft->old,
		.was_removed = draft->is_removed,
		.has_new_key = draft->has_new_key,
		.has_new_endpoint = draft->has_new_endpoint,
		.has_new_keepalive = draft->has_new_keepalive,
		.has_new_settings = draft->has_new_settings || draft->has_new_name,
		.n_gained = draft->n_gained,
		.n_lost = draft->n_lost,
	};

	if (work->hooks->changed)
		work->hooks->changed(work->hooks->arg, &news);
}

/* What is short of memory here is told by the next synchronisation with the dataplane. */
static void complain(const char *what, const struct peer_draft *draft, int err)
{
	if (err < 0)
		log_err("peer", "%s name=%s peer=%u err=%s", what, draft->row.name, draft->row.id,
		        strerror(-err));
}

/* Its endpoint is looked up from now on, or not. */
static void name_endpoint(struct peer_work *work, const struct peer_draft *draft, struct peer *peer)
{
	const struct peer_set_whole *whole = draft->whole;
	struct store_name name = {0};

	if (draft->has_new_endpoint || draft->has_new_name)
		peer__name_free(peer);
	if (!whole || !whole->has_endpoint_name || whole->endpoint_name.port == 0 || peer->name)
		return;
	name.name = whole->endpoint_name;
	complain("endpoint's name is looked up after a restart only", draft,
	         peer__name_make(work->table, peer, &name));
}

static void enter(struct peer_work *work, struct peer_draft *draft, struct peer *peer, bool few)
{
	struct peer_table *table = work->table;
	struct peer_error error = {0};

	peer->row = draft->row;
	base_wipe(peer->row.preshared_key, sizeof(peer->row.preshared_key));
	draft->row.allowed_ips = NULL; /* the peer's now */
	draft->old = NULL;
	name_endpoint(work, draft, peer);
	if (few)
		peer__enter(table, peer);
	else
		peer__append(table, peer);
	complain("not told", draft,
	         peer__apply(table, peer,
	                     draft->row.has_preshared_key ? draft->row.preshared_key : NULL,
	                     &error));
	tell_news(work, draft, peer);
}

struct telling {
	struct peer_work *work;
	struct peer_draft *draft;
};

static int put_route(void *arg, const struct base_prefix *prefix)
{
	struct telling *telling = arg;

	complain("route not put", telling->draft,
	         program_route_put(telling->work->table->setup.program, prefix,
	                           telling->draft->row.id));
	return 0;
}

/* One that somebody else has got is not this peer's any more. */
static int drop_route(void *arg, const struct base_prefix *prefix)
{
	struct telling *telling = arg;

	(void)program_route_drop(telling->work->table->setup.program, prefix,
	                         telling->draft->row.id);
	return 0;
}

static void tell_kept(struct peer_work *work, struct peer_draft *draft)
{
	const struct peer_setup *setup = &work->table->setup;
	const struct store_peer *row = &draft->row;

	if (row->disabled) {
		session_peer_drop(setup->session, row->id);
		complain("not dropped at once", draft, program_peer_drop(setup->program, row->id));
		return;
	}
	if (draft->has_new_keepalive)
		complain("keepalive not told", draft,
		         program_peer_put(setup->program, row->id, row->keepalive_s));
	if (draft->has_new_key) {
		complain("preshared key not told", draft,
		         session_peer_put(setup->session, row->id, row->public_key,
		                          row->has_preshared_key ? row->preshared_key : NULL,
		                          row->state.endpoint.port != 0 ? &row->state.endpoint
		                                                        : NULL,
		                          row->state.last_timestamp));
		/* with its other key it has forgotten the next one and the number of this one */
		peer__rotation_apply(work->table, draft->old);
	} else if (draft->has_new_endpoint)
		session_peer_redirect(setup->session, row->id, &row->state.endpoint);
}

struct returning {
	struct peer_table *table;
	const struct peer *peer;
};

/* Its preshared key is in the store alone. */
static int apply_stored(void *arg, const struct store_peer *row)
{
	const struct returning *returning = arg;
	struct peer_error error = {0};

	return peer__apply(returning->table, returning->peer,
	                   row->has_preshared_key ? row->preshared_key : NULL, &error);
}

static void change(struct peer_work *work, struct peer_draft *draft)
{
	struct peer *peer = draft->old;
	struct base_prefix *networks = peer->row.allowed_ips;
	struct returning returning = {work->table, peer};
	bool was_disabled = peer->row.disabled;

	if (!was_disabled)
		tell_kept(work, draft);
	name_endpoint(work, draft, peer);
	peer->row = draft->row;
	base_wipe(peer->row.preshared_key, sizeof(peer->row.preshared_key));
	if (was_disabled && !peer->row.disabled)
		complain("not told", draft,
		         store_peer_find(work->table->setup.store, peer->row.id, apply_stored,
		                         &returning));
	if (draft->has_new_ips)
		draft->row.allowed_ips = networks; /* freed with the draft */
	tell_news(work, draft, peer);
}

static void leave(struct peer_work *work, struct peer_draft *draft, bool few)
{
	const struct peer_setup *setup = &work->table->setup;
	uint32_t id = draft->row.id;

	session_peer_drop(setup->session, id);
	complain("not dropped at once", draft, program_peer_drop(setup->program, id));
	tell_news(work, draft, draft->old);
	if (!draft->has_new_ips)
		draft->row.allowed_ips = NULL; /* was borrowed */
	/* held by nobody, or by another, who may have this number now */
	draft->old->row.n_addresses = 0;
	draft->old->row.n_allowed_ips = 0;
	if (few)
		peer__leave(work->table, draft->old);
	else
		peer__forget(work->table, draft->old);
	draft->old = NULL;
}

/* Those that go lose their places among the names, all at once. */
static void leave_names(struct peer_work *work)
{
	struct peer_table *table = work->table;
	uint32_t n = 0;

	for (uint32_t i = 0; i < table->n; i++) {
		struct peer *peer = table->by_name[i];
		uint32_t number = work->draft_of[peer->row.id];

		if (number == 0 || !is_gone(&work->drafts[number - 1]))
			table->by_name[n++] = peer;
	}
	table->n = n;
}

static void leave_all(struct peer_work *work)
{
	uint32_t n_gone = 0;

	for (uint32_t i = 0; i < work->n_drafts; i++)
		n_gone += is_gone(&work->drafts[i]);
	if (n_gone > FEW)
		leave_names(work);
	for (uint32_t i = 0; i < work->n_drafts; i++)
		if (is_gone(&work->drafts[i]))
			leave(work, &work->drafts[i], n_gone <= FEW);
}

/* ---- all of it ----------------------------------------------------------------------------------- */

/* Then it is not to be given any, as one to which wg(8) gave its addresses. */
static bool lacks_address(const struct peer_work *work, const struct store_peer *row)
{
	const struct config *config = work->table->setup.config;
	bool has = true;

	for (uint32_t i = 0; has && i < config->n_tunnel; i++) {
		has = false;
		for (uint32_t k = 0; k < row->n_addresses; k++)
			has |= base_prefix_contains(&config->tunnel[i], &row->addresses[k]);
	}
	return !has;
}

/* Times, and the endpoint that the state begins with. */
static void complete_rows(struct peer_work *work)
{
	for (uint32_t i = 0; i < work->n_drafts; i++) {
		struct peer_draft *draft = &work->drafts[i];

		if (is_kept(draft))
			draft->row.state = peer_state(work->table, draft->old);
		if (draft->whole && !draft->is_removed && (draft->has_new_ips || !draft->old))
			draft->row.wg_set_wall_ns = lacks_address(work, &draft->row)
			                                    ? base_time_wall_ns()
			                                    : 0;
		else if (is_kept(draft) && draft->has_new_ips)
			draft->row.wg_set_wall_ns = base_time_wall_ns();
		if (draft->has_new_endpoint)
			draft->row.state.endpoint = draft->endpoint;
	}
}

/* Memory for those that are new, before anything is stored. */
static struct peer **peers_make(const struct peer_work *work, uint32_t *n)
{
	struct peer **peers = calloc(work->n_drafts + 1U, sizeof(struct peer *));
	bool ok = peers != NULL;

	*n = 0;
	for (uint32_t i = 0; ok && i < work->n_drafts; i++) {
		if (!is_new(&work->drafts[i]))
			continue;
		peers[*n] = calloc(1, sizeof(struct peer));
		ok = peers[(*n)++] != NULL;
	}
	if (ok)
		return peers;
	for (uint32_t i = 0; i < *n; i++)
		free(peers[i]);
	free(peers);
	return NULL;
}

/* One that is disabled has no routes; one that comes back or goes gets or loses all of them. */
static bool is_routed(const struct peer_draft *draft)
{
	return !draft->old->row.disabled && !draft->row.disabled;
}

/* Those that get a prefix first, then those that lose it: a route that moves is never nobody's. Unless the table is
 * full: who goes must go before another has its number. */
static void tell_all(struct peer_work *work, struct peer *const *peers, uint32_t n_new)
{
	uint32_t n = 0;

	if (work->n_late > 0)
		leave_all(work);
	for (uint32_t i = 0; i < work->n_drafts; i++)
		if (is_new(&work->drafts[i]))
			enter(work, &work->drafts[i], peers[n++], n_new <= FEW);
	if (n_new > FEW)
		peer__sort(work->table);
	for (uint32_t i = 0; i < work->n_drafts; i++) {
		struct telling telling = {work, &work->drafts[i]};

		if (is_kept(&work->drafts[i]) && is_routed(&work->drafts[i]))
			(void)peer__set_differ(&work->drafts[i].before, &work->drafts[i].ips, NULL,
			                       put_route, &telling);
	}
	for (uint32_t i = 0; i < work->n_drafts; i++) {
		struct telling telling = {work, &work->drafts[i]};

		if (!is_kept(&work->drafts[i]))
			continue;
		if (is_routed(&work->drafts[i]))
			(void)peer__set_differ(&work->drafts[i].before, &work->drafts[i].ips,
			                       drop_route, NULL, &telling);
		change(work, &work->drafts[i]);
	}
	leave_all(work);
	memset(work->table->pool_from, 0, CONFIG_TUNNEL_MAX * sizeof(*work->table->pool_from));
}

int peer__set_commit(struct peer_work *work)
{
	uint32_t n_new;
	struct peer **peers = peers_make(work, &n_new);
	int err;

	if (!peers)
		return peer__set_refuse_memory(work);
	complete_rows(work);
	err = store_all(work);
	if (err == 0) {
		tell_all(work, peers, n_new);
		peer__names_turn(work->table);
	} else {
		for (uint32_t i = 0; i < n_new; i++)
			free(peers[i]);
	}
	free(peers);
	return err;
}
