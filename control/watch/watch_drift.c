/* Findings in words. */
#include "watch_drift.h"

#include "base_time.h"
#include "watch_event.h"

#include <stdio.h>
#include <string.h>

/* ---- entries: which one it is, and what it says --------------------------------------------------- */

/* Names are copied, since watch_peer() borrows them. */
static const char *name_of(const struct peer_table *peers, uint32_t number,
                           char buf[static WATCH_NAME_LEN])
{
	char gone[16];

	snprintf(buf, WATCH_NAME_LEN, "%s", watch_peer(peers, number, gone));
	return buf;
}

static void port_text(uint32_t port, char buf[static 24])
{
	if (port == ABI_PORTS_MAX)
		snprintf(buf, 24, "the tunnel");
	else
		snprintf(buf, 24, "port %u", port);
}

static void describe_peer(const struct peer_table *peers, const union program_entry *entry,
                          char *what, char *says)
{
	char name[WATCH_NAME_LEN];

	snprintf(what, WATCH_ENTRY_LEN, "%s", name_of(peers, entry->peer.peer, name));
	snprintf(says, WATCH_ENTRY_LEN, "keepalive %u s", entry->peer.keepalive_s);
}

static void rate_text(const char *way, const struct abi_limit_rate *rate, char *buf, size_t size)
{
	size_t len = strlen(buf);

	if (rate->packets != 0 || rate->bytes != 0)
		snprintf(buf + len, size - len, "%s%s %llu packets/s %llu bytes/s", len ? ", " : "",
		         way, (unsigned long long)rate->packets, (unsigned long long)rate->bytes);
}

static void until_text(const char *way, uint64_t until, char *buf, size_t size)
{
	size_t len = strlen(buf);

	if (until != ABI_QUOTA_NONE)
		snprintf(buf + len, size - len, "%s%s until %llu", len ? ", " : "", way,
		         (unsigned long long)until);
}

static void describe_limit(const struct peer_table *peers, const union program_entry *entry,
                           char *what, char *says)
{
	const struct abi_cmd_peer_limit *limit = &entry->limit;
	char name[WATCH_NAME_LEN];

	snprintf(what, WATCH_ENTRY_LEN, "limits of %s", name_of(peers, limit->peer, name));
	says[0] = '\0';
	rate_text("rx", &limit->rx, says, WATCH_ENTRY_LEN);
	rate_text("tx", &limit->tx, says, WATCH_ENTRY_LEN);
	until_text("rx", limit->rx_until, says, WATCH_ENTRY_LEN);
	until_text("tx", limit->tx_until, says, WATCH_ENTRY_LEN);
	until_text("both", limit->total_until, says, WATCH_ENTRY_LEN);
}

static void describe_route(const struct peer_table *peers, const union program_entry *entry,
                           char *what, char *says)
{
	char text[BASE_PREFIX_STRLEN];
	char name[WATCH_NAME_LEN];

	snprintf(what, WATCH_ENTRY_LEN, "%s", base_prefix_format(&entry->route.prefix, text));
	snprintf(says, WATCH_ENTRY_LEN, "peer %s", name_of(peers, entry->route.peer, name));
}

static void describe_session(const struct peer_table *peers, const union program_entry *entry,
                             char *what, char *says)
{
	char name[WATCH_NAME_LEN];

	snprintf(what, WATCH_ENTRY_LEN, "index %08x", entry->session.index);
	snprintf(says, WATCH_ENTRY_LEN, "session of %s, which is not there",
	         name_of(peers, entry->session.peer, name));
}

static void describe_hub(const struct peer_table *peers, const union program_entry *entry,
                         char *what, char *says)
{
	const struct abi_cmd_hub *hub = &entry->hub;

	(void)peers;
	snprintf(what, WATCH_ENTRY_LEN, "settings");
	snprintf(says, WATCH_ENTRY_LEN, "listen port %u, tunnel MTU %u, key %02x%02x, DSCP %u%s%s",
	         hub->listen_port, hub->tunnel_mtu, hub->public_keys[0][0], hub->public_keys[0][1],
	         hub->dscp, hub->copy_dscp ? " as inside" : "",
	         hub->clamp_mss ? ", clamps MSS" : "");
}

static void describe_address(const struct peer_table *peers, const union program_entry *entry,
                             char *what, char *says)
{
	char text[BASE_IP_STRLEN];
	char port[24];

	(void)peers;
	port_text(entry->address.port, port);
	snprintf(what, WATCH_ENTRY_LEN, "%s", base_ip_format(&entry->address.ip, text));
	snprintf(says, WATCH_ENTRY_LEN, "the hub's on %s", port);
}

