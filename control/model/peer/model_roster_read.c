/* Text to roster, and peers to roster. */
#include "base_bytes.h"
#include "base_text.h"
#include "grant_object.h"
#include "grant_part.h"
#include "model_method.h"
#include "model_roster.h"
#include "peer_name.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEY_MUST      "a public key of 44 characters in base64"
#define ADDRESS_MUST  "an address in a tunnel net of the hub (hub.tunnel), each once"
#define NETWORK_MUST  "a network such as \"10.1.0.0/16\", outside the tunnel nets, each once"
#define ENDPOINT_MUST "\"HOST:PORT\", a name or an address with a port"
#define SECONDS_MUST  "0 to 65535 seconds (0 turns it off)"
#define SWITCH_MUST   "true or false"

/* Where reading is. */
struct reading {
	struct roster *roster;
	const struct config *config;
};

/* ---- a peer's addresses and networks ------------------------------------------------------------ */

static bool is_address(const struct config *config, const struct base_prefix *prefix)
{
	if (prefix->len != base_ip_len(prefix->ip.family) * 8)
		return false;
	for (uint32_t i = 0; i < config->n_tunnel; i++)
		if (base_prefix_contains(&config->tunnel[i], &prefix->ip))
			return true;
	return false;
}

/* Addresses to the front, both parts in order. */
static void sort_ips(const struct config *config, struct roster_peer *peer, uint32_t n)
{
	uint32_t n_addresses = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct base_prefix ip = peer->ips[i];

		if (!is_address(config, &ip))
			continue;
		peer->ips[i] = peer->ips[n_addresses];
		peer->ips[n_addresses++] = ip;
	}
	peer->n_addresses = n_addresses;
	peer->n_networks = n - n_addresses;
	if (n_addresses > 0)
		qsort(peer->ips, n_addresses, sizeof(*peer->ips), peer_prefix_compare);
	if (peer->n_networks > 0)
		qsort(peer->ips + n_addresses, peer->n_networks, sizeof(*peer->ips),
		      peer_prefix_compare);
}

int roster_addresses_set(struct roster_peer *peer, const struct base_prefix *addresses, uint32_t n)
{
	struct base_prefix *ips = calloc((size_t)n + peer->n_networks + 1, sizeof(*ips));

	if (!ips)
		return -ENOMEM;
	if (n > 0)
		memcpy(ips, addresses, n * sizeof(*ips));
	if (peer->n_networks > 0)
		memcpy(ips + n, peer->ips + peer->n_addresses, peer->n_networks * sizeof(*ips));
	free(peer->ips);
	peer->ips = ips;
	peer->n_addresses = n;
	peer->has_addresses = true;
	return 0;
}

/* ---- the list ----------------------------------------------------------------------------------- */

static struct roster_peer *append(struct roster *roster)
{
	if (roster->n == roster->max) {
		uint32_t max = roster->max == 0 ? 16 : 2 * roster->max;
		struct roster_peer *grown = reallocarray(roster->peers, max, sizeof(*grown));

		if (!grown)
			return NULL;
		roster->peers = grown;
		roster->max = max;
	}
	memset(&roster->peers[roster->n], 0, sizeof(*roster->peers));
	return &roster->peers[roster->n++];
}

void roster_fini(struct roster *roster)
{
	for (uint32_t i = 0; i < roster->n; i++)
		free(roster->peers[i].ips);
	free(roster->peers);
	memset(roster, 0, sizeof(*roster));
}

static int compare_name(const void *name, const void *peer)
{
	return strcmp(name, ((const struct roster_peer *)peer)->name);
}

struct roster_peer *roster_find(const struct roster *roster, const char *name)
{
	if (roster->n == 0)
		return NULL;
	return bsearch(name, roster->peers, roster->n, sizeof(*roster->peers), compare_name);
}

/* ---- of the table ------------------------------------------------------------------------------- */

