/* weir: the command line of a hub. What commands there are comes from methods.json; only `run`, the
 * supervisor, is written here. */
#include "weir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The hub speaks of the argument by its name in the request; say it as it was typed. */
static void print_refusal(const struct weir_command *command, const json_t *error)
{
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *field = json_string_value(json_object_get(error, "field"));
	size_t len = field ? strlen(field) : 0;

	if (!message)
		message = "refused without a reason";
	for (size_t i = 0; len > 0 && i < command->n_arguments; i++) {
		const struct weir_argument *argument = &command->arguments[i];

		if (strcmp(argument->name, field) != 0 || strncmp(message, field, len) != 0)
			continue;
		fprintf(stderr, "weir: %s%s\n",
		        argument->option ? argument->option : argument->value, message + len);
		return;
	}
	fprintf(stderr, "weir: %s\n", message);
}

static void print_json(const json_t *json, FILE *out)
{
	json_dumpf(json, out, JSON_INDENT(2));
	fputc('\n', out);
}

void weir_fail(const struct weir_line *line, int r, const json_t *error, const char *why)
{
	if (r == WEIR_UNREACHABLE && line->json) {
		json_t *unreachable = json_pack("{s:s, s:s, s:n}", "code", "unreachable", "message",
		                                why, "field");

		print_json(unreachable, stderr);
		json_decref(unreachable);
	} else if (r == WEIR_UNREACHABLE) {
		fprintf(stderr, "weir: %s\n", why);
	} else if (line->json) {
		print_json(error, stderr);
	} else {
		print_refusal(line->command, error);
	}
}

static int fail_usage(const struct weir_line *line)
{
	fprintf(stderr, "weir: %s\n", line->error);
	if (line->command)
		fprintf(stderr, "usage: weir %s\n", line->command->usage);
	else
		fprintf(stderr, "weir help%s%s lists the commands\n", line->words[0] ? " " : "",
		        line->words[0] ? line->words[0] : "");
	return WEIR_USAGE;
}

static const char *socket_of(const struct weir_line *line)
{
	const char *environment = getenv("WEIR_SOCKET");

	if (line->socket)
		return line->socket;
	return environment && *environment != '\0' ? environment : WEIR_SOCKET_DEFAULT;
}

/* The peer is made: when its code cannot be shown, its configuration still is. */
static int show_qr(struct weir_qr *qr, const json_t *result)
{
	char why[320];
	int r = weir_qr_show(qr, result, why, sizeof(why));

	if (r == WEIR_DONE)
		return r;
	fprintf(stderr, "weir: %s; the configuration as text:\n", why);
	puts(json_string_value(json_object_get(result, "config")));
	return r;
}

/* The same for a file, which then has what is not printed too. */
static int save(struct weir_save *save, json_t *result)
{
	char why[320];
	int r = weir_save_write(save, result, why, sizeof(why));

	if (r == WEIR_DONE)
		json_object_set_new(result, "config", json_sprintf("# saved as %s\n", save->path));
	else
		fprintf(stderr, "weir: %s; the configuration as text:\n", why);
	return r;
}

static int show(const struct weir_line *line, json_t *result, struct weir_qr *qr,
                struct weir_save *file)
{
	int saved = file->path ? save(file, result) : WEIR_DONE;
	int shown = WEIR_DONE;

	if (weir_qr_wanted(qr))
		shown = show_qr(qr, result);
	else if (line->json)
		print_json(result, stdout);
	else
		weir_show(line->command, result);
	return saved != WEIR_DONE ? saved : shown;
}

/* Files for secrets are there before the hub is asked. */
static int prepare(const struct weir_line *line, struct weir_qr *qr, struct weir_save *file)
{
	char why[320];
	int r = weir_qr_prepare(line, qr, why, sizeof(why));

	if (r == WEIR_DONE) {
		r = weir_save_prepare(line, file, why, sizeof(why));
		if (r != WEIR_DONE)
			weir_qr_cancel(qr);
	}
	if (r != WEIR_DONE)
		fprintf(stderr, "weir: %s\n", why);
	return r;
}

static int ask(const struct weir_line *line)
{
	json_t *result = NULL;
	json_t *error = NULL;
	struct weir_qr qr;
	struct weir_save file;
	char why[320];
	int r = prepare(line, &qr, &file);

	if (r != WEIR_DONE)
		return r;
	r = line->command->pages ? weir_ask_pages(socket_of(line), line->command, line->params,
	                                          &result, &error, why, sizeof(why))
	                         : weir_ask(socket_of(line), line->command->method, line->params,
	                                    &result, &error, why, sizeof(why));
	if (r == WEIR_DONE && json_is_true(json_object_get(result, "checking")))
		r = weir_await(line, socket_of(line), &result, &error, why, sizeof(why));
	if (r != WEIR_DONE) {
		weir_qr_cancel(&qr);
		weir_save_cancel(&file);
	}
	if (r == WEIR_DONE)
		r = show(line, result, &qr, &file);
	else
		weir_fail(line, r, error, why);
	/* An audit that finds errors has done its work, and scripts must see it. */
	if (r == WEIR_DONE && json_is_true(json_object_get(result, "failed")))
		r = WEIR_REFUSED;
	json_decref(result);
	json_decref(error);
	if (r == WEIR_DONE && (fflush(stdout) != 0 || ferror(stdout))) {
		perror("weir: standard output");
		return WEIR_REFUSED;
	}
	return r;
}

static int help(const struct weir_line *line)
{
	if (line->command)
		weir_help_command(line->command);
	else if (line->words[0])
		weir_help_group(line->words[0]);
	else
		weir_help();
	return WEIR_DONE;
}

static int run_line(int argc, char **argv)
{
	struct weir_line line;
	int r = weir_line_read(argc, argv, &line);

	if (r != WEIR_DONE)
		fail_usage(&line);
	else if (line.version)
		puts("weir " WEIR_VERSION);
	else if (line.help)
		r = help(&line);
	else if (weir_follow_wanted(&line))
		r = weir_follow(&line, socket_of(&line));
	else if (weir_metrics_wanted(&line))
		r = weir_metrics(&line, socket_of(&line));
	else if (weir_capture_wanted(&line))
		r = weir_capture(&line, socket_of(&line));
	else
		r = ask(&line);
	weir_line_fini(&line);
	return r;
}

/* "weir help peer add" is "weir peer add --help". */
static int run_help(int argc, char **argv)
{
	static char option[] = "--help";
	static char run[] = "run";
	static char upgrade[] = "upgrade";
	char *line[5] = {argv[0], argc > 2 ? argv[2] : option, argc > 3 ? argv[3] : option, option,
	                 NULL};
	char *run_line_argv[] = {run, option, NULL};
	char *upgrade_argv[] = {upgrade, option, NULL};

	if (argc == 3 && strcmp(argv[2], "run") == 0)
		return weir_run(2, run_line_argv);
	if (argc == 3 && strcmp(argv[2], upgrade) == 0)
		return weir_upgrade(2, upgrade_argv);
	return run_line(argc > 4 ? 4 : argc < 3 ? 2 : argc, line);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "run") == 0)
		return weir_run(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "upgrade") == 0)
		return weir_upgrade(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "help") == 0)
		return run_help(argc, argv);
	return run_line(argc, argv);
}
