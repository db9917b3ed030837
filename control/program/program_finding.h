/* One entry of a worker's live tables that is not as it should be. */
#ifndef PROGRAM_FINDING_H
#define PROGRAM_FINDING_H

#include "abi_check.h"

#include <stdbool.h>
#include <stdint.h>

/* An entry as the payload of the command that makes it. */
union program_entry {
	struct abi_cmd_hub hub;
	struct abi_cmd_address address;
	struct abi_cmd_peer peer;
	struct abi_cmd_route route;
	struct abi_cmd_wan_route wan_route;
	struct abi_cmd_neighbour neighbour;
	struct abi_cmd_session session;
};

/* One entry that is not as it should be. */
struct program_finding {
	uint32_t worker;
	uint32_t
		peer; /* whom it is about: the holder that is wanted, else the one found; or ABI_PEER_NONE */
	uint16_t type;   /* enum abi_cmd_type: the command that makes such an entry */
	bool has_wanted; /* else it should not be there */
	bool has_found;  /* else it is not there */
	union program_entry wanted;
	union program_entry found;
};

/* The same entry on the same worker, whatever is wrong with it? */
bool program_finding_is_same(const struct program_finding *a, const struct program_finding *b);

#endif