static int fill(const struct peer *peer, const struct config *config, struct roster_peer *out)
{
	const struct store_peer *row = &peer->row;
	uint32_t n = 0;

	memcpy(out->name, row->name, sizeof(out->name));
	memcpy(out->public_key, row->public_key, sizeof(out->public_key));
	out->has_addresses = true;
	out->no_preshared_key = !row->has_preshared_key;
	out->whole_subnet = row->whole_subnet;
	out->expected_up = row->expected_wall_ns != 0;
	out->is_disabled = row->disabled;
	out->keepalive_s = row->keepalive_s;
	out->client_keepalive_s = row->client_keepalive_s;
	if (peer->name)
		out->endpoint.name = peer->name->is.name;
	out->ips = calloc((size_t)row->n_addresses + row->n_allowed_ips + 1, sizeof(*out->ips));
	if (!out->ips)
		return -ENOMEM;
	for (uint32_t i = 0; i < row->n_addresses; i++)
		out->ips[n++] = (struct base_prefix){
			.ip = row->addresses[i],
			.len = (uint8_t)(base_ip_len(row->addresses[i].family) * 8)};
	for (uint32_t i = 0; i < row->n_allowed_ips; i++)
		out->ips[n++] = row->allowed_ips[i];
	sort_ips(config, out, n);
	return 0;
}

int roster_of_table(const struct peer_table *table, const struct config *config, struct roster *out)
{
	const struct peer *peer = peer_after(table, "");
	int err = 0;

	memset(out, 0, sizeof(*out));
	for (; err == 0 && peer; peer = peer_after(table, peer->row.name)) {
		struct roster_peer *one = peer->row.declared ? NULL : append(out);

		if (one)
			err = fill(peer, config, one);
		else if (!peer->row.declared)
			err = -ENOMEM;
	}
	if (err < 0)
		roster_fini(out);
	return err;
}

/* ---- of a text ---------------------------------------------------------------------------------- */

static int read_key(const struct grant_object *place, const config_setting_t *setting,
                    struct roster_peer *peer)
{
	const char *text = config_setting_get_string(setting);

	if (!text || base_key_from_base64(peer->public_key, text) < 0)
		return grant_object_wrong(place, setting, "is", text, KEY_MUST);
	return 0;
}

static int read_switch(const struct grant_object *place, const config_setting_t *setting, bool is,
                       bool *out)
{
	if (config_setting_type(setting) != CONFIG_TYPE_BOOL)
		return grant_object_wrong(place, setting, "is", config_setting_get_string(setting),
		                          SWITCH_MUST);
	*out = (config_setting_get_bool(setting) != 0) == is;
	return 0;
}

static int read_seconds(const struct grant_object *place, const config_setting_t *setting,
                        uint16_t *out)
{
	long long number = config_setting_get_int64(setting);
	int type = config_setting_type(setting);
	char text[32];

	if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
		return grant_object_wrong(place, setting, "is", config_setting_get_string(setting),
		                          SECONDS_MUST);
	if (type == CONFIG_TYPE_INT)
		number = config_setting_get_int(setting);
	snprintf(text, sizeof(text), "%lld", number);
	if (number < 0 || number > UINT16_MAX)
		return grant_object_wrong(place, setting, "is", text, SECONDS_MUST);
	*out = (uint16_t)number;
	return 0;
}

static int read_endpoint(const struct grant_object *place, const config_setting_t *setting,
                         struct roster_peer *peer)
{
	const char *text = config_setting_get_string(setting);

	if (!text || model__endpoint_parse(text, &peer->endpoint) < 0)
		return grant_object_wrong(place, setting, "is", text, ENDPOINT_MUST);
	return 0;
}

