/* Pieces of results for people: members of a reply as text, and tables. */
#include "weir_table.h"

#include "base_bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- pieces ------------------------------------------------------------------------------------- */

const char *weir_text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "-";
}

long long weir_number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

#define MORE_LEN 40 /* of how a list ends that does not fit */

/* Elements of an array of strings, or "-". Elements that do not fit are told by their number. */
const char *weir_list_of(const json_t *object, const char *key, char *buf, size_t size)
{
	const json_t *array = json_object_get(object, key);
	size_t n = json_array_size(array);
	size_t len = 0;
	size_t cut = 0; /* here the end still fits */

	snprintf(buf, size, "-");
	for (size_t i = 0; i < n && len < size; i++) {
		if (len + MORE_LEN <= size)
			cut = len;
		len += (size_t)snprintf(buf + len, size - len, "%s%s", i ? ", " : "",
		                        json_string_value(json_array_get(array, i)));
	}
	if (len >= size)
		snprintf(buf + cut, size - cut, "%s... (%zu in all)", cut ? ", " : "", n);
	return buf;
}

/* 0, 999 B, 12.3 KiB */
const char *weir_bytes_text(long long bytes, char buf[static 16])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	double value = (double)bytes;
	size_t unit = 0;

	for (; value >= 1024 && unit + 1 < BASE_ARRAY_LEN(units); unit++)
		value /= 1024;
	snprintf(buf, 16, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
	return buf;
}

/* "12 s ago", from RFC 3339; "never" for null. */
const char *weir_age_text(const json_t *object, const char *key, char buf[static 32])
{
	const char *text = json_string_value(json_object_get(object, key));
	struct tm tm = {0};
	long long age;

	if (!text || !strptime(text, "%Y-%m-%dT%H:%M:%S", &tm)) {
		snprintf(buf, 32, "never");
		return buf;
	}
	age = (long long)(time(NULL) - timegm(&tm));
	if (age < 0)
		age = 0;
	if (age < 120)
		snprintf(buf, 32, "%lld s ago", age);
	else if (age < 120 * 60)
		snprintf(buf, 32, "%lld min ago", age / 60);
	else if (age < 48 * 3600)
		snprintf(buf, 32, "%lld h ago", age / 3600);
	else
		snprintf(buf, 32, "%lld days ago", age / 86400);
	return buf;
}

/* ---- tables ------------------------------------------------------------------------------------- */

void weir_table_cell(struct weir_table *table, const char *text)
{
	if (table->n_cells == table->max) {
		size_t max = table->max ? table->max * 2 : 64;
		char **grown = reallocarray(table->cells, max, sizeof(*grown));

		if (!grown)
			return;
		table->cells = grown;
		table->max = max;
	}
	table->cells[table->n_cells] = strdup(text);
	if (table->cells[table->n_cells])
		table->n_cells++;
}

/* Print and free. */
void weir_table_end(struct weir_table *table)
{
	size_t width[WEIR_COLUMNS_MAX] = {0};

	for (size_t i = 0; i < table->n_cells; i++) {
		size_t len = strlen(table->cells[i]);
		size_t column = i % table->n_columns;

		if (len > width[column])
			width[column] = len;
	}
	for (size_t i = 0; i < table->n_cells; i++) {
		bool last = (i + 1) % table->n_columns == 0;

		printf("%-*s%s", last ? 0 : (int)width[i % table->n_columns], table->cells[i],
		       last ? "\n" : "  ");
		free(table->cells[i]);
	}
	free(table->cells);
}
