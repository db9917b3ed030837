/* From peers, groups and grants to a policy_table. For control and tests: allocates, takes
 * milliseconds, and knows nothing of names, comments or time zones. */
#ifndef POLICY_BUILD_H
#define POLICY_BUILD_H

#include "base_ip.h"
#include "policy_table.h"

#include <stddef.h>
#include <stdint.h>

/* One end of a grant, subject as well as destination. */
enum policy_end_kind {
	POLICY_END_PEER = 0,   /* number: at its own addresses; what is behind it must be named */
	POLICY_END_GROUP = 1,  /* number: its members likewise */
	POLICY_END_ANY = 2,    /* every peer likewise; neither the hub nor a subnet */
	POLICY_END_SUBNET = 3, /* prefix, behind gateway number */
	POLICY_END_HUB = 4, /* the hub; prefix: at this address of it only, or family 0: at all */
	POLICY_END_BEHIND =
		5, /* prefix, behind whichever peer has something of its family behind it */
	POLICY_N_END_KINDS = 6,
};

struct policy_end {
	uint8_t kind; /* enum policy_end_kind */
	uint8_t pad[3];
	uint32_t number;           /* of the peer, group or gateway; else ignored */
	struct base_prefix prefix; /* of a SUBNET, BEHIND, HUB; no host bits set */
};

enum policy_proto {
	POLICY_ANY_PROTO = 0,
	POLICY_ICMP = 1, /* echo, ICMP and ICMPv6 */
	POLICY_TCP = 2,
	POLICY_UDP = 3,
	POLICY_N_PROTOS = 4,
};

struct policy_range {
	uint16_t first;
	uint16_t last; /* >= first, belongs to it */
};

/* Weekday windows come as these: control reckons time zone and summer time, gives the windows of the
 * days ahead, and builds again before the last of them begins. */
struct policy_window {
	uint64_t from_s;  /* seconds since 1970 */
	uint64_t until_s; /* > from_s, does not belong to it; UINT64_MAX: for ever */
};

struct policy_grant {
	uint32_t id;   /* not 0; what decisions and flows name */
	uint8_t proto; /* enum policy_proto */
	uint8_t pad[3];
	struct policy_end from;
	struct policy_end to;
	const struct policy_range *ports;    /* [n_ports], of the destination; tcp and udp only */
	uint32_t n_ports;                    /* 0: all */
	uint32_t n_windows;                  /* 0: always */
	const struct policy_window *windows; /* [n_windows] */
};

#define POLICY_BEHIND_V4 1U
#define POLICY_BEHIND_V6 2U

struct policy_peer {
	uint32_t number; /* < POLICY_HUB */
	uint32_t n_addresses;
	uint32_t n_groups;
	uint32_t behind; /* POLICY_BEHIND_..: something of this family is behind it */
	const struct base_ip *addresses; /* [n_addresses]: its own in the tunnel */
	const uint32_t *groups;          /* [n_groups], each < n_groups of the source */
};

/* All that a policy is. A peer that is disabled is left out: then nothing passes to it or from it,
 * and grants that name it are legal and match nothing. */
struct policy_source {
	uint32_t generation; /* not 0; differs from that of the table before */
	uint32_t n_peers;
	uint32_t n_groups;   /* group numbers are 0 .. n_groups - 1 */
	uint32_t n_grants;   /* <= POLICY_GRANTS_MAX */
	uint32_t open_grant; /* not 0: everybody may open any flow to anybody, and this id is why */
	const struct policy_peer *peers;   /* [n_peers], any order, each number once */
	const struct policy_grant *grants; /* [n_grants], any order */
};

enum policy_build_object {
	POLICY_BUILD_SOURCE = 0,
	POLICY_BUILD_PEER = 1,
	POLICY_BUILD_GRANT = 2,
};

/* What of the source is wrong: object number index (in peers or grants), field, what was expected. */
struct policy_build_error {
	enum policy_build_object object;
	size_t index;
	const char *field;    /* literal: "ports", "from.prefix" .. */
	const char *expected; /* literal: "first to be at most last" .. */
};

/* Compile. *out is made by aligned_alloc(64), *len bytes, and passes policy_table_check(); caller
 * frees. Returns 0; -EINVAL and *error (may be NULL); -E2BIG when the table would be longer than
 * POLICY_TABLE_LEN_MAX; -ENOMEM. On error *out is NULL. The same source gives the same bytes.
 * Cost: 10,000 grants, 1,000 groups and 10,000 peers take under 100 ms (see bench/README.md). */
int policy_build(const struct policy_source *source, void **out, size_t *len,
                 struct policy_build_error *error) __attribute__((warn_unused_result));

#endif