/* One of the two lists, behind what is there of the other. */
static int read_ips(const struct grant_object *place, const config_setting_t *setting,
                    bool as_addresses, const struct config *config, struct roster_peer *peer)
{
	int n = grant_object_list_len(place, setting, (int)STORE_NETWORKS_MAX);
	uint32_t n_before = peer->n_addresses + peer->n_networks;
	struct base_prefix *grown;

	if (n < 0)
		return n;
	grown = reallocarray(peer->ips, (size_t)n_before + (size_t)n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	peer->ips = grown;
	for (int i = 0; i < n; i++) {
		const config_setting_t *one = config_setting_get_elem(setting, (unsigned int)i);
		const char *text = config_setting_get_string(one);
		struct base_prefix *ip = &grown[n_before + (uint32_t)i];

		if (!text || base_prefix_parse(text, ip) < 0
		    || is_address(config, ip) != as_addresses
		    || (as_addresses && strchr(text, '/')))
			return grant_object_wrong(place, one, "has", text,
			                          as_addresses ? ADDRESS_MUST : NETWORK_MUST);
		base_prefix_mask(ip);
	}
	*(as_addresses ? &peer->n_addresses : &peer->n_networks) = (uint32_t)n;
	peer->has_addresses |= as_addresses;
	return 0;
}

static int read_one(const struct grant_object *place, const config_setting_t *setting,
                    const struct config *config, struct roster_peer *peer)
{
	const char *key = config_setting_name(setting);

	if (strcmp(key, "name") == 0)
		return 0;
	if (strcmp(key, "public_key") == 0)
		return read_key(place, setting, peer);
	if (strcmp(key, "addresses") == 0)
		return read_ips(place, setting, true, config, peer);
	if (strcmp(key, "networks") == 0)
		return read_ips(place, setting, false, config, peer);
	if (strcmp(key, "endpoint") == 0)
		return read_endpoint(place, setting, peer);
	if (strcmp(key, "keepalive") == 0)
		return read_seconds(place, setting, &peer->keepalive_s);
	if (strcmp(key, "client_keepalive") == 0)
		return read_seconds(place, setting, &peer->client_keepalive_s);
	if (strcmp(key, "whole_subnet") == 0)
		return read_switch(place, setting, true, &peer->whole_subnet);
	if (strcmp(key, "expected_up") == 0)
		return read_switch(place, setting, true, &peer->expected_up);
	if (strcmp(key, "enabled") == 0)
		return read_switch(place, setting, false, &peer->is_disabled);
	if (strcmp(key, "preshared_key") == 0)
		return read_switch(place, setting, false, &peer->no_preshared_key);
	return grant_object_unknown(place, setting,
	                            "name, public_key, addresses, networks, endpoint, keepalive, "
	                            "client_keepalive, whole_subnet, expected_up, enabled, "
	                            "preshared_key");
}

static int read_peer(struct grant_object *place, const config_setting_t *object, void *arg)
{
	const struct reading *reading = arg;
	struct roster_peer *peer = append(reading->roster);
	int err;

	if (!peer)
		return -ENOMEM;
	peer->line = grant_object_line(object);
	peer->client_keepalive_s = PEER_CLIENT_KEEPALIVE_S;
	err = grant_object_begin(place, object, peer->name);
	for (int i = 0; err == 0 && i < config_setting_length(object); i++)
		err = read_one(place, config_setting_get_elem(object, (unsigned int)i),
		               reading->config, peer);
	if (err == 0 && !config_setting_get_member(object, "public_key"))
		err = grant_object_missing(place, object, "public_key", KEY_MUST);
	if (err == 0)
		sort_ips(reading->config, peer, peer->n_addresses + peer->n_networks);
	return err;
}

/* ---- each once ---------------------------------------------------------------------------------- */

static int compare_peers(const void *a, const void *b)
{
	return strcmp(((const struct roster_peer *)a)->name, ((const struct roster_peer *)b)->name);
}

/* Two that have the same, the later one of the text is wrong. */
static int refuse_twice(const struct roster_peer *a, const struct roster_peer *b, const char *what,
                        struct grant_error *error)
{
	const struct roster_peer *second = a->line > b->line ? a : b;

	error->line = second->line;
	return grant_refuse(error, -EEXIST, "exists", NULL,
	                    "peer \"%s\": %s is that of peer \"%s\" in line %d, too", second->name,
	                    what, (second == a ? b : a)->name, (second == a ? b : a)->line);
}

struct held {
	const void *bytes; /* [32] of a key */
	struct base_prefix ip;
	const struct roster_peer *peer;
};

static int compare_keys(const void *a, const void *b)
{
	return memcmp(((const struct held *)a)->bytes, ((const struct held *)b)->bytes, 32);
}

static int compare_ips(const void *a, const void *b)
{
	return peer_prefix_compare(&((const struct held *)a)->ip, &((const struct held *)b)->ip);
}

static int refuse_memory(struct grant_error *error)
{
	return grant_refuse(error, -ENOMEM, "failed", NULL, "not enough memory");
}

static int check_keys(const struct roster *roster, struct grant_error *error)
{
	struct held *held = calloc((size_t)roster->n + 1, sizeof(*held));
	int err = 0;

	if (!held)
		return refuse_memory(error);
	for (uint32_t i = 0; i < roster->n; i++)
		held[i] = (struct held){.bytes = roster->peers[i].public_key,
		                        .peer = &roster->peers[i]};
	qsort(held, roster->n, sizeof(*held), compare_keys);
	for (uint32_t i = 1; err == 0 && i < roster->n; i++)
		if (compare_keys(&held[i - 1], &held[i]) == 0)
			err = refuse_twice(held[i - 1].peer, held[i].peer, "public_key", error);
	free(held);
	return err;
}

int roster_check_ips(const struct roster *roster, struct grant_error *error)
{
	char what[BASE_PREFIX_STRLEN];
	struct held *held;
	size_t n = 0;
	int err = 0;

	for (uint32_t i = 0; i < roster->n; i++)
		n += (size_t)roster->peers[i].n_addresses + roster->peers[i].n_networks;
	held = calloc(n + 1, sizeof(*held));
	if (!held)
		return refuse_memory(error);
	n = 0;
	for (uint32_t i = 0; i < roster->n; i++) {
		const struct roster_peer *peer = &roster->peers[i];

		for (uint32_t k = 0; k < peer->n_addresses + peer->n_networks; k++)
			held[n++] = (struct held){.ip = peer->ips[k], .peer = peer};
	}
	qsort(held, n, sizeof(*held), compare_ips);
	for (size_t i = 1; err == 0 && i < n; i++)
		if (compare_ips(&held[i - 1], &held[i]) == 0)
			err = refuse_twice(held[i - 1].peer, held[i].peer,
			                   base_prefix_format(&held[i].ip, what), error);
	free(held);
	return err;
}

static int check_once(struct roster *roster, struct grant_error *error)
{
	int err = 0;

	if (roster->n > 0)
		qsort(roster->peers, roster->n, sizeof(*roster->peers), compare_peers);
	for (uint32_t i = 1; err == 0 && i < roster->n; i++)
		if (compare_peers(&roster->peers[i - 1], &roster->peers[i]) == 0)
			err = refuse_twice(&roster->peers[i - 1], &roster->peers[i], "name", error);
	return err < 0 ? err : check_keys(roster, error);
}

/* ---- the text ----------------------------------------------------------------------------------- */

static int read_root(const config_setting_t *root, struct reading *reading,
                     struct grant_error *error)
{
	int err = 0;

	for (int i = 0; err == 0 && i < config_setting_length(root); i++) {
		const config_setting_t *setting = config_setting_get_elem(root, (unsigned int)i);

		if (strcmp(config_setting_name(setting), "peers") == 0) {
			err = grant_object_list(setting, "peer", read_peer, reading, error);
			continue;
		}
		error->line = grant_object_line(setting);
		err = grant_refuse(error, -EINVAL, "invalid", NULL,
		                   "there is no key \"%.40s\", only peers",
		                   config_setting_name(setting));
	}
	if (err == 0 && config_setting_length(root) == 0) {
		error->line = 1;
		err = grant_refuse(error, -EINVAL, "invalid", NULL,
		                   "peers is missing, must be a list: ( { name = \"...\"; ... } )");
	}
	return err;
}

int roster_read(const char *text, const struct config *config, struct roster *out,
                struct grant_error *error)
{
	struct reading reading = {out, config};
	config_t parsed;
	int err;

	memset(out, 0, sizeof(*out));
	memset(error, 0, sizeof(*error));
	config_init(&parsed);
	err = grant_object_parse(&parsed, text, "roster", error);
	if (err == 0)
		err = read_root(config_root_setting(&parsed), &reading, error);
	config_destroy(&parsed);
	if (err == 0)
		err = check_once(out, error);
	if (err == 0)
		err = roster_check_ips(out, error);
	if (err < 0)
		roster_fini(out);
	return err;
}
