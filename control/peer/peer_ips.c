/* A peer's addresses and allowed IPs: who holds what, and what a new peer is given. */
#include "base_bytes.h"
#include "peer_pool.h"
#include "peer_set.h"
#include "peer_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct base_prefix host_prefix(const struct base_ip *ip)
{
	struct base_prefix prefix = {.ip = *ip, .len = (uint8_t)(base_ip_len(ip->family) * 8)};

	return prefix;
}

/* Its addresses come first. */
static struct base_prefix prefix_at(const struct store_peer *row, uint32_t i)
{
	return i < row->n_addresses ? host_prefix(&row->addresses[i])
	                            : row->allowed_ips[i - row->n_addresses];
}

/* Look for a prefix of somebody else than id: exactly this one, or any that overlaps it. */
struct search {
	uint32_t id;
	const struct base_prefix *exactly; /* NULL = any */
	uint32_t found;
	struct base_prefix theirs;
};

static int look_at(void *arg, const struct base_prefix *prefix, uint32_t id)
{
	struct search *search = arg;

	if (id == search->id || (search->exactly && !base_prefix_equal(search->exactly, prefix)))
		return 0;
	search->found = id;
	search->theirs = *prefix;
	return 1;
}

/* The peer, other than id, that has exactly this prefix, or NULL. */
static const struct peer *holder(const struct peer_table *table, uint32_t id,
                                 const struct base_prefix *prefix)
{
	struct search search = {.id = id, .exactly = prefix};

	if (wg_allowedips_each_overlapping(table->held, prefix, look_at, &search) == 0)
		return NULL;
	return table->by_id[search.found];
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

/* Has a peer, other than id, a prefix overlapping this one? */
static bool overlapping(const struct peer_table *table, uint32_t id,
                        const struct base_prefix *prefix, struct search *search)
{
	*search = (struct search){.id = id};
	return wg_allowedips_each_overlapping(table->held, prefix, look_at, search) != 0;
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
static int check_network(const struct peer_table *table, uint32_t id,
                         const struct base_prefix *prefix, struct peer_error *error)
{
	char text[BASE_PREFIX_STRLEN];
	char other[BASE_PREFIX_STRLEN];
	struct search search;
	const struct peer *peer;
	int err = check_hub(table->setup.config, prefix, error);

	if (err < 0 || !overlapping(table, id, prefix, &search))
		return err;
	/* one of a set is not in the table yet */
	peer = search.found < table->setup.config->max_peers ? table->by_id[search.found] : NULL;
	return peer__refuse(error, -EEXIST, "exists", "allowed_ips",
	                    "allowed_ips: %s overlaps %s, which belongs to peer \"%s\"",
	                    base_prefix_format(prefix, text),
	                    base_prefix_format(&search.theirs, other),
	                    peer ? peer->row.name : "(new)");
}

/* net: the tunnel net in which it is an address, or NULL. */
static int check_place(const struct peer_table *table, uint32_t id,
                       const struct base_prefix *prefix, const struct base_prefix *net,
                       struct peer_error *error)
{
	char text[BASE_PREFIX_STRLEN];

	if (!net)
		return check_network(table, id, prefix, error);
	base_prefix_format(prefix, text);
	if (base_ip_equal(&net->ip, &prefix->ip))
		return peer__refuse(error, -EINVAL, "invalid", "allowed_ips",
		                    "allowed_ips: %s is the hub's own address", text);
	if (!peer_pool_allows(net, &prefix->ip))
		return peer__refuse(error, -EINVAL, "invalid", "allowed_ips",
		                    "allowed_ips: %s is the first or last address of its net",
		                    text);
	return 0;
}

int peer__check_ip(const struct peer_table *table, uint32_t id, const struct base_prefix *prefix,
                   struct peer_error *error)
{
	return check_place(table, id, prefix, net_of(table->setup.config, prefix), error);
}

bool peer__is_address(const struct peer_table *table, const struct base_prefix *prefix)
{
	return net_of(table->setup.config, prefix) != NULL;
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
	return check_place(table, row->id, prefix, net, error);
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
	if (row->n_allowed_ips == STORE_NETWORKS_MAX)
		return peer__refuse(error, -E2BIG, "invalid", "allowed_ips",
		                    "allowed_ips: more than %u networks", STORE_NETWORKS_MAX);
	row->allowed_ips[row->n_allowed_ips++] = *prefix;
	return 0;
}

/* What covers an address of the net. */
struct pool_search {
	const struct peer_table *table;
	const struct base_prefix *net;
	const struct store_peer *row; /* who is to get an address, and is not in the table yet */
	struct base_prefix *by;
};

static int covers(void *arg, const struct base_prefix *prefix, uint32_t id)
{
	struct pool_search *search = arg;

	(void)id;
	if (prefix->len <= search->net->len)
		return 0;
	*search->by = *prefix;
	return 1;
}

static bool is_used(void *arg, const struct base_ip *ip, struct base_prefix *by)
{
	struct pool_search *search = arg;
	struct base_prefix host = host_prefix(ip);

	search->by = by;
	for (uint32_t i = 0; i < search->row->n_allowed_ips; i++)
		if (base_prefix_contains(&search->row->allowed_ips[i], ip)
		    && covers(search, &search->row->allowed_ips[i], 0) != 0)
			return true;
	return wg_allowedips_each_overlapping(search->table->held, &host, covers, search) != 0;
}

/* Give an address of tunnel net number t, unless the peer has one there. */
static int give_address(const struct peer_table *table, struct store_peer *row, uint32_t t,
                        struct peer_error *error)
{
	const struct base_prefix *net = &table->setup.config->tunnel[t];
	struct pool_search search = {.table = table, .net = net, .row = row};
	struct base_prefix masked = *net;
	struct base_ip *given = &row->addresses[row->n_addresses];
	char text[BASE_PREFIX_STRLEN];

	for (uint32_t i = 0; i < row->n_addresses; i++)
		if (base_prefix_contains(net, &row->addresses[i]))
			return 0;
	if (row->n_addresses == BASE_ARRAY_LEN(row->addresses))
		return 0;
	if (peer_pool_pick(net, &table->pool_from[t], is_used, &search, given) == 0) {
		table->pool_from[t] = *given;
		row->n_addresses++;
		return 0;
	}
	base_prefix_mask(&masked);
	return peer__refuse(error, -ENOSPC, "full", NULL, "tunnel net %s has no free address",
	                    base_prefix_format(&masked, text));
}

/* Is one of ips there twice, or the row's already? Ordered, since they may be 131,072. */
static int check_twice(const struct store_peer *row, const struct base_prefix *ips, uint32_t n_ips,
                       struct peer_error *error)
{
	struct base_prefix *sorted = calloc(n_ips, sizeof(*sorted));
	const struct base_prefix *twin = NULL;
	char text[BASE_PREFIX_STRLEN];
	int err = 0;

	if (!sorted)
		return peer__refuse(error, -ENOMEM, "failed", NULL, "not enough memory");
	memcpy(sorted, ips, n_ips * sizeof(*sorted));
	qsort(sorted, n_ips, sizeof(*sorted), peer_prefix_compare);
	for (uint32_t i = 1; !twin && i < n_ips; i++)
		if (base_prefix_equal(&sorted[i - 1], &sorted[i]))
			twin = &sorted[i];
	for (uint32_t i = 0; !twin && i < row->n_addresses + row->n_allowed_ips; i++) {
		struct base_prefix own = prefix_at(row, i);

		twin = bsearch(&own, sorted, n_ips, sizeof(*sorted), peer_prefix_compare);
	}
	if (twin)
		err = peer__refuse(error, -EINVAL, "invalid", "allowed_ips",
		                   "allowed_ips: %s is there twice",
		                   base_prefix_format(twin, text));
	free(sorted);
	return err;
}

int peer__add_ips(const struct peer_table *table, struct store_peer *row,
                  const struct base_prefix *ips, uint32_t n_ips, struct peer_error *error)
{
	size_t n_most = (size_t)row->n_allowed_ips + n_ips;
	struct base_prefix *grown;
	int err = n_ips > 0 ? check_twice(row, ips, n_ips, error) : 0;

	if (err < 0 || n_ips == 0)
		return err;
	grown = reallocarray(row->allowed_ips, n_most, sizeof(*grown));
	if (!grown)
		return peer__refuse(error, -ENOMEM, "failed", NULL, "not enough memory");
	row->allowed_ips = grown;
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
		err = give_address(table, row, i, error);
	return err;
}

int peer__refuse_networks(const struct peer_table *table, const struct base_prefix *ips,
                          uint32_t n_ips, struct peer_error *error)
{
	char text[BASE_PREFIX_STRLEN];

	for (uint32_t i = 0; i < n_ips; i++)
		if (!net_of(table->setup.config, &ips[i]))
			return peer__refuse(
				error, -EPERM, "not_approved", "allowed_ips",
				"allowed_ips: %s is a network behind the peer, which only a "
				"gateway has; --gateway approves it",
				base_prefix_format(&ips[i], text));
	return 0;
}

int peer__refuse_addresses(const struct peer_table *table, const struct base_prefix *ips,
                           uint32_t n_ips, struct peer_error *error)
{
	char text[BASE_PREFIX_STRLEN];

	for (uint32_t i = 0; i < n_ips; i++)
		if (net_of(table->setup.config, &ips[i]))
			return peer__refuse(error, -EINVAL, "invalid", "networks",
			                    "networks: %s is an address in the hub's tunnel net, "
			                    "not a network behind the peer",
			                    base_prefix_format(&ips[i], text));
	return 0;
}

/* Take out what the row holds, of its prefixes in order the first n. */
static void let_go(struct peer_table *table, const struct store_peer *row, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct base_prefix prefix = prefix_at(row, i);

		(void)wg_allowedips_remove(table->held, &prefix, row->id);
	}
	/* Addresses below those given last may be free again. */
	memset(table->pool_from, 0, CONFIG_TUNNEL_MAX * sizeof(*table->pool_from));
}

void peer__let_go(struct peer_table *table, const struct store_peer *row)
{
	let_go(table, row, row->n_addresses + row->n_allowed_ips);
}

int peer__hold(struct peer_table *table, const struct store_peer *row)
{
	for (uint32_t i = 0; i < row->n_addresses + row->n_allowed_ips; i++) {
		struct base_prefix prefix = prefix_at(row, i);

		if (wg_allowedips_insert(table->held, &prefix, row->id, NULL) < 0) {
			let_go(table, row, i);
			return -ENOMEM;
		}
	}
	return 0;
}
