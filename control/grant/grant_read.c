/* Text to policy: libconfig takes the text apart, everything else is judged here, with its line. */
#include "base_bytes.h"
#include "grant_part.h"
#include "grant_text.h"

#include <libconfig.h>

#include <errno.h>
#include <string.h>

/* The object that is being read, for messages. */
struct place {
	const char *kind; /* "group", "grant" */
	const char *name; /* or "" */
	struct grant_error *error;
};

static int line_of(const config_setting_t *setting)
{
	return (int)config_setting_source_line(setting);
}

/* "grant "web": protocol is "tpc", must be ..." */
static int wrong(const struct place *place, const config_setting_t *setting, const char *verb,
                 const char *value, const char *must)
{
	const char *key = config_setting_name(setting);
	const char *quote = value ? "\"" : "";

	if (!key)
		key = config_setting_name(config_setting_parent(setting));
	place->error->line = line_of(setting);
	return grant_refuse(place->error, -EINVAL, "invalid", NULL,
	                    "%s \"%s\": %s %s %s%.80s%s, must be %s", place->kind, place->name, key,
	                    verb, quote, value ? value : "not text", quote, must);
}

/* ---- values ------------------------------------------------------------------------------------- */

static int copy_text(const struct place *place, const config_setting_t *setting, char *out,
                     size_t size)
{
	const char *text = config_setting_get_string(setting);

	if (!text || !grant_text_is_good(text, size - 1))
		return wrong(place, setting, "is", text, GRANT_TEXT_MUST);
	memcpy(out, text, strlen(text) + 1);
	return 0;
}

static int copy_name(const struct place *place, const config_setting_t *setting, char *out)
{
	const char *text = config_setting_get_string(setting);

	if (!text || !grant_name_is_good(text))
		return wrong(place, setting, "is", text, GRANT_NAME_MUST);
	memcpy(out, text, strlen(text) + 1);
	return 0;
}

static int read_party(const struct place *place, const config_setting_t *setting, bool is_who,
                      struct grant_party *out)
{
	const char *text = config_setting_get_string(setting);

	if (!text || grant_party_parse(text, is_who, out) < 0)
		return wrong(place, setting, "is", text, is_who ? GRANT_WHO_MUST : GRANT_TO_MUST);
	return 0;
}

static int read_time(const struct place *place, const config_setting_t *setting, uint64_t *out)
{
	const char *text = config_setting_get_string(setting);

	if (!text || grant_time_parse(text, out) < 0)
		return wrong(place, setting, "is", text, GRANT_TIME_MUST);
	return 0;
}

/* Number of elements of a list or array of at most max, or -EINVAL. */
static int list_len(const struct place *place, const config_setting_t *setting, int max)
{
	if (!config_setting_is_list(setting) && !config_setting_is_array(setting)) {
		place->error->line = line_of(setting);
		return grant_refuse(place->error, -EINVAL, "invalid", NULL,
		                    "%s \"%s\": %s must be a list of texts, [ \"...\", \"...\" ]",
		                    place->kind, place->name, config_setting_name(setting));
	}
	if (config_setting_length(setting) > max) {
		place->error->line = line_of(setting);
		return grant_refuse(place->error, -EINVAL, "invalid", NULL,
		                    "%s \"%s\": %s has %d elements, must be at most %d",
		                    place->kind, place->name, config_setting_name(setting),
		                    config_setting_length(setting), max);
	}
	return config_setting_length(setting);
}

static int read_ports(const struct place *place, const config_setting_t *setting,
                      struct grant *grant)
{
	int n = list_len(place, setting, GRANT_PORTS_MAX);

	for (int i = 0; i < n; i++) {
		const config_setting_t *one = config_setting_get_elem(setting, (unsigned int)i);
		const char *text = config_setting_get_string(one);

		if (!text || grant_range_parse(text, &grant->ports[i]) < 0)
			return wrong(place, one, "has", text, GRANT_PORT_MUST);
	}
	if (n < 0)
		return n;
	grant->n_ports = grant_ranges_join(grant->ports, (uint32_t)n);
	return 0;
}

