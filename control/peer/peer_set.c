/* What a set says, one after the other, on the sketch. */
#include "peer_set.h"

#include "base_bytes.h"
#include "base_siphash.h"
#include "base_text.h"
#include "base_time.h"
#include "peer_set_private.h"
#include "session.h"
#include "wg_key.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_KEY_LEN 10U /* bytes of the key in a name */

/* ---- names ------------------------------------------------------------------------------------- */

void peer_set_name(const uint8_t public_key[static 32], char out[static CONFIG_NAME_LEN])
{
	char hex[2 * NAME_KEY_LEN + 1];

	base_hex_encode(hex, public_key, NAME_KEY_LEN);
	snprintf(out, CONFIG_NAME_LEN, "wg-%s", hex);
}

/* ---- the sketch ---------------------------------------------------------------------------------- */

int peer__set_refuse_memory(const struct peer_work *work)
{
	return peer__refuse(work->error, -ENOMEM, "failed", NULL, "not enough memory");
}

static const uint8_t *key_of(const struct peer_work *work, uint32_t entry)
{
	uint32_t id = (entry & ~PEER_SET_NEXT) - 1;

	if (entry & PEER_SET_NEXT)
		return work->table->by_id[id]->rotation.public_key;
	return work->draft_of[id] != 0 ? work->drafts[work->draft_of[id] - 1].row.public_key
	                               : work->table->by_id[id]->row.public_key;
}

/* The bucket of a key, or the empty one where it would go. Keys need not be random: those that are counted up are
 * spread as well. Who may ask for a set may do anything: the hash need not withstand him. */
static uint32_t *bucket_of(const struct peer_work *work, const uint8_t key[static 32])
{
	const struct base_siphash_key no_secret = {0};
	uint32_t i = (uint32_t)base_siphash(no_secret, key, 32) & (work->n_buckets - 1);

	while (work->by_key[i] != 0 && memcmp(key_of(work, work->by_key[i]), key, 32) != 0)
		i = (i + 1) & (work->n_buckets - 1);
	return &work->by_key[i];
}

static int work_begin(struct peer_work *work)
{
	const struct peer_table *table = work->table;
	size_t max_peers = table->setup.config->max_peers;

	/* Everybody in the table, and who is new; no draft is made twice. */
	work->max_drafts = table->n + work->set->n_ones;
	work->n_buckets = 16;
	while (work->n_buckets < 2 * (work->max_drafts + table->n)) /* some have two keys */
		work->n_buckets *= 2;
	work->draft_of = calloc(max_peers + work->set->n_ones, sizeof(*work->draft_of));
	work->by_key = calloc(work->n_buckets, sizeof(*work->by_key));
	if (!work->draft_of || !work->by_key)
		return peer__set_refuse_memory(work);
	for (uint32_t i = 0; i < table->n; i++) {
		const struct peer *peer = table->by_name[i];

		*bucket_of(work, peer->row.public_key) = peer->row.id + 1;
		if (peer->rotation.has_public_key)
			*bucket_of(work, peer->rotation.public_key) = (peer->row.id + 1)
			                                              | PEER_SET_NEXT;
	}
	return 0;
}

static void work_end(struct peer_work *work)
{
	for (uint32_t i = 0; i < work->n_drafts; i++) {
		struct peer_draft *draft = &work->drafts[i];

		if (draft->has_new_ips)
			free(draft->row.allowed_ips);
		free(draft->ips.at);
		free(draft->before.at);
		base_wipe(draft, sizeof(*draft));
	}
	free(work->drafts);
	free(work->draft_of);
	free(work->by_key);
	free(work->moves);
}

static struct peer_draft *draft_new(struct peer_work *work, uint32_t id)
{
	struct peer_draft *draft;

	/* calloc() of many pages costs nothing until they are used */
	if (!work->drafts)
		work->drafts = calloc(work->max_drafts, sizeof(*work->drafts));
	if (!work->drafts) {
		peer__set_refuse_memory(work);
		return NULL;
	}
	draft = &work->drafts[work->n_drafts++];
	work->draft_of[id] = work->n_drafts;
	return draft;
}

struct peer_draft *peer__set_touch(struct peer_work *work, uint32_t id)
{
	struct peer_draft *draft;

