/* The command line's grammar, generated from control/model/methods.json. */
#ifndef WEIR_GRAMMAR_H
#define WEIR_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum weir_kind {
	WEIR_TEXT = 0, /* judged by the hub */
	WEIR_FLAG = 1, /* no value */
	WEIR_INTEGER = 2,
	WEIR_LIST = 3, /* by separator */
	WEIR_FILE = 4, /* its name; sent as {name, text} */
};

/* What weir itself puts in when the line does not say it. */
enum weir_fill {
	WEIR_FILL_NOTHING = 0,
	WEIR_FILL_SSH = 1, /* the SSH connection that the command is given over, if one */
};

struct weir_argument {
	const char *name;   /* in the request */
	const char *option; /* "--keepalive", NULL = positional */
	const char *value;  /* what stands for it in help */
	enum weir_kind kind;
	bool required;
	bool local; /* for weir itself, not for the hub */
	enum weir_fill fill;
	char separator; /* of a list */
	int64_t min;    /* of an integer */
	int64_t max;
	const char *allowed; /* completes "must be ..." */
	const char *help;
};

struct weir_command {
	const char *method;
	const char *words[2]; /* words[1] may be NULL */
	const char *summary;
	const char *description; /* or NULL */
	const char *usage;       /* words and arguments */
	const char *pages;       /* the reply's array that comes in pages, or NULL */
	const struct weir_argument *arguments;
	size_t n_arguments;
};

extern const struct weir_command weir_commands[];
extern const size_t weir_n_commands;

#endif
