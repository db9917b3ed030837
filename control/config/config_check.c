/* What must hold between the values of a file: nothing twice, nets that do not overlap, addresses
 * that fit their net. */
#include "base_bytes.h"
#include "config_key.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The setting to blame: root.section.key, or as much of the way as there is. */
static const config_setting_t *at(const config_setting_t *root, const char *section, int element,
                                  const char *key)
{
	const config_setting_t *setting = config_setting_get_member(root, section);
	const config_setting_t *inner;

	if (!setting)
		return root;
	if (element >= 0)
		setting = config_setting_get_elem(setting, (unsigned int)element);
	inner = config_setting_is_group(setting) ? config_setting_get_member(setting, key) : NULL;
	return inner ? inner : setting;
}

/* True for a net's first address (its name) and, IPv4, its last (broadcast). */
static bool is_net_or_broadcast(const struct base_prefix *prefix)
{
	struct base_prefix low = *prefix;
	bool ones = prefix->ip.family == BASE_IP_V4;

	if (!base_prefix_mask(&low))
		return true;
	for (size_t bit = prefix->len; bit < base_ip_len(prefix->ip.family) * 8; bit++)
		ones = ones && (prefix->ip.bytes[bit / 8] >> (7 - bit % 8) & 1);
	return ones;
}

static int check_tunnel(const struct config *config, const config_setting_t *root,
                        const struct config_error *error)
{
	const config_setting_t *where = at(root, "hub", -1, "tunnel");
	char a[BASE_PREFIX_STRLEN];
	char b[BASE_PREFIX_STRLEN];

	for (uint32_t i = 0; i < config->n_tunnel; i++) {
		const struct base_prefix *net = &config->tunnel[i];

		if (is_net_or_broadcast(net))
			return config__fail(error, where,
			                    "hub: tunnel has %s, must be the hub's own address in "
			                    "the net, not the net's first%s",
			                    base_prefix_format(net, a),
			                    net->ip.family == BASE_IP_V4 ? " or last" : "");
		for (uint32_t j = 0; j < i; j++)
			if (base_prefix_overlap(net, &config->tunnel[j]))
				return config__fail(error, where,
				                    "hub: tunnel has %s and %s, which overlap",
				                    base_prefix_format(&config->tunnel[j], a),
				                    base_prefix_format(net, b));
	}
	return 0;
}

static int check_cores(const struct config *config, const config_setting_t *root,
                       const struct config_error *error)
{
	const config_setting_t *where = at(root, "dataplane", -1, "cores");
	uint32_t n = 0;

	while (n < ABI_WORKERS_MAX && config->cores[n] >= 0)
		n++;
	if (n != 0 && n != config->n_workers)
		return config__fail(error, where,
		                    "dataplane: cores is a list of %u, must name one CPU for each "
		                    "of the %u workers",
		                    n, config->n_workers);
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < i; j++)
			if (config->cores[i] == config->cores[j])
				return config__fail(error, where,
				                    "dataplane: cores has CPU %d twice, must be "
				                    "one for each worker",
				                    config->cores[i]);
	return 0;
}

/* "bb:dd.f" or "dddd:bb:dd.f", hexadecimal. */
static bool is_pci_address(const char *text)
{
	static const char *const shapes[] = {"xx:xx.x", "xxxx:xx:xx.x"};

	for (size_t s = 0; s < BASE_ARRAY_LEN(shapes); s++) {
		const char *shape = shapes[s];
		size_t i = 0;

		if (strlen(text) != strlen(shape))
			continue;
		while (shape[i] != '\0'
		       && (shape[i] == 'x' ? strchr("0123456789abcdefABCDEF", text[i]) != NULL
		                           : text[i] == shape[i]))
			i++;
		if (shape[i] == '\0')
			return true;
	}
	return false;
}

static int check_device(const struct config_port *port, const config_setting_t *where,
                        const struct config_error *error)
{
	static const char *const wanted[] = {
		[ABI_DRIVER_AF_PACKET] = "the name of an interface",
		[ABI_DRIVER_PCI] = "a PCI address such as \"0000:3b:00.0\"",
		[ABI_DRIVER_VDEV] = "a DPDK virtual device such as \"net_null0\"",
	};
	bool good = false;

	switch (port->driver) {
	case ABI_DRIVER_AF_PACKET:
		good = strlen(port->device) < 16 && !strpbrk(port->device, "/:,");
		break;
	case ABI_DRIVER_PCI:
		good = is_pci_address(port->device);
		break;
	case ABI_DRIVER_VDEV:
		good = strncmp(port->device, "net_", 4) == 0;
		break;
	}
	return good ? 0
	            : config__fail(error, where, "port \"%s\": device is \"%s\", must be %s",
	                           port->name, port->device, wanted[port->driver]);
}

