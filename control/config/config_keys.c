/* The keys of each object: names, allowed values, and who reads them. */
#include "base_bytes.h"
#include "config_read.h"

#define AT(type, member) .offset = offsetof(struct type, member)
#define TEXT(type, member)                                                                         \
	.offset = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member)
#define RANGE(low, high) .min = (low), .max = (high)

static const struct config_key hub_keys[] = {
	{"listen_port", "a UDP port, 1 to 65535", config__read_u16, AT(config, listen_port),
         RANGE(1, 65535)},
	{"private_key_file", "an absolute path shorter than 256 bytes", config__read_path,
         TEXT(config, private_key_file)},
	{"tunnel",
         "1 to 4 addresses with the length of their net, such as \"10.77.0.1/24\" (IPv4 /8 to /30, "
         "IPv6 /8 to /126)",
         config__read_tunnel, .required = true},
	{"tunnel_device", "the name of an interface, 1 to 15 characters", config__read_interface,
         TEXT(config, tunnel_device)},
	{"tunnel_mtu", "1280 to 9000 bytes", config__read_u16, AT(config, tunnel_mtu),
         RANGE(1280, 9000)},
	{"endpoint", "\"host:port\", as clients reach the hub", config__read_host_port,
         TEXT(config, endpoint)},
	{"peer_to_peer", "true or false", config__read_bool, AT(config, peer_to_peer)},
	{"dscp", "\"zero\", \"copy\" (as inside) or 0 to 63", config__read_dscp, AT(config, dscp),
         RANGE(0, CONFIG_DSCP_MAX)},
	{"clamp_mss", "true or false", config__read_bool, AT(config, clamp_mss)},
	{"preshared_key", "\"required\" or \"optional\"", config__read_preshared_key_rule,
         AT(config, preshared_key)},
};

static const struct config_key dataplane_keys[] = {
	{"workers", "1 to 16", config__read_u32, AT(config, n_workers), RANGE(1, ABI_WORKERS_MAX)},
	{"cores", "a list of CPU numbers, 0 to 1023, one for each worker", config__read_cores,
         RANGE(0, 1023)},
	{"idle", "\"busy\" or \"adaptive:MICROSECONDS\" (1 to 10000)", config__read_idle,
         AT(config, idle_cap_us)},
	{"aead", "\"auto\", \"avx512\", \"avx2\", \"ipsec-mb\" or \"sodium\"", config__read_aead,
         AT(config, aead)},
	{"flows", "0 (chosen for you) to 16777215 flows a worker", config__read_u32,
         AT(config, n_flows), RANGE(0, (1 << 24) - 1)},
	{"mbufs", "0 (chosen for you) to 4194304 packet buffers", config__read_u32,
         AT(config, n_mbufs), RANGE(0, 1 << 22)},
	{"hugepages", "true or false", config__read_bool, AT(config, use_hugepages)},
	/* the last number means the hub (POLICY_HUB) */
	{"max_peers", "1 to 1048575", config__read_u32, AT(config, max_peers),
         RANGE(1, ABI_PEERS_MAX - 1)},
};

static const struct config_key port_keys[] = {
	{"name", "1 to 10 of the characters a-z 0-9 - _", config__read_port_name,
         TEXT(config_port, name), .required = true},
	{"driver", "\"af_packet\", \"pci\" or \"vdev\"", config__read_driver,
         AT(config_port, driver), .required = true},
	{"device",
         "an interface (af_packet), a PCI address such as \"0000:3b:00.0\" (pci), or a DPDK virtual "
         "device (vdev)",
         config__read_device, TEXT(config_port, device), .required = true},
	{"tap", "the name of an interface, up to 15 characters (\"\" for none)", config__read_tap,
         TEXT(config_port, tap)},
	{"mtu", "1280 to 9000 bytes", config__read_u16, AT(config_port, mtu), RANGE(1280, 9000)},
	{"addresses", "up to 8 addresses with the length of their net, such as \"192.0.2.1/24\"",
         config__read_port_addresses, AT(config_port, addresses)},
	{"gateways", "at most one IPv4 and one IPv6 address", config__read_gateways,
         AT(config_port, gateways)},
};

static const struct config_key control_keys[] = {
	{"run_dir", "an absolute path shorter than 64 bytes", config__read_path,
         TEXT(config, run_dir)},
	{"store", "an absolute path shorter than 256 bytes", config__read_path,
         TEXT(config, store)},
	{"user", "the name of a user, as in /etc/passwd", config__read_user, TEXT(config, user)},
	{"handshake_threads", "1 to 64", config__read_u32, AT(config, handshake_threads),
         RANGE(1, 64)},
	{"wg_socket", "\"off\", \"read-only\" or \"read-write\"", config__read_wg_socket,
         AT(config, wg_socket)},
	{"trail_records", "0 (any number) to 100000000 records of the audit trail",
         config__read_u32, AT(config, trail_records), RANGE(0, 100000000)},
	{"trail_days", "0 (of any age) to 36500 days", config__read_u32, AT(config, trail_days),
         RANGE(0, 36500)},
	{"log_level", "\"err\", \"warn\", \"info\" or \"debug\"", config__read_log_level,
         AT(config, log_level)},
};

static const struct config_key edge_keys[] = {
	{"https", "up to 8 addresses with port, such as \"0.0.0.0:443\" or \"[::]:443\"",
         config__read_https, AT(config, https)},
	{"http", "up to 8 addresses with port, such as \"0.0.0.0:80\" or \"[::]:80\"",
         config__read_http, AT(config, http)},
};

