/* The sketch on which a set is tried. peer_set.c: what the set says, one after the other; peer_set_ips.c:
 * who holds which prefix; peer_set_commit.c: stored and told. */
#ifndef PEER_SET_PRIVATE_H
#define PEER_SET_PRIVATE_H

#include "peer_set.h"
#include "peer_table.h"

/* Prefixes, in order of family, address, length once they are final. */
struct peer_prefixes {
	struct base_prefix *at;
	uint32_t n;
	uint32_t max;
};

/* A peer of which the set speaks, or which loses a prefix to one. */
struct peer_draft {
	struct peer *old;                   /* NULL = it is new */
	const struct peer_set_whole *whole; /* what the set says of it last, or NULL */
	struct store_peer row; /* as it will be; networks: borrowed of old until has_new_ips */
	bool is_removed;
	bool is_wiped; /* it begins anew: what the set does not say is as of a new peer */
	bool has_new_key;
	bool has_new_endpoint;
	bool has_new_keepalive;
	bool has_new_settings;
	bool has_new_name; /* of its endpoint */
	bool has_new_ips;
	bool has_touched_ips; /* ips and before are valid */
	bool has_lost;        /* not all of ips are still held */
	struct base_endpoint endpoint;
	struct peer_prefixes ips;    /* what it has */
	struct peer_prefixes before; /* what old had */
	uint32_t n_gained;
	uint32_t n_lost;
};

/* A prefix changed hands in table->held. */
struct peer_move {
	struct base_prefix prefix;
	uint32_t from; /* id, or WG_ALLOWEDIPS_NONE */
	uint32_t to;
};

#define PEER_SET_NEXT 0x80000000U

struct peer_work {
	struct peer_table *table;
	const struct peer_set *set;
	const struct peer_set_hooks *hooks;
	struct peer_error *error;
	struct peer_draft *drafts; /* [max_drafts]: never moves */
	uint32_t n_drafts;
	uint32_t max_drafts;
	/* [max_peers + n_ones] by id: 1 + number of the draft, 0 = none. Ids of max_peers and more are of those that
	 * found none free, until all was tried. */
	uint32_t *draft_of;
	/* [n_buckets] 1 + id, and PEER_SET_NEXT where the key is the next one of who is between two; linear probing */
	uint32_t *by_key;
	uint32_t n_buckets; /* power of two */
	uint32_t next_id;   /* ids from table->next_id on, so many of them, are not free */
	uint32_t n_late;    /* those that found none free */
	const char *at;     /* name of the peer that is looked at, or NULL */
	struct peer_move *moves;
	uint32_t n_moves;
	uint32_t max_moves;
};

int peer__set_refuse_memory(const struct peer_work *work);
/* The draft of a peer that is in the table. NULL = no memory, told in error. */
struct peer_draft *peer__set_touch(struct peer_work *work, uint32_t id);

/* peer_set_ips.c. Return 0 or -errno with error. */
int peer__set_clear(struct peer_work *work, struct peer_draft *draft);
int peer__set_hold(struct peer_work *work, struct peer_draft *draft, const struct base_prefix *ip);
int peer__set_drop(struct peer_work *work, struct peer_draft *draft, const struct base_prefix *ip);
/* Addresses for one that is new, of those that nobody holds. */
int peer__set_give(struct peer_work *work, struct peer_draft *draft);
/* What each draft has in the end: into its row, and checked. */
int peer__set_settle(struct peer_work *work);
/* What it has, once that is settled, it has by this id. */
int peer__set_renumber(struct peer_work *work, struct peer_draft *draft, uint32_t id);
/* table->held is as it was. */
void peer__set_undo(struct peer_work *work);

/* Call gained or lost (may be NULL) for what is in one of them only; stops when a call returns non-zero, and
 * returns that. Both are in order. */
typedef int peer_prefix_fn(void *arg, const struct base_prefix *prefix);
int peer__set_differ(const struct peer_prefixes *before, const struct peer_prefixes *after,
                     peer_prefix_fn *lost, peer_prefix_fn *gained, void *arg);

/* peer_set_commit.c: nothing of it is stored when this fails; else it is, and told. */
int peer__set_commit(struct peer_work *work);

#endif