static int check_gateways(const struct config_port *port, const config_setting_t *where,
                          const struct config_error *error)
{
	static const struct base_prefix link_local = {
		.ip = {.bytes = {0xfe, 0x80}, .family = BASE_IP_V6}, .len = 10};
	char text[BASE_IP_STRLEN];

	for (uint32_t i = 0; i < port->n_gateways; i++) {
		const struct base_ip *gateway = &port->gateways[i];
		bool reached = base_prefix_contains(&link_local, gateway);

		for (uint32_t j = 0; j < port->n_addresses; j++)
			reached = reached
			          || (base_prefix_contains(&port->addresses[j], gateway)
			              && !base_ip_equal(&port->addresses[j].ip, gateway));
		if (!reached)
			return config__fail(error, where,
			                    "port \"%s\": gateways has \"%s\", must be another "
			                    "address in a net of this port's addresses",
			                    port->name, base_ip_format(gateway, text));
	}
	return 0;
}

/* The port's addresses against the tunnel nets. */
static int check_port_nets(const struct config *config, const struct config_port *port,
                           const config_setting_t *where, const struct config_error *error)
{
	char a[BASE_PREFIX_STRLEN];
	char b[BASE_PREFIX_STRLEN];

	for (uint32_t i = 0; i < port->n_addresses; i++)
		for (uint32_t j = 0; j < config->n_tunnel; j++)
			if (base_prefix_overlap(&port->addresses[i], &config->tunnel[j]))
				return config__fail(
					error, where,
					"port \"%s\": addresses has \"%s\", which overlaps the "
					"tunnel net %s (hub.tunnel)",
					port->name, base_prefix_format(&port->addresses[i], a),
					base_prefix_format(&config->tunnel[j], b));
	return 0;
}

/* Port i against the ports before it. */
static int check_port_twins(const struct config *config, uint32_t i, const config_setting_t *root,
                            const struct config_error *error)
{
	const struct config_port *port = &config->ports[i];

	if (strcmp(port->tap, config->tunnel_device) == 0)
		return config__fail(error, at(root, "ports", (int)i, "tap"),
		                    "port \"%s\": tap is \"%s\", which is hub.tunnel_device",
		                    port->name, port->tap);
	if (port->driver == ABI_DRIVER_AF_PACKET
	    && (strcmp(port->device, port->tap) == 0
	        || strcmp(port->device, config->tunnel_device) == 0))
		return config__fail(error, at(root, "ports", (int)i, "device"),
		                    "port \"%s\": device is \"%s\", which weir makes itself "
		                    "(tap, hub.tunnel_device)",
		                    port->name, port->device);
	for (uint32_t j = 0; j < i; j++) {
		const struct config_port *other = &config->ports[j];
		unsigned int line = config_setting_source_line(at(root, "ports", (int)j, "name"));

		if (strcmp(port->name, other->name) == 0)
			return config__fail(error, at(root, "ports", (int)i, "name"),
			                    "port \"%s\": name is taken by the port in line %u",
			                    port->name, line);
		if (strcmp(port->device, other->device) == 0)
			return config__fail(error, at(root, "ports", (int)i, "device"),
			                    "port \"%s\": device is \"%s\", which port \"%s\" "
			                    "(line %u) has",
			                    port->name, port->device, other->name, line);
		if (port->tap[0] != '\0' && strcmp(port->tap, other->tap) == 0)
			return config__fail(error, at(root, "ports", (int)i, "tap"),
			                    "port \"%s\": tap is \"%s\", which port \"%s\" "
			                    "(line %u) has",
			                    port->name, port->tap, other->name, line);
	}
	return 0;
}

static int check_ports(const struct config *config, const config_setting_t *root,
                       const struct config_error *error)
{
	for (uint32_t i = 0; i < config->n_ports; i++) {
		const struct config_port *port = &config->ports[i];
		const config_setting_t *addresses = at(root, "ports", (int)i, "addresses");
		const config_setting_t *gateways = at(root, "ports", (int)i, "gateways");

		if (check_device(port, at(root, "ports", (int)i, "device"), error) < 0
		    || check_port_twins(config, i, root, error) < 0
		    || check_port_nets(config, port, addresses, error) < 0
		    || check_gateways(port, gateways, error) < 0)
			return -EINVAL;
		if (port->tap[0] == '\0' && port->n_addresses > 0)
			return config__fail(error, addresses,
			                    "port \"%s\": addresses are put on the TAP, but tap is "
			                    "\"\": give one or leave the addresses out",
			                    port->name);
		/* WireGuard's data header, tag, UDP and IPv6 round an inner packet: 80 bytes. */
		if (port->mtu < config->tunnel_mtu + 80)
			return config__fail(error, at(root, "ports", (int)i, "mtu"),
			                    "port \"%s\": mtu is %u, must be at least %u "
			                    "(hub.tunnel_mtu and 80 bytes round it)",
			                    port->name, port->mtu, config->tunnel_mtu + 80);
	}
	return 0;
}