static int read_windows(const struct place *place, const config_setting_t *setting,
                        struct grant *grant)
{
	int n = list_len(place, setting, GRANT_WINDOWS_MAX);

	for (int i = 0; i < n; i++) {
		const config_setting_t *one = config_setting_get_elem(setting, (unsigned int)i);
		const char *text = config_setting_get_string(one);

		if (!text || grant_window_parse(text, &grant->windows[i]) < 0)
			return wrong(place, one, "has", text, GRANT_WINDOW_MUST);
	}
	if (n < 0)
		return n;
	grant->n_windows = (uint32_t)n;
	return 0;
}

/* ---- objects ------------------------------------------------------------------------------------ */

static int missing(const struct place *place, const config_setting_t *object, const char *key,
                   const char *must)
{
	place->error->line = line_of(object);
	return grant_refuse(place->error, -EINVAL, "invalid", NULL,
	                    "%s \"%s\": %s is missing, must be %s", place->kind, place->name, key,
	                    must);
}

static int unknown(const struct place *place, const config_setting_t *setting, const char *known)
{
	place->error->line = line_of(setting);
	return grant_refuse(place->error, -EINVAL, "invalid", NULL,
	                    "%s \"%s\": there is no key \"%.40s\", only %s", place->kind,
	                    place->name, config_setting_name(setting), known);
}

/* Every object is a group of settings with a name. */
static int begin_object(struct place *place, const config_setting_t *object, char *name)
{
	const config_setting_t *setting;

	place->name = "";
	if (!config_setting_is_group(object)) {
		place->error->line = line_of(object);
		return grant_refuse(place->error, -EINVAL, "invalid", NULL,
		                    "%ss must be a list of { name = \"...\"; ... }", place->kind);
	}
	setting = config_setting_get_member(object, "name");
	if (!setting)
		return missing(place, object, "name", GRANT_NAME_MUST);
	if (copy_name(place, setting, name) < 0)
		return -EINVAL;
	place->name = name;
	return 0;
}

static int read_grant_key(const struct place *place, const config_setting_t *setting,
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
		               : wrong(place, setting, "is", text, GRANT_PROTO_MUST);
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
	return unknown(place, setting,
	               "name, who, to, protocol, ports, from, until, windows, comment, author");
}

static int read_grant(struct place *place, const config_setting_t *object, struct grant_policy *out)
{
	struct grant grant = {.line = line_of(object)};
	int err = begin_object(place, object, grant.name);

	for (int i = 0; err == 0 && i < config_setting_length(object); i++)
		err = read_grant_key(place, config_setting_get_elem(object, (unsigned int)i),
		                     &grant);
	if (err == 0 && !config_setting_get_member(object, "who"))
		err = missing(place, object, "who", GRANT_WHO_MUST);
	if (err == 0 && !config_setting_get_member(object, "to"))
		err = missing(place, object, "to", GRANT_TO_MUST);
	if (err == 0 && !config_setting_get_member(object, "protocol"))
		err = missing(place, object, "protocol", GRANT_PROTO_MUST);
	if (err < 0)
		return err;
	err = grant_append(out, &grant);
	if (err == 0)
		return 0;
	place->error->line = grant.line;
	return grant_refuse(place->error, err, "full", NULL, "grant \"%s\": %s", grant.name,
	                    err == -ENOSPC ? "there are more than 16384" : strerror(-err));
}

static int read_members(const struct place *place, const config_setting_t *setting,
                        struct grant_group *group)
{
	int n = list_len(place, setting, GRANT_MEMBERS_MAX);
	int err = n < 0 ? n : 0;

	for (int i = 0; i < n && err == 0; i++) {
		const config_setting_t *one = config_setting_get_elem(setting, (unsigned int)i);
		char name[CONFIG_NAME_LEN];

		err = copy_name(place, one, name);
		if (err < 0)
			break;
		err = grant_member_add(group, name);
		if (err == -EEXIST)
			return wrong(place, one, "has", name, "each name once");
	}
	return err;
}

