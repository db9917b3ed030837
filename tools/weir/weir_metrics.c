/* weir metrics: pages as they come, since together they may be large. */
#include "weir.h"

#include <stdio.h>
#include <string.h>

bool weir_metrics_wanted(const struct weir_line *line)
{
	return strcmp(line->command->method, "metrics") == 0 && !line->json;
}

int weir_metrics(const struct weir_line *line, const char *socket_path)
{
	bool is_one = json_object_get(line->params, "limit") != NULL;
	const char *next = "";

	while (next) {
		json_t *result = NULL;
		json_t *error = NULL;
		char why[320];
		int r = weir_ask(socket_path, line->command->method, line->params, &result, &error,
		                 why, sizeof(why));

		if (r != WEIR_DONE) {
			weir_fail(line, r, error, why);
			json_decref(error);
			return r;
		}
		fputs(json_string_value(json_object_get(result, "text")), stdout);
		next = is_one ? NULL : json_string_value(json_object_get(result, "next"));
		if (next)
			json_object_set(line->params, "cursor", json_object_get(result, "next"));
		json_decref(result);
	}
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("weir: standard output");
		return WEIR_REFUSED;
	}
	return WEIR_DONE;
}
