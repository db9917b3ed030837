/* The roster to text, and what of it differs. Reading: model_roster_read.c. */
#include "base_text.h"
#include "grant_object.h"
#include "model_roster.h"

#include <stdlib.h>
#include <string.h>

/* ---- values, as the text has them --------------------------------------------------------------- */

static void put_list(FILE *out, const struct base_prefix *ips, uint32_t n, bool as_addresses)
{
	char text[BASE_PREFIX_STRLEN];

	fputc('[', out);
	for (uint32_t i = 0; i < n; i++)
		fprintf(out, "%s\"%s\"", i ? ", " : " ",
		        as_addresses ? base_ip_format(&ips[i].ip, text)
		                     : base_prefix_format(&ips[i], text));
	fputs(" ]", out);
}

static void put_public_key(FILE *out, const struct roster_peer *peer)
{
	char key[BASE_KEY_BASE64_LEN];

	base_key_to_base64(key, peer->public_key);
	grant_object_put_string(out, key);
}

static void put_addresses(FILE *out, const struct roster_peer *peer)
{
	put_list(out, peer->ips, peer->n_addresses, true);
}

static void put_networks(FILE *out, const struct roster_peer *peer)
{
	put_list(out, peer->ips + peer->n_addresses, peer->n_networks, false);
}

static void put_endpoint(FILE *out, const struct roster_peer *peer)
{
	char text[BASE_HOST_PORT_STRLEN + BASE_ENDPOINT_STRLEN] = "none";

	if (peer->endpoint.name.port != 0)
		base_host_port_format(&peer->endpoint.name, text);
	else if (peer->endpoint.address.port != 0)
		base_endpoint_format(&peer->endpoint.address, text);
	grant_object_put_string(out, text);
}

static void put_keepalive(FILE *out, const struct roster_peer *peer)
{
	fprintf(out, "%u", peer->keepalive_s);
}

static void put_client_keepalive(FILE *out, const struct roster_peer *peer)
{
	fprintf(out, "%u", peer->client_keepalive_s);
}

static void put_whole_subnet(FILE *out, const struct roster_peer *peer)
{
	fputs(peer->whole_subnet ? "true" : "false", out);
}

static void put_expected_up(FILE *out, const struct roster_peer *peer)
{
	fputs(peer->expected_up ? "true" : "false", out);
}

static void put_enabled(FILE *out, const struct roster_peer *peer)
{
	fputs(peer->is_disabled ? "false" : "true", out);
}

static void put_preshared_key(FILE *out, const struct roster_peer *peer)
{
	fputs(peer->no_preshared_key ? "false" : "true", out);
}

/* ---- the keys ----------------------------------------------------------------------------------- */

static bool is_always(const struct roster_peer *peer)
{
	(void)peer;
	return true;
}

static bool has_addresses(const struct roster_peer *peer)
{
	return peer->has_addresses;
}

static bool has_networks(const struct roster_peer *peer)
{
	return peer->n_networks > 0;
}

static bool has_endpoint(const struct roster_peer *peer)
{
	return peer->endpoint.name.port != 0 || peer->endpoint.address.port != 0;
}

static bool has_keepalive(const struct roster_peer *peer)
{
	return peer->keepalive_s != 0;
}

static bool has_client_keepalive(const struct roster_peer *peer)
{
	return peer->client_keepalive_s != PEER_CLIENT_KEEPALIVE_S;
}

static bool has_whole_subnet(const struct roster_peer *peer)
{
	return peer->whole_subnet;
}

static bool is_expected_up(const struct roster_peer *peer)
{
	return peer->expected_up;
}

static bool is_disabled(const struct roster_peer *peer)
{
	return peer->is_disabled;
}

static bool has_no_preshared_key(const struct roster_peer *peer)
{
	return peer->no_preshared_key;
}

static bool same_key(const struct roster_peer *old, const struct roster_peer *new)
{
	return memcmp(old->public_key, new->public_key, sizeof(old->public_key)) == 0;
}

static bool same_list(const struct base_prefix *a, uint32_t n_a, const struct base_prefix *b,
                      uint32_t n_b)
{
	for (uint32_t i = 0; n_a == n_b && i < n_a; i++)
		if (!base_prefix_equal(&a[i], &b[i]))
			return false;
	return n_a == n_b;
}