	if (work->draft_of[id] != 0)
		return &work->drafts[work->draft_of[id] - 1];
	draft = draft_new(work, id);
	if (!draft)
		return NULL;
	draft->old = work->table->by_id[id];
	draft->row = draft->old->row;
	return draft;
}

/* A free number, ids not being used again soon; those that were passed over are not looked at again. When there is
 * none, one that no peer has: who goes in the end, and leaves a number, is not known before (number_late()). */
static uint32_t free_id(struct peer_work *work)
{
	const struct peer_table *table = work->table;
	uint32_t max = table->setup.config->max_peers;

	for (; work->next_id < max; work->next_id++) {
		uint32_t id = (table->next_id + work->next_id) % max;

		if (!table->by_id[id] && work->draft_of[id] == 0)
			return id;
	}
	return max + work->n_late++;
}

/* ---- one after the other ------------------------------------------------------------------------- */

static int add_new(struct peer_work *work, const struct peer_set_one *one, struct peer_draft **out)
{
	const struct peer_table *table = work->table;
	struct store_peer row = {.client_keepalive_s = PEER_CLIENT_KEEPALIVE_S};
	const struct peer *other;

	if (wg_key_check_public(one->public_key) < 0)
		return peer__refuse(work->error, -EINVAL, "invalid", "public_key",
		                    "public_key: cannot be used (all zero or of low order)");
	if (one->whole)
		snprintf(row.name, sizeof(row.name), "%s", one->whole->name);
	else
		peer_set_name(one->public_key, row.name);
	if (one->whole && base_is_zero_ct(one->preshared_key, 32)
	    && peer__needs_preshared_key(table))
		return peer__refuse(work->error, -EINVAL, "invalid", "preshared_key",
		                    "preshared_key: every peer of this hub has one "
		                    "(hub.preshared_key = \"optional\" in %s lets peers do "
		                    "without)",
		                    table->setup.config->path);
	other = peer_find(table, row.name);
	if (other)
		return peer__refuse(work->error, -EEXIST, "exists", "name",
		                    "peer \"%s\" exists already, with another key", row.name);
	row.id = free_id(work);
	memcpy(row.public_key, one->public_key, 32);
	row.created_wall_ns = base_time_wall_ns();
	row.key_set_wall_ns = row.created_wall_ns;
	row.wg_set_wall_ns = one->whole ? 0 : row.created_wall_ns;
	*out = draft_new(work, row.id);
	if (!*out)
		return -ENOMEM;
	(*out)->row = row;
	(*out)->has_touched_ips = true;
	*bucket_of(work, one->public_key) = row.id + 1;
	return 0;
}

/* Its allowed IPs go, and it with them unless the set names it again. */
static int remove_one(struct peer_work *work, uint32_t id)
{
	struct peer_draft *draft = peer__set_touch(work, id);

	if (!draft)
		return -ENOMEM;
	draft->is_removed = true;
	draft->is_wiped = true;
	return peer__set_clear(work, draft);
}

static int remove_all(struct peer_work *work)
{
	const struct peer_table *table = work->table;
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < table->n; i++)
		if (!table->by_name[i]->row.disabled)
			err = remove_one(work, table->by_name[i]->row.id);
	return err;
}

static int change_ips(struct peer_work *work, struct peer_draft *draft,
                      const struct peer_set_one *one)
{
	int err = one->replaces_ips ? peer__set_clear(work, draft) : 0;

	for (uint32_t i = 0; err == 0 && i < one->n_ips; i++) {
		const struct peer_set_ip *ip = &work->set->ips[one->first_ip + i];

		err = ip->drop ? peer__set_drop(work, draft, &ip->prefix)
		               : peer__set_hold(work, draft, &ip->prefix);
	}
	return err;
}

static void change_settings(struct peer_draft *draft, const struct peer_set_whole *whole)
{
	struct store_peer *row = &draft->row;
	bool comes_back = row->disabled && !whole->is_disabled;

	draft->whole = whole;
	row->disabled = whole->is_disabled;
	row->whole_subnet = whole->whole_subnet;
	row->client_keepalive_s = whole->client_keepalive_s;
	if (!whole->expected_up)
		row->expected_wall_ns = 0;
	else if (row->expected_wall_ns == 0 || comes_back)
		row->expected_wall_ns = base_time_wall_ns();
}

