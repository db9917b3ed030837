/* From words to a command and its parameters. Options may stand anywhere behind their command;
 * those of weir itself anywhere at all. A lone "-" is a word: standard input, where a file is due. */
#include "weir.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_LEN_MAX (48 * 1024 * 1024) /* fits a request, with what JSON adds */

__attribute__((format(printf, 2, 3))) static int wrong(struct weir_line *line, const char *format,
                                                       ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(line->error, sizeof(line->error), format, args);
	va_end(args);
	return WEIR_USAGE;
}

/* ---- the command -------------------------------------------------------------------------------- */

static bool begins_command(const char *word)
{
	for (size_t i = 0; i < weir_n_commands; i++)
		if (strcmp(weir_commands[i].words[0], word) == 0)
			return true;
	return false;
}

static const struct weir_command *find_command(const char *first, const char *second)
{
	for (size_t i = 0; i < weir_n_commands; i++) {
		const struct weir_command *command = &weir_commands[i];

		if (strcmp(command->words[0], first) != 0)
			continue;
		if (!command->words[1] || (second && strcmp(command->words[1], second) == 0))
			return command;
	}
	return NULL;
}

/* Words until a command is known. */
static int take_command_word(struct weir_line *line, const char *word)
{
	if (!line->words[0]) {
		if (strcmp(word, "run") == 0 || strcmp(word, "upgrade") == 0
		    || strcmp(word, "help") == 0)
			return wrong(line, "%s comes before every option: weir %s ...", word, word);
		if (!begins_command(word))
			return wrong(line, "there is no command \"%.40s\"", word);
		line->words[0] = word;
		line->command = find_command(word, NULL);
		return WEIR_DONE;
	}
	line->words[1] = word;
	line->command = find_command(line->words[0], word);
	if (!line->command)
		return wrong(line, "there is no command \"%s %.40s\"", line->words[0], word);
	return WEIR_DONE;
}

/* ---- values ------------------------------------------------------------------------------------- */

static const char *label(const struct weir_argument *argument)
{
	return argument->option ? argument->option : argument->value;
}

static int take_integer(struct weir_line *line, const struct weir_argument *argument,
                        const char *text, json_t **out)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (*text == '\0' || *end != '\0' || errno != 0 || value < argument->min
	    || value > argument->max)
		return wrong(line, "%s is %s%.60s%s, must be %s", label(argument),
		             *end == '\0' && end != text ? "" : "\"", text,
		             *end == '\0' && end != text ? "" : "\"", argument->allowed);
	*out = json_integer(value);
	return WEIR_DONE;
}

/* NULL when an element is not text in UTF-8. */
static json_t *make_list(const char *text, char separator)
{
	json_t *array = json_array();

	const char set[] = {separator, '\0'};

	while (*text != '\0') {
		size_t len;

		text += strspn(text, " ");
		len = strcspn(text, set);

		if (json_array_append_new(array, json_stringn(text, len)) < 0) {
			json_decref(array);
			return NULL;
		}
		text += len;
		text += *text == separator;
	}
	return array;
}

/* The whole file as {name, text}: the hub reads no files of its clients. */
static int take_file(struct weir_line *line, const struct weir_argument *argument, const char *path,
                     json_t **out)
{
	bool standard = strcmp(path, "-") == 0;
	FILE *file = standard ? stdin : fopen(path, "re");
	char *text = file ? malloc(FILE_LEN_MAX + 1) : NULL;
	size_t len = text ? fread(text, 1, FILE_LEN_MAX + 1, file) : 0;
	bool bad = !text || ferror(file);
	int err = errno;

	if (file && !standard)
		fclose(file);
	/* The hub reads no zero byte, and would speak of JSON. */
	if (!bad && len <= FILE_LEN_MAX && memchr(text, '\0', len) == NULL)
		*out = json_pack("{s:s, s:o}", "name", standard ? "standard input" : path, "text",
		                 json_stringn(text, len));
	free(text);
	if (bad)
		return wrong(line, "%s: %.200s: %s", label(argument), path, strerror(err));
	if (len > FILE_LEN_MAX)
		return wrong(line, "%s: %.200s is longer than %d bytes", label(argument), path,
		             FILE_LEN_MAX);
	return *out ? WEIR_DONE
	            : wrong(line, "%s: %.200s is not text in UTF-8", label(argument), path);
}

static int take_value(struct weir_line *line, const struct weir_argument *argument,
                      const char *text)
{
	json_t *into = argument->local ? line->local : line->params;
	json_t *value = NULL;

	if (json_object_get(into, argument->name))
		return wrong(line, "%s is given twice", label(argument));
	switch (argument->kind) {
	case WEIR_FLAG:
		value = json_true();
		break;
	case WEIR_INTEGER:
		if (take_integer(line, argument, text, &value) != WEIR_DONE)
			return WEIR_USAGE;
		break;
	case WEIR_LIST:
		value = make_list(text, argument->separator);
		break;
	case WEIR_FILE:
		if (take_file(line, argument, text, &value) != WEIR_DONE)
			return WEIR_USAGE;
		break;
	case WEIR_TEXT:
		value = json_string(text);
		break;
	}
	if (json_object_set_new(into, argument->name, value) < 0)
		return wrong(line, "%s is not text in UTF-8", label(argument));
	return WEIR_DONE;
}

static int take_positional(struct weir_line *line, const char *text)
{
	for (size_t i = 0; i < line->command->n_arguments; i++) {
		const struct weir_argument *argument = &line->command->arguments[i];

		if (!argument->option && !json_object_get(line->params, argument->name))
			return take_value(line, argument, text);
	}
	return wrong(line, "\"%.40s\" is one argument too many", text);
}