static int check_edge(const struct config *config, const config_setting_t *root,
                      const struct config_error *error)
{
	char text[BASE_ENDPOINT_STRLEN];

	if (config->n_http > 0 && config->n_https == 0)
		return config__fail(error, at(root, "edge", -1, "http"),
		                    "edge: http redirects to https, but https has no address");
	for (uint32_t i = 0; i < config->n_https + config->n_http; i++) {
		bool http = i >= config->n_https;
		const struct base_endpoint *one = http ? &config->http[i - config->n_https]
		                                       : &config->https[i];

		for (uint32_t j = 0; j < i; j++) {
			const struct base_endpoint *other =
				j >= config->n_https ? &config->http[j - config->n_https]
						     : &config->https[j];

			if (base_endpoint_equal(one, other))
				return config__fail(error,
				                    at(root, "edge", -1, http ? "http" : "https"),
				                    "edge: %s has \"%s\" a second time",
				                    http ? "http" : "https",
				                    base_endpoint_format(one, text));
		}
	}
	return 0;
}

/* ---- peers: names, keys and allowed IPs are each one's own ---- */

/* Order of things of the file: by what they are, and then as they stand in it, which is the order of the
 * pointers, since all lie in config->peers or in config->allowed_ips. */
static int compare_by_place(const void *a, const void *b)
{
	return (a > b) - (a < b);
}

static int compare_names(const void *a, const void *b)
{
	const struct config_peer *x = *(const struct config_peer *const *)a;
	const struct config_peer *y = *(const struct config_peer *const *)b;
	int order = strcmp(x->name, y->name);

	return order != 0 ? order : compare_by_place(x, y);
}

static int compare_keys(const void *a, const void *b)
{
	const struct config_peer *x = *(const struct config_peer *const *)a;
	const struct config_peer *y = *(const struct config_peer *const *)b;
	int order = memcmp(x->public_key, y->public_key, sizeof(x->public_key));

	return order != 0 ? order : compare_by_place(x, y);
}

static int compare_prefixes(const void *a, const void *b)
{
	const struct base_prefix *x = *(const struct base_prefix *const *)a;
	const struct base_prefix *y = *(const struct base_prefix *const *)b;
	int order = memcmp(x, y, sizeof(*x));

	return order != 0 ? order : compare_by_place(x, y);
}

static bool same_name(const void *a, const void *b)
{
	return strcmp(((const struct config_peer *)a)->name, ((const struct config_peer *)b)->name)
	       == 0;
}

static bool same_key(const void *a, const void *b)
{
	return memcmp(((const struct config_peer *)a)->public_key,
	              ((const struct config_peer *)b)->public_key, 32)
	       == 0;
}

static bool same_prefix(const void *a, const void *b)
{
	return base_prefix_equal(a, b);
}

/* Of the things that stand in the file a second time the first one, or NULL; *twin gets the one that
 * stands before it. Orders items[n]. */
static const void *find_twin(const void **items, size_t n,
                             int (*compare)(const void *, const void *),
                             bool (*same)(const void *, const void *), const void **twin)
{
	const void *found = NULL;

	qsort(items, n, sizeof(*items), compare);
	for (size_t i = 1; i < n; i++) {
		if (!same(items[i - 1], items[i]) || (found != NULL && items[i] > found))
			continue;
		found = items[i];
		*twin = items[i - 1];
	}
	return found;
}

/* The peer to which this allowed IP belongs. */
static const struct config_peer *peer_of(const struct config *config,
                                         const struct base_prefix *prefix)
{
	const struct config_peer *peer = config->peers;

	while (peer->n_allowed_ips == 0 || prefix >= peer->allowed_ips + peer->n_allowed_ips)
		peer++;
	return peer;
}

static const config_setting_t *at_peer(const struct config *config, const config_setting_t *root,
                                       const struct config_peer *peer, const char *name)
{
	return at(root, "peers", (int)(peer - config->peers), name);
}

