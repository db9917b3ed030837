/* What a worker said it holds against what is wanted, part by part (abi_check.h): pure, no region, no
 * time. First the entries that the worker showed, each as it comes; then, in slices, what is wanted
 * and was not among them.
 *
 * A part that control has changed since it asked says nothing, since the worker may have walked it
 * before or after: no finding is made of it. */
#ifndef PROGRAM_COMPARE_H
#define PROGRAM_COMPARE_H

#include "program_desired.h"
#include "program_finding.h"

#include <stdbool.h>
#include <stdint.h>

#define PROGRAM_FINDINGS_MAX 256U /* of one worker; more are counted */

struct program_compare {
	const struct program_desired *desired; /* borrowed until fini */
	uint32_t worker;
	uint64_t since;                  /* desired->sums.n_changes when the worker was asked */
	uint64_t parts[ABI_CHECK_WORDS]; /* that were asked for */
	uint8_t *seen
		[ABI_N_CMD_TYPES]; /* bit sets by number of the wanted entry, of the kinds there are */
	uint32_t n_seen[ABI_N_CMD_TYPES]; /* bits */
	struct program_cursor cursor;
	struct program_finding *findings; /* [n_findings] */
	uint32_t n_findings;
	uint32_t n_more; /* beyond PROGRAM_FINDINGS_MAX */
};

/* Which parts have another sum than they should; those changed since are left out, and uncertain. Bit sets
 * of ABI_CHECK_WORDS. */
struct program_difference {
	uint64_t differ[ABI_CHECK_WORDS];
	uint64_t uncertain[ABI_CHECK_WORDS];
	uint32_t n_differ;
	uint32_t n_uncertain;
};
void program_compare_sums(const struct program_desired *desired, uint32_t worker, uint64_t since,
                          const uint64_t sums[static ABI_CHECK_N_PARTS],
                          struct program_difference *out);

/* Begin: the worker is asked for the entries of parts now. Returns 0 or -ENOMEM. Caller:
 * program_compare_fini(). */
int program_compare_init(struct program_compare *compare, const struct program_desired *desired,
                         uint32_t worker, const uint64_t parts[static ABI_CHECK_WORDS])
	__attribute__((warn_unused_result));
void program_compare_fini(struct program_compare *compare);

/* One entry that the worker holds; of another part than asked for, it is ignored. */
void program_compare_entry(struct program_compare *compare, uint16_t type, const void *entry);

/* All have been shown: look for what is missing, at n wanted entries at most. Returns true at the end. */
bool program_compare_step(struct program_compare *compare, uint32_t n);

#endif
