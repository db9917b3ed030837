/* The file as text, before libconfig sees it: read whole, and searched for what libconfig would
 * take silently for something else (integers beyond 32 bits are cut) or act on (@include). */
#include "config_key.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_LEN_MAX (64U << 20)

int config__text_read(const struct config_error *error, char **out, size_t *len_out)
{
	struct stat st;
	FILE *file = fopen(error->path, "re");
	size_t len;
	char *text;

	if (!file) {
		int err = -errno;

		snprintf(error->text, error->len, "%s: cannot be opened: %s", error->path,
		         strerror(errno));
		return err;
	}
	if (fstat(fileno(file), &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_LEN_MAX) {
		snprintf(error->text, error->len, "%s: is not a regular file of at most %u bytes",
		         error->path, FILE_LEN_MAX);
		fclose(file);
		return -EINVAL;
	}
	text = malloc((size_t)st.st_size + 1);
	if (!text) {
		fclose(file);
		return -ENOMEM;
	}
	len = fread(text, 1, (size_t)st.st_size, file);
	text[len] = '\0';
	if (ferror(file)) {
		snprintf(error->text, error->len, "%s: cannot be read", error->path);
		fclose(file);
		free(text);
		return -EIO;
	}
	fclose(file);
	*out = text;
	*len_out = len;
	return 0;
}

/* The text at c begins a comment: returns its end, else c. */
static const char *skip_comment(const char *c)
{
	if (c[0] == '#' || (c[0] == '/' && c[1] == '/'))
		return c + strcspn(c, "\n");
	if (c[0] == '/' && c[1] == '*') {
		const char *end = strstr(c + 2, "*/");

		return end ? end + 2 : c + strlen(c);
	}
	return c;
}

static const char *skip_string(const char *c)
{
	for (c++; *c != '\0' && *c != '"'; c++)
		if (*c == '\\' && c[1] != '\0')
			c++;
	return *c == '"' ? c + 1 : c;
}

/* A word or number, up to the next byte that cannot be in one. */
static const char *skip_word(const char *c)
{
	while (isalnum((unsigned char)*c) || *c == '_' || *c == '-' || *c == '.' || *c == '+'
	       || *c == '*')
		c++;
	return c;
}

/* A whole number that does not fit 32 bits, as libconfig keeps it. */
static bool is_too_large(const char *word)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(word, &end, word[0] == '0' && (word[1] | 0x20) == 'x' ? 16 : 10);
	if (*end == '.' || *end == 'e' || *end == 'E')
		return false;
	return errno == ERANGE || value > INT32_MAX || value < INT32_MIN;
}

static int check_word(const struct config_error *error, unsigned int line, const char *word,
                      size_t len)
{
	char copy[64];

	snprintf(copy, sizeof(copy), "%.*s", (int)(len < 60 ? len : 60), word);
	if (!isdigit((unsigned char)copy[0]) && copy[0] != '-' && copy[0] != '+')
		return 0;
	if (!is_too_large(copy))
		return 0;
	snprintf(error->text, error->len, "%s:%u: %s is too large, must be at most 2147483647",
	         error->path, line, copy);
	return -EINVAL;
}

int config__text_check(const struct config_error *error, const char *text, size_t len)
{
	unsigned int line = 1;
	const char *c = text;
	const char *counted = text; /* newlines before it are in line */

	while (*c != '\0') {
		const char *begin = c;

		c = skip_comment(c);
		if (c == begin && *c == '"')
			c = skip_string(c);
		if (c != begin)
			continue;
		for (; counted < c; counted++)
			line += *counted == '\n';
		if (*c == '@') {
			snprintf(error->text, error->len,
			         "%s:%u: @ is not allowed: the configuration is one file, without "
			         "@include",
			         error->path, line);
			return -EINVAL;
		}
		c = skip_word(c);
		if (c != begin && check_word(error, line, begin, (size_t)(c - begin)) < 0)
			return -EINVAL;
		if (c == begin)
			c++;
	}
	if (c == text + len)
		return 0;
	for (; counted < c; counted++)
		line += *counted == '\n';
	snprintf(error->text, error->len, "%s:%u: holds a zero byte, must be text", error->path,
	         line);
	return -EINVAL;
}
