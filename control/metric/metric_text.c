/* A text that grows by samples. */
#include "metric_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 4096U
#define NS_PER_S   UINT64_C(1000000000)
#define NS_PER_MS  UINT64_C(1000000)

void metric_text_fini(struct metric_text *text)
{
	free(text->text);
	*text = (struct metric_text){0};
}

/* Room for so many bytes and the end. */
static bool make_room(struct metric_text *text, size_t len)
{
	size_t size = text->size ? text->size : FIRST_SIZE;
	char *grown;

	while (size - text->len <= len)
		size *= 2;
	if (size == text->size)
		return true;
	grown = realloc(text->text, size);
	if (!grown) {
		text->has_failed = true;
		return false;
	}
	text->text = grown;
	text->size = size;
	return true;
}

static void add(struct metric_text *text, const char *part, size_t len)
{
	if (!make_room(text, len))
		return;
	memcpy(text->text + text->len, part, len);
	text->len += len;
	text->text[text->len] = '\0';
}

static void add_text(struct metric_text *text, const char *part)
{
	add(text, part, strlen(part));
}

/* Backslash and newline, and within quotes the quote, too. */
static void add_escaped(struct metric_text *text, const char *value, bool quotes)
{
	for (; *value != '\0'; value++) {
		if (*value == '\\')
			add_text(text, "\\\\");
		else if (*value == '\n')
			add_text(text, "\\n");
		else if (*value == '"' && quotes)
			add_text(text, "\\\"");
		else
			add(text, value, 1);
	}
}

void metric_family(struct metric_text *text, const char *name, enum metric_type type,
                   const char *help)
{
	add_text(text, "# HELP ");
	add_text(text, name);
	add_text(text, " ");
	add_escaped(text, help, false);
	add_text(text, "\n# TYPE ");
	add_text(text, name);
	add_text(text, type == METRIC_COUNTER ? " counter\n" : " gauge\n");
}

static void add_series(struct metric_text *text, const char *name,
                       const struct metric_label *labels, size_t n)
{
	add_text(text, name);
	for (size_t i = 0; i < n; i++) {
		add_text(text, i == 0 ? "{" : ",");
		add_text(text, labels[i].name);
		add_text(text, "=\"");
		add_escaped(text, labels[i].value, true);
		add_text(text, "\"");
	}
	add_text(text, n > 0 ? "} " : " ");
}

void metric_sample(struct metric_text *text, const char *name, const struct metric_label *labels,
                   size_t n, uint64_t value)
{
	char number[32];

	add_series(text, name, labels, n);
	snprintf(number, sizeof(number), "%llu\n", (unsigned long long)value);
	add_text(text, number);
}

void metric_sample_ns(struct metric_text *text, const char *name, const struct metric_label *labels,
                      size_t n, uint64_t value_ns)
{
	char number[32];

	add_series(text, name, labels, n);
	snprintf(number, sizeof(number), "%llu.%03u\n", (unsigned long long)(value_ns / NS_PER_S),
	         (unsigned int)(value_ns % NS_PER_S / NS_PER_MS));
	add_text(text, number);
}
