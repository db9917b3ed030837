/* peer.export, peer.plan, peer.apply: the roster against the peers that there are, and in their place. */
#include "model_roster.h"

#include "base_bytes.h"
#include "base_text.h"
#include "model_limit.h"
#include "model_peer.h"
#include "model_policy.h"

#include <sodium.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One text on its way. */
struct change {
	struct model *model;
	const json_t *params;
	const char *file;
	struct roster old;
	struct roster new;
	struct peer_set set;
	struct peer_set_whole *wholes; /* [old.n + new.n] the set's */
	uint32_t n_wholes;
	char guarded[CONFIG_NAME_LEN]; /* the peer whose session is to be kept, or "" */
	bool is_plan;                  /* what cannot be applied is only told */
	uint32_t n_added;
	uint32_t n_removed;
	uint32_t n_changed;
};

static int refuse_memory(struct model_error *error)
{
	return model__refuse(error, -ENOMEM, "failed", NULL, "not enough memory");
}

/* ---- reading ------------------------------------------------------------------------------------ */

/* Who says no addresses keeps those that he has. */
static int keep_addresses(struct change *change)
{
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < change->new.n; i++) {
		struct roster_peer *peer = &change->new.peers[i];
		const struct roster_peer *was = roster_find(&change->old, peer->name);

		if (was && !peer->has_addresses)
			err = roster_addresses_set(peer, was->ips, was->n_addresses);
	}
	return err;
}

static int change_begin(struct change *change, struct model_error *error)
{
	const struct model_setup *setup = &change->model->setup;
	const json_t *file = json_object_get(change->params, "file");
	struct grant_error why = {0};
	int err = model__session_peer(change->model, change->params, change->guarded, error);

	if (err < 0)
		return err;
	change->file = json_string_value(json_object_get(file, "name"));
	err = roster_of_table(setup->peers, setup->config, &change->old);
	if (err < 0)
		return refuse_memory(error);
	err = roster_read(json_string_value(json_object_get(file, "text")), setup->config,
	                  &change->new, &why);
	if (err == 0 && keep_addresses(change) < 0)
		return refuse_memory(error);
	if (err == 0)
		err = roster_check_ips(&change->new, &why);
	if (err < 0)
		return model__refuse(error, err, why.code, NULL, "%s:%d: %s", change->file,
		                     why.line, why.text);
	change->wholes = calloc((size_t)change->old.n + change->new.n + 1, sizeof(*change->wholes));
	return change->wholes ? 0 : refuse_memory(error);
}

static void change_end(struct change *change)
{
	peer_set_fini(&change->set);
	free(change->wholes);
	roster_fini(&change->old);
	roster_fini(&change->new);
}

/* ---- what differs ------------------------------------------------------------------------------- */

static int refuse_at(const struct change *change, const struct roster_peer *peer, int err,
                     const char *code, const char *text, struct model_error *error)
{
	return model__refuse(error, err, code, NULL, "%s:%d: peer \"%s\": %s", change->file,
	                     peer->line, peer->name, text);
}

/* Keys are for peer rotate: it lets the old one be good for a while, and says when the new one was used. */
static int check_keys(const struct change *change, const struct roster_peer *old,
                      const struct roster_peer *new, struct model_error *error)
{
	if (change->is_plan)
		return 0;
	if (memcmp(old->public_key, new->public_key, sizeof(old->public_key)) != 0)
		return refuse_at(change, new, -EPERM, "key",
		                 "public_key is another than it has: weir peer rotate gives it "
		                 "that; then apply again",
		                 error);
	if (old->no_preshared_key != new->no_preshared_key)
		return refuse_at(change, new, -EPERM, "key",
		                 new->no_preshared_key
		                         ? "preshared_key is false, but it has one: leave the key "
		                           "out, or remove the peer first"
		                         : "it has no preshared key: weir peer rotate "
		                           "--new-preshared-key gives it one; or preshared_key = "
		                           "false",
		                 error);
	return 0;
}

static struct peer_set_one *append(struct change *change, const uint8_t public_key[static 32],
                                   const struct roster_peer *peer)
{
	struct peer_set_whole *whole = &change->wholes[change->n_wholes++];
	struct peer_set_one *one = peer_set_add(&change->set, public_key);

	*whole = (struct peer_set_whole){
		.name = peer->name,
		.is_disabled = peer->is_disabled,
		.expected_up = peer->expected_up,
		.whole_subnet = peer->whole_subnet,
		.gives_addresses = !peer->has_addresses,
		.client_keepalive_s = peer->client_keepalive_s,
	};
	if (one)
		one->whole = whole;
	return one;
}

