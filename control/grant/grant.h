/* The policy as people write it: groups of peers, and grants that say who may reach what. What no grant
 * allows does not cross the hub. This module knows neither store nor sockets nor workers: it holds the
 * policy, reads and writes it as text, judges it against the peers there are (grant_world.h), and makes
 * of it what the workers' table is built from (grant_compile.h).
 *
 * A policy is a value: to change it, clone it, change the clone, check that, and put it in the place of
 * the old one. All functions: any thread that owns the policy; no global state but the zones. */
#ifndef GRANT_H
#define GRANT_H

#include "base_ip.h"
#include "config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GRANT_PORTS_MAX   32
#define GRANT_WINDOWS_MAX 8
#define GRANT_ZONE_LEN    48
#define GRANT_COMMENT_LEN 201 /* 200 bytes and the terminating zero */
#define GRANT_GRANTS_MAX  16384
#define GRANT_GROUPS_MAX  4096
#define GRANT_MEMBERS_MAX 65536 /* of one group */

enum grant_party_kind {
	GRANT_PEER = 0,   /* name: at its own tunnel addresses */
	GRANT_GROUP = 1,  /* name: every member so */
	GRANT_ANY = 2,    /* every peer so; neither the hub nor what is behind gateways */
	GRANT_SUBNET = 3, /* subnet: an approved network behind a gateway, or a part of one */
	GRANT_HUB = 4,    /* the hub's tunnel addresses; as destination only */
};

struct grant_party {
	enum grant_party_kind kind;
	char name[CONFIG_NAME_LEN];
	struct base_prefix subnet;
};

enum grant_protocol {
	GRANT_ANY_PROTOCOL = 0,
	GRANT_TCP = 1,
	GRANT_UDP = 2,
	GRANT_ICMP = 3, /* echo, ICMP and ICMPv6 */
};

struct grant_range {
	uint16_t first;
	uint16_t last; /* >= first, belongs to it */
};

/* Certain days of the week between two times of day, by the clocks of a zone. An until at or before
 * from is on the next day. */
struct grant_window {
	uint8_t days;              /* bit 0 = Monday .. bit 6 = Sunday: the days it begins on */
	uint16_t from_min;         /* minutes since midnight, 0..1439 */
	uint16_t until_min;        /* 0..1440, does not belong to it */
	char zone[GRANT_ZONE_LEN]; /* IANA: "Europe/Berlin", "UTC" */
};

struct grant {
	char name[CONFIG_NAME_LEN];
	uint32_t number; /* what the workers call it: given once, never again; 0 = not yet */
	struct grant_party who;
	struct grant_party to;
	enum grant_protocol protocol;
	struct grant_range ports[GRANT_PORTS_MAX]; /* ascending, apart; none = all */
	uint32_t n_ports;
	uint64_t from_s;                                /* since 1970; 0 = since ever */
	uint64_t until_s;                               /* does not belong to it; 0 = for ever */
	struct grant_window windows[GRANT_WINDOWS_MAX]; /* none = always */
	uint32_t n_windows;
	char comment[GRANT_COMMENT_LEN];
	char author[CONFIG_NAME_LEN];
	uint64_t created_wall_ns;
	uint64_t
		used_s; /* since 1970, rounded down to the hour: when a packet last passed by it; 0 = never */
	int line; /* in the text that it was read from; 0 = none */
};

struct grant_group {
	char name[CONFIG_NAME_LEN];
	char (*members)[CONFIG_NAME_LEN]; /* [n_members], sorted, owned */
	uint32_t n_members;
	char comment[GRANT_COMMENT_LEN];
	uint64_t created_wall_ns;
	int line;
};

struct grant_policy {
	uint64_t generation;        /* grows with every change */
	uint32_t next_number;       /* of a grant that comes */
	struct grant_group *groups; /* [n_groups], sorted by name, owned */
	uint32_t n_groups;
	struct grant *grants; /* [n_grants], sorted by name, owned */
	uint32_t n_grants;
};

/* Why something was refused. */
struct grant_error {
	const char *code;  /* "exists", "not_found", "in_use", "invalid", "full", "failed" */
	const char *field; /* argument to blame, or NULL */
	int line;          /* of the text, or 0 */
	char text[400];
};
/* Fill error and return err. */
int grant_refuse(struct grant_error *error, int err, const char *code, const char *field,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));

/* init: empty, generation 0. fini frees what it owns and empties it. */
void grant_policy_init(struct grant_policy *policy);
void grant_policy_fini(struct grant_policy *policy);
/* Deep copy into an uninitialized policy. Returns 0 or -ENOMEM, then *out is empty. */
int grant_policy_clone(const struct grant_policy *policy, struct grant_policy *out)
	__attribute__((warn_unused_result));
/* Sort what was appended in any order. Returns 0, or -EEXIST naming the one that is there twice. */
int grant_policy_sort(struct grant_policy *policy, struct grant_error *error)
	__attribute__((warn_unused_result));

/* Borrowed until the policy changes; NULL = none. */
struct grant *grant_find(const struct grant_policy *policy, const char *name);
struct grant_group *grant_group_find(const struct grant_policy *policy, const char *name);
bool grant_group_has(const struct grant_group *group, const char *peer);

/* Append behind all others; call grant_policy_sort() when done. Returns 0, -ENOMEM, -ENOSPC. */
int grant_append(struct grant_policy *policy, const struct grant *grant)
	__attribute__((warn_unused_result));
/* The same for a group without members. */
int grant_group_append(struct grant_policy *policy, const char *name, const char *comment,
                       uint64_t created_wall_ns) __attribute__((warn_unused_result));
/* Drop what find returned. */
void grant_drop(struct grant_policy *policy, struct grant *grant);
void grant_group_drop(struct grant_policy *policy, struct grant_group *group);
/* Returns 0, -EEXIST, -ENOMEM, -ENOSPC. */
int grant_member_add(struct grant_group *group, const char *peer)
	__attribute__((warn_unused_result));
/* Returns 0 or -ENOENT. */
int grant_member_drop(struct grant_group *group, const char *peer)
	__attribute__((warn_unused_result));

/* A grant that has this group, or this peer by name, at one of its ends; NULL = none. */
const struct grant *grant_naming(const struct grant_policy *policy, enum grant_party_kind kind,
                                 const char *name);

/* Both say the same, numbers, lines and times of making and use left out. */
bool grant_equal(const struct grant *a, const struct grant *b);
bool grant_group_equal(const struct grant_group *a, const struct grant_group *b);

#endif
