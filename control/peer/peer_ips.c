/* A peer's addresses and allowed IPs: who holds what, and what a new peer is given. */
#include "base_bytes.h"
#include "peer_pool.h"
#include "peer_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct base_prefix host_prefix(const struct base_ip *ip)
{
	struct base_prefix prefix = {.ip = *ip, .len = (uint8_t)(base_ip_len(ip->family) * 8)};

	return prefix;
}

/* True when the peer has exactly this prefix. */
static bool has(const struct store_peer *row, const struct base_prefix *prefix)
{
	for (uint32_t i = 0; i < row->n_addresses; i++) {
		struct base_prefix own = host_prefix(&row->addresses[i]);

		if (base_prefix_equal(&own, prefix))
			return true;
	}
	for (uint32_t i = 0; i < row->n_allowed_ips; i++)
		if (base_prefix_equal(&row->allowed_ips[i], prefix))
			return true;
	return false;
}

/* The peer, other than id, that has exactly this prefix, or NULL. */
static const struct peer *holder(const struct peer_table *table, uint32_t id,
                                 const struct base_prefix *prefix)
{
	for (uint32_t i = 0; i < table->n; i++)
		if (table->by_name[i]->row.id != id && has(&table->by_name[i]->row, prefix))
			return table->by_name[i];
	return NULL;
}

/* The tunnel net in which the prefix is one address, or NULL. */
static const struct base_prefix *net_of(const struct config *config,
                                        const struct base_prefix *prefix)
{
	if (prefix->len != base_ip_len(prefix->ip.family) * 8)
		return NULL;
	for (uint32_t i = 0; i < config->n_tunnel; i++)
		if (base_prefix_contains(&config->tunnel[i], &prefix->ip))
			return &config->tunnel[i];
	return NULL;
}

/* A peer, other than id, that has a prefix overlapping this one, or NULL. */
static const struct peer *overlapping(const struct peer_table *table, uint32_t id,
                                      const struct base_prefix *prefix, struct base_prefix *theirs)
{
	for (uint32_t i = 0; i < table->n; i++) {
		const struct store_peer *row = &table->by_name[i]->row;

		for (uint32_t k = 0; row->id != id && k < row->n_allowed_ips; k++) {
			*theirs = row->allowed_ips[k];
			if (base_prefix_overlap(theirs, prefix))
				return table->by_name[i];
		}
		for (uint32_t k = 0; row->id != id && k < row->n_addresses; k++) {
			*theirs = host_prefix(&row->addresses[k]);
			if (base_prefix_overlap(theirs, prefix))
				return table->by_name[i];
		}
	}
	return NULL;
}

/* What holds everything, this host, one link or many: nobody has that behind a peer. */
static bool is_unroutable(const struct base_prefix *prefix)
{
	static const char *const texts[] = {"0.0.0.0/8",   "127.0.0.0/8", "169.254.0.0/16",
	                                    "224.0.0.0/3", "::/127",      "fe80::/10",
	                                    "ff00::/8"};
	struct base_prefix net;

	for (size_t i = 0; i < BASE_ARRAY_LEN(texts); i++)
		if (base_prefix_parse(texts[i], &net) == 0 && base_prefix_overlap(&net, prefix))
			return true;
	return false;
}

/* A network behind a peer, against the hub: its tunnel nets, and where it is reached from outside. */
static int check_hub(const struct config *config, const struct base_prefix *prefix,
                     struct peer_error *error)
{
	char text[BASE_PREFIX_STRLEN];
	char other[BASE_PREFIX_STRLEN];

	base_prefix_format(prefix, text);
	if (is_unroutable(prefix))
		return peer__refuse(error, -EINVAL, "invalid", "allowed_ips",
		                    "allowed_ips: %s cannot be behind a peer: must be a unicast "
		                    "network, never everything",
		                    text);
	for (uint32_t i = 0; i < config->n_tunnel; i++) {
		struct base_prefix net = config->tunnel[i];

		base_prefix_mask(&net);
		if (base_prefix_overlap(&net, prefix))
			return peer__refuse(error, -EINVAL, "invalid", "allowed_ips",
			                    "allowed_ips: %s overlaps the hub's tunnel net %s "
			                    "(hub.tunnel)",
			                    text, base_prefix_format(&net, other));
	}
	for (uint32_t i = 0; i < config->n_ports; i++)
		for (uint32_t k = 0; k < config->ports[i].n_addresses; k++)
			if (base_prefix_contains(prefix, &config->ports[i].addresses[k].ip))
				return peer__refuse(
					error, -EINVAL, "invalid", "allowed_ips",
					"allowed_ips: %s covers the hub's address %s (port \"%s\")",
					text,
					base_ip_format(&config->ports[i].addresses[k].ip, other),
					config->ports[i].name);
	return 0;
}

/* A network behind a peer, against the hub and all other peers. */
static int check_network(const struct peer_table *table, const struct store_peer *row,
                         const struct base_prefix *prefix, struct peer_error *error)
{
	char text[BASE_PREFIX_STRLEN];
	char other[BASE_PREFIX_STRLEN];
	struct base_prefix theirs;
	int err = check_hub(table->setup.config, prefix, error);
	const struct peer *peer = overlapping(table, row->id, prefix, &theirs);

	if (err < 0 || !peer)
		return err;
	return peer__refuse(error, -EEXIST, "exists", "allowed_ips",
	                    "allowed_ips: %s overlaps %s, which belongs to peer \"%s\"",
	                    base_prefix_format(prefix, text), base_prefix_format(&theirs, other),
	                    peer->row.name);
}

