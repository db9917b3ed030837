/* The keys of each object: names, allowed values, and the readers that store them. */
#include "base_bytes.h"
#include "base_text.h"
#include "config_key.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- helpers ----------------------------------------------------------------------------------- */

static void *field(const struct config_key *key, void *object)
{
	return (char *)object + key->offset;
}

static int read_integer(const struct config_key *key, config_setting_t *setting, int64_t *out)
{
	int type = config_setting_type(setting);

	if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
		return -EINVAL;
	*out = type == CONFIG_TYPE_INT ? config_setting_get_int(setting)
	                               : config_setting_get_int64(setting);
	return *out < key->min || *out > key->max ? -EINVAL : 0;
}

/* NULL when it is not a string. */
static const char *text_of(config_setting_t *setting)
{
	return config_setting_get_string(setting);
}

/* Element i of a list of strings, or NULL with *bad set. */
static const char *text_at(config_setting_t *setting, uint32_t i, config_setting_t **bad)
{
	config_setting_t *element = config_setting_get_elem(setting, i);

	*bad = element;
	return text_of(element);
}

/* Number of elements of an array or list, or -EINVAL when it is neither or longer than max. */
static int list_len(config_setting_t *setting, int max)
{
	if (!config_setting_is_array(setting) && !config_setting_is_list(setting))
		return -EINVAL;

	int n = config_setting_length(setting);

	return n > max ? -EINVAL : n;
}

/* A name that may stand in a file name, a URL and a shell word without quoting. */
static bool is_name(const char *text, size_t max, const char *extra)
{
	size_t len = strlen(text);

	if (len == 0 || len > max || text[0] == '-' || text[len - 1] == '-')
		return false;
	for (; *text != '\0'; text++) {
		bool letter = *text >= 'a' && *text <= 'z';
		bool digit = *text >= '0' && *text <= '9';

		if (!letter && !digit && *text != '-' && !strchr(extra, *text))
			return false;
	}
	return true;
}

/* What Linux takes as the name of an interface. */
static bool is_interface(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len > 15 || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return false;
	for (; *text != '\0'; text++)
		if (*text <= ' ' || *text >= 0x7f || *text == '/' || *text == ':')
			return false;
	return true;
}

/* ---- readers ------------------------------------------------------------------------------------ */

static int read_u16(const struct config_key *key, config_setting_t *setting, void *object,
                    config_setting_t **bad)
{
	int64_t value;

	(void)bad;
	if (read_integer(key, setting, &value) < 0)
		return -EINVAL;
	*(uint16_t *)field(key, object) = (uint16_t)value;
	return 0;
}

static int read_u32(const struct config_key *key, config_setting_t *setting, void *object,
                    config_setting_t **bad)
{
	int64_t value;

	(void)bad;
	if (read_integer(key, setting, &value) < 0)
		return -EINVAL;
	*(uint32_t *)field(key, object) = (uint32_t)value;
	return 0;
}

static int read_bool(const struct config_key *key, config_setting_t *setting, void *object,
                     config_setting_t **bad)
{
	(void)bad;
	if (config_setting_type(setting) != CONFIG_TYPE_BOOL)
		return -EINVAL;
	*(bool *)field(key, object) = config_setting_get_bool(setting);
	return 0;
}

/* A number, or a name for what depends on the packet. */
static int read_dscp(const struct config_key *key, config_setting_t *setting, void *object,
                     config_setting_t **bad)
{
	uint16_t *dscp = field(key, object);
	const char *text = text_of(setting);
	int64_t value;

	(void)bad;
	if (text && strcmp(text, "copy") == 0) {
		*dscp = CONFIG_DSCP_COPY;
	} else if (text && strcmp(text, "zero") == 0) {
		*dscp = 0;
	} else {
		if (read_integer(key, setting, &value) < 0)
			return -EINVAL;
		*dscp = (uint16_t)value;
	}
	return 0;
}

