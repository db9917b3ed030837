/* Showing control what this worker holds (abi_check.h): its live tables, walked in slices between
 * bursts, so that a check costs no packet more than some microseconds. Control changes the tables
 * meanwhile, and knows which entries it changed. */
#ifndef STATE_CHECK_H
#define STATE_CHECK_H

#include "abi_check.h"
#include "wg_allowedips.h"

#include <stdbool.h>
#include <stdint.h>

struct state;

/* All zero: none is under way. */
struct state_check {
	uint64_t token; /* 0 = none */
	uint64_t next_ns;
	struct base_siphash_key key;
	uint32_t stage;
	uint32_t at; /* position within the stage */
	uint32_t n_entries;
	bool is_dump;
	bool is_stale;
	bool is_due;      /* entries wait for room in the ring */
	uint32_t n_swaps; /* of the routes when their walk began */
	struct wg_allowedips_cursor cursor;
	uint64_t wanted[ABI_CHECK_WORDS];
	uint64_t sums[ABI_CHECK_N_PARTS];
	struct abi_event_check_entries entries; /* sent when full, or when another kind comes */
};

/* Begin a check; one under way ends. Returns 0 or -EINVAL. */
int state_check_begin(struct state *st, const struct abi_cmd_check *cmd)
	__attribute__((warn_unused_result));

/* Go on with it. is_busy: the turn moved packets, so less is done. Returns true when there was
 * something to do, and is more: do not sleep. */
bool state_check_step(struct state *st, bool is_busy);

#endif
