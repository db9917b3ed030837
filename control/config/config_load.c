/* Reads the file along the tables of config_keys.c, fills defaults, and leaves the last word to
 * config_check.c. */
#include "base_bytes.h"
#include "base_text.h"
#include "config_key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Settings of the top level, in the order of the manual. */
enum section { SECTION_GROUP = 0, SECTION_LIST = 1 };

static const struct {
	const struct config_object *object;
	enum section kind;
	bool required;
} sections[] = {
	{&config__hub, SECTION_GROUP, true},     {&config__dataplane, SECTION_GROUP, false},
	{&config__port, SECTION_LIST, true},     {&config__control, SECTION_GROUP, false},
	{&config__edge, SECTION_GROUP, false},   {&config__policy, SECTION_GROUP, false},
	{&config__events, SECTION_GROUP, false}, {&config__debug, SECTION_GROUP, false},
	{&config__limits, SECTION_GROUP, false}, {&config__peer, SECTION_LIST, false},
};

int config__fail(const struct config_error *error, const config_setting_t *where,
                 const char *format, ...)
{
	va_list args;
	int len;

	len = snprintf(error->text, error->len, "%s:%u: ", error->path,
	               config_setting_source_line(where));
	if (len < 0 || (size_t)len >= error->len)
		return -EINVAL;
	va_start(args, format);
	vsnprintf(error->text + len, error->len - (size_t)len, format, args);
	va_end(args);
	return -EINVAL;
}

/* Copy text in quotes, without control characters, cut when it is long. */
static void show_text(const char *text, char *buf)
{
	size_t len = strlen(text);
	size_t shown = len > 60 ? 60 : len;
	size_t i;

	buf[0] = '"';
	for (i = 0; i < shown; i++) {
		unsigned char c = (unsigned char)text[i];

		buf[i + 1] = c < 0x20 || c == 0x7f ? '?' : (char)c;
	}
	snprintf(buf + i + 1, CONFIG_SHOWN_LEN - i - 1, "%s\"", shown < len ? "..." : "");
}

const char *config__show(config_setting_t *setting, char buf[static CONFIG_SHOWN_LEN])
{
	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		snprintf(buf, CONFIG_SHOWN_LEN, "%lld",
		         config_setting_type(setting) == CONFIG_TYPE_INT
		                 ? config_setting_get_int(setting)
		                 : config_setting_get_int64(setting));
		break;
	case CONFIG_TYPE_FLOAT:
		snprintf(buf, CONFIG_SHOWN_LEN, "%g", config_setting_get_float(setting));
		break;
	case CONFIG_TYPE_BOOL:
		snprintf(buf, CONFIG_SHOWN_LEN, "%s",
		         config_setting_get_bool(setting) ? "true" : "false");
		break;
	case CONFIG_TYPE_STRING:
		show_text(config_setting_get_string(setting), buf);
		break;
	case CONFIG_TYPE_GROUP:
		snprintf(buf, CONFIG_SHOWN_LEN, "a group");
		break;
	default: {
		int n = config_setting_length(setting);

		snprintf(buf, CONFIG_SHOWN_LEN, n == 0 ? "an empty list" : "a list of %d", n);
	}
	}
	return buf;
}

/* Edits (insert, delete, replace) that turn a into b: which known name was meant. */
static size_t edit_distance(const char *a, const char *b)
{
	enum { LEN_MAX = 40 };
	size_t row[LEN_MAX + 1];
	size_t len_b = strlen(b);

	if (strlen(a) > LEN_MAX || len_b > LEN_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= len_b; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1] != '\0'; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= len_b; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[len_b];
}

/* The known name nearest to an unknown one; candidate i is name_at(i). */
static const char *nearest(const char *unknown, const struct config_object *object)
{
	size_t n = object ? object->n_keys : BASE_ARRAY_LEN(sections);
	size_t best = SIZE_MAX;
	const char *found = NULL;

	for (size_t i = 0; i < n; i++) {
		const char *name = object ? object->keys[i].name : sections[i].object->name;
		size_t distance = edit_distance(unknown, name);

		if (distance < best || !found) {
			best = distance;
			found = name;
		}
	}
	return found;
}

