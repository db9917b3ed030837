/* Cryptokey routing table (whitepaper 2): prefix -> value, longest match, IPv4 and IPv6. The value
 * is a 32-bit id up to WG_ALLOWEDIPS_VALUE_MAX; WG_ALLOWEDIPS_NONE means no match.
 *
 * One writer thread at a time. Readers may look up in other threads meanwhile, without lock, wait or
 * atomic read-modify-write, when the table was made with a struct wg_allowedips_grace: then what a
 * change took out of the table is reused only after every reader has let go of it. A reader sees
 * each prefix before or after a change, never a third thing: a prefix that moves to another value is
 * the old one's or the new one's, never nobody's. */
#ifndef WG_ALLOWEDIPS_H
#define WG_ALLOWEDIPS_H

#include "base_ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WG_ALLOWEDIPS_NONE      UINT32_MAX
#define WG_ALLOWEDIPS_VALUE_MAX ((UINT32_C(1) << 30) - 1)
#define WG_ALLOWEDIPS_BURST_MAX 64U

struct wg_allowedips;

/* How the writer learns that readers have moved on (QSBR). begin: returns a token for now. passed:
 * has every reader, since the token was taken, been at a point where it holds nothing of the table?
 * Both are called by the writer only. */
struct wg_allowedips_grace {
	void *arg;
	uint64_t (*begin)(void *arg);
	bool (*passed)(void *arg, uint64_t token);
};

/* grace: copied; NULL = all look-ups are in the writer's thread. Returns NULL when memory is short.
 * Caller: wg_allowedips_destroy() (NULL is fine), when no reader is left. */
struct wg_allowedips *wg_allowedips_create(const struct wg_allowedips_grace *grace);
void wg_allowedips_destroy(struct wg_allowedips *table);

/* The same for one thread, with single addresses in order beside all other prefixes: look-ups are
 * slower, and wg_allowedips_each_overlapping() can be asked. */
struct wg_allowedips *wg_allowedips_create_ordered(void);

/* Give prefix (host bits are ignored) to value; a previous holder of exactly this prefix loses it
 * at once; *moved_from (may be NULL) gets it, or NONE when nobody else held it. Returns 0, -ENOMEM,
 * -EINVAL (family, length, value too big); on error nothing changed. */
int wg_allowedips_insert(struct wg_allowedips *table, const struct base_prefix *prefix,
                         uint32_t value, uint32_t *moved_from) __attribute__((warn_unused_result));

/* Remove exactly this prefix if value holds it. Returns 0 or -ENOENT. */
int wg_allowedips_remove(struct wg_allowedips *table, const struct base_prefix *prefix,
                         uint32_t value);

/* Remove every prefix of value. Cost: a walk of the table. Returns how many. */
size_t wg_allowedips_remove_value(struct wg_allowedips *table, uint32_t value);

/* Longest match. address: 4 or 16 bytes, network order. */
uint32_t wg_allowedips_lookup_v4(const struct wg_allowedips *table,
                                 const uint8_t address[static 4]);
uint32_t wg_allowedips_lookup_v6(const struct wg_allowedips *table,
                                 const uint8_t address[static 16]);
uint32_t wg_allowedips_lookup(const struct wg_allowedips *table, const struct base_ip *ip);

/* Is there more to single addresses than stays in the first cache? Else prefetching costs more than it
 * brings: ask once a burst. */
bool wg_allowedips_is_cold(const struct wg_allowedips *table);

/* Reach for the memory that a look-up of this address will read first; nothing is read yet. Call for
 * all of a burst, and then look up. Does nothing while the table is small. */
void wg_allowedips_prefetch_v4(const struct wg_allowedips *table, const uint8_t address[static 4]);
void wg_allowedips_prefetch_v6(const struct wg_allowedips *table, const uint8_t address[static 16]);

/* Longest match of n <= WG_ALLOWEDIPS_BURST_MAX addresses, all waits for memory overlapped: with a
 * table that is not in the cache much faster than one after the other. address[i]: 4 or 16 bytes by
 * family[i]; any other family gives NONE. Fills values[n]. */
void wg_allowedips_lookup_burst(const struct wg_allowedips *table, const uint8_t *const *address,
                                const uint8_t *family, uint32_t *values, unsigned int n);

/* Number of prefixes. */
size_t wg_allowedips_count(const struct wg_allowedips *table);

/* Bytes in use or kept for reuse: 8 to 21 for a single IPv4 address, 21 to 57 for an IPv6 one, about
 * 50 for another prefix. */
size_t wg_allowedips_memory(const struct wg_allowedips *table);

/* Call fn for every prefix: IPv4 first; in each family prefixes of several addresses, ascending,
 * and then single addresses in no particular order. Stops when fn returns non-zero, and returns
 * that. fn does not change the table. */
typedef int wg_allowedips_fn(void *arg, const struct base_prefix *prefix, uint32_t value);
int wg_allowedips_each(const struct wg_allowedips *table, wg_allowedips_fn *fn, void *arg);

/* Where a walk in slices is; all zero = before the first prefix. */
struct wg_allowedips_cursor {
	uint32_t stage;
	uint32_t n_moves;
	uint64_t slot;
	struct base_prefix last;
	bool is_begun;
};

/* The same in slices: call fn for the next prefixes, at most budget (> 0) of them, or fewer: where there
 * are many empty places, or when fn returns non-zero, which ends the slice behind that prefix. The
 * table may change between slices: a prefix that was there all the time is told once, one that came
 * or went at most once. Thread: the writer's.
 * Returns 1 there may be more, 0 that was the last, -ESTALE: much came or went, and the places of
 * single addresses moved; begin anew. */
int wg_allowedips_walk(const struct wg_allowedips *table, struct wg_allowedips_cursor *cursor,
                       uint32_t budget, wg_allowedips_fn *fn, void *arg)
	__attribute__((warn_unused_result));

/* The holder of exactly this prefix, or NONE. Only for a table made by wg_allowedips_create_ordered(). */
uint32_t wg_allowedips_holder(struct wg_allowedips *table, const struct base_prefix *prefix);

/* As wg_allowedips_each() for every prefix that contains this one, is this one, or lies in it. Cost: as these are
 * many, and little more. Only for a table made by wg_allowedips_create_ordered(). */
int wg_allowedips_each_overlapping(const struct wg_allowedips *table,
                                   const struct base_prefix *prefix, wg_allowedips_fn *fn,
                                   void *arg);

#endif
