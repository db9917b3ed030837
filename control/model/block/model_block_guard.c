/* Who would be cut off by a drop list that is to come: who administers the hub, and which peers. */
#include "base_bytes.h"
#include "model_block.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PEERS_SHOWN_MAX 100U

static bool covers(const struct block_prefix *prefix, const struct base_ip *ip)
{
	struct base_prefix address = {.ip = *ip, .len = (uint8_t)(base_ip_len(ip->family) * 8)};
	struct block_prefix inner;

	if (ip->family == BASE_IP_NONE)
		return false;
	inner = block_prefix_make(&address, BLOCK_ALL);
	return block_prefix_contains(prefix, &inner);
}

/* One of prefixes[n] that has the address in it, or NULL. */
static const struct block_prefix *find_cover(const struct block_prefix *prefixes, size_t n,
                                             const struct base_ip *ip)
{
	for (size_t i = 0; i < n; i++)
		if (covers(&prefixes[i], ip))
			return &prefixes[i];
	return NULL;
}

/* An address that must not be dropped, and whose it is. */
static int keep(const struct block_prefix *prefixes, size_t n, const struct base_ip *ip,
                const char *whose, struct model_error *error)
{
	const struct block_prefix *prefix = find_cover(prefixes, n, ip);
	char buf[BASE_PREFIX_STRLEN];
	char address[BASE_IP_STRLEN];
	struct base_prefix text;

	if (!prefix)
		return 0;
	text = block_prefix_text(prefix);
	return model__refuse(error, -EPERM, "locked_out", NULL,
	                     "%s has %s in it, %s; give --force if that is meant",
	                     base_prefix_format(&text, buf), base_ip_format(ip, address), whose);
}

static int keep_hub(const struct config *config, const struct block_prefix *prefixes, size_t n,
                    struct model_error *error)
{
	int err = 0;

	for (uint32_t i = 0; i < config->n_tunnel && err == 0; i++)
		err = keep(prefixes, n, &config->tunnel[i].ip, "the hub's own address", error);
	for (uint32_t i = 0; i < config->n_ports && err == 0; i++) {
		const struct config_port *port = &config->ports[i];

		for (uint32_t j = 0; j < port->n_addresses && err == 0; j++)
			err = keep(prefixes, n, &port->addresses[j].ip, "the hub's own address",
			           error);
		for (uint32_t j = 0; j < port->n_gateways && err == 0; j++)
			err = keep(prefixes, n, &port->gateways[j], "the hub's gateway", error);
	}
	return err;
}

/* "192.0.2.9 50000 198.51.100.1 22", as ssh tells its children. */
static int keep_session(const json_t *params, const struct block_prefix *prefixes, size_t n,
                        struct model_error *error)
{
	const char *session = json_string_value(json_object_get(params, "session"));
	char client[BASE_IP_STRLEN];
	struct base_ip ip;

	if (!session || sscanf(session, "%45s", client) != 1 || base_ip_parse(client, &ip) < 0)
		return 0;
	return keep(prefixes, n, &ip, "from where this command is given", error);
}

int model__block_guard(const struct model *model, const json_t *params,
                       const struct block_prefix *prefixes, size_t n, uint8_t scopes,
                       struct model_error *error)
{
	int err;

	if (json_is_true(json_object_get(params, "force")))
		return 0;
	for (size_t i = 0; i < n; i++)
		if (prefixes[i].len == 0)
			return model__refuse(error, -EPERM, "locked_out", NULL,
			                     "%s is everybody; give --force if that is meant",
			                     prefixes[i].family == BASE_IP_V4 ? "0.0.0.0/0"
			                                                      : "::/0");
	err = keep_hub(model->setup.config, prefixes, n, error);
	if (err == 0 && (scopes & BLOCK_ALL))
		err = keep_session(params, prefixes, n, error);
	return err;
}

/* ---- peers -------------------------------------------------------------------------------------- */

/* Which lengths occur, so that only these are tried. */
struct lengths {
	bool occurs[2][129]; /* IPv4, IPv6 */
};

static bool holds(const struct block_prefix *prefixes, size_t n, const struct block_prefix *wanted)
{
	size_t low = 0;
	size_t high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (block_prefix_compare(&prefixes[middle], wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < n && block_prefix_compare(&prefixes[low], wanted) == 0;
}

static bool is_hit(const struct lengths *lengths, const struct block_prefix *prefixes, size_t n,
                   const struct base_ip *ip)
{
	for (unsigned int len = 0; len <= base_ip_len(ip->family) * 8; len++) {
		struct base_prefix prefix = {.ip = *ip, .len = (uint8_t)len};
		struct block_prefix wanted = block_prefix_make(&prefix, BLOCK_ALL);

		if (lengths->occurs[ip->family == BASE_IP_V6][len] && holds(prefixes, n, &wanted))
			return true;
	}
	return false;
}

json_t *model__block_peers(const struct model *model, const struct block_prefix *prefixes, size_t n,
                           uint8_t scopes)
{
	json_t *array = json_array();
	struct lengths lengths = {0};
	const struct peer *peer = NULL;

	if (!(scopes & (BLOCK_ALL | BLOCK_WIREGUARD)))
		return array;
	for (size_t i = 0; i < n; i++)
		lengths.occurs[prefixes[i].family == BASE_IP_V6][prefixes[i].len] = true;
	while ((peer = peer_after(model->setup.peers, peer ? peer->row.name : "")) != NULL
	       && json_array_size(array) < PEERS_SHOWN_MAX) {
		struct store_peer_state state = peer_state(model->setup.peers, peer);

		if (state.endpoint.port != 0 && is_hit(&lengths, prefixes, n, &state.endpoint.ip))
			json_array_append_new(array, json_pack("{s:s, s:o}", "peer", peer->row.name,
			                                       "endpoint",
			                                       model__endpoint(&state.endpoint)));
	}
	return array;
}
