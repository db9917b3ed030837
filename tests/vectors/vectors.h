/* Reading vector files: JSON with bytes in hex. What is missing or malformed fails the test. Include once in a test file. */
#ifndef VECTORS_H
#define VECTORS_H

#include "test.h"

#include <jansson.h>

#include <string.h>

/* Load the file or say what is missing; NULL then. Caller: json_decref(). */
static inline json_t *vectors_load(const char *path)
{
	json_error_t error;
	json_t *root = json_load_file(path, 0, &error);

	if (root == NULL)
		print_error(
			"%s: %s (line %d): the test vectors are needed; the published ones lie in "
			"shared/vectors beside the source tree\n",
			path, error.text, error.line);
	return root;
}

/* For a group of tests of one file: its path, which main() sets, and what is in it. */
static const char *vectors_path;
static json_t *vectors_root;

static inline int vectors_set_up(void **state)
{
	(void)state;
	vectors_root = vectors_load(vectors_path);
	return vectors_root ? 0 : -1;
}

static inline int vectors_tear_down(void **state)
{
	(void)state;
	json_decref(vectors_root);
	return 0;
}

static inline const char *vectors_text(const json_t *object, const char *field)
{
	const char *text = json_string_value(json_object_get(object, field));

	if (text == NULL)
		fail_msg("vector without a text named %s", field);
	return text;
}

/* Returns the number of bytes. */
static inline size_t vectors_hex(const json_t *object, const char *field, uint8_t *out, size_t room)
{
	const char *text = vectors_text(object, field);
	size_t len = strlen(text) / 2;

	if (len > room)
		fail_msg("%s: %zu bytes, room for %zu", field, len, room);
	for (size_t i = 0; i < len; i++) {
		unsigned int byte;

		assert_int_equal(sscanf(text + 2 * i, "%2x", &byte), 1);
		out[i] = (uint8_t)byte;
	}
	return len;
}

/* Exactly len bytes. */
static inline void vectors_bytes(const json_t *object, const char *field, uint8_t *out, size_t len)
{
	if (vectors_hex(object, field, out, len) != len)
		fail_msg("%s: not %zu bytes", field, len);
}

#endif
