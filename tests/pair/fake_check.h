/* What a fake dataplane holds: it applies the commands of the desired state, and shows what came of it
 * when it is asked (ABI_CMD_CHECK), as the real one's state_check.c does. */
#ifndef FAKE_CHECK_H
#define FAKE_CHECK_H

#include "abi_ring.h"
#include "program_desired.h"

#include <stdbool.h>

struct fake_check {
	struct program_desired held;
	bool has_held;
	bool writes_routes;
};

/* Apply a command; of those that are not part of the desired state nothing is kept. */
void fake_check_apply(struct fake_check *check, uint32_t n_peers, const struct abi_record *record);

/* The events that answer a check. Each is handed to send(). */
typedef void fake_check_send_fn(void *arg, const struct abi_record *event);
void fake_check_answer(const struct fake_check *check, const struct abi_cmd_check *cmd,
                       fake_check_send_fn *send, void *arg);

#endif