/* ---- options ------------------------------------------------------------------------------------ */

/* One option on its way through: its name, and the value behind '=' or in the next word. */
struct option {
	const char *text;
	size_t name_len;
	const char *value; /* behind '=', or NULL */
	char **next;       /* the next word, *next = NULL at the end */
	bool took_next;
};

static bool is_option(const struct option *option, const char *name)
{
	return strlen(name) == option->name_len
	       && strncmp(option->text, name, option->name_len) == 0;
}

static int option_value(struct weir_line *line, struct option *option, const char *what,
                        const char **out)
{
	if (!option->value) {
		option->value = *option->next;
		option->took_next = true;
	}
	if (!option->value)
		return wrong(line, "%.*s needs a value: %s", (int)option->name_len, option->text,
		             what);
	*out = option->value;
	return WEIR_DONE;
}

static int take_output(struct weir_line *line, struct option *option)
{
	const char *value = NULL;

	if (option_value(line, option, "text or json", &value) != WEIR_DONE)
		return WEIR_USAGE;
	if (strcmp(value, "json") != 0 && strcmp(value, "text") != 0)
		return wrong(line, "-o is \"%.40s\", must be text or json", value);
	line->json = strcmp(value, "json") == 0;
	return WEIR_DONE;
}

/* Options of weir itself. Returns -1 when it is none of them. */
static int take_own_option(struct weir_line *line, struct option *option)
{
	if (is_option(option, "-s") || is_option(option, "--socket"))
		return option_value(line, option, "the path of a control socket", &line->socket);
	if (is_option(option, "-o") || is_option(option, "--output"))
		return take_output(line, option);
	if (is_option(option, "-h") || is_option(option, "--help"))
		line->help = true;
	else if (is_option(option, "-V") || is_option(option, "--version"))
		line->version = true;
	else
		return -1;
	return option->value
	               ? wrong(line, "%.*s takes no value", (int)option->name_len, option->text)
	               : WEIR_DONE;
}

static int take_command_option(struct weir_line *line, struct option *option)
{
	for (size_t i = 0; line->command && i < line->command->n_arguments; i++) {
		const struct weir_argument *argument = &line->command->arguments[i];
		const char *value = NULL;

		if (!argument->option || !is_option(option, argument->option))
			continue;
		if (argument->kind == WEIR_FLAG && option->value)
			return wrong(line, "%s takes no value", argument->option);
		if (argument->kind != WEIR_FLAG
		    && option_value(line, option, argument->allowed, &value) != WEIR_DONE)
			return WEIR_USAGE;
		return take_value(line, argument, value);
	}
	if (line->command)
		return wrong(line, "%s has no option %.*s", line->command->method,
		             (int)(option->name_len < 40 ? option->name_len : 40), option->text);
	return wrong(line, "there is no option %.*s",
	             (int)(option->name_len < 40 ? option->name_len : 40), option->text);
}

/* ---- the line ----------------------------------------------------------------------------------- */

/* Read the option at argv[i]; *used gets the number of words. */
static int take_option(struct weir_line *line, char **argv, int i, int *used)
{
	const char *text = argv[i];
	const char *equals = strncmp(text, "--", 2) == 0 ? strchr(text, '=') : NULL;
	struct option option = {
		.text = text,
		.name_len = equals ? (size_t)(equals - text) : strlen(text),
		.value = equals ? equals + 1 : NULL,
		.next = &argv[i + 1],
	};
	int r;

	if (text[1] != '-' && text[2] != '\0') { /* -ojson */
		option.name_len = 2;
		option.value = text + 2;
	}
	r = take_own_option(line, &option);
	if (r < 0)
		r = take_command_option(line, &option);
	*used = option.took_next ? 2 : 1;
	return r;
}

/* What the line does not say and weir knows. */
static void fill(struct weir_line *line)
{
	char text[128];

	for (size_t i = 0; i < line->command->n_arguments; i++) {
		const struct weir_argument *argument = &line->command->arguments[i];

		if (argument->fill == WEIR_FILL_SSH
		    && !json_object_get(line->params, argument->name)
		    && weir_ssh_connection(text, sizeof(text)))
			json_object_set_new(line->params, argument->name, json_string(text));
	}
}

static int check_required(struct weir_line *line)
{
	for (size_t i = 0; i < line->command->n_arguments; i++) {
		const struct weir_argument *argument = &line->command->arguments[i];

		if (argument->required
		    && !json_object_get(argument->local ? line->local : line->params,
		                        argument->name))
			return wrong(line, "%s is missing, must be %s", label(argument),
			             argument->allowed);
	}
	return WEIR_DONE;
}

int weir_line_read(int argc, char **argv, struct weir_line *out)
{
	bool only_words = false;
	int used;
	int r = WEIR_DONE;

	memset(out, 0, sizeof(*out));
	out->params = json_object();
	out->local = json_object();
	for (int i = 1; i < argc && r == WEIR_DONE; i += used) {
		used = 1;
		if (!only_words && strcmp(argv[i], "--") == 0)
			only_words = true;
		else if (!only_words && argv[i][0] == '-' && argv[i][1] != '\0')
			r = take_option(out, argv, i, &used);
		else if (!out->command)
			r = take_command_word(out, argv[i]);
		else
			r = take_positional(out, argv[i]);
	}
	if (r != WEIR_DONE || out->help || out->version)
		return r;
	if (!out->words[0])
		return wrong(out, "which command?");
	if (!out->command)
		return wrong(out, "%s what?", out->words[0]);
	fill(out);
	return check_required(out);
}

void weir_line_fini(struct weir_line *line)
{
	json_decref(line->params);
	json_decref(line->local);
}