static int check_identities(const struct config *config, const config_setting_t *root,
                            const void **items, const struct config_error *error)
{
	const struct config_peer *peer;
	const void *twin = NULL;

	for (uint32_t i = 0; i < config->n_peers; i++)
		items[i] = &config->peers[i];
	peer = find_twin(items, config->n_peers, compare_names, same_name, &twin);
	if (peer != NULL)
		return config__fail(error, at_peer(config, root, peer, "name"),
		                    "peer \"%s\": name is taken by the peer in line %d", peer->name,
		                    ((const struct config_peer *)twin)->line);
	peer = find_twin(items, config->n_peers, compare_keys, same_key, &twin);
	if (peer != NULL)
		return config__fail(error, at_peer(config, root, peer, "public_key"),
		                    "peer \"%s\": public_key is that of peer \"%s\" (line %d)",
		                    peer->name, ((const struct config_peer *)twin)->name,
		                    ((const struct config_peer *)twin)->line);
	return 0;
}

static int check_not_the_hubs(const struct config *config, const config_setting_t *root,
                              const struct config_peer *peer, const struct base_prefix *prefix,
                              const struct config_error *error)
{
	char text[BASE_PREFIX_STRLEN];

	for (uint32_t t = 0; t < config->n_tunnel; t++)
		if (prefix->len == base_ip_len(prefix->ip.family) * 8
		    && base_ip_equal(&prefix->ip, &config->tunnel[t].ip))
			return config__fail(error, at_peer(config, root, peer, "allowed_ips"),
			                    "peer \"%s\": allowed_ips has \"%s\", which is "
			                    "the hub's own address (hub.tunnel)",
			                    peer->name, base_prefix_format(prefix, text));
	return 0;
}

/* None is the hub's own, none is another's. */
static int check_allowed_ips(const struct config *config, const config_setting_t *root,
                             const void **items, const struct config_error *error)
{
	const struct base_prefix *prefix;
	const struct config_peer *peer, *other;
	const void *twin = NULL;
	char text[BASE_PREFIX_STRLEN];
	size_t n = 0;

	for (uint32_t i = 0; i < config->n_peers; i++)
		for (uint32_t k = 0; k < config->peers[i].n_allowed_ips; k++) {
			prefix = &config->peers[i].allowed_ips[k];
			if (check_not_the_hubs(config, root, &config->peers[i], prefix, error) < 0)
				return -EINVAL;
			items[n++] = prefix;
		}
	prefix = find_twin(items, n, compare_prefixes, same_prefix, &twin);
	if (prefix == NULL)
		return 0;
	peer = peer_of(config, prefix);
	other = peer_of(config, twin);
	base_prefix_format(prefix, text);
	if (peer == other)
		return config__fail(error, at_peer(config, root, peer, "allowed_ips"),
		                    "peer \"%s\": allowed_ips has \"%s\" twice", peer->name, text);
	return config__fail(error, at_peer(config, root, peer, "allowed_ips"),
	                    "peer \"%s\": allowed_ips has \"%s\", which peer \"%s\" (line %d) has",
	                    peer->name, text, other->name, other->line);
}

static int check_preshared_keys(const struct config *config, const config_setting_t *root,
                                const struct config_error *error)
{
	if (config->preshared_key != CONFIG_PSK_REQUIRED)
		return 0;
	for (uint32_t i = 0; i < config->n_peers; i++)
		if (!config->peers[i].has_preshared_key)
			return config__fail(
				error, at(root, "peers", (int)i, "name"),
				"peer \"%s\": preshared_key_file is missing, must name a "
				"file that wg genpsk wrote (hub.preshared_key = "
				"\"optional\" lets peers do without)",
				config->peers[i].name);
	return 0;
}

static int check_peers(const struct config *config, const config_setting_t *root,
                       const struct config_error *error)
{
	size_t n = config->n_peers;
	const void **items;
	int err;

	for (uint32_t i = 0; i < config->n_peers; i++)
		n += config->peers[i].n_allowed_ips;
	items = calloc(n + 1, sizeof(*items));
	if (items == NULL)
		return config__fail(error, config_setting_get_member(root, "peers"),
		                    "peers: not enough memory");
	err = check_identities(config, root, items, error);
	if (err == 0)
		err = check_allowed_ips(config, root, items, error);
	free(items);
	return err;
}

static int check_limits(const struct config *config, const config_setting_t *root,
                        const struct config_error *error)
{
	const struct limit_field *stray = limit_spec_stray(&config->limits);

	if (!stray)
		return 0;
	return config__fail(error, at(root, "limits", -1, stray->name),
	                    "limits: %s stands alone, must be beside the rate that it is of",
	                    stray->name);
}

int config__check(const struct config *config, const config_setting_t *root,
                  const struct config_error *error)
{
	int (*const checks[])(const struct config *, const config_setting_t *,
	                      const struct config_error *) = {
		check_tunnel, check_cores, check_ports,          check_edge,
		check_limits, check_peers, check_preshared_keys,
	};

	for (size_t i = 0; i < BASE_ARRAY_LEN(checks); i++)
		if (checks[i](config, root, error) < 0)
			return -EINVAL;
	return 0;
}
