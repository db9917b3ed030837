/* What reading and writing of such texts share. */
#include "grant_object.h"

#include "grant_part.h"

#include <errno.h>
#include <string.h>

int grant_object_line(const config_setting_t *setting)
{
	return (int)config_setting_source_line(setting);
}

int grant_object_wrong(const struct grant_object *place, const config_setting_t *setting,
                       const char *verb, const char *value, const char *must)
{
	const char *key = config_setting_name(setting);
	const char *quote = value ? "\"" : "";

	if (!key)
		key = config_setting_name(config_setting_parent(setting));
	place->error->line = grant_object_line(setting);
	return grant_refuse(place->error, -EINVAL, "invalid", NULL,
	                    "%s \"%s\": %s %s %s%.80s%s, must be %s", place->kind, place->name, key,
	                    verb, quote, value ? value : "not text", quote, must);
}

int grant_object_list_len(const struct grant_object *place, const config_setting_t *setting,
                          int max)
{
	if (!config_setting_is_list(setting) && !config_setting_is_array(setting)) {
		place->error->line = grant_object_line(setting);
		return grant_refuse(place->error, -EINVAL, "invalid", NULL,
		                    "%s \"%s\": %s must be a list of texts, [ \"...\", \"...\" ]",
		                    place->kind, place->name, config_setting_name(setting));
	}
	if (config_setting_length(setting) > max) {
		place->error->line = grant_object_line(setting);
		return grant_refuse(place->error, -EINVAL, "invalid", NULL,
		                    "%s \"%s\": %s has %d elements, must be at most %d",
		                    place->kind, place->name, config_setting_name(setting),
		                    config_setting_length(setting), max);
	}
	return config_setting_length(setting);
}

int grant_object_missing(const struct grant_object *place, const config_setting_t *object,
                         const char *key, const char *must)
{
	place->error->line = grant_object_line(object);
	return grant_refuse(place->error, -EINVAL, "invalid", NULL,
	                    "%s \"%s\": %s is missing, must be %s", place->kind, place->name, key,
	                    must);
}

int grant_object_unknown(const struct grant_object *place, const config_setting_t *setting,
                         const char *known)
{
	place->error->line = grant_object_line(setting);
	return grant_refuse(place->error, -EINVAL, "invalid", NULL,
	                    "%s \"%s\": there is no key \"%.40s\", only %s", place->kind,
	                    place->name, config_setting_name(setting), known);
}

int grant_object_begin(struct grant_object *place, const config_setting_t *object,
                       char name[static CONFIG_NAME_LEN])
{
	const config_setting_t *setting;
	const char *text;

	place->name = "";
	if (!config_setting_is_group(object)) {
		place->error->line = grant_object_line(object);
		return grant_refuse(place->error, -EINVAL, "invalid", NULL,
		                    "%ss must be a list of { name = \"...\"; ... }", place->kind);
	}
	setting = config_setting_get_member(object, "name");
	if (!setting)
		return grant_object_missing(place, object, "name", GRANT_NAME_MUST);
	text = config_setting_get_string(setting);
	if (!text || !grant_name_is_good(text))
		return grant_object_wrong(place, setting, "is", text, GRANT_NAME_MUST);
	memcpy(name, text, strlen(text) + 1);
	place->name = name;
	return 0;
}

int grant_object_list(const config_setting_t *list, const char *kind, grant_object_fn *read,
                      void *out, struct grant_error *error)
{
	struct grant_object place = {.kind = kind, .name = "", .error = error};
	int err = 0;

	if (!config_setting_is_list(list)) {
		error->line = grant_object_line(list);
		return grant_refuse(error, -EINVAL, "invalid", NULL,
		                    "%ss must be a list: ( { name = \"...\"; ... }, ... )", kind);
	}
	for (int i = 0; err == 0 && i < config_setting_length(list); i++)
		err = read(&place, config_setting_get_elem(list, (unsigned int)i), out);
	if (err == -ENOMEM && error->text[0] == '\0')
		grant_refuse(error, err, "failed", NULL, "not enough memory");
	return err;
}

static int refuse_include(const char *text, const char *what, struct grant_error *error)
{
	static const char word[] = "@include";
	int line = 1;

	for (; *text != '\0'; line++) {
		text += strspn(text, " \t\r");
		if (strncmp(text, word, sizeof(word) - 1) == 0) {
			error->line = line;
			return grant_refuse(error, -EINVAL, "invalid", NULL,
			                    "@include is not for a %s: write it in one file", what);
		}
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	return 0;
}

int grant_object_parse(config_t *config, const char *text, const char *what,
                       struct grant_error *error)
{
	int err = refuse_include(text, what, error);

	if (err < 0 || config_read_string(config, text) == CONFIG_TRUE)
		return err;
	error->line = config_error_line(config);
	return grant_refuse(error, -EINVAL, "invalid", NULL, "%s", config_error_text(config));
}

/* ---- writing ------------------------------------------------------------------------------------ */

/* Only these two need an escape, since our texts have no control characters. */
void grant_object_put_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

void grant_object_put_key(FILE *out, const char *key, const char *text)
{
	fprintf(out, " %s = ", key);
	grant_object_put_string(out, text);
	fputc(';', out);
}

void grant_object_put_list(FILE *out, const char *key, const void *objects, uint32_t n, size_t size,
                           grant_object_put_fn *put)
{
	fprintf(out, "%s: (\n", key);
	for (uint32_t i = 0; i < n; i++) {
		fputc('\t', out);
		put((const char *)objects + i * size, out);
		fputs(i + 1 < n ? ",\n" : "\n", out);
	}
	fputs(");\n", out);
}
