/* The audit trail: who changed what, when and why, in records that each carry the hash of the one before. Rows are
 * only ever added, and taken out from the beginning, which is a record itself: triggers refuse anything else, and whoever goes round them breaks the chain, which
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

/* How many there are, and when the first of them was written; 0 = there is none. Returns 0 or -errno. */
int store_trail_size(struct store *store, uint64_t *n, uint64_t *first_wall_ns)
	__attribute__((warn_unused_result));

/* ---- is it as it was written? ---- */

struct store_trail_verdict {
	uint64_t
		taken_out; /* sequence of the last record that was, before the first one; 0 = none was */
	uint8_t taken_out_hash[STORE_TRAIL_HASH_LEN];
	uint64_t n_good; /* records from the first that are as they were written */
	uint64_t broken; /* sequence of the first that is not; 0 = all are good */
	const char *why; /* static text, with broken */
	uint8_t hash[STORE_TRAIL_HASH_LEN]; /* of the last good one, or taken_out_hash */
};
/* Read all of it: 1.1 us a record. Returns 0 with *out, or -errno. */
int store_trail_verify(struct store *store, struct store_trail_verdict *out)
	__attribute__((warn_unused_result));

/* The same in pieces, between which records may come, and be taken out. */
struct store_trail_walk {
	/* Where to stop; 0 = nowhere. */
	uint64_t until_sequence; /* behind this record */
	uint64_t until_wall_ns;  /* before the first record that is not older */

	struct store_trail_verdict verdict; /* so far */
	bool is_done;
	bool is_told; /* a record says what was taken out */
};
/* Go on by n records at most; a walk begins with zeroes but for where to stop. Returns 0, or -errno. */
int store_trail_walk(struct store *store, struct store_trail_walk *walk, uint32_t n)
	__attribute__((warn_unused_result));

/* ---- taking out the oldest ---- */

/* All that a walk has been through, which was done without finding anything broken, and stopped somewhere. Number and
 * hash of the last of them stay, and are in the record of it, which store_trail_verify() wants to find. One
 * transaction, which frees nothing: store_trail_sweep(). Returns 0, -EINVAL (nothing to take out), -ESTALE (walk
 * again: others were taken out meanwhile), -errno. */
int store_trail_take_out(struct store *store, const struct store_trail_walk *walk)
	__attribute__((warn_unused_result));
/* Free n at most of the records that were taken out; *more: there are others. Its place in the file is used again, the
 * file does not become smaller. Returns 0 or -errno. */
int store_trail_sweep(struct store *store, uint32_t n, bool *more)
	__attribute__((warn_unused_result));

#endif