/* What the text says of a peer that is there, or comes. */
static int put(struct change *change, const struct roster_peer *old, const struct roster_peer *new)
{
	struct peer_set_one *one = append(change, old ? old->public_key : new->public_key, new);
	struct peer_set_whole *whole;
	int err = one ? 0 : -ENOMEM;

	if (err < 0)
		return err;
	whole = &change->wholes[change->n_wholes - 1];
	if (old && new->is_disabled && !old->is_disabled)
		model__limits_look(change->model, peer_find(change->model->setup.peers, old->name));
	one->has_keepalive = true;
	one->keepalive_s = new->keepalive_s;
	if (!old || !roster_same_endpoint(old, new)) {
		whole->has_endpoint_name = true;
		whole->endpoint_name = new->endpoint.name;
		one->has_endpoint = new->endpoint.address.port != 0;
		one->endpoint = new->endpoint.address;
	}
	if (!old && !new->no_preshared_key) {
		one->has_preshared_key = true;
		randombytes_buf(one->preshared_key, sizeof(one->preshared_key));
	}
	one->replaces_ips = old && !roster_same_ips(old, new);
	for (uint32_t i = 0;
	     err == 0 && (!old || one->replaces_ips) && i < new->n_addresses + new->n_networks; i++)
		err = peer_set_add_ip(&change->set, &new->ips[i], false);
	return err;
}

/* Those that the text does not have: first, since others may get what they hold. */
static int take_out(struct change *change, FILE *out, struct model_error *error)
{
	for (uint32_t i = 0; i < change->old.n; i++) {
		const struct roster_peer *old = &change->old.peers[i];
		struct peer_set_one *one;

		if (roster_find(&change->new, old->name))
			continue;
		if (strcmp(old->name, change->guarded) == 0)
			return model__session_refuse(old->name, change->params, error);
		fprintf(out, "- peer %s: not in the file\n", old->name);
		change->n_removed++;
		one = append(change, old->public_key, old);
		if (!one)
			return refuse_memory(error);
		one->is_removed = true;
	}
	return 0;
}

/* Whoever works on the hub through the tunnel must not cut himself off. */
static bool cuts(const struct change *change, const struct roster_peer *old,
                 const struct roster_peer *new)
{
	return strcmp(old->name, change->guarded) == 0
	       && ((new->is_disabled && !old->is_disabled) || !roster_same_ips(old, new));
}

static int compare(struct change *change, FILE *out, struct model_error *error)
{
	for (uint32_t i = 0; i < change->new.n; i++) {
		const struct roster_peer *new = &change->new.peers[i];
		const struct roster_peer *old = roster_find(&change->old, new->name);
		int err;

		if (old && roster_equal(old, new))
			continue;
		err = old ? check_keys(change, old, new, error) : 0;
		if (err < 0)
			return err;
		if (old && cuts(change, old, new))
			return model__session_refuse(old->name, change->params, error);
		if (old) {
			change->n_changed++;
			roster_write_difference(old, new, out);
		} else {
			change->n_added++;
			fputs("+ peer ", out);
			roster_write_one(new, out);
			fputc('\n', out);
		}
		if (put(change, old, new) < 0)
			return refuse_memory(error);
	}
	return 0;
}

/* ---- who is new --------------------------------------------------------------------------------- */

static int compare_keys(const void *a, const void *b)
{
	return memcmp((*(const struct peer *const *)a)->row.public_key,
	              (*(const struct peer *const *)b)->row.public_key, 32);
}

static int find_key(const void *key, const void *peer)
{
	return memcmp(key, (*(const struct peer *const *)peer)->row.public_key, 32);
}

/* A name or key that somebody has is not new: not in a set, whose peers are named by their keys. */
static int check_new(const struct change *change, const struct roster_peer *new,
                     const struct peer **peers, uint32_t n, struct model_error *error)
{
	const struct model_setup *setup = &change->model->setup;
	const struct peer *named = peer_find(setup->peers, new->name);
	const struct peer *const *holder = bsearch(new->public_key, peers, n, sizeof(struct peer *),
	                                           find_key);
	char text[400];

	if (named && named->row.declared) {
		snprintf(text, sizeof(text),
		         "is declared in %s:%d; change it there and restart weir",
		         setup->config->path, named->line);
		return refuse_at(change, new, -EPERM, "declared", text, error);
	}
	if (named || !holder)
		return 0;
	snprintf(text, sizeof(text),
	         "public_key belongs to peer \"%s\": remove that one first (a peer keeps its name)",
	         (*holder)->row.name);
	return refuse_at(change, new, -EEXIST, "exists", text, error);
}

static int check_all_new(const struct change *change, struct model_error *error)
{
	const struct peer_table *table = change->model->setup.peers;
	uint32_t n = peer_count(table);
	const struct peer **peers = calloc((size_t)n + 1, sizeof(struct peer *));
	int err = 0;

	if (!peers)
		return refuse_memory(error);
	n = peers_after(table, "", peers, n);
	qsort(peers, n, sizeof(struct peer *), compare_keys);
	for (uint32_t i = 0; err == 0 && i < change->new.n; i++)
		err = check_new(change, &change->new.peers[i], peers, n, error);
	free(peers);
	return err;
}