static const struct config_key *find_key(const struct config_object *object, const char *name)
{
	for (size_t i = 0; i < object->n_keys; i++)
		if (strcmp(object->keys[i].name, name) == 0)
			return &object->keys[i];
	return NULL;
}

/* Read one object's group. label names it in messages: hub, port "wan0", peer "alice". */
static int read_group(const struct config_object *object, const char *label,
                      config_setting_t *group, void *out, const struct config_error *error)
{
	char shown[CONFIG_SHOWN_LEN];

	for (unsigned int i = 0; i < (unsigned int)config_setting_length(group); i++) {
		config_setting_t *setting = config_setting_get_elem(group, i);
		config_setting_t *bad = setting;
		const char *name = config_setting_name(setting);
		const struct config_key *key = find_key(object, name);

		if (!key)
			return config__fail(error, setting,
			                    "%s: unknown key \"%s\", nearest known is \"%s\"",
			                    label, name, nearest(name, object));
		if (key->read(key, setting, out, &bad) < 0)
			return config__fail(error, bad, "%s: %s %s %s, must be %s", label, name,
			                    bad == setting ? "is" : "has", config__show(bad, shown),
			                    key->allowed);
	}
	for (size_t i = 0; i < object->n_keys; i++) {
		const struct config_key *key = &object->keys[i];

		if (key->required && !config_setting_get_member(group, key->name))
			return config__fail(error, group, "%s: %s is missing, must be %s", label,
			                    key->name, key->allowed);
	}
	return 0;
}

