/* The table's inside, for the files of peer. */
#ifndef PEER_TABLE_H
#define PEER_TABLE_H

#include "peer.h"
#include "peer_name.h"
#include "wg_allowedips.h"

#include <event2/event.h>

struct peer_table {
	struct peer_setup setup;
	struct peer **by_id;   /* [config->max_peers], owned; NULL = free */
	struct peer **by_name; /* [n], sorted by name */
	uint32_t n;
	struct wg_allowedips *held; /* addresses and allowed IPs -> id */
	/* [CONFIG_TUNNEL_MAX] all addresses of the tunnel net below this one are taken */
	struct base_ip *pool_from;
	uint32_t next_id; /* search for a free id begins here: ids are not used again soon */
	uint32_t *dirty;  /* [n_dirty] ids whose state is not in the store */
	bool *is_dirty;   /* [max_peers] */
	uint32_t n_dirty;
	struct event *flush_timer;
	struct event *rotation_timer; /* a window ends */
	LIST_HEAD(, peer_name) names; /* all that there are */
	struct event *name_timer;     /* a question is due */
	uint32_t n_asking;            /* that the resolver has not answered */
	uint32_t question;            /* the last number */
	peer_rotation_fn *on_rotation;
	void *on_rotation_arg;
};

/* Fill error and return err, for return peer__refuse(...). */
int peer__refuse(struct peer_error *error, int err, const char *code, const char *field,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The same when the store has failed, in its words. */
int peer__refuse_store(const struct peer_table *table, int err, struct peer_error *error);
/* The peer called so. Returns 0, or -ENOENT with error filled. */
int peer__find_named(const struct peer_table *table, const char *name, struct peer **out,
                     struct peer_error *error) __attribute__((warn_unused_result));
/* The same, if it may be changed by hand: -EPERM for one that is declared in weir.conf. what: what to do there
 * instead, "change its key". */
int peer__find_ours(const struct peer_table *table, const char *name, const char *what,
                    struct peer **out, struct peer_error *error)
	__attribute__((warn_unused_result));

/* peer_table.c: enter a peer (taken over) at its id and name; leave it again (freed). What it holds is
 * noted before: peer__hold(). */
void peer__enter(struct peer_table *table, struct peer *peer);
/* The same for many: without its place among the names, which peer__sort() gives to all. */
void peer__append(struct peer_table *table, struct peer *peer);
void peer__sort(struct peer_table *table);
void peer__leave(struct peer_table *table, struct peer *peer);
/* The same of one that has lost its place among the names already. */
void peer__forget(struct peer_table *table, struct peer *peer);
/* Wipes and frees a peer that is not in the table; NULL is fine. */
void peer__free(struct peer *peer);
/* A row with networks of its own. Returns 0 or -ENOMEM; then out is empty. Caller: store_peer_fini(). */
int peer__row_copy(const struct store_peer *row, struct store_peer *out)
	__attribute__((warn_unused_result));
/* Whose key this is, or will be; or NULL. */
const struct peer *peer__find_key(const struct peer_table *table, const uint8_t key[static 32]);
/* A free id, or -ENOSPC. */
int64_t peer__free_id(const struct peer_table *table);

/* peer_ips.c: note what the row holds (0 or -ENOMEM, and then nothing is), or that nobody does. */
int peer__hold(struct peer_table *table, const struct store_peer *row)
	__attribute__((warn_unused_result));
void peer__let_go(struct peer_table *table, const struct store_peer *row);
/* Add ips to row, whose networks are its own, each to its addresses or its allowed IPs, checked against the
 * hub and all peers in the table but row's own id. */
int peer__add_ips(const struct peer_table *table, struct store_peer *row,
                  const struct base_prefix *ips, uint32_t n_ips, struct peer_error *error);
/* What the peer of this number holds already, or shall: against the hub and all others, as
 * peer__add_ips() does; and is it an address in a tunnel net? */
int peer__check_ip(const struct peer_table *table, uint32_t id, const struct base_prefix *prefix,
                   struct peer_error *error);
bool peer__is_address(const struct peer_table *table, const struct base_prefix *prefix);
/* Refuse those of ips that are no address in a tunnel net: only a gateway has such. */
int peer__refuse_networks(const struct peer_table *table, const struct base_prefix *ips,
                          uint32_t n_ips, struct peer_error *error);
/* The same for those that are one: nobody has such behind it. */
int peer__refuse_addresses(const struct peer_table *table, const struct base_prefix *ips,
                           uint32_t n_ips, struct peer_error *error);
/* Give row an address in each tunnel net where it has none. */
int peer__give_addresses(const struct peer_table *table, struct store_peer *row,
                         struct peer_error *error);

/* peer_table.c: tell session and program, unless the peer is disabled; on error both know nothing of
 * it. */
int peer__apply(struct peer_table *table, const struct peer *peer, const uint8_t *preshared_key,
                struct peer_error *error);

/* Whether nobody may be added without a preshared key. */
bool peer__needs_preshared_key(const struct peer_table *table);

/* peer_rotate.c: what session has to know beside the peer's key. */
void peer__rotation_apply(const struct peer_table *table, const struct peer *peer);
/* Rotations from the store, when all peers are entered. Returns 0 or -errno. */
int peer__rotations_load(struct peer_table *table) __attribute__((warn_unused_result));
/* When session knows all peers: windows go on, or have ended meanwhile. */
void peer__rotations_begin(struct peer_table *table, uint64_t now_ns, uint64_t now_wall_ns);
/* End what is to end by now. */
void peer__rotations_turn(struct peer_table *table, uint64_t now_ns);
/* Session has news of the peer: perhaps its next key came. */
void peer__rotation_heard(struct peer_table *table, struct peer *peer);

/* peer_endpoint.c: say once, for each address, that the peer's endpoint lies in its own networks. */
void peer__endpoint_look(const struct peer_table *table, struct peer *peer,
                         const struct base_endpoint *endpoint);

/* peer_lookup.c: the peer, in the table or about to be, is found by this name. Returns 0 or -ENOMEM. */
int peer__name_make(struct peer_table *table, struct peer *peer, const struct store_name *is)
	__attribute__((warn_unused_result));
void peer__name_free(struct peer *peer); /* or is not; fine without one */
/* peer_lookup.c: another endpoint, by hand: stored, in a transaction of the caller's; and taken, once that is. */
int peer__endpoint_store(const struct peer_table *table, const struct peer *peer,
                         const struct peer_endpoint *endpoint) __attribute__((warn_unused_result));
void peer__endpoint_take(struct peer_table *table, struct peer *peer,
                         const struct peer_endpoint *endpoint);
/* Names from the store and the file, in the transaction of the load, when all peers are entered. */
int peer__names_load(struct peer_table *table) __attribute__((warn_unused_result));
/* When session knows all peers; end: answers find nobody. */
int peer__names_begin(struct peer_table *table) __attribute__((warn_unused_result));
void peer__names_end(struct peer_table *table);
/* Put the questions that are due. */
void peer__names_turn(struct peer_table *table);

/* peer_load.c */
int peer__load(struct peer_table *table, char *error, size_t error_len);

#endif