/* ---- all of it ---------------------------------------------------------------------------------- */

/* Refused with the line of the peer that it is about. */
static int apply(struct change *change, struct model_error *error)
{
	struct model_peer_set by = {.set = &change->set, .asks_nobody = change->is_plan};
	struct peer_error why = {0};
	int err = model__peer_set_apply(change->model, &by, &why);
	const struct roster_peer *at = roster_find(&change->new, by.refused);

	if (err == 0)
		return 0;
	if (!at)
		return model__refuse(error, err, why.code, NULL, "%s: %s%s%s%s", change->file,
		                     by.refused[0] ? "peer \"" : "", by.refused,
		                     by.refused[0] ? "\": " : "", why.text);
	if (why.field && strcmp(why.field, "allowed_ips") == 0) {
		char text[sizeof(why.text) + 16];

		snprintf(text, sizeof(text), "addresses and networks%s",
		         why.text + strlen("allowed_ips"));
		return refuse_at(change, at, err, why.code, text, error);
	}
	return refuse_at(change, at, err, why.code, why.text, error);
}

/* Those of peers that are new, this once. */
static json_t *preshared_keys(const struct change *change)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < change->set.n_ones; i++) {
		const struct peer_set_one *one = &change->set.ones[i];
		char key[BASE_KEY_BASE64_LEN];

		if (!one->has_preshared_key)
			continue;
		base_key_to_base64(key, one->preshared_key);
		json_array_append_new(array, json_pack("{s:s, s:s}", "name", one->whole->name,
		                                       "preshared_key", key));
		base_wipe(key, sizeof(key));
	}
	return array;
}

/* Some names of many. */
static int refuse_missing(const struct change *change, struct model_error *error)
{
	char names[200] = "";
	size_t len = 0;
	uint32_t n_left = change->n_removed;

	for (uint32_t i = 0; i < change->set.n_ones && change->set.ones[i].is_removed; i++) {
		const char *name = change->set.ones[i].whole->name;

		if (len + strlen(name) + 8 > sizeof(names))
			break;
		len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s",
		                        len > 0 ? ", " : "", name);
		n_left--;
	}
	if (n_left > 0)
		snprintf(names + len, sizeof(names) - len, ", ...");
	return model__refuse(error, -EPERM, "would_remove", "remove",
	                     "%s does not have %u of the peers: %s; --remove removes them",
	                     change->file, change->n_removed, names);
}

static int change_make(struct change *change, FILE *out, struct model_error *error)
{
	int err = change_begin(change, error);

	if (err == 0)
		err = take_out(change, out, error);
	if (err == 0)
		err = compare(change, out, error);
	if (err == 0)
		err = check_all_new(change, error);
	if (err == 0 && !change->is_plan && change->n_removed > 0
	    && !json_is_true(json_object_get(change->params, "remove")))
		err = refuse_missing(change, error);
	return err < 0 ? err : apply(change, error);
}

static int change_run(struct change *change, json_t **result, struct model_error *error)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int err = out ? change_make(change, out, error) : refuse_memory(error);

	if (err < 0) {
		if (out)
			fclose(out);
		free(text);
	} else {
		*result = json_pack("{s:i, s:i, s:i, s:o, s:o, s:b}", "added", (int)change->n_added,
		                    "removed", (int)change->n_removed, "changed",
		                    (int)change->n_changed, "difference",
		                    model__stream_json(out, &text), "preshared_keys",
		                    change->set.is_dry_run ? json_array() : preshared_keys(change),
		                    "dry_run", change->set.is_dry_run);
	}
	change_end(change);
	return err;
}

int model__peer_plan(struct model *model, const json_t *params, json_t **result,
                     struct model_error *error)
{
	struct change change = {
		.model = model, .params = params, .is_plan = true, .set.is_dry_run = true};

	return change_run(&change, result, error);
}

int model__peer_apply(struct model *model, const json_t *params, json_t **result,
                      struct model_error *error)
{
	struct change change = {
		.model = model,
		.params = params,
		.set.is_dry_run = json_is_true(json_object_get(params, "dry_run")),
	};

	return change_run(&change, result, error);
}

int model__peer_export(struct model *model, const json_t *params, json_t **result,
                       struct model_error *error)
{
	struct roster roster;
	char *text = NULL;
	size_t len = 0;
	FILE *out;

	(void)params;
	if (roster_of_table(model->setup.peers, model->setup.config, &roster) < 0)
		return refuse_memory(error);
	out = open_memstream(&text, &len);
	if (out)
		roster_write(&roster, out);
	roster_fini(&roster);
	if (!out)
		return refuse_memory(error);
	*result = json_pack("{s:o}", "roster", model__stream_json(out, &text));
	return 0;
}
