/* The kill switch of a wg-quick file: nft lines that let out what goes through the tunnel, to this
 * host, or as UDP to the hub, and nothing else, in IPv4 and IPv6. It holds while the tunnel is up,
 * dead or alive; the persisting one also when it is down.
 *
 * The hub's addresses stand in it as numbers, since no name can be resolved behind it. When the hub
 * is told by name (hub.endpoint), the peer resolves the name when the tunnel comes up, just before the
 * table is loaded; the persisting one cannot, and needs an address. */
#include "model_method.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TABLE "inet weir_%i"

/* The chain up to the hub's addresses. ARP is not seen by inet; neighbour discovery and a lease are
 * what the link needs to stay alive, and reach no farther than the link. */
#define CHAIN                                                                                      \
	"add table " TABLE "; delete table " TABLE "; table " TABLE                                \
	" { chain output { type filter hook output priority 0; policy drop;"                       \
	" oifname { \"lo\", \"%i\" } accept;"                                                      \
	" icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept;"      \
	" ip daddr 255.255.255.255 udp dport 67 accept; ip6 daddr ff02::1:2 udp dport 547 accept;"

struct out {
	char *buf;
	size_t size;
	size_t len;
};

/* "%i" is for wg-quick, so what holds it is an argument and never the format. */
__attribute__((format(printf, 2, 3))) static void put(struct out *out, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(out->buf + out->len, out->size - out->len, format, args);
	va_end(args);
	if (len > 0)
		out->len += (size_t)len;
	if (out->len >= out->size)
		out->len = out->size - 1;
}

static void put_hub(struct out *out, const struct base_ip *ip, uint16_t port)
{
	char text[BASE_IP_STRLEN];

	put(out, " %s daddr %s udp dport %u accept;", ip->family == BASE_IP_V4 ? "ip" : "ip6",
	    base_ip_format(ip, text), port);
}

static bool is_port_address(const struct config *config, const struct base_ip *ip)
{
	for (uint32_t i = 0; i < config->n_ports; i++)
		for (uint32_t k = 0; k < config->ports[i].n_addresses; k++)
			if (base_ip_equal(&config->ports[i].addresses[k].ip, ip))
				return true;
	return false;
}

/* Every address of every port, since the hub may speak from each, but for the one that is there.
 * Returns their number. */
static uint32_t put_port_addresses(struct out *out, const struct config *config,
                                   const struct base_endpoint *there)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < config->n_ports; i++)
		for (uint32_t k = 0; k < config->ports[i].n_addresses; k++, n++) {
			const struct base_ip *ip = &config->ports[i].addresses[k].ip;

			if (!base_ip_equal(ip, &there->ip) || there->port != config->listen_port)
				put_hub(out, ip, config->listen_port);
		}
	return n;
}

/* The hub by addresses; false when it knows none. */
static bool put_by_address(struct out *out, const struct config *config,
                           const struct base_endpoint *endpoint)
{
	bool known = endpoint->port != 0;

	put(out, "PostUp = nft '%s", CHAIN);
	if (known)
		put_hub(out, &endpoint->ip, endpoint->port);
	if (!known || is_port_address(config, &endpoint->ip))
		known = put_port_addresses(out, config, endpoint) > 0 || known;
	put(out, " }; }'\n");
	return known;
}

/* The hub by a name that the peer resolves. */
static void put_by_name(struct out *out, const char *endpoint)
{
	const char *colon = strrchr(endpoint, ':');
	int len = colon ? (int)(colon - endpoint) : (int)strlen(endpoint);
	const char *port = colon ? colon + 1 : "51820";

	put(out, "PostUp = t='%s'; a=$(getent ahosts %.*s | cut -d ' ' -f 1 | sort -u);", CHAIN,
	    len, endpoint);
	put(out,
	    " [ -n \"$a\" ] || exit 1; for h in $a; do case $h in"
	    " *:*) t=\"$t ip6 daddr $h udp dport %s accept;\";;"
	    " *) t=\"$t ip daddr $h udp dport %s accept;\";; esac; done; nft \"$t }; }\"\n",
	    port, port);
}

int model__kill_switch(const struct config *config, enum model_kill_switch kind, char *buf,
                       size_t size, struct model_error *error)
{
	struct out out = {.buf = buf, .size = size};
	struct base_endpoint endpoint = {.port = 0};
	bool persist = kind == MODEL_KILL_SWITCH_PERSIST;
	bool named = config->endpoint[0] != '\0'
	             && base_endpoint_parse(config->endpoint, &endpoint) < 0;

	buf[0] = '\0';
	if (kind == MODEL_KILL_SWITCH_NONE)
		return 0;
	put(&out, "# Kill switch: nothing leaves but through the tunnel, or to the hub.\n");
	if (persist)
		put(&out,
		    "# It stays when the tunnel is down: nft delete table inet weir_<interface>\n");
	if (named && persist)
		return model__refuse(error, -EINVAL, "invalid", "kill_switch_persist",
		                     "kill_switch_persist: hub.endpoint is \"%s\", must be an "
		                     "address: no name can be resolved while everything is blocked",
		                     config->endpoint);
	if (named)
		put_by_name(&out, config->endpoint);
	else if (!put_by_address(&out, config, &endpoint))
		return model__refuse(error, -EINVAL, "invalid", "kill_switch",
		                     "kill_switch: the hub does not know how it is reached: set "
		                     "hub.endpoint in %s",
		                     config->path);
	if (!persist)
		put(&out, "PostDown = nft 'delete table %s'\n", TABLE);
	return 0;
}
