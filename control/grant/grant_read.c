/* Text to policy: libconfig takes the text apart, everything else is judged here, with its line. */
#include "base_bytes.h"
#include "grant_object.h"
#include "grant_part.h"
#include "grant_text.h"

#include <errno.h>
#include <string.h>

/* ---- values ------------------------------------------------------------------------------------- */

static int copy_text(const struct grant_object *place, const config_setting_t *setting, char *out,
                     size_t size)
{
	const char *text = config_setting_get_string(setting);

	if (!text || !grant_text_is_good(text, size - 1))
		return grant_object_wrong(place, setting, "is", text, GRANT_TEXT_MUST);
	memcpy(out, text, strlen(text) + 1);
	return 0;
}

static int copy_name(const struct grant_object *place, const config_setting_t *setting, char *out)
{
	const char *text = config_setting_get_string(setting);

	if (!text || !grant_name_is_good(text))
		return grant_object_wrong(place, setting, "is", text, GRANT_NAME_MUST);
	memcpy(out, text, strlen(text) + 1);
	return 0;
}

static int read_party(const struct grant_object *place, const config_setting_t *setting,
                      bool is_who, struct grant_party *out)
{
	const char *text = config_setting_get_string(setting);

	if (!text || grant_party_parse(text, is_who, out) < 0)
		return grant_object_wrong(place, setting, "is", text,
		                          is_who ? GRANT_WHO_MUST : GRANT_TO_MUST);
	return 0;
}

static int read_time(const struct grant_object *place, const config_setting_t *setting,
                     uint64_t *out)
{
	const char *text = config_setting_get_string(setting);

	if (!text || grant_time_parse(text, out) < 0)
		return grant_object_wrong(place, setting, "is", text, GRANT_TIME_MUST);
	return 0;
}

static int read_ports(const struct grant_object *place, const config_setting_t *setting,
                      struct grant *grant)
{
	int n = grant_object_list_len(place, setting, GRANT_PORTS_MAX);

	for (int i = 0; i < n; i++) {
		const config_setting_t *one = config_setting_get_elem(setting, (unsigned int)i);
		const char *text = config_setting_get_string(one);

		if (!text || grant_range_parse(text, &grant->ports[i]) < 0)
			return grant_object_wrong(place, one, "has", text, GRANT_PORT_MUST);
	}
	if (n < 0)
		return n;
	grant->n_ports = grant_ranges_join(grant->ports, (uint32_t)n);
	return 0;
}

static int read_windows(const struct grant_object *place, const config_setting_t *setting,
                        struct grant *grant)
{
	int n = grant_object_list_len(place, setting, GRANT_WINDOWS_MAX);

	for (int i = 0; i < n; i++) {
		const config_setting_t *one = config_setting_get_elem(setting, (unsigned int)i);
		const char *text = config_setting_get_string(one);

		if (!text || grant_window_parse(text, &grant->windows[i]) < 0)
			return grant_object_wrong(place, one, "has", text, GRANT_WINDOW_MUST);
	}
	if (n < 0)
		return n;
	grant->n_windows = (uint32_t)n;
	return 0;
}

/* ---- objects ------------------------------------------------------------------------------------ */

static int read_grant_key(const struct grant_object *place, const config_setting_t *setting,
                          struct grant *grant)
{
	const char *key = config_setting_name(setting);
	const char *text = config_setting_get_string(setting);

	if (strcmp(key, "name") == 0)
		return 0;
	if (strcmp(key, "who") == 0)
		return read_party(place, setting, true, &grant->who);
	if (strcmp(key, "to") == 0)
		return read_party(place, setting, false, &grant->to);
	if (strcmp(key, "protocol") == 0)
		return text && grant_protocol_parse(text, &grant->protocol) == 0
		               ? 0
		               : grant_object_wrong(place, setting, "is", text, GRANT_PROTO_MUST);
	if (strcmp(key, "ports") == 0)
		return read_ports(place, setting, grant);
	if (strcmp(key, "from") == 0)
		return read_time(place, setting, &grant->from_s);
	if (strcmp(key, "until") == 0)
		return read_time(place, setting, &grant->until_s);
	if (strcmp(key, "windows") == 0)
		return read_windows(place, setting, grant);
	if (strcmp(key, "comment") == 0)
		return copy_text(place, setting, grant->comment, sizeof(grant->comment));
	if (strcmp(key, "author") == 0)
		return copy_text(place, setting, grant->author, sizeof(grant->author));
	return grant_object_unknown(
		place, setting,
		"name, who, to, protocol, ports, from, until, windows, comment, author");
}

