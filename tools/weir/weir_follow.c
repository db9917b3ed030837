/* Commands that ask the hub again and again: until they are interrupted, or until it is done. */
#include "weir.h"
#include "weir_table.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define ASK_INTERVAL_NS  (250 * 1000 * 1000) /* how late people may see what happens */
#define DONE_INTERVAL_NS (20 * 1000 * 1000)  /* a check is done soon */

bool weir_follow_wanted(const struct weir_line *line)
{
	return json_is_true(json_object_get(line->local, "follow"));
}

/* What is followed: drops or events. */
static bool print_rows(const struct weir_line *line, const json_t *result)
{
	const json_t *events = json_object_get(result, "events");
	const json_t *rows = events ? events : json_object_get(result, "drops");

	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);

		if (line->json) {
			json_dumpf(row, stdout, JSON_COMPACT);
			putchar('\n');
		} else if (events) {
			weir_show_event(row);
		} else {
			weir_show_drop(row);
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
		written = print_rows(line, result);
		json_object_set(line->params, "after", json_object_get(result, "next"));
		json_decref(result);
		if (!written) {
			perror("weir: standard output");
			return WEIR_REFUSED;
		}
		nanosleep(&interval, NULL);
	}
}

int weir_await(const struct weir_line *line, const char *socket_path, json_t **result,
               json_t **error, char *why, size_t why_len)
{
	const struct timespec interval = {0, DONE_INTERVAL_NS};
	long long before = weir_number_of(*result, "not_completed");
	int r = WEIR_DONE;

	while (r == WEIR_DONE && json_is_true(json_object_get(*result, "checking"))) {
		nanosleep(&interval, NULL);
		if (json_object_get(*result, "snapshot"))
			json_object_set(line->params, "snapshot",
			                json_object_get(*result, "snapshot"));
		else
			json_object_set_new(line->params, "last", json_true());
		json_decref(*result);
		*result = NULL;
		r = weir_ask(socket_path, line->command->method, line->params, result, error, why,
		             why_len);
	}
	if (r != WEIR_DONE || weir_number_of(*result, "not_completed") == before)
		return r;
	*error = json_pack("{s:s, s:s, s:n}", "code", "failed", "message",
	                   "the check was not completed, since a worker did not answer or the "
	                   "dataplane went: see the hub's log",
	                   "field");
	return WEIR_REFUSED;
}
