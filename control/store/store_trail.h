/* The audit trail: who changed what, when and why, in records that each carry the hash of the one before. Rows are
 * only ever added: triggers refuse anything else, and whoever goes round them breaks the chain, which
 * store_trail_verify() finds. A chain has no secret in it: who may write the file can make a whole new one, so its
 * last hash has to be kept elsewhere as well (it is logged when it is committed, and audit verify prints it).
 *
 * Order: a record is committed in the transaction of the change itself. What changes without the store, or in a
 * transaction that is not worth a sync, gets its record right behind it, and before it is acknowledged. */
#ifndef STORE_TRAIL_H
#define STORE_TRAIL_H

#include "store.h"

#include <stdint.h>

#define STORE_TRAIL_HASH_LEN    32
#define STORE_TRAIL_SUMMARY_LEN 4096 /* what is longer is cut, and ends in "..." */

/* What somebody does. Nothing here may be secret. Control characters become '?'. */
struct store_trail_entry {
	const char *actor;
	const char *operation;
	const char *object;
	const char *summary;
	const char *comment; /* why; "" = not said */
	/* false: one record, of the whole, which also tells what was stored; true: one of each peer, group and grant
	 * that is stored */
	bool each;
};

/* All changes until store_trail_end() are this entry's (borrowed until then). Without one they are the hub's own
 * doing, and recorded as such. No nesting. */
void store_trail_begin(struct store *store, const struct store_trail_entry *entry);
/* The operation is over. changed: it is to have a record even if it changed nothing in the store. Returns 0, or
 * -errno: what was done stands, and is not recorded. */
int store_trail_end(struct store *store, bool changed) __attribute__((warn_unused_result));

struct store_trail_record {
	uint64_t sequence; /* from 1, without gaps */
	uint64_t wall_ns;
	const char *actor;
	const char *operation;
	const char *object;
	const char *summary;
	const char *comment;
	uint8_t previous[STORE_TRAIL_HASH_LEN]; /* hash of the record before; zero in the first */
	/* SHA-256 over previous in hexadecimal, and sequence, wall_ns, actor, operation, object, summary and comment,
	 * each of the eight followed by a line feed */
	uint8_t hash[STORE_TRAIL_HASH_LEN];
};

/* Records behind after and not before since_wall_ns: the first limit of them, or the last, which then come newest
 * first. record is valid during the call; stops with fn's value when that is not 0. Returns 0, -EUCLEAN, -errno. */
struct store_trail_query {
	uint64_t after;
	uint64_t since_wall_ns;
	uint32_t limit;
	bool last;
};
typedef int store_trail_fn(void *arg, const struct store_trail_record *record);
int store_trail_each(struct store *store, const struct store_trail_query *query, store_trail_fn *fn,
                     void *arg) __attribute__((warn_unused_result));

struct store_trail_verdict {
	uint64_t n_good; /* records from the first that are as they were written */
	uint64_t broken; /* sequence of the first that is not; 0 = all are good */
	const char *why; /* static text, with broken */
	uint8_t hash[STORE_TRAIL_HASH_LEN]; /* of the last good one */
};
/* Read all of it. Returns 0 with *out, or -errno. */
int store_trail_verify(struct store *store, struct store_trail_verdict *out)
	__attribute__((warn_unused_result));

#endif
