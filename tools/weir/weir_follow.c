/* Commands that go on until they are interrupted: they ask the hub again and again. */
#include "weir.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define ASK_INTERVAL_NS (250 * 1000 * 1000) /* how late people may see what happens */

bool weir_follow_wanted(const struct weir_line *line)
{
	return json_is_true(json_object_get(line->local, "follow"));
}

static bool print_drops(const struct weir_line *line, const json_t *drops)
{
	for (size_t i = 0; i < json_array_size(drops); i++) {
		if (line->json) {
			json_dumpf(json_array_get(drops, i), stdout, JSON_COMPACT);
			putchar('\n');
		} else {
			weir_show_drop(json_array_get(drops, i));
		}
	}
	return fflush(stdout) == 0 && !ferror(stdout);
}

int weir_follow(const struct weir_line *line, const char *socket_path)
{
	const struct timespec interval = {0, ASK_INTERVAL_NS};

	for (;;) {
		json_t *result = NULL;
		json_t *error = NULL;
		char why[320];
		bool written;
		int r = weir_ask(socket_path, line->command->method, line->params, &result, &error,
		                 why, sizeof(why));

		if (r != WEIR_DONE) {
			weir_fail(line, r, error, why);
			json_decref(error);
			return r;
		}
		written = print_drops(line, json_object_get(result, "drops"));
		json_object_set(line->params, "after", json_object_get(result, "next"));
		json_decref(result);
		if (!written) {
			perror("weir: standard output");
			return WEIR_REFUSED;
		}
		nanosleep(&interval, NULL);
	}
}
