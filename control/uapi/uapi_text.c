/* Lines are "key=value". Those of the hub come first; public_key begins a peer, of whom the others are. */
#include "uapi_text.h"

#include "base_bytes.h"
#include "base_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int refuse(struct uapi_request *request, int err, const char *key, const char *expected)
{
	request->err = err;
	snprintf(request->why, sizeof(request->why), "line %u: %.32s %s", request->n_lines, key,
	         expected);
	return err;
}

/* ---- values -------------------------------------------------------------------------------------- */

static int read_number(const char *text, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;

	if (*text == '\0')
		return -EINVAL;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		value = value * 10 + (uint64_t)(*text - '0');
		if (value > max)
			return -EINVAL;
	}
	*out = value;
	return 0;
}

static int read_u16(const char *text, uint16_t *out)
{
	uint64_t value;
	int err = read_number(text, UINT16_MAX, &value);

	if (err == 0)
		*out = (uint16_t)value;
	return err;
}

/* ---- of the hub ---------------------------------------------------------------------------------- */

static int take_private_key(struct uapi_request *request, const char *value)
{
	request->has_private_key = true;
	return base_hex_decode(request->private_key, sizeof(request->private_key), value);
}

static int take_listen_port(struct uapi_request *request, const char *value)
{
	return read_u16(value, &request->listen_port);
}

static int take_fwmark(struct uapi_request *request, const char *value)
{
	uint64_t mark;
	int err = read_number(value, UINT32_MAX, &mark);

	if (err == 0)
		request->fwmark = (uint32_t)mark;
	return err;
}

static int is_true(const char *value, bool *out)
{
	if (strcmp(value, "true") != 0)
		return -EINVAL;
	*out = true;
	return 0;
}

static int take_replace_peers(struct uapi_request *request, const char *value)
{
	return is_true(value, &request->set.replaces_peers);
}

static int take_public_key(struct uapi_request *request, const char *value)
{
	uint8_t key[32];

	if (base_hex_decode(key, sizeof(key), value) < 0)
		return -EINVAL;
	if (request->set.n_ones == UAPI_PEERS_MAX)
		return -E2BIG;
	request->one = peer_set_add(&request->set, key);
	return request->one ? 0 : -ENOMEM;
}

/* ---- of a peer ----------------------------------------------------------------------------------- */

static int take_remove(struct uapi_request *request, const char *value)
{
	return is_true(value, &request->one->is_removed);
}

static int take_update_only(struct uapi_request *request, const char *value)
{
	return is_true(value, &request->one->update_only);
}

static int take_preshared_key(struct uapi_request *request, const char *value)
{
	request->one->has_preshared_key = true;
	return base_hex_decode(request->one->preshared_key, sizeof(request->one->preshared_key),
	                       value);
}

static int take_endpoint(struct uapi_request *request, const char *value)
{
	request->one->has_endpoint = true;
	return base_endpoint_parse(value, &request->one->endpoint);
}

static int take_keepalive(struct uapi_request *request, const char *value)
{
	request->one->has_keepalive = true;
	return read_u16(value, &request->one->keepalive_s);
}

static int take_replace_allowed_ips(struct uapi_request *request, const char *value)
{
	return is_true(value, &request->one->replaces_ips);
}

/* "-" in front: no longer. */
static int take_allowed_ip(struct uapi_request *request, const char *value)
{
	bool drop = value[0] == '-';
	struct base_prefix prefix;

	if (base_prefix_parse(value + (drop ? 1 : 0), &prefix) < 0)
		return -EINVAL;
	if (request->set.n_ips == UAPI_IPS_MAX)
		return -E2BIG;
	return peer_set_add_ip(&request->set, &prefix, drop);
}

static int take_protocol_version(struct uapi_request *request, const char *value)
{
	(void)request;
	return strcmp(value, "1") == 0 ? 0 : -EINVAL;
}

/* ---- lines --------------------------------------------------------------------------------------- */

struct key {
	const char *name;
	int (*take)(struct uapi_request *request, const char *value);
	const char *expected;
};

static const struct key of_hub[] = {
	{"private_key", take_private_key, "must be 64 hexadecimal digits"},
	{"listen_port", take_listen_port, "must be 0 to 65535"},
	{"fwmark", take_fwmark, "must be 0 to 4294967295"},
	{"replace_peers", take_replace_peers, "must be true"},
};

static const struct key of_peer[] = {
	{"remove", take_remove, "must be true"},
	{"update_only", take_update_only, "must be true"},
	{"preshared_key", take_preshared_key, "must be 64 hexadecimal digits"},
	{"endpoint", take_endpoint, "must be an address and a port"},
	{"persistent_keepalive_interval", take_keepalive, "must be 0 to 65535"},
	{"replace_allowed_ips", take_replace_allowed_ips, "must be true"},
	{"allowed_ip", take_allowed_ip, "must be a network"},
	{"protocol_version", take_protocol_version, "must be 1"},
};

static const struct key begins_peer = {"public_key", take_public_key,
                                       "must be 64 hexadecimal digits"};

static const struct key *find_key(const struct key *keys, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

static int take_setting(struct uapi_request *request, const char *line)
{
	const char *value = strchr(line, '=');
	const struct key *key;
	char name[32];
	int err;

	if (!value || (size_t)(value - line) >= sizeof(name))
		return refuse(request, -EINVAL, "", "must be key=value, with a key that is known");
	snprintf(name, sizeof(name), "%.*s", (int)(value - line), line);
	if (strcmp(name, begins_peer.name) == 0)
		key = &begins_peer;
	else if (request->one)
		key = find_key(of_peer, BASE_ARRAY_LEN(of_peer), name);
	else
		key = find_key(of_hub, BASE_ARRAY_LEN(of_hub), name);
	if (!key)
		return refuse(request, -EINVAL, name,
		              request->one ? "is no key of a peer" : "is no key of the hub");
	err = key->take(request, value + 1);
	if (err == -E2BIG)
		return refuse(request, err, name, "comes too often");
	return err < 0 ? refuse(request, err, name, err == -ENOMEM ? "needs memory" : key->expected)
	               : 0;
}

bool uapi_request_line(struct uapi_request *request, const char *line)
{
	if (line[0] == '\0')
		return request->want != UAPI_NOTHING;
	request->n_lines++;
	if (request->want == UAPI_NOTHING) {
		request->want = strcmp(line, "get=1") == 0   ? UAPI_GET
		                : strcmp(line, "set=1") == 0 ? UAPI_SET
		                                             : UAPI_REFUSAL;
		if (request->want == UAPI_REFUSAL)
			refuse(request, -EPROTO, "", "must be get=1 or set=1");
		return false;
	}
	if (request->err == 0 && request->want == UAPI_SET)
		(void)take_setting(request, line); /* noted in the request */
	return false;
}

void uapi_request_fini(struct uapi_request *request)
{
	peer_set_fini(&request->set);
	base_wipe(request, sizeof(*request));
}