static int store_text(const struct config_key *key, const char *text, void *object)
{
	size_t len = strlen(text);

	if (len >= key->size)
		return -EINVAL;
	memcpy(field(key, object), text, len + 1);
	return 0;
}

static int read_path(const struct config_key *key, config_setting_t *setting, void *object,
                     config_setting_t **bad)
{
	const char *text = text_of(setting);

	(void)bad;
	if (!text || text[0] != '/' || text[1] == '\0' || text[strlen(text) - 1] == '/')
		return -EINVAL;
	return store_text(key, text, object);
}

static int read_user(const struct config_key *key, config_setting_t *setting, void *object,
                     config_setting_t **bad)
{
	const char *text = text_of(setting);

	(void)bad;
	if (!text || !is_name(text, key->size - 1, "_."))
		return -EINVAL;
	return store_text(key, text, object);
}

static int read_interface(const struct config_key *key, config_setting_t *setting, void *object,
                          config_setting_t **bad)
{
	const char *text = text_of(setting);

	(void)bad;
	if (!text || !is_interface(text))
		return -EINVAL;
	return store_text(key, text, object);
}

/* As an interface, or empty: none. */
static int read_tap(const struct config_key *key, config_setting_t *setting, void *object,
                    config_setting_t **bad)
{
	const char *text = text_of(setting);

	(void)bad;
	if (!text || (*text != '\0' && !is_interface(text)))
		return -EINVAL;
	return store_text(key, text, object);
}

/* "host:port", "[v6]:port"; the host is not resolved here. */
static int read_host_port(const struct config_key *key, config_setting_t *setting, void *object,
                          config_setting_t **bad)
{
	const char *text = text_of(setting);
	struct base_endpoint endpoint;

	(void)bad;
	if (!text)
		return -EINVAL;
	if (base_endpoint_parse(text, &endpoint) == 0)
		return store_text(key, text, object);

	const char *colon = strchr(text, ':');
	char *end;

	if (!colon || colon == text || colon[1] < '1' || colon[1] > '9')
		return -EINVAL;
	for (const char *c = text; c < colon; c++) {
		bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');

		if (!letter && (*c < '0' || *c > '9') && *c != '-' && *c != '.')
			return -EINVAL;
	}

	long port = strtol(colon + 1, &end, 10);

	if (*end != '\0' || port > 65535)
		return -EINVAL;
	return store_text(key, text, object);
}

static int read_tunnel(const struct config_key *key, config_setting_t *setting, void *object,
                       config_setting_t **bad)
{
	struct config *config = object;
	int n = list_len(setting, CONFIG_TUNNEL_MAX);

	(void)key;
	if (n < 1)
		return -EINVAL;
	for (uint32_t i = 0; i < (uint32_t)n; i++) {
		struct base_prefix *prefix = &config->tunnel[i];
		const char *text = text_at(setting, i, bad);

		if (!text || base_prefix_parse(text, prefix) < 0)
			return -EINVAL;
		if (prefix->len < 8 || prefix->len > (prefix->ip.family == BASE_IP_V4 ? 30 : 126))
			return -EINVAL;
	}
	config->n_tunnel = (uint32_t)n;
	return 0;
}

static int read_cores(const struct config_key *key, config_setting_t *setting, void *object,
                      config_setting_t **bad)
{
	struct config *config = object;
	int n = list_len(setting, ABI_WORKERS_MAX);

	if (n < 0)
		return -EINVAL;
	for (uint32_t i = 0; i < (uint32_t)n; i++) {
		int64_t core;

		*bad = config_setting_get_elem(setting, i);
		if (read_integer(key, *bad, &core) < 0)
			return -EINVAL;
		config->cores[i] = (int16_t)core;
	}
	return 0;
}

