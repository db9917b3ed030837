/* Pieces of results for people. All texts are borrowed, from the reply or from buf. */
#ifndef WEIR_TABLE_H
#define WEIR_TABLE_H

#include <jansson.h>

#include <stddef.h>

const char *weir_text_of(const json_t *object, const char *key); /* "-" when it is none */
long long weir_number_of(const json_t *object, const char *key);
/* Elements of an array of strings, or "-". */
const char *weir_list_of(const json_t *object, const char *key, char *buf, size_t size);
/* 0, 999 B, 12.3 KiB */
const char *weir_bytes_text(long long bytes, char buf[static 16]);
/* "12 s ago", from RFC 3339; "never" for null. */
const char *weir_age_text(const json_t *object, const char *key, char buf[static 32]);

#define WEIR_COLUMNS_MAX 8

/* Rows of columns, each column as wide as its widest cell. */
struct weir_table {
	size_t n_columns;
	size_t n_cells;
	size_t max;
	char **cells;
};
void weir_table_cell(struct weir_table *table, const char *text);
void weir_table_end(struct weir_table *table); /* print and free */

#endif
