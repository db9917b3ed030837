/* One entry of a worker's live tables that is not as it should be. */
#ifndef PROGRAM_FINDING_H
#define PROGRAM_FINDING_H

#include "abi_check.h"

#include <stdbool.h>
#include <stdint.h>

/* Type of a finding about a table that is handed over whole: no command makes it. */
#define PROGRAM_FINDING_BLOB ABI_N_CMD_TYPES

/* Which table a worker uses, or should. */
struct program_finding_blob {
	uint32_t kind; /* enum abi_blob */
	uint32_t pad;
	uint64_t generation;
	uint64_t hash; /* abi_blob_hash() */
};

/* An entry as the payload of the command that makes it. */
union program_entry {
	struct abi_cmd_hub hub;
	struct abi_cmd_address address;
	struct abi_cmd_peer peer;
	struct abi_cmd_peer_limit limit;
	struct abi_cmd_route route;
	struct abi_cmd_wan_route wan_route;
	struct abi_cmd_neighbour neighbour;
	struct abi_cmd_session session;
	struct program_finding_blob blob; /* of PROGRAM_FINDING_BLOB */
};

/* One entry that is not as it should be. */
struct program_finding {
	uint32_t worker;
	uint32_t
		peer; /* whom it is about: the holder that is wanted, else the one found; or ABI_PEER_NONE */
	uint16_t
		type; /* enum abi_cmd_type: the command that makes such an entry, or PROGRAM_FINDING_BLOB */
	bool has_wanted; /* else it should not be there */
	bool has_found;  /* else it is not there */
	union program_entry wanted;
	union program_entry found;
};

/* The same entry on the same worker, whatever is wrong with it? */
bool program_finding_is_same(const struct program_finding *a, const struct program_finding *b);

#endif
