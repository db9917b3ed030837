/* Readers of values: each takes what one kind of key may hold. */
#include "config_read.h"

#include "base_bytes.h"
#include "base_text.h"

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

int config__read_u16(const struct config_key *key, config_setting_t *setting, void *object,
                     config_setting_t **bad)
{
	int64_t value;

	(void)bad;
	if (read_integer(key, setting, &value) < 0)
		return -EINVAL;
	*(uint16_t *)field(key, object) = (uint16_t)value;
	return 0;
}

int config__read_u32(const struct config_key *key, config_setting_t *setting, void *object,
                     config_setting_t **bad)
{
	int64_t value;

	(void)bad;
	if (read_integer(key, setting, &value) < 0)
		return -EINVAL;
	*(uint32_t *)field(key, object) = (uint32_t)value;
	return 0;
}

int config__read_bool(const struct config_key *key, config_setting_t *setting, void *object,
                      config_setting_t **bad)
{
	(void)bad;
	if (config_setting_type(setting) != CONFIG_TYPE_BOOL)
		return -EINVAL;
	*(bool *)field(key, object) = config_setting_get_bool(setting);
	return 0;
}

/* A number, or a name for what depends on the packet. */
int config__read_dscp(const struct config_key *key, config_setting_t *setting, void *object,
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

int config__read_path(const struct config_key *key, config_setting_t *setting, void *object,
                      config_setting_t **bad)
{
	const char *text = text_of(setting);

	(void)bad;
	if (!text || text[0] != '/' || text[1] == '\0' || text[strlen(text) - 1] == '/')
		return -EINVAL;
	return store_text(key, text, object);
}

int config__read_https_url(const struct config_key *key, config_setting_t *setting, void *object,
                           config_setting_t **bad)
{
	static const char scheme[] = "https://";
	const char *text = text_of(setting);

	(void)bad;
	if (!text || strncmp(text, scheme, strlen(scheme)) != 0 || text[strlen(scheme)] == '\0')
		return -EINVAL;
	for (const char *c = text; *c != '\0'; c++)
		if (*c <= ' ' || *c > '~')
			return -EINVAL;
	return store_text(key, text, object);
}

int config__read_user(const struct config_key *key, config_setting_t *setting, void *object,
                      config_setting_t **bad)
{
	const char *text = text_of(setting);

	(void)bad;
	if (!text || !is_name(text, key->size - 1, "_."))
		return -EINVAL;
	return store_text(key, text, object);
}

int config__read_interface(const struct config_key *key, config_setting_t *setting, void *object,
                           config_setting_t **bad)
{
	const char *text = text_of(setting);

	(void)bad;
	if (!text || !is_interface(text))
		return -EINVAL;
	return store_text(key, text, object);
}

/* As an interface, or empty: none. */
int config__read_tap(const struct config_key *key, config_setting_t *setting, void *object,
                     config_setting_t **bad)
{
	const char *text = text_of(setting);

	(void)bad;
	if (!text || (*text != '\0' && !is_interface(text)))
		return -EINVAL;
	return store_text(key, text, object);
}

/* "host:port", "[v6]:port"; the host is not resolved here. */
int config__read_host_port(const struct config_key *key, config_setting_t *setting, void *object,
                           config_setting_t **bad)
{
	const char *text = text_of(setting);
	struct base_endpoint endpoint;
	struct base_host_port name;

	(void)bad;
	if (!text)
		return -EINVAL;
	if (base_endpoint_parse(text, &endpoint) < 0 && base_host_port_parse(text, &name) < 0)
		return -EINVAL;
	return store_text(key, text, object);
}

int config__read_tunnel(const struct config_key *key, config_setting_t *setting, void *object,
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

int config__read_cores(const struct config_key *key, config_setting_t *setting, void *object,
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
int config__read_idle(const struct config_key *key, config_setting_t *setting, void *object,
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

int config__read_aead(const struct config_key *key, config_setting_t *setting, void *object,
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

int config__read_driver(const struct config_key *key, config_setting_t *setting, void *object,
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
int config__read_wg_socket(const struct config_key *key, config_setting_t *setting, void *object,
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

int config__read_preshared_key_rule(const struct config_key *key, config_setting_t *setting,
                                    void *object, config_setting_t **bad)
{
	static const char *const names[] = {
		[CONFIG_PSK_OPTIONAL] = "optional",
		[CONFIG_PSK_REQUIRED] = "required",
	};

	(void)bad;
	return read_choice(setting, names, BASE_ARRAY_LEN(names), field(key, object));
}

int config__read_log_level(const struct config_key *key, config_setting_t *setting, void *object,
                           config_setting_t **bad)
{
	const char *text = text_of(setting);

	(void)bad;
	return text ? base_log_level_parse(text, field(key, object)) : -EINVAL;
}

int config__read_port_name(const struct config_key *key, config_setting_t *setting, void *object,
                           config_setting_t **bad)
{
	const char *text = text_of(setting);

	(void)bad;
	if (!text || !is_name(text, 10, "_")) /* "weir-" before it makes the TAP's name */
		return -EINVAL;
	return store_text(key, text, object);
}

/* Printable text without spaces; config_check.c judges it by the driver. */
int config__read_device(const struct config_key *key, config_setting_t *setting, void *object,
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

int config__read_port_addresses(const struct config_key *key, config_setting_t *setting,
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

int config__read_gateways(const struct config_key *key, config_setting_t *setting, void *object,
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

int config__read_https(const struct config_key *key, config_setting_t *setting, void *object,
                       config_setting_t **bad)
{
	struct config *config = object;

	(void)key;
	return read_endpoints(setting, config->https, &config->n_https, bad);
}

int config__read_http(const struct config_key *key, config_setting_t *setting, void *object,
                      config_setting_t **bad)
{
	struct config *config = object;

	(void)key;
	return read_endpoints(setting, config->http, &config->n_http, bad);
}

int config__read_peer_name(const struct config_key *key, config_setting_t *setting, void *object,
                           config_setting_t **bad)
{
	const char *text = text_of(setting);

	(void)bad;
	if (!text || !is_name(text, CONFIG_NAME_LEN - 1, ""))
		return -EINVAL;
	return store_text(key, text, object);
}

int config__read_public_key(const struct config_key *key, config_setting_t *setting, void *object,
                            config_setting_t **bad)
{
	const char *text = text_of(setting);
	uint8_t *out = field(key, object);

	(void)bad;
	if (!text || base_key_from_base64(out, text) < 0)
		return -EINVAL;
	return base_is_zero_ct(out, BASE_KEY_LEN) ? -EINVAL : 0;
}

int config__read_preshared_key(const struct config_key *key, config_setting_t *setting,
                               void *object, config_setting_t **bad)
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

/* There is room for as many as the list has: read_peers(). */
int config__read_allowed_ips(const struct config_key *key, config_setting_t *setting, void *object,
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

int config__read_endpoint(const struct config_key *key, config_setting_t *setting, void *object,
                          config_setting_t **bad)
{
	const char *text = text_of(setting);
	struct config_peer *peer = object;

	(void)key;
	(void)bad;
	if (!text)
		return -EINVAL;
	if (base_endpoint_parse(text, &peer->endpoint) == 0)
		return 0;
	return base_host_port_parse(text, &peer->endpoint_name);
}

/* A number, or text with a unit. key->offset is that of the struct limit_spec. */
int config__read_limit(const struct config_key *key, config_setting_t *setting, void *object,
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
int config__read_limits(const struct config_key *key, config_setting_t *setting, void *object,
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
		if (config__read_limit(&as, one, &peer->limits, bad) < 0)
			return -EINVAL;
	}
	*bad = setting;
	peer->has_limits = true;
	return limit_spec_stray(&peer->limits) ? -EINVAL : 0;
}