/* Name of element i of a list in messages: peer "alice", or peers[3] while it has no good name. */
static void element_label(const struct config_object *object, config_setting_t *element,
                          unsigned int i, char *label, size_t label_len)
{
	const char *name = NULL;

	if (config_setting_is_group(element) && config_setting_lookup_string(element, "name", &name)
	    && strlen(name) < CONFIG_NAME_LEN)
		snprintf(label, label_len, "%.*s \"%s\"", (int)strlen(object->name) - 1,
		         object->name, name);
	else
		snprintf(label, label_len, "%s[%u]", object->name, i);
	for (char *c = label; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
}

static int read_list_element(const struct config_object *object, config_setting_t *list,
                             unsigned int i, void *out, char *label, size_t label_len,
                             const struct config_error *error)
{
	config_setting_t *element = config_setting_get_elem(list, i);
	char shown[CONFIG_SHOWN_LEN];

	element_label(object, element, i, label, label_len);
	if (!config_setting_is_group(element))
		return config__fail(error, element, "%s is %s, must be a group { ... }", label,
		                    config__show(element, shown));
	return read_group(object, label, element, out, error);
}

static int read_ports(struct config *config, config_setting_t *list,
                      const struct config_error *error)
{
	int n = config_setting_length(list);
	char label[CONFIG_NAME_LEN + 16];

	if (n < 1 || n > (int)ABI_PORTS_MAX)
		return config__fail(error, list, "ports has %d ports, must have 1 to %u", n,
		                    ABI_PORTS_MAX);
	for (unsigned int i = 0; i < (unsigned int)n; i++) {
		struct config_port *port = &config->ports[i];

		port->mtu = 1500;
		port->tap[0] = '/'; /* no interface can be called so: not given */
		if (read_list_element(&config__port, list, i, port, label, sizeof(label), error)
		    < 0)
			return -EINVAL;
		if (port->tap[0] == '/')
			snprintf(port->tap, sizeof(port->tap), "weir-%.10s", port->name);
	}
	config->n_ports = (uint32_t)n;
	return 0;
}

int config__preshared_key_read(const char *path, uint8_t key[static 32], const char **wrong)
{
	char text[BASE_KEY_BASE64_LEN + 1] = {0};
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int result = -EINVAL;

	if (fd < 0) {
		*wrong = strerror(errno);
		return -EINVAL;
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		*wrong = "not a regular file";
	} else if (st.st_mode & 077) {
		*wrong = "others can read or write it (chmod 600)";
	} else {
		ssize_t len = read(fd, text, sizeof(text));

		if (len == BASE_KEY_BASE64_LEN && text[BASE_KEY_BASE64_LEN - 1] == '\n')
			text[--len] = '\0';
		if (len == BASE_KEY_BASE64_LEN - 1 && base_key_from_base64(key, text) == 0)
			result = 0;
		else
			*wrong = "not a key: one line with 44 characters of base64";
	}
	base_wipe(text, sizeof(text));
	close(fd);
	return result;
}

/* Elements of all lists of allowed IPs. */
static size_t count_allowed_ips(config_setting_t *list)
{
	size_t n = 0;

	for (unsigned int i = 0; i < (unsigned int)config_setting_length(list); i++) {
		config_setting_t *element = config_setting_get_elem(list, i);
		config_setting_t *ips = config_setting_is_group(element)
		                                ? config_setting_get_member(element, "allowed_ips")
		                                : NULL;

		n += ips ? (size_t)config_setting_length(ips) : 0;
	}
	return n;
}

static int read_peers(struct config *config, config_setting_t *list,
                      const struct config_error *error)
{
	unsigned int n = (unsigned int)config_setting_length(list);
	char label[CONFIG_NAME_LEN + 16];
	struct base_prefix *ips;
	const char *path;
	const char *wrong = "";

	if (n > config->max_peers)
		return config__fail(error, list,
		                    "peers has %u peers, must have at most %u "
		                    "(dataplane.max_peers)",
		                    n, config->max_peers);
	if (n == 0)
		return 0;
	config->peers = calloc(n, sizeof(*config->peers));
	config->allowed_ips = calloc(count_allowed_ips(list) + 1, sizeof(*config->allowed_ips));
	if (!config->peers || !config->allowed_ips)
		return -ENOMEM;
	config->n_peers = n;
	ips = config->allowed_ips;
	for (unsigned int i = 0; i < n; i++) {
		config_setting_t *element = config_setting_get_elem(list, i);
		struct config_peer *peer = &config->peers[i];

		peer->line = (int)config_setting_source_line(element);
		peer->allowed_ips = ips;
		if (read_list_element(&config__peer, list, i, peer, label, sizeof(label), error)
		    < 0)
			return -EINVAL;
		ips += peer->n_allowed_ips;
		if (!peer->has_preshared_key
		    || !config_setting_lookup_string(element, "preshared_key_file", &path))
			continue;
		if (config__preshared_key_read(path, peer->preshared_key, &wrong) < 0)
			return config__fail(
				error, config_setting_get_member(element, "preshared_key_file"),
				"%s: preshared_key_file \"%s\": %s", label, path, wrong);
	}
	return 0;
}

static void set_defaults(struct config *config)
{
	config->listen_port = 51820;
	snprintf(config->private_key_file, sizeof(config->private_key_file),
	         "/var/lib/weir/hub.key");
	snprintf(config->tunnel_device, sizeof(config->tunnel_device), "weir0");
	config->tunnel_mtu = 1420;
	config->preshared_key = CONFIG_PSK_REQUIRED;
	config->n_workers = 1;
	for (size_t i = 0; i < ABI_WORKERS_MAX; i++)
		config->cores[i] = -1;
	config->idle_cap_us = 100;
	config->aead = ABI_AEAD_AUTO;
	config->use_hugepages = true;
	config->max_peers = 1024;
	snprintf(config->run_dir, sizeof(config->run_dir), "/run/weir");
	snprintf(config->store, sizeof(config->store), "/var/lib/weir/weir.db");
	snprintf(config->user, sizeof(config->user), "nobody");
	config->handshake_threads = 1;
	config->quota_day = 1;
	config->wg_socket = CONFIG_WG_READ_WRITE;
	config->log_level = BASE_LOG_INFO;
	config->trail_records = 1000000;
	config->drift_check_s = 60;
	config->drift_repair = true;
	config->key_age_days = 365;
	config->unused_grant_days = 90;
	config->stale_after_s = 180;
}

/* Names and kinds of the top level's settings. */
static int check_sections(config_setting_t *root, const struct config_error *error)
{
	char shown[CONFIG_SHOWN_LEN];

	for (unsigned int i = 0; i < (unsigned int)config_setting_length(root); i++) {
		config_setting_t *setting = config_setting_get_elem(root, i);
		const char *name = config_setting_name(setting);
		size_t s = 0;

		while (s < BASE_ARRAY_LEN(sections) && strcmp(sections[s].object->name, name) != 0)
			s++;
		if (s == BASE_ARRAY_LEN(sections))
			return config__fail(error, setting,
			                    "unknown key \"%s\", nearest known is \"%s\"", name,
			                    nearest(name, NULL));
		if (sections[s].kind == SECTION_GROUP && !config_setting_is_group(setting))
			return config__fail(error, setting, "%s is %s, must be a group { ... }",
			                    name, config__show(setting, shown));
		if (sections[s].kind == SECTION_LIST && !config_setting_is_list(setting))
			return config__fail(error, setting,
			                    "%s is %s, must be a list ( { ... }, { ... } )", name,
			                    config__show(setting, shown));
	}
	return 0;
}

static int check_missing(config_setting_t *root, const struct config_error *error)
{
	for (size_t s = 0; s < BASE_ARRAY_LEN(sections); s++)
		if (sections[s].required
		    && !config_setting_get_member(root, sections[s].object->name)) {
			snprintf(error->text, error->len, "%s: %s is missing", error->path,
			         sections[s].object->name);
			return -EINVAL;
		}
	return 0;
}

static int read_root(struct config *config, config_setting_t *root,
                     const struct config_error *error)
{
	static const struct config_object *const groups[] = {
		&config__hub,    &config__dataplane, &config__control, &config__edge,
		&config__policy, &config__events,    &config__debug,   &config__limits,
	};
	config_setting_t *list;
	int err = check_sections(root, error);

	if (err < 0)
		return err;
	for (size_t i = 0; i < BASE_ARRAY_LEN(groups); i++) {
		const char *name = groups[i]->name;
		config_setting_t *group = config_setting_get_member(root, name);

		if (!group)
			continue;
		err = read_group(groups[i], name, group, config, error);
		if (err < 0)
			return err;
	}
	err = check_missing(root, error);
	if (err < 0)
		return err;
	err = read_ports(config, config_setting_get_member(root, config__port.name), error);
	if (err < 0)
		return err;
	list = config_setting_get_member(root, config__peer.name);
	err = list ? read_peers(config, list, error) : 0;
	return err < 0 ? err : config__check(config, root, error);
}

int config_load(const char *path, struct config **out, char *error, size_t error_len)
{
	struct config_error where = {.path = path, .text = error, .len = error_len};
	struct config *config;
	char *text = NULL;
	size_t len = 0;
	config_t lib;
	int err;

	config_init(&lib);
	config = calloc(1, sizeof(*config));
	if (!config) {
		err = -ENOMEM;
		goto out;
	}
	if (snprintf(config->path, sizeof(config->path), "%s", path) >= (int)sizeof(config->path)) {
		snprintf(error, error_len, "%.40s...: path is longer than %zu bytes", path,
		         sizeof(config->path) - 1);
		err = -ENAMETOOLONG;
		goto out;
	}
	err = config__text_read(&where, &text, &len);
	if (err == 0)
		err = config__text_check(&where, text, len);
	if (err < 0)
		goto out;
	if (!config_read_string(&lib, text)) {
		snprintf(error, error_len, "%s:%d: %s", path, config_error_line(&lib),
		         config_error_text(&lib));
		err = -EINVAL;
		goto out;
	}
	set_defaults(config);
	err = read_root(config, config_root_setting(&lib), &where);
out:
	config_destroy(&lib);
	free(text);
	if (err == 0) {
		*out = config;
		return 0;
	}
	if (err == -ENOMEM)
		snprintf(error, error_len, "%s: not enough memory", path);
	config_unload(config);
	return err;
}

void config_unload(struct config *config)
{
	if (!config)
		return;
	if (config->peers)
		base_wipe(config->peers, config->n_peers * sizeof(*config->peers));
	free(config->peers);
	free(config->allowed_ips);
	free(config);
}
