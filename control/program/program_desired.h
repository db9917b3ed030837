/* What control wants the workers to hold: hub, addresses, peers and their limits, routes, WAN
 * routes, neighbours.
 * Each change says whether anything changed, so that nothing is sent in vain; and the whole can be
 * walked as the sequence of commands that repeats it. */
#ifndef PROGRAM_DESIRED_H
#define PROGRAM_DESIRED_H

#include "abi_check.h"
#include "program_table.h"

#include <stdbool.h>
#include <stdint.h>

struct program_desired_peer {
	uint32_t first_route; /* 1 + position in routes, 0 = none; chained in route_links */
	uint16_t keepalive_s;
	uint8_t present;
	uint8_t was_another; /* its number was given back before; see program_session_install() */
	uint16_t
		unsaid; /* a bit a worker: that, the worker has not been told; the walk says it first */
	struct abi_cmd_peer_limit *limits; /* [n_workers], owned; NULL = none */
};

struct program_route_link {
	uint32_t next; /* 1 + position, 0 = none */
	uint32_t previous;
};

/* What a worker would answer to ABI_CMD_CHECK that holds exactly what is wanted: kept up to date by each
 * change, which also leaves its number with the part. */
struct program_sums {
	struct base_siphash_key key;
	uint64_t all[ABI_CHECK_N_PARTS]; /* what all workers hold */
	uint64_t routes
		[ABI_CHECK_PEER_PARTS]; /* what is beside that of the one that has the routes */
	/* [n_workers], of limits, which are each worker's own; owned, NULL while there were none */
	uint64_t (*limits)[ABI_CHECK_PEER_PARTS];
	uint32_t n_workers;
	uint64_t changed_at[ABI_CHECK_N_PARTS]; /* number of the last change */
	uint64_t n_changes;
};

struct program_desired {
	uint32_t n_peers;
	uint32_t n_peers_used; /* 1 + highest peer ever present */
	uint32_t n_limited;    /* peers with limits */
	bool has_hub;
	struct abi_cmd_hub hub;
	struct program_desired_peer *peers;     /* [n_peers] */
	struct program_route_link *route_links; /* [n_route_links], by position in routes */
	uint32_t n_route_links;
	struct program_table addresses;
	struct program_table routes;
	struct program_table wan_routes;
	struct program_table neighbours;
	struct program_sums sums;
};

/* Returns 0 or -errno. */
int program_desired_init(struct program_desired *desired, uint32_t n_peers)
	__attribute__((warn_unused_result));
void program_desired_fini(struct program_desired *desired);

/* Changes. Each returns 1 when something changed, 0 when it was so already, -ENOMEM. Arguments are
 * in range and canonical: prefixes masked, padding zero. */
int program_desired_hub(struct program_desired *desired, const struct abi_cmd_hub *hub);
int program_desired_address(struct program_desired *desired, const struct abi_cmd_address *address);
/* Is this an address of the hub's, on any port or in the tunnel? */
bool program_desired_is_own(const struct program_desired *desired, const struct base_ip *ip);
int program_desired_peer_put(struct program_desired *desired, uint32_t peer, uint16_t keepalive_s);
/* The peer must have no route left: program_desired_peer_route(). */
int program_desired_peer_drop(struct program_desired *desired, uint32_t peer);
/* This worker was not told that the peer was dropped: the next walk for it does so, before it says that there is one of
 * that number again, which must not be taken for the same. */
void program_desired_peer_unsaid(struct program_desired *desired, uint32_t peer, uint32_t worker);
/* limits[n_workers], copied; NULL takes them away. n_workers is the same in each call. -ENOENT when the peer
 * was not put before. */
int program_desired_limit(struct program_desired *desired, uint32_t peer,
                          const struct abi_cmd_peer_limit *limits, uint32_t n_workers);
bool program_desired_has_peer(const struct program_desired *desired, uint32_t peer);
int program_desired_route_put(struct program_desired *desired, const struct abi_cmd_route *route);
int program_desired_route_drop(struct program_desired *desired, const struct abi_cmd_route *route);
/* Any route of the peer. Returns false when it has none. */
bool program_desired_peer_route(const struct program_desired *desired, uint32_t peer,
                                struct abi_cmd_route *out);
int program_desired_wan_route_put(struct program_desired *desired,
                                  const struct abi_cmd_wan_route *route);
int program_desired_wan_route_drop(struct program_desired *desired,
                                   const struct abi_cmd_wan_route *route);
int program_desired_neighbour_put(struct program_desired *desired,
                                  const struct abi_cmd_neighbour *neighbour);
int program_desired_neighbour_drop(struct program_desired *desired,
                                   const struct abi_cmd_neighbour *neighbour);

/* The sum of a part as that worker should answer it. */
uint64_t program_desired_sum(const struct program_desired *desired, uint32_t worker, uint32_t part);
/* The entry with the key of this one (both are payloads of the command type that makes it) that this worker
 * is to hold, copied to out[abi_check_entry_len(type)]. Returns its number among those of its kind, or -ENOENT. */
int64_t program_desired_find(const struct program_desired *desired, uint32_t worker, uint16_t type,
                             const void *entry, void *out) __attribute__((warn_unused_result));

/* A walk over the whole, SYNC_BEGIN first and SYNC_END last. Zero = before the first command. */
struct program_cursor {
	uint32_t stage;
	uint32_t position;
	uint32_t worker;     /* whose walk it is */
	bool without_routes; /* for a worker that does not write them */
	bool says_drops;     /* what is unsaid, too; then program_desired_said() goes on */
};

/* A command of the walk; payload is borrowed until desired changes, or points into scratch. */
struct program_command {
	const void *payload;
	uint16_t type;
	uint16_t len;
	struct abi_cmd_peer scratch;
};

/* The command at the cursor, which first moves on over holes. Returns false at the end. */
bool program_desired_at(const struct program_desired *desired, struct program_cursor *cursor,
                        struct program_command *out);
/* Go behind the command just returned. */
void program_cursor_step(struct program_cursor *cursor);
/* The same, when the worker has been told it: it is unsaid no more. */
void program_desired_said(struct program_desired *desired, struct program_cursor *cursor,
                          const struct program_command *command);

#endif