static bool same_addresses(const struct roster_peer *old, const struct roster_peer *new)
{
	return !new->has_addresses
	       || same_list(old->ips, old->n_addresses, new->ips, new->n_addresses);
}

static bool same_networks(const struct roster_peer *old, const struct roster_peer *new)
{
	return same_list(old->ips + old->n_addresses, old->n_networks, new->ips + new->n_addresses,
	                 new->n_networks);
}

bool roster_same_ips(const struct roster_peer *old, const struct roster_peer *new)
{
	return same_addresses(old, new) && same_networks(old, new);
}

bool roster_same_endpoint(const struct roster_peer *old, const struct roster_peer *new)
{
	return old->endpoint.name.port
	       == new->endpoint.name.port &&strcmp(old->endpoint.name.host, new->endpoint.name.host)
	       == 0;
}

static bool same_keepalive(const struct roster_peer *old, const struct roster_peer *new)
{
	return old->keepalive_s == new->keepalive_s;
}

static bool same_client_keepalive(const struct roster_peer *old, const struct roster_peer *new)
{
	return old->client_keepalive_s == new->client_keepalive_s;
}

static bool same_whole_subnet(const struct roster_peer *old, const struct roster_peer *new)
{
	return old->whole_subnet == new->whole_subnet;
}

static bool same_expected_up(const struct roster_peer *old, const struct roster_peer *new)
{
	return old->expected_up == new->expected_up;
}

static bool same_enabled(const struct roster_peer *old, const struct roster_peer *new)
{
	return old->is_disabled == new->is_disabled;
}

static bool same_preshared_key(const struct roster_peer *old, const struct roster_peer *new)
{
	return old->no_preshared_key == new->no_preshared_key;
}

/* In the order of the text. */
static const struct {
	const char *key;
	bool (*is_written)(const struct roster_peer *peer);
	void (*put)(FILE *out, const struct roster_peer *peer);
	bool (*is_same)(const struct roster_peer *old, const struct roster_peer *new);
} keys[] = {
	{"public_key", is_always, put_public_key, same_key},
	{"addresses", has_addresses, put_addresses, same_addresses},
	{"networks", has_networks, put_networks, same_networks},
	{"endpoint", has_endpoint, put_endpoint, roster_same_endpoint},
	{"keepalive", has_keepalive, put_keepalive, same_keepalive},
	{"client_keepalive", has_client_keepalive, put_client_keepalive, same_client_keepalive},
	{"whole_subnet", has_whole_subnet, put_whole_subnet, same_whole_subnet},
	{"expected_up", is_expected_up, put_expected_up, same_expected_up},
	{"enabled", is_disabled, put_enabled, same_enabled},
	{"preshared_key", has_no_preshared_key, put_preshared_key, same_preshared_key},
};

/* ---- the whole ---------------------------------------------------------------------------------- */

void roster_write_one(const struct roster_peer *peer, FILE *out)
{
	fputc('{', out);
	grant_object_put_key(out, "name", peer->name);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (!keys[i].is_written(peer))
			continue;
		fprintf(out, " %s = ", keys[i].key);
		keys[i].put(out, peer);
		fputc(';', out);
	}
	fputs(" }", out);
}

static void put_peer(const void *peer, FILE *out)
{
	roster_write_one(peer, out);
}

void roster_write(const struct roster *roster, FILE *out)
{
	fputs("# Peers of a weir hub. Nothing in it is secret.\n", out);
	grant_object_put_list(out, "peers", roster->peers, roster->n, sizeof(*roster->peers),
	                      put_peer);
}

bool roster_equal(const struct roster_peer *old, const struct roster_peer *new)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!keys[i].is_same(old, new))
			return false;
	return true;
}

void roster_write_difference(const struct roster_peer *old, const struct roster_peer *new,
                             FILE *out)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (keys[i].is_same(old, new))
			continue;
		fprintf(out, "~ peer %s: %s ", new->name, keys[i].key);
		keys[i].put(out, old);
		fputs(" -> ", out);
		keys[i].put(out, new);
		fputc('\n', out);
	}
}