static int read_group(struct place *place, const config_setting_t *object, struct grant_policy *out)
{
	char name[CONFIG_NAME_LEN];
	struct grant_group *group;
	int err = begin_object(place, object, name);

	if (err < 0)
		return err;
	err = grant_group_append(out, name, "", 0);
	if (err < 0) {
		place->error->line = line_of(object);
		return grant_refuse(place->error, err, "full", NULL, "group \"%s\": %s", name,
		                    err == -ENOSPC ? "there are more than 4096" : strerror(-err));
	}
	group = &out->groups[out->n_groups - 1];
	group->line = line_of(object);
	for (int i = 0; err == 0 && i < config_setting_length(object); i++) {
		const config_setting_t *setting = config_setting_get_elem(object, (unsigned int)i);
		const char *key = config_setting_name(setting);

		if (strcmp(key, "members") == 0)
			err = read_members(place, setting, group);
		else if (strcmp(key, "comment") == 0)
			err = copy_text(place, setting, group->comment, sizeof(group->comment));
		else if (strcmp(key, "name") != 0)
			err = unknown(place, setting, "name, members, comment");
	}
	return err;
}

/* ---- the text ----------------------------------------------------------------------------------- */

typedef int read_fn(struct place *place, const config_setting_t *object, struct grant_policy *out);

static int read_list(const config_setting_t *list, const char *kind, read_fn *read,
                     struct grant_policy *out, struct grant_error *error)
{
	struct place place = {.kind = kind, .name = "", .error = error};
	int err = 0;

	if (!config_setting_is_list(list)) {
		error->line = line_of(list);
		return grant_refuse(error, -EINVAL, "invalid", NULL,
		                    "%ss must be a list: ( { name = \"...\"; ... }, ... )", kind);
	}
	for (int i = 0; err == 0 && i < config_setting_length(list); i++)
		err = read(&place, config_setting_get_elem(list, (unsigned int)i), out);
	if (err == -ENOMEM && error->text[0] == '\0')
		grant_refuse(error, err, "failed", NULL, "not enough memory");
	return err;
}

static int read_root(const config_setting_t *root, struct grant_policy *out,
                     struct grant_error *error)
{
	int err = 0;

	for (int i = 0; err == 0 && i < config_setting_length(root); i++) {
		const config_setting_t *setting = config_setting_get_elem(root, (unsigned int)i);
		const char *key = config_setting_name(setting);

		if (strcmp(key, "groups") == 0) {
			err = read_list(setting, "group", read_group, out, error);
		} else if (strcmp(key, "grants") == 0) {
			err = read_list(setting, "grant", read_grant, out, error);
		} else {
			error->line = line_of(setting);
			err = grant_refuse(error, -EINVAL, "invalid", NULL,
			                   "there is no key \"%.40s\", only groups and grants",
			                   key);
		}
	}
	return err;
}

/* libconfig would open other files of this machine for whoever sends a text. */
static int refuse_include(const char *text, struct grant_error *error)
{
	static const char word[] = "@include";
	int line = 1;

	for (; *text != '\0'; line++) {
		text += strspn(text, " \t\r");
		if (strncmp(text, word, sizeof(word) - 1) == 0) {
			error->line = line;
			return grant_refuse(error, -EINVAL, "invalid", NULL,
			                    "@include is not for a policy: write it in one file");
		}
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	return 0;
}

int grant_read(const char *text, struct grant_policy *out, struct grant_error *error)
{
	config_t config;
	int err;

	grant_policy_init(out);
	memset(error, 0, sizeof(*error));
	err = refuse_include(text, error);
	if (err < 0)
		return err;
	config_init(&config);
	if (config_read_string(&config, text) == CONFIG_TRUE) {
		err = read_root(config_root_setting(&config), out, error);
	} else {
		error->line = config_error_line(&config);
		err = grant_refuse(error, -EINVAL, "invalid", NULL, "%s",
		                   config_error_text(&config));
	}
	config_destroy(&config);
	if (err == 0)
		err = grant_policy_sort(out, error);
	if (err < 0)
		grant_policy_fini(out);
	return err;
}
