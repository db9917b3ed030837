/* A table of a policy's source, for tests that have it decide. */
#ifndef TABLE_LAB_H
#define TABLE_LAB_H

#include "policy_build.h"
#include "policy_table.h"
#include "test.h"

/* Built and checked; what is wrong with it fails the test by name. *blob is the table's memory: free(). */
static inline const struct policy_table *table_lab_build(const struct policy_source *source,
                                                         void **blob)
{
	struct policy_build_error error;
	const struct policy_table *table;
	const char *why = NULL;
	size_t len;
	int err = policy_build(source, blob, &len, &error);

	if (err != 0)
		fail_msg("build: %d, object %d number %zu: %s, expected %s", err, error.object,
		         error.index, error.field, error.expected);
	table = policy_table_check(*blob, len, &why);
	if (table == NULL)
		fail_msg("check: %s", why);
	return table;
}

#endif