static void describe_wan_route(const struct peer_table *peers, const union program_entry *entry,
                               char *what, char *says)
{
	const struct abi_cmd_wan_route *route = &entry->wan_route;
	char text[BASE_PREFIX_STRLEN];
	char via[BASE_IP_STRLEN];
	char port[24];

	(void)peers;
	port_text(route->port, port);
	snprintf(what, WATCH_ENTRY_LEN, "%s", base_prefix_format(&route->prefix, text));
	if (route->gateway.family == BASE_IP_NONE)
		snprintf(says, WATCH_ENTRY_LEN, "on link, %s", port);
	else
		snprintf(says, WATCH_ENTRY_LEN, "via %s, %s", base_ip_format(&route->gateway, via),
		         port);
}

static void describe_neighbour(const struct peer_table *peers, const union program_entry *entry,
                               char *what, char *says)
{
	const struct abi_cmd_neighbour *neighbour = &entry->neighbour;
	const uint8_t *mac = neighbour->mac;
	char text[BASE_IP_STRLEN];
	char port[24];

	(void)peers;
	port_text(neighbour->port, port);
	snprintf(what, WATCH_ENTRY_LEN, "%s", base_ip_format(&neighbour->ip, text));
	snprintf(says, WATCH_ENTRY_LEN, "%02x:%02x:%02x:%02x:%02x:%02x on %s", mac[0], mac[1],
	         mac[2], mac[3], mac[4], mac[5], port);
}

static void describe_blob(const struct peer_table *peers, const union program_entry *entry,
                          char *what, char *says)
{
	const struct program_finding_blob *blob = &entry->blob;

	(void)peers;
	snprintf(what, WATCH_ENTRY_LEN, "%s",
	         blob->kind == ABI_BLOB_POLICY ? "policy" : "drop lists");
	snprintf(says, WATCH_ENTRY_LEN, "generation %llu, hash %016llx",
	         (unsigned long long)blob->generation, (unsigned long long)blob->hash);
}

struct kind {
	const char *name;
	void (*describe)(const struct peer_table *peers, const union program_entry *entry,
	                 char *what, char *says);
};

static const struct kind kinds[PROGRAM_FINDING_BLOB + 1] = {
	[ABI_CMD_HUB] = {"hub", describe_hub},
	[ABI_CMD_ADDRESS] = {"address", describe_address},
	[ABI_CMD_PEER_PUT] = {"peer", describe_peer},
	[ABI_CMD_PEER_LIMIT] = {"limit", describe_limit},
	[ABI_CMD_ROUTE_PUT] = {"route", describe_route},
	[ABI_CMD_SESSION_RETIRE] = {"session", describe_session},
	[ABI_CMD_WAN_ROUTE_PUT] = {"wan-route", describe_wan_route},
	[ABI_CMD_NEIGHBOUR_PUT] = {"neighbour", describe_neighbour},
	[PROGRAM_FINDING_BLOB] = {"table", describe_blob},
};

void watch_drift_describe(const struct peer_table *peers, const struct program_finding *finding,
                          struct watch_drift *out)
{
	const struct kind *kind = &kinds[finding->type];

	*out = (struct watch_drift){.kind = kind->name, .expected = "nothing", .actual = "nothing"};
	name_of(peers, finding->peer, out->peer);
	if (finding->has_found)
		kind->describe(peers, &finding->found, out->what, out->actual);
	if (finding->has_wanted)
		kind->describe(peers, &finding->wanted, out->what, out->expected);
}

/* ---- the log ------------------------------------------------------------------------------------ */

void watch_drift_in(struct watch *watch, struct base_log_limit *limit,
                    const struct peer_table *peers, const struct program_finding *finding,
                    enum program_drift_news news)
{
	static const char *const words[] = {
		[PROGRAM_DRIFT_FOUND] = "found",
		[PROGRAM_DRIFT_REPAIRED] = "repaired",
		[PROGRAM_DRIFT_CLEARED] = "cleared",
	};
	struct watch_drift drift;
	uint32_t n_left_out;

	if (!base_log_limit_pass(limit, base_time_monotonic_ns(), &n_left_out))
		return;
	watch_drift_describe(peers, finding, &drift);
	base_log_write(news == PROGRAM_DRIFT_CLEARED ? BASE_LOG_INFO : BASE_LOG_WARN, "watch",
	               "wg-drift: %s worker=%u peer=%s kind=%s what=\"%s\" expected=\"%s\" "
	               "actual=\"%s\" left_out=%u",
	               words[news], finding->worker, drift.peer, drift.kind, drift.what,
	               drift.expected, drift.actual, n_left_out);
	watch_event_add(watch, "drift", words[news], drift.peer,
	                "worker %u, %s %s: expected %s, found %s", finding->worker, drift.kind,
	                drift.what, drift.expected, drift.actual);
}
