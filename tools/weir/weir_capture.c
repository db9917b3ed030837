/* weir capture: begins one at the hub, and writes what it reads of it to a file until it is over. */
#include "base_text.h"
#include "weir.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ASK_INTERVAL_NS (100 * 1000 * 1000) /* while nothing comes */

static volatile sig_atomic_t is_interrupted;

static void on_signal(int number)
{
	(void)number;
	is_interrupted = 1;
}

bool weir_capture_wanted(const struct weir_line *line)
{
	return strcmp(line->command->method, "capture") == 0;
}

/* Returns NULL with a line on standard error. */
static FILE *open_file(const char *path)
{
	FILE *file = strcmp(path, "-") == 0 ? stdout : weir_create(path);

	if (!file)
		fprintf(stderr, "weir: --write: %s: %s\n", path, strerror(errno));
	else if (file == stdout && isatty(STDOUT_FILENO)) {
		fputs("weir: --write: standard output is a terminal: name a file, or pipe it\n",
		      stderr);
		return NULL;
	}
	return file;
}

static int write_piece(const json_t *result, FILE *file)
{
	const char *hex = json_string_value(json_object_get(result, "data"));
	size_t len = hex ? strlen(hex) / 2 : 0;
	uint8_t *bytes = malloc(len + 1);
	bool written;

	if (!bytes || !hex || base_hex_decode(bytes, len, hex) < 0) {
		free(bytes);
		fputs("weir: the hub's answer is not that of a capture\n", stderr);
		return WEIR_REFUSED;
	}
	written = fwrite(bytes, 1, len, file) == len && fflush(file) == 0;
	explicit_bzero(bytes, len);
	free(bytes);
	if (written)
		return WEIR_DONE;
	if (errno != EPIPE) /* the reader has seen enough */
		perror("weir: --write");
	return WEIR_REFUSED;
}

static void say_end(const json_t *result)
{
	fprintf(stderr, "weir: %lld packets written, %lld lost for want of room: %s\n",
	        (long long)json_integer_value(json_object_get(result, "packets")),
	        (long long)json_integer_value(json_object_get(result, "lost")),
	        json_string_value(json_object_get(result, "why")));
}

/* One question and its piece. *over when it was the last; params then ask for the next. */
static int piece(const struct weir_line *line, const char *socket_path, json_t *params, FILE *file,
                 bool *over, bool *was_empty)
{
	json_t *result = NULL;
	json_t *error = NULL;
	char why[320];
	int r = weir_ask(socket_path, line->command->method, params, &result, &error, why,
	                 sizeof(why));

	if (r != WEIR_DONE) {
		weir_fail(line, r, error, why);
		json_decref(error);
		return r;
	}
	json_object_clear(params);
	json_object_set(params, "id", json_object_get(result, "id"));
	*was_empty = json_string_length(json_object_get(result, "data")) == 0;
	*over = json_is_true(json_object_get(result, "over"));
	r = write_piece(result, file);
	if (*over && r == WEIR_DONE)
		say_end(result);
	json_decref(result);
	return r;
}

/* *begun when the hub has said anything that is in the file. */
static int write_all(const struct weir_line *line, const char *socket_path, FILE *file, bool *begun)
{
	const struct timespec interval = {0, ASK_INTERVAL_NS};
	json_t *params = json_copy(line->params);
	bool over = false;
	bool was_empty = false;
	int r = params ? WEIR_DONE : WEIR_REFUSED;

	while (r == WEIR_DONE && !over) {
		r = piece(line, socket_path, params, file, &over, &was_empty);
		*begun |= r == WEIR_DONE;
		if (is_interrupted)
			json_object_set_new(params, "stop", json_true());
		else if (was_empty && !over)
			nanosleep(&interval, NULL);
	}
	json_decref(params);
	return r;
}

int weir_capture(const struct weir_line *line, const char *socket_path)
{
	const struct sigaction action = {.sa_handler = on_signal};
	const char *path = json_string_value(json_object_get(line->local, "write"));
	FILE *file = open_file(path);
	bool begun = false;
	int r;

	if (!file)
		return WEIR_REFUSED;
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	r = write_all(line, socket_path, file, &begun);
	if (file != stdout && !begun)
		unlink(path); /* else the next try would find it there */
	if (file != stdout && fclose(file) != 0 && r == WEIR_DONE) {
		perror("weir: --write");
		r = WEIR_REFUSED;
	}
	return r;
}