/* "busy" is a cap of 0; "adaptive:US" the cap itself. */
static int read_idle(const struct config_key *key, config_setting_t *setting, void *object,
                     config_setting_t **bad)
{
	const char *text = text_of(setting);
	static const char adaptive[] = "adaptive:";
	char *end;

	(void)bad;
	if (!text)
		return -EINVAL;
	if (strcmp(text, "busy") == 0) {
		*(uint32_t *)field(key, object) = 0;
		return 0;
	}
	if (strncmp(text, adaptive, strlen(adaptive)) != 0)
		return -EINVAL;
	text += strlen(adaptive);
	if (*text < '1' || *text > '9')
		return -EINVAL;

	long us = strtol(text, &end, 10);

	if (*end != '\0' || us > 10000)
		return -EINVAL;
	*(uint32_t *)field(key, object) = (uint32_t)us;
	return 0;
}

/* Index of text in names, for enums whose values start at 0. */
static int read_choice(config_setting_t *setting, const char *const *names, uint32_t n,
                       uint32_t *out)
{
	const char *text = text_of(setting);

	for (uint32_t i = 0; text && i < n; i++) {
		if (strcmp(text, names[i]) == 0) {
			*out = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int read_aead(const struct config_key *key, config_setting_t *setting, void *object,
                     config_setting_t **bad)
{
	static const char *const names[] = {
		[ABI_AEAD_AUTO] = "auto",     [ABI_AEAD_IPSEC_MB] = "ipsec-mb",
		[ABI_AEAD_SODIUM] = "sodium", [ABI_AEAD_AVX512] = "avx512",
		[ABI_AEAD_AVX2] = "avx2",
	};

	(void)bad;
	return read_choice(setting, names, BASE_ARRAY_LEN(names), field(key, object));
}

static int read_driver(const struct config_key *key, config_setting_t *setting, void *object,
                       config_setting_t **bad)
{
	static const char *const names[] = {
		[ABI_DRIVER_AF_PACKET] = "af_packet",
		[ABI_DRIVER_PCI] = "pci",
		[ABI_DRIVER_VDEV] = "vdev",
	};

	(void)bad;
	return read_choice(setting, names, BASE_ARRAY_LEN(names), field(key, object));
}

/* It was a boolean once, when there was only reading. */
static int read_wg_socket(const struct config_key *key, config_setting_t *setting, void *object,
                          config_setting_t **bad)
{
	static const char *const names[] = {
		[CONFIG_WG_OFF] = "off",
		[CONFIG_WG_READ_ONLY] = "read-only",
		[CONFIG_WG_READ_WRITE] = "read-write",
	};
	uint32_t *out = field(key, object);

	(void)bad;
	if (config_setting_type(setting) == CONFIG_TYPE_BOOL) {
		*out = config_setting_get_bool(setting) ? CONFIG_WG_READ_ONLY : CONFIG_WG_OFF;
		return 0;
	}
	return read_choice(setting, names, BASE_ARRAY_LEN(names), out);
}

static int read_log_level(const struct config_key *key, config_setting_t *setting, void *object,
                          config_setting_t **bad)
{
	const char *text = text_of(setting);

	(void)bad;
	return text ? base_log_level_parse(text, field(key, object)) : -EINVAL;
}

static int read_port_name(const struct config_key *key, config_setting_t *setting, void *object,
                          config_setting_t **bad)
{
	const char *text = text_of(setting);

	(void)bad;
	if (!text || !is_name(text, 10, "_")) /* "weir-" before it makes the TAP's name */
		return -EINVAL;
	return store_text(key, text, object);
}

/* Printable text without spaces; config_check.c judges it by the driver. */
static int read_device(const struct config_key *key, config_setting_t *setting, void *object,
                       config_setting_t **bad)
{
	const char *text = text_of(setting);

	(void)bad;
	if (!text || *text == '\0')
		return -EINVAL;
	for (const char *c = text; *c != '\0'; c++)
		if (*c <= ' ' || *c >= 0x7f)
			return -EINVAL;
	return store_text(key, text, object);
}

static int read_port_addresses(const struct config_key *key, config_setting_t *setting,
                               void *object, config_setting_t **bad)
{
	struct config_port *port = object;
	int n = list_len(setting, CONFIG_PORT_ADDR_MAX);

	(void)key;
	if (n < 0)
		return -EINVAL;
	for (uint32_t i = 0; i < (uint32_t)n; i++) {
		const char *text = text_at(setting, i, bad);

		if (!text || !strchr(text, '/') || base_prefix_parse(text, &port->addresses[i]) < 0
		    || port->addresses[i].len == 0)
			return -EINVAL;
	}
	port->n_addresses = (uint32_t)n;
	return 0;
}

static int read_gateways(const struct config_key *key, config_setting_t *setting, void *object,
                         config_setting_t **bad)
{
	struct config_port *port = object;
	int n = list_len(setting, BASE_ARRAY_LEN(port->gateways));

	(void)key;
	if (n < 0)
		return -EINVAL;
	for (uint32_t i = 0; i < (uint32_t)n; i++) {
		const char *text = text_at(setting, i, bad);

		if (!text || base_ip_parse(text, &port->gateways[i]) < 0)
			return -EINVAL;
		if (i == 1 && port->gateways[0].family == port->gateways[1].family)
			return -EINVAL;
	}
	port->n_gateways = (uint32_t)n;
	return 0;
}

static int read_endpoints(config_setting_t *setting, struct base_endpoint *out, uint32_t *n_out,
                          config_setting_t **bad)
{
	int n = list_len(setting, CONFIG_LISTEN_MAX);

	if (n < 0)
		return -EINVAL;
	for (uint32_t i = 0; i < (uint32_t)n; i++) {
		const char *text = text_at(setting, i, bad);

		if (!text || base_endpoint_parse(text, &out[i]) < 0)
			return -EINVAL;
	}
	*n_out = (uint32_t)n;
	return 0;
}

static int read_https(const struct config_key *key, config_setting_t *setting, void *object,
                      config_setting_t **bad)
{
	struct config *config = object;

	(void)key;
	return read_endpoints(setting, config->https, &config->n_https, bad);
}

static int read_http(const struct config_key *key, config_setting_t *setting, void *object,
                     config_setting_t **bad)
{
	struct config *config = object;

	(void)key;
	return read_endpoints(setting, config->http, &config->n_http, bad);
}

static int read_peer_name(const struct config_key *key, config_setting_t *setting, void *object,
                          config_setting_t **bad)
{
	const char *text = text_of(setting);

	(void)bad;
	if (!text || !is_name(text, CONFIG_NAME_LEN - 1, ""))
		return -EINVAL;
	return store_text(key, text, object);
}

static int read_public_key(const struct config_key *key, config_setting_t *setting, void *object,
                           config_setting_t **bad)
{
	const char *text = text_of(setting);
	uint8_t *out = field(key, object);

	(void)bad;
	if (!text || base_key_from_base64(out, text) < 0)
		return -EINVAL;
	return base_is_zero_ct(out, BASE_KEY_LEN) ? -EINVAL : 0;
}

static int read_preshared_key(const struct config_key *key, config_setting_t *setting, void *object,
                              config_setting_t **bad)
{
	struct config_peer *peer = object;
	const char *path = text_of(setting);

	(void)key;
	(void)bad;
	/* The content is read by config_load.c, which can say what is wrong with it. */
	if (!path || path[0] != '/')
		return -EINVAL;
	peer->has_preshared_key = true;
	return 0;
}

static int read_allowed_ips(const struct config_key *key, config_setting_t *setting, void *object,
                            config_setting_t **bad)
{
	struct config_peer *peer = object;
	int n = list_len(setting, CONFIG_ALLOWED_MAX);

	(void)key;
	if (n < 0)
		return -EINVAL;
	for (uint32_t i = 0; i < (uint32_t)n; i++) {
		const char *text = text_at(setting, i, bad);

		if (!text || base_prefix_parse(text, &peer->allowed_ips[i]) < 0)
			return -EINVAL;
		if (base_prefix_mask(&peer->allowed_ips[i]))
			return -EINVAL;
	}
	peer->n_allowed_ips = (uint32_t)n;
	return 0;
}

static int read_endpoint(const struct config_key *key, config_setting_t *setting, void *object,
                         config_setting_t **bad)
{
	const char *text = text_of(setting);

	(void)bad;
	return text ? base_endpoint_parse(text, field(key, object)) : -EINVAL;
}

/* A number, or text with a unit. key->offset is that of the struct limit_spec. */
static int read_limit(const struct config_key *key, config_setting_t *setting, void *object,
                      config_setting_t **bad)
{
	const struct limit_field *known = limit_field_find(key->name);
	const char *text = text_of(setting);
	struct config_key any = {.min = 0, .max = INT64_MAX};
	int64_t value;

	(void)bad;
	if (text)
		return limit_field_parse(known, field(key, object), text) < 0 ? -EINVAL : 0;
	if (read_integer(&any, setting, &value) < 0)
		return -EINVAL;
	return limit_field_set(known, field(key, object), (uint64_t)value) < 0 ? -EINVAL : 0;
}

/* A peer's group of limits. */
static int read_limits(const struct config_key *key, config_setting_t *setting, void *object,
                       config_setting_t **bad)
{
	struct config_peer *peer = object;

	(void)key;
	if (!config_setting_is_group(setting))
		return -EINVAL;
	for (unsigned int i = 0; i < (unsigned int)config_setting_length(setting); i++) {
		config_setting_t *one = config_setting_get_elem(setting, i);
		const struct limit_field *known = limit_field_find(config_setting_name(one));
		struct config_key as = {.offset = 0};

		*bad = one;
		if (!known)
			return -EINVAL;
		as.name = known->name;
		if (read_limit(&as, one, &peer->limits, bad) < 0)
			return -EINVAL;
	}
	*bad = setting;
	peer->has_limits = true;
	return limit_spec_stray(&peer->limits) ? -EINVAL : 0;
}

/* ---- tables ------------------------------------------------------------------------------------- */

#define AT(type, member) .offset = offsetof(struct type, member)
#define TEXT(type, member)                                                                         \
	.offset = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member)
#define RANGE(low, high) .min = (low), .max = (high)

static const struct config_key hub_keys[] = {
	{"listen_port", "a UDP port, 1 to 65535", read_u16, AT(config, listen_port),
         RANGE(1, 65535)},
	{"private_key_file", "an absolute path shorter than 256 bytes", read_path,
         TEXT(config, private_key_file)},
	{"tunnel",
         "1 to 4 addresses with the length of their net, such as \"10.77.0.1/24\" (IPv4 /8 to /30, "
         "IPv6 /8 to /126)",
         read_tunnel, .required = true},
	{"tunnel_device", "the name of an interface, 1 to 15 characters", read_interface,
         TEXT(config, tunnel_device)},
	{"tunnel_mtu", "1280 to 9000 bytes", read_u16, AT(config, tunnel_mtu), RANGE(1280, 9000)},
	{"endpoint", "\"host:port\", as clients reach the hub", read_host_port,
         TEXT(config, endpoint)},
	{"peer_to_peer", "true or false", read_bool, AT(config, peer_to_peer)},
	{"dscp", "\"zero\", \"copy\" (as inside) or 0 to 63", read_dscp, AT(config, dscp),
         RANGE(0, CONFIG_DSCP_MAX)},
	{"clamp_mss", "true or false", read_bool, AT(config, clamp_mss)},
};

static const struct config_key dataplane_keys[] = {
	{"workers", "1 to 16", read_u32, AT(config, n_workers), RANGE(1, ABI_WORKERS_MAX)},
	{"cores", "a list of CPU numbers, 0 to 1023, one for each worker", read_cores,
         RANGE(0, 1023)},
	{"idle", "\"busy\" or \"adaptive:MICROSECONDS\" (1 to 10000)", read_idle,
         AT(config, idle_cap_us)},
	{"aead", "\"auto\", \"avx512\", \"avx2\", \"ipsec-mb\" or \"sodium\"", read_aead,
         AT(config, aead)},
	{"flows", "0 (chosen for you) to 16777215 flows a worker", read_u32, AT(config, n_flows),
         RANGE(0, (1 << 24) - 1)},
	{"mbufs", "0 (chosen for you) to 4194304 packet buffers", read_u32, AT(config, n_mbufs),
         RANGE(0, 1 << 22)},
	{"hugepages", "true or false", read_bool, AT(config, use_hugepages)},
	{"max_peers", "1 to 1048576", read_u32, AT(config, max_peers), RANGE(1, ABI_PEERS_MAX)},
};

static const struct config_key port_keys[] = {
	{"name", "1 to 10 of the characters a-z 0-9 - _", read_port_name, TEXT(config_port, name),
         .required = true},
	{"driver", "\"af_packet\", \"pci\" or \"vdev\"", read_driver, AT(config_port, driver),
         .required = true},
	{"device",
         "an interface (af_packet), a PCI address such as \"0000:3b:00.0\" (pci), or a DPDK virtual "
         "device (vdev)",
         read_device, TEXT(config_port, device), .required = true},
	{"tap", "the name of an interface, up to 15 characters (\"\" for none)", read_tap,
         TEXT(config_port, tap)},
	{"mtu", "1280 to 9000 bytes", read_u16, AT(config_port, mtu), RANGE(1280, 9000)},
	{"addresses", "up to 8 addresses with the length of their net, such as \"192.0.2.1/24\"",
         read_port_addresses, AT(config_port, addresses)},
	{"gateways", "at most one IPv4 and one IPv6 address", read_gateways,
         AT(config_port, gateways)},
};

static const struct config_key control_keys[] = {
	{"run_dir", "an absolute path shorter than 64 bytes", read_path, TEXT(config, run_dir)},
	{"store", "an absolute path shorter than 256 bytes", read_path, TEXT(config, store)},
	{"user", "the name of a user, as in /etc/passwd", read_user, TEXT(config, user)},
	{"handshake_threads", "1 to 64", read_u32, AT(config, handshake_threads), RANGE(1, 64)},
	{"wg_socket", "\"off\", \"read-only\" or \"read-write\"", read_wg_socket,
         AT(config, wg_socket)},
	{"log_level", "\"err\", \"warn\", \"info\" or \"debug\"", read_log_level,
         AT(config, log_level)},
};

static const struct config_key edge_keys[] = {
	{"https", "up to 8 addresses with port, such as \"0.0.0.0:443\" or \"[::]:443\"",
         read_https, AT(config, https)},
	{"http", "up to 8 addresses with port, such as \"0.0.0.0:80\" or \"[::]:80\"", read_http,
         AT(config, http)},
};

static const struct config_key policy_keys[] = {
	{"drift_check", "0 (only on demand) to 86400 seconds", read_u32, AT(config, drift_check_s),
         RANGE(0, 86400)},
	{"drift_repair", "true or false", read_bool, AT(config, drift_repair)},
	{"key_age", "0 (any age) to 36500 days", read_u32, AT(config, key_age_days),
         RANGE(0, 36500)},
	{"unused_grant", "0 (for ever) to 36500 days", read_u32, AT(config, unused_grant_days),
         RANGE(0, 36500)},
};

static const struct config_key debug_keys[] = {
	{"commands", "true or false", read_bool, AT(config, debug_commands)},
};

static const struct config_key limits_keys[] = {
	{"rx_packets", "0 (no limit) or 1 to 4294967296 packets a second", read_limit,
         AT(config, limits)},
	{"rx_packets_burst", "0 (a tenth of a second of the rate) or 1 to 4294967296 packets",
         read_limit, AT(config, limits)},
	{"rx_bytes",
         "0 (no limit) or 1 to 50000000000 bytes a second, such as \"20Mbit\" or \"1G\"",
         read_limit, AT(config, limits)},
	{"rx_bytes_burst",
         "0 (a tenth of a second of the rate) or 9216 to 8589934592 bytes, such as \"1Mi\"",
         read_limit, AT(config, limits)},
	{"tx_packets", "0 (no limit) or 1 to 4294967296 packets a second", read_limit,
         AT(config, limits)},
	{"tx_packets_burst", "0 (a tenth of a second of the rate) or 1 to 4294967296 packets",
         read_limit, AT(config, limits)},
	{"tx_bytes",
         "0 (no limit) or 1 to 50000000000 bytes a second, such as \"20Mbit\" or \"1G\"",
         read_limit, AT(config, limits)},
	{"tx_bytes_burst",
         "0 (a tenth of a second of the rate) or 9216 to 8589934592 bytes, such as \"1Mi\"",
         read_limit, AT(config, limits)},
	{"quota_rx", "0 (none) or 1 to 2^60 bytes a month, such as \"500G\" or \"1Ti\"", read_limit,
         AT(config, limits)},
	{"quota_tx", "0 (none) or 1 to 2^60 bytes a month, such as \"500G\" or \"1Ti\"", read_limit,
         AT(config, limits)},
	{"quota", "0 (none) or 1 to 2^60 bytes a month, such as \"500G\" or \"1Ti\"", read_limit,
         AT(config, limits)},
	{"quota_day", "a day of the month, 1 to 28", read_u32, AT(config, quota_day), RANGE(1, 28)},
};

static const struct config_key peer_keys[] = {
	{"name", "1 to 63 of the characters a-z 0-9 -, not beginning or ending with -",
         read_peer_name, TEXT(config_peer, name), .required = true},
	{"public_key", "a WireGuard public key, 44 characters of base64", read_public_key,
         AT(config_peer, public_key), .required = true},
	{"preshared_key_file", "the absolute path of a file that holds a preshared key",
         read_preshared_key, AT(config_peer, preshared_key)},
	{"allowed_ips",
         "up to 32 networks without host bits, such as \"10.1.0.0/16\" or \"fd01::/64\"",
         read_allowed_ips, AT(config_peer, allowed_ips)},
	{"keepalive", "0 to 65535 seconds (0 turns it off)", read_u16, AT(config_peer, keepalive_s),
         RANGE(0, 65535)},
	{"endpoint", "an address with port, such as \"192.0.2.7:51820\" or \"[2001:db8::7]:51820\"",
         read_endpoint, AT(config_peer, endpoint)},
	{"limits",
         "a group of keys as limits has them, but quota_day, within their ranges, and a burst only "
         "beside its rate",
         read_limits, AT(config_peer, limits)},
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
const struct config_object config__debug = OBJECT("debug", debug_keys);
const struct config_object config__limits = OBJECT("limits", limits_keys);
const struct config_object config__peer = OBJECT("peers", peer_keys);

void config_key_each(config_key_fn *fn, void *arg)
{
	static const struct config_object *const objects[] = {
		&config__hub,     &config__dataplane, &config__port,
		&config__control, &config__edge,      &config__policy,
		&config__debug,   &config__limits,    &config__peer,
	};

	for (size_t i = 0; i < BASE_ARRAY_LEN(objects); i++)
		for (size_t k = 0; k < objects[i]->n_keys; k++)
			fn(arg, objects[i]->name, objects[i]->keys[k].name,
			   objects[i]->keys[k].allowed);
}