static int change(struct peer_work *work, struct peer_draft *draft, const struct peer_set_one *one)
{
	if (one->whole)
		change_settings(draft, one->whole);
	if (one->has_keepalive || draft->is_wiped)
		draft->row.keepalive_s = one->has_keepalive ? one->keepalive_s : 0;
	draft->is_wiped = false;
	if (one->has_preshared_key) {
		draft->has_new_key = true;
		draft->row.has_preshared_key = !base_is_zero_ct(one->preshared_key, 32);
		memcpy(draft->row.preshared_key, one->preshared_key, 32);
	}
	if (one->has_endpoint) {
		draft->has_new_endpoint = true;
		draft->endpoint = one->endpoint;
	}
	return change_ips(work, draft, one);
}

static int one_apply(struct peer_work *work, const struct peer_set_one *one)
{
	uint32_t entry = *bucket_of(work, one->public_key);
	uint32_t at = entry & PEER_SET_NEXT ? 0 : entry;
	uint32_t id = at - 1;
	struct peer_draft *draft = NULL;
	bool is_there;
	int err;

	/* A list of keys that several hubs share may have this one's: as the kernel does, pass over it. */
	if (memcmp(one->public_key, session_public_key(work->table->setup.session), 32) == 0)
		return !one->whole ? 0
		                   : peer__refuse(work->error, -EINVAL, "invalid", "public_key",
		                                  "public_key: is the hub's own key");
	if (at != 0 && work->draft_of[id] != 0)
		draft = &work->drafts[work->draft_of[id] - 1];
	is_there = at != 0
	           && (draft ? !draft->is_removed
	                     : one->whole || !work->table->by_id[id]->row.disabled);
	if (one->is_removed)
		return is_there ? remove_one(work, id) : 0;
	if (!is_there && one->update_only)
		return 0;
	if (entry & PEER_SET_NEXT)
		return peer__refuse(work->error, -EEXIST, "exists", "public_key",
		                    "public_key: peer \"%s\" is about to get it (weir peer rotate)",
		                    work->table->by_id[(entry & ~PEER_SET_NEXT) - 1]->row.name);
	if (at != 0 && !draft && !is_there)
		return peer__refuse(work->error, -EPERM, "disabled", "public_key",
		                    "peer \"%s\" is disabled: weir peer enable lets it come again",
		                    work->table->by_id[id]->row.name);
	err = at == 0 ? add_new(work, one, &draft) : 0;
	if (err == 0 && !draft)
		draft = peer__set_touch(work, id);
	if (!draft)
		return err < 0 ? err : -ENOMEM;
	draft->is_removed = false;
	return change(work, draft, one);
}

/* ---- what may not be ----------------------------------------------------------------------------- */

struct stored_key {
	const struct peer_draft *draft;
	bool is_same;
};

static int compare_key(void *arg, const struct store_peer *row)
{
	struct stored_key *stored = arg;
	const struct store_peer *wanted = &stored->draft->row;

	stored->is_same = row->has_preshared_key == wanted->has_preshared_key
	                  && (!row->has_preshared_key
	                      || base_equal_ct(row->preshared_key, wanted->preshared_key, 32));
	return 0;
}

static void see_settings(struct peer_draft *draft)
{
	const struct peer_set_whole *whole = draft->whole;
	const struct store_peer *old = &draft->old->row;
	const struct store_peer *row = &draft->row;
	const struct peer_name *name = draft->old->name;

	if (!whole)
		return;
	draft->has_new_settings = row->disabled != old->disabled
	                          || row->whole_subnet != old->whole_subnet
	                          || row->client_keepalive_s != old->client_keepalive_s
	                          || row->expected_wall_ns != old->expected_wall_ns;
	draft->has_new_name =
		whole->has_endpoint_name
		&& (name ? whole->endpoint_name.port != name->is.name.port
	                            || strcmp(whole->endpoint_name.host, name->is.name.host) != 0
	                 : whole->endpoint_name.port != 0);
}

/* What was said again is no change. */
static int see_changes(struct peer_work *work, struct peer_draft *draft)
{
	struct store_peer_state state = peer_state(work->table, draft->old);
	struct stored_key stored = {.draft = draft};
	int err;

	see_settings(draft);
	draft->has_new_keepalive = draft->row.keepalive_s != draft->old->row.keepalive_s;
	if (draft->has_new_endpoint && base_endpoint_equal(&draft->endpoint, &state.endpoint))
		draft->has_new_endpoint = false;
	if (!draft->has_new_key)
		return 0;
	err = store_peer_find(work->table->setup.store, draft->row.id, compare_key, &stored);
	if (err < 0)
		return peer__refuse_store(work->table, err, work->error);
	draft->has_new_key = !stored.is_same;
	return 0;
}

