/* The parts of the command line, between its files. */
#ifndef PKTGEN_ARGS_PRIVATE_H
#define PKTGEN_ARGS_PRIVATE_H

#include "pktgen_args.h"

#include <stddef.h>

enum {
	PKTGEN_EXIT_USAGE = 2,
};

/* An option. Literals. */
struct pktgen_key {
	const char *name;
	const char *value; /* NULL: a switch */
	const char *takes; /* for refusals and for the help */
	const char *help;
	/* Returns 0 or -EINVAL: text is not what it takes. */
	int (*take)(struct pktgen_options *options, const char *text);
};

/* All options, in the order of the help. */
const struct pktgen_key *pktgen__keys(size_t *n);

/* Names by enum, and how to find one: 0 or -EINVAL. */
extern const char *const pktgen__command_names[PKTGEN_N_COMMANDS];
extern const char *const pktgen__pattern_names[PKTGEN_N_PATTERNS];
int pktgen__name_read(const char *text, const char *const *names, uint32_t n, uint32_t *out);

/* Do the options fit together? Fills what follows from others. Returns -1: yes, go on; or the exit
 * code, with a line on stderr. */
int pktgen__check(struct pktgen_options *options);

#endif