static int check_free(const struct peer_table *table, const struct store_peer *row,
                      const struct base_prefix *prefix, const struct base_prefix *net,
                      struct peer_error *error)
{
	char text[BASE_PREFIX_STRLEN];
	const struct peer *other = holder(table, row->id, prefix);

	base_prefix_format(prefix, text);
	if (other)
		return peer__refuse(error, -EEXIST, "exists", "allowed_ips",
		                    "allowed_ips: %s belongs to peer \"%s\"", text,
		                    other->row.name);
	if (has(row, prefix))
		return peer__refuse(error, -EINVAL, "invalid", "allowed_ips",
		                    "allowed_ips: %s is there twice", text);
	if (!net)
		return check_network(table, row, prefix, error);
	if (base_ip_equal(&net->ip, &prefix->ip))
		return peer__refuse(error, -EINVAL, "invalid", "allowed_ips",
		                    "allowed_ips: %s is the hub's own address", text);
	if (!peer_pool_allows(net, &prefix->ip))
		return peer__refuse(error, -EINVAL, "invalid", "allowed_ips",
		                    "allowed_ips: %s is the first or last address of its net",
		                    text);
	return 0;
}

static int add_prefix(const struct peer_table *table, struct store_peer *row,
                      const struct base_prefix *prefix, struct peer_error *error)
{
	const struct base_prefix *net = net_of(table->setup.config, prefix);
	int err = check_free(table, row, prefix, net, error);

	if (err < 0)
		return err;
	if (net && row->n_addresses < BASE_ARRAY_LEN(row->addresses)) {
		row->addresses[row->n_addresses++] = prefix->ip;
		return 0;
	}
	if (row->n_allowed_ips == BASE_ARRAY_LEN(row->allowed_ips))
		return peer__refuse(error, -E2BIG, "invalid", "allowed_ips",
		                    "allowed_ips: more than %zu networks",
		                    BASE_ARRAY_LEN(row->allowed_ips));
	row->allowed_ips[row->n_allowed_ips++] = *prefix;
	return 0;
}

/* Every prefix that a peer has, and this row's own, for the pool. Caller frees. */
static struct base_prefix *all_used(const struct peer_table *table, const struct store_peer *row,
                                    size_t *n_out)
{
	size_t per_peer = CONFIG_TUNNEL_MAX + CONFIG_ALLOWED_MAX;
	struct base_prefix *used;
	size_t n = 0;
	size_t max = per_peer;

	for (uint32_t i = 0; i < table->n; i++)
		max += table->by_name[i]->row.n_addresses + table->by_name[i]->row.n_allowed_ips;
	used = calloc(max, sizeof(*used));
	if (!used)
		return NULL;
	for (uint32_t i = 0; i <= table->n; i++) {
		const struct store_peer *one = i < table->n ? &table->by_name[i]->row : row;

		if (i < table->n && one->id == row->id)
			continue;
		for (uint32_t k = 0; k < one->n_addresses; k++)
			used[n++] = host_prefix(&one->addresses[k]);
		for (uint32_t k = 0; k < one->n_allowed_ips; k++)
			used[n++] = one->allowed_ips[k];
	}
	*n_out = n;
	return used;
}

/* Give an address of the net, unless the peer has one there. */
static int give_address(const struct peer_table *table, struct store_peer *row,
                        const struct base_prefix *net, struct peer_error *error)
{
	struct base_prefix masked = *net;
	char text[BASE_PREFIX_STRLEN];
	struct base_prefix *used;
	size_t n;
	int err;

	for (uint32_t i = 0; i < row->n_addresses; i++)
		if (base_prefix_contains(net, &row->addresses[i]))
			return 0;
	if (row->n_addresses == BASE_ARRAY_LEN(row->addresses))
		return 0;
	used = all_used(table, row, &n);
	err = used ? peer_pool_pick(net, used, n, &row->addresses[row->n_addresses]) : -ENOMEM;
	free(used);
	if (err == 0) {
		row->n_addresses++;
		return 0;
	}
	base_prefix_mask(&masked);
	if (err == -ENOSPC)
		return peer__refuse(error, err, "full", NULL, "tunnel net %s has no free address",
		                    base_prefix_format(&masked, text));
	return peer__refuse(error, err, "failed", NULL, "not enough memory");
}

int peer__add_ips(const struct peer_table *table, struct store_peer *row,
                  const struct base_prefix *ips, uint32_t n_ips, struct peer_error *error)
{
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < n_ips; i++)
		err = add_prefix(table, row, &ips[i], error);
	return err;
}

int peer__give_addresses(const struct peer_table *table, struct store_peer *row,
                         struct peer_error *error)
{
	const struct config *config = table->setup.config;
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < config->n_tunnel; i++)
		err = give_address(table, row, &config->tunnel[i], error);
	return err;
}
