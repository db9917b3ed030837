/* What a program says of itself with --versions. */
#ifndef RUN_VERSIONS_H
#define RUN_VERSIONS_H

#include <stddef.h>

struct run_versions {
	char release[32];
	unsigned int abi;
	unsigned int store; /* of weir-control; else 0 */
};

/* Run path with --versions, for 5 s at most. Returns 0, or -1 with a sentence in why. */
int run_versions_ask(const char *path, struct run_versions *out, char *why, size_t why_len)
	__attribute__((warn_unused_result));

#endif