static const struct config_key policy_keys[] = {
	{"drift_check", "0 (only on demand) to 86400 seconds", config__read_u32,
         AT(config, drift_check_s), RANGE(0, 86400)},
	{"drift_repair", "true or false", config__read_bool, AT(config, drift_repair)},
	{"key_age", "0 (any age) to 36500 days", config__read_u32, AT(config, key_age_days),
         RANGE(0, 36500)},
	{"unused_grant", "0 (for ever) to 36500 days", config__read_u32,
         AT(config, unused_grant_days), RANGE(0, 36500)},
};

static const struct config_key events_keys[] = {
	{"stale_after", "5 to 86400 seconds", config__read_u32, AT(config, stale_after_s),
         RANGE(5, 86400)},
	{"webhook", "a URL that begins with \"https://\", shorter than 512 bytes",
         config__read_https_url, TEXT(config, webhook)},
	{"webhook_ca", "an absolute path shorter than 256 bytes", config__read_path,
         TEXT(config, webhook_ca)},
};

static const struct config_key debug_keys[] = {
	{"commands", "true or false", config__read_bool, AT(config, debug_commands)},
};

static const struct config_key limits_keys[] = {
	{"rx_packets", "0 (no limit) or 1 to 4294967296 packets a second", config__read_limit,
         AT(config, limits)},
	{"rx_packets_burst", "0 (a tenth of a second of the rate) or 1 to 4294967296 packets",
         config__read_limit, AT(config, limits)},
	{"rx_bytes",
         "0 (no limit) or 1 to 50000000000 bytes a second, such as \"20Mbit\" or \"1G\"",
         config__read_limit, AT(config, limits)},
	{"rx_bytes_burst",
         "0 (a tenth of a second of the rate) or 9216 to 8589934592 bytes, such as \"1Mi\"",
         config__read_limit, AT(config, limits)},
	{"tx_packets", "0 (no limit) or 1 to 4294967296 packets a second", config__read_limit,
         AT(config, limits)},
	{"tx_packets_burst", "0 (a tenth of a second of the rate) or 1 to 4294967296 packets",
         config__read_limit, AT(config, limits)},
	{"tx_bytes",
         "0 (no limit) or 1 to 50000000000 bytes a second, such as \"20Mbit\" or \"1G\"",
         config__read_limit, AT(config, limits)},
	{"tx_bytes_burst",
         "0 (a tenth of a second of the rate) or 9216 to 8589934592 bytes, such as \"1Mi\"",
         config__read_limit, AT(config, limits)},
	{"quota_rx", "0 (none) or 1 to 2^60 bytes a month, such as \"500G\" or \"1Ti\"",
         config__read_limit, AT(config, limits)},
	{"quota_tx", "0 (none) or 1 to 2^60 bytes a month, such as \"500G\" or \"1Ti\"",
         config__read_limit, AT(config, limits)},
	{"quota", "0 (none) or 1 to 2^60 bytes a month, such as \"500G\" or \"1Ti\"",
         config__read_limit, AT(config, limits)},
	{"quota_day", "a day of the month, 1 to 28", config__read_u32, AT(config, quota_day),
         RANGE(1, 28)},
};

static const struct config_key peer_keys[] = {
	{"name", "1 to 63 of the characters a-z 0-9 -, not beginning or ending with -",
         config__read_peer_name, TEXT(config_peer, name), .required = true},
	{"public_key", "a WireGuard public key, 44 characters of base64", config__read_public_key,
         AT(config_peer, public_key), .required = true},
	{"preshared_key_file", "the absolute path of a file that holds a preshared key",
         config__read_preshared_key, AT(config_peer, preshared_key)},
	{"allowed_ips",
         "up to 131072 networks without host bits, such as \"10.1.0.0/16\" or \"fd01::/64\"",
         config__read_allowed_ips, AT(config_peer, allowed_ips)},
	{"keepalive", "0 to 65535 seconds (0 turns it off)", config__read_u16,
         AT(config_peer, keepalive_s), RANGE(0, 65535)},
	{"endpoint",
         "an address or a name with port, such as \"192.0.2.7:51820\", \"[2001:db8::7]:51820\" or "
         "\"branch.example.org:51820\"",
         config__read_endpoint, AT(config_peer, endpoint)},
	{"expected_up", "true or false", config__read_bool, AT(config_peer, expected_up)},
	{"limits",
         "a group of keys as limits has them, but quota_day, within their ranges, and a burst only "
         "beside its rate",
         config__read_limits, AT(config_peer, limits)},
};

#define OBJECT(name, keys)                                                                         \
	{                                                                                          \
		name, keys, BASE_ARRAY_LEN(keys)                                                   \
	}

const struct config_object config__hub = OBJECT("hub", hub_keys);
const struct config_object config__dataplane = OBJECT("dataplane", dataplane_keys);
const struct config_object config__port = OBJECT("ports", port_keys);
const struct config_object config__control = OBJECT("control", control_keys);
const struct config_object config__edge = OBJECT("edge", edge_keys);
const struct config_object config__policy = OBJECT("policy", policy_keys);
const struct config_object config__events = OBJECT("events", events_keys);
const struct config_object config__debug = OBJECT("debug", debug_keys);
const struct config_object config__limits = OBJECT("limits", limits_keys);
const struct config_object config__peer = OBJECT("peers", peer_keys);

void config_key_each(config_key_fn *fn, void *arg)
{
	static const struct config_object *const objects[] = {
		&config__hub,    &config__dataplane, &config__port,   &config__control,
		&config__edge,   &config__policy,    &config__events, &config__debug,
		&config__limits, &config__peer,
	};

	for (size_t i = 0; i < BASE_ARRAY_LEN(objects); i++)
		for (size_t k = 0; k < objects[i]->n_keys; k++)
			fn(arg, objects[i]->name, objects[i]->keys[k].name,
			   objects[i]->keys[k].allowed);
}