static bool is_changed(const struct peer_draft *draft)
{
	return draft->is_removed || draft->has_new_key || draft->has_new_endpoint
	       || draft->has_new_keepalive || draft->has_new_settings || draft->has_new_name
	       || draft->has_new_ips;
}

static int check_draft(struct peer_work *work, struct peer_draft *draft)
{
	const struct peer_set_hooks *hooks = work->hooks;
	int err = 0;

	if (!draft->old)
		return 0;
	if (!draft->is_removed)
		err = see_changes(work, draft);
	if (err < 0 || !is_changed(draft))
		return err;
	if (draft->old->row.declared)
		return peer__refuse(work->error, -EPERM, "declared", NULL,
		                    "peer \"%s\" is declared in %s:%d; change it there and restart "
		                    "weir",
		                    draft->row.name, work->table->setup.config->path,
		                    draft->old->line);
	if (draft->old->row.disabled && !draft->whole
	    && !draft->is_removed) /* only the holder of a prefix comes here */
		return peer__refuse(work->error, -EEXIST, "exists", "allowed_ips",
		                    "allowed_ips: one belongs to peer \"%s\", which is disabled",
		                    draft->row.name);
	if (draft->is_removed && hooks->may_remove)
		err = hooks->may_remove(hooks->arg, draft->old, work->error);
	return err;
}

/* When everybody holds what the set says. */
static int give_all(struct peer_work *work)
{
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < work->n_drafts; i++) {
		struct peer_draft *draft = &work->drafts[i];

		work->at = draft->row.name;
		if (!draft->old && draft->whole && draft->whole->gives_addresses)
			err = peer__set_give(work, draft);
	}
	return err;
}

/* One that goes, or came and went in the set, leaves its number. */
static bool leaves_number(const struct peer_work *work, const struct peer_draft *draft)
{
	return draft->is_removed && draft->row.id < work->table->setup.config->max_peers;
}

/* Those that found no number free get those of who goes. */
static int number_late(struct peer_work *work)
{
	uint32_t max = work->table->setup.config->max_peers;
	uint32_t next = 0;
	int err = 0;

	for (uint32_t i = 0; err == 0 && work->n_late > 0 && i < work->n_drafts; i++) {
		struct peer_draft *draft = &work->drafts[i];

		if (draft->row.id < max || draft->is_removed)
			continue;
		while (next < work->n_drafts && !leaves_number(work, &work->drafts[next]))
			next++;
		work->at = draft->row.name;
		if (next == work->n_drafts)
			return peer__refuse(work->error, -ENOSPC, "full", NULL,
			                    "all %u peers are taken (dataplane.max_peers)", max);
		err = peer__set_renumber(work, draft, work->drafts[next++].row.id);
	}
	return err;
}

static int try(struct peer_work *work)
{
	int err = work_begin(work);

	if (err == 0 && work->set->replaces_peers)
		err = remove_all(work);
	for (uint32_t i = 0; err == 0 && i < work->set->n_ones; i++) {
		const struct peer_set_one *one = &work->set->ones[i];

		work->at = one->whole ? one->whole->name : NULL;
		err = one_apply(work, one);
	}
	if (err == 0)
		err = give_all(work);
	if (err == 0)
		err = peer__set_settle(work);
	for (uint32_t i = 0; err == 0 && i < work->n_drafts; i++) {
		work->at = work->drafts[i].row.name;
		err = check_draft(work, &work->drafts[i]);
	}
	if (err == 0)
		err = number_late(work);
	if (err < 0 && work->at && work->hooks->refused)
		work->hooks->refused(work->hooks->arg, work->at);
	return err;
}

int peer_set_apply(struct peer_table *table, const struct peer_set *set,
                   const struct peer_set_hooks *hooks, struct peer_error *error)
{
	struct peer_work work = {.table = table, .set = set, .hooks = hooks, .error = error};
	int err = try(&work);

	if (err == 0 && !set->is_dry_run)
		err = peer__set_commit(&work);
	if (err < 0 || set->is_dry_run)
		peer__set_undo(&work);
	work_end(&work);
	return err;
}