static int read_grant(struct grant_object *place, const config_setting_t *object, void *arg)
{
	struct grant_policy *out = arg;
	struct grant grant = {.line = grant_object_line(object)};
	int err = grant_object_begin(place, object, grant.name);

	for (int i = 0; err == 0 && i < config_setting_length(object); i++)
		err = read_grant_key(place, config_setting_get_elem(object, (unsigned int)i),
		                     &grant);
	if (err == 0 && !config_setting_get_member(object, "who"))
		err = grant_object_missing(place, object, "who", GRANT_WHO_MUST);
	if (err == 0 && !config_setting_get_member(object, "to"))
		err = grant_object_missing(place, object, "to", GRANT_TO_MUST);
	if (err == 0 && !config_setting_get_member(object, "protocol"))
		err = grant_object_missing(place, object, "protocol", GRANT_PROTO_MUST);
	if (err < 0)
		return err;
	err = grant_append(out, &grant);
	if (err == 0)
		return 0;
	place->error->line = grant.line;
	return grant_refuse(place->error, err, "full", NULL, "grant \"%s\": %s", grant.name,
	                    err == -ENOSPC ? "there are more than 16384" : strerror(-err));
}

static int read_members(const struct grant_object *place, const config_setting_t *setting,
                        struct grant_group *group)
{
	int n = grant_object_list_len(place, setting, GRANT_MEMBERS_MAX);
	int err = n < 0 ? n : 0;

	for (int i = 0; i < n && err == 0; i++) {
		const config_setting_t *one = config_setting_get_elem(setting, (unsigned int)i);
		char name[CONFIG_NAME_LEN];

		err = copy_name(place, one, name);
		if (err < 0)
			break;
		err = grant_member_add(group, name);
		if (err == -EEXIST)
			return grant_object_wrong(place, one, "has", name, "each name once");
	}
	return err;
}

static int read_group(struct grant_object *place, const config_setting_t *object, void *arg)
{
	struct grant_policy *out = arg;
	char name[CONFIG_NAME_LEN];
	struct grant_group *group;
	int err = grant_object_begin(place, object, name);

	if (err < 0)
		return err;
	err = grant_group_append(out, name, "", 0);
	if (err < 0) {
		place->error->line = grant_object_line(object);
		return grant_refuse(place->error, err, "full", NULL, "group \"%s\": %s", name,
		                    err == -ENOSPC ? "there are more than 4096" : strerror(-err));
	}
	group = &out->groups[out->n_groups - 1];
	group->line = grant_object_line(object);
	for (int i = 0; err == 0 && i < config_setting_length(object); i++) {
		const config_setting_t *setting = config_setting_get_elem(object, (unsigned int)i);
		const char *key = config_setting_name(setting);

		if (strcmp(key, "members") == 0)
			err = read_members(place, setting, group);
		else if (strcmp(key, "comment") == 0)
			err = copy_text(place, setting, group->comment, sizeof(group->comment));
		else if (strcmp(key, "name") != 0)
			err = grant_object_unknown(place, setting, "name, members, comment");
	}
	return err;
}

/* ---- the text ----------------------------------------------------------------------------------- */

static int read_root(const config_setting_t *root, struct grant_policy *out,
                     struct grant_error *error)
{
	int err = 0;

	for (int i = 0; err == 0 && i < config_setting_length(root); i++) {
		const config_setting_t *setting = config_setting_get_elem(root, (unsigned int)i);
		const char *key = config_setting_name(setting);

		if (strcmp(key, "groups") == 0) {
			err = grant_object_list(setting, "group", read_group, out, error);
		} else if (strcmp(key, "grants") == 0) {
			err = grant_object_list(setting, "grant", read_grant, out, error);
		} else {
			error->line = grant_object_line(setting);
			err = grant_refuse(error, -EINVAL, "invalid", NULL,
			                   "there is no key \"%.40s\", only groups and grants",
			                   key);
		}
	}
	return err;
}

int grant_read(const char *text, struct grant_policy *out, struct grant_error *error)
{
	config_t config;
	int err;

	grant_policy_init(out);
	memset(error, 0, sizeof(*error));
	config_init(&config);
	err = grant_object_parse(&config, text, "policy", error);
	if (err == 0)
		err = read_root(config_root_setting(&config), out, error);
	config_destroy(&config);
	if (err == 0)
		err = grant_policy_sort(out, error);
	if (err < 0)
		grant_policy_fini(out);
	return err;
}
