/* Lists of prefixes as files have them. */
#include "base_bytes.h"
#include "blocklist.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
	uint8_t scopes;
	unsigned int line;
	struct block_prefix *prefixes;
	size_t n;
	size_t room;
	struct blocklist_text_error *error;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/* The next word of *at, of *len bytes; returns its length, 0 at the end. */
static size_t next_word(const char **at, const char *end, const char **word)
{
	while (*at < end && is_blank(**at))
		(*at)++;
	*word = *at;
	while (*at < end && !is_blank(**at))
		(*at)++;
	return (size_t)(*at - *word);
}

static bool is_word(const char *word, size_t len, const char *text)
{
	return len == strlen(text) && memcmp(word, text, len) == 0;
}

/* What was read, fit to be shown. */
static int refuse(struct reader *reader, const char *word, size_t len, const char *expected)
{
	char shown[BASE_PREFIX_STRLEN + 8];
	size_t n = len < sizeof(shown) ? len : sizeof(shown) - 1;

	for (size_t i = 0; i < n; i++)
		shown[i] = (char)(word[i] >= ' ' && word[i] <= '~' ? word[i] : '?');
	shown[n] = '\0';
	reader->error->line = reader->line;
	snprintf(reader->error->text, sizeof(reader->error->text), "\"%s\"%s %s", shown,
	         n < len ? " ..." : "", expected);
	return -EINVAL;
}

/* Most lines: dotted quad and nothing else, read without the detours of the general way. Returns false
 * when it is not that. */
static bool parse_plain(const char *word, size_t len, uint32_t *out)
{
	uint32_t address = 0;
	uint32_t part = 0;
	uint32_t n_digits = 0;
	uint32_t n_dots = 0;

	for (size_t i = 0; i < len; i++) {
		uint32_t digit = (uint32_t)(unsigned char)word[i] - '0';

		if (digit <= 9) {
			/* no leading zero: some read an octal number there */
			if (n_digits > 0 && part == 0)
				return false;
			part = part * 10 + digit;
			if (++n_digits > 3 || part > 255)
				return false;
		} else if (word[i] == '.' && n_digits > 0 && n_dots < 3) {
			address = address << 8 | part;
			n_dots++;
			part = n_digits = 0;
		} else {
			return false;
		}
	}
	*out = address << 8 | part;
	return n_dots == 3 && n_digits > 0;
}

static int parse_prefix(struct reader *reader, const char *word, size_t len,
                        struct block_prefix *out)
{
	char text[BASE_PREFIX_STRLEN];
	struct base_prefix prefix;
	uint32_t address;

	if (parse_plain(word, len, &address)) {
		*out = (struct block_prefix){.high = (uint64_t)address << 32,
		                             .family = BASE_IP_V4,
		                             .len = 32,
		                             .scopes = reader->scopes};
		return 0;
	}
	if (len >= sizeof(text) || memchr(word, '\0', len))
		return refuse(reader, word, len, "is not an address or a network");
	memcpy(text, word, len);
	text[len] = '\0';
	if (base_prefix_parse(text, &prefix) < 0)
		return refuse(reader, word, len,
		              "is not an address or a network, such as 192.0.2.0/24 or "
		              "2001:db8::/32");
	if (base_prefix_mask(&prefix)) {
		char expected[BASE_PREFIX_STRLEN + 48];

		snprintf(expected, sizeof(expected), "has bits behind its length, is %s meant?",
		         base_prefix_format(&prefix, text));
		return refuse(reader, word, len, expected);
	}
	*out = block_prefix_make(&prefix, reader->scopes);
	return 0;
}

static int append(struct reader *reader, const struct block_prefix *prefix)
{
	if (reader->n == reader->room) {
		size_t room = reader->room * 2 + 256;
		struct block_prefix *grown = realloc(reader->prefixes, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		reader->prefixes = grown;
		reader->room = room;
	}
	if (reader->n == BLOCK_ENTRIES_MAX) {
		reader->error->line = reader->line;
		snprintf(reader->error->text, sizeof(reader->error->text),
		         "more than %u prefixes, which is the most", BLOCK_ENTRIES_MAX);
		return -E2BIG;
	}
	reader->prefixes[reader->n++] = *prefix;
	return 0;
}

static int read_line(struct reader *reader, const char *line, const char *end)
{
	struct block_prefix prefix;
	const char *word;
	const char *more;
	size_t len = next_word(&line, end, &word);
	int err;

	if (len == 0 || is_word(word, len, "create"))
		return 0;
	if (is_word(word, len, "add")) {
		(void)next_word(&line, end, &word); /* the set's name */
		len = next_word(&line, end, &word);
		line = end; /* its options */
	}
	err = parse_prefix(reader, word, len, &prefix);
	if (err < 0)
		return err;
	len = next_word(&line, end, &more);
	if (len > 0)
		return refuse(reader, more, len,
		              "is too much in a line: one prefix, and a comment behind # or ;");
	return append(reader, &prefix);
}

/* Where the line's comment begins, or its end. */
static const char *comment_of(const char *line, const char *end)
{
	while (line < end && *line != '#' && *line != ';')
		line++;
	return line;
}

/* Sorted; one of each. */
static int finish(struct reader *reader)
{
	size_t n = 0;
	int err = block_prefix_sort(reader->prefixes, reader->n);

	for (size_t i = 0; i < reader->n && err == 0; i++)
		if (n == 0
		    || block_prefix_compare(&reader->prefixes[n - 1], &reader->prefixes[i]) != 0)
			reader->prefixes[n++] = reader->prefixes[i];
	reader->n = n;
	return err;
}

int blocklist_text_read(const char *text, size_t len, uint8_t scopes, struct block_prefix **out,
                        size_t *n, struct blocklist_text_error *error)
{
	struct reader reader = {.scopes = scopes, .error = error};
	const char *end = text + len;
	int err = 0;

	*error = (struct blocklist_text_error){0};
	for (const char *line = text; line < end && err == 0;) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		const char *next = newline ? newline : end;

		reader.line++;
		err = read_line(&reader, line, comment_of(line, next));
		line = next + 1;
	}
	if (err == 0)
		err = finish(&reader);
	if (err < 0) {
		free(reader.prefixes);
		return err;
	}
	*out = reader.prefixes;
	*n = reader.n;
	return 0;
}
